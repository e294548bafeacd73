"""sipp registers, calls, and asks: scenarios of one message order each, alone and a hundred at a time."""

from __future__ import annotations

import re
from typing import Any

from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp

_QUICK = "t1 = 0.02"
"""T1 of 20 ms: transactions are forgotten after 1.3 s, those that wait for T4 over UDP after 5 s."""
_METHODS = "INFO", "MESSAGE", "OPTIONS", "REFER", "UPDATE", "NOTIFY", "SUBSCRIBE", "PRACK", "PUBLISH", "FROB"


class RegisterTests(InteropTestCase):
    """sipp registers, with MD5: it knows no SHA-256 and speaks no TLS as Debian builds it."""

    def registers(self, transport: str) -> None:
        """One contact, with a time of its own."""
        role = self.role()
        phone = self.sipp(
            "register",
            role.address,
            transport=transport,
            users=[("alice", "pw-alice")],
            keys={"contact": f"{address(11)}:7777", "expires": "300"},
        )
        phone.succeed()
        (binding,) = role.listed("alice")
        self.assertEqual(binding["contact"], f"sip:alice@{address(11)}:7777;transport={transport.upper()}")
        self.assertTrue(290 <= binding["expires"] <= 300, binding)
        (authorized,) = phone.sent("^Authorization: ")
        self.assertIn("algorithm=MD5", authorized)

    def test_udp(self) -> None:
        self.registers("udp")

    def test_tcp(self) -> None:
        self.registers("tcp")

    def test_wrong_password(self) -> None:
        for transport in "udp", "tcp":
            role = self.role(name=f"role-{transport}")
            phone = self.sipp(
                "register_refused",
                role.address,
                name=f"sipp-{transport}",
                transport=transport,
                users=[("alice", "pw-bob")],
                keys={"contact": f"{address(11)}:7777"},
            )
            phone.succeed()
            self.assertTrue(phone.sent("^Authorization: "))
            self.assertEqual(role.listed("alice"), [])

    def test_life_of_bindings(self) -> None:
        """Two contacts at once; a refresh, a removal; `*` with a time is refused, and with 0 removes all."""
        for transport in "udp", "tcp":
            role = self.role(name=f"role-{transport}")
            phone = self.sipp(
                "register_life",
                role.address,
                name=f"sipp-{transport}",
                transport=transport,
                users=[("alice", "pw-alice")],
                keys={"contact": f"{address(11)}:7777"},
            )
            phone.succeed()
            self.assertEqual(role.bindings("alice"), [])
            first = phone.received(r"^SIP/2.0 200[^\0]*^CSeq: 2 ")[0]
            self.assertEqual(len(re.findall("line=[ab]", first)), 2)
            self.assertEqual(sorted(re.findall(r"expires=(\d+)", first)), ["300", "600"])


class CallTests(InteropTestCase):
    """Calls from one sipp to another, whose contact is registered."""

    def callee(self, role: Role, scenario: str, transport: str = "udp", **options: Any) -> SIPp:
        """A sipp that waits for calls to bob."""
        waiting = self.sipp(scenario, transport=transport, name=f"callee-{transport}", **options)
        self.binds(role, "bob", waiting.contact, transport)
        return waiting

    def calls(self, role: Role, caller: str, callee: str, transport: str, count: int) -> tuple[SIPp, SIPp]:
        """`count` calls at 100 a second; all of them go as both scenarios have it."""
        waiting = self.callee(role, callee, transport, calls=count, patience=40)
        calling = self.sipp(
            caller,
            role.address,
            name=f"caller-{transport}",
            transport=transport,
            calls=count,
            rate=100,
            patience=40,
        )
        calling.succeed()
        waiting.succeed()
        return calling, waiting

    def forgets(self, role: Role) -> None:
        """After a while no transaction is left but the INVITEs that Timer D keeps for 32 s at the least."""

        def others() -> list[dict[str, object]]:
            left = role.get("/v1/transactions?limit=1000")["transactions"]
            kept = {
                "kind": "client",
                "method": "INVITE",
                "state": "Completed",
                "transport": "UDP",
                "status": 487,
            }
            return [one for one in left if not kept.items() <= one.items()]

        until(lambda: not others(), "no transaction is left")

    def test_hundred_calls_udp(self) -> None:
        role = self.role(sip=_QUICK)
        self.calls(role, "uac", "uas", "udp", 100)
        self.assertEqual(len(re.findall(f"sip:bob@{DOMAIN}: 200 OK", role.process.output)), 100)
        self.assertEqual(len(re.findall("call hung up by sip:alice", role.process.output)), 100)
        self.forgets(role)

    def test_hundred_calls_tcp(self) -> None:
        role = self.role(sip=_QUICK)
        self.calls(role, "uac", "uas", "tcp", 100)
        self.forgets(role)

    def test_hundred_authenticated_calls(self) -> None:
        """Each is challenged with 407."""
        role = self.role(sip=_QUICK, tables={"proxy": "authenticate = true"})
        calling, waiting = self.calls(role, "uac_auth", "uas", "udp", 100)
        self.assertEqual(len(calling.received("^SIP/2.0 407 ")), 100)
        self.assertEqual(waiting.received("^Proxy-Authorization"), [])

    def test_hundred_cancelled_calls(self) -> None:
        role = self.role(sip=_QUICK)
        calling, waiting = self.calls(role, "uac_cancel", "uas_cancel", "udp", 100)
        self.assertEqual(len(calling.received("^SIP/2.0 487 ")), 100)
        self.assertEqual(len(waiting.received("^CANCEL ")), 100)
        self.forgets(role)

    def test_hundred_cancelled_calls_tcp(self) -> None:
        role = self.role(sip=_QUICK)
        self.calls(role, "uac_cancel", "uas_cancel", "tcp", 100)
        self.forgets(role)

    def test_loss(self) -> None:
        """Both ends lose one message in twenty, each way: every call comes through all the same."""
        role = self.role()
        waiting = self.callee(role, "uas_patient", calls=100, patience=50, lost=5)
        calling = self.sipp(
            "uac_patient", role.address, name="caller", calls=100, rate=50, patience=50, lost=5
        )
        calling.succeed()
        waiting.succeed()
        self.assertEqual(len(re.findall(f"sip:bob@{DOMAIN}: 200 OK", role.process.output)), 100)

    def test_in_a_dialog(self) -> None:
        """A request of any method passes in a dialog, its body untouched."""
        for transport in "udp", "tcp":
            role = self.role(name=f"role-{transport}")
            waiting = self.callee(role, "uas_asked", transport, calls=len(_METHODS))
            asking = [
                self.sipp(
                    "uac_asks",
                    role.address,
                    name=f"caller-{transport}-{method}",
                    transport=transport,
                    method=method,
                )
                for method in _METHODS
            ]
            for each in asking:
                each.succeed()
            waiting.succeed()
            for method in _METHODS:
                (passed,) = waiting.received(f"^{method} sip:bob@{re.escape(waiting.contact)}")
                self.assertIn(f"\n\nin a dialog {method}\n", passed)

    def test_out_of_a_dialog(self) -> None:
        """A request of any method passes to a user's contact, its body untouched."""
        for transport in "udp", "tcp":
            role = self.role(name=f"role-{transport}")
            waiting = self.callee(role, "asked", transport, calls=len(_METHODS))
            asking = [
                self.sipp(
                    "asks",
                    role.address,
                    name=f"caller-{transport}-{method}",
                    transport=transport,
                    method=method,
                )
                for method in _METHODS
            ]
            for each in asking:
                each.succeed()
            waiting.succeed()
            for method in _METHODS:
                (passed,) = waiting.received(f"^{method} sip:bob@{re.escape(waiting.contact)}")
                self.assertIn(f"\n\nout of a dialog {method}\n", passed)
                self.assertRegex(passed, "(?m)^Max-Forwards: 69$")
