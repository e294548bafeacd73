"""User agents of the dialog layer against sipp and baresip, straight and by way of rvoip-proxy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rvoip.test.interop.agent import AgentPhone
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.phone import TalkingPhone, quit_all
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN


class DialogTestCase(InteropTestCase):
    """Starts phones of ours."""

    def agent(self, user: str, **options: Any) -> AgentPhone:
        """A user agent of ours, which must have had no trouble when the test ends."""
        phone = AgentPhone(self.folder, self.host(), user, **options)
        self.addCleanup(phone.close)
        return phone

    def they_change(
        self, ours: AgentPhone, theirs: TalkingPhone, change: Callable[[], None], direction: str
    ) -> None:
        """A re-INVITE of theirs, until its ACK: before that they begin no other."""
        known = len(theirs.sent("^ACK "))
        change()
        ours.wait("offer", direction=direction)
        until(lambda: len(theirs.sent("^ACK ")) > known, f"{theirs.name} acknowledges the answer")

    def ends(self, *phones: AgentPhone) -> None:
        """Nothing is left of calls that have ended, which takes every phone the same time."""
        for phone in phones:
            phone.nothing_left()
        quit_all(*phones)


class SIPpTests(DialogTestCase):
    """Against sipp."""

    def test_called(self) -> None:
        phone = self.agent("bob", answer=200)
        self.sipp("uac", phone.address, calls=20, rate=100).succeed()
        until(lambda: len(phone.events("call", state="disconnected", by="peer")) == 20, "20 calls end")
        phone.quit()

    def test_called_over_tcp(self) -> None:
        phone = self.agent("bob", answer=200)
        self.sipp("uac", phone.address, calls=5, transport="tcp").succeed()
        phone.quit()

    def test_calls(self) -> None:
        phone = self.agent("alice")
        callee = self.sipp("uas")
        phone.call(f"sip:bob@{callee.contact}")
        phone.talks()
        phone.do("hangup")
        phone.hung_up("us")
        callee.succeed()
        phone.quit()

    def test_cancelled(self) -> None:
        phone = self.agent("bob")
        caller = self.sipp("uac_cancel", phone.address)
        phone.rings()
        phone.wait("call", state="disconnected", status=487, by="peer")
        caller.succeed()
        phone.quit()

    def test_cancels(self) -> None:
        phone = self.agent("alice")
        callee = self.sipp("uas_cancel")
        phone.call(f"sip:bob@{callee.contact}")
        phone.wait("call", state="early", status=180)
        phone.do("cancel")
        phone.failed(487)
        callee.succeed()
        phone.quit()

    def test_loss(self) -> None:
        phone = self.agent("bob", answer=200)
        self.sipp("uac_patient", phone.address, calls=20, rate=50, lost=10, patience=50).succeed()
        phone.quit()

    def test_loss_as_caller(self) -> None:
        phone = self.agent("alice", t1=0.2)
        callee = self.sipp("uas_patient", calls=10, lost=10, patience=50)
        for count in range(1, 11):
            phone.call(f"sip:bob@{callee.contact}")
            phone.wait("call", state="confirmed", count=count)
            phone.do("hangup")
            phone.wait("call", state="disconnected", by="us", count=count)
        callee.succeed()
        phone.quit()


class BaresipTests(DialogTestCase):
    """Against baresip, without a proxy."""

    def phone(self, user: str) -> Any:
        host = self.host()
        phone = Baresip(
            self.folder, host, f"{user}@{host}", line=f"<sip:{user}@{host}>;regint=0;answermode=manual"
        )
        self.addCleanup(phone.close)
        return phone

    def test_calls_and_holds(self) -> None:
        ours, theirs = self.agent("alice"), self.phone("bob")
        ours.call(f"sip:bob@{theirs.host}:{theirs.port}")
        theirs.rings()
        ours.wait("call", state="early", status=180)
        theirs.answer()
        ours.talks()
        theirs.hears()
        ours.do("hold")
        ours.wait("done", status=200)
        theirs.receives("a=sendonly")
        ours.do("resume")
        ours.wait("done", status=200, count=2)
        theirs.hears()
        self.they_change(ours, theirs, theirs.hold, "recvonly")
        self.they_change(ours, theirs, theirs.resume, "sendrecv")
        ours.do("hangup")
        theirs.hung_up()
        ours.quit()

    def test_is_called(self) -> None:
        ours, theirs = self.agent("alice"), self.phone("bob")
        theirs.call(f"sip:alice@{ours.address}")
        ours.rings()
        theirs.receives("^SIP/2.0 180")
        ours.do("answer")
        theirs.talks()
        ours.talks()
        theirs.hears()
        theirs.hang_up()
        ours.hung_up("peer")
        ours.quit()

    def test_busy_both_ways(self) -> None:
        ours, theirs = self.agent("alice", answer=486), self.phone("bob")
        theirs.call(f"sip:alice@{ours.address}")
        theirs.failed(486)
        ours.call(f"sip:bob@{theirs.host}:{theirs.port}")
        theirs.rings()
        theirs.refuse()
        ours.failed(486)
        ours.quit()

    def test_cancelled_both_ways(self) -> None:
        ours, theirs = self.agent("alice"), self.phone("bob")
        theirs.call(f"sip:alice@{ours.address}")
        ours.rings()
        theirs.receives("^SIP/2.0 180")
        theirs.hang_up()
        ours.wait("call", state="disconnected", status=487, by="peer")
        ours.call(f"sip:bob@{theirs.host}:{theirs.port}")
        theirs.rings()
        ours.wait("call", state="early", status=180)
        ours.do("cancel")
        ours.failed(487)
        ours.quit()


class ProxyTests(DialogTestCase):
    """By way of rvoip-proxy, which asks for a password."""

    def test_challenged(self) -> None:
        role = self.role(tables={"proxy": "authenticate = true"})
        callee = self.baresip(role, "bob")
        for count, transport in enumerate(("udp", "tcp"), 1):
            caller = self.agent(
                "alice", proxy=role.uri(transport), transport=transport, name=f"alice-{transport}"
            )
            caller.registered()
            caller.call(f"sip:bob@{DOMAIN}")
            callee.wait("CALL_INCOMING", count=count)
            callee.answer()
            caller.talks()
            callee.hears()
            caller.do("hold")
            caller.wait("done", status=200)
            caller.do("hangup")
            caller.hung_up("us")
            callee.wait("CALL_CLOSED", count=count)
            caller.quit()

    def test_tls(self) -> None:
        """Over one connection, which leads both ways."""
        role = self.role(tables={"proxy": "authenticate = true"})
        caller = self.agent("alice", proxy=role.uri("tls"), transport="tls", ca=str(role.ca))
        callee = self.baresip(role, "bob", "tls")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        callee.answer()
        caller.talks()
        callee.hears()
        callee.hold()
        caller.wait("offer", direction="recvonly")
        callee.hang_up()
        caller.hung_up("peer")
        caller.quit()

    def test_a_wrong_password(self) -> None:
        role = self.role(tables={"proxy": "authenticate = true"})
        caller = self.agent("alice", proxy=role.uri("udp"), password="wrong")
        caller.call(f"sip:bob@{DOMAIN}")
        event = caller.wait("call", state="failed")
        self.assertIn(event["status"], (403, 407))
        caller.quit()

    def test_pjsip_with_prack(self) -> None:
        """It demands that provisional responses are acknowledged, and offers no less itself."""
        role = self.role()
        ours = self.agent("alice", proxy=role.uri("udp"))
        theirs = self.pjsip(role, "bob", prack=True)
        ours.registered()
        theirs.call(f"sip:alice@{DOMAIN}")
        ours.rings()
        theirs.wait("call", state="early", status=180)
        ours.do("answer")
        theirs.talks()
        ours.talks()
        self.assertEqual(len(theirs.sent("^PRACK ")), 1)
        theirs.hears()
        self.they_change(ours, theirs, theirs.hold, "recvonly")
        self.they_change(ours, theirs, theirs.resume, "sendrecv")
        known = len(ours.events("offer"))
        theirs.do("update")
        ours.wait("offer", count=known + 1)
        for count, command in enumerate(("hold", "resume", "update"), 1):
            ours.do(command)
            ours.wait("done", status=200, count=count)
        theirs.hears()
        theirs.hang_up()
        ours.hung_up("peer")
        ours.call(f"sip:bob@{DOMAIN}")
        theirs.wait("incoming")
        theirs.do("answer", status=180)
        ours.wait("call", state="early", status=180)
        theirs.answer()
        ours.wait("call", state="confirmed", count=2)
        theirs.receives("^PRACK ")
        ours.do("hangup")
        ours.hung_up("us")
        ours.quit()

    def test_by_way_of_kamailio(self) -> None:
        """A caller whose outbound proxy is a Kamailio: two proxies in the route, of two makes."""
        role = self.role()
        kamailio = self.kamailio(role.uri("udp"))
        callee = self.agent("bob", proxy=role.uri("udp"), t1=0.05)
        callee.registered()
        callers = []
        for count, transport in enumerate(("udp", "tcp"), 1):
            caller = self.agent(
                "erin", proxy=kamailio.uri(transport), transport=transport, name=f"erin-{transport}", t1=0.05
            )
            caller.call(f"sip:bob@{DOMAIN}")
            callee.wait("incoming", count=count)
            callee.do("progress", status=180)
            caller.wait("call", state="early", status=180)
            callee.do("answer")
            caller.talks()
            callee.wait("call", state="confirmed", count=count)
            for phone in caller, callee:
                for command in "hold", "resume", "update":
                    known = len(phone.events("done", status=200))
                    phone.do(command)
                    phone.wait("done", status=200, count=known + 1)
            (caller if count == 1 else callee).do("hangup")
            caller.hung_up("us" if count == 1 else "peer")
            callee.wait("call", state="disconnected", count=count)
            callers.append(caller)
        self.ends(callee, *callers)

    def test_between_two_of_ours(self) -> None:
        role = self.role()
        caller = self.agent("alice", proxy=role.uri("udp"), t1=0.05)
        callee = self.agent("bob", proxy=role.uri("tcp"), transport="tcp", t1=0.05)
        caller.registered()
        callee.registered()
        caller.call(f"sip:bob@{DOMAIN}", offer=False)
        callee.rings()
        caller.wait("call", state="early", status=180)
        callee.do("answer")
        caller.talks()
        callee.talks()
        for phone in caller, callee:
            for command in "hold", "resume", "update":
                known = len(phone.events("done", status=200))
                phone.do(command)
                phone.wait("done", status=200, count=known + 1)
        callee.do("info", body="Signal=5")
        caller.wait("info", body="Signal=5")
        callee.do("hangup")
        caller.hung_up("peer")
        self.ends(caller, callee)
