"""Asserted identities and who gets to see them (RFC 3325)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Request
from rvoip.proxy.identity import answered_session, assert_identity, hide_identity, wants_privacy
from rvoip.proxy.proxy import ProxySettings
from rvoip.services.domains import Domains
from rvoip.test.proxy.test_calls import BOB, Base

PAI = "P-Asserted-Identity"
ALICE = '"Alice \\"A\\"" <sip:alice@example.test>'


def request(**headers: str) -> Request:
    made = Request("INVITE", BOB, [], [])
    for name, value in headers.items():
        made.add(name.replace("_", "-"), value)
    return made


class ValueTests(SynchronousTestCase):
    def test_privacy(self) -> None:
        for value, expected in (
            ("id", True),
            ("header; ID ;critical", True),
            ("none", False),
            ("user,id", True),
            ("identity", False),
            ("", False),
        ):
            self.assertEqual(wants_privacy(request(privacy=value)), expected, value)
        self.assertFalse(wants_privacy(request()))

    def test_session_of_our_own_answers(self) -> None:
        one, other, null = "a" * 32, "b" * 32, "0" * 32
        for value, expected in (
            (f"{one};remote={null}", f"{null};remote={one}"),
            (f"{one};remote={other}", f"{other};remote={one}"),
            (one, one),
            ("x", None),
        ):
            found = dict(answered_session(request(session_id=value))).get("Session-ID")
            self.assertEqual(found, expected, value)
        self.assertEqual(answered_session(request()), ())

    def test_hiding(self) -> None:
        for privacy, trusted, stays in (("id", True, True), ("id", False, False), ("none", False, True)):
            made = request(privacy=privacy, p_asserted_identity="<sip:a@b>")
            hide_identity(made, trusted)
            self.assertEqual(made.has("p-asserted-identity"), stays, (privacy, trusted))
            made = request(privacy=privacy, remote_party_id="<sip:a@b>;party=calling")
            hide_identity(made, trusted)
            self.assertEqual(made.has("remote-party-id"), stays, (privacy, trusted))

    def test_a_remote_party_id_says_itself_whether_it_is_private(self) -> None:
        for value, stays in (
            ("<sip:a@b>", True),
            ("<sip:a@b>;privacy=OFF", True),
            ("<sip:a@b>;privacy=full", False),
            ("<sip:a@b>;privacy=off, <sip:c@d>;privacy=uri", False),
            ("nonsense <", False),
        ):
            for trusted in (False, True):
                made = request(remote_party_id=value)
                hide_identity(made, trusted)
                self.assertEqual(made.has("remote-party-id"), stays or trusted, (value, trusted))

    def test_asserting(self) -> None:
        domains = Domains(["example.test"], [])
        for preferred, user, expected in (
            (None, "alice@example.test", "<sip:alice@example.test>"),
            (None, None, None),
            (
                '"Alice \\"A\\"" <sip:alice@example.test>',
                "alice@example.test",
                '"Alice \\"A\\"" <sip:alice@example.test>',
            ),
            ("Boss <sip:boss@example.test>", "alice@example.test", "<sip:alice@example.test>"),
            ("Alice <sip:alice@elsewhere.test>", "alice@example.test", "<sip:alice@example.test>"),
            ("<sip:alice@example.test>", None, None),
            ("nonsense <", "alice@example.test", "<sip:alice@example.test>"),
        ):
            made = request() if preferred is None else request(p_preferred_identity=preferred)
            assert_identity(made, user, domains)
            self.assertEqual(made.get("p-asserted-identity"), expected, preferred)
            self.assertFalse(made.has("p-preferred-identity"))

    def test_what_a_trusted_peer_asserts_stays(self) -> None:
        made = request(p_asserted_identity="<sip:x@y>")
        assert_identity(made, "alice@example.test", Domains(["example.test"], []))
        self.assertEqual(made.get_all("p-asserted-identity"), ["<sip:x@y>"])


class ProxyTests(Base):
    def called(self, *, trusted: bool = False, extra: list[tuple[str, str]] | None = None) -> Any:
        """The INVITE at bob of a call by carol, who is asked for credentials; `trusted` says that bob is."""
        settings = ProxySettings(authenticate=True, assert_identity=True)
        scene = self.scene(settings)
        bob = scene.peer("bob")
        scene.proxy.trusted = lambda flow: trusted and flow.remote[0] == bob.address
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        carol = scene.phone("carol", register=False)
        call = carol.call(BOB, headers=extra or [])
        scene.advance(0.01)
        invite = bob.one()
        call.cancel()
        return invite

    def test_whoever_has_shown_credentials_is_named(self) -> None:
        self.assertEqual(self.called().get_all("p-asserted-identity"), ["<sip:carol@example.test>"])

    def test_privacy(self) -> None:
        private = [("Privacy", "id")]
        self.assertFalse(self.called(extra=private).has("p-asserted-identity"))
        self.assertTrue(self.called(extra=private, trusted=True).has("p-asserted-identity"))

    def test_responses(self) -> None:
        for caller_trusted in (False, True):
            scene = self.scene()
            alice, bob = scene.peer("alice"), scene.peer("bob")
            allowed = {bob.address, *([alice.address] if caller_trusted else [])}
            scene.proxy.trusted = lambda flow: flow.remote[0] in allowed  # noqa: B023
            scene.places.bind("bob", f"sip:bob@{bob.address}")
            alice.send(alice.request())
            bob.send(bob.answer(bob.one(), 200, extra=f"{PAI}: <sip:x@y>\r\nPrivacy: id\r\n"))
            self.assertEqual(alice.one().has("p-asserted-identity"), caller_trusted)


class SessionTests(Base):
    """Session-ID in what the proxy answers by itself (RFC 7989 section 7)."""

    def test_refused_and_timed_out(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        named = f"Session-ID: {'a' * 32};remote={'0' * 32}\r\n"
        expected = f"{'0' * 32};remote={'a' * 32}"
        alice.send(alice.request(uri="sip:nobody@example.test", extra=named))
        self.assertEqual(alice.one().get("session-id"), expected)
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request(extra=named))
        self.assertEqual(bob.take()[0].method, "INVITE")
        scene.advance(40)
        final = next(one for one in alice.take() if one.status >= 200)
        self.assertEqual((final.status, final.get("session-id")), (408, expected))
