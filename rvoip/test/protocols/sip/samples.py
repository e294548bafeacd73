"""A request to put header lines into, and tables of header values that are read and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.reader import Limits, parse_message

HEAD = (
    b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n"
    b"To: Bob <sip:bob@biloxi.example.com>\r\n"
    b"Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
)
"""A request with what is mandatory and no more, without the empty line at its end."""

RESPONSE = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP server10.biloxi.com;branch=z9hG4bKnashds8;received=192.0.2.3\r\n"
    b"v: SIP/2.0/TCP bigbox3.site3.atlanta.com;branch=z9hG4bK77ef , SIP/2.0/UDP pc33.atlanta.com\r\n"
    b"To: Bob <sip:bob@biloxi.com>;tag=a6c85cf\r\n"
    b"From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"
    b"Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n"
    b"CSeq: 314159 INVITE\r\n"
    b"Contact: <sip:bob@192.0.2.4>\r\n"
    b"Content-Type: application/SDP;x=y\r\n"
    b"Content-Length: 4\r\n\r\nv=0\n"
)
"""A response with several Via values, two of them in one line, and a body."""

LARGE = Limits(message=200_000, header=200_000)
"""Limits that let a header of 64 KiB through."""


def invite(*lines: str, body: bytes = b"") -> Request | Response:
    """The request above with more header lines."""
    more = "".join([f"{line}\r\n" for line in lines]).encode("utf-8", "surrogateescape")
    return parse_message(HEAD + more + b"\r\n" + body, LARGE)


def request(data: bytes) -> Request:
    """The request in `data`."""
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def without(name: str) -> bytes:
    """The request above, complete, without the lines that begin with `name`."""
    lines = [line for line in HEAD.split(b"\r\n") if not line.startswith(name.encode() + b":")]
    return b"\r\n".join(lines)


if TYPE_CHECKING:
    _Mixin = SynchronousTestCase
else:
    _Mixin = object


class HeaderTable(_Mixin):
    """Rows of header values, each read from the octets of a message, written into one, and read again."""

    good: Sequence[tuple[str, str, Any]] = ()
    """Name as in a message, text, value. The value's own text must read back to the value."""

    bad: Sequence[tuple[str, str]] = ()
    """Name and a text that is no value of it."""

    def test_reads(self) -> None:
        """Octets become the value."""
        for name, text, value in self.good:
            self.assertEqual(self._read(name, text), value, f"{name}: {text}")

    def test_writes(self) -> None:
        """What a value writes of itself reads back to it, and is written the same from then on."""
        for name, _, value in self.good:
            written = self._write(value)
            self.assertEqual(self._read(name, written), value, f"{name}: {written}")
            self.assertEqual(self._write(self._read(name, written)), written)

    def test_bad(self) -> None:
        """A text that is no value is a 400, and the message can still be used."""
        for name, text in self.bad:
            message = self._message(name, text)
            error = self.assertRaises(SIPParseError, message.typed, name.lower())
            self.assertEqual(error.status, 400, f"{name}: {text}")
            self.assertEqual(message.cseq.number, 314159)

    def test_absent(self) -> None:
        """A header that is not there is an empty list or None."""
        for name, _, value in self.good:
            if name.lower() not in ("from", "to", "cseq", "via", "call-id", "max-forwards"):
                self.assertEqual(invite().typed(name.lower()), [] if isinstance(value, list) else None)

    def _message(self, name: str, text: str) -> Message:
        return parse_message(without(name) + f"{name}: {text}\r\n\r\n".encode(), LARGE)

    def _read(self, name: str, text: str) -> Any:
        return self._message(name, text).typed(name.lower())

    def _write(self, value: Any) -> str:
        return ", ".join([str(one) for one in value]) if isinstance(value, list) else str(value)
