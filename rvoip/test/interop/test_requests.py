"""Requests of phones that are no part of setting a call up: they pass in a dialog and outside of one."""

from __future__ import annotations

from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN

ALICE, BOB, CAROL = (f"sip:{user}@{DOMAIN}" for user in ("alice", "bob", "carol"))


class MessageTests(InteropTestCase):
    """MESSAGE (RFC 3428)."""

    def test_out_of_a_dialog(self) -> None:
        """From PJSIP to baresip and back, over UDP and TLS."""
        for transport in "udp", "tls":
            role = self.role(name=f"role-{transport}")
            alice = self.pjsip(role, "alice", transport, name=f"alice-{transport}")
            bob = self.baresip(role, "bob", contacts=[f'"Alice" <{ALICE}>'], name=f"bob-{transport}")
            alice.do("message", uri=BOB, body="good morning, bob: äöü €")
            self.assertEqual(alice.wait("message_status")["status"], 200)
            self.assertIn("\n\ngood morning, bob: äöü €", bob.receives("^MESSAGE sip:bob-"))
            bob.do("contact_next")
            bob.do("message", "good morning, alice")
            self.assertEqual(alice.wait("message")["body"], "good morning, alice")
            bob.receives(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ MESSAGE")

    def test_in_a_dialog(self) -> None:
        """Two PJSIPs talk and write."""
        role = self.role()
        alice, bob = self.pjsip(role, "alice"), self.pjsip(role, "bob", "tcp")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        for writer, reader in (alice, bob), (bob, alice):
            writer.do("say", body=f"said by {writer.name}")
            self.assertEqual(reader.wait("message")["body"], f"said by {writer.name}")
            self.assertEqual(writer.wait("message_status")["status"], 200)
            self.assertRegex(reader.receives("^MESSAGE "), "(?m)^To: .*;tag=")

    def test_nobody_there(self) -> None:
        """404 and 480, as for calls."""
        role = self.role()
        alice = self.pjsip(role, "alice")
        alice.do("message", uri=f"sip:nobody@{DOMAIN}", body="?")
        self.assertEqual(alice.wait("message_status")["status"], 404)
        alice.do("message", uri=BOB, body="?")
        self.assertEqual(alice.wait("message_status", count=2)["status"], 480)


class OptionsTests(InteropTestCase):
    """OPTIONS to a user."""

    def test_baresip_asks(self) -> None:
        """It is answered by the phone, not by us."""
        role = self.role()
        alice, bob = self.baresip(role, "alice", "tls"), self.pjsip(role, "bob")
        alice.do("options", BOB)
        answer = alice.receives(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ OPTIONS")
        self.assertRegex(answer, "(?m)^Supported: .*100rel")
        self.assertNotRegex(answer, "(?m)^Server: rvoip")
        bob.receives("^OPTIONS sip:bob@")


class InDialogTests(InteropTestCase):
    """INFO, UPDATE, PRACK."""

    def test_info(self) -> None:
        """Both ways, with a body (RFC 6086)."""
        role = self.role()
        alice, bob = self.pjsip(role, "alice", "tls"), self.pjsip(role, "bob")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        for sender, receiver in (alice, bob), (bob, alice):
            sender.do(
                "info", type="application/dtmf-relay", body=f"Signal={len(sender.name)}\r\nDuration=160\r\n"
            )
            self.assertIn(f"\n\nSignal={len(sender.name)}\nDuration=160\n", receiver.receives("^INFO "))
            self.assertEqual(sender.wait("transaction", method="INFO", ours=True)["status"], 200)
        alice.hang_up()
        bob.hung_up()

    def test_update(self) -> None:
        """An offer in UPDATE (RFC 3311), by either side."""
        role = self.role()
        alice, bob = self.pjsip(role, "alice"), self.pjsip(role, "bob", "tls")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        for sender, receiver in (alice, bob), (bob, alice):
            sender.do("update")
            self.assertRegex(receiver.receives("^UPDATE "), "(?m)^m=audio")
            self.assertEqual(sender.wait("transaction", method="UPDATE", ours=True)["status"], 200)
            sender.hears()
            receiver.hears()
        bob.hang_up()
        alice.hung_up()

    def test_prack(self) -> None:
        """A phone that demands reliable provisional responses (RFC 3262) has its 180 acknowledged."""
        role = self.role()
        alice, bob = self.pjsip(role, "alice", prack=True), self.pjsip(role, "bob", "tcp", prack=True)
        alice.call(BOB)
        bob.rings()
        self.assertRegex(alice.receives("^SIP/2.0 180"), "(?m)^RSeq: ")
        self.assertRegex(bob.receives("^PRACK "), "(?m)^RAck: ")
        alice.receives(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ PRACK")
        bob.answer()
        alice.talks()
        bob.hears()
        alice.hang_up()
        bob.hung_up()


class TransferTests(InteropTestCase):
    """REFER (RFC 3515): alice sends bob on to carol."""

    def test_by_baresip(self) -> None:
        role = self.role()
        alice = self.baresip(role, "alice")
        bob = self.pjsip(role, "bob", "tls")
        carol = self.baresip(role, "carol", "tcp")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        alice.transfer(CAROL)
        self.assertIn(CAROL, bob.wait("transfer")["to"])
        carol.rings()
        carol.answer()
        carol.talks()
        self.assertRegex(alice.receives(r"^NOTIFY [^\0]*^SIP/2.0 200 "), "(?m)^Event: refer")
        until(lambda: bob.events("call", state="confirmed")[1:], "bob talks to carol")
        carol.hears()
        carol.hang_up()
        bob.wait("call", state="disconnected", remote=CAROL)

    def test_by_pjsip(self) -> None:
        role = self.role()
        alice = self.pjsip(role, "alice", "tls")
        bob = self.baresip(role, "bob")
        carol = self.pjsip(role, "carol")
        alice.call(BOB)
        bob.rings()
        bob.answer()
        alice.talks()
        bob.talks()
        alice.transfer(CAROL)
        self.assertRegex(bob.receives("^REFER "), f"(?m)^Refer-To: .*{CAROL}")
        carol.rings()
        carol.answer()
        carol.talks()
        alice.wait("transfer_status", status=200)
        carol.hears()
        carol.hang_up()
