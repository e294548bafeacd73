"""What a proxy changes in a message, and what it must not touch (RFC 3261 section 16.6, RFC 3325)."""

from __future__ import annotations

import re
from typing import Any

from rvoip.test.proxy.scene import DOMAIN, PROXY
from rvoip.test.proxy.test_calls import Base

STRANGE = (
    "X-Unknown:   leading blanks and trailing ones  ",
    "x-lower-case: \u00e9\u4e16 \U0001f600",
    'Subject: "quotes", commas, ;semicolons= and <brackets>',
    "s2: compact-looking",
    "Call-Info: <http://a.example/x>;purpose=icon, <http://b.example/y>",
    "P-Preferred-Identity: <sip:alice@example.test>",
    "Geolocation: <cid:target123@example>;routing-allowed=yes",
    "Identity: abc;info=<https://x>;alg=ES256",
    "X-Empty:",
    "X-Tabs:\ta\tb",
)


class HeaderBase(Base):
    def setUp(self) -> None:
        self.scene_ = self.scene()
        self.alice = self.scene_.peer("alice")
        self.bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{self.bob.address}")

    def forwarded(self, **more: Any) -> Any:
        self.alice.send(self.alice.request(**more))
        return self.bob.one()


class UntouchedTests(HeaderBase):
    def test_a_request_but_for_what_a_proxy_adds(self) -> None:
        extra = "".join(f"{line}\r\n" for line in STRANGE)
        text = self.alice.request(call_id="c", extra=extra, body="\x00\x01binary\r\n\r\n")
        self.alice.send(text.encode())
        came = self.bob.one()
        before = text.split("\r\n\r\n")[0].split("\r\n")[1:]
        after = came.lines
        kept = [line for line in before if not line.startswith(("Max-Forwards", "Via"))]
        rest = [line for line in after if line in kept]
        self.assertEqual(rest, kept)
        added = [line.partition(":")[0] for line in after if line not in kept]
        self.assertEqual(sorted(added), ["Max-Breadth", "Max-Forwards", "Record-Route", "Via", "Via"])
        self.assertEqual(came.body, b"\x00\x01binary\r\n\r\n")

    def test_a_response_but_for_its_via(self) -> None:
        invite = self.forwarded()
        extra = "".join(f"{line}\r\n" for line in STRANGE)
        text = self.bob.answer(invite, 299, extra=extra)
        self.bob.send(text)
        came = self.alice.one()
        # Our own Record-Route value is signed anew.
        (sealed,) = re.findall(r"(?<=;d=)\w+", str(came))
        text = re.sub(r"(?<=;d=)\w+", sealed, text)
        before = text.split("\r\n\r\n")[0].split("\r\n")
        self.assertEqual(came.start_line, "SIP/2.0 299 Answered")
        self.assertEqual(came.lines, [line for line in before[1:] if PROXY not in line or "Via" not in line])
        self.assertEqual(len(came.vias), 1)

    def test_octets_that_are_no_utf8(self) -> None:
        data = self.alice.request(extra="X-Raw: \x80\x81\r\n").encode("latin-1")
        self.alice.wire.send(data, (PROXY, 5060))
        self.scene_.advance(0.001)
        self.assertIn(b"X-Raw: \x80\x81\r\n", self.bob.one().to_bytes())

    def test_compact_forms_stay_compact(self) -> None:
        text = (
            self.alice.request(call_id="c")
            .replace("Call-ID:", "i:")
            .replace("From:", "f:")
            .replace("To:", "t:")
            .replace("Contact:", "m:")
        )
        self.alice.send(text)
        lines = self.bob.one().lines
        for name in ("i:", "f:", "t:", "m:"):
            self.assertEqual(len([line for line in lines if line.startswith(name)]), 1)


class AddedTests(HeaderBase):
    def test_max_forwards_and_max_breadth(self) -> None:
        came = self.forwarded()
        self.assertEqual((came.get("max-forwards"), came.get("max-breadth")), ("69", "50"))
        for method, share in (("INVITE", "4"), ("MESSAGE", "7")):
            came = self.forwarded(method=method, extra="Max-Breadth: 7\r\n")
            self.assertEqual(came.get_all("max-breadth"), [share])

    def test_a_request_without_max_forwards_gets_70(self) -> None:
        self.alice.send(self.alice.request().replace("Max-Forwards: 70\r\n", ""))
        self.assertEqual(self.bob.one().get("max-forwards"), "70")

    def test_the_via_below_ours_says_where_it_came_from(self) -> None:
        text = self.alice.request().replace(f"UDP {self.alice.address}:5060;", "UDP phone.invalid:9;rport;")
        self.alice.send(text)
        ours, theirs = self.bob.one().vias
        self.assertEqual((ours.sent_by, ours.transport), (f"{PROXY}:5060", "UDP"))
        self.assertEqual((theirs.received, theirs.rport), (self.alice.address, "5060"))

    def test_the_request_uri_is_the_contact(self) -> None:
        uri = f"sip:bob%20b;p=1@{self.bob.address}:5060;Param=Value;transport=udp"
        self.scene_.places.bind("bob", uri)
        self.assertEqual(self.forwarded().uri_text, uri)


SPELLINGS = (
    "P-Asserted-Identity: {}",
    "p-asserted-identity: {}",
    "P-ASSERTED-IDENTITY:{}",
    "P-Asserted-identity : {}",
    "P-Asserted-Identity\t: {}",
    "P-Asserted-Identity  \t :\t {}",
    "P-Asserted-Identity:\r\n {}",
    "P-Asserted-Identity:\r\n\t{}",
    'P-Asserted-Identity: "A" {}, <tel:+15551234>',
    "P-Asserted-Identity: {}\r\nP-Asserted-Identity: <tel:+15551234>",
    "pAssertedIdentity: no\r\nP-aSSERTED-iDENTITY: {}",
    "Remote-Party-ID: {};party=calling;screen=yes",
    "remote-party-id : {}\r\nP-Asserted-Identity: {}",
)


class IdentityTests(HeaderBase):
    """RFC 3325: nobody outside tells us who calls."""

    IDENTITY = f"<sip:boss@{DOMAIN}>"

    def test_it_is_stripped_in_every_spelling(self) -> None:
        for spelling in SPELLINGS:
            came = self.forwarded(extra=spelling.replace("{}", self.IDENTITY) + "\r\n")
            self.assertNotIn(b"boss", came.to_bytes(), spelling)
            self.assertFalse(came.has("p-asserted-identity") or came.has("remote-party-id"))

    def test_what_is_no_name_of_a_header_is_refused(self) -> None:
        for name in (
            "P-Asserted-Identity\x0b",
            "P-Asserted-Identity\x00",
            "\u200bP-Asserted-Identity",
            "P-Asserted Identity",
        ):
            self.alice.send(self.alice.request(extra=f"{name}: {self.IDENTITY}\r\n"))
            self.assertEqual((self.alice.starts(), self.bob.take()), (["400 INVITE"], []), name)

    def test_trusted_peers_are_believed(self) -> None:
        self.scene_.proxy.trusted = lambda flow: flow.remote[0] == self.alice.address
        party = f"{self.IDENTITY};party=calling"
        came = self.forwarded(extra=f"P-Asserted-Identity: {self.IDENTITY}\r\nRemote-Party-ID: {party}\r\n")
        self.assertEqual(came.get_all("p-asserted-identity"), [self.IDENTITY])
        self.assertEqual(came.get_all("remote-party-id"), [party])
        self.bob.send(self.bob.answer(came, 200, extra=f"P-Asserted-Identity: {self.IDENTITY}\r\n"))
        self.assertFalse(self.alice.one().has("p-asserted-identity"))

    def test_in_responses_too(self) -> None:
        for trusted in (False, True):
            self.scene_.proxy.trusted = (lambda flow: True) if trusted else (lambda flow: False)
            invite = self.forwarded()
            for name in ("P-Asserted-Identity", "Remote-Party-ID"):
                self.bob.send(self.bob.answer(invite, 180, extra=f"{name}: {self.IDENTITY}\r\n"))
                self.assertEqual(self.alice.one().has(name.lower()), trusted, name)

    def test_in_acks_and_within_dialogs_too(self) -> None:
        invite = self.forwarded(call_id="call")
        self.bob.send(self.bob.answer(invite, 200))
        route = self.alice.one().get("record-route")
        for method in ("ACK", "INFO"):
            self.alice.send(
                self.alice.request(
                    method,
                    f"sip:bob@{self.bob.address}",
                    to_tag=f"to-{self.bob.address}",
                    call_id="call",
                    extra=f"Route: {route}\r\nP-Asserted-Identity: {self.IDENTITY}\r\n",
                )
            )
            came = self.bob.one()
            self.assertEqual((came.method, came.has("p-asserted-identity")), (method, False))


class MangledResponseTests(HeaderBase):
    """Peers that break what goes back through them."""

    def test_a_response_without_our_callers_via_is_a_502(self) -> None:
        """Section 16.7 step 3: it was for us alone."""
        for status in (200, 404):
            invite = self.forwarded()
            text = self.bob.answer(invite, status)
            lower = next(line for line in text.split("\r\n") if self.alice.address in line and "Via" in line)
            self.bob.send(text.replace(lower + "\r\n", ""))
            self.assertEqual(self.alice.starts(), ["502 INVITE"])

    def test_a_provisional_one_is_dropped(self) -> None:
        invite = self.forwarded()
        text = self.bob.answer(invite, 180)
        lower = next(line for line in text.split("\r\n") if self.alice.address in line and "Via" in line)
        self.bob.send(text.replace(lower + "\r\n", ""))
        self.assertEqual(self.alice.starts(), [])
        self.bob.send(text)
        self.assertEqual(self.alice.starts(), ["180 INVITE"])

    def test_vias_that_point_elsewhere_change_nothing(self) -> None:
        """The answer takes the way of the request, whatever the callee made of the Vias."""
        victim = self.scene_.peer("victim")
        invite = self.forwarded()
        text = self.bob.answer(invite, 200).replace(
            f"UDP {self.alice.address}:5060", f"UDP {victim.address}:5060"
        )
        self.bob.send(text)
        self.assertEqual((len(self.alice.take()), victim.take()), (1, []))

    def test_broken_lower_vias_in_the_request(self) -> None:
        """They are passed as they are, and neither the ACK nor the CANCEL suffers."""
        invite = self.forwarded(extra='Via: SIP/2.0/UDP 10.9.9.9;x="\r\n', branch="z9hG4bKv", call_id="v")
        self.bob.send(self.bob.answer(invite, 180))
        self.alice.send(self.alice.request("CANCEL", branch="z9hG4bKv", call_id="v"))
        cancel = self.bob.one()
        self.assertEqual((cancel.method, len(cancel.get_all("via"))), ("CANCEL", 1))
        self.bob.send(self.bob.answer(invite, 487))
        self.assertEqual(self.bob.starts(), ["ACK"])
        self.assertEqual(self.alice.starts(), ["180 INVITE", "200 CANCEL", "487 INVITE"])
