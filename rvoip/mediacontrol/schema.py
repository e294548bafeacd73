"""The values of a media server's API: what is asked and what is answered.

Requests refuse members that they do not know; answers ignore them, so that a server may be newer than its
client. Limits stand in the types, and go from here into the OpenAPI document. Session descriptions are text.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "ACTIVITIES", "Activity", "ActivityKind", "Answer", "Collect", "Conference", "Created", "CreateBridge",
    "CreateConference", "CreateEndpoint", "CreateLease", "Description", "Dtmf", "Endpoint", "EndpointList",
    "EndpointQuery", "EndpointReport", "Identifier", "Lease", "MakeOffer", "Member", "Offer", "Pause", "Play",
    "Record", "Recording", "Sdp", "Stats", "Stream", "StreamReport", "check",
]  # fmt: skip

Sdp = Annotated[str, Meta(min_length=1, max_length=32768, description="A session description (RFC 8866)")]
Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""What a server names a thing by."""
LeaseName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{0,64}\Z")]
"""A lease, or empty for none."""
CodecName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,32}(/[0-9]{1,6}(/[0-9]{1,2})?)?\Z")]
"""As in an rtpmap: `PCMU`, `opus/48000/2`."""
Codecs = Annotated[list[CodecName], Meta(min_length=1, max_length=32)]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~@+-]{0,128}\Z")]
Source = Annotated[str, Meta(min_length=1, max_length=2048, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Terminator = Annotated[str, Meta(pattern=r"^[0-9A-D*#]?\Z")]
WebSocketURL = Annotated[str, Meta(max_length=2048, pattern=r"^wss?://[^\x00-\x20\x7f]+\Z")]
Digits = Annotated[str, Meta(pattern=r"^[0-9A-Da-d*#]{1,64}\Z")]

ActivityKind = Literal["play", "collect", "record", "echo", "moh", "dtmf", "block_dtmf", "stream"]
ACTIVITIES: Final[tuple[ActivityKind, ...]] = (
    "play", "collect", "record", "echo", "moh", "dtmf", "block_dtmf", "stream",
)  # fmt: skip
"""What an endpoint may be doing, all at the same time; each is stopped by its name and id."""


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what is asked."""


class Reply(Struct, frozen=True, kw_only=True):
    """Base of what is answered."""


class CreateEndpoint(Request, frozen=True, kw_only=True):
    """An endpoint to make: with `sdp`, the peer's offer, it answers; without, it offers."""

    sdp: Sdp | None = None
    codecs: Codecs | None = None
    """Those that may be used, best first; the server's own order when left out."""
    interface: Name = ""
    """Which of the server's networks, by name; its first when empty."""
    lease: LeaseName = ""
    """The endpoint ends when this lease lapses."""


class Endpoint(Reply, frozen=True, kw_only=True):
    """An endpoint that was made."""

    id: str
    sdp: str
    """Its answer to the offer that was given, or its offer where none was."""
    local: str = ""
    """Where it receives, as `address:port`."""


class Answer(Request, frozen=True, kw_only=True):
    """The peer's answer to our offer. Early ones of a fork may be followed by others until one is final."""

    sdp: Sdp
    final: bool = True


class Offer(Request, frozen=True, kw_only=True):
    """The peer's new offer."""

    sdp: Sdp


class MakeOffer(Request, frozen=True, kw_only=True):
    """What is to change in a new offer of ours; what is left out stays."""

    direction: Direction | None = None
    codecs: Codecs | None = None


class Description(Reply, frozen=True, kw_only=True):
    """A session description of ours."""

    sdp: str


class StreamReport(Reply, frozen=True, kw_only=True):
    """What went one way."""

    packets: int = 0
    bytes: int = 0
    """Octets of payload."""
    lost: int = 0
    """Packets that did not arrive: at us, or as the peer reports."""
    jitter_ms: float = 0.0


class Activity(Reply, frozen=True, kw_only=True):
    """Something that an endpoint is doing."""

    kind: str
    id: str


class EndpointReport(Reply, frozen=True, kw_only=True):
    """How an endpoint is; what a deleted one is answered with is final."""

    id: str
    state: Literal["offering", "early", "active", "held", "ended"]
    """Its offer has no answer yet, an early one, a final one; neither side sends; it is no more."""
    lease: str = ""
    local: str = ""
    remote: str = ""
    """Where media comes from, once it has."""
    codec: str = ""
    direction: str = "sendrecv"
    seconds: float = 0.0
    """Since it was made."""
    received: StreamReport = StreamReport()
    sent: StreamReport = StreamReport()
    round_trip_ms: float | None = None
    mos: float | None = None
    """Mean opinion score of what was received, 1 to 4.5 (ITU-T G.107); None before there is any."""
    bridge: str = ""
    conferences: list[str] = []
    activities: list[Activity] = []


class EndpointQuery(Request, frozen=True, kw_only=True):
    """Which endpoints to list."""

    lease: LeaseName = ""
    """Those of this lease; all when empty."""
    after: LeaseName = ""
    """Those whose ids come after this one."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class EndpointList(Reply, frozen=True, kw_only=True):
    """Endpoints in the order of their ids."""

    endpoints: list[EndpointReport]
    next: str = ""
    """What `after` has to be to get more; empty when there are none."""


class Created(Reply, frozen=True, kw_only=True):
    """The name of what was made."""

    id: str


class CreateBridge(Request, frozen=True, kw_only=True):
    """Two endpoints that hear each other."""

    endpoints: Annotated[list[Identifier], Meta(min_length=2, max_length=2)]


class CreateConference(Request, frozen=True, kw_only=True):
    """A conference without members; an ended lease ends its members, and a conference of that lease."""

    name: Name = ""
    rate: Literal[8000, 16000, 24000, 48000] = 16000
    """Samples a second that it is mixed at."""
    lease: LeaseName = ""


class Conference(Request, frozen=True, kw_only=True):
    """What is to change of a conference; what is left out stays."""

    locked: bool | None = None
    """Whether nobody may join."""
    max_members: Annotated[int, Meta(ge=1, le=10_000)] | None = None


class Member(Request, frozen=True, kw_only=True):
    """How a member takes part, all of it: what is left out is as here."""

    mute: bool = False
    deaf: bool = False
    gain: Annotated[float, Meta(ge=-60.0, le=20.0, description="decibels")] = 0.0
    role: Literal["speaker", "listener", "whisper"] = "speaker"
    """A whisperer is heard by those in `to` alone."""
    to: Annotated[list[Identifier], Meta(max_length=64)] = []


class Play(Request, frozen=True, kw_only=True):
    """Audio to be heard by the peer."""

    source: Source
    """`file.wav` of the server's prompts, `recording:ID`, `https://...`, `tone:440`, `silence`."""
    loop: bool = False
    offset_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    barge_in: bool = False
    """Whether a digit of the peer ends it."""


class Collect(Request, frozen=True, kw_only=True):
    """Digits to wait for; a `dtmf` event with this collection's id has the result."""

    max_digits: Annotated[int, Meta(ge=1, le=64)]
    first_timeout: Annotated[float, Meta(ge=0.1, le=600.0, description="seconds")] = 5.0
    """Seconds to wait for the first digit."""
    digit_timeout: Annotated[float, Meta(ge=0.1, le=600.0, description="seconds")] = 3.0
    """Seconds to wait for the next one."""
    terminator: Terminator = "#"
    """The digit that ends it early, not part of the result; empty for none."""


class Record(Request, frozen=True, kw_only=True):
    """What to record of an endpoint; the id that is answered is that of the recording too."""

    format: Literal["wav", "mp3", "opus", "raw"] = "wav"
    stereo: bool = False
    """The peer left and what it hears right, not both mixed."""
    max_seconds: Annotated[float, Meta(ge=1.0, le=86_400.0)] = 3600.0


class Dtmf(Request, frozen=True, kw_only=True):
    """Digits to send, one after the other."""

    digits: Digits


class Stream(Request, frozen=True, kw_only=True):
    """Audio both ways over a WebSocket to `url`."""

    url: WebSocketURL
    format: Literal["rvoip", "twilio"] = "rvoip"


class Recording(Reply, frozen=True, kw_only=True):
    """A recording."""

    id: str
    endpoint: str
    state: Literal["recording", "paused", "finished", "failed"]
    format: str = "wav"
    seconds: float = 0.0
    bytes: int = 0
    file: str = ""
    """Its name in the server's folder of recordings, or where it was uploaded to."""


class Pause(Request, frozen=True, kw_only=True):
    """What a pause leaves in the recording."""

    mode: Literal["silence", "cut"] = "silence"


class CreateLease(Request, frozen=True, kw_only=True):
    """A lease: what it holds ends when it is not renewed in time."""

    ttl: Annotated[float, Meta(ge=1.0, le=3600.0, description="seconds")] = 30.0


class Lease(Reply, frozen=True, kw_only=True):
    """A lease, running from now."""

    id: str
    ttl: float
    """Seconds."""


class Stats(Reply, frozen=True, kw_only=True):
    """How a server is doing."""

    pids: list[int]
    endpoints: int
    conferences: int
    ports_free: int
    load: float
    """0 is idle; at 1 it takes no new endpoints."""
    draining: bool = False
    """Whether it takes no new endpoints because it is about to stop."""


def check(request: Any) -> None:
    """Hold a request that a program made to the limits of its type; ValueError says which it breaks."""
    try:
        msgspec.json.decode(msgspec.json.encode(request), type=type(request))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None
