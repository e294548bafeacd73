"""rtpengine as a media server, against an engine that keeps books: the contract, and how a bridge is made."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from rvoip.mediacontrol.errors import MediaRefused, MediaUnsupported
from rvoip.mediacontrol.far_side import Far, answer_for, codec_of, far_of, offer_of, shares
from rvoip.mediacontrol.rtpengine import RTPEngine
from rvoip.mediacontrol.rtpengine_server import RTPEngineServer
from rvoip.mediacontrol.schema import (
    Answer,
    Collect,
    CreateBridge,
    CreateConference,
    CreateEndpoint,
    CreateLease,
    Play,
    Record,
)
from rvoip.protocols.sdp.session import parse
from rvoip.test.mediacontrol.engine import FakeEngine
from rvoip.testing.media_contract import MediaServerContract, answer_to, offer

HOST = "127.0.87.1"


class TalkingEngine(FakeEngine):
    """Knows files and statistics too, and keeps each side of a call at one port."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.ports: dict[tuple[str, str], int] = {}

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        name = command["command"].decode()
        done = super()._do(command)
        sdp = command.get("sdp", b"").decode()
        if name in ("offer", "answer") and "m=audio" not in sdp:
            return {"result": "error", "error-reason": "Failed to parse SDP"}
        if name in ("offer", "answer"):
            call, sender = command["call-id"].decode(), command["from-tag"].decode()
            receiver = {"peer": "far", "far": "peer"}[sender] if name == "offer" else sender
            port = self.ports.setdefault((call, receiver), 30000 + 2 * len(self.ports))
            direction = next(
                each for each in ("sendonly", "recvonly", "inactive", "sendrecv") if f"a={each}" in sdp
            )
            done["sdp"] = offer_of(Far("IP4", self.host, port), 1, direction)
        elif name == "play media":
            done["duration"] = 50
        elif name == "query":
            stream = {"stats": {"packets": 7, "bytes": 1204}}
            done["tags"] = {"peer": {"medias": [{"streams": [stream]}]}, "far": "nonsense"}
        return done


class ContractTests(MediaServerContract, TestCase):
    beyond = (
        "test_a_conference",
        "test_a_digit_barges_in",
        "test_a_lease_that_lapses",
        "test_a_recording",
        "test_all_at_once",
        "test_digits_are_collected",
    )
    prompt_seconds = 0.05
    patience = 1.0

    async def provider(self) -> Any:
        self.engine = TalkingEngine(HOST)
        port = reactor.listenUDP(0, self.engine, HOST)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        tokens = iter(f"t{number}" for number in range(1_000_000))
        client = RTPEngine(reactor, (HOST, port.getHost().port), lambda: next(tokens))
        client.open()
        self.addCleanup(client.close)
        return RTPEngineServer(
            reactor, client, lambda: "m", prompts="/srv/prompts", capacity=5, wall_now=lambda: 0.0
        )

    def last(self, command: str, call: str) -> dict[str, Any]:
        """The last command of a name about a call."""
        found = [
            each
            for each in self.engine.arguments
            if each["command"].decode() == command and each["call-id"].decode() == call
        ]
        return found[-1]

    async def test_a_bridge_aims_the_far_sides_at_each_other(self) -> None:
        server = self.server
        one = await server.create_endpoint(CreateEndpoint(sdp=offer()))
        other = await server.create_endpoint(CreateEndpoint(codecs=["PCMU", "opus"]))
        self.assertEqual(self.last("offer", other.id)["codec"], {"transcode": [b"PCMU", b"opus"]})
        await self.refused(server.bridge(CreateBridge(endpoints=[one.id, other.id])), 409)
        await server.answer(other.id, Answer(sdp=answer_to(other.sdp)))
        self.assertEqual(far_of(self.last("answer", one.id)["sdp"].decode()).port, 9)
        bridge = await server.bridge(CreateBridge(endpoints=[one.id, other.id]))
        ports = self.engine.ports
        self.assertEqual(far_of(self.last("answer", one.id)["sdp"].decode()).port, ports[other.id, "far"])
        self.assertEqual(far_of(self.last("offer", other.id)["sdp"].decode()).port, ports[one.id, "far"])
        await server.unbridge(bridge.id)
        self.assertEqual(far_of(self.last("answer", one.id)["sdp"].decode()).port, 9)
        self.assertEqual(far_of(self.last("offer", other.id)["sdp"].decode()).port, 9)
        report = await server.delete_endpoint(one.id)
        self.assertEqual((report.received.packets, report.sent.packets), (7, 0))
        self.assertNotIn(one.id, self.engine.calls)

    async def test_a_failed_endpoint_leaves_no_call(self) -> None:
        await self.refused(self.server.create_endpoint(CreateEndpoint(sdp="hello")), 422)
        self.assertEqual(self.engine.calls, set())
        self.assertEqual((await self.server.stats()).endpoints, 0)

    async def test_files_stay_in_their_folder(self) -> None:
        endpoint = await self.answering()
        await self.server.play(endpoint, Play(source="a.wav", offset_ms=10))
        played = self.last("play media", endpoint)
        self.assertEqual((played["file"], played["start-pos"]), (b"/srv/prompts/a.wav", 10))
        await self.server.delete_endpoint(endpoint)
        endpoint = await self.answering()
        for source in ("../a.wav", "/etc/passwd", ".hidden", "a/b.wav", "https://example.test/a.wav"):
            await self.assertFailure(self.server.play(endpoint, Play(source=source)), MediaUnsupported)

    async def test_what_ng_has_no_word_for(self) -> None:
        endpoint = await self.answering()
        server = self.server
        for doing in (
            server.create_conference(CreateConference()),
            server.create_lease(CreateLease()),
            server.collect(endpoint, Collect(max_digits=1)),
            server.echo(endpoint),
            server.moh(endpoint),
            server.record(endpoint, Record(stereo=True)),
            server.create_endpoint(CreateEndpoint(sdp=offer(), codecs=["PCMU"])),
            server.create_endpoint(CreateEndpoint(lease="l1")),
        ):
            error = await self.assertFailure(doing, MediaUnsupported)
            self.assertEqual(error.status, 501)

    async def test_recordings_and_digits_are_begun_and_ended(self) -> None:
        endpoint = await self.answering()
        for begin, kind, commands in (
            (self.server.block_dtmf, "block_dtmf", ("block DTMF", "unblock DTMF")),
            (partial(self.server.record, request=Record()), "record", ("start recording", "stop recording")),
        ):
            started = await begin(endpoint)
            await self.server.stop(endpoint, kind, started.id)
            self.assertEqual(tuple(name for name, _ in self.engine.commands[-2:]), commands)

    async def test_it_is_full(self) -> None:
        for _ in range(5):
            await self.answering()
        await self.refused(self.server.create_endpoint(CreateEndpoint()), 503)


class FarSideTests(SynchronousTestCase):
    far = Far("IP4", "192.0.2.1", 30000)

    def test_offers(self) -> None:
        written = parse(offer_of(self.far, 3, "sendonly"), strict=True)
        self.assertEqual([each.encoding for each in written.media[0].codecs], ["PCMA", "telephone-event"])
        self.assertEqual((written.media[0].port, str(written.origin)), (30000, "- 1 3 IN IP4 192.0.2.1"))

    def test_answers(self) -> None:
        offered = offer(direction="sendonly") + "m=video 4 RTP/AVP 96\r\na=sendrecv\r\n"
        written = parse(answer_for(offered, self.far, 1), strict=True)
        self.assertEqual([media.port for media in written.media], [30000, 0])
        self.assertEqual(written.media[0].formats, ("8", "101"))
        self.assertIn("a=recvonly", str(written))
        for bad in ("", offer().replace("8 0 101", "0"), "m=audio\r\n", "m=\r\n"):
            self.assertRaises(MediaRefused, answer_for, bad, self.far, 1)

    def test_what_a_description_says(self) -> None:
        self.assertEqual(far_of(offer(40000)), Far("IP4", "127.0.0.1", 40000))
        self.assertEqual(self.far.nowhere.port, 9)
        for bad in ("", "m=audio 4 RTP/AVP 0\r\n", offer(0), offer(99999)):
            self.assertRaises(MediaRefused, far_of, bad)
        self.assertEqual(codec_of(offer()), "PCMA")
        self.assertEqual(codec_of("m=audio 4 RTP/AVP 0\r\n"), "PCMU")
        self.assertEqual(codec_of(""), "")
        self.assertTrue(shares(offer(), offer()))
        self.assertFalse(shares(offer(), "m=audio 4 RTP/AVP 96\r\n"))
