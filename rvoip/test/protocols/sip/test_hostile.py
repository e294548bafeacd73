"""Messages made to hurt: Python's traps, sheer size, and headers that hide."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.digest import parse_challenge, parse_credentials
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import StreamFramer
from rvoip.protocols.sip.headers import HEADERS
from rvoip.protocols.sip.message import Message
from rvoip.protocols.sip.reader import DEFAULT_LIMITS, Limits, parse_message
from rvoip.protocols.sip.uri import parse_uri
from rvoip.test.protocols.sip.samples import HEAD, LARGE, invite, without

CPU_SECONDS = 0.3
"""What one message of 64 KiB may cost."""
SIZE = 60_000

# Numbers to Python and to nobody else.
NO_NUMBERS = (
    "1_0",
    "+1",
    "-0",
    "\u0661",
    "\uff11",
    "\u00b2",
    "0x1",
    "1e1",
    "\x1c1",
    "1\x1f",
    "1\x85",
    "1\xa0",
    "9" * 5000,
    "1" + "0" * 5000,
)
# Line breaks to `str.splitlines` and blanks to `str.split`, and to nobody else.
BLANKS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u2028", "\u2029", "\u3000")

# One number each, in place of {}; read as a number when it is one.
NUMERIC: dict[str, str] = {
    "content-length": "{}",
    "cseq": "{} INVITE",
    "flow-timer": "{}",
    "max-breadth": "{}",
    "max-forwards": "{}",
    "mime-version": "{}.0",
    "min-expires": "{}",
    "min-se": "{}",
    "rack": "{} 1 INVITE",
    "reason": "SIP;cause={}",
    "retry-after": "{}",
    "rseq": "{}",
    "session-expires": "{}",
    "subscription-state": "active;expires={}",
    "timestamp": "{}",
    "warning": '{} a "b"',
    "via": "SIP/2.0/UDP h:{}",
    "diversion": "<sip:a@b>;counter={}",
    "history-info": "<sip:a@b>;index={}",
    "accept": "text/plain;q={}",
    "security-client": "tls;q={}",
}


class PythonTrapTests(SynchronousTestCase):
    """What Python would take for a number, a blank or a line break."""

    def test_numbers(self) -> None:
        """In every numeric field, in every place."""
        for name, pattern in NUMERIC.items():
            for number in NO_NUMBERS:
                data = without_any(name) + f"{name}: {pattern.format(number)}\r\n\r\n".encode()
                self.assertRaises(SIPParseError, lambda data=data, name=name: parse_message(data).typed(name))
            good = "399" if name == "warning" else "1"
            data = without_any(name) + f"{name}: {pattern.format(good)}\r\n\r\n".encode() + b"x"
            self.assertTrue(parse_message(data).typed(name), name)

    def test_numbers_of_uris(self) -> None:
        """Ports and telephone numbers."""
        for number in NO_NUMBERS:
            self.assertRaises(SIPParseError, parse_uri, f"sip:a@b:{number}")
            if not number.isascii() or number in ("1_0", "0x1", "\x1c1", "1\x1f"):
                self.assertRaises(SIPParseError, parse_uri, f"tel:{number}")

    def test_status(self) -> None:
        """The status of a response."""
        for number in (
            "2_0",
            "+20",
            "-20",
            "\u0662\u0660\u0660",
            "\uff12\uff10\uff10",
            " 20",
            "20 ",
            "2e2",
            "0x2",
            "2" * 5000,
        ):
            self.assertRaises(SIPParseError, parse_message, f"SIP/2.0 {number} OK\r\nVia: x\r\n\r\n".encode())

    def test_blanks(self) -> None:
        """They separate nothing and are stripped from nothing."""
        for blank in BLANKS:
            for name, text in (
                ("cseq", f"1{blank}INVITE"),
                ("cseq", f"1 INVITE{blank}"),
                ("rack", f"1{blank}1 INVITE"),
                ("via", f"SIP/2.0/UDP{blank}h"),
                ("via", f"SIP/2.0/UDP h{blank}"),
                ("max-forwards", f"70{blank}"),
                ("session-expires", f"{blank}90"),
                ("supported", f"path{blank}"),
                ("supported", f"path{blank}timer"),
                ("event", f"presence{blank}"),
                ("content-type", f"text/plain{blank}"),
                ("warning", f'399{blank}a "b"'),
                ("retry-after", f"5{blank}(x)"),
                ("date", f"Sat,{blank}13 Nov 2010 23:29:00 GMT"),
                ("timestamp", f"54{blank}1"),
            ):
                data = without_any(name) + f"{name}: {text}\r\n\r\n".encode()
                self.assertRaises(SIPParseError, lambda data=data, name=name: parse_message(data).typed(name))

    def test_line_breaks(self) -> None:
        """They end no header line: what stands behind one is never a header."""
        for blank in BLANKS:
            message = invite(f"Subject: x{blank}P-Asserted-Identity: <sip:root@b>")
            self.assertFalse(message.has("p-asserted-identity"))
            self.assertFalse(parse_message(message.to_bytes()).has("p-asserted-identity"))

    def test_letters_that_become_ascii(self) -> None:
        """U+212A and U+017F become "k" and "S" when their case is changed; a token has neither."""
        for line in ("To\u212aen: x", "Sub\u017fect: x", "\u212a: path"):
            self.assertRaises(SIPParseError, parse_message, HEAD + f"{line}\r\n\r\n".encode())
        for name, text in (
            ("via", "SIP/2.0/UD\u017f h"),
            ("via", "\u017fIP/2.0/UDP h"),
            ("session-expires", "90;to\u212aen=1"),
            ("privacy", "to\u212aen"),
            ("accept-encoding", "to\u212aen"),
        ):
            data = without_any(name) + f"{name}: {text}\r\n\r\n".encode()
            self.assertRaises(SIPParseError, lambda data=data, name=name: parse_message(data).typed(name))

    def test_format_strings(self) -> None:
        """Text of a peer is never a format."""
        for text in ("{}", "{0}", "{0.__class__}", "%s", "%(x)s", "%n"):
            message = invite(f"Subject: {text}", f"Call-Info: <{text}>")
            self.assertEqual(message.get("subject"), text)
            error = self.assertRaises(SIPParseError, parse_message, f"{text} {text} {text}\r\n\r\n".encode())
            self.assertTrue(str(error).startswith("400 "))


def without_any(name: str) -> bytes:
    """The request without any line of the (canonical) name."""
    shown = {"via": "Via", "cseq": "CSeq", "max-forwards": "Max-Forwards", "from": "From", "to": "To"}.get(
        name, name
    )
    return without(shown)


def payloads() -> dict[str, str]:
    """Texts of 60,000 characters that ask for backtracking, recursion or quadratic work."""
    runs = [
        '"',
        "<",
        ">",
        ",",
        ";",
        "\\",
        "%",
        "(",
        ")",
        "=",
        " ",
        "\t",
        "/",
        ":",
        ".",
        "@",
        "?",
        "&",
        "1",
        "a",
        "[",
        "\u00e9",
    ]
    pairs = [
        "<>",
        '""',
        '\\"',
        ";a",
        ";=",
        "a,",
        "a=",
        "%41",
        "<a>,",
        '"a",',
        ";a=b",
        " ;",
        "(\\",
        "a ",
        ". ",
        "1.",
        "=?",
        ':"',
        "a=b,",
        ';a="b"',
    ]
    return {text: text * (SIZE // len(text)) for text in runs + pairs}


def read(data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """All that is done to a message before anybody sees it."""
    check(parse_message(data, limits), limits)


def address_of_record(text: str) -> str:
    """The address-of-record of a URI's text."""
    return parse_uri(text).aor


class SizeTests(SynchronousTestCase):
    """64 KiB of anything in any place cost little, and nothing but `SIPParseError` comes of it."""

    def spend(self, label: str, work: Callable[..., Any], *arguments: object) -> None:
        """Do the work; it may fail with `SIPParseError` and must be quick."""
        start = time.process_time()
        try:
            work(*arguments)
        except SIPParseError:
            pass
        self.assertLess(time.process_time() - start, CPU_SECONDS, label)

    def test_headers(self) -> None:
        """Every kind of header value; kinds that are read alike are tried once."""
        for name in {(entry.parser, entry.several): name for name, entry in HEADERS.items()}.values():
            parser, several = HEADERS[name]
            for label, text in payloads().items():
                self.spend(f"{name}: {label}", parser, text)
                self.spend(f"{name}: {label}", parser, f"a/1;x={text}")
                if several and "," in text:
                    message = invite(f"{name}: {text}")
                    self.spend(f"{name}: {label}", message.typed, name)

    def test_addresses(self) -> None:
        """What may surround an address."""
        for label, text in payloads().items():
            for value in (
                f'"{text}" <sip:a@b>',
                f"{text}<sip:a@b>",
                f"<{text}>",
                f"<sip:a@b>;x={text}",
                f"<sip:a@b>{text}",
            ):
                self.spend(label, parse_name_addr, value)

    def test_lists(self) -> None:
        """Many values in one header, each good."""
        for name, value in (
            ("contact", '"a" <sip:a@b>;q=0.5'),
            ("route", "<sip:a;lr>"),
            ("via", "SIP/2.0/UDP h;branch=z9hG4bK1"),
            ("supported", "a"),
            ("accept", "a/b;q=0.1"),
            ("warning", '399 a "b"'),
            ("history-info", "<sip:a@b?Reason=SIP>;index=1"),
        ):
            text = ",".join([value] * (SIZE // (len(value) + 1)))
            message = invite(f"{name}: {text}")
            self.spend(name, message.typed, name)
            self.spend(name, message.remove_first_value, name)

    def test_messages(self) -> None:
        """The start line, the names, the number of lines, folding, the body."""
        for label, text in payloads().items():
            data = text.encode()
            for whole in (
                data,
                b"INVITE " + data + b" SIP/2.0\r\n\r\n",
                data + b" sip:a SIP/2.0\r\n\r\n",
                b"SIP/2.0 200 " + data + b"\r\n\r\n",
                HEAD + data + b"\r\n\r\n",
                HEAD + data + b": x\r\n\r\n",
                HEAD + b"X-A: " + data + b"\r\n\r\n",
                HEAD + b"\r\n" + data,
            ):
                self.spend(label, read, whole, LARGE)
        for line in (b"a:\r\n", b"\r\n a", b"a\r\n", b"Via: x\r\n", b"l: 0\r\n", b": \r\n", b"\r\n\t\r\n "):
            self.spend(repr(line), read, HEAD + line * (SIZE // len(line)) + b"\r\n\r\n")

    def test_uris(self) -> None:
        """URIs of each scheme."""
        for label, text in payloads().items():
            for pattern in (
                "sip:{}",
                "sip:{}@h",
                "sip:u@{}",
                "sip:u@h;{}",
                "sip:u@h?{}",
                "sip:u@h:{}",
                "tel:{}",
                "tel:+{}",
                "tel:+{}x",
                "x:{}",
            ):
                self.spend(f"{pattern} {label}", address_of_record, pattern.format(text))

    def test_digest(self) -> None:
        """Credentials and challenges."""
        for label, text in payloads().items():
            for pattern in (
                "Digest {}",
                'Digest username="{}"',
                'Digest realm="r", nonce="{}',
                "Digest qop={}",
            ):
                self.spend(label, parse_credentials, pattern.format(text))
                self.spend(label, parse_challenge, pattern.format(text))

    def test_streams(self) -> None:
        """Octet by octet as far as the limit."""
        for start in (b"INVITE sip:a SIP/2.0\r\n", b"\r\n", b"Content-Length: ", HEAD + b"l" + b" " * 2000):
            framer = StreamFramer()
            self.assertEqual(framer.receive(start), [])

            def feed(framer: StreamFramer) -> None:
                for _ in range(600):
                    framer.receive(b"\r\nl: 1 " + b"x" * 100)

            self.spend(repr(start), feed, framer)
            self.assertLess(framer.pending, 70_000)


HIDDEN = "P-Asserted-Identity"
VALUE = "<sip:root@atlanta.example.com>"
# Each is put between two good header lines. Some are the header, some are not; some are refused.
SPELLINGS = [
    *[
        f"{name}: {VALUE}"
        for name in (HIDDEN, HIDDEN.lower(), HIDDEN.upper(), HIDDEN.swapcase(), "p-aSSerted-identitY")
    ],
    *[
        f"{HIDDEN}{blank}: {VALUE}"
        for blank in (" ", "\t", "  \t ", "\r\n ", "\r\n\t", " \r\n \r\n ", "\r", "\n", "\r\n", "\0", *BLANKS)
    ],
    *[f"{blank}{HIDDEN}: {VALUE}" for blank in (" ", "\t", "\r", "\n", "\r\n", "\0", *BLANKS)],
    *[
        f"X-A: a{end}{HIDDEN}: {VALUE}"
        for end in ("\r\n", "\n", "\r", "\n\r", "\r\r\n", "\r\n\n", "\r\n ", "\r\n\t", "\0", *BLANKS)
    ],
    f"P-Asserted\r\n -Identity: {VALUE}",
    f"P-Asserted -Identity: {VALUE}",
    f"P-Asserted%2DIdentity: {VALUE}",
    f"P\u2010Asserted\u2010Identity: {VALUE}",
    f"\uff30-Asserted-Identity: {VALUE}",
    f"{HIDDEN}\uff1a {VALUE}",
    f"{HIDDEN}",
    f"{HIDDEN}:",
    f"{HIDDEN}:{VALUE}",
    f":{HIDDEN}: {VALUE}",
    f'"{HIDDEN}": {VALUE}',
    f"X-A: a%0d%0a{HIDDEN}: {VALUE}",
    f"X-A: a\\r\\n{HIDDEN}: {VALUE}",
    f"Subject: \r\n \r\n {HIDDEN}: {VALUE}",
]


class SmugglingTests(SynchronousTestCase):
    """A header that was not seen when the message came is not seen by the next hop either."""

    def seen(self, message: Message) -> list[str]:
        """The names and values that a reader finds."""
        return [f"{name}={message.get_all(name)}" for name in message.names]

    def test_same_headers(self) -> None:
        """What goes out reads as what came in: same names, same values, same order."""
        self.assertGreater(len(SPELLINGS), 60)
        accepted = 0
        for spelling in SPELLINGS:
            data = HEAD + f"Subject: a\r\n{spelling}\r\nX-Z: z\r\n\r\n".encode()
            try:
                message = parse_message(data)
            except SIPParseError:
                continue
            accepted += 1
            again = parse_message(message.to_bytes())
            self.assertEqual(self.seen(again), self.seen(message), repr(spelling))
            self.assertEqual(again.to_bytes(), message.to_bytes())
        self.assertGreater(accepted, 25)

    def test_stripped(self) -> None:
        """Once removed, it is gone for anybody who ends lines with CR or LF and trims names."""
        for spelling in SPELLINGS:
            data = HEAD + f"Subject: a\r\n{spelling}\r\nX-Z: z\r\n\r\n".encode()
            try:
                message = parse_message(data)
            except SIPParseError as error:
                if error.message is not None:
                    self.assertNotIn("\n", "".join(error.message.lines))
                continue
            message.remove(HIDDEN.lower())
            head = message.to_bytes().partition(b"\r\n\r\n")[0]
            for line in head.replace(b"\r", b"\n").split(b"\n"):
                name = line.partition(b":")[0].strip(b" \t\0\x0b\x0c\x1c\x1d\x1e\x1f").lower()
                self.assertNotEqual(name, HIDDEN.lower().encode(), repr(spelling))

    def test_values_hide_nothing(self) -> None:
        """A header built from a peer's text cannot end its line."""
        for text in ("a\r\nX: b", "a\nX: b", "a\rX: b"):
            message = invite()
            for change in (message.set, message.add, message.insert):
                self.assertRaises(ValueError, change, "subject", text)
            self.assertEqual(message.to_bytes(), HEAD + b"\r\n")
