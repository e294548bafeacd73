"""The messages of RFC 4475 and RFC 5118, each with the outcome that its RFC documents.

What an element answers beyond parsing (415, 416, 420, 483, ...) is tested where that element is; here such a
message must be accepted, with the values that the answer depends on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.session import parse as parse_sdp
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import KeepAlive, StreamError, StreamFramer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.mime import parse_multipart
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.sip.uri import SipURI, unescape
from rvoip.test.conformance import GIVEN, messages, octets

# What RFC 4475 leaves to the parser ("400, or liberal"): our status, 0 where we are liberal.
OUR_CHOICE = {
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "escruri": 400,
    "baddate": 0,
    "regbadct": 0,
    "badaspec": 0,
    "baddn": 400,
}
ACCEPTED = ("valid", "valid-syntax", "valid-liberal", "invalid-tolerate", "invalid-transaction")
# Responses: there is nobody to answer, so they are dropped.
DROPPED = ("scalarlg", "bigcode")


def status_of(entry: dict[str, Any]) -> int:
    """The status with which the message is to be refused, 0 when it is to be accepted."""
    if entry["validity"] in ACCEPTED:
        return 0
    if entry["parsed"].get("liberal_ok"):
        return OUR_CHOICE[entry["name"]]
    if entry["name"] in DROPPED:
        return 400
    match = re.search(r"\b[45][0-9][0-9]\b", entry["expected"])
    assert match is not None, entry
    return int(match[0])


def sip_uri(uri: object) -> SipURI:
    """The URI, which must be a SIP one."""
    assert isinstance(uri, SipURI)
    return uri


def user(uri: object) -> str:
    """The user part with its escapes resolved once."""
    return sip_uri(uri).user_unescaped or ""


def hexed(text: str) -> str:
    """The octets of a text in hex."""
    return text.encode("utf-8", "surrogateescape").hex()


def params(uri: object) -> dict[str, str | None]:
    """The parameters of a URI with escapes resolved once."""
    return {unescape(name): None if value is None else unescape(value) for name, value in sip_uri(uri).params}


def scheme(uri: Any) -> str:
    """The scheme as written."""
    return str(uri).partition(":")[0]


def connection(owner: Any) -> str:
    """A c= line without its type."""
    return f"{owner.network_type} {owner.address_type} {owner.address}"


READERS: dict[str, Callable[[Any], Any]] = {
    "accept": lambda m: m.get("accept"),
    "auth_scheme": lambda m: m.typed("authorization")[0].scheme,
    "body_length": lambda m: len(m.body),
    "body_parts": lambda m: len(parse_multipart(m.get("content-type"), m.body)),
    "branch": lambda m: m.via.branch,
    "contact_count": lambda m: len(m.contacts),
    "contact_host": lambda m: m.contacts[0].sip_uri.host,
    "contact_params": lambda m: m.contacts[0].params,
    "contact_params_unescaped": lambda m: params(m.contacts[0].uri),
    "contact_scheme": lambda m: scheme(m.contacts[0].uri),
    "contact_uri_headers": lambda m: {n: unescape(v) for n, v in m.contacts[0].sip_uri.headers},
    "contact_uri_params": lambda m: params(m.contacts[0].uri),
    "contact_user_unescaped": lambda m: user(m.contacts[0].uri),
    "contact_users_unescaped_hex": lambda m: [hexed(user(one.uri)) for one in m.contacts],
    "content_type": lambda m: m.content_type,
    "cseq": lambda m: [m.cseq.number, m.cseq.method],
    "cseq_method": lambda m: m.cseq.method,
    "cseq_num": lambda m: m.cseq.number,
    "cseq_raw": lambda m: m.get("cseq"),
    "date_raw": lambda m: m.get("date"),
    "from_display": lambda m: m.from_.display,
    "from_scheme": lambda m: scheme(m.from_.uri),
    "from_tag": lambda m: m.from_.tag,
    "from_user_unescaped": lambda m: user(m.from_.uri),
    "max_forwards": lambda m: m.max_forwards,
    "max_forwards_raw": lambda m: m.get("max-forwards"),
    "media_c": lambda m: [connection(one.connections[0]) for one in parse_sdp(m.body).media],
    "method": lambda m: m.method,
    "missing": lambda m: [
        name for name in ("Call-ID", "From", "To", "Via", "CSeq") if not m.has(name.lower())
    ],
    "proxy_require": lambda m: m.typed("proxy-require"),
    "reason": lambda m: m.reason,
    "reason_utf8": lambda m: m.reason,
    "require": lambda m: m.typed("require"),
    "ruri": lambda m: m.uri_text,
    "ruri_host": lambda m: m.uri.host,
    "ruri_host_raw": lambda m: m.uri.host,
    "ruri_params": lambda m: params(m.uri),
    "ruri_port": lambda m: m.uri.port,
    "ruri_scheme": lambda m: scheme(m.uri),
    "ruri_user_unescaped": lambda m: user(m.uri),
    "sdp_c": lambda m: connection(parse_sdp(m.body).connection),
    "status": lambda m: m.status,
    "subject": lambda m: m.get("subject"),
    "to_display": lambda m: m.to.display,
    "to_scheme": lambda m: scheme(m.to.uri),
    "to_tag": lambda m: m.to.tag,
    "to_user_unescaped": lambda m: user(m.to.uri),
    "to_user_unescaped_hex": lambda m: hexed(user(m.to.uri)),
    "via_branch": lambda m: m.via.branch,
    "via_count": lambda m: len(m.vias),
    "via_host": lambda m: m.via.host,
    "via_hosts": lambda m: [via.host for via in m.vias],
    "via_ports": lambda m: [via.port for via in m.vias],
    "via_received": lambda m: m.via.received,
    "via_transports": lambda m: [via.transport for via in m.vias],
}
# Written in the octets, where the message itself cannot be read so far.
RAW: dict[str, Callable[[Any], bytes]] = {
    "content_length_raw": lambda value: b"Content-Length: " + value.encode() + b"\r\n",
    "status_raw": lambda value: b"SIP/2.0 " + value.encode() + b" ",
    "version": lambda value: b" " + value.encode() + b"\r\n",
}
# Not of the message but about it.
REMARKS = {"liberal_ok", "why"}


class TortureTests(SynchronousTestCase):
    """Every message, none left out."""

    FOLDERS = (("sip/rfc4475", 49), ("sip/rfc5118", 12))

    def test_outcomes(self) -> None:
        """Accepted or refused as the RFC says, and whatever is refused as a request can be answered."""
        for folder, count in self.FOLDERS:
            entries = messages(folder)
            self.assertEqual(len(entries), count)
            for entry in entries:
                name = entry["name"]
                try:
                    message = parse_message(octets(folder, entry["file"]))
                    check(message)
                    status = 0
                except SIPParseError as error:
                    status = error.status
                    self.assertEqual(isinstance(error.message, Request), name not in DROPPED, name)
                self.assertEqual(status, status_of(entry), f"{name}: {entry['expected']}")

    def test_values(self) -> None:
        """Every value that the index gives, also of messages that are refused, as far as they can be read."""
        read = 0
        for folder, _ in self.FOLDERS:
            for entry in messages(folder):
                data = octets(folder, entry["file"])
                message = self._message(data)
                for key, expected in entry["parsed"].items():
                    label = f"{entry['name']}: {key}"
                    if key in REMARKS:
                        continue
                    read += 1
                    if key in RAW:
                        self.assertIn(RAW[key](expected), data, label)
                    elif key == "unknown_header":
                        for header, text in expected.items():
                            self.assertEqual(message.typed(header.lower()), [text], label)
                    elif key == "content_length":
                        self.assertEqual(message.content_length, expected, label)
                    elif entry["name"] == "baddn":
                        self.assertRaises(SIPParseError, READERS[key], message)
                    else:
                        self.assertEqual(READERS[key](message), expected, label)
        self.assertGreater(read, 90)

    def _message(self, data: bytes) -> Any:
        try:
            return parse_message(data)
        except SIPParseError as error:
            return error.message

    def test_all_headers(self) -> None:
        """Any header of any message can be read or is a `SIPParseError`, of the valid ones never that."""
        for folder, _ in self.FOLDERS:
            for entry in messages(folder):
                message = self._message(octets(folder, entry["file"]))
                for name in message.names if message is not None else ():
                    try:
                        message.typed(name)
                    except SIPParseError:
                        self.assertNotIn(entry["validity"], ACCEPTED, f"{entry['name']}: {name}")

    def test_written_back(self) -> None:
        """An accepted message is written so that it reads back the same, and from then on octet for octet."""
        for folder, _ in self.FOLDERS:
            for entry in messages(folder):
                if status_of(entry):
                    continue
                message = parse_message(octets(folder, entry["file"]))
                written = message.to_bytes()
                again = parse_message(written)
                self.assertEqual(
                    (again.start_line, again.names, again.lines),
                    (message.start_line, message.names, message.lines),
                )
                self.assertEqual(again.body, message.body, entry["name"])
                self.assertEqual(again.to_bytes(), written, entry["name"])


class SingleTortureTests(SynchronousTestCase):
    """What the index says in words of single messages."""

    def _4475(self, name: str) -> bytes:
        return octets("sip/rfc4475", f"{name}.dat")

    def test_intmeth(self) -> None:
        """Section 3.1.1.2: an escaped NUL in a display name, UTF-8 in an unknown header, an odd method."""
        message = parse_message(self._4475("intmeth"))
        self.assertEqual(message.to.display, "BEL:\x07 NUL:\x00 DEL:\x7f")
        self.assertIn("extensionHeader-!.%*+_`'~", [line.partition(":")[0] for line in message.lines])
        self.assertEqual(message.typed("extensionheader-!.%*+_`'~")[0][:2], "\ufeff\u5927")

    def test_esc02(self) -> None:
        """Section 3.1.1.5: names and methods are not unescaped."""
        message = parse_message(self._4475("esc02"))
        self.assertEqual(message.typed("c%6fntact"), ["<sip:alias2@host2.example.com>"])

    def test_dblreq(self) -> None:
        """Section 3.1.1.8: in a datagram the second request is nothing, in a stream it is the next one."""
        data = self._4475("dblreq")
        message = parse_message(data)
        self.assertNotIn(b"INVITE", message.to_bytes())
        first, blank, second = StreamFramer().receive(data)[:3]
        self.assertEqual((first, blank), (message.to_bytes(), KeepAlive.PONG))
        assert isinstance(second, bytes)
        self.assertTrue(second.startswith(b"INVITE sip:joe@example.com"))

    def test_clerr_in_a_stream(self) -> None:
        """Section 3.1.2.2: more octets are waited for."""
        framer = StreamFramer()
        self.assertEqual(framer.receive(self._4475("clerr")), [])
        self.assertEqual(framer.pending, len(self._4475("clerr")))

    def test_lengths_in_a_stream(self) -> None:
        """Sections 3.1.2.3 and 3.3.9: an error that can be answered; then the stream is closed."""
        for name in ("ncl", "mcl01"):
            error = self.assertRaises(StreamError, StreamFramer().receive, self._4475(name))
            self.assertEqual(error.status, 400)
            self.assertIsInstance(error.message, Request)

    def test_escruri(self) -> None:
        """Section 3.1.2.11: an escaped header never becomes one of the request."""
        error = self.assertRaises(SIPParseError, lambda: check(parse_message(self._4475("escruri"))))
        assert isinstance(error.message, Request)
        self.assertFalse(error.message.has("route"))
        uri = error.message.uri
        assert isinstance(uri, SipURI)
        self.assertEqual(str(uri.for_request_line()), "sip:user@example.com")

    def test_regescrt(self) -> None:
        """Section 3.4.5: in a Contact it is kept, escaped."""
        message = parse_message(self._4475("regescrt"))
        self.assertEqual(message.contacts[0].uri_text, "sip:user@example.com?Route=%3Csip:sip.example.com%3E")

    def test_inv2543(self) -> None:
        """Section 3.4.1: without Content-Length the body is the rest of the datagram."""
        message = parse_message(self._4475("inv2543"))
        self.assertTrue(message.body.startswith(b"v=0\r\n"))
        self.assertEqual(parse_sdp(message.body).media[0].port, 49217)

    def test_unreason(self) -> None:
        """Section 3.1.1.12: a reason phrase in UTF-8 goes out as it came in."""
        message = parse_message(self._4475("unreason"))
        assert isinstance(message, Response)
        self.assertEqual(message.to_bytes(), self._4475("unreason"))

    def test_ipv6_in_sdp(self) -> None:
        """RFC 5118 section 4.6 as stored, with LF: a wrong Content-Length is put right before it goes on."""
        message = parse_message(octets("sip/rfc5118", "ipv6-in-sdp.dat"))
        self.assertEqual(message.content_length, len(message.body))
        self.assertEqual(message.body.count(b"\r\n"), message.body.count(b"\n"))


if not GIVEN:
    del TortureTests, SingleTortureTests
