"""Calls between two phones through the proxy: ring, answer, talk, hold, resume, hang up; each transport."""

from __future__ import annotations

import re

from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.phone import hear
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

Phone = Baresip | PJSIP


class CallCase(InteropTestCase):
    """What happens in a call that goes well."""

    def calls(self, role: Role, caller: Phone, callee: Phone, *, callee_hangs_up: bool = False) -> str:
        """Call, talk, hold, resume, talk, hang up; returns the Call-ID."""
        caller.call(f"sip:bob@{DOMAIN}")
        call_id = callee.rings()
        self.assertTrue(caller.receives("^SIP/2.0 180"))
        callee.answer()
        self.assertEqual(caller.talks(), call_id)
        self.assertEqual(callee.talks(), call_id)
        hear(caller, callee)
        self.holds(caller, callee)
        hear(caller, callee)
        self.holds(callee, caller)
        hear(caller, callee)
        (callee if callee_hangs_up else caller).hang_up()
        caller.hung_up()
        callee.hung_up()
        self.check_ladder(role, call_id)
        role.said(f"call sip:alice@{DOMAIN} -> sip:bob@{DOMAIN}.*: 200 ")
        role.said("call hung up by sip:{}@".format("bob" if callee_hangs_up else "alice"))
        refusals = r"^SIP/2.0 [3-6][^\0]*^CSeq: \d+ (?!REGISTER)"
        self.assertEqual(caller.received(refusals) + callee.received(refusals), [])
        return call_id

    def holds(self, holder: Phone, held: Phone) -> None:
        """One puts the other on hold, by re-INVITE, and takes the call up again."""
        answered = len(holder.received(r"^SIP/2.0 200[^\0]*^CSeq: \d+ INVITE[^\0]*^m=audio"))
        for direction, answer in ("sendonly", "recvonly"), ("sendrecv", "sendrecv"):
            offers = rf"^INVITE [^\0]*^To: [^\n]*;tag=[^\0]*^a={direction}"
            known = len(held.received(offers))
            if direction == "sendonly":
                holder.hold()
            else:
                holder.resume()
            answered += 1
            until(lambda: len(held.received(offers)) > known, f"{held.name} is offered {direction}")  # noqa: B023
            answers = until(
                lambda: holder.received(r"^SIP/2.0 200[^\0]*^CSeq: \d+ INVITE[^\0]*^m=audio")[answered - 1 :],  # noqa: B023
                f"{holder.name} has an answer to {direction}",
            )
            if answer == "recvonly":
                self.assertRegex(answers[0], "(?m)^a=recvonly")
            else:
                self.assertNotRegex(
                    answers[0], "(?m)^a=(sendonly|recvonly|inactive)"
                )  # sendrecv may go unsaid
            acknowledged = f"^ACK [^\\0]*^CSeq: {answers[0].split('CSeq: ')[1].split(' ')[0]} ACK"
            held.receives(acknowledged)

    def check_ladder(self, role: Role, call_id: str) -> None:
        """Each request of the call went on, and so each final response; those of the dialog by its routes."""
        messages = role.ladder(call_id)
        for what in "INVITE", "ACK", "BYE", "200 ":
            came, went = (
                {
                    found
                    for one in messages
                    if one["direction"] == way and one["summary"].startswith(what)
                    for found in re.findall("(?m)^CSeq: (.*?)\\r", one["text"])
                }
                for way in ("in", "out")
            )
            self.assertEqual(len(came), {"INVITE": 5, "ACK": 5, "BYE": 1, "200 ": 6}[what], what)
            self.assertEqual(came, went)
        requests = [
            one["text"] for one in messages if one["direction"] == "in" and one["text"][:8] != "SIP/2.0 "
        ]
        in_dialog = [text for text in requests if re.search("(?m)^To: .*;tag=", text)]
        self.assertTrue(in_dialog)
        self.assertEqual([text for text in in_dialog if "\nRoute: " not in text], [])


class BaresipTests(CallCase):
    """Two baresips."""

    def test_udp(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice"), self.baresip(role, "bob"))

    def test_udp_callee_hangs_up(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice"), self.baresip(role, "bob"), callee_hangs_up=True)

    def test_tcp(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice", "tcp"), self.baresip(role, "bob", "tcp"))

    def test_tls(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice", "tls"), self.baresip(role, "bob", "tls"))

    def test_udp_to_tls(self) -> None:
        """Requests of either side in the dialog find their way over the connection of the other."""
        role = self.role()
        self.calls(role, self.baresip(role, "alice"), self.baresip(role, "bob", "tls"), callee_hangs_up=True)

    def test_tls_to_udp(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice", "tls"), self.baresip(role, "bob"), callee_hangs_up=True)

    def test_tcp_to_tls(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice", "tcp"), self.baresip(role, "bob", "tls"))

    def test_authenticated(self) -> None:
        """With `authenticate` the caller is asked for credentials, and what it shows goes no further."""
        role = self.role(tables={"proxy": "authenticate = true"})
        caller, callee = self.baresip(role, "alice"), self.baresip(role, "bob")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        self.assertEqual(len(caller.received("^SIP/2.0 407")), 1)
        self.assertTrue(caller.sent("^INVITE [^\\0]*^Proxy-Authorization: Digest"))
        self.assertEqual(callee.received("^Proxy-Authorization"), [])
        callee.answer()
        caller.talks()
        callee.talks()
        caller.hang_up()
        callee.hung_up()

    def test_ladder_command(self) -> None:
        """`rvoip ladder` draws the call that was just made."""
        role = self.role()
        caller, callee = self.baresip(role, "alice"), self.baresip(role, "bob", "tcp")
        caller.call(f"sip:bob@{DOMAIN}")
        call_id = callee.rings()
        callee.answer()
        caller.talks()
        callee.hang_up()
        caller.hung_up()
        drawn = role.rvoip("ladder", call_id)
        self.assertEqual(drawn.returncode, 0, drawn)
        for word in "INVITE", "180 Ringing", "200 ", "ACK", "BYE", caller.host:
            self.assertIn(word, drawn.stdout)


class PJSIPTests(CallCase):
    """baresip and PJSIP, and two PJSIPs."""

    def test_baresip_to_pjsip(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice"), self.pjsip(role, "bob"))

    def test_pjsip_to_baresip(self) -> None:
        role = self.role()
        self.calls(role, self.pjsip(role, "alice"), self.baresip(role, "bob"), callee_hangs_up=True)

    def test_udp_to_tls(self) -> None:
        role = self.role()
        self.calls(role, self.baresip(role, "alice"), self.pjsip(role, "bob", "tls"), callee_hangs_up=True)

    def test_tls_to_udp(self) -> None:
        role = self.role()
        self.calls(role, self.pjsip(role, "alice", "tls"), self.baresip(role, "bob"), callee_hangs_up=True)

    def test_tls_to_tcp(self) -> None:
        role = self.role()
        self.calls(role, self.pjsip(role, "alice", "tls"), self.pjsip(role, "bob", "tcp"))

    def test_udp_to_tcp(self) -> None:
        role = self.role()
        self.calls(role, self.pjsip(role, "alice"), self.pjsip(role, "bob", "tcp"), callee_hangs_up=True)


class LargeTests(CallCase):
    """Requests of more than 1300 octets, which are to go over TCP (RFC 3261 section 18.1.1)."""

    def transports(self, role: Role, call_id: str, summary: str) -> list[str]:
        """The transports that messages of a call were sent over."""
        return [
            message["transport"]
            for message in role.ladder(call_id)
            if message["direction"] == "out" and message["summary"].startswith(summary)
        ]

    def test_to_a_phone_with_tcp(self) -> None:
        """A phone that registered over UDP and listens on TCP too gets a large INVITE over TCP."""
        role = self.role()
        caller, callee = self.pjsip(role, "alice", all_codecs=True), self.baresip(role, "bob")
        call_id = self.calls(role, caller, callee, callee_hangs_up=True)
        self.assertGreater(len(callee.received("^INVITE ")[0]), 1300)
        self.assertEqual(self.transports(role, call_id, "INVITE")[0], "TCP")

    def test_to_a_phone_without_tcp(self) -> None:
        """A phone that has UDP alone gets it over UDP, at once; TCP is tried once for each phone."""
        role = self.role()
        caller, callee = self.pjsip(role, "alice", all_codecs=True), self.pjsip(role, "bob", all_codecs=True)
        call_id = self.calls(role, caller, callee)
        self.assertGreater(len(callee.received("^INVITE ")[0]), 1300)
        sent = self.transports(role, call_id, "INVITE")
        self.assertEqual(sent[:2], ["TCP", "UDP"])
        self.assertEqual((sent.count("TCP"), sent.count("UDP")), (2, 5))
        self.assertLess(self.seconds_to_ring(role, call_id), 2.0)

    def seconds_to_ring(self, role: Role, call_id: str) -> float:
        """How long it took from the INVITE that came to the 180 that went back."""
        messages = role.ladder(call_id)
        rang = next(one for one in messages if one["direction"] == "out" and one["summary"].startswith("180"))
        return float(rang["at"]) - float(messages[0]["at"])
