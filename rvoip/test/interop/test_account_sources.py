"""Accounts of phones from another system: an API by HTTPS, and OpenLDAP's slapd."""

from __future__ import annotations

import re

from rvoip.test.interop.accounts_api import AccountsAPI
from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp
from rvoip.test.interop.slapd import Slapd

_PASSWORDS = {"alice": "pw-alice", "bob": "pw-bob"}


class SourceTestCase(InteropTestCase):
    """Phones against a role whose accounts are elsewhere."""

    def registers(
        self, role: Role, user: str, password: str, scenario: str = "register", name: str = ""
    ) -> SIPp:
        """One registration by sipp."""
        phone = self.sipp(
            scenario,
            role.address,
            name=name or f"{scenario}-{user}",
            users=[(user, password)],
            keys={"contact": f"{address(9)}:7777", "expires": "300"},
        )
        phone.succeed()
        return phone

    def calls(self, role: Role) -> None:
        """Two phones, each with an account, and a call between them."""
        alice, bob = self.baresip(role, "alice"), self.baresip(role, "bob")
        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        alice.talks()
        alice.hang_up()
        bob.hung_up()


class HTTPTests(SourceTestCase):
    """An API of accounts."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.api = AccountsAPI(self.folder, address(8), dict(_PASSWORDS))
        self.addCleanup(self.api.stop)

    def source(self, **more: str) -> Role:
        """A role that asks it; its own store has carol only, who is nobody to it."""
        return self.role(tables={**self.api.tables, **more}, users=("carol",))

    def test_phones(self) -> None:
        role = self.source()
        self.calls(role)
        self.assertEqual(set(self.api.requests), {"alice", "bob"})

    def test_unknown_and_wrong(self) -> None:
        """Nobody, somebody of the local store, and a wrong password get the same answer."""
        role = self.source()
        answers = []
        for user, password in (("nobody", "x"), ("carol", "pw-carol"), ("alice", "wrong")):
            phone = self.registers(role, user, password, "register_refused")
            last = phone.received("^SIP/2.0 401")[-1]
            answers.append(re.sub(r'nonce="[^"]*"|tag=\S+|Via: .*|Call-ID: .*', "", last))
        self.assertEqual(
            len({one.replace(u, "U") for one, u in zip(answers, ("nobody", "carol", "alice"))}), 1
        )

    def test_it_goes_down_and_comes_back(self) -> None:
        role = self.source()
        role.expected = ["The source of accounts does not answer"]
        self.registers(role, "alice", "pw-alice")
        self.api.stop()
        # What is known goes on being used, and nobody hears who that is.
        self.registers(role, "alice", "pw-alice", name="again")
        self.registers(role, "bob", "pw-bob", "register_unavailable", name="unknown")
        self.registers(role, "bob", "pw-bob", "register_unavailable", name="unknown-2")
        self.registers(role, "alice", "pw-alice", name="again-2")
        role.said("The source of accounts does not answer, going on with what is in memory: .*refused")
        self.assertRaisesRegex(AssertionError, "the source does not answer", role.get, "/health")
        self.registers(role, "alice", "wrong", "register_unavailable", name="wrong")
        self.api.start()

        def back() -> bool:
            try:
                self.registers(role, "bob", "pw-bob", name=f"bob-{len(self.api.requests)}-{self._tries}")
            except AssertionError:
                self._tries += 1
                return False
            return True

        self._tries = 0
        until(back, "bob registers")
        role.said("The source of accounts answers again")

    def test_slow(self) -> None:
        """No phone waits longer than the time limit for it."""
        role = self.source()
        role.expected = ["The source of accounts does not answer"]
        self.api.delay = 3
        self.registers(role, "alice", "pw-alice", "register_unavailable")

    def test_a_wrong_token(self) -> None:
        role = self.source()
        role.expected = ["The source of accounts does not answer"]
        self.api.token = "another"
        for number in range(3):
            self.registers(role, "alice", "pw-alice", "register_unavailable", name=f"phone-{number}")
        role.said("answers 401: see the token in \\[users.http\\]")

    def test_redirections_are_not_followed(self) -> None:
        role = self.source()
        role.expected = ["The source of accounts does not answer"]
        self.api.status = 302
        for number in range(3):
            self.registers(role, "alice", "pw-alice", "register_unavailable", name=f"phone-{number}")
        role.said("answers 302; redirections are not followed")

    def test_a_certificate_of_somebody_else(self) -> None:
        tables = self.api.tables
        role = self.source(**{"users.http": tables["users.http"].partition("\n")[0]})
        role.expected = ["The source of accounts does not answer"]
        for number in range(3):
            self.registers(role, "alice", "pw-alice", "register_unavailable", name=f"phone-{number}")
        role.said("certificate verify failed")
        self.assertEqual(self.api.requests, [])


class DirectoryTests(SourceTestCase):
    """slapd."""

    def setUp(self) -> None:
        """Start it."""
        super().setUp()
        self.directory = Slapd(self.folder, address(8), _PASSWORDS, DOMAIN)
        self.addCleanup(self.directory.close)

    def source(self, way: str = "ldaps", **options: str) -> Role:
        """A role that asks it."""
        return self.role(tables=self.directory.tables(way, **options), users=("carol",), name=f"by-{way}")

    def test_phones(self) -> None:
        self.calls(self.source())

    def test_start_tls_and_plain(self) -> None:
        for way in "start_tls", "plain":
            role = self.source(way)
            self.registers(role, "alice", "pw-alice", name=f"alice-{way}")
            self.registers(role, "alice", "wrong", "register_refused", name=f"wrong-{way}")
            self.registers(role, "nobody", "x", "register_refused", name=f"nobody-{way}")
            role.close()

    def test_names_that_mean_something_in_a_filter(self) -> None:
        role = self.source()
        for number, user in enumerate(("*", "a*", "alice)(uid=*", "ali*e")):
            self.registers(role, user, "pw-alice", "register_refused", name=f"phone-{number}")

    def test_it_goes_down_and_comes_back(self) -> None:
        role = self.source()
        role.expected = ["The source of accounts does not answer"]
        self.registers(role, "alice", "pw-alice")
        self.directory.stop()
        self.registers(role, "bob", "pw-bob", "register_unavailable")
        self.registers(role, "alice", "pw-alice", name="again")
        self.directory.start()
        self.registers(role, "bob", "pw-bob", name="later")

    def test_a_wrong_password_of_ours(self) -> None:
        role = self.source(password="wrong")
        role.expected = ["The source of accounts does not answer"]
        for number in range(3):
            self.registers(role, "alice", "pw-alice", "register_unavailable", name=f"phone-{number}")
        role.said("refuses bind_dn and its password in \\[users.ldap\\]")
