"""
What every provider of `IMediaServer` has to keep, as tests:

    class MyServerTests(MediaServerContract, TestCase):
        async def provider(self) -> Any:
            return MyServer(...)

The provider is given by `provider`. `let_pass` waits, by default in real time. What a provider cannot do at
all, 501, skips the test, or passes it where the class names it in `beyond`; `press` scripts the peer's digits
where the provider's peer can be scripted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest
from zope.interface.verify import verifyObject

from rvoip.mediacontrol.errors import MediaError, MediaUnsupported
from rvoip.mediacontrol.events import (
    AnyEvent,
    DtmfEvent,
    LeaseExpiredEvent,
    PlayFinishedEvent,
    RecordingFinishedEvent,
)
from rvoip.mediacontrol.interfaces import IMediaServer
from rvoip.mediacontrol.ownership import FencingToken
from rvoip.mediacontrol.schema import (
    Answer,
    Collect,
    Conference,
    CreateBridge,
    CreateConference,
    CreateEndpoint,
    CreateLease,
    Dtmf,
    EndpointQuery,
    MakeOffer,
    Member,
    Offer,
    Pause,
    Play,
    Record,
    Stream,
)
from rvoip.protocols.sdp.session import parse

__all__ = ["OFFER", "MediaServerContract"]

OFFER = (
    "v=0\r\no=- 7 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na={direction}\r\n"
)


def offer(port: int = 40000, direction: str = "sendrecv") -> str:
    """The offer of a phone."""
    return OFFER.format(port=port, direction=direction)


def answer_to(sdp: str, port: int = 40010) -> str:
    """The answer of a phone: its first codec."""
    media = parse(sdp).media[0]
    codec = next(each for each in media.codecs if each.encoding in ("PCMA", "PCMU"))
    return (
        "v=0\r\no=- 8 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP {codec.payload_type}\r\n"
        f"a=rtpmap:{codec.payload_type} {codec.encoding}/8000\r\na=sendrecv\r\n"
    )


def _said_to_be_beyond(name: str) -> Callable[[Any], Awaitable[None]]:
    """A test that a provider ends the contract's test of this name by saying that it cannot."""

    async def test(case: Any) -> None:
        try:
            await getattr(MediaServerContract, name)(case)
        except SkipTest:
            return
        raise AssertionError(f"{name} is not beyond it any more")

    return test


class MediaServerContract:
    """To be mixed into a trial `TestCase`."""

    prompt = "prompt.wav"
    """A file that the provider has, `prompt_seconds` long."""
    prompt_seconds = 1.0
    patience = 0.2
    """Seconds for which an event may be on its way."""
    beyond: ClassVar[tuple[str, ...]] = ()
    """Tests of what the provider cannot do at all: they pass when it says so, and fail when it does it."""
    server: Any

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name in cls.__dict__.get("beyond", ()):
            setattr(cls, name, _said_to_be_beyond(name))

    async def provider(self) -> Any:
        """The provider to be tested, ready."""
        raise TypeError("a contract test needs a provider")

    async def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        from twisted.internet import reactor

        await deferLater(reactor, seconds)

    async def press(self, endpoint: str, digits: str) -> None:
        """Have the peer of an endpoint send digits."""
        raise SkipTest("no peer here sends digits")

    # What the tests are written with

    def setUp(self) -> Any:
        """Get the provider."""
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.server = await self.provider()
        self.events: list[AnyEvent] = []
        self.server.subscribe(self.events.append)

    async def can(self, doing: Awaitable[Any]) -> Any:
        """The result, or a skip where the provider cannot do this at all."""
        try:
            return await doing
        except MediaUnsupported as error:
            raise SkipTest(error.reason) from None

    async def refused(self, doing: Awaitable[Any], *statuses: int) -> MediaError:
        """It fails with one of these statuses, and a reason."""
        try:
            result = await doing
        except MediaUnsupported as error:
            if 501 not in statuses:
                raise SkipTest(error.reason) from None
            return error
        except MediaError as error:
            if error.status not in statuses or not error.reason:
                raise AssertionError(f"{error.status} {error.reason!r} instead of {statuses}") from None
            return error
        raise AssertionError(f"{result!r} instead of {statuses}")

    async def heard(self, kind: type[Any]) -> Any:
        """The last event of a kind, once it is there."""
        for _ in range(20):
            found = [event for event in self.events if isinstance(event, kind)]
            if found:
                return found[-1]
            await self.let_pass(self.patience / 20)
        raise AssertionError(f"no {kind.__name__} among {self.events}")

    async def answering(self, port: int = 40000, **more: Any) -> str:
        """An endpoint that answered an offer."""
        made = await self.server.create_endpoint(CreateEndpoint(sdp=offer(port), **more))
        return str(made.id)

    # Offers and answers

    def test_interface(self) -> None:
        """It provides what it says, with all methods."""
        verifyObject(IMediaServer, self.server)

    async def test_an_endpoint_answers(self) -> None:
        """An offer gets an answer that takes its stream."""
        made = await self.server.create_endpoint(CreateEndpoint(sdp=offer()))
        answer = parse(made.sdp)
        assert len(answer.media) == 1
        assert answer.media[0].port > 0
        assert answer.media[0].codecs[0].encoding in ("PCMA", "PCMU")
        report = await self.server.statistics(made.id)
        assert (report.id, report.state) == (made.id, "active")
        final = await self.server.delete_endpoint(made.id)
        assert (final.id, final.state) == (made.id, "ended")
        await self.refused(self.server.statistics(made.id), 404)
        await self.refused(self.server.delete_endpoint(made.id), 404)

    async def test_an_endpoint_offers(self) -> None:
        """Early answers may be given until a final one, which may be repeated."""
        made = await self.server.create_endpoint(CreateEndpoint())
        assert (await self.server.statistics(made.id)).state == "offering"
        await self.server.answer(made.id, Answer(sdp=answer_to(made.sdp, 40012), final=False))
        assert (await self.server.statistics(made.id)).state == "early"
        final = Answer(sdp=answer_to(made.sdp))
        await self.server.answer(made.id, final)
        await self.server.answer(made.id, final)
        assert (await self.server.statistics(made.id)).state == "active"
        await self.refused(self.server.answer(made.id, Answer(sdp=answer_to(made.sdp, 40014))), 409)

    async def test_descriptions_that_cannot_be_used(self) -> None:
        """Text that is no description, and one with nothing in common."""
        await self.refused(self.server.create_endpoint(CreateEndpoint(sdp="hello")), 422)
        foreign = offer().replace("8 0 101", "96").replace("a=rtpmap:8 PCMA", "a=rtpmap:96 NONE")
        await self.refused(self.server.create_endpoint(CreateEndpoint(sdp=foreign)), 488)
        await self.refused(self.server.create_endpoint(CreateEndpoint(codecs=["NONE"])), 488)
        endpoint = await self.answering()
        await self.refused(self.server.offer(endpoint, Offer(sdp="hello")), 422)

    async def test_a_new_offer_of_the_peer(self) -> None:
        """It is answered; hold is seen."""
        endpoint = await self.answering()
        described = await self.server.offer(endpoint, Offer(sdp=offer(40002, "sendonly")))
        assert parse(described.sdp).media[0].port > 0
        assert "a=recvonly" in described.sdp
        assert (await self.server.statistics(endpoint)).state == "held"

    async def test_a_new_offer_of_ours(self) -> None:
        """It has the direction that was asked for, excludes others, and can be rolled back or answered."""
        endpoint = await self.answering()
        await self.refused(self.server.rollback(endpoint), 409)
        described = await self.can(self.server.make_offer(endpoint, MakeOffer(direction="sendonly")))
        assert "a=sendonly" in described.sdp
        await self.refused(self.server.offer(endpoint, Offer(sdp=offer())), 409)
        await self.refused(self.server.make_offer(endpoint, MakeOffer()), 409)
        await self.server.rollback(endpoint)
        again = await self.server.make_offer(endpoint, MakeOffer())
        await self.server.answer(endpoint, Answer(sdp=answer_to(again.sdp)))
        await self.refused(self.server.rollback(endpoint), 409)

    async def test_what_is_not_there(self) -> None:
        """Each command about an unknown thing is 404."""
        server = self.server
        for doing in (
            server.answer("none", Answer(sdp=offer())),
            server.offer("none", Offer(sdp=offer())),
            server.make_offer("none", MakeOffer()),
            server.rollback("none"),
            server.play("none", Play(source=self.prompt)),
            server.stop("none", "play", "none"),
            server.unbridge("none"),
            server.bridge(CreateBridge(endpoints=["none", "other"])),
            server.delete_conference("none"),
            server.recording("none"),
            server.renew_lease("none"),
            server.create_endpoint(CreateEndpoint(lease="none")),
        ):
            await self.refused(doing, 404, 501)

    async def test_limits(self) -> None:
        """What breaks a limit of the schema is refused, and reaches nobody."""
        await self.refused(self.server.create_endpoint(CreateEndpoint(sdp="x" * 40_000)), 400, 413)
        endpoint = await self.answering()
        await self.refused(self.server.play(endpoint, Play(source="")), 400)
        await self.refused(self.server.send_dtmf(endpoint, Dtmf(digits="hello")), 400)
        await self.refused(self.server.bridge(CreateBridge(endpoints=[endpoint])), 400)

    # Joining

    async def test_a_bridge(self) -> None:
        """Two endpoints, once; it goes with either."""
        one, other = await self.answering(40000), await self.answering(40004)
        bridge = await self.can(self.server.bridge(CreateBridge(endpoints=[one, other])))
        assert (await self.server.statistics(one)).bridge == bridge.id
        third = await self.answering(40008)
        await self.refused(self.server.bridge(CreateBridge(endpoints=[one, third])), 409)
        await self.server.unbridge(bridge.id)
        again = await self.server.bridge(CreateBridge(endpoints=[one, third]))
        await self.server.delete_endpoint(third)
        assert (await self.server.statistics(one)).bridge == ""
        await self.refused(self.server.unbridge(again.id), 404)

    async def test_a_conference(self) -> None:
        """Members come and go; a locked or full one takes nobody."""
        server = self.server
        made = await self.can(server.create_conference(CreateConference(name="sales", rate=16000)))
        one, other = await self.answering(40000), await self.answering(40004)
        await server.join(made.id, one, Member())
        await server.join(made.id, one, Member(mute=True, gain=-6.0))
        assert (await server.statistics(one)).conferences == [made.id]
        await server.update_conference(made.id, Conference(max_members=1))
        await self.refused(server.join(made.id, other, Member()), 409)
        await server.update_conference(made.id, Conference(max_members=5, locked=True))
        await self.refused(server.join(made.id, other, Member()), 409)
        await server.update_conference(made.id, Conference(locked=False))
        await server.join(made.id, other, Member(role="whisper", to=[one]))
        await server.leave(made.id, one)
        await self.refused(server.leave(made.id, one), 404)
        await server.delete_conference(made.id)
        assert (await server.statistics(other)).conferences == []

    # Doing

    async def test_a_prompt(self) -> None:
        """It ends by itself, or is stopped; an event tells."""
        endpoint = await self.answering()
        played = await self.can(self.server.play(endpoint, Play(source=self.prompt)))
        await self.let_pass(self.prompt_seconds)
        finished = await self.heard(PlayFinishedEvent)
        assert (finished.endpoint, finished.play, finished.reason) == (endpoint, played.id, "end")
        self.events.clear()
        looping = await self.server.play(endpoint, Play(source=self.prompt, loop=True))
        await self.server.stop(endpoint, "play", looping.id)
        assert (await self.heard(PlayFinishedEvent)).reason == "stopped"
        await self.refused(self.server.stop(endpoint, "play", looping.id), 404)

    async def test_all_at_once(self) -> None:
        """An endpoint does many things at the same time; its report lists them."""
        server, endpoint = self.server, await self.answering()
        started = [
            ("echo", (await self.can(server.echo(endpoint))).id),
            ("block_dtmf", (await self.can(server.block_dtmf(endpoint))).id),
            ("moh", (await self.can(server.moh(endpoint))).id),
            ("record", (await self.can(server.record(endpoint, Record()))).id),
            ("stream", (await self.can(server.stream(endpoint, Stream(url="ws://127.0.0.1:9/")))).id),
        ]
        report = await server.statistics(endpoint)
        listed = [(each.kind, each.id) for each in report.activities]
        assert set(listed) >= set(started[:4]), listed
        for kind, id_ in started[:4]:
            await server.stop(endpoint, kind, id_)
        await server.send_dtmf(endpoint, Dtmf(digits="12#"))

    async def test_digits_are_collected(self) -> None:
        """Until there are enough, or the terminator; an event has them."""
        endpoint = await self.answering()
        collected = await self.can(self.server.collect(endpoint, Collect(max_digits=4)))
        await self.refused(self.server.collect(endpoint, Collect(max_digits=4)), 409)
        await self.press(endpoint, "12#")
        await self.let_pass(self.patience)
        results = [event for event in self.events if isinstance(event, DtmfEvent)]
        assert [each.digit for each in results[:-1]] == ["1", "2", "#"]
        last = results[-1]
        assert (last.collect, last.digits, last.reason) == (collected.id, "12", "terminator")
        self.events.clear()
        await self.server.collect(endpoint, Collect(max_digits=4, first_timeout=0.1))
        await self.let_pass(0.1)
        assert (await self.heard(DtmfEvent)).reason == "first_timeout"

    async def test_a_digit_barges_in(self) -> None:
        """A prompt that may be interrupted is."""
        endpoint = await self.answering()
        await self.can(self.server.play(endpoint, Play(source="silence", barge_in=True)))
        await self.press(endpoint, "5")
        assert (await self.heard(PlayFinishedEvent)).reason == "barge_in"

    async def test_a_recording(self) -> None:
        """It is paused, goes on, and outlives its endpoint."""
        server, endpoint = self.server, await self.answering()
        recording = (await self.can(server.record(endpoint, Record(stereo=True)))).id
        await server.pause_recording(recording, Pause(mode="cut"))
        assert (await server.recording(recording)).state == "paused"
        await server.resume_recording(recording)
        await self.refused(server.delete_recording(recording), 409)
        await server.delete_endpoint(endpoint)
        finished = await self.heard(RecordingFinishedEvent)
        assert (finished.recording, finished.reason) == (recording, "ended")
        assert (await server.recording(recording)).state == "finished"
        await self.refused(server.pause_recording(recording, Pause()), 409)
        await server.delete_recording(recording)
        await self.refused(server.recording(recording), 404)

    # Owning

    async def test_a_lease_that_lapses(self) -> None:
        """What it holds ends with it, and nothing else."""
        server = self.server
        lease = await self.can(server.create_lease(CreateLease(ttl=1.0)))
        held, free = await self.answering(40000, lease=lease.id), await self.answering(40004)
        listed = await server.endpoints(EndpointQuery(lease=lease.id))
        assert [each.id for each in listed.endpoints] == [held]
        await self.let_pass(0.6)
        assert (await server.renew_lease(lease.id)).ttl == 1.0
        await self.let_pass(0.6)
        await server.statistics(held)
        await self.let_pass(0.5)
        expired = await self.heard(LeaseExpiredEvent)
        assert (expired.lease, expired.endpoints) == (lease.id, [held])
        await self.refused(server.statistics(held), 404)
        await server.statistics(free)
        await self.refused(server.renew_lease(lease.id), 404)

    async def test_an_older_owner_is_refused(self) -> None:
        """A later epoch takes over; the one before it, and another owner in the same one, get 409."""
        first, second = FencingToken("node-1", 1), FencingToken("node-2", 2)
        made = await self.server.create_endpoint(CreateEndpoint(sdp=offer()), fence=first)
        await self.server.offer(made.id, Offer(sdp=offer()), fence=first)
        await self.server.offer(made.id, Offer(sdp=offer()), fence=second)
        error = await self.refused(self.server.offer(made.id, Offer(sdp=offer()), fence=first), 409)
        assert "node-2" in error.reason
        other = FencingToken("node-3", 2)
        await self.refused(self.server.delete_endpoint(made.id, fence=other), 409)
        await self.server.statistics(made.id, fence=first)
        await self.server.delete_endpoint(made.id, fence=second)

    async def test_pages(self) -> None:
        """Endpoints are listed in pages."""
        for port in (40000, 40002, 40004):
            await self.answering(port)
        first = await self.can(self.server.endpoints(EndpointQuery(limit=2)))
        assert len(first.endpoints) == 2
        second = await self.server.endpoints(EndpointQuery(limit=2, after=first.next))
        assert (len(second.endpoints), second.next) == (1, "")

    async def test_stats(self) -> None:
        """How the server is doing."""
        before = await self.can(self.server.stats())
        await self.answering()
        after = await self.server.stats()
        assert after.endpoints == before.endpoints + 1
        assert 0.0 <= after.load <= 1.0
        assert after.draining is False
