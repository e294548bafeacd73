"""Calls that are not answered, or by one of several phones: each outcome as both sides see it."""

from __future__ import annotations

from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN

BOB = f"sip:bob@{DOMAIN}"


class OutcomeTests(InteropTestCase):
    """What becomes of a call."""

    def test_busy(self) -> None:
        """A phone that is in a call, and takes one at a time, is busy: 486."""
        role = self.role()
        callee = self.baresip(role, "bob", calls=1)
        first, second = self.baresip(role, "carol"), self.baresip(role, "alice", "tcp")
        first.call(BOB)
        callee.rings()
        callee.answer()
        first.talks()
        second.call(BOB)
        second.failed(486)
        role.said(f"call sip:alice@{DOMAIN} -> {BOB}.*: 486 ")
        first.hears()
        first.hang_up()
        callee.hung_up()

    def test_refused(self) -> None:
        """The callee refuses by hand: 486."""
        role = self.role()
        caller, callee = self.pjsip(role, "alice"), self.baresip(role, "bob", "tls")
        caller.call(BOB)
        callee.rings()
        caller.wait("call", state="early", status=180)
        callee.refuse()
        caller.failed(486)
        self.assertEqual(len(callee.received("^ACK ")), 1)
        self.assertEqual(callee.events("CALL_ESTABLISHED"), [])

    def test_declined(self) -> None:
        """603 goes back as it is."""
        for transport in "udp", "tls":
            role = self.role(name=f"role-{transport}")
            caller = self.baresip(role, "alice", name=f"alice-{transport}")
            callee = self.pjsip(role, "bob", transport, name=f"bob-{transport}")
            caller.call(BOB)
            callee.rings()
            callee.refuse(603)
            caller.failed(603)
            callee.failed(603)
            caller.receives("^SIP/2.0 603 Decline")
            until(lambda: callee.received("^ACK "), "the ACK of the 603")  # noqa: B023
            role.said(f"{BOB}.*: 603 Decline")

    def test_cancelled(self) -> None:
        """The caller gives up while it rings: CANCEL to the callee, 487 to the caller."""
        for transport in "udp", "tcp", "tls":
            role = self.role(name=f"role-{transport}")
            caller = self.baresip(role, "alice", transport, name=f"alice-{transport}")
            callee = self.baresip(role, "bob", transport, name=f"bob-{transport}")
            caller.call(BOB)
            call_id = callee.rings()
            caller.receives("^SIP/2.0 180")
            caller.hang_up()
            callee.missed()
            self.assertEqual(len(callee.received("^CANCEL ")), 1)
            self.assertTrue(caller.receives(r"^SIP/2.0 200 [^\0]*^CSeq: \d+ CANCEL"))
            self.assertTrue(caller.receives("^SIP/2.0 487 "))
            role.said(f"{BOB}.*: 487 ")
            callee.receives("^ACK ")
            self.assertEqual(
                [m for m in role.ladder(call_id) if m["summary"].startswith("200 OK (INVITE")], []
            )

    def test_cancelled_before_it_rings(self) -> None:
        """A CANCEL that comes before the callee has said anything is held until it has."""
        role = self.role()
        callee = self.sipp("uas_slow")
        self.binds(role, "bob", callee.contact)
        caller = self.pjsip(role, "alice")
        caller.call(BOB)
        caller.receives("^SIP/2.0 100")
        caller.hang_up()
        caller.failed(487)
        callee.succeed()

    def test_no_answer(self) -> None:
        """Nobody takes the phone: the caller gives up after a while, and the phone stops ringing."""
        role = self.role()
        caller, callee = self.pjsip(role, "alice", "tls"), self.pjsip(role, "bob")
        caller.call(BOB)
        callee.rings()
        caller.wait("call", state="early", status=180)
        caller.hang_up()
        callee.missed()
        caller.failed(487)
        callee.receives("^CANCEL ")
        callee.receives("^ACK ")

    def test_phone_gives_up_ringing(self) -> None:
        """A phone that rings for a second only, and then refuses by itself."""
        role = self.role()
        caller, callee = self.baresip(role, "alice"), self.baresip(role, "bob", ring=1)
        caller.call(BOB)
        callee.rings()
        event = caller.wait("CALL_CLOSED")
        self.assertRegex(event["param"], "^(408|480|486|487) ")
        role.said(f"{BOB}.*: {event['param'][:3]} ")

    def test_silent(self) -> None:
        """A phone that is switched off without a word: 408 after 64*T1, T1 being 50 ms here."""
        role = self.role(sip="t1 = 0.05")
        callee = self.sipp("uas_silent")
        self.binds(role, "bob", callee.contact)
        caller = self.baresip(role, "alice")
        caller.call(BOB)
        caller.failed(408)
        call_id = caller.sent("^INVITE ")[0].split("Call-ID: ")[1].split("\n")[0]
        sent = [
            message["text"]
            for message in role.ladder(call_id)
            if message["direction"] == "out" and message["text"].startswith("INVITE ")
        ]
        self.assertEqual(len(set(sent)), 1)
        self.assertIn(len(sent), (6, 7))  # at 0, 1, 3, 7, 15, 31*T1, and 63*T1 unless that is late by one T1

    def test_unknown_user(self) -> None:
        """Nobody of that name: 404."""
        role = self.role()
        for phone in self.baresip(role, "alice"), self.pjsip(role, "carol", "tls"):
            phone.call(f"sip:nobody@{DOMAIN}")
            phone.failed(404)
            self.assertEqual(len(phone.received("^SIP/2.0 404 ")), 1)

    def test_offline(self) -> None:
        """A user who is not registered: 480; and again after a phone has unregistered."""
        role = self.role()
        caller = self.baresip(role, "alice")
        caller.call(BOB)
        caller.failed(480)
        callee = self.baresip(role, "bob")
        callee.quit()
        role.wait_for_bindings("bob", 0)
        caller.call(BOB)
        self.assertRegex(caller.wait("CALL_CLOSED", count=2)["param"], "^480 ")

    def test_unregistered_by_the_operator(self) -> None:
        """`rvoip binding remove` makes a user unreachable."""
        role = self.role()
        caller = self.baresip(role, "alice")
        self.baresip(role, "bob")
        removed = role.rvoip("binding", "remove", f"bob@{DOMAIN}")
        self.assertEqual((removed.returncode, role.bindings("bob")), (0, []), removed)
        caller.call(BOB)
        caller.failed(480)

    def test_early_media(self) -> None:
        """A 183 with SDP comes through, and sound before the answer."""
        role = self.role()
        caller, callee = self.baresip(role, "alice"), self.pjsip(role, "bob", "tcp")
        caller.call(BOB)
        callee.rings()
        callee.do("answer", status=183)
        self.assertRegex(caller.receives("^SIP/2.0 183 "), "(?m)^m=audio")
        caller.wait("CALL_PROGRESS")
        caller.hears()
        self.assertEqual(caller.events("CALL_ESTABLISHED"), [])
        callee.answer()
        caller.talks()
        callee.hears()
        callee.hang_up()
        caller.hung_up()

    def test_connection_lost(self) -> None:
        """A phone whose only way was a connection that has gone is answered for with 480."""
        role = self.role()
        caller, callee = self.baresip(role, "alice"), self.pjsip(role, "bob", "tls")
        callee.close()
        until(lambda: role.get("/v1/status")["connections"] == 0, "the connection is gone")
        caller.call(BOB)
        caller.failed(480)


class ForkTests(InteropTestCase):
    """Two phones of one user."""

    def test_one_answers(self) -> None:
        """Both ring; one answers, the other is cancelled, and the caller talks to the one."""
        role = self.role()
        caller = self.baresip(role, "alice")
        desk = self.baresip(role, "bob", name="desk")
        mobile = self.pjsip(role, "bob", "tls", name="mobile")
        self.assertEqual(len(role.listed("bob")), 2)
        caller.call(BOB)
        self.assertEqual(desk.rings(), mobile.rings())
        mobile.answer()
        caller.talks()
        mobile.talks()
        desk.missed()
        self.assertEqual(len(desk.received("^CANCEL ")), 1)
        self.assertEqual(mobile.received("^CANCEL "), [])
        caller.hears()
        mobile.hears()
        caller.hang_up()
        mobile.hung_up()
        self.assertEqual(desk.received("^BYE "), [])
        self.assertEqual(len(caller.events("CALL_CLOSED")), 1)

    def test_one_is_busy(self) -> None:
        """One refuses, the other goes on ringing and answers: the caller hears nothing of the refusal."""
        role = self.role()
        caller = self.pjsip(role, "alice")
        desk, mobile = self.baresip(role, "bob", name="desk"), self.pjsip(role, "bob", "tcp", name="mobile")
        caller.call(BOB)
        desk.rings()
        mobile.rings()
        desk.refuse()
        desk.receives("^ACK ")
        mobile.answer()
        caller.talks()
        self.assertEqual(caller.received("^SIP/2.0 486"), [])
        mobile.hang_up()
        caller.hung_up()

    def test_all_refuse(self) -> None:
        """When both refuse, the caller gets one answer; a 6xx is preferred (RFC 3261 section 16.7)."""
        role = self.role()
        caller = self.baresip(role, "alice")
        desk, mobile = self.baresip(role, "bob", name="desk"), self.pjsip(role, "bob", name="mobile")
        caller.call(BOB)
        desk.rings()
        mobile.rings()
        desk.refuse()
        desk.receives("^ACK ")
        mobile.refuse(603)
        caller.failed(603)
        self.assertEqual(len(caller.events("CALL_CLOSED")), 1)

    def test_caller_gives_up(self) -> None:
        """Both are cancelled."""
        role = self.role()
        caller = self.baresip(role, "alice", "tls")
        desk, mobile = self.baresip(role, "bob", name="desk"), self.pjsip(role, "bob", "tls", name="mobile")
        caller.call(BOB)
        desk.rings()
        mobile.rings()
        caller.receives("^SIP/2.0 180")
        caller.hang_up()
        desk.missed()
        mobile.missed()
        caller.receives("^SIP/2.0 487 ")

    def test_sequential(self) -> None:
        """With `fork = "sequential"` the phone of higher q rings first, the other when it has refused."""
        role = self.role(tables={"proxy": 'fork = "sequential"'})
        caller = self.baresip(role, "alice")
        mobile = self.baresip(role, "bob", name="mobile", account=";regq=0.3")
        desk = self.baresip(role, "bob", name="desk", account=";regq=0.9")
        self.assertEqual(sorted(binding["q"] for binding in role.bindings("bob")), [0.3, 0.9])
        caller.call(BOB)
        desk.rings()
        caller.receives("^SIP/2.0 180")
        self.assertEqual(mobile.received("^INVITE "), [])
        desk.refuse()
        mobile.rings()
        mobile.answer()
        caller.talks()
        caller.hang_up()
        mobile.hung_up()
