"""The fake media server keeps the contract, and does what a test asks of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from rvoip.mediacontrol.errors import MediaError, MediaRefused, MediaUnavailable
from rvoip.mediacontrol.events import (
    MediaTimeoutEvent,
    QualityEvent,
    RecordingFailedEvent,
    SilenceEvent,
    SpeakingEvent,
)
from rvoip.mediacontrol.schema import (
    CreateConference,
    CreateEndpoint,
    Member,
    Pause,
    Play,
    Record,
)
from rvoip.protocols.sdp.session import parse
from rvoip.testing.media import FakeMediaServer
from rvoip.testing.media_contract import MediaServerContract, offer


class ContractTests(MediaServerContract, TestCase):
    """In memory, on a clock that the test turns."""

    async def provider(self) -> Any:
        self.clock = Clock()
        self.fake = FakeMediaServer(self.clock)
        return self.fake

    async def let_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def press(self, endpoint: str, digits: str) -> None:
        self.fake.press(endpoint, digits)


class ScriptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fake = FakeMediaServer(self.clock, "m1", prompts={"hello.wav": 2.0}, capacity=2)
        self.events: list[Any] = []
        self.missed: list[str] = []
        self.fake.subscribe(self.events.append, self.missed.append)

    def make(self) -> str:
        made = self.successResultOf(self.fake.create_endpoint(CreateEndpoint(sdp=offer())))
        return str(made.id)

    def fails(self, doing: Any) -> MediaError:
        error: MediaError = self.failureResultOf(doing, MediaError).value
        return error

    def test_ids_and_descriptions(self) -> None:
        made = self.successResultOf(self.fake.create_endpoint(CreateEndpoint(sdp=offer())))
        self.assertEqual((made.id, made.local), ("m1-e1", "192.0.2.10:20002"))
        answer = parse(made.sdp)
        self.assertEqual(str(answer.origin), "- 1 1 IN IP4 192.0.2.10")
        self.assertEqual([each.encoding for each in answer.media[0].codecs], ["PCMA", "telephone-event"])
        offered = self.successResultOf(self.fake.create_endpoint(CreateEndpoint(codecs=["PCMU", "opus"])))
        self.assertEqual(
            [each.encoding for each in parse(offered.sdp).media[0].codecs],
            ["PCMU", "opus", "telephone-event"],
        )

    def test_a_secure_offer_gets_a_secure_answer(self) -> None:
        sdp = offer().replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + (
            "a=mid:0\r\na=rtcp-mux\r\na=setup:actpass\r\na=fingerprint:sha-256 "
            + ":".join(["AB"] * 32)
            + "\r\nm=video 40002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"
        )
        made = self.successResultOf(self.fake.create_endpoint(CreateEndpoint(sdp=sdp)))
        audio, video = parse(made.sdp).media
        self.assertTrue(audio.uses_dtls and audio.rtcp_mux)
        self.assertEqual(audio.mid, "0")
        self.assertTrue(video.is_rejected)
        sdes = offer().replace("RTP/AVP", "RTP/SAVP") + (
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"
        )
        self.fake.draining = False
        made = self.successResultOf(self.fake.create_endpoint(CreateEndpoint(sdp=sdes)))
        self.assertEqual(parse(made.sdp).media[0].cryptos[0].suite, "AES_CM_128_HMAC_SHA1_80")

    def test_refusals_on_demand(self) -> None:
        endpoint = self.make()
        self.fake.refuse("play", MediaRefused("broken", 500), times=2)
        for _ in range(2):
            self.assertEqual(self.fails(self.fake.play(endpoint, Play(source="hello.wav"))).status, 500)
        self.successResultOf(self.fake.play(endpoint, Play(source="hello.wav")))
        self.assertEqual(self.fails(self.fake.play(endpoint, Play(source="none.wav"))).status, 404)
        self.assertEqual([name for name, *_ in self.fake.performed], ["create_endpoint", *["play"] * 4])

    def test_full_draining_late_and_down(self) -> None:
        self.make(), self.make()
        self.assertEqual(self.successResultOf(self.fake.stats()).load, 1.0)
        self.assertIsInstance(self.fails(self.fake.create_endpoint(CreateEndpoint())), MediaUnavailable)
        self.successResultOf(self.fake.delete_endpoint("m1-e1"))
        self.fake.draining = True
        self.assertEqual(self.fails(self.fake.create_endpoint(CreateEndpoint())).status, 503)
        self.fake.late = 0.5
        stats = self.fake.stats()
        self.assertNoResult(stats)
        self.clock.advance(0.5)
        self.assertTrue(self.successResultOf(stats).draining)
        self.fake.late = 0.0
        self.fake.crash()
        self.assertEqual(self.missed, ["the media server has crashed"])
        self.assertIsInstance(self.fails(self.fake.stats()), MediaUnavailable)
        self.fake.down = False
        self.assertEqual(self.successResultOf(self.fake.stats()).endpoints, 0)

    def test_scripted_events(self) -> None:
        endpoint = self.make()
        conference = self.successResultOf(self.fake.create_conference(CreateConference())).id
        self.successResultOf(self.fake.join(conference, endpoint, Member()))
        self.fake.speak(endpoint)
        self.fake.hush(endpoint)
        self.fake.lose_media(endpoint, 30.0)
        self.fake.degrade(endpoint, 2.5)
        recording = self.successResultOf(self.fake.record(endpoint, Record())).id
        self.fake.activities.fail_recording(recording, "no space left on device")
        self.assertEqual(
            [type(event) for event in self.events],
            [SpeakingEvent, SilenceEvent, MediaTimeoutEvent, QualityEvent, RecordingFailedEvent],
        )
        self.assertEqual(self.events[0].conference, conference)
        self.assertEqual(self.successResultOf(self.fake.statistics(endpoint)).mos, 2.5)
        self.assertEqual(self.successResultOf(self.fake.recording(recording)).state, "failed")

    def test_what_is_cut_is_not_in_the_recording(self) -> None:
        endpoint = self.make()
        recording = self.successResultOf(self.fake.record(endpoint, Record(max_seconds=10.0))).id
        self.clock.advance(2.0)
        self.successResultOf(self.fake.pause_recording(recording, Pause(mode="cut")))
        self.clock.advance(3.0)
        self.successResultOf(self.fake.resume_recording(recording))
        self.clock.advance(5.0)
        self.assertEqual((self.events[-1].seconds, self.events[-1].reason), (7.0, "max_seconds"))
        self.successResultOf(self.fake.play(endpoint, Play(source=f"recording:{recording}", offset_ms=1000)))
        self.clock.advance(6.0)
        self.assertEqual((self.events[-1].played_ms, self.events[-1].reason), (6000, "end"))
        self.fake.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
