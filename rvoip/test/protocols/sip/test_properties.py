"""For any value and any text: reading is the inverse of writing, and nothing but `SIPParseError` gets out."""

from __future__ import annotations

from inspect import signature
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import CSeq, NameAddr, Via, parse_cseq, parse_name_addr, parse_via
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.digest import (
    DigestChallenge,
    DigestCredentials,
    parse_challenge,
    parse_credentials,
)
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    format_params,
    format_q,
    parse_params,
    parse_q,
    quote,
    split_outside,
    unquote,
)
from rvoip.protocols.sip.headers import HEADERS
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import URI, SipURI, equivalent, escape_user, parse_uri, unescape
from rvoip.test.protocols.sip import strategies as sip
from rvoip.test.protocols.sip.samples import invite

derandomized = settings(derandomize=True, deadline=None, max_examples=200)


class ValueTests(SynchronousTestCase):
    """Values written and read."""

    @derandomized
    @given(sip.uris)
    def test_uri(self, uri: URI) -> None:
        """A URI reads back to an equal one, equivalent both ways, with the same address-of-record."""
        again = parse_uri(str(uri))
        self.assertEqual(str(again), str(uri))
        self.assertEqual(type(again), type(uri))
        self.assertEqual(again.aor, uri.aor)
        self.assertTrue(equivalent(again, uri) and equivalent(uri, again))
        if isinstance(uri, SipURI) and isinstance(again, SipURI):
            for part in ("scheme", "user", "password", "host", "port", "params", "headers"):
                self.assertEqual(getattr(again, part), getattr(uri, part), part)

    @derandomized
    @given(
        st.text(max_size=12) | st.binary(max_size=8).map(lambda data: data.decode("utf-8", "surrogateescape"))
    )
    def test_escaping(self, text: str) -> None:
        """Any text can be a user; it is unescaped to what it was."""
        text = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
        self.assertEqual(unescape(escape_user(text)), text)
        if text:
            uri = parse_uri(f"sip:{escape_user(text)}@h")
            assert isinstance(uri, SipURI)
            self.assertEqual(uri.user_unescaped, text)

    @derandomized
    @given(sip.params())
    def test_params(self, params: Params) -> None:
        """Parameters keep names, values and order."""
        if params:
            again = parse_params(format_params(params)[1:])
            self.assertEqual(list(again.items()), list(params.items()))

    @derandomized
    @given(sip.name_addrs)
    def test_name_addr(self, value: NameAddr) -> None:
        """Addresses read back, alone and in a list."""
        self.assertEqual(parse_name_addr(str(value)), value)
        self.assertEqual(parse_name_addr(str(value)).uri, value.uri)
        self.assertEqual(invite(f"Contact: {value},{value}").contacts, [value, value])

    @derandomized
    @given(sip.vias)
    def test_via(self, via: Via) -> None:
        """Via values read back, alone and in a list."""
        again = parse_via(str(via))
        self.assertEqual(again, via)
        self.assertEqual(again.sent_by, via.sent_by)
        self.assertEqual(invite(f"Via: {via} , {via}").vias[1:], [via, via])

    @derandomized
    @given(sip.cseqs)
    def test_cseq(self, cseq: CSeq) -> None:
        """CSeq values read back."""
        self.assertEqual(parse_cseq(str(cseq)), cseq)

    @derandomized
    @given(st.text(max_size=12))
    def test_quoting(self, text: str) -> None:
        """Any text survives quoting, and no separator in it separates."""
        self.assertEqual(unquote(quote(text)), text)
        self.assertEqual(split_outside(f"{quote(text)},x", ","), [quote(text), "x"])

    @derandomized
    @given(st.integers(0, 1000))
    def test_q(self, q: int) -> None:
        """Thousandths read back."""
        self.assertEqual(parse_q(format_q(q)), q)

    @derandomized
    @given(st.lists(sip.texts, min_size=7, max_size=7), st.booleans())
    def test_digest(self, texts: list[str], flag: bool) -> None:
        """Credentials and challenges read back, whatever user, realm and nonce are."""
        username, realm, nonce, uri, cnonce, opaque, domain = texts
        credentials = DigestCredentials(
            username,
            realm,
            nonce,
            uri,
            "0f",
            "SHA-256",
            cnonce,
            opaque,
            "auth" if flag else None,
            "00000001" if flag else None,
        )
        challenge = DigestChallenge(realm, nonce, "MD5", ("auth", "auth-int"), flag, opaque, domain)
        for value, again in (
            (credentials, parse_credentials(str(credentials))),
            (challenge, parse_challenge(str(challenge))),
        ):
            for name in signature(type(value)).parameters:
                self.assertEqual(getattr(again, name), getattr(value, name), name)


class MessageTests(SynchronousTestCase):
    """Whole messages."""

    @derandomized
    @given(sip.messages())
    def test_message(self, message: Request | Response) -> None:
        """A message reads back with the same lines, names and body, and is written the same again."""
        data = message.to_bytes()
        again = parse_message(data)
        self.assertEqual(type(again), type(message))
        self.assertEqual(again.start_line, message.start_line)
        self.assertEqual((again.names, again.lines, again.body), (message.names, message.lines, message.body))
        self.assertEqual(again.to_bytes(), data)

    @derandomized
    @given(sip.messages())
    def test_all_values(self, message: Request | Response) -> None:
        """Every header of any message gives a value or `SIPParseError`, and so does the check."""
        again = parse_message(message.to_bytes())
        for read in (check, *[lambda m, n=name: m.typed(n) for name in again.names]):
            try:
                read(again)
            except SIPParseError as error:
                self.assertIn(error.status, (400, 416, 501))

    @derandomized
    @given(
        st.binary(max_size=80),
        st.sampled_from([b"", b"INVITE sip:a SIP/2.0\r\n", b"SIP/2.0 200 OK\r\nVia: "]),
    )
    def test_any_octets(self, octets: bytes, before: bytes) -> None:
        """Octets are a message or `SIPParseError`; a message reads back from what it writes."""
        try:
            message = parse_message(before + octets)
        except SIPParseError:
            return
        again = parse_message(message.to_bytes())
        self.assertEqual(
            (again.start_line, again.names, again.lines), (message.start_line, message.names, message.lines)
        )

    @derandomized
    @given(st.sampled_from(sorted(HEADERS)), sip.lines | st.text(' ,;=<>"\\@:.()%aA10/*-', max_size=16))
    def test_any_header(self, name: str, text: str) -> None:
        """Any text in any header: a value that reads back to itself, or `SIPParseError`."""
        message = invite()
        message.remove(name)
        message.add(name, text)
        try:
            value = message.typed(name)
        except SIPParseError:
            return
        written = [self._written(one) for one in (value if isinstance(value, list) else [value])]
        message.remove(name)
        for one in written:
            message.add(name, one)
        again = message.typed(name)
        self.assertEqual(
            [self._written(one) for one in (again if isinstance(again, list) else [again])], written
        )

    def _written(self, value: Any) -> str:
        return str(value)
