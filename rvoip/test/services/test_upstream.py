"""A front end before another registrar, both whole roles in memory."""

from __future__ import annotations

from typing import Any, cast

from rvoip.protocols.sip.message import Response
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.services.upstream import UpstreamRegistration
from rvoip.test.services.roles import SERVER, RoleCase
from rvoip.testing.phone import Phone

BACK = "127.0.64.30"


class UpstreamCase(RoleCase):
    """The registrar behind has bob's account and asks for its password."""

    mode = "contact"
    more = ""
    front_table = "authenticate = false"

    def setUp(self) -> None:
        super().setUp()
        self.back = self.make_back()
        self.front = self.run_role(
            f'[registrar]\n{self.front_table}\n[registrar.upstream]\nuri = "sip:{BACK}:5060"\n'
            f'mode = "{self.mode}"\n{self.more}'
        )
        self.add_account(self.back, "bob@example.test")

    def make_back(self, text: str = "[registrar]\n") -> SIPRole:
        """A registrar and proxy of the same domain."""
        path = self.folder / "back.toml"
        path.write_text(
            f'[sip]\nlisten = ["udp:{BACK}:5060"]\ndomains = ["example.test"]\n'
            f'[users]\nstore = "sqlite:back.db"\n[http]\nlisten = "none"\n[service]\ndrain_max = 0\n{text}'
        )
        config = load(str(path), "proxy", {})
        return self.begin(SIPRole(self.reactor, "proxy", config, str(path), registrar=True, proxy=True))

    @property
    def registration(self) -> UpstreamRegistration:
        return cast(UpstreamRegistration, self.front.registration)

    @property
    def counts(self) -> tuple[int, int]:
        """REGISTERs that went on, and those that did not."""
        return self.registration.forwarded, self.registration.absorbed

    def registers(self, phone: Phone, expires: int = 60, **more: Any) -> Response:
        """One registration, with credentials when asked for them."""
        return self.reactor.result_of(phone.register(expires=expires, **more))

    def bindings(self, role: SIPRole) -> list[tuple[str, int]]:
        """bob's contacts with what is left of each."""
        now = self.reactor.seconds()
        found = cast(Any, role.location.store).lookup("bob@example.test", now)
        return [(one.contact, one.remaining(now)) for one in found]


class ContactTests(UpstreamCase):
    """One binding upstream for each contact; credentials pass through."""

    def bob(self, host: str = "127.0.64.21", **options: Any) -> Phone:
        return self.phone("bob@example.test", host, **options)

    def test_ten_refreshes(self) -> None:
        bob = self.bob()
        self.assertEqual(self.registers(bob).status, 200)
        self.assertEqual(self.counts, (2, 0))  # the first one was asked for its credentials
        for _ in range(10):
            self.reactor.advance(50)
            answer = self.registers(bob)
            self.assertEqual(answer.status, 200)
            self.assertEqual([one.param("expires") for one in answer.contacts], ["60"])
        self.assertEqual(self.counts, (2, 10))
        ((contact, left),) = self.bindings(self.back)
        self.assertRegex(contact, r"^sip:bob@127\.0\.64\.20:5060;gr=up\.[0-9a-f]{12}\.example\.test$")
        self.assertAlmostEqual(left, 3600 - 500, delta=5)

    def test_what_is_granted_never_outlives_upstream(self) -> None:
        bob = self.bob()
        self.registers(bob)
        for _ in range(80):
            self.reactor.advance(50)
            self.assertEqual(self.registers(bob).status, 200)
            (here,), (there,) = self.bindings(self.front), self.bindings(self.back)
            self.assertLessEqual(here[1], there[1])
        forwarded, absorbed = self.counts
        self.assertLessEqual(forwarded, 4)
        self.assertGreaterEqual(absorbed, 78)

    def test_a_removal_goes_on_at_once(self) -> None:
        bob = self.bob()
        self.registers(bob)
        self.assertEqual(self.reactor.result_of(bob.unregister()).status, 200)
        self.assertEqual((self.bindings(self.front), self.bindings(self.back)), ([], []))

    def test_calls_from_upstream(self) -> None:
        """To the contact that is meant, of two."""
        bob, other = self.bob(), self.bob("127.0.64.22", seed=2)
        self.registers(bob)
        self.registers(other)
        self.assertEqual(len(self.bindings(self.back)), 2)
        caller = Phone(self.reactor, "eve@elsewhere.test", host="127.0.64.25", server=(BACK, 5060)).open()
        self.addCleanup(lambda: self.reactor.result_of(caller.close()))
        call = caller.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        self.assertEqual(len(bob.received("INVITE")) + len(other.received("INVITE")), 2)
        self.reactor.result_of(call.bye())
        self.assertEqual([len(one.received("INVITE")) for one in (bob, other)], [1, 1])

    def test_a_wrong_password(self) -> None:
        bob = Phone(
            self.reactor, "bob@example.test", host="127.0.64.21", server=SERVER, password="wrong"
        ).open()
        self.addCleanup(lambda: self.reactor.result_of(bob.close()))
        self.assertEqual(self.registers(bob).status, 401)
        self.assertEqual(self.bindings(self.front), [])

    def test_nobody_else_is_absorbed(self) -> None:
        """Another source, Call-ID or contact: upstream decides, and here it asks for credentials."""
        bob = self.bob()
        self.registers(bob)
        first = bob.sent("REGISTER")[-1]
        text = first.to_bytes().decode()
        head = [one for one in text.split("\r\n") if not one.startswith("Authorization")]
        plain = "\r\n".join(head).replace("CSeq: 2 ", "CSeq: 7 ")
        self.assertNotEqual(plain, text)
        stranger = self.bob("127.0.64.23", seed=3)
        for sender, changed in (
            (stranger, plain),
            (bob, plain.replace("Call-ID: ", "Call-ID: x")),
            (bob, plain.replace("sip:bob@127.0.64.21", "sip:bob@127.0.64.66")),
            (bob, plain.replace("Expires: 60", "Expires: 0").replace("expires=60", "expires=0")),
        ):
            branch = sender.new_branch()
            sender.send_raw(changed.replace(first.via.branch or "", branch).encode())
            self.reactor.advance(0.5)
            (answer,) = [
                one.message for one in sender.messages if not one.sent and one.message.via.branch == branch
            ]
            self.assertEqual(cast(Response, answer).status, 401, changed)
        self.assertEqual(len(self.bindings(self.front)), 1)
        self.assertEqual(self.counts[1], 0)

    def test_listing(self) -> None:
        """Which contacts there are is told to who may know."""
        bob = self.bob()
        self.registers(bob)
        answer = self.registers(bob, contacts=[])
        self.assertEqual((answer.status, len(answer.contacts)), (200, 1))
        self.assertIn("127.0.64.21", answer.contacts[0].uri_text)
        self.assertGreaterEqual(self.counts[0], 3)

    def test_upstream_is_down(self) -> None:
        bob = self.bob()
        self.registers(bob)
        self.reactor.result_of(self.back.stopService())
        self.reactor.advance(30)
        self.assertEqual(self.registers(bob).status, 200)
        other = self.bob("127.0.64.22", seed=2)
        answer = self.registers(other)
        self.assertIn(answer.status, (503, 504))
        self.assertTrue(answer.has("retry-after"))
        self.assertEqual(len(self.bindings(self.front)), 1)

    def test_too_brief_here(self) -> None:
        answer = self.registers(self.bob(), expires=5)
        self.assertEqual((answer.status, self.counts), (423, (0, 0)))

    def test_forgotten_after_an_operator_has_removed_it(self) -> None:
        bob = self.bob()
        self.registers(bob)
        cast(Any, self.front.location.store).remove("bob@example.test", None, self.reactor.seconds())
        self.assertEqual(self.registers(bob).status, 200)
        self.assertEqual(self.counts[1], 0)


class OutgoingTests(UpstreamCase):
    """Calls of the phones, which the registrar behind asks for credentials."""

    more = f'[[proxy.route]]\nregex = ".+"\nto = "sip:{BACK}:5060"\npublic = true\n'

    def make_back(self, text: str = "") -> SIPRole:
        return super().make_back("[registrar]\n[proxy]\nauthenticate = true\n")

    def test_call(self) -> None:
        self.add_account(self.back, "carol@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.registers(bob)
        carol = Phone(
            self.reactor, "carol@example.test", host="127.0.64.26", server=(BACK, 5060), password="secret"
        ).open()
        self.addCleanup(lambda: self.reactor.result_of(carol.close()))
        self.registers(carol)
        self.talk(bob, carol)
        self.assertEqual(len(carol.received("INVITE")), 1)

    def test_a_phone_that_is_gone(self) -> None:
        """Its contact leads nowhere, and not back again."""
        self.add_account(self.back, "carol@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.registers(bob)
        cast(Any, self.front.location.store).remove("bob@example.test", None, self.reactor.seconds())
        carol = Phone(
            self.reactor, "carol@example.test", host="127.0.64.26", server=(BACK, 5060), password="secret"
        ).open()
        self.addCleanup(lambda: self.reactor.result_of(carol.close()))
        carol.call("sip:bob@example.test")
        self.reactor.result_of(carol.expect(480))
        self.assertEqual([len(carol.received(status)) for status in (404, 480, 482)], [0, 1, 0])


class ShortTests(UpstreamCase):
    """The registrar behind gives less than phones ask for."""

    def make_back(self, text: str = "") -> SIPRole:
        return super().make_back("[registrar]\nmax_expires = 90\n")

    def test_cut(self) -> None:
        bob = self.phone("bob@example.test", "127.0.64.21")
        answer = self.registers(bob, expires=600)
        self.assertEqual([one.param("expires") for one in answer.contacts], ["90"])


class LongTests(UpstreamCase):
    """The registrar behind wants longer ones than we ask for."""

    more = "expires = 60\n"

    def make_back(self, text: str = "") -> SIPRole:
        return super().make_back("[registrar]\nmin_expires = 1800\n")

    def test_423(self) -> None:
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.assertEqual(self.registers(bob).status, 200)
        self.assertEqual([left for _, left in self.bindings(self.back)], [1800])
        self.assertEqual([left for _, left in self.bindings(self.front)], [60])


class AORTests(UpstreamCase):
    """One binding upstream for all contacts."""

    mode = "aor"

    def test_two_phones(self) -> None:
        one, two = (self.phone("bob@example.test", f"127.0.64.2{number}", seed=number) for number in (1, 2))
        self.registers(one)
        self.registers(two)
        self.assertEqual([uri for uri, _ in self.bindings(self.back)], ["sip:bob@127.0.64.20:5060"])
        for _ in range(10):
            self.reactor.advance(50)
            for phone in (one, two):
                self.assertEqual(self.registers(phone).status, 200)
        self.assertEqual(self.counts[1], 20)
        caller = Phone(self.reactor, "eve@elsewhere.test", host="127.0.64.25", server=(BACK, 5060)).open()
        self.addCleanup(lambda: self.reactor.result_of(caller.close()))
        call = caller.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        self.reactor.result_of(call.bye())
        self.assertEqual([len(phone.received("INVITE")) for phone in (one, two)], [1, 1])
        # The first one leaves: upstream keeps its binding until the last one does.
        self.assertEqual(self.registers(one, 0).status, 200)
        self.assertEqual((len(self.bindings(self.front)), len(self.bindings(self.back))), (1, 1))
        self.assertEqual(self.registers(two, 0).status, 200)
        self.assertEqual((self.bindings(self.front), self.bindings(self.back)), ([], []))


class TrustedTests(UpstreamCase):
    """Phones are asked for credentials here, and the registrar behind trusts us."""

    mode = "aor"
    front_table = ""

    def make_back(self, text: str = "") -> SIPRole:
        return super().make_back("[registrar]\nauthenticate = false\n")

    def test_local_credentials(self) -> None:
        self.add_account(self.front, "bob@example.test")
        one, two = (self.phone("bob@example.test", f"127.0.64.2{number}", seed=number) for number in (1, 2))
        for phone in (one, two):
            self.assertEqual(self.registers(phone).status, 200)
        self.assertEqual(self.counts, (1, 1))
        self.assertEqual(self.registers(one, 0).status, 200)
        self.assertEqual(len(self.bindings(self.back)), 1)
        self.assertEqual(self.registers(two, 0).status, 200)
        self.assertEqual(self.bindings(self.back), [])

    def test_a_phone_that_went_without_a_word(self) -> None:
        """The last of them takes the binding there with it."""
        self.add_account(self.front, "bob@example.test")
        one, two = (self.phone("bob@example.test", f"127.0.64.2{number}", seed=number) for number in (1, 2))
        self.registers(one)
        self.registers(two, 120)
        self.reactor.advance(70)
        self.assertEqual((len(self.bindings(self.front)), len(self.bindings(self.back))), (1, 1))
        self.reactor.advance(60)
        self.assertEqual((self.bindings(self.front), self.bindings(self.back)), ([], []))
        # It may come again at once.
        self.assertEqual(self.registers(one).status, 200)
        self.assertEqual(len(self.bindings(self.back)), 1)

    def test_it_cannot_be_told(self) -> None:
        self.add_account(self.front, "bob@example.test")
        self.registers(self.phone("bob@example.test", "127.0.64.21"))
        self.reactor.result_of(self.back.stopService())
        self.reactor.advance(200)
        self.assertEqual(self.bindings(self.front), [])


class UntrustedTests(UpstreamCase):
    """The registrar behind asks for credentials all the same: that is not the phone's to answer."""

    front_table = ""

    def test_local_credentials(self) -> None:
        self.add_account(self.front, "bob@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.assertEqual(self.registers(bob).status, 502)
        self.assertEqual(self.bindings(self.front), [])
