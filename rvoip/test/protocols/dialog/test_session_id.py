"""The session identifier of one end, and the calls that RFC 7989 prints."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.session_id import SessionIdentifier, session_uuid
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.session_headers import NIL_UUID, parse_session_id
from rvoip.test.conformance import GIVEN, messages, octets

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def invite(value: str | None = None) -> Request:
    headers = [] if value is None else [("Session-ID", value)]
    return request(
        "INVITE", "sip:b@x", from_="<sip:a@x>;tag=1", to="<sip:b@x>", call_id="c", cseq=1, headers=headers
    )


class SessionIdentifierTests(SynchronousTestCase):
    def test_a_uuid(self) -> None:
        made = session_uuid(b"\xff" * 16)
        self.assertEqual(made, "ffffffffffff4fffbfffffffffffffff")
        self.assertEqual(parse_session_id(made).local, made)
        self.assertRaises(ValueError, session_uuid, b"short")

    def test_a_call(self) -> None:
        here, there = SessionIdentifier(A), SessionIdentifier(B)
        asked = invite()
        here.apply(asked)
        self.assertEqual(asked.get("session-id"), f"{A};remote={NIL_UUID}")
        self.assertTrue(there.receive(asked))
        answer = respond(asked, 200, to_tag="2")
        there.apply(answer)
        self.assertEqual(answer.get("session-id"), f"{B};remote={A}")
        self.assertTrue(here.receive(answer))
        self.assertFalse(here.receive(answer), "it says nothing new")
        self.assertEqual(here.header, f"{A};remote={B}")

    def test_somebody_else_takes_over(self) -> None:
        here = SessionIdentifier(A, B)
        self.assertTrue(here.receive(invite(f"{C};remote={A}")))
        self.assertEqual(here.header, f"{A};remote={C}")

    def test_what_changes_nothing(self) -> None:
        for value in (None, "garbage", f"{NIL_UUID};remote={A}", f"{A}", f"{B}", f"{B};remote={C}"):
            here = SessionIdentifier(A, B)
            self.assertFalse(here.receive(invite(value)), value)
            self.assertEqual(here.header, f"{A};remote={B}")

    def test_a_transfer(self) -> None:
        here = SessionIdentifier(A, B).continued()
        self.assertEqual(here.header, f"{A};remote={NIL_UUID}")


class ExampleTests(SynchronousTestCase):
    def test_the_call_of_the_rfc(self) -> None:
        """RFC 7989 section 10.1: each end's header follows from what it received before."""
        alice = SessionIdentifier("ab30317f1a784dc48ff824d0d3715d86")
        bob = SessionIdentifier("47755a9de7794ba387653f2099600ef2")
        seen = []
        for entry in messages("sip/rfc-examples"):
            if entry["rfc"] == 7989:
                data = octets("sip/rfc-examples", entry["file"])
                message = parse_message(re.sub(rb"Content-Length: *[^\r]*\r\n", b"", data))
                sender, receiver = (alice, bob) if isinstance(message, Request) else (bob, alice)
                self.assertEqual(parse_session_id(sender.header), message.typed("session-id"))
                receiver.receive(message)
                seen.append(message.cseq.method)
        self.assertEqual(seen, ["INVITE"] * 4 + ["ACK"] * 2)


if not GIVEN:
    del ExampleTests
