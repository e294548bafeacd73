"""
rtpengine as a media server, as far as its ng protocol goes: endpoints, bridges, files, recordings.

An endpoint is a call of rtpengine's between the peer and a far side, which is no phone but an address. A
bridge lets the far sides of two calls send to each other. So an endpoint has its answer at once, whoever it
will be bridged with, and may be bridged anew; each packet of a bridge passes rtpengine twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.bencode import Value
from rvoip.mediacontrol.commands import MediaCommands
from rvoip.mediacontrol.errors import MediaError, MediaRefused, MediaUnavailable, MediaUnsupported
from rvoip.mediacontrol.events import AnyEvent, PlayFinishedEvent
from rvoip.mediacontrol.far_side import Far, answer_for, codec_of, far_of, offer_of, shares
from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.ng import Reply, result_of
from rvoip.mediacontrol.observers import Observers
from rvoip.mediacontrol.operations import Operation
from rvoip.mediacontrol.ownership import FencingToken, admit
from rvoip.mediacontrol.rtpengine import RTPEngine

__all__ = ["RTPEngineServer"]

_PEER: Final = "peer"
_FAR: Final = "far"
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_FOREVER: Final = 1_000_000
_DISCARD: Final = Far("IP4", "127.0.0.1", 9)
_OFFERED: Final = ("PCMU", "PCMA")
_CODECS: Final = ("pcmu", "pcma", "g722", "opus", "g729", "gsm", "amr", "amr-wb")


class _End:
    """One endpoint: a call of rtpengine's."""

    def __init__(self, id_: str, made: float, interface: str) -> None:
        self.id = id_
        self.made = made
        self.interface = interface
        self.codecs: list[str] = list(_OFFERED)
        self.local = ""
        self.near = _DISCARD
        """Where rtpengine takes what comes from the far side."""
        self.far = _DISCARD.nowhere
        self.version = 0
        self.peer_sdp = ""
        self.peer_offered = True
        """Whether `peer_sdp` was an offer."""
        self.offering = False
        self.state: Any = "offering"
        self.codec = ""
        self.direction = "sendrecv"
        self.bridge = ""
        self.fence: FencingToken | None = None
        self.activities: dict[str, tuple[str, Any]] = {}


@implementer(IMediaServer)
class RTPEngineServer(MediaCommands):
    """
    An `IMediaServer` in front of one engine, which the caller opens and closes.

    `prompts` is the folder of the files that can be played, as rtpengine sees it; `capacity` is how many
    endpoints it is to have. What ng has no word for fails with `MediaUnsupported`; there are no events but
    `play_finished`. Fencing tokens are kept here, and leases are not: rtpengine's own timeout ends what a
    controller leaves behind.
    """

    def __init__(
        self,
        reactor: Any,
        engine: RTPEngine,
        token: Callable[[], str],
        *,
        prompts: str = "",
        capacity: int = 1000,
        wall_now: Callable[[], float],
    ) -> None:
        """`token` gives random text, so that no other controller's calls are meant."""
        self._reactor = reactor
        self._engine = engine
        self._prefix = token()
        self._prompts = prompts
        self._capacity = capacity
        self._wall_now = wall_now
        self._numbers = count(1)
        self._ends: dict[str, _End] = {}
        self._bridges: dict[str, tuple[str, str]] = {}
        self._observers = Observers()

    def subscribe(
        self, observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """See `IMediaServer`. There is `play_finished` alone."""
        return self._observers.add(observer, missed)

    def perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: FencingToken | None
    ) -> Deferred[Any]:
        """Do it, where ng has a word for it."""
        return Deferred.fromCoroutine(self._perform(what, parameters, value, fence))

    async def _perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: FencingToken | None
    ) -> Any:
        if value is not None:
            try:
                schema.check(value)
            except ValueError as error:
                raise MediaRefused(str(error)) from None
        function = getattr(self, f"_do_{what.function}", None)
        if function is None:
            raise MediaUnsupported(f"rtpengine has no way to {what.summary[0].lower()}{what.summary[1:]}")
        return await function(*what.arguments(list(parameters), value), fence)

    # Endpoints

    async def _do_create_endpoint(
        self, request: schema.CreateEndpoint, fence: FencingToken | None
    ) -> schema.Endpoint:
        if request.lease:
            raise MediaUnsupported("rtpengine keeps no leases")
        if request.codecs is not None and request.sdp is not None:
            raise MediaUnsupported("rtpengine cannot be told which codecs of an offer to take")
        if len(self._ends) >= self._capacity:
            raise MediaUnavailable("this rtpengine is full")
        end = _End(f"{self._prefix}-{next(self._numbers)}", self._reactor.seconds(), request.interface)
        end.fence = fence
        end.codecs = _known(request.codecs) or end.codecs
        self._ends[end.id] = end
        try:
            if request.sdp is None:
                sdp = await self._offer(end, "sendrecv")
            else:
                sdp = await self._answer(end, request.sdp)
        except MediaError as error:
            del self._ends[end.id]
            if not isinstance(error, MediaUnavailable):
                await self._command("delete", end, {"from-tag": _PEER if request.sdp else _FAR})
            raise
        where = far_of(sdp)
        end.local = f"{where.host}:{where.port}"
        return schema.Endpoint(id=end.id, sdp=sdp, local=end.local)

    async def _answer(self, end: _End, offer: str) -> str:
        """The answer to the peer's offer, with the far side as it is."""
        end.version += 1
        options: dict[str, Value] = {
            "transport-protocol": "RTP/AVP",
            "ICE": "remove",
            "rtcp-mux": ["demux"],
            "codec": {"transcode": ["PCMA"]},
        }
        there = _sdp(await self._ask("offer", end, offer, _PEER, "", options))
        end.near = far_of(there)
        if end.far.port == _DISCARD.port:
            end.far = end.near.nowhere
        answer = answer_for(there, end.far, end.version)
        sdp = _sdp(await self._ask("answer", end, answer, _PEER, _FAR, {}))
        if not shares(offer, sdp):
            raise MediaRefused("no codec of this offer can be taken", 488)
        end.peer_sdp, end.peer_offered = offer, True
        self._settled(end, sdp)
        return sdp

    async def _offer(self, end: _End, direction: str) -> str:
        """An offer for the peer, with the far side as it is."""
        end.version += 1
        end.offering = True
        options: dict[str, Value] = {"codec": {"transcode": list(end.codecs)}}
        to_tag = _PEER if end.peer_sdp else ""
        offer = offer_of(end.far, end.version, direction)
        return _sdp(await self._ask("offer", end, offer, _FAR, to_tag, options))

    async def _take(self, end: _End, answer: str) -> None:
        """The peer's answer."""
        there = _sdp(await self._ask("answer", end, answer, _FAR, _PEER, {}))
        end.near = far_of(there)
        end.peer_sdp, end.peer_offered = answer, False
        self._settled(end, answer)

    def _settled(self, end: _End, sdp: str) -> None:
        end.codec = codec_of(sdp)
        found = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\b", sdp, re.MULTILINE)
        end.direction = found[1] if found else "sendrecv"
        end.state = "active" if end.direction in ("sendrecv", "sendonly") else "held"

    async def _aim(self, end: _End, far: Far) -> None:
        """Have the far side elsewhere; the peer sees nothing of it."""
        end.far = far
        if end.offering:
            return  # it is told with the next exchange
        if end.peer_offered:
            await self._answer(end, end.peer_sdp)
        else:
            await self._offer(end, "sendrecv")
            end.offering = False
            await self._take(end, end.peer_sdp)

    async def _do_answer(self, endpoint: str, request: schema.Answer, fence: FencingToken | None) -> None:
        end = self._admitted(endpoint, fence)
        if not end.offering:
            if request.final and not end.peer_offered and end.peer_sdp == request.sdp:
                return
            raise MediaRefused("there is no offer that could be answered", 409)
        await self._take(end, request.sdp)
        if request.final:
            end.offering = False
        else:
            end.state = "early"

    async def _do_offer(
        self, endpoint: str, request: schema.Offer, fence: FencingToken | None
    ) -> schema.Description:
        end = self._admitted(endpoint, fence)
        if end.offering:
            raise MediaRefused("an offer of ours is not answered yet", 409)
        return schema.Description(sdp=await self._answer(end, request.sdp))

    async def _do_make_offer(
        self, endpoint: str, request: schema.MakeOffer, fence: FencingToken | None
    ) -> schema.Description:
        end = self._admitted(endpoint, fence)
        if end.offering:
            raise MediaRefused("an offer of ours is not answered yet", 409)
        end.codecs = _known(request.codecs) or end.codecs
        return schema.Description(sdp=await self._offer(end, request.direction or "sendrecv"))

    async def _do_rollback(self, endpoint: str, fence: FencingToken | None) -> None:
        end = self._admitted(endpoint, fence)
        if not end.offering or not end.peer_sdp:
            raise MediaRefused("there is no new offer to roll back", 409)
        end.offering = False
        await self._aim(end, end.far)

    async def _do_endpoints(
        self, query: schema.EndpointQuery, fence: FencingToken | None
    ) -> schema.EndpointList:
        found = [] if query.lease else sorted(id_ for id_ in self._ends if id_ > query.after)
        page = found[: query.limit]
        return schema.EndpointList(
            endpoints=[self._report(self._ends[id_], {}) for id_ in page],
            next=page[-1] if len(found) > len(page) else "",
        )

    async def _do_statistics(self, endpoint: str, fence: FencingToken | None) -> schema.EndpointReport:
        end = self._end(endpoint)
        return self._report(end, result_of(await self._command("query", end, {})))

    async def _do_delete_endpoint(self, endpoint: str, fence: FencingToken | None) -> schema.EndpointReport:
        end = self._admitted(endpoint, fence)
        reply = await self._command("query", end, {})
        await self._command("delete", end, {"from-tag": _PEER if end.peer_offered else _FAR})
        self._ends.pop(endpoint, None)
        for _, timer in end.activities.values():
            if timer is not None and timer.active():
                timer.cancel()
        if end.bridge:
            await self._part(end.bridge)
        return self._report(end, reply, "ended")

    def _report(self, end: _End, reply: Reply, state: str = "") -> schema.EndpointReport:
        return schema.EndpointReport(
            id=end.id,
            state=state or end.state,  # type: ignore[arg-type]  # of the five that there are
            local=end.local,
            codec=end.codec,
            direction=end.direction,
            seconds=round(self._reactor.seconds() - end.made, 3),
            received=_stream(reply, _PEER),
            sent=_stream(reply, _FAR),
            bridge=end.bridge,
            activities=[schema.Activity(kind=kind, id=id_) for id_, (kind, _) in end.activities.items()],
        )

    # Bridges

    async def _do_bridge(self, request: schema.CreateBridge, fence: FencingToken | None) -> schema.Created:
        one, other = (self._admitted(each, fence) for each in request.endpoints)
        if one is other:
            raise MediaRefused("an endpoint cannot be bridged with itself", 409)
        for each in (one, other):
            if each.bridge:
                raise MediaRefused(f"{each.id} is bridged already", 409)
            if each.state == "offering":
                raise MediaRefused(f"{each.id} has no answer yet", 409)
        bridge = f"{self._prefix}-b{next(self._numbers)}"
        one.bridge = other.bridge = bridge
        self._bridges[bridge] = (one.id, other.id)
        try:
            await self._aim(one, other.near)
            await self._aim(other, one.near)
        except BaseException:
            self._bridges.pop(bridge, None)
            one.bridge = other.bridge = ""
            raise
        return schema.Created(id=bridge)

    async def _do_unbridge(self, bridge: str, fence: FencingToken | None) -> None:
        for each in self._bridges.get(bridge, ()):
            self._admitted(each, fence)
        await self._part(bridge)

    async def _part(self, bridge: str) -> None:
        if bridge not in self._bridges:
            raise MediaRefused(f"there is no bridge {bridge}", 404)
        for id_ in self._bridges.pop(bridge):
            end = self._ends.get(id_)
            if end is not None:
                end.bridge = ""
                await self._aim(end, end.near.nowhere)

    # Activities

    async def _do_play(
        self, endpoint: str, request: schema.Play, fence: FencingToken | None
    ) -> schema.Created:
        end = self._admitted(endpoint, fence)
        if request.barge_in:
            raise MediaUnsupported("rtpengine does not end a file at a digit")
        if not self._prompts or not _FILE.fullmatch(request.source):
            raise MediaUnsupported("rtpengine plays files of its folder of prompts alone")
        arguments: dict[str, Value] = {
            "from-tag": _PEER,
            "file": f"{self._prompts}/{request.source}",
            "repeat-times": _FOREVER if request.loop else 1,
        }
        if request.offset_ms:
            arguments["start-pos"] = request.offset_ms
        reply = result_of(await self._command("play media", end, arguments))
        self._forget_play(end, "stopped")  # rtpengine plays one at a time
        id_ = self._id()
        duration = reply.get("duration")
        timer = None
        if isinstance(duration, int) and duration > 0 and not request.loop:
            left = max(0, duration - request.offset_ms) / 1000
            timer = self._reactor.callLater(left, self._played, end, id_)
        end.activities[id_] = ("play", timer)
        return schema.Created(id=id_)

    def _played(self, end: _End, id_: str) -> None:
        self._forget_play(end, "end")

    def _forget_play(self, end: _End, reason: Any) -> None:
        for id_, (kind, timer) in list(end.activities.items()):
            if kind == "play":
                if timer is not None and timer.active():
                    timer.cancel()
                del end.activities[id_]
                self._observers.tell(
                    PlayFinishedEvent(endpoint=end.id, time=self._wall_now(), play=id_, reason=reason)
                )

    async def _do_block_dtmf(self, endpoint: str, fence: FencingToken | None) -> schema.Created:
        return await self._start(endpoint, fence, "block_dtmf", "block DTMF")

    async def _do_record(
        self, endpoint: str, request: schema.Record, fence: FencingToken | None
    ) -> schema.Created:
        if request != schema.Record():
            raise MediaUnsupported(
                "rtpengine records as it is configured: leave out what a recording is to be"
            )
        return await self._start(endpoint, fence, "record", "start recording")

    async def _start(
        self, endpoint: str, fence: FencingToken | None, kind: str, command: str
    ) -> schema.Created:
        end = self._admitted(endpoint, fence)
        if any(each == kind for each, _ in end.activities.values()):
            raise MediaRefused(f"{endpoint} has one going on", 409)
        result_of(await self._command(command, end, {"from-tag": _PEER}))
        id_ = self._id()
        end.activities[id_] = (kind, None)
        return schema.Created(id=id_)

    async def _do_stop(self, endpoint: str, kind: str, activity: str, fence: FencingToken | None) -> None:
        end = self._admitted(endpoint, fence)
        if end.activities.get(activity, ("", None))[0] != kind:
            raise MediaRefused(f"{endpoint} has no {kind} {activity}", 404)
        command = {"play": "stop media", "block_dtmf": "unblock DTMF", "record": "stop recording"}[kind]
        result_of(await self._command(command, end, {"from-tag": _PEER}))
        if kind == "play":
            self._forget_play(end, "stopped")
        else:
            end.activities.pop(activity, None)

    async def _do_stats(self, fence: FencingToken | None) -> schema.Stats:
        result_of(await self._engine.command("ping", {}))
        taken = len(self._ends)
        return schema.Stats(
            pids=[],
            endpoints=taken,
            conferences=0,
            ports_free=4 * max(0, self._capacity - taken),
            load=taken / self._capacity,
        )

    # Asking the engine

    def _id(self) -> str:
        return f"{self._prefix}-a{next(self._numbers)}"

    def _end(self, endpoint: str) -> _End:
        end = self._ends.get(endpoint)
        if end is None:
            raise MediaRefused(f"there is no endpoint {endpoint}", 404)
        return end

    def _admitted(self, endpoint: str, fence: FencingToken | None) -> _End:
        end = self._end(endpoint)
        end.fence = admit(end.fence, fence)
        return end

    async def _command(self, name: str, end: _End, arguments: Mapping[str, Value]) -> Reply:
        return await self._engine.command(name, {"call-id": end.id, **arguments})

    async def _ask(
        self, name: str, end: _End, sdp: str, from_tag: str, to_tag: str, options: Mapping[str, Value]
    ) -> Reply:
        arguments: dict[str, Value] = {
            "from-tag": from_tag,
            "sdp": sdp,
            "replace": ["origin", "session-connection"],
            **options,
        }
        if to_tag:
            arguments["to-tag"] = to_tag
        if end.interface and name == "offer":
            arguments["direction"] = [end.interface, end.interface]
        try:
            return result_of(await self._command(name, end, arguments))
        except MediaRefused as error:
            raise MediaRefused(error.reason, 422 if "SDP" in error.reason else 488) from None


def _known(codecs: list[str] | None) -> list[str]:
    """Those that rtpengine has, by its names. Raises `MediaRefused` 488 when there are none of them."""
    found = [each for each in codecs or () if each.partition("/")[0].lower() in _CODECS]
    if codecs and not found:
        raise MediaRefused("none of these codecs is there", 488)
    return found


def _sdp(reply: Reply) -> str:
    sdp = reply.get("sdp")
    if not isinstance(sdp, bytes):
        raise MediaRefused("the answer of rtpengine has no session description", 502)
    return sdp.decode("utf-8", "surrogateescape")


def _stream(reply: Reply, tag: str) -> schema.StreamReport:
    """What came from a tag; nothing where the reply does not say."""
    found: Any = reply
    for step in ("tags", tag, "medias", 0, "streams", 0, "stats"):
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return schema.StreamReport()
    packets, octets = (
        found.get(name, 0) if isinstance(found, Mapping) else 0 for name in ("packets", "bytes")
    )
    if not isinstance(packets, int) or not isinstance(octets, int):
        return schema.StreamReport()
    return schema.StreamReport(packets=packets, bytes=octets)
