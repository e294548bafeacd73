"""Strangers who called one of our users, and relay with what that taught them; or who look for users."""

from __future__ import annotations

import secrets
import time

from rvoip.test.hostile.case import ATTACKER, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Callee, Datagrams, Message, by_call, request

BOB, VICTIM = "127.0.71.203", "127.0.71.204"
STRANGER = "<sip:stranger@elsewhere.test>;tag=stranger"


class RelayTests(HostileCase):
    def test_a_stolen_route(self) -> None:
        """INVITE, MESSAGE, REFER and others with the Route, Call-ID and tags of a real call: nothing leaves
        but what goes to the phone that took it.
        """
        for name, refusal in (("proxy", 407), ("open", 403)):
            server = self.serve(name)
            with (
                Datagrams(ATTACKER, server.address) as thief,
                Callee(BOB, server.address, 200) as bob,
                Callee(VICTIM, server.address, 200) as victim,
            ):
                contact = f"sip:bob@{bob.sent_by}"
                bob.headers = (f"Contact: <{contact}>",)
                register(server, bob, "bob", f"<{contact}>")
                bob.answer()
                victim.answer()
                accepted = self.call(thief)
                self.steal(thief, accepted, f"sip:victim@{victim.sent_by}", refusal)
                for uri in (f"sip:+1900@{bob.sent_by}", f"sip:bob@{BOB}:9"):
                    self.steal(thief, accepted, uri, refusal)
                time.sleep(0.2)
                self.assertEqual(victim.take(), [])
                self.assertEqual({one.uri for one in bob.take()}, {contact})
                # The call itself goes on.
                self.assertEqual(self.within(thief, accepted, "BYE", contact).status, 200)

    def call(self, thief: Datagrams) -> Message:
        wire = request(
            "INVITE",
            f"sip:bob@{DOMAIN}",
            f"Contact: <sip:stranger@{thief.sent_by}>",
            sent_by=thief.sent_by,
            sender=STRANGER,
        )
        thief.send(wire)
        accepted = thief.wait(by_call(Message(wire).get("call-id")), 5.0)
        assert accepted is not None
        self.assertEqual(accepted.status, 200)
        return accepted

    def steal(self, thief: Datagrams, accepted: Message, uri: str, refusal: int) -> None:
        for method in ("INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "OPTIONS", "BYE"):
            answer = self.within(thief, accepted, method, uri, f"Refer-To: <{uri}>")
            self.assertEqual(answer.status, refusal, (method, uri))
        thief.send(self.wire(thief, accepted, "ACK", uri))

    def wire(self, thief: Datagrams, accepted: Message, method: str, uri: str, *headers: str) -> bytes:
        return request(
            method,
            uri,
            *[f"Route: {value}" for value in reversed(accepted.all("record-route"))],
            f"Contact: <sip:stranger@{thief.sent_by}>",
            *headers,
            sent_by=thief.sent_by,
            sender=STRANGER,
            to=accepted.get("to"),
            call_id=accepted.get("call-id"),
            cseq=f"{1 if method == 'ACK' else 2 + secrets.randbelow(10**6)} {method}",
        )

    def within(self, thief: Datagrams, accepted: Message, method: str, uri: str, *headers: str) -> Message:
        wire = self.wire(thief, accepted, method, uri, *headers)
        cseq = Message(wire).get("cseq")
        thief.send(wire)
        answer = thief.wait(lambda one: one.status >= 200 and one.get("cseq") == cseq, 5.0)
        assert answer is not None, (method, uri)
        return answer


class EnumerationTests(HostileCase):
    def test_strangers_do_not_learn_who_has_an_account(self) -> None:
        """alice has one and is not there, the others have none: the answers differ in nothing but names."""
        server = self.serve("proxy")
        server.api("DELETE", f"/v1/bindings/alice@{DOMAIN}")
        with Datagrams(ATTACKER, server.address) as thief:
            for method in ("INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE"):
                seen = {self.shape(server, thief, method, user) for user in ("alice", "nobody", "x", "0")}
                self.assertEqual(
                    [one.split("\n")[0] for one in seen], ["SIP/2.0 480 Temporarily Unavailable"]
                )

    def shape(self, server: Server, thief: Datagrams, method: str, user: str) -> str:
        wire = request(method, f"sip:{user}@{DOMAIN}", sent_by=thief.sent_by, sender=STRANGER)
        thief.send(wire)
        answer = thief.wait(by_call(Message(wire).get("call-id")), 5.0)
        assert answer is not None
        return "\n".join([answer.head, *[name for name, _ in answer.headers]])
