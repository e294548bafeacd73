"""The ring of recent messages: what it keeps, what it forgets, and what it shows."""

from __future__ import annotations

import tracemalloc

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.trace.messages import ALICE, BOB, PROXY, request, response
from rvoip.trace.ring import LONGEST, CallSummary, MessageRing

CREDENTIALS = (
    'Proxy-Authorization: Digest username="alice", realm="example.test", nonce="n0nce", '
    'uri="sip:bob@example.test", response="0123456789abcdef0123456789abcdef"'
)
KEYED = "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0IGtleSBtYXRlcmlhbCEhISEhISEhISEh\r\n"


def fill(ring: MessageRing, call_id: str, count: int = 1, data: bytes | None = None) -> None:
    for number in range(count):
        ring.add(
            call_id,
            float(number),
            False,
            "UDP",
            PROXY,
            ALICE,
            request("INFO", call_id) if data is None else data,
        )


class KeepingTests(SynchronousTestCase):
    def test_messages_are_shown_in_their_order_with_both_ends(self) -> None:
        ring = MessageRing(10)
        ring.add("c1", 1000.5, False, "UDP", PROXY, ALICE, request("INVITE"))
        ring.add("c1", 1000.6, True, "TCP", PROXY, BOB, request("INVITE"))
        first, second = ring.messages("c1")
        self.assertEqual(
            first,
            {
                "at": 1000.5,
                "direction": "in",
                "transport": "UDP",
                "source": "127.0.0.2:5070",
                "destination": PROXY,
                "size": len(request("INVITE")),
                "summary": "INVITE",
                "text": request("INVITE").decode(),
            },
        )
        self.assertEqual(
            (second["direction"], second["transport"], second["source"], second["destination"]),
            ("out", "TCP", PROXY, "127.0.0.3:5080"),
        )

    def test_an_ipv6_peer_has_brackets(self) -> None:
        ring = MessageRing(10)
        ring.add("c1", 0.0, False, "UDP", "[::1]:5060", ("2001:db8::1", 5060), request("INVITE"))
        self.assertEqual(ring.messages("c1")[0]["source"], "[2001:db8::1]:5060")

    def test_an_unknown_call_has_no_messages(self) -> None:
        ring = MessageRing(10)
        self.assertEqual(ring.messages("nobody"), [])
        self.assertEqual(ring.left_out("nobody"), 0)
        self.assertEqual(ring.calls(), [])

    def test_the_calls_that_began_first_are_forgotten(self) -> None:
        ring = MessageRing(3)
        for name in "abcde":
            fill(ring, name, 2)
        self.assertEqual([call.call_id for call in ring.calls()], ["e", "d", "c"])
        self.assertEqual(len(ring), 3)
        self.assertEqual(ring.messages("a"), [])

    def test_a_long_call_keeps_its_first_and_its_last_messages(self) -> None:
        ring = MessageRing(3, per_call=6)
        fill(ring, "c1", 20)
        self.assertEqual([one["at"] for one in ring.messages("c1")], [0, 1, 2, 17, 18, 19])
        self.assertEqual(ring.left_out("c1"), 14)
        self.assertEqual(ring.calls()[0].messages, 20)

    def test_memory_is_bounded_in_octets(self) -> None:
        ring = MessageRing(1000, most_bytes=20_000)
        for number in range(100):
            fill(ring, f"call {number}", data=request("INFO") + b"x" * 2000)
        self.assertLessEqual(ring.size, 20_000)
        self.assertIn(len(ring), range(5, 10))
        self.assertEqual(ring.calls(1)[0].call_id, "call 99")

    def test_a_call_that_alone_is_too_large_is_not_kept(self) -> None:
        ring = MessageRing(10, most_bytes=5_000)
        fill(ring, "c1", 20)
        self.assertLessEqual(ring.size, 5_000)
        self.assertLess(len(ring.messages("c1")), 20)

    def test_a_huge_message_is_cut(self) -> None:
        ring = MessageRing(10)
        data = request("INVITE", body="v=0\r\n" + "x" * 60_000)
        fill(ring, "c1", data=data)
        self.assertLess(ring.size, LONGEST + 1000)
        (shown,) = ring.messages("c1")
        self.assertEqual((shown["summary"], shown["size"]), ("INVITE", len(data)))
        self.assertTrue(shown["text"].startswith("INVITE sip:bob@example.test SIP/2.0\r\n"))
        self.assertRegex(shown["text"], r"\r\n\[5\d\d\d\d more octets\]$")
        self.assertEqual(ring.calls()[0].from_, "sip:alice@example.test")

    def test_memory_of_many_calls_is_what_the_ring_says(self) -> None:
        tracemalloc.start()
        try:
            ring = MessageRing(500)
            for call in range(1000):
                for number in range(8):
                    call_id, peer = f"{call}@host", (ALICE[0], 10_000 + call)
                    ring.add(call_id, 0.5 + number, False, "UDP", PROXY, peer, request("INVITE", call_id))
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(len(ring), 500)
        self.assertTrue(0.8 < used / ring.size < 1.25, (used, ring.size))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.integers(1, 4),
        st.integers(1, 5),
        st.integers(0, 6000),
        st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2000)), max_size=60),
    )
    def test_no_order_of_messages_breaks_a_bound(
        self, keep: int, per_call: int, most: int, added: list[tuple[str, int]]
    ) -> None:
        ring = MessageRing(keep, per_call, most)
        for call_id, size in added:
            fill(ring, call_id, data=b"x" * size)
            self.assertLessEqual(len(ring), keep)
            self.assertLessEqual(ring.size, most)
            self.assertLessEqual(len(ring.messages(call_id)), per_call)
        for name in "abcdef":
            ring.left_out(name)
        while len(ring):
            ring._forget_oldest()
        self.assertEqual((ring.size, ring._left_out), (0, {}))


class SummaryTests(SynchronousTestCase):
    def summary(self, *messages: tuple[bool, bytes]) -> CallSummary:
        ring = MessageRing(10)
        for at, (outgoing, data) in enumerate(messages):
            ring.add("c1", float(at), outgoing, "UDP", PROXY, BOB if outgoing else ALICE, data)
        (call,) = ring.calls()
        return call

    def test_it_tells_who_called_whom(self) -> None:
        call = self.summary((False, request("INVITE")))
        self.assertEqual(
            msgspec.to_builtins(call),
            {
                "call_id": "c1",
                "from": "sip:alice@example.test",
                "to": "sip:bob@example.test",
                "started": 0.0,
                "messages": 1,
                "status": 0,
            },
        )

    def test_the_status_is_what_the_caller_was_told(self) -> None:
        invite = (False, request("INVITE"))
        forwarded = (True, request("INVITE"))
        cases: list[tuple[int, list[tuple[bool, bytes]]]] = [
            (180, [(True, response("100 Trying", "INVITE")), (True, response("180 Ringing", "INVITE"))]),
            # One branch answers, the other is cancelled after that.
            (
                200,
                [
                    (False, response("200 OK", "INVITE")),
                    (True, response("200 OK", "INVITE")),
                    (True, request("CANCEL")),
                    (False, response("200 OK", "CANCEL")),
                    (False, response("487 Request Terminated", "INVITE")),
                ],
            ),
            (
                486,
                [
                    (False, response("486 Busy Here", "INVITE")),
                    (True, request("ACK")),
                    (True, response("486 Busy Here", "INVITE")),
                ],
            ),
            (
                200,
                [
                    (True, response("407 Proxy Authentication Required", "INVITE")),
                    (False, request("INVITE", number=2)),
                    (True, response("200 OK", "INVITE", number=2)),
                    (False, request("BYE", number=3)),
                    (True, response("481 Call Does Not Exist", "BYE", number=3)),
                ],
            ),
        ]
        for status, rest in cases:
            self.assertEqual(self.summary(invite, forwarded, *rest).status, status)

    def test_a_call_of_ours_has_the_status_that_we_were_told(self) -> None:
        call = self.summary((True, request("MESSAGE")), (False, response("202 Accepted", "MESSAGE")))
        self.assertEqual(call.status, 202)

    def test_a_call_that_begins_with_a_response_has_no_status(self) -> None:
        self.assertEqual(self.summary((False, response("200 OK", "INVITE"))).status, 0)

    def test_what_cannot_be_read_does_no_harm(self) -> None:
        for data in (
            b"",
            b"\xff" * 40,
            b"SIP/2.0 200 OK\r\n\r\n",
            b"INVITE sip:b SIP/2.0\r\nFrom: <\r\nTo: \r\n\r\n",
        ):
            call = self.summary((False, data), (True, data))
            self.assertEqual((call.from_, call.to, call.status), ("", "", 0))

    def test_limit(self) -> None:
        ring = MessageRing(10)
        for name in "abc":
            fill(ring, name)
        self.assertEqual([call.call_id for call in ring.calls(2)], ["c", "b"])
        self.assertEqual(ring.calls(0), [])
        self.assertEqual(ring.calls(-1), [])


class ShowingTests(SynchronousTestCase):
    def shown(self, data: bytes) -> str:
        ring = MessageRing(10)
        fill(ring, "c1", data=data)
        return ring.messages("c1")[0]["text"]

    def test_credentials_are_not_shown(self) -> None:
        text = self.shown(request("INVITE", "c1", CREDENTIALS))
        self.assertIn("Proxy-Authorization: [redacted]\r\n", text)
        self.assertNotIn("0123456789abcdef", text)
        self.assertNotIn("n0nce", text)
        for line in (
            'Authorization: Digest username="a", response="0123456789abcdef0123456789abcdef"',
            'AUTHORIZATION : Digest username="a",\r\n response="0123456789abcdef0123456789abcdef"',
            "Authorization: Bearer 0123456789abcdef0123456789abcdef",
            "Identity: 0123456789abcdef0123456789abcdef;info=<https://example.test>",
            "y: 0123456789abcdef0123456789abcdef;info=<https://example.test>",
            "Y :\t0123456789abcdef\r\n 0123456789abcdef;info=<https://example.test>",
        ):
            self.assertNotIn("0123456789abcdef", self.shown(request("INVITE", "c1", line)), line)

    def test_media_keys_are_not_shown(self) -> None:
        text = self.shown(request("INVITE", "c1", "Content-Type: application/sdp", body=KEYED))
        self.assertNotIn("c2VjcmV0", text)
        self.assertIn("v=0\r\na=crypto:[redacted]\r\n", text)

    def test_a_line_of_a_body_is_no_header(self) -> None:
        self.assertIn("\r\ny: yes\r\n", self.shown(request("MESSAGE", body="x: no\r\ny: yes\r\n")))

    def test_the_kept_message_is_not_changed(self) -> None:
        ring = MessageRing(10)
        data = request("INVITE", "c1", CREDENTIALS)
        fill(ring, "c1", data=data)
        ring.messages("c1")
        self.assertEqual(ring._calls["c1"][0][5], data)

    def test_octets_that_are_no_text_are_escaped(self) -> None:
        text = self.shown(request("MESSAGE") + b"\xff\x00\xc3")
        self.assertTrue(text.endswith("\\xff\x00\\xc3"))
        text.encode()

    def test_a_call_is_found_by_what_is_shown_of_its_id(self) -> None:
        ring = MessageRing(10)
        for call_id in ("caf\udce9@host", "a\x1b[2J", "plain\\slash"):
            fill(ring, call_id, 3)
            shown = ring.calls(1)[0].call_id
            self.assertTrue(shown.isprintable())
            shown.encode()
            self.assertEqual(len(ring.messages(shown)), 3)
            self.assertEqual(len(ring.messages(call_id)), 3)
        self.assertEqual(ring.messages("caf\\udce8@host"), [])

    def test_labels(self) -> None:
        ring = MessageRing(10)
        sdp = "Content-Type: application/sdp"
        for data in (
            request("INVITE", "c1", sdp, body="v=0\r\n"),
            request("INVITE", "c1", "c: Application/SDP ;x=y", body="v=0\r\n"),
            request("INVITE", "c1", sdp),
            response("200 OK", "INVITE"),
            response("200 ", "BYE"),
            response("404 Not\x1b[2J\u202eFound", "BYE"),
            b"",
            b"SIP/2.0 200 OK\r\n\r\n",
        ):
            fill(ring, "c1", data=data)
        self.assertEqual(
            [one["summary"] for one in ring.messages("c1")],
            [
                "INVITE (SDP)",
                "INVITE (SDP)",
                "INVITE",
                "200 OK (INVITE)",
                "200 (BYE)",
                "404 Not\\x1b[2J\\u202eFound (BYE)",
                "?",
                "200 OK",
            ],
        )
