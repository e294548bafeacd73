"""What a tap on the transport sees: checked messages, as they came, before the receiver."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.flow import Flow
from rvoip.test.protocols.transport.samples import options
from rvoip.test.protocols.transport.test_stream import VIA, StreamTestCase
from rvoip.test.protocols.transport.test_udp import PEER, DatagramTestCase

Seen = list[tuple[Request | Response, bytes, Flow]]


def tap_into(protocol: Any, receiver: Any) -> Seen:
    """What the tap is called with; it notes when the receiver had a message before it did."""
    seen: Seen = []

    def tap(message: Request | Response, data: bytes, flow: Flow) -> None:
        if any(message is received for received, _ in receiver.messages):
            raise AssertionError("the receiver was first")
        seen.append((message, data, flow))

    protocol.intake.tap = tap
    return seen


class DatagramTapTests(DatagramTestCase):
    def test_it_sees_each_message_first(self) -> None:
        protocol = self.protocol()
        seen = tap_into(protocol, self.receiver)
        for number in (1, 2):
            protocol.datagramReceived(options(number), PEER)
        self.assertEqual([data for _, data, _ in seen], [options(1), options(2)])
        self.assertEqual([(message, flow) for message, _, flow in seen], self.receiver.messages)

    def test_it_sees_nothing_else(self) -> None:
        protocol = self.protocol()
        seen = tap_into(protocol, self.receiver)
        for data in (b"\r\n\r\n", b"x" * 50, options(1).replace(b"CSeq", b"X"), options(1)[:40]):
            protocol.datagramReceived(data, PEER)
        self.assertEqual(seen, [])

    def test_one_that_fails_stops_no_other_message(self) -> None:
        protocol = self.protocol()

        def tap(message: Request | Response, data: bytes, flow: Flow) -> None:
            if message.cseq.number == 1:
                raise RuntimeError("full")

        protocol.intake.tap = tap
        for number in (1, 2):
            protocol.datagramReceived(options(number), PEER)
        self.assertEqual([answer.status for answer in self.answers()], [500])
        self.assertEqual(self.receiver.numbers, [2])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class StreamTapTests(StreamTestCase):
    def test_it_sees_each_message_first(self) -> None:
        protocol, _ = self.connect()
        seen = tap_into(protocol, self.receiver)
        sent = [options(number, via=VIA) for number in (1, 2, 3)]
        stream = b"\r\n\r\n".join(sent)
        for start in range(0, len(stream), 100):
            protocol.dataReceived(stream[start : start + 100])
        self.assertEqual([data for _, data, _ in seen], sent)
        self.assertEqual([(message, flow) for message, _, flow in seen], self.receiver.messages)
