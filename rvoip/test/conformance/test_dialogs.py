"""Calls through a running proxy, along the routes that it recorded, and calls that are given up."""

from __future__ import annotations

import re

from rvoip.test.conformance.agent import Agent, StreamAgent, answer_to
from rvoip.test.conformance.element import Text
from rvoip.test.conformance.proxy_case import ProxyCase


def unsigned(value: str) -> str:
    """A Record-Route value without what says where it leads."""
    return re.sub(";d=[0-9a-f]+", "", value)


class CallTests(ProxyCase):
    """Dialogs along the route set."""

    def call(
        self, caller: Agent | StreamAgent, callee: Agent | StreamAgent, user: str
    ) -> tuple[bytes, Text, Text]:
        """INVITE, 180, 200, ACK: the INVITE as sent, as received, and the 200."""
        wire = caller.request("INVITE", f"sip:{user}@example.test", f"Contact: {caller.contact('caller')}")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", f"Contact: {callee.contact(user)}", tag="callee"))
        self.assertEqual(caller.wait(lambda message: message.status >= 180).status, 180)
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact(user)}", tag="callee"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 200)
        caller.send(caller.in_dialog("ACK", wire, answer, 1))
        ack = callee.wait_for("ACK")
        self.assertEqual(ack.uri, callee.contact(user).partition("<")[2].partition(">")[0])
        self.assertEqual((ack.all("route"), len(ack.values("via"))), ([], 2))
        return wire, got, answer

    def backwards(self, callee: Agent | StreamAgent, got: Text, method: str, number: int) -> bytes:
        """A request of the callee in the dialog."""
        target = got.get("contact").partition("<")[2].partition(">")[0]
        return callee.request(
            method,
            target,
            *[f"Route: {value}" for value in got.values("record-route")],
            sender=f"{got.get('to')};tag=callee",
            to=got.get("from"),
            call_id=got.get("call-id"),
            cseq=f"{number} {method}",
        )

    def check_a_call(self, caller: Agent | StreamAgent, callee: Agent | StreamAgent, user: str) -> None:
        """All of a call goes through the proxy, from either side."""
        wire, got, answer = self.call(caller, callee, user)
        seen, shown = answer.values("record-route"), got.values("record-route")
        self.assertEqual([unsigned(value) for value in seen], [unsigned(value) for value in shown])
        # Each side's leads to the other, and to nobody else.
        self.assertFalse(set(seen) & set(shown))
        for value in shown:
            self.assertIn(";lr", value)
        for number, method in enumerate(("INFO", "UPDATE", "INVITE", "FOO"), 2):
            request = caller.in_dialog(method, wire, answer, number)
            caller.send(request)
            inside = callee.wait_for(method)
            self.assertEqual((inside.all("route"), len(inside.values("via"))), ([], 2))
            callee.send(answer_to(inside, "200 OK", f"Contact: {callee.contact(user)}"))
            self.assertEqual(caller.final(request).status, 200)
            if method == "INVITE":
                caller.send(caller.in_dialog("ACK", wire, answer, number))
                callee.wait_for("ACK")
        request = self.backwards(callee, got, "MESSAGE", 7)
        callee.send(request)
        inside = caller.wait_for("MESSAGE")
        self.assertEqual(inside.all("route"), [])
        caller.send(answer_to(inside, "200 OK"))
        self.assertEqual(callee.final(request).status, 200)
        bye = self.backwards(callee, got, "BYE", 8)
        callee.send(bye)
        caller.send(answer_to(caller.wait_for("BYE"), "200 OK"))
        self.assertEqual(callee.final(bye).status, 200)

    def test_udp(self) -> None:
        """Both over UDP: one Record-Route."""
        caller, callee = self.agent(), self.agent("dialog1")
        self.check_a_call(caller, callee, "dialog1")

    def test_tcp(self) -> None:
        """Both over TCP, each reached by the connection that it has opened."""
        self.check_a_call(self.stream_agent(), self.stream_agent("dialog2"), "dialog2")

    def test_between_transports(self) -> None:
        """Two Record-Routes, and each side reads its own."""
        self.check_a_call(self.agent(), self.stream_agent("dialog3"), "dialog3")
        self.check_a_call(self.stream_agent(), self.agent("dialog4"), "dialog4")

    def test_the_2xx_again(self) -> None:
        """Each copy of a 2xx goes back, as long as the callee sends it (RFC 6026), and each ACK forward."""
        caller, callee = self.agent(), self.agent("again")
        wire, got, answer = self.call(caller, callee, "again")
        for _ in range(3):
            callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('again')}", tag="callee"))
            self.assertEqual(caller.final(wire).get("to"), answer.get("to"))
            caller.send(caller.in_dialog("ACK", wire, answer, 1))
            callee.wait_for("ACK")

    def test_the_callee_hears_one_invite(self) -> None:
        """What the caller sends again is absorbed, and answered with what is known."""
        caller, callee = self.agent(), self.agent("absorbed")
        wire = caller.request("INVITE", "sip:absorbed@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        for _ in range(3):
            caller.send(wire)
            self.assertEqual(caller.wait(lambda message: message.status > 0).status, 180)
        self.assertEqual(callee.nothing(), [])
        callee.send(answer_to(got, "486 Busy Here", tag="x"))
        answer = caller.final(wire)
        self.assertEqual(callee.wait_for("ACK").get("cseq"), "1 ACK")
        caller.send(wire)
        self.assertEqual(caller.final(wire).status, 486)
        caller.acknowledge(wire, answer)
        self.assertEqual((callee.nothing(), caller.nothing(0.2)), ([], []))

    def test_a_request_again(self) -> None:
        """Also others than INVITE; after the answer they are answered the same for a while."""
        caller, callee = self.agent(), self.agent("absorbed2")
        wire = caller.request("MESSAGE", "sip:absorbed2@example.test")
        for _ in range(3):
            caller.send(wire)
        got = callee.wait_for("MESSAGE")
        callee.send(answer_to(got, "202 Accepted", tag="y"))
        first = caller.final(wire)
        caller.send(wire)
        self.assertEqual(caller.final(wire).wire, first.wire)
        self.assertEqual(callee.nothing(), [])

    def test_rfc_2543(self) -> None:
        """Without a magic cookie To, From, Call-ID, CSeq, Request-URI and Via tell transactions apart."""
        caller, callee = self.agent(), self.agent("old")

        def old(method: str, call: str, tag: str = "", branch: str = "") -> bytes:
            lines = [
                f"{method} sip:old@example.test SIP/2.0",
                f"Via: SIP/2.0/UDP {caller.sent_by}{branch}",
                "From: <sip:a@elsewhere.test>",
                f"To: <sip:old@example.test>{tag}",
                f"Call-ID: {call}",
                f"CSeq: 1 {method}",
                "Content-Length: 0",
            ]
            return "\r\n".join([*lines, "", ""]).encode()

        def told(method: str, call: str) -> Text:
            """The next one of this call: until it is answered the proxy sends an INVITE again."""
            return callee.wait(lambda got: (got.method, got.get("call-id")) == (method, call))

        for branch in ("", ";branch=1"):
            call = f"old{branch}"
            wire = old("INVITE", call, branch=branch)
            caller.send(wire)
            got = told("INVITE", call)
            callee.send(answer_to(got, "180 Ringing", tag="old"))
            self.assertEqual(caller.wait(lambda message: message.status > 100).status, 180)
            caller.send(wire)
            self.assertEqual(caller.wait(lambda message: True).status, 180)
            self.assertEqual(callee.nothing(0.03), [])
            cancel = old("CANCEL", call, branch=branch)
            caller.send(cancel)
            self.assertEqual(told("CANCEL", call).values("via"), got.values("via")[:1])
            self.assertEqual(caller.final(cancel).status, 200)
            callee.send(answer_to(got, "487 Request Terminated", tag="old"))
            self.assertEqual(caller.final(wire).status, 487)
            told("ACK", call)
            caller.send(old("ACK", call, ";tag=old", branch))
            self.assertEqual(caller.nothing(0.2), [])
            other = f"{call}-2"
            caller.send(old("INVITE", other, branch=branch))
            callee.send(answer_to(told("INVITE", other), "486 Busy Here", tag="z"))
            self.assertEqual(caller.final(old("INVITE", other)).status, 486)
            caller.send(old("ACK", other, ";tag=z", branch))

    def test_a_stray_response(self) -> None:
        """One that answers nothing that was sent goes nowhere (RFC 6026 section 8.9)."""
        caller, callee = self.agent(), self.agent("stray")
        caller.send(caller.request("MESSAGE", "sip:stray@example.test"))
        got = callee.wait_for("MESSAGE")
        real = self.via_branch(got)
        for branch in ("z9hG4bKmadeup", real + "1"):
            callee.send(answer_to(got, "200 OK").replace(real.encode(), branch.encode()))
        self.assertEqual(caller.nothing(), [])
        callee.send(answer_to(got, "200 OK"))
        self.assertEqual(caller.wait(lambda message: message.status > 100).status, 200)


class CancelTests(ProxyCase):
    """RFC 3261 sections 9 and 16.10."""

    def test_cancel(self) -> None:
        """200 for the CANCEL at once, the callee is cancelled, 487 for the INVITE."""
        caller, callee = self.agent(), self.agent("cancelled")
        wire = caller.request("INVITE", "sip:cancelled@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        cancel = caller.cancel(wire).replace(
            b"\r\nContent-Length", b"\r\nReason: SIP;cause=200\r\nContent-Length"
        )
        caller.send(cancel)
        answer = caller.final(cancel)
        self.assertEqual((answer.status, answer.get("cseq")), (200, "1 CANCEL"))
        asked = callee.wait_for("CANCEL")
        self.assertEqual(asked.values("via"), got.values("via")[:1])
        self.assertEqual(
            (asked.uri, asked.get("cseq"), asked.get("to")), (got.uri, "1 CANCEL", got.get("to"))
        )
        self.assertEqual(asked.get("reason"), "SIP;cause=200")
        callee.send(answer_to(asked, "200 OK"))
        callee.send(answer_to(got, "487 Request Terminated", tag="x"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 487)
        self.assertEqual(callee.wait_for("ACK").values("via"), got.values("via")[:1])
        caller.acknowledge(wire, answer)
        self.assertEqual((caller.nothing(0.2), callee.nothing(0.05)), ([], []))

    def test_before_the_callee_answers(self) -> None:
        """The CANCEL waits until the callee has shown that it has the INVITE (section 9.1)."""
        caller, callee = self.agent(), self.agent("early")
        wire = caller.request("INVITE", "sip:early@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        cancel = caller.cancel(wire)
        caller.send(cancel)
        self.assertEqual(caller.final(cancel).status, 200)
        self.assertNotIn("CANCEL", [head.split()[0] for head in callee.nothing(0.1)])
        callee.send(answer_to(got, "100 Trying"))
        callee.wait_for("CANCEL")
        callee.send(answer_to(got, "487 Request Terminated"))
        self.assertEqual(caller.final(wire).status, 487)

    def test_too_late(self) -> None:
        """A 200 that crosses the CANCEL makes a call, which the caller ends with BYE."""
        caller, callee = self.agent(), self.agent("late")
        wire = caller.request("INVITE", "sip:late@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        caller.send(caller.cancel(wire))
        callee.wait_for("CANCEL")
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('late')}", tag="x"))
        self.assertEqual(caller.final(wire).status, 200)

    def test_of_nothing(self) -> None:
        """481; of a request that is answered 200 without more."""
        caller, callee = self.agent(), self.agent("message")
        self.assertEqual(caller.ask("CANCEL", "sip:message@example.test").status, 481)
        wire = caller.request("MESSAGE", "sip:message@example.test")
        caller.send(wire)
        got = callee.wait_for("MESSAGE")
        cancel = caller.cancel(wire)
        caller.send(cancel)
        self.assertEqual(caller.final(cancel).status, 200)
        callee.send(answer_to(got, "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)
        self.assertEqual(callee.nothing(0.05), [])
