"""Limits of calls, with phones that show credentials and a gateway that is not ours."""

from __future__ import annotations

import time

from rvoip.services.limits import local_day
from rvoip.test.interop.agent import AgentPhone
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.users.store import UserStore


class LimitTests(InteropTestCase):
    """Alice may have one call at once, to national numbers, and three a day."""

    def test_a_stolen_password(self) -> None:
        gateway = self.sipp("gateway", name="gateway", calls=1000, patience=60)
        role = self.role(
            tables={
                "proxy": "",
                "proxy.numbers": 'country = "49"',
                "proxy.limits": 'calls = 1\ncalls_a_day = 3\nallow = ["national"]',
                "[proxy.limits.class]": 'name = "national"\nprefix = "+49"\nregex = "^1234567$"',
                "[proxy.route]": 'prefix = "0"\nset = "pstn"',
                "[proxy.gateway_set]": f'name = "pstn"\ngateways = ["sip:{gateway.contact}"]',
            }
        )
        alice = self.agent(role)
        first = self.call(alice, "0301234567")
        second = self.agent(role, "second")
        self.refused(second, "0301234568", 486)
        self.refused(second, "0043900123", 403)
        alice.do("hangup")
        alice.hung_up("us")
        until(lambda: self.used(role)["calls"] == 0, "the call is over")
        self.call(second, "0301234567")
        second.do("hangup")
        until(lambda: self.used(role)["calls"] == 0, "the call is over")
        # What was called today outlives a power cut.
        until(lambda: self.kept(role) == 2, "the day is kept")
        role.kill()
        role.restart()
        self.assertEqual(self.used(role)["calls_today"], 2)
        done = role.rvoip("user", "limits", f"alice@{DOMAIN}", "--calls-a-day", "2")
        self.assertEqual(done.returncode, 0)
        until(lambda: self.in_force(role)["calls_a_day"] == 2, "the command is noticed")
        third = self.agent(role, "third")
        self.refused(third, "0301234567", 603)
        self.assertEqual(len(gateway.received("^INVITE")), 2)
        self.assertTrue(first)
        role.said("a call of alice@example.test to sip:0301234567@example.test was refused: it has begun 2")

    def agent(self, role: Role, name: str = "first") -> AgentPhone:
        phone = AgentPhone(self.folder, self.host(), "alice", proxy=role.uri("udp"), name=name)
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def call(self, phone: AgentPhone, number: str) -> str:
        phone.call(f"sip:{number}@{DOMAIN}")
        return phone.talks()

    def refused(self, phone: AgentPhone, number: str, status: int) -> None:
        known = len(phone.events("call", state="failed"))
        phone.call(f"sip:{number}@{DOMAIN}")
        event = phone.wait("call", state="failed", count=known + 1)
        self.assertEqual(event["status"], status)

    def used(self, role: Role) -> dict[str, float]:
        shown: dict[str, float] = role.get(f"/v1/users/alice@{DOMAIN}/limits")["used"]
        return shown

    def in_force(self, role: Role) -> dict[str, int]:
        shown: dict[str, int] = role.get(f"/v1/users/alice@{DOMAIN}/limits")["in_force"]
        return shown

    def kept(self, role: Role) -> int:
        """Calls of today, as they are on disk."""
        with UserStore(f"sqlite:{role.folder / 'users.db'}") as store:
            return store.limits.day(local_day(time.time())[0]).get(f"alice@{DOMAIN}", (0, 0.0))[0]
