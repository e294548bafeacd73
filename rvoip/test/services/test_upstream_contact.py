"""Contacts of a front end at the registrar behind it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.services.upstream_contact import contact_uri, find_contact, granted, read_contact


def sip(text: str) -> SipURI:
    """The URI in `text`."""
    uri = parse_uri(text)
    assert isinstance(uri, SipURI)
    return uri


class ContactTests(SynchronousTestCase):
    """URIs both ways, and what answers grant."""

    def test_both_ways(self) -> None:
        for aor, one, transport, shown, meant in (
            ("bob@a.test", "", "UDP", "sip:bob@h:5060", None),
            ("bob@a.test", "0a1b", "UDP", "sip:bob@h:5060;gr=up.0a1b.a.test", ("bob@a.test", "0a1b")),
            ("bob@b.test", "", "TCP", "sip:bob@h:5060;transport=tcp;gr=up..b.test", ("bob@b.test", "")),
        ):
            text = contact_uri(aor, one, "a.test", "h:5060", transport)
            self.assertEqual(text, shown)
            self.assertEqual(read_contact(sip(text), "bob@a.test"), meant)

    def test_users(self) -> None:
        """Whatever a name holds, the URI is one, and means the same user."""
        for user in ("a%23b", "andr%C3%A9", "a%0D%0Ab", "a;b", "a%3Bgr=up..x", "+4930"):
            aor = sip(f"sip:{user}@a.test").aor
            uri = sip(contact_uri(aor, "0a", "a.test", "h:5060", "UDP"))
            self.assertEqual(
                read_contact(uri, uri.replace(host="a.test", port=None, params=()).aor), (aor, "0a")
            )

    def test_others(self) -> None:
        for text in ("sip:b@h", "sip:b@h;gr", "sip:b@h;gr=urn:uuid:1", "sip:b@h;gr=up", "sip:b@h;gr=up."):
            self.assertIsNone(read_contact(sip(text), "b@h"), text)

    @given(st.from_regex(r"[A-Za-z0-9._~!*'()%-]{0,40}", fullmatch=True))
    @settings(derandomize=True, deadline=None, max_examples=200)
    def test_whatever_is_called(self, value: str) -> None:
        read_contact(SipURI("sip", "b", "h", None, (("gr", f"up.{value}"),)), "b@h")

    def test_found(self) -> None:
        ours = sip("sip:bob@h:5060;gr=up.1.a.test")
        listed = [
            parse_name_addr("<sip:bob@other>;expires=7"),
            NameAddr("no uri"),
            parse_name_addr('"B" <sip:bob@H:5060;gr=up.1.a.test>;expires=99'),
        ]
        found = find_contact(listed, ours)
        self.assertEqual(granted(found, 7, 3600), 99)
        self.assertIsNone(find_contact(listed[:2], ours))

    def test_granted(self) -> None:
        for text, header, seconds in (
            ("<sip:a@h>;expires=99", None, 99),
            ("<sip:a@h>;expires=99999", None, 3600),
            ("<sip:a@h>;expires=x", 50, 50),
            ("<sip:a@h>", 50, 50),
            ("<sip:a@h>", None, 3600),
            ("<sip:a@h>", 9999, 3600),
            ("<sip:a@h>;expires=0", 50, 0),
        ):
            self.assertEqual(granted(parse_name_addr(text), header, 3600), seconds, text)
        self.assertEqual(granted(None, None, 60), 60)
