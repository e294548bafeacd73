"""Connections that stay half open, and those that say half a sentence."""

from __future__ import annotations

import time
from contextlib import ExitStack

from rvoip.test.hostile.case import ATTACKER
from rvoip.test.hostile.limited import ConnectionCase
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.wire import Stream, request

URI = f"sip:{DOMAIN}"


class HalfOpenTests(ConnectionCase):
    def test_six_hundred_from_one_address(self) -> None:
        """64 of them get in; another address does not notice, and they end."""
        server = self.serve("limited")
        before = server.pss()
        with ExitStack() as stack:
            began = time.monotonic()
            held = []
            for number in range(600):
                stream = stack.enter_context(Stream(ATTACKER, server.address))
                if number % 2:
                    stream.send(b"INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK")
                held.append(stream)
            self.assertLessEqual(self.connections(server), 64)
            with Stream("127.0.71.202", server.address) as other:
                other.send(request("OPTIONS", URI, transport="TCP", sent_by=other.sent_by))
                answer = other.receive(1.0)
                assert answer is not None
                self.assertEqual(answer.status, 200)
            self.assertLess(server.pss() - before, 4 << 20)
            for stream in held:
                self.assertTrue(stream.closed(6.0))
            self.assertLess(time.monotonic() - began, 10.0)
        self.wait_for(lambda: self.connections(server) == 0)

    def test_from_many_addresses(self) -> None:
        """No more than 300 in all; UDP goes on, and who is served stays so."""
        server = self.serve("limited")
        with ExitStack() as stack, Stream("127.0.71.202", server.address) as served:
            held = [
                stack.enter_context(Stream(f"127.0.71.{100 + number % 60}", server.address))
                for number in range(600)
            ]
            self.assertLessEqual(self.connections(server), 300)
            self.assertIsNotNone(server.options(1.0))
            served.send(request("OPTIONS", URI, transport="TCP", sent_by=served.sent_by))
            self.assertIsNotNone(served.receive(1.0))
            self.assertEqual(len(held), 600)
        self.wait_for(lambda: self.connections(server) == 0)

    def test_tls_that_says_nothing(self) -> None:
        """A handshake that does not come ends with the time for it, here that of idle connections."""
        server = self.serve("limited")
        with ExitStack() as stack:
            held = [stack.enter_context(Stream(ATTACKER, server.tls_address)) for _ in range(100)]
            for stream in held[::2]:
                stream.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40)
            with Stream("127.0.71.202", server.tls_address, self.context()) as other:
                other.send(request("OPTIONS", URI, transport="TLS", sent_by=other.sent_by))
                self.assertIsNotNone(other.receive(1.0))
            for stream in held:
                self.assertTrue(stream.closed(6.0))


class SlowTests(ConnectionCase):
    def test_an_octet_at_a_time(self) -> None:
        """A message that never ends, however steadily it comes, is given its time and no more."""
        server = self.serve("limited")
        wire = request("OPTIONS", URI, "X: " + "x" * 5000, transport="TCP")
        for context, address in ((None, server.address), (self.context(), server.tls_address)):
            with Stream(ATTACKER, address, context) as stream:
                began = time.monotonic()
                closed = False
                for octet in wire:
                    try:
                        stream.socket.sendall(bytes((octet,)))
                    except OSError:
                        closed = True
                        break
                    if stream.closed(0.05):
                        closed = True
                        break
                self.assertTrue(closed)
                self.assertLess(time.monotonic() - began, 4.0)

    def test_a_body_that_does_not_come(self) -> None:
        server = self.serve("limited")
        with Stream(ATTACKER, server.address) as stream:
            stream.send(request("OPTIONS", URI, length="60000", transport="TCP"))
            self.assertTrue(stream.closed(4.0))

    def test_keep_alives_are_no_messages(self) -> None:
        """Nor do they make an end to one that has begun."""
        server = self.serve("limited")
        with Stream(ATTACKER, server.address) as stream:
            stream.send(b"OPTIONS sip:example.test SIP/2.0\r\nX:")
            began = time.monotonic()
            while time.monotonic() - began < 4.0:
                stream.send(b"\r\n a")
                if stream.closed(0.1):
                    break
            self.assertLess(time.monotonic() - began, 3.5)
