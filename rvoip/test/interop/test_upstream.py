"""A front end before another registrar: phones come often, that one hears of it seldom."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import PATIENCE, until
from rvoip.test.interop.roles import DOMAIN, Role

_FRONT = "127.0.70.2"


class UpstreamTests(InteropTestCase):
    """baresip behind our front end; the registrar behind is ours, or Kamailio."""

    limit = 90

    def front(self, uri: str, mode: str = "contact", **options: Any) -> Role:
        """A front end that lets phones come every second."""
        return self.role(
            _FRONT,
            {
                "registrar": "authenticate = false\nmin_expires = 1",
                "registrar.upstream": f'uri = "{uri}"\nmode = "{mode}"\nexpires = 600',
            },
            name="front",
            **options,
        )

    def phone(self, front: Role, user: str, domain: str = DOMAIN, account: str = "regint=2") -> Baresip:
        """A phone that refreshes after less than two seconds."""
        phone = Baresip(
            self.folder,
            self.host(),
            f"{user}@{domain}",
            outbound=front.uri(),
            account=f";{account}",
            name=f"{user}-{self._hosts}",
        )
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def counts(self, role: Role) -> dict[str, int]:
        """How many REGISTERs of a front end went on, and how many did not."""
        with urllib.request.urlopen(f"{role.api}/metrics", timeout=PATIENCE) as answer:
            text = answer.read().decode()
        found = re.findall(
            r'^rvoip_\w*upstream_registrations_total\{[^}]*way="(\w+)"[^}]*\} ([0-9.]+)', text, re.M
        )
        return {way: int(float(count)) for way, count in found}

    def comes_often(self, front: Role, times: int = 10) -> None:
        """Wait until phones have come again this often."""
        until(lambda: self.counts(front)["absorbed"] >= times, f"{times} refreshes", 40)

    def test_ours(self) -> None:
        """Ten refreshes are one registration there; a call comes through; a removal goes through."""
        back = self.role()
        front = self.front(back.uri())
        bob = self.phone(front, "bob")
        self.comes_often(front)
        # The first one was asked for its credentials.
        self.assertEqual(self.counts(front)["forwarded"], 2)
        (binding,) = back.bindings("bob")
        self.assertRegex(binding["contact"], rf"^sip:bob@{re.escape(front.address)};gr=up\.")
        alice = self.baresip(back, "alice")
        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        alice.talks()
        alice.hang_up()
        bob.hung_up()
        bob.quit()
        self.assertEqual((back.bindings("bob"), front.bindings("bob")), ([], []))

    def test_two_phones_of_a_user(self) -> None:
        """One binding there; both ring; it stays until the last one has left."""
        back = self.role()
        front = self.front(back.uri(), "aor")
        one, two = self.phone(front, "bob"), self.phone(front, "bob")
        self.comes_often(front, 6)
        self.assertEqual([one["contact"] for one in back.bindings("bob")], [f"sip:bob@{front.address}"])
        alice = self.baresip(back, "alice")
        alice.call(f"sip:bob@{DOMAIN}")
        one.rings()
        two.rings()
        two.answer()
        alice.talks()
        alice.hang_up()
        two.hung_up()
        one.quit()
        self.assertEqual((len(back.bindings("bob")), len(front.bindings("bob"))), (1, 1))
        two.quit()
        self.assertEqual((back.bindings("bob"), front.bindings("bob")), ([], []))

    def test_a_restart(self) -> None:
        """A front end that has forgotten what it knew asks again."""
        back = self.role()
        front = self.front(back.uri())
        self.phone(front, "bob", account="regint=3")
        front.process.stop()
        front.restart()
        self.comes_often(front, 2)
        self.assertIn(self.counts(front)["forwarded"], (1, 2))
        self.assertEqual(len(back.bindings("bob")), 1)

    def test_kamailio(self) -> None:
        """The same with Kamailio's registrar, which asks for no credentials."""
        kamailio = self.kamailio("sip:127.0.70.1:5060")
        front = self.front(kamailio.uri(), domain="kam.test")
        bob = self.phone(front, "bob", "kam.test")
        self.comes_often(front)
        self.assertEqual(self.counts(front)["forwarded"], 1)
        self.assertEqual(len(re.findall("^.*request REGISTER ", kamailio.process.output, re.M)), 1)
        caller = Baresip(self.folder, self.host(), "eve@127.0.70.40", account=";regint=0", name="eve")
        self.addCleanup(caller.close)
        caller.call(kamailio.uri(user="bob"))
        bob.rings()
        bob.answer()
        caller.talks()
        caller.hang_up()
        bob.hung_up()
        bob.quit()
        until(lambda: len(re.findall("request REGISTER ", kamailio.process.output)) == 2, "the removal there")
