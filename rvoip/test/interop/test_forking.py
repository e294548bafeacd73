"""Users with several phones, redirected and forwarded calls, seen by sipp and baresip."""

from __future__ import annotations

import re
from typing import Any

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp


class ForkingCase(InteropTestCase):
    """alice, a sipp, calls bob, who has several sipps."""

    def phone(
        self, role: Role, name: str, scenario: str, user: str = "bob", q: str = "1.0", **more: Any
    ) -> SIPp:
        """A phone of a user that goes by a scenario once."""
        waiting = self.sipp(scenario, name=name, **more)
        registering = self.sipp(
            "register",
            role.address,
            host=waiting.host,
            name=f"register-{name}",
            users=[(user, f"pw-{user}")],
            keys={"contact": waiting.contact, "expires": f"600;q={q}"},
        )
        registering.succeed()
        return waiting

    def call(self, role: Role, *phones: SIPp) -> SIPp:
        """A call that is taken and hung up, and goes as the scenarios of the phones have it."""
        calling = self.sipp("uac", role.address, name="caller")
        calling.succeed()
        for phone in phones:
            phone.succeed()
        return calling

    def cancelled_because(self, phone: SIPp, reason: str) -> None:
        (cancel,) = phone.received("^CANCEL ")
        self.assertIn(f"\nReason: {reason}\n", cancel)


class ForkTests(ForkingCase):
    def test_by_q(self) -> None:
        """The preferred phone rings for a second, then the next."""
        role = self.role(tables={"proxy": 'fork = "sequential"\nring = 1.0'})
        desk = self.phone(role, "desk", "uas_cancel", q="0.9")
        mobile = self.phone(role, "mobile", "uas", q="0.4")
        self.call(role, desk, mobile)
        self.cancelled_because(desk, 'SIP;cause=408;text="Request Timeout"')

    def test_all_at_once(self) -> None:
        """The one that is quicker has the call, and the other is told so."""
        role = self.role()
        desk = self.phone(role, "desk", "uas_cancel")
        mobile = self.phone(role, "mobile", "uas_late")
        self.call(role, desk, mobile)
        self.cancelled_because(desk, 'SIP;cause=200;text="Call completed elsewhere"')

    def test_a_phone_that_comes_while_it_rings(self) -> None:
        role = self.role()
        desk = self.phone(role, "desk", "uas_cancel")
        calling = self.sipp("uac", role.address, name="caller")
        until(lambda: desk.received("^INVITE "), "the call")
        mobile = self.phone(role, "mobile", "uas")
        for one in (calling, mobile, desk):
            one.succeed()
        self.cancelled_because(desk, 'SIP;cause=200;text="Call completed elsewhere"')


class DivertedTests(ForkingCase):
    def test_a_redirection_is_followed(self) -> None:
        role = self.role(tables={"proxy": "recurse = true"})
        bob = self.phone(role, "bob", "uas_moved", keys={"target": f"sip:carol@{DOMAIN}"})
        carol = self.phone(role, "carol", "uas", user="carol")
        calling = self.call(role, bob, carol)
        self.assertEqual(calling.received("^SIP/2.0 3"), [])
        (invite,) = carol.received("^INVITE ")
        self.assertIn(f"\nDiversion: <sip:bob@{DOMAIN}>;reason=deflection;", invite)
        self.assertEqual(len(re.findall("^History-Info: ", invite, re.M)), 3)

    def test_a_busy_user_has_forwarded(self) -> None:
        forward = f'[[proxy.forward]]\nuser = "bob@{DOMAIN}"\nbusy = "carol"\n'
        role = self.role(tables={"proxy": f"\n{forward}"})
        bob = self.phone(role, "bob", "uas_busy")
        carol = self.phone(role, "carol", "uas", user="carol")
        calling = self.call(role, bob, carol)
        self.assertEqual(calling.received("^SIP/2.0 [3-6]"), [])
        (invite,) = carol.received("^INVITE ")
        self.assertIn(f"\nDiversion: <sip:bob@{DOMAIN}>;reason=user-busy;", invite)

    def test_all_calls_are_forwarded_to_a_stranger(self) -> None:
        """By bob's wish, so that no credentials are asked of the caller."""
        other = self.sipp("uas", name="other")
        forward = f'[[proxy.forward]]\nuser = "bob"\nalways = "sip:other@{other.contact}"\n'
        role = self.role(tables={"proxy": f"\n{forward}"})
        self.call(role, other)


class GRUUTests(InteropTestCase):
    """baresip asks for GRUUs and calls with them."""

    def test_a_device_is_called(self) -> None:
        role = self.role()
        bob = self.baresip(role, "bob", account=";sipnat=outbound", modules=("uuid",))
        alice = self.pjsip(role, "alice")
        answers = bob.received("^SIP/2.0 200 [^\\0]*pub-gruu=")
        self.assertTrue(answers, bob.sent("^REGISTER "))
        gruu = re.findall('pub-gruu="([^"]+)"', answers[-1])[0]
        self.assertRegex(gruu, f"^sip:bob@{DOMAIN};gr=urn:uuid:")
        alice.call(f"<{gruu}>")
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        # Its Contact is the GRUU as well.
        self.assertIn(f"\nContact: <{gruu}>\n", bob.sent("^SIP/2.0 200 [^\\0]*^CSeq: \\d+ INVITE")[0])
        alice.hang_up()
        bob.hung_up()


class StatelessTests(ForkingCase):
    """Forwarding without transactions."""

    def stateless(self, caller: str, callee: str, transport: str) -> tuple[Role, SIPp, SIPp]:
        role = self.role(tables={"proxy": "stateless = true"})
        waiting = self.sipp(callee, name="callee", calls=20, transport=transport)
        self.binds(role, "bob", waiting.contact, transport)
        calling = self.sipp(caller, role.address, name="caller", calls=20, rate=20, transport=transport)
        calling.succeed()
        waiting.succeed()
        return role, calling, waiting

    def test_calls(self) -> None:
        for transport in "udp", "tcp":
            role, _, _ = self.stateless("uac", "uas", transport)
            self.assertEqual(role.get("/v1/transactions?limit=100")["transactions"], [])
            role.close()
            self.folder = self.folder / "next"
            self.folder.mkdir()

    def test_cancelled_calls(self) -> None:
        _, calling, waiting = self.stateless("uac_cancel", "uas_cancel", "udp")
        self.assertEqual(len(calling.received("^SIP/2.0 487 ")), 20)
        self.assertEqual(len(waiting.received("^CANCEL ")), 20)


class FamilyTests(ForkingCase):
    def test_a_call_between_ipv4_and_ipv6(self) -> None:
        """Each side is told the address of its own family (RFC 5658)."""
        port = free_port("::1")
        role = self.role(listen=[f"udp:[::1]:{port}"])
        waiting = self.sipp("uas", host="::1", name="callee")
        self.binds(role, "bob", waiting.contact, address=f"[::1]:{port}")
        self.call(role, waiting)
        (invite,) = waiting.received("^INVITE ")
        first, second = re.findall("^Record-Route: <sip:([^;>]+)", invite, re.M)
        self.assertEqual((first, second), (f"[::1]:{port}", role.address))
