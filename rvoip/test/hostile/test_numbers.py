"""Texts that Python takes for numbers and SIP does not (row 5): none of them is taken for one."""

from __future__ import annotations

from rvoip.test.hostile.case import HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Datagrams, Message, authorization, by_call, challenges, request

URI = f"sip:{DOMAIN}"
DEFAULT = 3600

NEARLY_700 = (
    "7_00",
    "70_0",
    "+700",
    "-700",
    "0x2bc",
    "7e2",
    "700.0",
    "700L",
    "\u0667\u0660\u0660",
    "\uff17\uff10\uff10",
    "7\u00b200",
    "\x0b700",
    "\x1c700",
    "700\x0c",
    "700\x85",
    "\u2028700",
    "\u00a0700",
    "7" + "0" * 5000,
    "9" * 5000,
)


class NumberTests(HostileCase):
    def register(self, server: Server, contact: str, *headers: str, **more: str) -> Message:
        with Datagrams("127.0.71.201", server.address) as phone:
            wire = request(
                "REGISTER",
                URI,
                f"Contact: {contact}",
                *headers,
                sent_by=phone.sent_by,
                to=f"<sip:n@{DOMAIN}>",
                **more,  # type: ignore[arg-type]
            )
            server.api("DELETE", f"/v1/bindings/n@{DOMAIN}")
            phone.send(wire)
            answer = phone.wait(lambda message: message.status >= 200, 2.0)
            self.assertIsNotNone(answer)
            assert answer is not None
            return answer

    def granted(self, answer: Message) -> str:
        return answer.get("contact").rpartition(";expires=")[2]

    def test_expires(self) -> None:
        """What cannot be read counts as 3600 (RFC 3261 section 20.19), and as nothing near it."""
        server = self.serve("open")
        good = "<sip:n@127.0.71.201:9>"
        self.assertEqual(self.granted(self.register(server, f"{good};expires=700")), "700")
        self.assertEqual(self.granted(self.register(server, good, "Expires: 700")), "700")
        for text in NEARLY_700:
            for contact, headers in ((f"{good};expires={text}", ()), (good, (f"Expires: {text}",))):
                answer = self.register(server, contact, *headers)
                self.assertIn(answer.status, (200, 400), (text, headers))
                if answer.status == 200:
                    self.assertIn(self.granted(answer), (str(DEFAULT), "86400"), (text, headers))

    def test_preference(self) -> None:
        """A q that is none is refused, or is not shown as one."""
        server = self.serve("open")
        for text in ("0_1", "0.5_0", "1e-1", "\u0660.5", "inf", "nan", "-0", "2", "1.001", "0." + "1" * 5000):
            answer = self.register(server, f"<sip:n@127.0.71.201:9>;q={text}")
            self.assertIn(answer.status, (200, 400), text)

    def test_ports(self) -> None:
        server = self.serve("open")
        for text in ("9_9", "+99", "\u0669\u0669", "0x63", "65536", "099999", "-1", "9" * 5000, ""):
            for contact in (f"<sip:n@127.0.71.201:{text}>", f"<sip:n@[::1]:{text}>"):
                self.assertEqual(self.register(server, contact).status, 400, contact)

    def test_sequence_numbers(self) -> None:
        server = self.serve("open")
        for text in NEARLY_700:
            cseq = f"{text} REGISTER"
            self.assertEqual(self.register(server, "<sip:n@127.0.71.201:9>", cseq=cseq).status, 400, cseq)

    def test_hops(self) -> None:
        """A Max-Forwards that is none is refused, not taken for 0 or for many."""
        server = self.serve("open")
        for text in NEARLY_700:
            (answer,) = self.exchange(server, request("MESSAGE", f"sip:nobody@{DOMAIN}", forwards=text))
            self.assertEqual(answer.status, 400, text)

    def test_nonce_counts(self) -> None:
        """Eight hexadecimal digits, of ASCII."""
        server = self.serve("proxy")
        with Datagrams("127.0.71.201", server.address) as phone:
            (asked,) = self.exchange(server, request("REGISTER", URI, to=f"<sip:alice@{DOMAIN}>"))
            challenge = challenges(asked)["MD5"]
            for nc in (
                "0000_001",
                "+0000001",
                "\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661",
                "1",
                "0x000001",
                "000000001",
                "0000000g",
                "00000000",
            ):
                credentials = authorization(challenge, "alice", "x", "REGISTER", URI, nc)
                wire = request(
                    "REGISTER",
                    URI,
                    f"Authorization: {credentials}",
                    sent_by=phone.sent_by,
                    to=f"<sip:alice@{DOMAIN}>",
                )
                phone.send(wire)
                answer = phone.wait(by_call(Message(wire).get("call-id")), 2.0)
                assert answer is not None
                self.assertEqual(answer.status, 400, nc)

    def test_statuses(self) -> None:
        """A response whose status is none is nobody's answer."""
        server = self.serve("proxy")
        for status in ("2_0", "+20", "\u0662\u0660\u0660", "0200", "20", "2000", "2e2", "\x0b00"):
            wire = f"SIP/2.0 {status} OK\r\n".encode() + request("OPTIONS", URI).partition(b"\r\n")[2]
            self.assertEqual(self.exchange(server, wire), [])
