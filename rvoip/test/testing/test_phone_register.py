"""What the test phone asks of a server: REGISTER with every challenge, OPTIONS, MESSAGE."""

from __future__ import annotations

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.digest import DigestChallenge, ha1, ha2, parse_credentials, response
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.phone import (
    NoResponse,
    Phone,
)


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
