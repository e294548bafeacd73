"""Lengths that are none, two lengths, and what an attacker hides behind them."""

from __future__ import annotations

from collections.abc import Iterator

from rvoip.test.hostile.case import ATTACKER, HostileCase, register
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.wire import Callee, Datagrams, Message, Stream, request

URI = f"sip:{DOMAIN}"
BODY = b"0123456789"

NO_NUMBERS = (
    "-1",
    "+10",
    "1_0",
    "0x0a",
    "1e1",
    "10.0",
    "10,10",
    "10 10",
    "10;a",
    "ten",
    "\u0661\u0660",
    "\uff11\uff10",
    "\u00b9",
    "10\x0b",
    "10\x0c",
    "10\x1c",
    "10\x00",
    "10\x85",
    "\x0b10",
    '"10"',
    "",
)
TOO_LARGE = (
    "9999999",
    "99999999",
    "4294967306",
    "18446744073709551626",
    "9" * 100,
    "9" * 5000,
    "0" * 5000 + "10",
)


def with_lengths(*lines: str, body: bytes = BODY, transport: str = "UDP") -> bytes:
    """An OPTIONS with these lines in place of its Content-Length."""
    return request("OPTIONS", URI, *lines, length=None, body=body, transport=transport)


def two_lengths() -> Iterator[tuple[str, ...]]:
    """Headers that give two lengths."""
    yield ("Content-Length: 10", "Content-Length: 0")
    yield ("Content-Length: 0", "Content-Length: 10")
    yield ("Content-Length: 10", "l: 0")
    yield ("l: 0", "CONTENT-LENGTH: 10")
    yield ("Content-Length : 0", "L\t: 10")
    yield ("Content-Length: 10", "X: y", "l:\r\n 0")
    yield ("Content-Length: 10", "Content-Length:")
    yield ("Content-Length: 10", "Content-Length: 010")


class LengthTests(HostileCase):
    def setUp(self) -> None:
        self.hidden = request("OPTIONS", URI, call_id="hidden", sent_by=f"{ATTACKER}:5060")

    def refused(self, name: str, wire: bytes, transport: str, status: int) -> None:
        """One answer, of this status; over TCP the connection ends: nobody knows what follows."""
        server = self.serve(name)
        if transport == "UDP":
            answers = self.exchange(server, wire)
        else:
            with Stream(ATTACKER, server.address) as stream:
                stream.send(wire + self.hidden)
                answers = stream.drain(0.5)
                self.assertTrue(stream.closed(1.0), wire)
        self.assertEqual([answer.status for answer in answers], [status], wire[:600])
        self.assertNotEqual(answers[0].get("call-id"), "hidden")

    def test_no_numbers(self) -> None:
        for transport in ("UDP", "TCP"):
            for text in NO_NUMBERS:
                for name in ("Content-Length", "l"):
                    wire = with_lengths(f"{name}: {text}", transport=transport)
                    self.refused("proxy", wire, transport, 400)

    def test_too_large(self) -> None:
        """More than there is, and more than anybody may send."""
        for text in TOO_LARGE:
            self.refused("proxy", with_lengths(f"Content-Length: {text}"), "UDP", 400)
            self.refused("proxy", with_lengths(f"Content-Length: {text}", transport="TCP"), "TCP", 413)

    def test_more_than_the_datagram(self) -> None:
        for text in ("11", "12", "65536"):
            self.refused("proxy", with_lengths(f"Content-Length: {text}"), "UDP", 400)

    def test_two_lengths(self) -> None:
        for name in self.servers:
            for transport in ("UDP", "TCP"):
                for lines in two_lengths():
                    self.refused(name, with_lengths(*lines, transport=transport), transport, 400)

    def test_the_same_length_twice(self) -> None:
        for transport in ("UDP", "TCP"):
            wire = with_lengths("Content-Length: 10", "l: 10", transport=transport)
            (answer,) = self.exchange(self.serve("proxy"), wire, transport)
            self.assertEqual(answer.status, 200)

    def test_all_roles(self) -> None:
        for name in self.servers:
            self.refused(name, with_lengths("Content-Length: 1_0"), "UDP", 400)
            self.refused(name, with_lengths("Content-Length: -1", transport="TCP"), "TCP", 400)

    def test_memory(self) -> None:
        """What is refused is not kept."""
        server = self.serve("proxy")
        wires = [
            with_lengths(f"Content-Length: {text}", body=b"x" * 50_000) for text in (*NO_NUMBERS, *TOO_LARGE)
        ]
        self.exchange(server, wires)
        before = server.pss()
        for _ in range(10):
            self.exchange(server, wires)
        self.assertLess(server.pss() - before, 1 << 20)

    def test_the_rest_of_a_datagram_is_nobodys(self) -> None:
        """Octets after the body are dropped (RFC 3261 section 18.3), also on the way to somebody else."""
        server = self.serve("proxy")
        with Callee("127.0.71.201", server.address) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            bob.answer()
            hidden = request("MESSAGE", f"sip:bob@{DOMAIN}", call_id="hidden")
            wire = request("MESSAGE", f"sip:bob@{DOMAIN}", length="4", body=b"body" + hidden)
            with Datagrams(ATTACKER, server.address) as attacker:
                attacker.send(wire)
                answer = attacker.wait(lambda message: message.status >= 200, 2.0)
                self.assertIsNotNone(answer)
                self.assertEqual(attacker.drain(0.1), [])
            (got,) = bob.take()
            self.assertEqual(got.body, b"body")

    def test_any_cut_gives_the_same(self) -> None:
        """A stream is what it is, however its octets come."""
        server = self.serve("proxy")
        wires = b"".join(
            request("OPTIONS", URI, call_id=f"cut-{number}", body=self.hidden, transport="TCP") + b"\r\n\r\n"
            for number in range(4)
        )
        for size in (1, 2, 3, 7, 64, len(wires)):
            with Stream(ATTACKER, server.address) as stream:
                for start in range(0, len(wires), size):
                    stream.send(wires[start : start + size])
                got = [stream.receive(2.0) for _ in range(4)]
                self.assertEqual(
                    [message and (message.status, message.get("call-id")) for message in got],
                    [(200, f"cut-{number}") for number in range(4)],
                )
                self.assertEqual(stream.drain(0.05), [])

    def test_answers_do_not_carry_the_hidden(self) -> None:
        """Nothing of a body is in what is answered."""
        wire = request("OPTIONS", URI, body=b"\r\nX-Hidden: yes\r\n\r\n" + self.hidden)
        (answer,) = self.exchange(self.serve("proxy"), wire)
        self.assertIsInstance(answer, Message)
        self.assertNotIn(b"idden", answer.wire)
