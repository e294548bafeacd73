"""Transfers, subscriptions and publications of the dialog layer, with baresip and PJSIP at the other end."""

from __future__ import annotations

from typing import Any

from rvoip.test.interop.agent import AgentPhone
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.phone import quit_all
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN

SUMMARY = "application/simple-message-summary"
PIDF = "application/pidf+xml"

PRESENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:bob@example.test">
  <tuple id="t1"><status><basic>{}</basic></status></tuple>
</presence>
"""


class EventsTestCase(InteropTestCase):
    """Starts phones of ours, and baresips that no registrar knows."""

    def agent(self, user: str, **options: Any) -> AgentPhone:
        """A user agent of ours, which must have had no trouble when the test ends."""
        phone = AgentPhone(self.folder, self.host(), user, **options)
        self.addCleanup(phone.close)
        return phone

    def plain(self, user: str, account: str = "regint=0", **options: Any) -> Baresip:
        """A baresip that is called by its address."""
        host = self.host()
        line = f"<sip:{user}@{host}>;answermode=manual;{account}"
        phone = Baresip(self.folder, host, f"{user}@{host}", line=line, **options)
        self.addCleanup(phone.close)
        return phone

    def calls(self, ours: AgentPhone, theirs: Baresip) -> None:
        """A call of ours to a baresip, answered."""
        ours.call(f"sip:{theirs.user}@{theirs.host}:{theirs.port}")
        theirs.rings()
        theirs.answer()
        ours.talks()


class TransferTests(EventsTestCase):
    """REFER (RFC 3515), both roles."""

    def test_baresip_is_sent_on(self) -> None:
        ours, bob, carol = self.agent("alice"), self.plain("bob"), self.agent("carol")
        self.calls(ours, bob)
        ours.do("transfer", uri=f"sip:carol@{carol.address}")
        refer = bob.receives("^REFER ")
        self.assertRegex(refer, "(?m)^Referred-By: <sip:alice@")
        carol.rings()
        carol.do("answer")
        carol.talks()
        event = ours.wait("transferred")
        self.assertEqual((event["outcome"], event["status"]), ("succeeded", 200))
        carol.do("hangup")
        ours.do("hangup")
        for phone in ours, carol:
            phone.quit()

    def test_baresip_is_sent_to_somebody_busy(self) -> None:
        ours, bob, carol = self.agent("alice"), self.plain("bob"), self.agent("carol", answer=486)
        self.calls(ours, bob)
        ours.do("transfer", uri=f"sip:carol@{carol.address}")
        event = ours.wait("transferred")
        self.assertEqual((event["outcome"], event["status"]), ("failed", 486))
        ours.do("hangup")
        ours.quit()

    def test_baresip_sends_us_on(self) -> None:
        ours, bob, carol = self.agent("alice"), self.plain("bob"), self.agent("carol")
        self.calls(ours, bob)
        bob.transfer(f"sip:carol@{carol.address}")
        ours.wait("referred")
        carol.rings()
        carol.do("answer")
        ours.wait("call", state="confirmed", count=2)
        self.assertRegex(bob.receives(r"^NOTIFY [^\0]*^SIP/2.0 200 "), "(?m)^Subscription-State: terminated")
        carol.do("hangup")
        ours.do("hangup")
        for phone in ours, carol:
            phone.quit()

    def test_pjsip_both_ways(self) -> None:
        role = self.role()
        proxy = role.uri("udp")
        bob = self.pjsip(role, "bob", "tcp")
        ours, carol = self.agent("alice", proxy=proxy), self.agent("carol", proxy=proxy)
        ours.registered()
        carol.registered()
        ours.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        ours.talks()
        ours.do("transfer", uri=f"sip:carol@{DOMAIN}")
        bob.wait("transfer")
        carol.rings()
        carol.do("answer")
        carol.talks()
        self.assertEqual(ours.wait("transferred")["outcome"], "succeeded")
        carol.do("hangup")
        ours.do("hangup")
        # And the other way.
        ours.call(f"sip:bob@{DOMAIN}")
        until(lambda: len(bob.events("incoming")) == 2, "bob rings again")
        bob.answer()
        ours.wait("call", state="confirmed", count=2)
        bob.transfer(f"sip:carol@{DOMAIN}")
        ours.wait("referred")
        carol.wait("incoming", count=2)
        carol.do("answer")
        bob.wait("transfer_status", status=200)
        carol.do("hangup")
        ours.do("hangup")
        for phone in ours, carol:
            phone.quit()

    def test_pjsip_takes_over_a_call(self) -> None:
        """Attended: PJSIP's new call replaces the one that we asked with (RFC 5589 section 7)."""
        role = self.role()
        proxy = role.uri("udp")
        bob = self.pjsip(role, "bob", "tcp")
        ours, carol = self.agent("alice", proxy=proxy), self.agent("carol", proxy=proxy)
        ours.registered()
        carol.registered()
        ours.call(f"sip:bob@{DOMAIN}")
        bob.rings()
        bob.answer()
        ours.talks()
        ours.call(f"sip:carol@{DOMAIN}")
        carol.rings()
        carol.do("answer")
        ours.wait("call", state="confirmed", count=2)
        ours.do("connect")
        bob.wait("transfer")
        self.assertTrue(carol.wait("incoming", count=2)["replaces"])
        carol.do("answer")
        self.assertEqual(ours.wait("transferred")["outcome"], "succeeded")
        ours.hung_up("peer")
        carol.do("hangup")
        ours.do("hangup")
        for phone in ours, carol:
            phone.quit()


class SubscriptionTests(EventsTestCase):
    """SUBSCRIBE and NOTIFY (RFC 6665), both roles."""

    def theirs(self, user: str, ours: AgentPhone, **options: Any) -> PJSIP:
        """A PJSIP that has registered at a phone of ours, which answers all of its requests."""
        phone = PJSIP(self.folder, self.host(), user, f"sip:{ours.address}", **options)
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def test_pjsip_watches_its_mailbox(self) -> None:
        """message-summary (RFC 3842)."""
        ours = self.agent("server")
        ours.do("serve", package="message-summary", accept=SUMMARY, text="Messages-Waiting: no\r\n")
        phone = self.theirs("bob", ours, mailbox=True)
        watcher = ours.wait("watcher", package="message-summary")
        self.assertEqual(watcher["resource"], f"sip:bob@{DOMAIN}")
        phone.wait("mailbox", body="Messages-Waiting: no\r\n")
        text = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n"
        ours.do("serve", package="message-summary", accept=SUMMARY, text=text)
        phone.wait("mailbox", body=text)
        phone.quit()
        ours.wait("watcher_gone")
        ours.quit()

    def test_pjsip_watches_and_is_watched(self) -> None:
        ours = self.agent("server")
        ours.do("serve", package="presence", accept=PIDF, text=PRESENT.format("closed"))
        phone = self.theirs("bob", ours)
        phone.do("watch", uri=f"sip:alice@{DOMAIN}")
        ours.wait("watcher", package="presence", resource=f"sip:alice@{DOMAIN}")
        phone.wait("buddy", online=False)
        ours.do("serve", package="presence", accept=PIDF, text=PRESENT.format("open"))
        phone.wait("buddy", online=True)
        contact = ours.wait("registered")["contact"]
        ours.do("subscribe", uri=contact.partition("<")[2].partition(">")[0], package="presence", accept=PIDF)
        self.assertIn("closed", ours.wait("notify", package="presence")["body"])
        phone.do("present", present=True)
        until(lambda: "open" in ours.events("notify", package="presence")[-1]["body"], "bob is there")
        ours.do("unsubscribe")
        self.assertEqual(ours.wait("unsubscribed")["status"], 0)
        phone.quit()
        ours.wait("watcher_gone")
        ours.quit()

    def test_baresip_watches_our_presence(self) -> None:
        ours = self.agent("bob")
        ours.do("serve", package="presence", accept=PIDF, text=PRESENT.format("closed"))
        theirs = self.plain(
            "alice", contacts=[f'"Bob" <sip:bob@{ours.address}>;presence=p2p'], modules=("presence",)
        )
        ours.wait("watcher", package="presence")
        theirs.receives(r"^NOTIFY [^\0]*<basic>closed<")
        ours.do("serve", package="presence", accept=PIDF, text=PRESENT.format("open"))
        theirs.receives(r"^NOTIFY [^\0]*<basic>open<")
        until(lambda: len(theirs.sent(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ NOTIFY")) >= 2, "it takes both")
        ours.quit()

    def test_we_watch_baresip(self) -> None:
        ours = self.agent("alice", t1=0.05)
        theirs = self.plain(
            "bob", contacts=[f'"Alice" <sip:alice@{ours.address}>;access=allow'], modules=("presence",)
        )
        ours.do("subscribe", uri=f"sip:bob@{theirs.host}:{theirs.port}", package="presence", accept=PIDF)
        self.assertIn("basic", ours.wait("notify", package="presence")["body"])
        ours.do("unsubscribe")
        self.assertEqual(ours.wait("unsubscribed")["status"], 0)
        ours.nothing_left()
        ours.quit()

    def test_through_a_proxy(self) -> None:
        """In a dialog whose requests go over the proxy, which asks for passwords."""
        role = self.role(tables={"proxy": "authenticate = true"})
        alice = self.agent("alice", proxy=role.uri("udp"), t1=0.05)
        bob = self.agent("bob", proxy=role.uri("tcp"), transport="tcp", t1=0.05)
        alice.registered()
        bob.registered()
        bob.do("serve", package="dialog", accept="application/dialog-info+xml", text="<none/>")
        alice.do("subscribe", uri=f"sip:bob@{DOMAIN}", package="dialog", accept="application/dialog-info+xml")
        alice.wait("notify", body="<none/>")
        bob.do("serve", package="dialog", accept="application/dialog-info+xml", text="<one/>")
        alice.wait("notify", body="<one/>")
        alice.do("unsubscribe")
        alice.wait("notify", state="terminated")
        bob.wait("watcher_gone")
        for phone in alice, bob:
            phone.nothing_left()
        quit_all(alice, bob)
