"""Which challenges are answered, for whom, and how often."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.challenge import Authentication, Credential
from rvoip.protocols.sip import digest
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request, Response
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, Peer, Stage

PROXY = frozenset(("proxy.test",))
ALICE = Credential("alice", "secret", "example.test", frozenset(("proxy.test", "10.0.0.9")))


def find(realm: str, host: str) -> Credential | None:
    return ALICE if ALICE.serves(realm, host) else None


def message(method: str = "INVITE", body: bytes = b"") -> Request:
    return request(
        method,
        "sip:bob@example.test",
        from_="<sip:alice@example.test>;tag=1",
        to="<sip:bob@example.test>",
        call_id="c",
        cseq=1,
        body=body,
        content_type="text/plain" if body else None,
    )


def challenge(realm: str = "example.test", nonce: str = "n1", **more: Any) -> str:
    more.setdefault("qop", ("auth",))
    return str(digest.DigestChallenge(realm, nonce, **more))


class Machine(SynchronousTestCase):
    """`Authentication`, which needs no network."""

    def setUp(self) -> None:
        self.authentication = Authentication(find, lambda: "cnonce")

    def refused(
        self, sent: Request, *challenges: str, status: int = 407, host: str = "proxy.test", address: str = ""
    ) -> bool:
        name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
        response = respond(sent, status, headers=[(name, one) for one in challenges])
        return self.authentication.answer(sent, response, host, address)

    def shown(
        self, host: str = "proxy.test", address: str = "", method: str = "INVITE", body: bytes = b""
    ) -> list[digest.DigestCredentials]:
        """What goes into the next request to this host."""
        made = message(method, body)
        self.authentication.authorize(made, host, address)
        found = [
            digest.parse_credentials(value)
            for name in ("authorization", "proxy-authorization")
            for value in made.get_all(name)
        ]
        return [one for one in found if one is not None]

    def test_answer(self) -> None:
        self.assertEqual(self.shown(), [])
        self.assertTrue(self.refused(message(), challenge(opaque="o")))
        (one,) = self.shown()
        secret = digest.ha1("MD5", "alice", "example.test", "secret")
        expected = digest.response(
            "MD5", secret, "n1", "00000001", "cnonce", "auth", digest.ha2("MD5", "INVITE", one.uri, "auth")
        )
        self.assertEqual((one.response, one.nc, one.opaque, one.qop), (expected, "00000001", "o", "auth"))

    def test_the_header_is_that_of_who_asks(self) -> None:
        self.refused(message(), challenge(), status=401)
        made = message()
        self.authentication.authorize(made, "proxy.test")
        self.assertTrue(made.has("authorization"))
        self.assertFalse(made.has("proxy-authorization"))

    def test_the_count_goes_up(self) -> None:
        self.refused(message(), challenge())
        self.assertEqual([self.shown()[0].nc for _ in range(3)], ["00000001", "00000002", "00000003"])

    def test_only_to_their_realm_and_host(self) -> None:
        self.assertFalse(self.refused(message(), challenge("other.test")))
        self.assertFalse(self.refused(message(), challenge(), host="evil.test"))
        self.assertFalse(self.refused(message(), challenge(), host=""))
        self.refused(message(), challenge())
        self.assertEqual(self.shown("evil.test"), [])
        self.assertEqual(self.shown("", "192.0.2.66"), [])
        self.assertEqual(len(self.shown("proxy.test")), 1)

    def test_what_is_found_is_shown_to_its_hosts_only(self) -> None:
        """Whoever looks a credential up need not compare hosts: what it says of them counts."""
        self.authentication = Authentication(lambda realm, host: ALICE, str)
        self.assertFalse(self.refused(message(), challenge(), host="evil.test", address="192.0.2.66"))
        self.assertFalse(self.refused(message(), challenge("other.test")))
        self.assertEqual(self.shown("evil.test", "192.0.2.66"), [])
        self.assertTrue(self.refused(message(), challenge()))

    def test_the_address_of_who_had_them_has_them_again(self) -> None:
        """Within the dialog a proxy is reached by the address in its Record-Route."""
        self.refused(message(), challenge(), address="192.0.2.1")
        self.assertEqual(len(self.shown("192.0.2.1", "192.0.2.1")), 1)
        self.assertTrue(self.refused(message("BYE"), challenge(nonce="n2"), host="192.0.2.1"))

    def test_any_realm_of_a_host(self) -> None:
        wide = Credential("alice", "secret", None, frozenset(("proxy.test",)))
        self.authentication = Authentication(
            lambda realm, host: wide if wide.serves(realm, host) else None, str
        )
        self.assertTrue(self.refused(message(), challenge("whatever")))
        self.assertFalse(self.refused(message(), challenge("whatever"), host="other.test"))

    def sent(self) -> Request:
        made = message()
        self.authentication.authorize(made, "proxy.test")
        return made

    def test_a_wrong_password_is_not_tried_twice(self) -> None:
        self.refused(message(), challenge())
        self.assertFalse(self.refused(self.sent(), challenge(nonce="n2")))

    def test_stale_once(self) -> None:
        self.refused(message(), challenge())
        self.assertTrue(self.refused(self.sent(), challenge(nonce="n2", stale=True)))
        self.assertEqual(self.shown()[0].nonce, "n2")
        self.assertFalse(self.refused(self.sent(), challenge(nonce="n3", stale=True)))

    def test_stale_again_after_success(self) -> None:
        self.refused(message(), challenge())
        self.assertTrue(self.refused(self.sent(), challenge(nonce="n2", stale=True)))
        self.authentication.accepted(respond(message(), 200))
        self.assertTrue(self.refused(self.sent(), challenge(nonce="n3", stale=True)))

    def test_stale_with_the_same_nonce(self) -> None:
        self.refused(message(), challenge())
        self.assertFalse(self.refused(self.sent(), challenge(stale=True)))

    def test_an_old_nonce_that_was_good_counts_as_stale(self) -> None:
        self.refused(message(), challenge())
        self.sent()
        self.assertTrue(self.refused(self.sent(), challenge(nonce="n2")))
        self.assertFalse(self.refused(self.sent(), challenge(nonce="n3")))

    def test_the_strongest_algorithm(self) -> None:
        algorithms = ("MD5", "SHA-512-256", "SHA-256", "TOKEN")
        self.assertTrue(self.refused(message(), *[challenge(algorithm=one) for one in algorithms]))
        (one,) = self.shown()
        self.assertEqual(one.algorithm, "SHA-512-256")

    def test_what_cannot_be_answered(self) -> None:
        for one in (
            challenge(algorithm="TOKEN"),
            challenge(qop=("magic",)),
            "Basic realm=x",
            "Digest realm",
            'Digest realm="example.test"',
            "",
        ):
            self.assertFalse(self.refused(message(), one), one)
        self.assertFalse(self.refused(message()))

    def test_several_realms(self) -> None:
        both = {
            ("a.test", "proxy.test"): Credential("alice", "x", hosts=PROXY),
            ("b.test", "proxy.test"): Credential("alice", "y", hosts=PROXY),
        }
        self.authentication = Authentication(lambda *asked: both.get(asked), str)
        self.assertTrue(
            self.refused(message(), challenge("a.test"), challenge("b.test"), challenge("c.test"))
        )
        self.assertEqual(sorted(one.realm for one in self.shown()), ["a.test", "b.test"])

    def test_one_realm_after_the_other(self) -> None:
        """Two proxies on the way, each of which asks."""
        both = {
            ("a.test", "proxy.test"): Credential("alice", "x", hosts=PROXY),
            ("b.test", "proxy.test"): Credential("alice", "y", hosts=PROXY),
        }
        self.authentication = Authentication(lambda *asked: both.get(asked), str)
        self.assertTrue(self.refused(message(), challenge("a.test")))
        self.assertTrue(self.refused(self.sent(), challenge("b.test")))
        self.assertEqual(sorted(one.realm for one in self.shown()), ["a.test", "b.test"])

    def test_no_more_realms_than_anyone_has(self) -> None:
        self.authentication = Authentication(
            lambda realm, host: Credential("a", "b", hosts=frozenset((host,))), str
        )
        results = [self.refused(message(), challenge(f"r{number}")) for number in range(12)]
        self.assertEqual(results, [True] * 8 + [False] * 4)

    def test_auth_int(self) -> None:
        self.refused(message(), challenge(qop=("auth-int",)))
        one, other = self.shown(body=b"1")[0], self.shown(body=b"2")[0]
        self.assertEqual(one.qop, "auth-int")
        self.assertNotEqual(one.response, other.response)

    def test_the_next_nonce(self) -> None:
        self.refused(message(), challenge())
        self.shown()
        self.authentication.accepted(
            respond(message(), 200, headers=(("Authentication-Info", 'nextnonce="n2"'),))
        )
        (one,) = self.shown()
        self.assertEqual((one.nonce, one.nc), ("n2", "00000001"))

    def test_a_bad_authentication_info_changes_nothing(self) -> None:
        self.refused(message(), challenge())
        for text in ('nextnonce="', "nextnonce=", "x"):
            self.authentication.accepted(respond(message(), 200, headers=(("Authentication-Info", text),)))
        self.assertEqual(self.shown()[0].nonce, "n1")

    def test_passwords_do_not_show(self) -> None:
        self.assertNotIn("secret", repr(ALICE))


class Calls(SynchronousTestCase):
    """Calls that are challenged."""

    def setUp(self) -> None:
        self.stage = Stage(AgentSettings(reliable="off"), find_credential=find)
        self.peer = Peer(self.stage)

    def challenge(self, sent: Request, status: int = 407, **more: Any) -> None:
        name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
        self.peer.answer(sent, status, extra=f"{name}: {challenge(**more)}\r\n")

    def test_a_call_and_all_that_follows(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        first = self.peer.one("INVITE")
        self.challenge(first)
        ack, second = self.peer.take()
        self.assertEqual((ack.method, ack.cseq.number), ("ACK", 1))
        self.assertEqual((second.cseq.number, second.call_id), (2, first.call_id))
        self.assertEqual(second.from_.tag, first.from_.tag)
        self.assertNotEqual(second.via.branch, first.via.branch)
        credentials = second.get("proxy-authorization")
        self.assertIn('username="alice"', credentials)
        self.peer.answer(second, 200, body=ANSWER)
        ack = self.peer.one("ACK")
        # RFC 3261 section 22.1: the ACK has the credentials of its INVITE.
        self.assertEqual((ack.cseq.number, ack.get("proxy-authorization")), (2, credentials))
        self.assertEqual(invite.events, ["accepted"])
        invite.session.bye()
        self.stage.advance(0.01)
        bye = self.peer.one("BYE")
        self.assertEqual(bye.cseq.number, 3)
        self.assertIn("nc=00000002", bye.get("proxy-authorization"))
        self.challenge(bye, nonce="n2", stale=True)
        bye = self.peer.one("BYE")
        self.assertEqual(bye.cseq.number, 4)
        self.assertIn('nonce="n2"', bye.get("proxy-authorization"))
        self.peer.answer(bye, 200)
        self.stage.advance(100)
        self.assertEqual(self.stage.alice.leftovers(), [])

    def test_a_wrong_password(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        self.challenge(self.peer.one("INVITE"))
        self.challenge(self.peer.take()[1], nonce="n2")
        self.assertEqual(invite.events, ["failed 407 Answered"])
        self.assertEqual(self.peer.starts(), ["ACK"])

    def test_not_after_cancel(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        sent = self.peer.one("INVITE")
        invite.cancel()
        self.challenge(sent)
        self.assertEqual(self.peer.starts(), ["ACK"])
        self.assertEqual(invite.events, ["failed 407 Answered"])

    def test_a_reinvite(self) -> None:
        invite = self.stage.call(OFFER, self.peer.uri)
        self.stage.advance(0.01)
        self.peer.answer(self.peer.one("INVITE"), 200, body=ANSWER)
        self.peer.take()
        done = invite.session.reinvite(OFFER)
        self.stage.advance(0.01)
        self.challenge(self.peer.one("INVITE"), status=401)
        _, again = self.peer.take()
        self.assertEqual(again.cseq.number, 3)
        self.peer.answer(again, 200, body=ANSWER)
        self.assertEqual(self.successResultOf(done).status, 200)
        self.assertEqual(self.peer.one("ACK").cseq.number, 3)

    def test_who_is_called_may_not_ask(self) -> None:
        """A stranger's challenge in our realm is not answered."""
        stranger = Peer(self.stage, "evil", "10.0.0.66")
        invite = self.stage.call(OFFER, stranger.uri)
        self.stage.advance(0.01)
        sent = stranger.one("INVITE")
        stranger.answer(sent, 401, extra=f"WWW-Authenticate: {challenge()}\r\n")
        self.assertEqual(invite.events, ["failed 401 Answered"])

    def test_a_request_outside(self) -> None:
        seen: list[Response] = []
        done = self.stage.alice.agent.request_outside("MESSAGE", self.peer.uri, from_="<sip:alice@10.0.0.1>")
        done.addCallback(seen.append)
        self.stage.advance(0.01)
        self.challenge(self.peer.one("MESSAGE"), status=401)
        again = self.peer.one("MESSAGE")
        self.assertTrue(again.has("authorization"))
        self.peer.answer(again, 200)
        self.assertEqual(seen[0].status, 200)
