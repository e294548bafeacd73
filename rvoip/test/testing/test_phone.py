"""Calls of the test phone, on a simulated network and over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.testing.phones import Pair
from rvoip.testing.certificates import Authority
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.phone import (
    Call,
    CallFailed,
    Phone,
    answer_after,
    busy,
    reject_with,
    ring,
    silent,
)


class CallTests(Pair):
    def call_and_hang_up(self) -> tuple[Call, Call]:
        call = self.alice.call(self.bob.contact)
        heard = self.network.result_of(self.bob.incoming())
        self.network.result_of(call.established())
        self.network.result_of(heard.established())
        self.assertEqual((call.remote_sdp, heard.remote_sdp), (heard.sdp, call.sdp))
        self.assertIn(b"m=audio", call.sdp)
        self.assertEqual(self.network.result_of(call.bye()).status, 200)
        self.assertEqual(self.network.result_of(heard.ended()), "BYE received")
        self.assertEqual(call.why, "BYE sent")
        self.finish()
        return call, heard

    def test_over_each_transport(self) -> None:
        for transport in ("UDP", "TCP", "TLS"):
            for six in (False, True):
                with self.subTest(transport=transport, six=six):
                    self.build(transport, six=six, delay=(0.01, 0.02))
                    self.call_and_hang_up()
                    self.assertEqual(
                        [one.message.start_line.split(" ")[0] for one in self.alice.messages if one.sent],
                        ["INVITE", "ACK", "BYE"],
                    )

    def test_through_loss_duplicates_and_disorder(self) -> None:
        for seed in range(20):
            with self.subTest(seed=seed):
                self.build(seed=seed, loss=0.3, duplicate=0.1, reorder=0.1, delay=(0.01, 0.1))
                self.call_and_hang_up()

    def test_the_callee_hangs_up(self) -> None:
        self.build()
        call = self.alice.call(self.bob.contact)
        heard = self.network.result_of(self.bob.incoming())
        self.network.result_of(heard.established())
        self.network.result_of(heard.bye())
        self.assertEqual((call.state, call.why, heard.why), ("over", "BYE received", "BYE sent"))
        self.finish()

    def test_answered_later(self) -> None:
        self.build()
        self.bob.script = answer_after(7)
        call = self.alice.call(self.bob.contact)
        self.assertEqual(self.network.result_of(call.ringing()).status, 180)
        self.network.result_of(call.established())
        self.assertEqual(self.network.clock.seconds(), 7.0)
        self.network.result_of(call.bye())
        self.finish()

    def test_refused(self) -> None:
        for script, why in ((busy, "486 Busy Here"), (reject_with(603), "603 Decline")):
            self.build()
            self.bob.script = script
            call = self.alice.call(self.bob.contact)
            error = self.assertRaises(CallFailed, self.network.result_of, call.established())
            self.assertEqual((error.why, error.response.start_line), (why, f"SIP/2.0 {why}"))
            self.assertEqual(len(self.bob.received("ACK")), 1)
            self.finish()

    def test_refused_through_loss(self) -> None:
        for seed in range(10):
            with self.subTest(seed=seed):
                self.build(seed=seed, loss=0.3)
                self.bob.script = busy
                call = self.alice.call(self.bob.contact)
                self.assertEqual(self.network.result_of(call.ended()), "486 Busy Here")
                self.finish()

    def test_cancelled_while_it_rings(self) -> None:
        self.build(delay=(0.01, 0.01))
        self.bob.script = ring
        call = self.alice.call(self.bob.contact)
        self.network.result_of(call.ringing())
        self.network.advance(20)
        call.cancel()
        call.cancel()
        self.assertEqual(self.network.result_of(call.ended()), "487 Request Terminated")
        self.assertEqual(self.bob.calls[0].why, "cancelled")
        self.assertEqual(len(self.alice.sent("CANCEL")), 1)
        self.finish()

    def test_a_cancel_waits_for_the_first_response(self) -> None:
        self.build(delay=(0.01, 0.01))
        self.bob.script = silent
        call = self.alice.call(self.bob.contact)
        call.cancel()
        self.network.advance(1)
        self.assertEqual(self.alice.sent("CANCEL"), [])
        self.bob.calls[0].ring()
        self.assertEqual(self.network.result_of(call.ended()), "487 Request Terminated")
        self.finish()

    def test_a_cancel_that_crosses_the_answer_hangs_up(self) -> None:
        self.build(delay=(0.1, 0.1))
        self.bob.script = answer_after(1)
        call = self.alice.call(self.bob.contact)
        self.network.advance(1.15)
        call.cancel()
        self.assertEqual(self.network.result_of(call.ended()), "BYE sent")
        self.assertEqual(self.network.result_of(self.bob.calls[0].ended()), "BYE received")
        self.finish()

    def test_nobody_answers(self) -> None:
        self.build()
        self.network.partition(["bob"])
        call = self.alice.call(self.bob.contact)
        error = self.assertRaises(CallFailed, self.network.result_of, call.established())
        self.assertEqual((error.why, error.response), ("timeout", None))
        self.assertEqual(self.network.clock.seconds(), 32.0)
        times = [one.time for one in self.alice.messages]
        self.assertEqual(times, [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5], "timer A of RFC 3261 section 17.1.1.2")
        self.finish()

    def test_nothing_listens_there(self) -> None:
        self.build("TCP")
        call = self.alice.call("sip:bob@10.0.0.2:9;transport=tcp")
        error = self.assertRaises(CallFailed, self.network.result_of, call.established())
        self.assertIn("no connection", error.why)
        self.finish()

    def test_hold_and_requests_within_the_call(self) -> None:
        self.build("TCP", delay=(0.01, 0.02))
        call = self.alice.call(self.bob.contact)
        self.network.result_of(call.established())
        held = self.network.result_of(call.reinvite(self.alice.sdp("sendonly")))
        self.assertEqual(held.status, 200)
        heard = self.bob.calls[0]
        self.network.result_of(heard.until("up"))
        self.assertIn(b"a=sendonly", heard.remote_sdp)
        for method, status in (("INFO", 200), ("UPDATE", 200), ("REFER", 202), ("MESSAGE", 200)):
            self.assertEqual(self.network.result_of(call.request(method)).status, status)
        self.assertEqual(self.network.result_of(heard.request("INFO")).status, 200)
        self.network.advance(1)
        self.assertEqual(
            [request.method for request in heard.requests],
            ["ACK", "INVITE", "ACK", "INFO", "UPDATE", "REFER", "MESSAGE"],
        )
        self.network.result_of(call.bye())
        self.finish()

    def test_a_request_for_a_call_that_is_over(self) -> None:
        self.build()
        call = self.alice.call(self.bob.contact)
        self.network.result_of(call.established())
        self.bob.calls.clear()
        self.assertEqual(self.network.result_of(call.request("INFO")).status, 481)
        self.network.advance(64)

    def test_an_answer_without_ack_is_a_problem(self) -> None:
        self.build()
        lose = self.network.lose_if(lambda datagram: datagram.data.startswith(b"ACK"))
        self.alice.call(self.bob.contact)
        self.network.advance(33)
        lose()
        self.network.advance(64)
        self.assertEqual(self.bob.problems, ["no ACK came to a 200"])
        self.assertEqual(self.alice.calls[0].why, "BYE received")
        self.assertEqual(len(self.bob.sent(200)), 11, "the 200 was repeated by T1 to T2 for 64*T1")

    def test_two_answers_of_a_fork(self) -> None:
        self.build()
        carol = Phone(
            self.network.host("carol", "10.0.0.3"),
            "carol@example.test",
            host="10.0.0.3",
            port=5060,
            script=ring,
        ).open()
        fork = _Fork(self.network.host("fork", "10.0.0.9"), [("10.0.0.2", 5060), ("10.0.0.3", 5060)])
        self.alice.server = ("10.0.0.9", 5060)
        self.bob.script = answer_after(1)
        carol.script = answer_after(1)
        call = self.alice.call("sip:anyone@example.test")
        self.network.result_of(call.established())
        self.network.advance(5)
        self.assertEqual(fork.answers, 2)
        ends = [phone.calls[0].state for phone in (self.bob, carol)]
        self.assertEqual(sorted(ends), ["over", "up"])
        self.assertEqual(len(self.alice.sent("ACK")), 2)
        self.network.result_of(call.bye())
        self.assertEqual([phone.calls[0].state for phone in (self.bob, carol)], ["over", "over"])
        self.assertEqual(carol.problems, [])
        self.finish()


class _Fork(DatagramProtocol):
    """The least that forks: a Via on top and off again, no state."""

    def __init__(self, reactor: MemoryReactor, destinations: list[tuple[str, int]]) -> None:
        self.destinations = destinations
        self.answers = 0
        reactor.listenUDP(5060, self, "10.0.0.9", 65535)

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        message = parse_message(datagram)
        assert self.transport is not None
        if isinstance(message, Response):
            message.remove_first_value("via")
            self.answers += message.status == 200 and message.cseq.method == "INVITE"
            self.transport.write(message.to_bytes(), ("10.0.0.1", 5060))
            return
        for index, destination in enumerate(self.destinations):
            forwarded = message.copy()
            forwarded.insert("via", f"SIP/2.0/UDP 10.0.0.9;branch={message.via.branch}{index}")
            self.transport.write(forwarded.to_bytes(), destination)


class RealTests(TestCase):
    """The same phones over real sockets."""

    def run_on(self, transport: str, **options: Any) -> Deferred[None]:
        async def run() -> None:
            phones = [
                Phone(real_reactor, f"{name}@example.test", host=host, transport=transport, **options).open()
                for name, host in (("alice", "127.62.3.1"), ("bob", "127.62.3.2"))
            ]
            alice, bob = phones
            call = alice.call(bob.contact)
            await call.established()
            await bob.calls[0].established()
            await call.bye()
            self.assertEqual(bob.calls[0].why, "BYE received")
            for phone in phones:
                self.assertEqual(phone.problems, [], phone.ladder())
                await phone.close()
            await self.connections_to_end()

        return Deferred.fromCoroutine(run())

    def connections_to_end(self) -> Deferred[None]:
        later: Deferred[None] = Deferred()
        reactor: Any = real_reactor
        reactor.callLater(0.02, later.callback, None)
        return later

    def test_udp(self) -> Deferred[None]:
        return self.run_on("UDP")

    def test_tcp(self) -> Deferred[None]:
        return self.run_on("TCP")

    def test_tls(self) -> Deferred[None]:
        authority = Authority()
        return self.run_on(
            "TLS",
            tls=authority.client_options("example.test"),
            tls_server=authority.issue("example.test").server_options(),
        )
