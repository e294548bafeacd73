"""What signalling asks of whoever carries the media of its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.defer import Deferred

    from rvoip.mediacontrol.events import AnyEvent
    from rvoip.mediacontrol.ownership import FencingToken
    from rvoip.mediacontrol.schema import (
        ActivityKind,
        Answer,
        Collect,
        Conference,
        CreateBridge,
        CreateConference,
        Created,
        CreateEndpoint,
        CreateLease,
        Description,
        Dtmf,
        Endpoint,
        EndpointList,
        EndpointQuery,
        EndpointReport,
        Lease,
        MakeOffer,
        Member,
        Offer,
        Pause,
        Play,
        Record,
        Recording,
        Stats,
        Stream,
    )

__all__ = ["IMediaRelay", "IMediaServer"]


class IMediaRelay(Interface):
    """Puts itself between the two ends of a call, by rewriting where their descriptions say media goes.

    A call is its Call-ID; an end is its tag. All fail with a `MediaError`.
    """

    def offer(
        call_id: str, from_tag: str, sdp: str, to_tag: str = "", branch: str = "", received: str = ""
    ) -> Awaitable[str]:
        """The offer of the end `from_tag` as the other end is to see it.

        `to_tag` names the other end once it is known. `branch` tells the branches of a fork apart. `received`
        is the address that the message came from, where that is to be believed rather than what it says.
        """

    def answer(
        call_id: str, from_tag: str, to_tag: str, sdp: str, branch: str = "", received: str = ""
    ) -> Awaitable[str]:
        """The answer of the end `to_tag` to an offer of the end `from_tag`, as that one is to see it."""

    def delete(call_id: str, from_tag: str, to_tag: str = "", branch: str = "") -> Awaitable[None]:
        """The call, or with `to_tag` or `branch` that part of it, is over. Harmless when it was already."""


class IMediaServer(Interface):
    """Ends media streams, and joins, plays, records and collects what is in them.

    An endpoint is one media stream's end here; it is named by the id that it got. All Deferreds fail with a
    `MediaError`, whose `status` says whose fault it is: 404 for an id that is not there, 409 for what cannot
    be in this state or belongs to a later owner, 422 for a description that cannot be used, 488 for one with
    nothing in common, 501 for what this server cannot do at all, 503 for no room, `MediaUnavailable` for no
    server, `MediaLost` when it was sent and nobody knows whether it was done. `fence` says who commands; see
    `rvoip.mediacontrol.ownership`.
    """

    def create_endpoint(request: CreateEndpoint, fence: FencingToken | None = None) -> Deferred[Endpoint]:
        """An endpoint, with its answer to the offer in `request`, or with its offer where there is none."""

    def endpoints(query: EndpointQuery, fence: FencingToken | None = None) -> Deferred[EndpointList]:
        """Those that there are, or those of a lease."""

    def statistics(endpoint: str, fence: FencingToken | None = None) -> Deferred[EndpointReport]:
        """How an endpoint is now."""

    def delete_endpoint(endpoint: str, fence: FencingToken | None = None) -> Deferred[EndpointReport]:
        """End it and all that it does, its bridge too; its final statistics."""

    def answer(endpoint: str, request: Answer, fence: FencingToken | None = None) -> Deferred[None]:
        """The peer's answer to our offer. 409 when we have made none, or another final answer was given."""

    def offer(endpoint: str, request: Offer, fence: FencingToken | None = None) -> Deferred[Description]:
        """The peer's new offer; our answer. 409 while ours is not answered (491 in SIP)."""

    def make_offer(
        endpoint: str, request: MakeOffer, fence: FencingToken | None = None
    ) -> Deferred[Description]:
        """A new offer of ours, for `answer` or `rollback`. 409 while one is not answered."""

    def rollback(endpoint: str, fence: FencingToken | None = None) -> Deferred[None]:
        """Our new offer came to nothing: all is as it was. 409 when there is none, or it is the first."""

    def bridge(request: CreateBridge, fence: FencingToken | None = None) -> Deferred[Created]:
        """Let two endpoints hear each other. 409 for one that is bridged."""

    def unbridge(bridge: str, fence: FencingToken | None = None) -> Deferred[None]:
        """Part them. A bridge whose endpoint ends is gone by itself."""

    def create_conference(request: CreateConference, fence: FencingToken | None = None) -> Deferred[Created]:
        """A conference without members."""

    def update_conference(
        conference: str, request: Conference, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """Lock it, or limit its members."""

    def delete_conference(conference: str, fence: FencingToken | None = None) -> Deferred[None]:
        """End it. Its members are endpoints still."""

    def join(
        conference: str, endpoint: str, request: Member, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """Make an endpoint a member, or change how it takes part. 409 when it is locked or full."""

    def leave(conference: str, endpoint: str, fence: FencingToken | None = None) -> Deferred[None]:
        """Take a member out."""

    def play(endpoint: str, request: Play, fence: FencingToken | None = None) -> Deferred[Created]:
        """Play to the peer; a `play_finished` event tells its end. 404 for a source that is not there."""

    def collect(endpoint: str, request: Collect, fence: FencingToken | None = None) -> Deferred[Created]:
        """Collect digits; a `dtmf` event with this id has them. 409 while another collection goes on."""

    def record(endpoint: str, request: Record, fence: FencingToken | None = None) -> Deferred[Created]:
        """Record; the id is that of the recording. an event tells its end."""

    def echo(endpoint: str, fence: FencingToken | None = None) -> Deferred[Created]:
        """Send back what comes."""

    def moh(endpoint: str, fence: FencingToken | None = None) -> Deferred[Created]:
        """Play music on hold until it is stopped."""

    def send_dtmf(endpoint: str, request: Dtmf, fence: FencingToken | None = None) -> Deferred[Created]:
        """Send digits."""

    def block_dtmf(endpoint: str, fence: FencingToken | None = None) -> Deferred[Created]:
        """Let nobody hear or record the peer's digits; events tell them still."""

    def stream(endpoint: str, request: Stream, fence: FencingToken | None = None) -> Deferred[Created]:
        """Audio both ways over a WebSocket that the server opens."""

    def stop(
        endpoint: str, kind: ActivityKind, activity: str, fence: FencingToken | None = None
    ) -> Deferred[None]:
        """Stop what one of the eight methods before began. 404 for what is over."""

    def recording(recording: str, fence: FencingToken | None = None) -> Deferred[Recording]:
        """How a recording is; also after its endpoint has ended."""

    def delete_recording(recording: str, fence: FencingToken | None = None) -> Deferred[None]:
        """Delete it. 409 while it is recorded."""

    def pause_recording(recording: str, request: Pause, fence: FencingToken | None = None) -> Deferred[None]:
        """Record silence, or nothing, from now on. 409 when it is over."""

    def resume_recording(recording: str, fence: FencingToken | None = None) -> Deferred[None]:
        """Go on. 409 when it is over."""

    def create_lease(request: CreateLease, fence: FencingToken | None = None) -> Deferred[Lease]:
        """A lease; what is made under it ends when it lapses."""

    def renew_lease(lease: str, fence: FencingToken | None = None) -> Deferred[Lease]:
        """Let it run anew. 404 when it has lapsed: what it held is gone."""

    def stats(fence: FencingToken | None = None) -> Deferred[Stats]:
        """How the server is doing."""

    def subscribe(
        observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """Call `observer` with each event from now on; what is returned ends that.

        `missed` is called with a reason when events may have been lost with a connection: ask for statistics
        of what matters.
        """
