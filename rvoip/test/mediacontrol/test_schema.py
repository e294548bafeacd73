"""The values of the media server's API, ownership, places and outcomes."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.mediacontrol import schema
from rvoip.mediacontrol.control import FrameError, decode_command, decode_incoming
from rvoip.mediacontrol.errors import (
    MediaError,
    MediaLost,
    MediaRefused,
    MediaUnavailable,
    MediaUnsupported,
)
from rvoip.mediacontrol.events import EVENTS, DtmfEvent, decode_event
from rvoip.mediacontrol.operations import operation
from rvoip.mediacontrol.outcome import lost, outcome
from rvoip.mediacontrol.ownership import FencingToken, Leases, admit
from rvoip.mediacontrol.place import Place


class RequestTests(SynchronousTestCase):
    def test_what_breaks_a_limit(self) -> None:
        for value in (
            schema.CreateEndpoint(sdp=""),
            schema.CreateEndpoint(codecs=[]),
            schema.CreateEndpoint(codecs=["PCMU"] * 33),
            schema.CreateEndpoint(codecs=["PC MU"]),
            schema.CreateEndpoint(lease="a/b"),
            schema.CreateEndpoint(lease="a\n"),
            schema.CreateEndpoint(interface="\u0661"),
            schema.Collect(max_digits=0),
            schema.Collect(max_digits=5, terminator="##"),
            schema.Collect(max_digits=5, first_timeout=float("nan")),
            schema.Dtmf(digits="5E"),
            schema.Dtmf(digits="\u0665"),
            schema.Member(gain=21.0),
            schema.Play(source="a\r\nb"),
            schema.Stream(url="http://example.test/"),
            schema.CreateLease(ttl=0.5),
            schema.CreateBridge(endpoints=["a", "b", "c"]),
            schema.CreateEndpoint(sdp="\ud800"),
        ):
            self.assertRaises(ValueError, schema.check, value)

    def test_what_keeps_them(self) -> None:
        for value in (
            schema.CreateEndpoint(
                sdp="v=0", codecs=["opus/48000/2", "PCMU"], interface="inside", lease="l-1"
            ),
            schema.Dtmf(digits="0123456789*#ABCD"),
            schema.Collect(max_digits=4, terminator=""),
            schema.Stream(url="wss://example.test/audio?x=1", format="twilio"),
            schema.Conference(locked=True),
        ):
            schema.check(value)

    def test_requests_are_strict_and_answers_are_not(self) -> None:
        self.assertRaises(
            msgspec.ValidationError, msgspec.json.decode, b'{"sdp": "v=0", "x": 1}', type=schema.Offer
        )
        made = msgspec.json.decode(b'{"id": "e1", "sdp": "v=0", "new": 1}', type=schema.Endpoint)
        self.assertEqual((made.id, made.local), ("e1", ""))


class EventTests(SynchronousTestCase):
    def test_there_are_the_nine(self) -> None:
        names = [each.__struct_config__.tag for each in EVENTS]
        self.assertEqual(
            names,
            "dtmf speaking silence play_finished recording_finished recording_failed media_timeout quality"
            " lease_expired".split(),
        )

    def test_there_and_back(self) -> None:
        event = DtmfEvent(endpoint="e1", time=1.5, digit="5", duration_ms=80)
        written = msgspec.json.encode(event)
        self.assertEqual(written, b'{"event":"dtmf","endpoint":"e1","time":1.5,"digit":"5","duration_ms":80}')
        self.assertEqual(decode_event(written), event)
        for bad in (b"", b"[]", b'{"event": "other", "time": 1}', b'{"event": "dtmf"}', b"\xff"):
            self.assertRaises(ValueError, decode_event, bad)


class OwnershipTests(SynchronousTestCase):
    def test_tokens(self) -> None:
        self.assertEqual(FencingToken.parse("b2bua-1:17"), FencingToken("b2bua-1", 17))
        self.assertEqual(str(FencingToken("a", 1)), "a:1")
        for bad in ("", "a", ":1", "a:0", "a:-1", "a:1_0", "a:\u0661", "a b:1", "a:1\n", "a:" + "9" * 16):
            self.assertRaises(MediaRefused, FencingToken.parse, bad)

    def test_who_is_admitted(self) -> None:
        one, two = FencingToken("a", 1), FencingToken("b", 2)
        self.assertEqual(admit(None, one), one)
        self.assertEqual(admit(one, None), one)
        self.assertEqual(admit(one, two), two)
        self.assertEqual(admit(two, two), two)
        for late in (one, FencingToken("c", 2)):
            self.assertEqual(self.assertRaises(MediaRefused, admit, two, late).status, 409)

    def test_leases(self) -> None:
        leases = Leases(most=2)
        leases.create("a", 10.0, 0.0)
        leases.create("b", 20.0, 0.0)
        self.assertRaises(MediaUnavailable, leases.create, "c", 1.0, 0.0)
        self.assertEqual(leases.deadline, 10.0)
        self.assertEqual(leases.renew("a", 9.0), 10.0)
        self.assertEqual(leases.expire(18.9), [])
        self.assertEqual(leases.expire(19.0), ["a"])
        self.assertEqual((len(leases), leases.deadline), (1, 20.0))
        self.assertEqual(self.assertRaises(MediaRefused, leases.renew, "a", 19.0).status, 404)
        leases.check("")
        self.assertRaises(MediaRefused, leases.check, "a")


class PlaceTests(SynchronousTestCase):
    def test_urls(self) -> None:
        for url, authority, base in (
            ("http://127.0.0.1:8090", "127.0.0.1:8090", "http://127.0.0.1:8090"),
            ("https://media.example.test/", "media.example.test", "https://media.example.test"),
            ("http://[::1]:80", "[::1]", "http://[::1]"),
            ("unix:/run/media", "localhost", "http://localhost"),
        ):
            place = Place.parse(url)
            self.assertEqual((place.authority, place.base), (authority, base))
        for bad in (
            "", "media", "ftp://a", "http://", "http://a:0", "http://a:99999", "http://a/b", "http://u@a",
            "unix:relative", "unix:/a\0b", "unix:/" + "a" * 107, "http://a:\u0661", "http://a\n",
        ):  # fmt: skip
            self.assertRaises(ValueError, Place.parse, bad)

    def test_targets(self) -> None:
        self.assertEqual(operation("stats").target(()), "/v1/stats")
        self.assertEqual(operation("stop_play").target(("e1", "a/b c")), "/v1/endpoints/e1/play/a%2Fb%20c")
        query = schema.EndpointQuery(lease="l1", limit=5)
        self.assertEqual(operation("endpoints").target((), query), "/v1/endpoints?lease=l1&limit=5")
        self.assertEqual(operation("endpoints").target((), schema.EndpointQuery()), "/v1/endpoints")


class OutcomeTests(SynchronousTestCase):
    def test_what_an_answer_is(self) -> None:
        make, stop = operation("create_endpoint"), operation("stop_play")
        self.assertEqual(outcome(make, 201, b'{"id": "e1", "sdp": "v=0"}').id, "e1")
        self.assertIsNone(outcome(stop, 204, b""))
        for status, kind in (
            (404, MediaRefused),
            (501, MediaUnsupported),
            (503, MediaUnavailable),
            (500, MediaError),
        ):
            error = self.assertRaises(kind, outcome, make, status, b'{"title": "T", "detail": "why\\n"}')
            self.assertEqual((error.status, error.reason), (status, "why?"))
        for status, body in ((201, b"x"), (201, b"{}"), (302, b""), (700, b"\xff")):
            self.assertEqual(self.assertRaises(MediaError, outcome, make, status, body).status, 502)
        self.assertEqual(
            self.assertRaises(MediaRefused, outcome, make, 400, b"x").reason, "the media server answers 400"
        )

    def test_what_is_gone_already_was_removed(self) -> None:
        stop, end, back = operation("stop_play"), operation("delete_endpoint"), operation("rollback")
        self.assertIsNone(outcome(stop, 404, b"", is_repeated=True))
        self.assertIsNone(outcome(back, 409, b"", is_repeated=True))
        self.assertRaises(MediaLost, outcome, end, 404, b"", is_repeated=True)
        self.assertRaises(MediaRefused, outcome, stop, 404, b"")
        self.assertRaises(MediaRefused, outcome, end, 409, b"", is_repeated=True)

    def test_lost(self) -> None:
        sent = lost(operation("play"), "http://a", True, "x")
        self.assertIsInstance(sent, MediaLost)
        never = lost(operation("play"), "http://a", False, "x")
        self.assertNotIsInstance(never, MediaLost)
        self.assertIsInstance(never, MediaUnavailable)


class FrameTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
    def test_nothing_but_a_frame_error(self, data: bytes) -> None:
        for decode in (decode_command, decode_incoming):
            try:
                decode(data)
            except FrameError:
                pass
