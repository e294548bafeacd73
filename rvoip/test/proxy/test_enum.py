from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.protocols.transport.dns_records import NAPTR
from rvoip.proxy.enum import choose, enum_domain, substitute

NUMBER = "+442079460148"


def record(
    regexp: str, order: int = 10, preference: int = 10, service: str = "E2U+SIP", flags: str = "U"
) -> NAPTR:
    return NAPTR(order, preference, flags, service, "", regexp)


class DomainTests(TestCase):
    def test_rfc_6116(self) -> None:
        """The example of section 3.2."""
        self.assertEqual(enum_domain(NUMBER, "e164.arpa."), "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa")

    def test_refused(self) -> None:
        for number in ("442079460148", "+", "+44a", "+٤", "+1234567890123456", ""):
            self.assertRaises(ValueError, enum_domain, number, "e164.arpa")


class SubstituteTests(TestCase):
    def test_examples(self) -> None:
        for regexp, expected in (
            ("!^.*$!sip:info@example.com!", "sip:info@example.com"),
            (r"!^\+44(.*)$!sip:\1@example.com!", "sip:2079460148@example.com"),
            (r"!^\+(.*)$!sip:\1@b.test!i", "sip:442079460148@b.test"),
            (r"/^.*$/sip:a\/b@b.test/", "sip:a/b@b.test"),
            (r"!^\+45!sip:x@b.test!", None),
            ("", None),
            ("!", None),
            ("!a!", None),
            ("!a!b", None),
            ("!a!b!x", None),
            ("!a!b!!", None),
            ("1a1b1", None),
            (r"\a\b\ ", None),
            ("!(!sip:x@b.test!", None),
            (r"!^.*$!sip:\3@b.test!", None),
        ):
            self.assertEqual(substitute(regexp, NUMBER), expected, regexp)

    def test_an_endless_expression_ends(self) -> None:
        self.assertIsNone(substitute("!^" + "(.*)*" * 40 + "x$!sip:x@b.test!", NUMBER))

    @given(st.text(alphabet="!^$.*()[]{}\\+0123456789|?abi", max_size=40))
    @settings(derandomize=True, deadline=None, max_examples=500)
    def test_never_fails(self, regexp: str) -> None:
        self.assertIsInstance(substitute(f"!{regexp}", NUMBER) or "", str)


class ChooseTests(TestCase):
    def chosen(self, *records: NAPTR) -> list[str]:
        return [str(uri) for uri in choose(records, NUMBER)[0]]

    def test_order_and_preference(self) -> None:
        self.assertEqual(
            self.chosen(
                record("!^.*$!sip:third@b.test!", 20, 1),
                record("!^.*$!sip:second@b.test!", 10, 20),
                record("!^.*$!sip:first@b.test!", 10, 10),
            ),
            ["sip:first@b.test", "sip:second@b.test"],
        )

    def test_a_later_order_where_the_first_gives_nothing(self) -> None:
        self.assertEqual(
            self.chosen(record("!^x$!sip:a@b.test!", 1), record("!^.*$!sip:b@b.test!", 2)), ["sip:b@b.test"]
        )

    def test_services(self) -> None:
        for service, found in (
            ("E2U+SIP", True), ("SIP+E2U", True), ("E2U+SIP+EMAIL:MAILTO", True), ("E2U+VOICE:TEL+SIP", True),
            ("E2U+EMAIL:MAILTO", False), ("E2U+SIPX", False), ("", False), ("E2U", False),
        ):  # fmt: skip
            self.assertEqual(
                bool(self.chosen(record("!^.*$!sip:a@b.test!", service=service))), found, service
            )

    def test_only_sip_uris(self) -> None:
        for uri in ("mailto:a@b.test", "tel:+44", "sip:b.test", "sip:", "sip:a@b c", "http://b.test"):
            self.assertEqual(self.chosen(record(f"!^.*$!{uri}!")), [], uri)
        self.assertEqual(self.chosen(record("!^.*$!sip:a@b.test?Route=%3Csip:evil%3E!")), ["sip:a@b.test"])

    def test_non_terminal(self) -> None:
        further = NAPTR(5, 1, "", "", "other.test")
        self.assertEqual(choose([further], NUMBER), ([], "other.test"))
        self.assertEqual(choose([], NUMBER), ([], ""))
        self.assertEqual(choose([NAPTR(5, 1, "S", "SIP+D2U", "x.test")], NUMBER), ([], ""))
