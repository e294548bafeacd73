"""The 401 that is written from octets is the one that the general way gives."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import DatagramProtocol

from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import SERVER, RoleCase

START = "REGISTER sip:example.test SIP/2.0"
COMMON = (
    "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1",
    "Max-Forwards: 70",
    'From: "Bob" <sip:bob@example.test>;tag=1',
    "To: <sip:bob@example.test>",
    "Call-ID: 1@192.0.2.9",
    "CSeq: 1 REGISTER",
    "Contact: <sip:bob@127.0.0.9:5090>",
    "User-Agent: phone",
    "Content-Length: 0",
)
OTHER = {
    0: (
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1;rport",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1;rport;alias",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport=1;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1;received=192.0.2.1",
        "v: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:99999;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP .;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP -;rport;branch=z9hG4bK1",
    ),
    1: (
        "Max-Forwards: 0",
        "Max-Forwards: 999",
        "Max-Forwards: x",
        "Max-Forwards: 7_0",
        "Max-Forwards:",
        "Max-Forwards: 70\r\nMax-Forwards: 70",
        "Subject: no hops",
    ),
    2: (
        "From: sip:bob@example.test;tag=1",
        "f: <sip:bob@example.test>;tag=1",
        "From: <sip:bob@example.test>",
    ),
    3: (
        "To: Bob <sip:bob@example.test>",
        "To: <sip:bob@example.test>;tag=2",
        "To: <sip:bob@EXAMPLE.test>",
        "To: <sip:bob@elsewhere.test>",
        "To: <sip:example.test>",
        "To: <tel:+1>",
        "To: <sip:bob@example.test>\r\nTo: <sip:al@example.test>",
    ),
    4: ("i: 1@192.0.2.9", "Call-ID: 1 2", "Call-ID:", "Call-ID: 1\r\n 2"),
    5: ("CSeq: 1 INVITE", "CSeq: 99999999999 REGISTER", "CSeq: x REGISTER", "cseq: 1 REGISTER"),
    6: (
        'Contact: "Bob" <sip:bob@127.0.0.9:5090>;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1',
        "Contact: *",
        "Contact: ,",
        "Contact: <",
        'Contact: "bob <sip:bob@127.0.0.9>',
        "Contact: bob bob",
        "Contact: <sip:bob@127.0.0.9>, <sip:al@127.0.0.9>",
        "Expires: 60",
        "Expires: 60\r\nExpires: 61",
        "Expires: soon",
        "Date: now\r\nDate: now",
    ),
    7: (
        "no header",
        ": x",
        "User-Agent: \0",
        "User\0Agent: x",
        "User Agent: x",
        "Require: x",
        "Proxy-Require: x",
        "Authorization: Basic x",
        "Supported: path\r\nSupported: outbound",
        "User-Agent: baresip v1",
        "X-Route: a",
        "Route: <sip:example.test;lr>",
        "Content-Encoding: gzip",
    ),
    8: ("Content-Length: 1", "l: 0", "Content-Length: 0\r\nContent-Length: 0", "Subject: x"),
}
messages = st.builds(
    lambda changed, start: "\r\n".join(
        (start, *[changed.get(number, line) for number, line in enumerate(COMMON)], "", "")
    ).encode(),
    st.fixed_dictionaries({}, optional={number: st.sampled_from(lines) for number, lines in OTHER.items()}),
    st.sampled_from(
        (START, START, START, "REGISTER sip:example.test:5060 SIP/2.0", "REGISTER sip:b.test SIP/2.0")
    ),
)
"""REGISTERs that differ from the common form in some lines."""


class Peer(DatagramProtocol):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.got.append(datagram)


class FirstChallengeTests(RoleCase):
    """A registrar with accounts, asked the same both ways."""

    def setUp(self) -> None:
        super().setUp()
        self.role = self.run_role(name="registrar")
        self.peer = Peer()
        self.port = self.reactor.listenUDP(5090, self.peer, interface="127.0.0.9")
        self.early = self.role.sip.transport.intake.early

    def ask(self, data: bytes, early: bool) -> list[bytes]:
        """What the role says to a datagram, by the short way if `early` and it takes it."""
        self.role.sip.transport.intake.early = self.early if early else None
        self.peer.got.clear()
        transport: Any = self.peer.transport
        transport.write(data, SERVER)
        self.reactor.advance(0.01)
        return [comparable(one) for one in self.peer.got]

    def test_is_what_the_general_way_says(self) -> None:
        """Up to the nonce and the tag, which are new each time, and where branch and rport stand."""

        @given(messages)
        @settings(derandomize=True, deadline=None, max_examples=300)
        def check(data: bytes) -> None:
            self.assertEqual(self.ask(data, True), self.ask(data, False), data)

        check()

    def test_takes_the_common_form(self) -> None:
        """It is counted as any other, and its nonce is good."""
        data = "\r\n".join((START, *COMMON, "", "")).encode()
        general = Counting(self.role)
        (answer,) = self.ask(data, True)
        self.assertTrue(answer.startswith(b"SIP/2.0 401 "))
        self.assertEqual(general.received, 0)
        self.assertEqual(self.role.authenticator.challenged, 1)
        self.assertEqual(self.role.sip.transactions.requests["REGISTER"], 1)
        self.assertEqual(self.role.sip.transactions.responses_sent[4], 1)

    def test_a_phone_registers(self) -> None:
        """With the nonce that it is given."""
        self.add_account(self.role, "bob@example.test")
        phone = self.phone("bob@example.test", "127.0.0.8")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 200)

    def test_not_while_draining(self) -> None:
        """Then the general way says 503."""
        self.role.sip.admission.drain()
        data = "\r\n".join((START, *COMMON, "", "")).encode()
        (answer,) = self.ask(data, True)
        self.assertTrue(answer.startswith(b"SIP/2.0 503 "))


class Counting:
    """Counts what reaches the general way, and hands it on."""

    def __init__(self, role: SIPRole) -> None:
        self.received = 0
        intake = role.sip.transport.intake
        self.receiver: Any = intake.receiver
        intake.receiver = self  # type: ignore[assignment]

    def message_received(self, message: Any, flow: Any) -> Any:
        self.received += 1
        return self.receiver.message_received(message, flow)


def comparable(data: bytes) -> bytes:
    """Without what is new in each answer; a Via says the same in any order."""
    data = re.sub(rb'nonce="[^"]*"', b"", re.sub(rb";tag=[0-9a-f]{16}\r\n", b"\r\n", data))
    return re.sub(
        rb"\r\nVia: ([^\r]*)", lambda via: b"\r\nVia: " + b";".join(sorted(via[1].split(b";"))), data
    )
