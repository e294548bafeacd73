from __future__ import annotations

from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase, TestCase

from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.digest import DigestChallenge, ha1, ha2, parse_credentials, response
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.testing.certificates import Authority
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.phone import (
    Call,
    CallFailed,
    NoResponse,
    NotMet,
    Phone,
    answer_after,
    answer_at_once,
    busy,
    reject_with,
    ring,
    silent,
)


class Pair(SynchronousTestCase):
    """Two phones that call each other without a server between them."""

    def build(self, transport: str = "UDP", *, six: bool = False, seed: int = 1, **knobs: Any) -> None:
        self.network = SimulatedNetwork(seed=seed, **knobs)
        options: dict[str, Any] = {}
        if transport == "TLS":
            authority = Authority()
            options["tls"] = authority.client_options("example.test")
            options["tls_server"] = authority.issue("example.test").server_options()
        hosts = ("2001:db8::1", "2001:db8::2") if six else ("10.0.0.1", "10.0.0.2")
        self.alice, self.bob = (
            Phone(
                self.network.host(name, host),
                f"{name}@example.test",
                host=host,
                port=5060,
                transport=transport,
                **options,
            ).open()
            for name, host in zip(("alice", "bob"), hosts, strict=True)
        )

    def finish(self) -> None:
        """No phone saw anything wrong, and nothing is left over."""
        for phone in (self.alice, self.bob):
            self.assertEqual(phone.problems, [], phone.ladder())
        self.network.advance(64)
        self.assertEqual(self.network.pending(), [])
        for phone in (self.alice, self.bob):
            self.assertEqual((phone.client_transactions, phone.server_transactions), ({}, {}))
        self.network.result_of(self.alice.close())
        self.network.result_of(self.bob.close())
        self.assertEqual((self.network.hosts["alice"].ports, self.network.hosts["bob"].ports), ([], []))


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


class _Registrar(DatagramProtocol):
    """Challenges by `challenges`, checks the digest, and keeps what was asked."""

    def __init__(self, challenges: list[DigestChallenge], status: int = 401) -> None:
        self.challenges = challenges
        self.status = status
        self.good_nonces = [challenge.nonce for challenge in challenges]
        self.requests: list[Request] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        request = parse_message(datagram)
        assert isinstance(request, Request) and self.transport is not None
        if request.method == "ACK":
            return
        self.requests.append(request)
        self.transport.write(self.judge(request).to_bytes(), addr)

    def judge(self, request: Request) -> Response:
        header = "authorization" if self.status == 401 else "proxy-authorization"
        given = request.get(header)
        stale = False
        if given is not None:
            credentials = parse_credentials(given)
            assert credentials is not None
            secret = ha1(credentials.algorithm, "alice", "example.test", "secret")
            expected = response(
                credentials.algorithm,
                secret,
                credentials.nonce,
                credentials.nc,
                credentials.cnonce,
                credentials.qop,
                ha2(credentials.algorithm, request.method, request.uri_text, credentials.qop, request.body),
            )
            if credentials.response == expected and credentials.nonce in self.good_nonces:
                return respond(
                    request,
                    200,
                    to_tag="r",
                    headers=[("Contact", value) for value in request.get_all("contact")],
                )
            stale = credentials.response == expected
        name = "WWW-Authenticate" if self.status == 401 else "Proxy-Authenticate"
        values = [DigestChallenge(c.realm, c.nonce, c.algorithm, c.qop, stale) for c in self.challenges]
        return respond(request, self.status, to_tag="r", headers=[(name, str(value)) for value in values])


class RegisterTests(SynchronousTestCase):
    def build(self, challenges: list[DigestChallenge], status: int = 401, password: str = "secret") -> None:
        self.reactor = MemoryReactor()
        self.registrar = _Registrar(challenges, status)
        self.reactor.listenUDP(5060, self.registrar, "127.0.0.1", 65535)
        self.alice = Phone(
            self.reactor,
            "alice@example.test",
            host="127.0.0.2",
            server=("127.0.0.1", 5060),
            password=password,
            headers=[("User-Agent", "test")],
        ).open()

    def test_each_algorithm(self) -> None:
        for status in (401, 407):
            for algorithm in ("MD5", "SHA-256", "SHA-512-256"):
                for qop in ((), ("auth",), ("auth", "auth-int")):
                    with self.subTest(status=status, algorithm=algorithm, qop=qop):
                        self.build([DigestChallenge("example.test", "n1", algorithm, qop)], status)
                        self.assertEqual(self.reactor.result_of(self.alice.register()).status, 200)
                        self.assertEqual(len(self.registrar.requests), 2)

    def test_the_first_known_challenge_is_answered(self) -> None:
        self.build(
            [DigestChallenge("example.test", "n0", "NEW"), DigestChallenge("example.test", "n1", "SHA-256")]
        )
        self.assertEqual(self.reactor.result_of(self.alice.register()).status, 200)
        self.assertIn('nonce="n1"', self.registrar.requests[1].get("authorization") or "")

    def test_one_call_id_and_rising_cseq(self) -> None:
        self.build([DigestChallenge("example.test", "n1")])
        self.reactor.result_of(self.alice.register())
        self.reactor.result_of(self.alice.register(60))
        self.reactor.result_of(self.alice.unregister())
        requests = self.registrar.requests
        self.assertEqual(len({request.call_id for request in requests}), 1)
        self.assertEqual([request.cseq.number for request in requests], [1, 2, 3, 4, 5, 6])
        self.assertEqual([request.expires for request in requests], [3600, 3600, 60, 60, 0, 0])
        self.assertEqual(requests[0].contacts[0].uri_text, self.alice.contact)
        self.assertEqual(requests[4].get("contact"), "*")
        self.assertEqual(requests[0].get("user-agent"), "test")
        self.assertEqual(str(requests[0].uri), "sip:example.test")

    def test_contacts_of_the_tests_choice(self) -> None:
        self.build([DigestChallenge("example.test", "n1")])
        self.reactor.result_of(self.alice.register(contacts=["<sip:a@192.0.2.1>;q=0.5", "<sip:b@192.0.2.1>"]))
        self.reactor.result_of(self.alice.register(contacts=[]))
        self.assertEqual(len(self.registrar.requests[1].contacts), 2)
        self.assertEqual(self.registrar.requests[3].contacts, [])

    def test_a_wrong_password_is_tried_once(self) -> None:
        self.build([DigestChallenge("example.test", "n1")], password="wrong")
        self.assertEqual(self.reactor.result_of(self.alice.register()).status, 401)
        self.assertEqual(len(self.registrar.requests), 2)

    def test_without_a_password_nothing_is_answered(self) -> None:
        self.build([DigestChallenge("example.test", "n1")], password="")
        self.assertEqual(self.reactor.result_of(self.alice.register()).status, 401)
        self.assertEqual(len(self.registrar.requests), 1)

    def test_a_stale_nonce_is_renewed(self) -> None:
        self.build([DigestChallenge("example.test", "n1", qop=("auth",))])
        self.alice.remember_nonce = True
        self.reactor.result_of(self.alice.register())
        self.reactor.result_of(self.alice.register())
        self.assertEqual(len(self.registrar.requests), 3, "the nonce was used again")
        self.assertIn("nc=00000002", self.registrar.requests[2].get("authorization") or "")
        self.registrar.challenges = [DigestChallenge("example.test", "n2", qop=("auth",))]
        self.registrar.good_nonces = ["n2"]
        self.assertEqual(self.reactor.result_of(self.alice.register()).status, 200)
        self.assertEqual(len(self.registrar.requests), 5)

    def test_options_and_message(self) -> None:
        self.build([DigestChallenge("example.test", "n1")])
        self.assertEqual(self.reactor.result_of(self.alice.options()).status, 200)
        sent = self.alice.request("MESSAGE", "sip:bob@example.test", body=b"hello", content_type="text/plain")
        self.assertEqual(self.reactor.result_of(sent).status, 200)
        self.assertEqual(self.registrar.requests[-1].body, b"hello")
        self.assertEqual(self.registrar.requests[-1].get("to"), "<sip:bob@example.test>")

    def test_silence(self) -> None:
        self.build([])
        self.alice.server = ("127.0.0.1", 9)
        error = self.assertRaises(NoResponse, self.reactor.result_of, self.alice.options())
        self.assertIn("OPTIONS: timeout", str(error))
        self.assertEqual(
            [one.time for one in self.alice.messages],
            [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5],
            "timer E of RFC 3261 section 17.1.2.2",
        )

    def test_the_seed_decides(self) -> None:
        sent = []
        for _ in range(2):
            self.build([DigestChallenge("example.test", "n1", qop=("auth",))])
            self.reactor.result_of(self.alice.register())
            sent.append([one.message.to_bytes() for one in self.alice.messages])
        self.assertEqual(sent[0], sent[1])


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
