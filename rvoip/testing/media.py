"""
A media server without media, for tests of what commands one:

    fake = FakeMediaServer(clock)
    made = await fake.create_endpoint(CreateEndpoint(sdp=offer))     # an answer as a server gives it
    playing = await fake.play(made.id, Play(source="welcome.wav"))
    clock.advance(1.0)                                               # observers hear play_finished
    fake.press(made.id, "5")                                         # the peer's digit: collections, barge-in
    fake.refuse("play", MediaRefused("there is no such file", 404))  # the next one fails

It keeps the rules of the API: states of offers and answers, leases, fencing tokens, limits. Ids are numbered,
so that a test can name them. `rvoip.testing.media_http` puts it on a socket.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.commands import MediaCommands
from rvoip.mediacontrol.errors import MediaError, MediaRefused, MediaUnavailable
from rvoip.mediacontrol.events import (
    AnyEvent,
    LeaseExpiredEvent,
    MediaTimeoutEvent,
    QualityEvent,
    SilenceEvent,
    SpeakingEvent,
)
from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.operations import Operation
from rvoip.mediacontrol.ownership import FencingToken, Leases, admit
from rvoip.testing.media_activities import Activities
from rvoip.testing.media_endpoint import FakeConference, FakeEndpoint
from rvoip.testing.media_sdp import choose, make_answer, make_offer, read, remote_address

__all__ = ["FakeMediaServer"]

Fence = FencingToken | None


@implementer(IMediaServer)
class FakeMediaServer(MediaCommands):
    """
    An `IMediaServer` in memory.

    `clock` runs leases, collections and what is played. `prompts` are the files that there are, with their
    seconds; without it there is every file, one second long. `capacity` endpoints fill it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        name: str = "",
        *,
        host: str = "192.0.2.10",
        prompts: Mapping[str, float] | None = None,
        capacity: int = 1000,
        wall_now: Callable[[], float] | None = None,
    ) -> None:
        self.clock = clock
        self.name = name
        self.host = host
        self.capacity = capacity
        self.draining = False
        self.down = False
        """While set, every command fails with `MediaUnavailable`."""
        self.late = 0.0
        """Seconds that each answer takes."""
        self.load: float | None = None
        """What `stats` says instead of the share of `capacity` that is taken."""
        self.performed: list[tuple[str, tuple[str, ...], Any]] = []
        """Each operation, with its parameters and its body or query."""
        self.tokens: list[FencingToken | None] = []
        """The fencing token of each operation."""
        self.live: dict[str, FakeEndpoint] = {}
        self.bridges: dict[str, tuple[str, str]] = {}
        self.conferences: dict[str, FakeConference] = {}
        self.leases = Leases()
        self.activities = Activities(clock, self.emit, prompts, wall_now or clock.seconds)
        self._wall_now = wall_now or clock.seconds
        self._numbers: Counter[str] = Counter()
        self._observers: list[tuple[Callable[[AnyEvent], None], Callable[[str], None] | None]] = []
        self._refusals: dict[str, list[MediaError]] = {}
        self._lapse: Any = None

    # What a test does

    def refuse(self, operation: str, error: MediaError, times: int = 1) -> None:
        """Have the next `times` operations of this name fail, before they do anything."""
        self._refusals.setdefault(operation, []).extend([error] * times)

    def emit(self, event: AnyEvent) -> None:
        """Tell all observers."""
        for observer, _ in list(self._observers):
            observer(event)

    def press(self, endpoint: str, digits: str, duration_ms: int = 100) -> None:
        """The peer sends digits."""
        self._endpoint(endpoint)
        for digit in digits:
            self.activities.digit(endpoint, digit, duration_ms)

    def speak(self, endpoint: str) -> None:
        """The peer begins to speak."""
        conference = next((each.id for each in self.conferences.values() if endpoint in each.members), "")
        self.emit(SpeakingEvent(endpoint=endpoint, time=self._wall_now(), conference=conference))

    def hush(self, endpoint: str) -> None:
        """The peer ceases to speak."""
        self.emit(SilenceEvent(endpoint=endpoint, time=self._wall_now()))

    def lose_media(self, endpoint: str, seconds: float = 30.0) -> None:
        """Nothing has come from the peer for so long."""
        self.emit(MediaTimeoutEvent(endpoint=endpoint, time=self._wall_now(), seconds=seconds))

    def degrade(self, endpoint: str, mos: float, loss: float = 0.1) -> None:
        """The peer is heard badly."""
        self._endpoint(endpoint).mos = mos
        self.emit(QualityEvent(endpoint=endpoint, time=self._wall_now(), mos=mos, loss=loss))

    def crash(self) -> None:
        """Forget everything, as a server that is killed does; observers hear of it, and it is `down`."""
        self.down = True
        self.activities.forget()
        self.live.clear()
        self.bridges.clear()
        self.conferences.clear()
        self.leases = Leases()
        for _, missed in list(self._observers):
            if missed is not None:
                missed("the media server has crashed")

    # IMediaServer

    def perform(
        self, what: Operation, parameters: tuple[str, ...], value: Any, fence: Fence
    ) -> Deferred[Any]:
        """Do it at once, and answer at once or `late`."""
        if value is not None:
            try:
                schema.check(value)
            except ValueError as error:
                return fail(MediaRefused(str(error)))
        try:
            if self.down:
                raise MediaUnavailable("the media server does not answer")
            self.performed.append((what.name, parameters, value))
            self.tokens.append(fence)
            self._expire()
            if refusals := self._refusals.get(what.name):
                raise refusals.pop(0)
            given = what.arguments(list(parameters), value)
            done = succeed(getattr(self, f"_do_{what.function}")(*given, fence))
        except MediaError as error:
            done = fail(error)
        if not self.late:
            return done
        answered: Deferred[Any] = Deferred()
        self.clock.callLater(self.late, done.chainDeferred, answered)
        return answered

    def subscribe(
        self, observer: Callable[[AnyEvent], None], missed: Callable[[str], None] | None = None
    ) -> Callable[[], None]:
        """See `IMediaServer`."""
        entry = (observer, missed)
        self._observers.append(entry)

        def unsubscribe() -> None:
            if entry in self._observers:
                self._observers.remove(entry)

        return unsubscribe

    # Endpoints

    def _do_create_endpoint(self, request: schema.CreateEndpoint, fence: Fence) -> schema.Endpoint:
        if self.draining:
            raise MediaUnavailable("this media server is about to stop")
        if len(self.live) >= self.capacity:
            raise MediaUnavailable("this media server is full")
        self.leases.check(request.lease)
        number = self._numbers["endpoint"] + 1
        made = FakeEndpoint(self._id("e"), 20000 + 2 * number, request, self.clock.seconds())
        made.fence = fence
        if request.sdp is None:
            made.offering = True
            sdp = make_offer(self.host, made.port, number, 1, made.codecs)
        else:
            sdp = self._answer(made, request.sdp, number)
        self._numbers["endpoint"] = number
        self.live[made.id] = made
        return schema.Endpoint(id=made.id, sdp=sdp, local=f"{self.host}:{made.port}")

    def _answer(self, endpoint: FakeEndpoint, offer: str, number: int = 0) -> str:
        session = number or (endpoint.port - 20000) // 2
        sdp, codec, direction = make_answer(
            offer, self.host, endpoint.port, session, endpoint.version, endpoint.codecs
        )
        endpoint.remote = remote_address(read(offer))
        endpoint.codec, endpoint.direction = codec, direction
        endpoint.offers.append(offer)
        endpoint.state = "held" if direction in ("recvonly", "inactive") else "active"
        return sdp

    def _do_endpoints(self, query: schema.EndpointQuery, fence: Fence) -> schema.EndpointList:
        found = sorted(
            each.id
            for each in self.live.values()
            if each.id > query.after and (not query.lease or each.lease == query.lease)
        )
        page = found[: query.limit]
        return schema.EndpointList(
            endpoints=[self._report(self.live[id_]) for id_ in page],
            next=page[-1] if len(found) > len(page) else "",
        )

    def _do_statistics(self, endpoint: str, fence: Fence) -> schema.EndpointReport:
        return self._report(self._endpoint(endpoint))

    def _do_delete_endpoint(self, endpoint: str, fence: Fence) -> schema.EndpointReport:
        return self._end(self._admitted(endpoint, fence))

    def _do_answer(self, endpoint: str, request: schema.Answer, fence: Fence) -> None:
        found = self._admitted(endpoint, fence)
        if not found.offering:
            if request.final and found.offers[-1:] == [request.sdp]:
                return  # the same one again, because its answer got lost
            raise MediaRefused("there is no offer that could be answered", 409)
        description = read(request.sdp)
        streams = [media for media in description.media if media.kind == "audio" and not media.is_rejected]
        if not streams:
            raise MediaRefused("the answer takes no stream", 488)
        names = {codec.encoding.lower() for codec in found.codecs}
        codec = next((each for each in streams[0].codecs if each.encoding.lower() in names), None)
        if codec is None:
            raise MediaRefused("the answer has no codec of the offer", 488)
        found.offers.append(request.sdp)
        found.remote, found.codec = remote_address(description), codec.encoding
        found.direction = description.direction_of(streams[0]).reversed.value
        if request.final:
            found.offering = False
            found.state = "held" if found.direction in ("recvonly", "inactive") else "active"
        else:
            found.state = "early"

    def _do_offer(self, endpoint: str, request: schema.Offer, fence: Fence) -> schema.Description:
        found = self._admitted(endpoint, fence)
        if found.offering:
            raise MediaRefused("an offer of ours is not answered yet", 409)
        sdp = self._answer(found, request.sdp)
        found.version += 1
        return schema.Description(sdp=sdp)

    def _do_make_offer(self, endpoint: str, request: schema.MakeOffer, fence: Fence) -> schema.Description:
        found = self._admitted(endpoint, fence)
        if found.offering:
            raise MediaRefused("an offer of ours is not answered yet", 409)
        codecs = choose(request.codecs) if request.codecs is not None else found.codecs
        found.offering = True
        found.version += 1
        return schema.Description(
            sdp=make_offer(
                self.host,
                found.port,
                (found.port - 20000) // 2,
                found.version,
                codecs,
                request.direction or "sendrecv",
            )
        )

    def _do_rollback(self, endpoint: str, fence: Fence) -> None:
        found = self._admitted(endpoint, fence)
        if not found.offering or found.state in ("offering", "early"):
            raise MediaRefused("there is no new offer to roll back", 409)
        found.offering = False

    def _end(self, endpoint: FakeEndpoint) -> schema.EndpointReport:
        if endpoint.bridge:
            self._part(endpoint.bridge)
        report = self._report(endpoint)
        for conference in self.conferences.values():
            conference.members.pop(endpoint.id, None)
        self.activities.end(endpoint.id)
        del self.live[endpoint.id]
        return msgspec.structs.replace(report, state="ended", activities=[], bridge="", conferences=[])

    def _report(self, endpoint: FakeEndpoint) -> schema.EndpointReport:
        return endpoint.report(
            self.host,
            self.clock.seconds(),
            [each.id for each in self.conferences.values() if endpoint.id in each.members],
            self.activities.of(endpoint.id),
        )

    # Bridges and conferences

    def _do_bridge(self, request: schema.CreateBridge, fence: Fence) -> schema.Created:
        one, other = (self._admitted(each, fence) for each in request.endpoints)
        if one is other:
            raise MediaRefused("an endpoint cannot be bridged with itself", 409)
        for each in (one, other):
            if each.bridge:
                raise MediaRefused(f"{each.id} is bridged already", 409)
        bridge = self._id("b")
        one.bridge = other.bridge = bridge
        self.bridges[bridge] = (one.id, other.id)
        return schema.Created(id=bridge)

    def _do_unbridge(self, bridge: str, fence: Fence) -> None:
        if bridge not in self.bridges:
            raise MediaRefused(f"there is no bridge {bridge}", 404)
        for each in self.bridges[bridge]:
            self._admitted(each, fence)
        self._part(bridge)

    def _part(self, bridge: str) -> None:
        for each in self.bridges.pop(bridge):
            self.live[each].bridge = ""

    def _do_create_conference(self, request: schema.CreateConference, fence: Fence) -> schema.Created:
        self.leases.check(request.lease)
        made = FakeConference(self._id("c"), request)
        made.fence = fence
        self.conferences[made.id] = made
        return schema.Created(id=made.id)

    def _do_update_conference(self, conference: str, request: schema.Conference, fence: Fence) -> None:
        found = self._conference(conference, fence)
        if request.locked is not None:
            found.locked = request.locked
        if request.max_members is not None:
            found.max_members = request.max_members

    def _do_delete_conference(self, conference: str, fence: Fence) -> None:
        self._conference(conference, fence)
        del self.conferences[conference]

    def _do_join(self, conference: str, endpoint: str, request: schema.Member, fence: Fence) -> None:
        found = self._conference(conference, fence)
        self._admitted(endpoint, fence)
        if endpoint not in found.members:
            if found.locked:
                raise MediaRefused(f"{conference} is locked", 409)
            if found.max_members is not None and len(found.members) >= found.max_members:
                raise MediaRefused(f"{conference} has {found.max_members} members", 409)
        found.members[endpoint] = request

    def _do_leave(self, conference: str, endpoint: str, fence: Fence) -> None:
        if self._conference(conference, fence).members.pop(endpoint, None) is None:
            raise MediaRefused(f"{endpoint} is no member of {conference}", 404)

    # Activities and recordings

    def _start(self, kind: str, endpoint: str, request: Any, fence: Fence) -> schema.Created:
        self._admitted(endpoint, fence)
        id_ = self._id({"record": "r"}.get(kind, "a"))
        self.activities.start(kind, id_, endpoint, request)
        return schema.Created(id=id_)

    def _do_play(self, endpoint: str, request: schema.Play, fence: Fence) -> schema.Created:
        return self._start("play", endpoint, request, fence)

    def _do_collect(self, endpoint: str, request: schema.Collect, fence: Fence) -> schema.Created:
        return self._start("collect", endpoint, request, fence)

    def _do_record(self, endpoint: str, request: schema.Record, fence: Fence) -> schema.Created:
        return self._start("record", endpoint, request, fence)

    def _do_echo(self, endpoint: str, fence: Fence) -> schema.Created:
        return self._start("echo", endpoint, None, fence)

    def _do_moh(self, endpoint: str, fence: Fence) -> schema.Created:
        return self._start("moh", endpoint, None, fence)

    def _do_send_dtmf(self, endpoint: str, request: schema.Dtmf, fence: Fence) -> schema.Created:
        return self._start("dtmf", endpoint, request, fence)

    def _do_block_dtmf(self, endpoint: str, fence: Fence) -> schema.Created:
        return self._start("block_dtmf", endpoint, None, fence)

    def _do_stream(self, endpoint: str, request: schema.Stream, fence: Fence) -> schema.Created:
        return self._start("stream", endpoint, request, fence)

    def _do_stop(self, endpoint: str, kind: str, activity: str, fence: Fence) -> None:
        self._admitted(endpoint, fence)
        self.activities.stop(endpoint, kind, activity)

    def _do_recording(self, recording: str, fence: Fence) -> schema.Recording:
        return self.activities.recording(recording)

    def _do_delete_recording(self, recording: str, fence: Fence) -> None:
        self._recorded(recording, fence)
        self.activities.delete_recording(recording)

    def _do_pause_recording(self, recording: str, request: schema.Pause, fence: Fence) -> None:
        self._recorded(recording, fence)
        self.activities.pause(recording, request.mode)

    def _do_resume_recording(self, recording: str, fence: Fence) -> None:
        self._recorded(recording, fence)
        self.activities.resume(recording)

    def _recorded(self, recording: str, fence: Fence) -> None:
        endpoint = self.activities.recording(recording).endpoint
        if endpoint in self.live:
            self._admitted(endpoint, fence)

    # Leases and the server

    def _do_create_lease(self, request: schema.CreateLease, fence: Fence) -> schema.Lease:
        lease = self._id("l")
        self.leases.create(lease, request.ttl, self.clock.seconds())
        self._watch_leases()
        return schema.Lease(id=lease, ttl=request.ttl)

    def _do_renew_lease(self, lease: str, fence: Fence) -> schema.Lease:
        if not lease:
            raise MediaRefused("there is no lease without a name", 404)
        return schema.Lease(id=lease, ttl=self.leases.renew(lease, self.clock.seconds()))

    def _watch_leases(self) -> None:
        if self._lapse is not None and self._lapse.active():
            self._lapse.cancel()
        self._lapse = None
        deadline = self.leases.deadline
        if deadline is not None:
            self._lapse = self.clock.callLater(max(0.0, deadline - self.clock.seconds()), self._lapsed)

    def _lapsed(self) -> None:
        self._lapse = None
        self._expire()
        self._watch_leases()

    def _expire(self) -> None:
        for lease in self.leases.expire(self.clock.seconds()):
            held = [each for each in self.live.values() if each.lease == lease]
            for each in held:
                self._end(each)
            for conference in [each.id for each in self.conferences.values() if each.lease == lease]:
                del self.conferences[conference]
            self.emit(
                LeaseExpiredEvent(
                    time=self._wall_now(), lease=lease, endpoints=[each.id for each in held][:1000]
                )
            )

    def _do_stats(self, fence: Fence) -> schema.Stats:
        return schema.Stats(
            pids=[os.getpid()],
            endpoints=len(self.live),
            conferences=len(self.conferences),
            ports_free=2 * (self.capacity - len(self.live)),
            load=self.load if self.load is not None else len(self.live) / self.capacity,
            draining=self.draining,
        )

    def close(self) -> None:
        """Let no timer be left."""
        if self._lapse is not None and self._lapse.active():
            self._lapse.cancel()
        self.activities.forget()

    # Finding

    def _id(self, letter: str) -> str:
        self._numbers[letter] += 1
        prefix = f"{self.name}-" if self.name else ""
        return f"{prefix}{letter}{self._numbers[letter]}"

    def _endpoint(self, endpoint: str) -> FakeEndpoint:
        found = self.live.get(endpoint)
        if found is None:
            raise MediaRefused(f"there is no endpoint {endpoint}", 404)
        return found

    def _admitted(self, endpoint: str, fence: Fence) -> FakeEndpoint:
        found = self._endpoint(endpoint)
        found.fence = admit(found.fence, fence)
        return found

    def _conference(self, conference: str, fence: Fence) -> FakeConference:
        found = self.conferences.get(conference)
        if found is None:
            raise MediaRefused(f"there is no conference {conference}", 404)
        found.fence = admit(found.fence, fence)
        return found
