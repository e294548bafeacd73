"""REGISTERs that RFCs print, read from $CONFORMANCE_DIR."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.registrar.settings import RegistrarSettings
from rvoip.test.conformance import GIVEN, messages, octets
from rvoip.test.registrar.requests import Office, listed, request_of

EXAMPLES = "sip/rfc-examples"


def example(name: str) -> bytes:
    """A message of an RFC; the ellipsis that stands for the rest of it is left out."""
    text = octets(EXAMPLES, f"{name.partition('-')[0]}/{name}.sip").replace(b"\r\n", b"\n")
    text = text.removesuffix(b"\n").removesuffix(b" . . .\n")
    return text.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n"


def answered(name: str) -> Response:
    message = parse_message(example(name))
    assert isinstance(message, Response)
    return message


def ask(office: Office, name: str) -> Response:
    return office.handle(request_of(example(name)))


class RFC3261Tests(TestCase):
    def test_section_24_1(self) -> None:
        office = Office()
        response = ask(office, "rfc3261-017-REGISTER")
        self.assertEqual(response.status, 200)
        self.assertEqual(listed(response), ["<sip:bob@192.0.2.4>;expires=7200"])
        printed = answered("rfc3261-018-200")
        for name in ("from", "call-id", "cseq"):
            self.assertEqual(response.get(name), printed.get(name))


class RFC3665Tests(TestCase):
    """Section 2: registration, fetch, another scheme, cancellation; the authentication is done before."""

    def setUp(self) -> None:
        self.office = Office(RegistrarSettings(max_expires=2**32 - 1))

    def test_2_1_and_2_2_and_2_3(self) -> None:
        self.assertEqual(
            listed(ask(self.office, "rfc3665-003-REGISTER")), listed(answered("rfc3665-004-200"))
        )
        # A REGISTER that adds a contact; the RFC reuses the Call-ID with a lower CSeq, after another boot.
        update = request_of(example("rfc3665-005-REGISTER").replace(b"Call-ID: 1j9", b"Call-ID: 2j9"))
        response = self.office.handle(update)
        self.assertEqual(response.status, 200)
        self.assertEqual(
            [contact.uri_text for contact in response.contacts],
            [contact.uri_text for contact in answered("rfc3665-006-200").contacts],
        )
        fetched = ask(self.office, "rfc3665-007-REGISTER")
        self.assertEqual(
            [contact.uri_text for contact in fetched.contacts],
            [contact.uri_text for contact in answered("rfc3665-008-200").contacts],
        )

    def test_2_4(self) -> None:
        ask(self.office, "rfc3665-003-REGISTER")
        request = request_of(example("rfc3665-009-REGISTER").replace(b"Call-ID: 1j9", b"Call-ID: 2j9"))
        response = self.office.handle(request)
        self.assertEqual((response.status, listed(response)), (200, []))
        self.assertEqual(listed(answered("rfc3665-010-200")), [])

    def test_2_4_with_the_numbers_that_are_printed(self) -> None:
        """CSeq 1 after CSeq 2 of the same Call-ID is out of order."""
        ask(self.office, "rfc3665-003-REGISTER")
        self.assertEqual(ask(self.office, "rfc3665-009-REGISTER").status, 500)


class RFC3327Tests(TestCase):
    def test_section_5_4(self) -> None:
        office = Office()
        response = ask(office, "rfc3327-004-REGISTER")
        printed = answered("rfc3327-005-200")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.get_all("path"), printed.get_all("path"))
        self.assertEqual(
            [contact.uri_text for contact in response.contacts],
            [contact.uri_text for contact in printed.contacts],
        )
        (held,) = office.store.lookup("UA1@examplehome.com", office.now)
        self.assertEqual(held.path, ("<sip:P3.EXAMPLEHOME.COM;lr>", "<sip:P1.EXAMPLEVISITED.COM;lr>"))

    def test_without_a_path(self) -> None:
        response = ask(Office(), "rfc3327-001-REGISTER")
        self.assertEqual((response.status, response.get("path")), (200, None))


class RFC3608Tests(TestCase):
    def test_section_6_4(self) -> None:
        office = Office(
            RegistrarSettings(service_route=("sip:P2.HOME.EXAMPLE.COM;lr", "sip:HSP.HOME.EXAMPLE.COM;lr"))
        )
        response = ask(office, "rfc3608-003-REGISTER")
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.values("service-route"), answered("rfc3608-004-200").values("service-route")
        )


class RFC5626Tests(TestCase):
    def through_edge(self, name: str, edge: bytes) -> Request:
        """The request as an edge proxy passes it on."""
        text = example(name)
        first = text.index(b"Via:")
        path = b"Path: <sip:flow@%s;lr;ob>\r\n" % edge
        return request_of(
            text[:first] + b"Via: SIP/2.0/TCP 192.0.2.15;branch=z9hG4bKnuiqisi\r\n" + path + text[first:]
        )

    def test_section_9_1(self) -> None:
        response = ask(Office(), "rfc5626-001-REGISTER")
        self.assertEqual((response.status, response.get("require")), (200, "outbound"))

    def test_section_9_2(self) -> None:
        office = Office()
        first = office.handle(self.through_edge("rfc5626-003-REGISTER", b"ep1.example.com"))
        printed = answered("rfc5626-004-200")
        self.assertEqual(first.status, printed.status)
        self.assertEqual(first.get("require"), printed.get("require"))
        self.assertEqual(
            [(contact.uri_text, contact.params) for contact in first.contacts],
            [(contact.uri_text, contact.params) for contact in printed.contacts],
        )
        second = office.handle(self.through_edge("rfc5626-005-REGISTER", b"ep2.example.com"))
        self.assertEqual(
            [(contact.uri_text, contact.params) for contact in second.contacts],
            [(contact.uri_text, contact.params) for contact in answered("rfc5626-006-200").contacts],
        )

    def test_section_9_3_without_an_edge_proxy(self) -> None:
        text = example("rfc5626-003-REGISTER")
        via = text.index(b"Via:")
        relayed = text[:via] + b"Via: SIP/2.0/TCP 192.0.2.15;branch=z9hG4bKnuiqisi\r\n" + text[via:]
        self.assertEqual(Office().handle(request_of(relayed)).status, 439)


class RFC4475Tests(TestCase):
    """What a registrar without authentication answers (section 3)."""

    def outcome(self, name: str) -> tuple[int, list[str]]:
        """Status and listed contacts; the outcome is looked for at the door and behind it."""
        data = octets("sip/rfc4475", f"{name}.dat")
        try:
            message = parse_message(data)
            check(message)
        except SIPParseError as error:
            return error.status, []
        assert isinstance(message, Request)
        response = self.office.handle(message)
        return response.status, listed(response)

    def setUp(self) -> None:
        self.office = Office()

    def test_escnull(self) -> None:
        """Two bindings of an AOR with a NUL in it."""
        self.assertEqual(
            self.outcome("escnull"),
            (
                200,
                ["<sip:%00@host5.example.com>;expires=3600", "<sip:%00%00@host5.example.com>;expires=3600"],
            ),
        )
        self.assertEqual(len(self.office.contacts("null-%00-null@example.com")), 2)

    def test_cparam01(self) -> None:
        self.assertEqual(
            self.outcome("cparam01"), (200, ["<sip:+19725552222@gw1.example.net>;unknownparam;expires=3600"])
        )

    def test_cparam02(self) -> None:
        self.assertEqual(
            self.outcome("cparam02"), (200, ["<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600"])
        )

    def test_regescrt(self) -> None:
        self.assertEqual(
            self.outcome("regescrt"),
            (200, ["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600"]),
        )

    def test_others(self) -> None:
        for name, status in {"unksm2": 400, "scalar02": 400, "regaut01": 200, "dblreq": 200}.items():
            self.assertEqual(self.outcome(name)[0], status, name)
        self.assertEqual(self.office.contacts("j.user@example.com"), ["sip:j.user@host.example.com"])

    def test_regbadct(self) -> None:
        """ "400, or liberal": what follows the question mark belongs to the URI, as the sender meant."""
        self.assertEqual(
            self.outcome("regbadct"),
            (200, ["<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600"]),
        )


class RFC5118Tests(TestCase):
    def test_addresses_in_brackets(self) -> None:
        for name, status in {
            "ipv6-good": 200,
            "ipv6-bad": 400,
            "port-ambiguous": 200,
            "port-unambiguous": 200,
        }.items():
            data = octets("sip/rfc5118", f"{name}.dat")
            try:
                message = parse_message(data)
                check(message)
            except SIPParseError as error:
                self.assertEqual(error.status, status, name)
                continue
            assert isinstance(message, Request)
            self.assertEqual(Office().handle(message).status, status, name)


class AllTests(TestCase):
    def test_every_register_is_answered(self) -> None:
        """Complete ones of all RFCs, each twice, with a status that the registrar knows."""
        found = 0
        for entry in messages(EXAMPLES):
            if not entry["complete"] or "REGISTER" not in entry["file"]:
                continue
            request = parse_message(octets(EXAMPLES, entry["file"]))
            assert isinstance(request, Request)
            office = Office()
            for _ in range(2):
                response = office.handle(request)
                self.assertIn(response.status, (200, 400, 420, 423, 439), entry["file"])
            found += 1
        self.assertGreater(found, 10)


if not GIVEN:
    del RFC3261Tests, RFC3327Tests, RFC3608Tests, RFC3665Tests, RFC4475Tests, RFC5118Tests, RFC5626Tests
    del AllTests
