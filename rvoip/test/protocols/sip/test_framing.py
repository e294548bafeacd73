"""Messages out of a stream, however the octets are cut."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import KeepAlive, StreamError, StreamFramer
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import Limits, parse_message
from rvoip.test.protocols.sip.samples import HEAD

PLAIN = HEAD + b"\r\n"
BODY = HEAD + b"l: 11\r\nX: y\r\n\r\nv=0\r\n\r\nINVI"
FOLDED = HEAD + b"Content-Length\t: \r\n 3\r\n\r\nabc"
TWICE = HEAD + b"Content-Length: 2\r\nContent-Length:2\r\n\r\n\r\n"


def feed(pieces: list[bytes], limits: Limits | None = None) -> tuple[list[bytes | KeepAlive], str, int]:
    """What comes out, in order, the error's reason or "", and the octets still held (-1 after an error)."""
    framer = StreamFramer(limits) if limits is not None else StreamFramer()
    found: list[bytes | KeepAlive] = []
    for piece in pieces:
        try:
            found += framer.receive(piece)
        except StreamError as error:
            return found + error.completed, f"{error.status} {error.reason}", -1
    return found, "", framer.pending


class FramingTests(SynchronousTestCase):
    """RFC 3261 section 18.3 and RFC 5626 section 3.5.1."""

    def test_messages(self) -> None:
        """Content-Length frames; without one there is no body."""
        for message in (PLAIN, BODY, FOLDED, TWICE):
            self.assertEqual(feed([message]), ([message], "", 0))
        self.assertEqual(feed([PLAIN + BODY + FOLDED + TWICE]), ([PLAIN, BODY, FOLDED, TWICE], "", 0))

    def test_what_is_framed_can_be_read(self) -> None:
        """Parser and framer agree on where a body ends."""
        for message in (PLAIN, BODY, FOLDED, TWICE):
            self.assertEqual(
                parse_message(message).to_bytes().rpartition(b"\r\n\r\n")[2],
                message.rpartition(b"\r\n\r\n")[2],
            )

    def test_incomplete(self) -> None:
        """Nothing comes out before the last octet; what is held is counted."""
        for message in (PLAIN, BODY):
            self.assertEqual(feed([message[:-1]]), ([], "", len(message) - 1))

    def test_keep_alive(self) -> None:
        """Four octets are a ping, two before something else a pong."""
        self.assertEqual(feed([b"\r\n\r\n"]), ([KeepAlive.PING], "", 0))
        self.assertEqual(feed([b"\r\n\r\n\r\n\r\n"]), ([KeepAlive.PING] * 2, "", 0))
        self.assertEqual(feed([b"\r\n" + PLAIN]), ([KeepAlive.PONG, PLAIN], "", 0))
        self.assertEqual(feed([b"\r\n\r\n\r\n" + PLAIN]), ([KeepAlive.PING, KeepAlive.PONG, PLAIN], "", 0))
        self.assertEqual(feed([PLAIN + b"\r\n\r\n" + PLAIN]), ([PLAIN, KeepAlive.PING, PLAIN], "", 0))

    def test_take_pong(self) -> None:
        """A lone CRLF waits for what follows, unless its reader knows that it sent a ping."""
        framer = StreamFramer()
        self.assertFalse(framer.take_pong())
        self.assertEqual(framer.receive(b"\r"), [])
        self.assertFalse(framer.take_pong())
        self.assertEqual(framer.receive(b"\n"), [])
        self.assertTrue(framer.take_pong())
        self.assertEqual(framer.pending, 0)
        self.assertEqual(framer.receive(PLAIN), [PLAIN])

    def test_content_length(self) -> None:
        """What is refused, with what status, and that the request can be answered."""
        for lines, status in (
            (b"Content-Length: -1", 400),
            (b"Content-Length: +1", 400),
            (b"Content-Length:", 400),
            (b"Content-Length: 1_0", 400),
            (b"Content-Length: 0x10", 400),
            (b"Content-Length: \xd9\xa1", 400),
            (b"Content-Length: 1 0", 400),
            (b"Content-Length: 1\r\n 0", 400),
            (b"Content-Length: 5, 5", 400),
            (b"Content-Length: 5\r\nContent-Length: 6", 400),
            (b"Content-Length: 5\r\nl : 6", 400),
            (b"Content-Length: 0\r\nContent-Length\r\n : 6", 400),
            (b"Content-Length: 70000", 413),
            (b"Content-Length: 9999999", 413),
            (b"Content-Length: 4294967296", 413),
            (b"Content-Length: " + b"9" * 5000, 413),
        ):
            error = self.assertRaises(StreamError, StreamFramer().receive, HEAD + lines + b"\r\n\r\n")
            self.assertEqual(error.status, status, repr(lines[:60]))
            assert isinstance(error.message, Request)
            self.assertEqual(error.message.call_id, "a84b4c76e66710@pc33.atlanta.example.com")

    def test_hidden_lengths(self) -> None:
        """Names that only look like Content-Length do not frame, and the parser agrees or refuses."""
        for line in (
            b"X-Content-Length: 5",
            b"Content-Length-X: 5",
            b"X-A: Content-Length: 5",
            b"X-A: a\x0bContent-Length: 5",
        ):
            data = HEAD + line + b"\r\n\r\n"
            self.assertEqual(feed([data]), ([data], "", 0))
            self.assertIsNone(parse_message(data).content_length)
        for line in (
            b"Content-Length\x0b: 5",
            b"X-A: a\nContent-Length: 5",
            b"X-A: a\rContent-Length: 5",
            b"Content-Length\x00: 5",
        ):
            data = HEAD + line + b"\r\n\r\n"
            self.assertEqual(feed([data]), ([data], "", 0))
            self.assertRaises(SIPParseError, parse_message, data)
        folded = HEAD + b"Content-Length\r\n : 5\r\n\r\n12345"
        self.assertEqual(feed([folded]), ([folded], "", 0))
        self.assertEqual(parse_message(folded).body, b"12345")

    def test_too_large(self) -> None:
        """Headers without end, or a message over the limit: the stream is given up, memory stays bounded."""
        limits = Limits(message=1000)
        error = self.assertRaises(
            StreamError, StreamFramer(limits).receive, b"INVITE sip:a SIP/2.0\r\n" + b"x" * 2000
        )
        self.assertEqual((error.status, error.message), (513, None))
        framer = StreamFramer(limits)
        self.assertEqual(framer.receive(b"x" * 999), [])
        self.assertRaises(StreamError, framer.receive, b"x")
        error = self.assertRaises(StreamError, StreamFramer(limits).receive, HEAD + b"l: 900\r\n\r\n")
        self.assertEqual(error.status, 413)
        self.assertIsInstance(error.message, Request)
        fits = HEAD + b"l: %03d\r\n\r\n" % (1000 - len(HEAD) - 10) + b"x" * (1000 - len(HEAD) - 10)
        self.assertEqual(len(fits), 1000)
        self.assertEqual(feed([fits], limits), ([fits], "", 0))

    def test_completed_before_the_error(self) -> None:
        """What was whole before comes with the error; after it nothing does."""
        framer = StreamFramer()
        error = self.assertRaises(
            StreamError, framer.receive, PLAIN + b"\r\n\r\n" + HEAD + b"l: x\r\n\r\n" + PLAIN
        )
        self.assertEqual(error.completed, [PLAIN, KeepAlive.PING])
        self.assertEqual(framer.receive(PLAIN), [])

    def test_stray_line_breaks(self) -> None:
        """Between messages only CRLF may stand."""
        for data in (b"\n", b"\n\n", b"\r\r", b"\r\n\r\r", b"\rINVITE", b"\n" + PLAIN):
            self.assertTrue(feed([data])[1].startswith("400"), repr(data))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.sampled_from(
                [
                    PLAIN,
                    BODY,
                    FOLDED,
                    TWICE,
                    b"\r\n\r\n",
                    b"\r\n",
                    HEAD + b"l: x\r\n\r\n",
                    HEAD + b"l: 1\r\nl: 2\r\n\r\n",
                    HEAD + b"l: 900\r\n\r\n",
                    b"x" * 700,
                    b"INVITE",
                    b"\n",
                ]
            ),
            max_size=6,
        ),
        st.data(),
    )
    def test_independent_of_splitting(self, parts: list[bytes], data: st.DataObject) -> None:
        """Any cutting of any stream gives what the whole gives: results, error and what is held."""
        stream = b"".join(parts)
        limits = Limits(message=1000)
        whole = feed([stream], limits)
        self.assertEqual(feed([stream[index : index + 1] for index in range(len(stream))], limits), whole)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
        edges = [0, *cuts, len(stream)]
        self.assertEqual(feed([stream[start:end] for start, end in itertools.pairwise(edges)], limits), whole)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.binary(max_size=40), max_size=10))
    def test_any_octets(self, pieces: list[bytes]) -> None:
        """Nothing but `StreamError` gets out, and no more is held than came in."""
        _, _, pending = feed([b"INVITE sip:a SIP/2.0\r\n", *pieces])
        self.assertLessEqual(pending, 22 + sum(len(piece) for piece in pieces))
