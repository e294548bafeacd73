"""Presence, busy lamps and mailboxes kept by our servers, with PJSIP, baresip and user agents of ours."""

from __future__ import annotations

from rvoip.test.interop.agent import AgentPhone
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.phone import quit_all
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

PIDF = "application/pidf+xml"
DIALOG = "application/dialog-info+xml"


class PresenceTests(InteropTestCase):
    """Phones watch each other by way of a server."""

    def agent(self, role: Role, user: str, **options: object) -> AgentPhone:
        """A user agent of ours that is registered."""
        phone = AgentPhone(self.folder, self.host(), user, proxy=role.uri("udp"), **options)  # type: ignore[arg-type]
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def test_pjsip_watches_pjsip(self) -> None:
        role = self.role(tables={"presence": ""})
        bob = self.pjsip(role, "bob", publish=True)
        alice = self.pjsip(role, "alice")
        alice.do("watch", uri=f"sip:bob@{DOMAIN}")
        alice.wait("buddy", online=False)
        bob.do("present", present=True)
        alice.wait("buddy", online=True)
        bob.do("present", present=False)
        until(lambda: not alice.events("buddy")[-1]["online"], "bob is gone")
        challenge = alice.received(r"^SIP/2.0 407 [^\0]*^CSeq: \d+ SUBSCRIBE")
        self.assertTrue(challenge, "a proxy asks for credentials")
        quit_all(alice, bob)
        role.stop()

    def test_a_registrar_of_its_own(self) -> None:
        """Without a proxy: the phones ask the registrar, and are challenged as in a REGISTER."""
        role = self.role(role="rvoip-registrar", tables={"presence": ""})
        bob = self.pjsip(role, "bob", "tcp", publish=True)
        alice = self.pjsip(role, "alice", "tcp")
        alice.do("watch", uri=f"sip:bob@{DOMAIN}")
        bob.do("present", present=True)
        alice.wait("buddy", online=True)
        self.assertTrue(alice.received(r"^SIP/2.0 401 [^\0]*^CSeq: \d+ SUBSCRIBE"))
        quit_all(alice, bob)
        role.stop()

    def test_baresip_watches_pjsip(self) -> None:
        role = self.role(tables={"presence": ""})
        bob = self.pjsip(role, "bob", publish=True)
        alice = self.baresip(
            role, "alice", contacts=[f'"Bob" <sip:bob@{DOMAIN}>;presence=p2p'], modules=("presence",)
        )
        alice.receives(r"^NOTIFY [^\0]*<basic>closed<")
        bob.do("present", present=True)
        alice.receives(r"^NOTIFY [^\0]*<basic>open<")
        until(lambda: len(alice.sent(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ NOTIFY")) >= 2, "it takes both")
        quit_all(alice, bob)
        role.stop()

    def test_a_busy_lamp(self) -> None:
        role = self.role(tables={"presence": "notify_interval = 0.1"})
        bob = self.baresip(role, "bob")
        alice = self.pjsip(role, "alice")
        carol = self.agent(role, "carol")
        carol.do("subscribe", uri=f"sip:bob@{DOMAIN}", package="dialog", accept=DIALOG)
        carol.wait("notify", package="dialog")

        def lamp() -> str:
            return str(carol.events("notify")[-1]["body"])

        alice.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        until(lambda: "<state>early</state>" in lamp(), "the lamp flashes")
        bob.answer()
        alice.talks()
        until(lambda: "<state>confirmed</state>" in lamp(), "the lamp is lit")
        self.assertIn(f"sip:alice@{DOMAIN}", lamp())
        alice.hang_up()
        until(lambda: "<state>" not in lamp(), "the lamp is out")
        carol.do("unsubscribe")
        carol.wait("notify", state="terminated")
        quit_all(alice, bob, carol)
        role.stop()

    def test_a_message_lamp(self) -> None:
        role = self.role(tables={"presence": ""})
        alice = self.pjsip(role, "alice", mailbox=True)
        bob = self.baresip(role, "bob", modules=("mwi",))
        alice.wait("mailbox", body="Messages-Waiting: no\r\n")
        for user in ("alice", "bob"):
            role.put(f"/v1/presence/{user}@{DOMAIN}/mailbox", {"new": 3, "old": 1})
        alice.wait("mailbox", body="Messages-Waiting: yes\r\nVoice-Message: 3/1 (0/0)\r\n")
        bob.receives(r"^NOTIFY [^\0]*^Messages-Waiting: yes")
        quit_all(alice, bob)
        role.stop()

    def test_a_power_cut(self) -> None:
        """What was published is there again, and whoever watched comes back by itself."""
        role = self.role(tables={"presence": 'store = "sqlite:presence.db"\nmin_expires = 5'})
        bob = self.pjsip(role, "bob", publish=True)
        bob.do("present", present=True)
        bob.receives(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ PUBLISH")
        role.kill()
        role.restart()
        alice = self.pjsip(role, "alice")
        alice.do("watch", uri=f"sip:bob@{DOMAIN}")
        alice.wait("buddy", online=True)
        quit_all(alice, bob)
        role.stop()

    def test_a_stop_sends_the_watchers_away(self) -> None:
        """The one who goes says so, and the next one is asked anew at once."""
        role = self.role(tables={"presence": "", "service": "drain_max = 5"})
        carol = self.agent(role, "carol")
        carol.do("subscribe", uri=f"sip:bob@{DOMAIN}", package="presence", accept=PIDF)
        carol.wait("notify", state="active")
        role.stop()
        carol.wait("unsubscribed", reason="deactivated")
        carol.close()
