"""What a Contact value says."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import equivalent, parse_uri
from rvoip.registrar.binding import Binding
from rvoip.registrar.contact import contact_key, find_equivalent, flow_key, other_params, preference, seconds


class SecondsTests(TestCase):
    def test_values(self) -> None:
        for text, expected in {
            "0": 0,
            "3600": 3600,
            "0060": 60,
            "999999999": 999_999_999,
            "4294967295": 2**32 - 1,
            # Malformed: 3600 (RFC 3261 section 20.10).
            "4294967296": 3600,
            "1" * 5000: 3600,
            "": 3600,
            "-1": 3600,
            "1_0": 3600,
            "\u0663\u0660": 3600,
            "\u00b2": 3600,
            "60.5": 3600,
            '"60"': 3600,
            "Thu, 01 Dec 2040 16:00:00 GMT": 3600,
        }.items():
            self.assertEqual(seconds(text), expected, text)
        self.assertEqual(seconds(None), 3600)


class PreferenceTests(TestCase):
    def test_values(self) -> None:
        for text, expected in {
            "1": 1000,
            "1.0": 1000,
            "1.000": 1000,
            "0": 0,
            "0.": 0,
            "0.5": 500,
            "0.05": 50,
            "0.999": 999,
            ".5": 500,
            "0.500000": 500,
            "0.1239": 123,
            "1.000000": 1000,
        }.items():
            self.assertEqual(preference(text), expected, text)

    def test_malformed(self) -> None:
        for text in (
            "",
            ".",
            "1.001",
            "2",
            "-0.5",
            "1.0001",
            "0.12345678901",
            "0.1_1",
            "0.\u0661",
            "high",
            "00.5",
            "0.5.5",
        ):
            self.assertRaises(SIPParseError, preference, text)
        self.assertRaises(SIPParseError, preference, None)


class KeyTests(TestCase):
    def test_equal_uris_have_one_key(self) -> None:
        for group in (
            ("sip:bob@EXAMPLE.com", "SIP:bob@example.com", "sip:%62ob@example.com"),
            ("sip:bob@h;transport=TCP;x=1", "sip:bob@h;X=1;Transport=tcp"),
            ("sip:bob@[2001:DB8::1]:5060", "sip:bob@[2001:db8::1]:5060"),
            ("sip:bob:a%62c@h", "sip:bob:abc@h"),
            ("sip:bob@h?subject=x&Priority=1", "sip:bob@h?priority=1&subject=x"),
            ("sip:bob@h;lr", "sip:bob@h;lr="),
        ):
            uris = [parse_uri(text) for text in group]
            self.assertTrue(all(equivalent(uris[0], uri) for uri in uris), group)
            self.assertEqual(len({contact_key(uri) for uri in uris}), 1, group)

    def test_different_uris_have_different_keys(self) -> None:
        different = [
            "sip:bob@example.com",
            "sips:bob@example.com",
            "sip:Bob@example.com",
            "sip:bob@example.com:5060",
            "sip:bob@example.com:5061",
            "sip:example.com",
            "sip:bob@example.com;transport=tcp",
            "sip:bob@example.com;transport=udp",
            "sip:bob@example.com;line=1",
            "sip:bob@example.com;line=2",
            "sip:bob@example.com?Route=%3Csip:a%3E",
            "sip:bob:secret@example.com",
            "sip:%00@example.com",
            "sip:%00%00@example.com",
            "tel:+15551234",
            "mailto:bob@example.com",
        ]
        self.assertEqual(len({contact_key(parse_uri(text)) for text in different}), len(different))

    def test_the_common_form_is_its_own_key(self) -> None:
        for text in ("sip:bob@192.0.2.4:5060", "sips:bob@example.com", "mailto:bob@example.com"):
            self.assertEqual(contact_key(parse_uri(text)), text)

    def test_flow_keys(self) -> None:
        upper = '"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
        self.assertEqual(flow_key(upper, "1"), "+<urn:uuid:00000000-0000-1000-8000-000a95a0e128>;1")
        self.assertEqual(flow_key(upper, "01"), flow_key(upper.lower(), "1"))
        self.assertNotEqual(flow_key('"<urn:x:A>"', "1"), flow_key('"<urn:x:a>"', "1"))
        for reg_id in (None, "", "0", "-1", "1_0", "\u0661", "2147483648", "9" * 5000, "x"):
            self.assertRaises(SIPParseError, flow_key, upper, reg_id)
        self.assertRaises(SIPParseError, flow_key, '""', "1")
        self.assertRaises(SIPParseError, flow_key, None, "1")

    def test_no_contact_has_the_key_of_a_flow(self) -> None:
        self.assertFalse(contact_key(parse_uri("sip:+1555@h")).startswith("+"))


class EquivalentTests(TestCase):
    def binding(self, contact: str, key: str | None = None) -> Binding:
        return Binding(contact, key or contact_key(parse_uri(contact)), "c", 1, 10.0, 10)

    def test_a_parameter_of_one_side(self) -> None:
        """Some parameters make no difference when only one URI has them (RFC 3261 section 19.1.4)."""
        held = (self.binding("sip:bob@h;line=7"),)
        found = find_equivalent(parse_uri("sip:bob@h"), held)
        self.assertIs(found, held[0])
        self.assertIsNone(find_equivalent(parse_uri("sip:bob@h;line=8"), held))
        self.assertIsNone(find_equivalent(parse_uri("sip:bob@h;line=7;transport=tcp"), held))

    def test_a_flow_is_found_by_its_key_only(self) -> None:
        held = (self.binding("sip:bob@h", "+<urn:x:a>;1"),)
        self.assertIsNone(find_equivalent(parse_uri("sip:bob@h"), held))

    def test_a_row_that_is_no_uri(self) -> None:
        held = (
            self.binding("sip:a@h"),
            Binding("nonsense", "nonsense", "c", 1, 10.0, 10),
            self.binding("sip:b@h"),
        )
        self.assertIs(find_equivalent(parse_uri("sip:b@h"), held), held[2])


class OtherParamsTests(TestCase):
    def test_all_but_expires(self) -> None:
        contact = parse_name_addr(
            '<sip:a@h>;Q=0.5;expires=60;+sip.instance="<urn:x:a;b>";audio;methods="INVITE,BYE"'
        )
        self.assertEqual(
            other_params(contact.params), ';q=0.5;+sip.instance="<urn:x:a;b>";audio;methods="INVITE,BYE"'
        )
        self.assertEqual(other_params({}), "")
