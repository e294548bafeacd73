"""REGISTER at a whole role."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from rvoip.test.services.roles import SERVER, RoleCase

REGISTER = (
    "REGISTER {uri} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK{number};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:bob@example.test>;tag=1\r\n"
    "To: <{to}>\r\n"
    "Call-ID: call-{number}\r\n"
    "CSeq: 1 REGISTER\r\n"
    "Contact: <sip:bob@127.0.0.9:5090>\r\n"
    "Content-Length: 0\r\n"
    "\r\n"
)


class Answers(DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[str] = []

    def datagramReceived(self, data: bytes, address: Any) -> None:
        self.got.append(data.decode())


class RefusalTests(RoleCase):
    def test_each_refusal_has_a_tag_of_its_own(self) -> None:
        """Also the first one, and where nothing is kept of a request; the same again gets the same."""
        self.run_role("[registrar]\nauthenticate = false\n", "registrar")
        answers = Answers()
        port = self.reactor.listenUDP(5090, answers, "127.0.0.9")
        self.addCleanup(port.stopListening)
        refused = (
            ("sip:example.test", "sip:example.test", 404),
            ("sip:example.test", "sip:bob@elsewhere.test", 404),
            ("sip:example.test", "tel:+15550100", 400),
        )
        tags = []
        for number, (uri, to, status) in enumerate(refused):
            for _ in range(2):
                port.write(REGISTER.format(uri=uri, to=to, number=number).encode(), SERVER)
                self.reactor.advance(0.1)
            first, again = answers.got
            answers.got.clear()
            self.assertEqual(first, again)
            self.assertTrue(first.startswith(f"SIP/2.0 {status} "), first)
            tags += re.findall(r"\r\nTo: [^\r]*;tag=([0-9a-z]+)\r\n", first)
        self.assertEqual(len(set(tags)), len(refused))
