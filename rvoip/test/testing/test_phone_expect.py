"""What a test waits for at the test phone, what the phone finds wrong by itself, and scripts."""

from __future__ import annotations

from rvoip.test.testing.phones import Pair
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.phone import (
    Call,
    NotMet,
    Phone,
    answer_after,
    answer_at_once,
)


class ExpectTests(Pair):
    def test_messages_that_come_and_have_come(self) -> None:
        self.build(delay=(0.1, 0.1))
        self.bob.script = answer_after(1)
        expected = self.bob.expect("INVITE")
        call = self.alice.call(self.bob.contact)
        self.network.result_of(call.established())
        self.assertEqual(self.successResultOf(expected).call_id, call.call_id)
        self.assertEqual(self.successResultOf(self.alice.expect(180)).get("to"), call.responses[0].get("to"))
        self.assertEqual(self.successResultOf(self.alice.expect(200)).body, call.remote_sdp)
        self.assertNoResult(again := self.alice.expect(200, within=5))
        self.network.advance(6)
        self.failureResultOf(again, NotMet)
        self.assertNoResult(by_function := self.bob.expect(lambda message: message.cseq.method == "BYE"))
        self.network.result_of(call.bye())
        self.successResultOf(by_function)
        self.finish()

    def test_repetitions_are_recorded_and_not_expected(self) -> None:
        self.build()
        stop = self.network.lose_if(lambda datagram: datagram.data.startswith(b"SIP/2.0"))
        call = self.alice.call(self.bob.contact)
        self.network.advance(2)
        stop()
        self.network.result_of(call.established())
        self.assertGreater(len(self.bob.received("INVITE")), 2)
        self.assertEqual(len(self.bob.calls), 1)
        self.successResultOf(self.bob.expect("INVITE"))
        self.assertNoResult(second := self.bob.expect("INVITE", within=1))
        self.network.advance(1)
        self.assertIn("INVITE", self.failureResultOf(second, NotMet).getErrorMessage())
        self.assertIn("(again)", self.bob.ladder())
        self.network.result_of(call.bye())
        self.finish()

    def test_incoming(self) -> None:
        self.build()
        waiting = self.bob.incoming()
        for _ in range(2):
            self.alice.call(self.bob.contact)
        self.network.advance(1)
        first = self.successResultOf(waiting)
        second = self.successResultOf(self.bob.incoming())
        self.assertNotEqual(first.call_id, second.call_id)
        missed = self.bob.incoming(within=1)
        self.network.advance(1)
        self.failureResultOf(missed, NotMet)

    def test_closing_ends_the_waiting(self) -> None:
        self.build()
        call = self.alice.call(self.bob.contact)
        waiting = [self.alice.expect("BYE"), self.alice.incoming(), call.until("over")]
        self.alice.close()
        for deferred in waiting:
            self.failureResultOf(deferred, NotMet)
        self.network.advance(0)
        self.assertEqual(list(self.alice.reactor.getDelayedCalls()), [])


class ProblemTests(Pair):
    def test_what_a_peer_must_not_send(self) -> None:
        for data, problem in (
            (b"SIP/2.0 200 OK\r\n\r\n", "Missing Via"),
            (b"garbage", "400"),
            (
                b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
                b"To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\r\n",
                "the Via values of others",
            ),
            (
                b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=1\r\nFrom: <sip:a@b>;tag=1\r\n"
                b"To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 BYE\r\n\r\n",
                "a response to nothing",
            ),
        ):
            with self.subTest(problem=problem):
                self.build()
                self.alice.send_raw(data, ("10.0.0.2", 5060))
                self.network.advance(1)
                self.assertEqual(len(self.bob.problems), 1)
                self.assertIn(problem, self.bob.problems[0])
                self.assertIn(problem, self.bob.ladder())

    def test_garbage_on_a_stream_ends_it(self) -> None:
        self.build("TCP")
        self.alice.send_raw(b"INVITE sip:x SIP/2.0\r\nContent-Length: 1_0\r\n\r\n", ("10.0.0.2", 5060))
        self.network.advance(1)
        self.assertIn("Content-Length", self.bob.problems[0])
        self.assertEqual(self.network.hosts["bob"].connections, [])

    def test_unknown_methods_and_keep_alives(self) -> None:
        self.build()
        self.assertEqual(self.network.result_of(self.alice.request("DANCE", self.bob.contact)).status, 501)
        self.alice.send_raw(b"\r\n\r\n", ("10.0.0.2", 5060))
        self.network.advance(40)
        self.assertEqual(self.bob.problems, [])
        self.finish()
        self.build("TCP")
        self.alice.send_raw(b"\r\n\r\n", ("10.0.0.2", 5060))
        self.network.advance(1)
        self.assertEqual(self.network.result_of(self.alice.request("DANCE", self.bob.contact)).status, 501)
        self.finish()

    def test_connections_dropped(self) -> None:
        self.build("TCP")
        self.network.result_of(self.alice.options(self.bob.contact))
        self.assertEqual(len(self.network.hosts["bob"].connections), 1)
        self.bob.wire.drop_connections()
        self.network.advance(1)
        self.assertEqual(self.network.hosts["alice"].connections, [])
        self.network.result_of(self.alice.options(self.bob.contact))
        self.finish()

    def test_arguments(self) -> None:
        reactor = MemoryReactor()
        self.assertRaises(ValueError, Phone, reactor, transport="SCTP")
        self.assertRaises(ValueError, Phone, reactor, transport="TLS")
        self.assertRaises(ValueError, Phone, reactor, transport="WSS")
        self.assertRaises(ValueError, Phone, reactor, host="localhost")
        self.assertRaises(ValueError, Phone(reactor).destination, "sip:bob@example.test")


class ScriptTests(Pair):
    def test_any_function(self) -> None:
        self.build()
        seen: list[str] = []

        def script(call: Call) -> None:
            seen.append(call.invite.get("x-wish") or "")
            call.ring(183, self.bob.sdp())
            answer_at_once(call)

        self.bob.script = script
        call = self.alice.call(self.bob.contact, headers=[("X-Wish", "please")])
        self.network.result_of(call.established())
        self.assertEqual(seen, ["please"])
        self.assertEqual([response.status for response in call.responses], [183, 180, 200])
        self.assertEqual(call.invite.get("x-wish"), "please")
        self.network.result_of(call.bye())
        self.finish()
