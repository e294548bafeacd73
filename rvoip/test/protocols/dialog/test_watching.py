"""What an operator sees of a transaction layer: its counts, and all that it sends."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import OTHER
from rvoip.protocols.sip.build import request as build_request
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.fakes import FakeFlow, Sender, World, request, response


class WatchingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.layer = self.world.layer
        self.seen: list[tuple[Request, bytes, FakeFlow]] = []
        layer: Any = self.layer
        layer.tap = lambda *sent: self.seen.append(sent)

    def invite(self, flow: FakeFlow) -> Sender:
        """An INVITE of ours."""
        sender = Sender()
        made = build_request(
            "INVITE",
            "sip:bob@example.test",
            from_="<sip:alice@example.test>;tag=1",
            to="<sip:bob@example.test>",
            call_id="ours",
            cseq=1,
        )
        self.client = self.layer.request(made, flow, sender)  # type: ignore[arg-type]
        return sender

    def check_seen(self, *flows: FakeFlow) -> None:
        """The tap has seen what went over the wire, in order, with the request that it is or answers."""
        for flow in flows:
            self.assertEqual([data for _, data, where in self.seen if where is flow], flow.sent)
        for asked, data, _ in self.seen:
            self.assertIn(f"Call-ID: {asked.call_id}\r\n".encode(), data)

    def test_all_that_a_server_transaction_sends(self) -> None:
        world = self.world
        world.receive(request("INVITE"))
        world.advance(0.3)  # 100
        transaction: ServerTransaction = world.user.requests[0]
        transaction.respond_status(180)
        world.receive(request("INVITE"))  # 180 again
        transaction.respond_status(486)
        world.advance(1.0)  # and again
        self.check_seen(world.udp)
        self.assertEqual([data[8:11] for _, data, _ in self.seen], [b"100", b"180", b"180", b"486", b"486"])
        self.assertEqual(self.layer.responses_sent, [0, 3, 0, 0, 2, 0, 0, 0, 0, 0])
        self.assertEqual(self.layer.requests["INVITE"], 2)

    def test_all_that_is_sent_without_a_transaction(self) -> None:
        world = self.world
        world.user.answer = lambda transaction: transaction.respond_stateless(
            respond(transaction.request, 401)
        )
        world.receive(request("REGISTER"))
        world.user.answer = lambda transaction: transaction.respond_status(200)
        world.receive(request("MESSAGE", branch="z9hG4bK-2"))
        world.receive(request("MESSAGE", branch="z9hG4bK-2"))  # answered from memory
        world.receive(request("CANCEL", branch="z9hG4bK-3"))  # 481
        world.receive(request("ACK", branch="z9hG4bK-4"))
        self.check_seen(world.udp)
        self.assertEqual([data[8:11] for _, data, _ in self.seen], [b"401", b"200", b"200", b"481"])
        self.assertEqual(
            [asked.method for asked, _, _ in self.seen], ["REGISTER", "MESSAGE", "MESSAGE", "CANCEL"]
        )
        self.assertEqual(self.layer.responses_sent, [0, 0, 2, 0, 2, 0, 0, 0, 0, 0])
        counts = {method: count for method, count in self.layer.requests.items() if count}
        self.assertEqual(counts, {"REGISTER": 1, "MESSAGE": 2, "CANCEL": 1, "ACK": 1})

    def test_all_that_a_client_transaction_sends(self) -> None:
        world = self.world
        sender = self.invite(world.udp)
        world.advance(1.6)  # twice more
        sent = world.udp.sent[0]
        (asked,) = FakeFlow.take(world.udp)[:1]
        world.udp.sent = [sent, sent, sent]
        world.receive(response(asked, 180))
        self.client.cancel()
        world.receive(response(asked, 487))
        world.receive(response(asked, 487))
        self.check_seen(world.udp)
        words = [data.partition(b" ")[0] for _, data, _ in self.seen]
        self.assertEqual(words, [b"INVITE", b"INVITE", b"INVITE", b"CANCEL", b"ACK", b"ACK"])
        self.assertEqual(sender.statuses, [180, 487])
        self.assertEqual(self.layer.responses_received, [0, 1, 0, 0, 2, 0, 0, 0, 0, 0])

    def test_a_request_without_a_transaction(self) -> None:
        world = self.world
        ack: Any = world.receive(request("ACK"))
        self.layer.send(ack, world.tcp)  # type: ignore[arg-type]
        self.check_seen(world.tcp)
        self.assertEqual(len(self.seen), 1)

    def test_a_response_that_takes_another_connection(self) -> None:
        world = self.world
        world.receive(request("INVITE", transport="TCP"), world.tcp)
        world.tcp.closed = True
        world.user.requests[0].respond_status(200)
        (other,) = [flow for flow in world.transport.flows.values() if flow.reliable]
        self.check_seen(world.tcp, other)
        self.assertEqual(len(self.seen), 1)

    def test_what_could_not_be_sent_is_not_seen(self) -> None:
        world = self.world
        world.transport.reachable = False
        world.receive(request("INVITE", transport="TCP"), world.tcp)
        world.receive(request("MESSAGE", transport="TCP", branch="z9hG4bK-2"), world.tcp)
        world.tcp.closed = True
        for transaction in world.user.requests:
            transaction.respond_status(500)
        self.assertEqual(self.invite(world.tcp).failures, ["transport: closed"])
        self.assertEqual(self.seen, [])
        self.assertEqual(self.layer.responses_sent, [0] * 10)
        self.assertEqual(self.layer.unsent, 2)

    def test_unknown_methods_are_counted_together(self) -> None:
        for number in range(1000):
            self.world.receive(request(f"FLY{number}", branch=f"z9hG4bK-{number}"))
        self.assertEqual(self.layer.requests[OTHER], 1000)
        self.assertLess(len(self.layer.requests), 20)
