"""Descriptions that are made to hurt: each gives a value or `SDPError` within a fraction of a second."""

from __future__ import annotations

import random
import time

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sdp.compare import equivalent
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.problems import problems
from rvoip.protocols.sdp.session import Limits, parse
from rvoip.test.protocols.sdp.samples import PHONE, edited

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
SECTION = b"m=audio 1 RTP/AVP 0\r\n"
FULL = 65536


def filled(start: bytes, piece: bytes, end: bytes = b"\r\n") -> bytes:
    """As many pieces between start and end as fit into the octets of a description."""
    return start + piece * ((FULL - len(start) - len(end)) // len(piece)) + end


def noise(seed: int, alphabet: bytes | None = None) -> bytes:
    """64 KiB of anything."""
    source = random.Random(seed)
    return source.randbytes(FULL) if alphabet is None else bytes(source.choices(alphabet, k=FULL))


REFUSED: dict[str, bytes] = {
    "hundred media lines": HEAD + SECTION * 100,
    "thousands of media lines": filled(HEAD, b"m=a 1 b c\r\n"),
    "noise": noise(1),
    "noise of lines": noise(2, b"vosiuepcbtrzkam= \r\n0:/"),
    "noise under a head": HEAD + noise(3)[: FULL - len(HEAD)],
    "10 MB": b"v=0\r\n" + b"x" * 10_000_000,
    "10 MB of lines": HEAD + b"a=x\r\n" * 2_000_000,
    "empty": b"",
    "NULs": b"\0" * FULL,
    "a NUL at the end": PHONE + b"a=x\0\r\n",
    "only line ends": b"\r\n" * (FULL // 2),
    "only line feeds": b"\n" * FULL,
    "only carriage returns": b"\r" * FULL,
    "only equals signs": b"=" * FULL,
    "huge port": edited("10018", "9" * 5000),
    "huge version": edited("- 3622532974 3622532974", "- 1 " + "9" * 60000),
    "huge time": edited("t=0 0", "t=0 " + "9" * 5000),
    "huge bandwidth": PHONE + b"b=AS:" + b"9" * 60000 + b"\r\n",
    "negative port": edited("10018", "-1"),
    "underscored port": edited("10018", "1_0018"),
    "arabic port": edited("10018", "\u0661\u0660\u0660\u0661\u0668"),
    "full-width port": edited("10018", "\uff11\uff10\uff10\uff11\uff18"),
    "superscript port": edited("10018", "100\u00b2"),
    "a vertical tab as a line end": PHONE.replace(b"\r\n", b"\x0b"),
    "a next line as a line end": PHONE.replace(b"\r\n", b"\xc2\x85"),
    "a line separator as a line end": PHONE.replace(b"\r\n", b"\xe2\x80\xa8"),
    "a file separator as a space": PHONE.replace(b"RTP/AVP 8", b"RTP/AVP\x1c8"),
    "a no-break space as a space": PHONE.replace(b"IN IP4", b"IN\xc2\xa0IP4"),
    "many attributes": HEAD + b"a=x\r\n" * 1900,
    "UTF-16": PHONE.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + PHONE,
}

READ: dict[str, bytes] = {
    "one long name": filled(HEAD + b"a=", b"x"),
    "one long value": filled(HEAD + b"a=fmtp:96 ", b"a=b;"),
    "one long line of spaces": filled(HEAD + b"a=x:", b" "),
    "one long line of fields": filled(HEAD + b"m=audio 1 RTP/AVP", b" 0"),
    "spaces between two fields": filled(HEAD + b"m=audio 1 RTP/AVP 0", b" ", b" 8\r\n"),
    "many attributes": HEAD + SECTION + b"a=candidate:1 1 UDP 1 h 1 typ x\r\n" * 1500,
    "many rtpmaps": HEAD
    + filled(b"m=audio 1 RTP/AVP", b" 96")[:20000]
    + b"\r\n"
    + b"a=rtpmap:96 x/1\r\na=fmtp:96 x\r\n" * 750,
    "many connections": HEAD + SECTION + b"c=IN IP4 1.1.1.1\r\n" * 1900,
    "many e-mail addresses": HEAD + b"e=a@b\r\n" * 1900,
    "many times": HEAD + b"t=0 0\r\n" * 1900,
    "many repeats": HEAD + b"r=7d 1h 0\r\n" * 1900,
    "one long repeat": filled(HEAD + b"r=7d 1h", b" 0"),
    "many zones": filled(HEAD + b"z=", b"1 -1h "),
    "many unknown lines": HEAD + b"x=\r\n" * 1900,
    "many blank lines": HEAD + b"\r\n" * 1900,
    "a long simulcast": filled(HEAD + SECTION + b"a=simulcast:send ", b"1;"),
    "a long rid": filled(HEAD + SECTION + b"a=rid:1 send pt=1", b";a=b"),
    "a long fingerprint": filled(HEAD + b"a=fingerprint:sha-256 AB", b":AB"),
    "a long key": filled(HEAD + SECTION + b"a=crypto:1 X inline:", b"A"),
    "many keys": filled(HEAD + SECTION + b"a=crypto:1 X ", b"inline:AAAA;"),
    "a long candidate": filled(HEAD + SECTION + b"a=candidate:1 1 UDP 1 h 1 typ host", b" a b"),
    "a long group": filled(HEAD + b"a=group:BUNDLE", b" a"),
    "a name of other octets": filled(HEAD + b"i=", b"\xff"),
    "a long address": filled(HEAD + SECTION + b"c=IN IP6 ", b":"),
    "an address of many slashes": filled(HEAD + SECTION + b"c=PSTN E164 ", b"/"),
    "many words in a user name": filled(b"v=0\r\no=", b"x ", b"1 1 IN IP4 h\r\n"),
}

# Real time is measured, on machines that do other work: the bound is the promise, not the usual time.
BOUND_S = 0.3


class HostileTests(SynchronousTestCase):
    """The tables above, and what may be asked of what was read."""

    def test_refused(self) -> None:
        for name, data in REFUSED.items():
            start = time.thread_time()
            for text in (data, data.decode("latin-1")):
                error = self.assertRaises(SDPError, parse, text)
                self.assertLess(len(str(error)), 200)
                self.assertTrue(str(error).isascii() and str(error).isprintable())
            self.assertLess(time.thread_time() - start, BOUND_S, name)

    def test_read(self) -> None:
        for name, data in READ.items():
            start = time.thread_time()
            description = parse(data)
            self.assertEqual(parse(description.to_bytes(), Limits(octets=2 * FULL)), description, name)
            self.assertLess(time.thread_time() - start, BOUND_S, name)

    def test_asked(self) -> None:
        for name, data in READ.items():
            description = parse(data)
            start = time.thread_time()
            self.assertTrue(equivalent(description, description))
            problems(description)
            for media in description.media:
                for accessor in ("codecs", "candidates", "cryptos", "rids", "simulcast", "fingerprints"):
                    getattr(media, accessor)
                description.holds(media)
            self.assertLess(time.thread_time() - start, BOUND_S, name)

    def test_without_limits(self) -> None:
        """A caller that lifts the limits still gets an answer in linear time."""
        start = time.thread_time()
        description = parse(HEAD + SECTION + b"a=x\r\n" * 50_000, Limits(2**30, 2**30, 2**30, 2**30))
        self.assertEqual(len(description.media[0].attributes), 50_000)
        self.assertLess(time.thread_time() - start, 1.0)

    def test_nothing_is_smuggled_past_a_line_end(self) -> None:
        """A separator that str.splitlines() takes for a line end is text, and stays in its line."""
        for separator in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
            description = parse(edited("a=ptime:20", f"a=x:1{separator}a=inactive"))
            self.assertEqual(description.media[0].value("x"), f"1{separator}a=inactive")
            self.assertFalse(description.is_hold)
