"""REGISTER at a whole role."""

from __future__ import annotations

import re
from typing import Any, cast

from twisted.internet.defer import fail, succeed
from twisted.internet.protocol import DatagramProtocol

from rvoip.protocols.sip.message import Response
from rvoip.registrar.binding import Change
from rvoip.registrar.errors import StoreError
from rvoip.test.services.roles import SERVER, RoleCase
from rvoip.testing.phone import Phone

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


class RepeatedTests(RoleCase):
    """A REGISTER whose credentials were right comes again: their nonce count is used, but not the answer."""

    def repeated(self, phone: Phone) -> list[int]:
        """What the last REGISTER was answered, sent three times."""
        sent = phone.sent("REGISTER")[-1]
        for _ in range(2):
            phone.send_raw(sent.to_bytes())
            self.reactor.advance(0.1)
        return [
            cast(Response, one.message).status
            for one in phone.messages
            if not one.sent and one.message.via.branch == sent.via.branch
        ]

    def registered(self, phone: Phone, **more: Any) -> list[int]:
        """What the last REGISTER of a registration was answered, sent three times."""
        self.reactor.result_of(phone.register(**more))
        return self.repeated(phone)

    def test_refused(self) -> None:
        role = self.run_role(name="registrar")
        self.add_account(role, "bob@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.assertEqual(self.registered(bob, expires=5), [423] * 3)
        self.assertEqual(self.registered(bob, contacts=["<sip:bob@192.0.2.1>;q=7"]), [400] * 3)
        self.assertEqual(self.registered(bob, contacts=["<sip:bob@bad_host!>"]), [400] * 3)
        bob.aor = "carol@example.test"
        self.assertEqual(self.registered(bob), [403] * 3)

    def test_a_store_that_cannot_write(self) -> None:
        """Also where the REGISTER takes the short way."""
        role = self.run_role(name="registrar")
        self.add_account(role, "bob@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        store: Any = role.location.store

        def refuse(change: Change) -> Any:
            raise StoreError("full")

        def refuse_later(change: Change) -> Any:
            return fail(StoreError("full"))

        for _ in range(2):  # then with a binding there is
            for refusing in (refuse, refuse_later):
                self.patch(store, "apply", refusing)
                self.assertEqual(self.registered(bob), [503] * 3)
                del store.apply
            self.assertEqual(self.registered(bob), [200] * 3)

    def test_a_contact_that_cannot_be_read_later(self) -> None:
        """Where the store takes its time the answer is the same."""
        role = self.run_role(name="registrar")
        self.add_account(role, "bob@example.test")
        bob = self.phone("bob@example.test", "127.0.64.21")
        self.patch(cast(Any, role.location.store), "lookup", lambda aor, now: succeed(()))
        self.assertEqual(self.registered(bob, contacts=["<sip:bob@bad_host!>"]), [400] * 3)


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
