"""Multipart bodies: what stands between boundaries, how deep, how many, and written again."""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.mime import MAX_HEADER_LINES, Part, build_multipart, find_part, parse_multipart

MIXED = "multipart/mixed;boundary=b"
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
CONFORMANCE_DIR = os.environ.get("CONFORMANCE_DIR")


def nested(depth: int) -> tuple[str, bytes]:
    """A multipart in a multipart, that many in all, with a text in the innermost."""
    part = Part.of("text/plain", b"x")
    for level in range(depth):
        content_type, body = build_multipart([part], boundary=f"level{level}")
        part = Part.of(content_type, body)
    return content_type, body


class FramingTests(SynchronousTestCase):
    """Which octets are whose."""

    def test_bodies(self) -> None:
        for body, bodies in (
            (b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one", b"two"]),
            (b"--b\r\n\r\none\r\n--b--", [b"one"]),
            (b"--b \t\r\n\r\none\r\n--b \t\r\n\r\ntwo\r\n--b-- \t", [b"one", b"two"]),
            # Preamble and epilogue, with something that looks like a part in the latter.
            (b"pre\r\namble\r\n--b\r\n\r\none\r\n--b--\r\nepi\r\n--b\r\n\r\ntwo\r\n--b--\r\n", [b"one"]),
            (b"\r\n--b\r\n\r\none\r\n--b--\r\n", [b"one"]),
            # The CRLF before the boundary belongs to it, and no more than that.
            (b"--b\r\n\r\n\r\n\r\n\r\n--b--", [b"\r\n\r\n"]),
            (b"--b\r\n\r\none\r\n\r\n--b--", [b"one\r\n"]),
            (b"--b\r\n\r\none\n\r\n--b--", [b"one\n"]),
            (b"--b\r\n\r\n\r\n--b--", [b""]),
            (b"--b\r\n\r\n--b--", [b""]),
            (b"--b\r\n--b--", [b""]),
            (b"--b\r\n--b\r\n\r\n\r\n--b--", [b"", b""]),
            # What is not at the beginning of a line, or not all of the line, is no boundary.
            (
                b"--b\r\n\r\na--b\r\n--bc\r\n--b-\r\n--b--c\r\n-b\n--b\r\n\r--b\r\n--b--",
                [b"a--b\r\n--bc\r\n--b-\r\n--b--c\r\n-b\n--b\r\n\r--b"],
            ),
            (b"x--b\r\n--b\r\n\r\none\r\n--b--", [b"one"]),
            (b"--b\r\n\r\n\x00\xff\r\r\n\n--b\x00\r\n--b--", [b"\x00\xff\r\r\n\n--b\x00"]),
        ):
            self.assertEqual([part.body for part in parse_multipart(MIXED, body)], bodies)

    def test_refused(self) -> None:
        for body in (
            b"",
            b"one",
            b"--b",
            b"--b\r\n",
            b"--b--",
            b"--b--\r\n--b\r\n\r\none\r\n--b--",
            b"--b\r\n\r\none",
            b"--b\r\n\r\none\r\n--b",
            b"--b\r\n\r\none\r\n--b\r\n",
            b"--b\n\none\n--b--\n",
            b"--c\r\n\r\none\r\n--c--",
        ):
            self.assertEqual(self.assertRaises(SIPParseError, parse_multipart, MIXED, body).status, 400)

    def test_boundaries(self) -> None:
        for text, boundary in (
            ("b", "b"),
            ('"b"', "b"),
            ('"gc0pJq0M:08jU534c0p"', "gc0pJq0M:08jU534c0p"),
            ('"two words"', "two words"),
            (r'"a\"b"', 'a"b'),
            ('"' + "x" * 70 + '"', "x" * 70),
            ("----=_Part_1", "----=_Part_1"),
            ("---", "---"),
        ):
            body = f"--{boundary}\r\n\r\none\r\n--{boundary}--".encode()
            for name in ("boundary", "Boundary", "x=y;BOUNDARY"):
                parts = parse_multipart(f"Multipart/Mixed; {name}={text}; z", body)
                self.assertEqual([part.body for part in parts], [b"one"])

    def test_refused_types(self) -> None:
        for content_type in (
            "",
            "multipart",
            "multipart/mixed",
            "multipart/mixed;boundary",
            "multipart/mixed;boundary=",
            'multipart/mixed;boundary=""',
            'multipart/mixed;boundary="b "',
            'multipart/mixed;boundary="b',
            'multipart/mixed;boundary="\u00e9"',
            'multipart/mixed;boundary="b\t"',
            "multipart/mixed;boundary=" + "b" * 71,
            "text/plain;boundary=b",
            "multipart/mixed;boundary=b;;x",
        ):
            error = self.assertRaises(SIPParseError, parse_multipart, content_type, b"--b\r\n\r\n\r\n--b--")
            self.assertEqual(error.status, 400)


class HeaderTests(SynchronousTestCase):
    """Header fields of parts."""

    def part(self, text: bytes) -> Part:
        (part,) = parse_multipart(MIXED, b"--b\r\n" + text + b"\r\n--b--")
        return part

    def test_in_order_and_as_written(self) -> None:
        part = self.part(b"Content-Type: a/b\r\nX :\r\nCONTENT-ID:\t<c@d> \r\nx: y\r\n z\r\n\tw\r\n\r\nbody")
        self.assertEqual(
            part.headers, (("Content-Type", "a/b"), ("X", ""), ("CONTENT-ID", "<c@d>"), ("x", "y z w"))
        )
        self.assertEqual(part.body, b"body")
        self.assertEqual((part.header("x"), part.header("content-type"), part.header("y")), ("", "a/b", None))

    def test_without_a_body(self) -> None:
        for text in (b"X: y", b"X: y\r\n"):
            part = self.part(text)
            self.assertEqual((part.headers, part.body), ((("X", "y"),), b""))

    def test_refused(self) -> None:
        for text in (
            b"X\r\n\r\n",
            b": y\r\n\r\n",
            b"X Y: z\r\n\r\n",
            b" X: y\r\n\r\n",
            b"X: a\nY: b\r\n\r\n",
            b"X: a\rY: b\r\n\r\n",
            b"X: a\0\r\n\r\n",
            b"X\x00: a\r\n\r\n",
            "\u00c4: a\r\n\r\n".encode(),
            b"plain text without an empty line above",
            b"Content-Type: a\r\n\r\n",
        ):
            self.assertEqual(self.assertRaises(SIPParseError, self.part, text).status, 400)

    def test_too_many(self) -> None:
        self.assertEqual(len(self.part(b"X: y\r\n" * MAX_HEADER_LINES).headers), MAX_HEADER_LINES)
        for line in (b"X: y\r\n", b" y\r\n"):
            error = self.assertRaises(
                SIPParseError, self.part, b"X: y\r\n" + line * MAX_HEADER_LINES + b"\r\n"
            )
            self.assertEqual(error.status, 413)

    def test_typed(self) -> None:
        part = self.part(
            b"Content-Type: Application/SDP;x=y\r\nContent-ID: <a@b>\r\n"
            b"Content-Disposition: Session;handling=Optional\r\nContent-Transfer-Encoding: 8Bit\r\n\r\n"
        )
        self.assertEqual((part.content_type.essence, part.content_type.param("x")), ("application/sdp", "y"))
        self.assertEqual(part.content_id, "a@b")
        disposition = part.disposition
        assert disposition is not None
        self.assertEqual((disposition.disposition, disposition.handling), ("session", "optional"))
        self.assertEqual((part.transfer_encoding, part.is_opaque), ("8bit", False))

    def test_defaults(self) -> None:
        part = Part((), b"")
        self.assertEqual(part.content_type.essence, "text/plain")
        self.assertEqual((part.content_id, part.disposition), (None, None))
        self.assertEqual((part.transfer_encoding, part.is_opaque), ("binary", False))

    def test_malformed_when_asked(self) -> None:
        part = Part((("Content-Type", "x"), ("Content-Disposition", "")), b"")
        self.assertRaises(SIPParseError, lambda: part.content_type)
        self.assertRaises(SIPParseError, lambda: part.disposition)

    def test_encodings(self) -> None:
        for encoding, opaque in (
            ("identity", False),
            ("7bit", False),
            ("8BIT", False),
            ("binary", False),
            ("base64", True),
            ("quoted-printable", True),
            ("x-anything", True),
        ):
            part = self.part(f"Content-Transfer-Encoding: {encoding}\r\n\r\neA==".encode())
            self.assertEqual((part.is_opaque, part.body), (opaque, b"eA=="))

    def test_a_content_length_counts_for_nothing(self) -> None:
        self.assertEqual(self.part(b"Content-Length: 1\r\n\r\nlonger").body, b"longer")


class NestingTests(SynchronousTestCase):
    """Multiparts in multiparts."""

    def test_taken_apart(self) -> None:
        inner_type, inner = build_multipart(
            [Part.of("text/plain", b"1"), Part.of("application/sdp", SDP)], "alternative"
        )
        content_type, body = build_multipart([Part.of("text/html", b"0"), Part.of(inner_type, inner)])
        first, second = parse_multipart(content_type, body)
        self.assertEqual((first.body, first.parts), (b"0", ()))
        self.assertEqual(second.body, inner)
        self.assertEqual([part.body for part in second.parts], [b"1", SDP])

    def test_a_boundary_that_begins_like_another(self) -> None:
        inner_type, inner = build_multipart([Part((), b"1")], boundary="bb")
        body = b"--b\r\nContent-Type: " + inner_type.encode() + b"\r\n\r\n" + inner + b"\r\n--b--"
        (part,) = parse_multipart(MIXED, body)
        self.assertEqual([p.body for p in part.parts], [b"1"])

    def test_depth(self) -> None:
        (part,) = parse_multipart(*nested(4))
        for _ in range(3):
            (part,) = part.parts
        self.assertEqual(part.body, b"x")
        for depth in (5, 50):
            self.assertEqual(self.assertRaises(SIPParseError, parse_multipart, *nested(depth)).status, 413)
        parse_multipart(*nested(5), max_depth=5)
        self.assertRaises(SIPParseError, parse_multipart, *nested(2), max_depth=1)

    def test_number(self) -> None:
        one = Part.of("text/plain", b"x")
        self.assertEqual(len(parse_multipart(*build_multipart([one] * 16))), 16)
        error = self.assertRaises(SIPParseError, parse_multipart, *build_multipart([one] * 17))
        self.assertEqual(error.status, 413)
        self.assertEqual(len(parse_multipart(*build_multipart([one] * 17), max_parts=17)), 17)

    def test_number_over_all_levels(self) -> None:
        one = Part.of("text/plain", b"x")
        inner = Part.of(*build_multipart([one] * 7))
        self.assertEqual(len(parse_multipart(*build_multipart([inner, inner]))), 2)
        self.assertRaises(SIPParseError, parse_multipart, *build_multipart([inner, inner, one]))

    def test_an_encoded_multipart_is_left_alone(self) -> None:
        content_type, body = build_multipart([Part((), b"1")])
        part = Part((("Content-Type", content_type), ("Content-Transfer-Encoding", "base64")), body)
        (read,) = parse_multipart(*build_multipart([part]))
        self.assertEqual((read.body, read.parts), (body, ()))

    def test_a_broken_inner_multipart(self) -> None:
        for inner in (Part.of("multipart/mixed;boundary=i", b"x"), Part.of("multipart/mixed", b"x")):
            self.assertRaises(SIPParseError, parse_multipart, *build_multipart([inner]))


class FindTests(SynchronousTestCase):
    """`find_part`."""

    def test_by_type(self) -> None:
        inner = Part.of(
            *build_multipart([Part.of("text/plain", b"1"), Part.of("Application/SDP", SDP)], "alternative")
        )
        parts = parse_multipart(*build_multipart([Part.of("text/html", b"0"), inner]))
        found = find_part(parts, "application/sdp")
        assert found is not None
        self.assertEqual(found.body, SDP)
        self.assertIs(find_part(parts, "text/html"), parts[0])
        self.assertIs(find_part(parts, "multipart/alternative"), parts[1])
        self.assertIsNone(find_part(parts, "application/pidf+xml"))

    def test_passed_over(self) -> None:
        broken = Part((("Content-Type", "x"),), b"")
        encoded = Part(
            (("Content-Type", "application/sdp"), ("Content-Transfer-Encoding", "base64")), b"eA=="
        )
        good = Part.of("application/sdp", SDP)
        self.assertIs(find_part([broken, encoded, good], "application/sdp"), good)


class BuildTests(SynchronousTestCase):
    """`build_multipart`."""

    def test_octets(self) -> None:
        parts = [
            Part.of("application/sdp", SDP, disposition="session;handling=required", content_id="a@b"),
            Part((), b""),
        ]
        content_type, body = build_multipart(parts, "related", "a b")
        self.assertEqual(content_type, 'multipart/related;boundary="a b"')
        self.assertEqual(
            body,
            b"--a b\r\nContent-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n"
            b"Content-ID: <a@b>\r\n\r\n" + SDP + b"\r\n--a b\r\n\r\n\r\n--a b--\r\n",
        )
        self.assertEqual(parse_multipart(content_type, body), parts)

    def test_a_boundary_of_its_own(self) -> None:
        one = build_multipart([Part.of("text/plain", b"1")])
        self.assertEqual(one, build_multipart([Part.of("text/plain", b"1")]))
        self.assertNotEqual(one[0], build_multipart([Part.of("text/plain", b"2")])[0])
        self.assertRegex(one[0], r"^multipart/mixed;boundary=part-[0-9a-f]{24}$")

    def test_refused(self) -> None:
        part = Part.of("text/plain", b"x\r\n--taken\r\n")
        for parts, subtype, boundary in (
            ([], "mixed", "b"),
            ([part], "mi xed", "b"),
            ([part], "mixed\r\nX: y", "b"),
            ([part], "mixed", ""),
            ([part], "mixed", "b "),
            ([part], "mixed", "b\r\n"),
            ([part], "mixed", "\u00e9"),
            ([part], "mixed", "b" * 71),
            ([part], "mixed", "taken"),
            ([part], "mixed", "take"),
            ([Part.of("text/plain;x=--b", b"")], "mixed", "b"),
            ([Part((("X", "a\r\nY: b"),), b"")], "mixed", "b"),
            ([Part((("X", "a\nb"),), b"")], "mixed", "b"),
            ([Part((("X\r\n", "a"),), b"")], "mixed", "b"),
            ([Part((("", "a"),), b"")], "mixed", "b"),
        ):
            self.assertRaises(SIPBuildError, build_multipart, parts, subtype, boundary)


tokens = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
values = st.from_regex(r"([!-9<-~]([ -~]{0,20}[!-~])?)?", fullmatch=True)
plain_headers = st.lists(
    st.tuples(tokens.filter(lambda name: not name.lower().startswith("content-t")), values), max_size=4
)
bodies = st.binary(max_size=60) | st.lists(
    st.sampled_from([b"--b", b"--b--", b"\r\n", b"\r", b"\n", b"-", b"x", b" ", b"\0"]), max_size=8
).map(b"".join)
parts = st.lists(
    st.builds(lambda headers, body: Part(tuple(headers), body), plain_headers, bodies), min_size=1, max_size=5
)


PIECES = (
    b"--b",
    b"--b\r\n",
    b"\r\n--b\r\n",
    b"\r\n--b--",
    b"\r\n",
    b"\r\n\r\n",
    b"X: y\r\n",
    b"Content-Type: multipart/mixed;boundary=b\r\n\r\n",
    b"Content-Type: ",
    b"\r",
    b"\n",
    b":",
    b" ",
    b"\xff",
    b"\0",
)


class PropertyTests(SynchronousTestCase):
    """Reading is the inverse of writing, and nothing but `SIPParseError` gets out."""

    @given(parts)
    @settings(derandomize=True, deadline=None, max_examples=200)
    def test_round_trip(self, built: list[Part]) -> None:
        content_type, body = build_multipart(built)
        self.assertEqual(parse_multipart(content_type, body), built)
        self.assertEqual(parse_multipart(content_type, b"preamble\r\n" + body + b"epilogue"), built)
        self.assertEqual(build_multipart(parse_multipart(content_type, body)), (content_type, body))

    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=24).map(b"".join))
    @settings(derandomize=True, deadline=None, max_examples=500)
    def test_anything(self, body: bytes) -> None:
        try:
            found = parse_multipart(MIXED, body)
        except SIPParseError as error:
            self.assertIn(error.status, (400, 413))
            return
        for part in found:
            self.assertIn(part.body, body)
            self.assertIsInstance((part.content_id, part.transfer_encoding, part.is_opaque), tuple)
        self.assertEqual(parse_multipart(*build_multipart(found)), found)


class HostileTests(SynchronousTestCase):
    """Each in a fraction of a second."""

    def test_time(self) -> None:
        size = 10_000_000
        noise = random.Random(1).randbytes(size)
        for name, content_type, body in (
            ("noise", MIXED, noise),
            ("noise in a part", MIXED, b"--b\r\n\r\n" + noise + b"\r\n--b--"),
            ("boundaries that are none", MIXED, b"--b\r\n\r\n" + b"--b--x" * (size // 60)),
            ("hyphens", "multipart/mixed;boundary=" + "-" * 70, b"-" * (size // 10)),
            ("blanks after a boundary", MIXED, b"--b" + b" " * size),
            ("many parts", MIXED, b"--b\r\n\r\nx\r\n" * (size // 100) + b"--b--"),
            ("one long header line", MIXED, b"--b\r\nX: " + b"y" * size + b"\r\n--b--"),
            ("many header lines", MIXED, b"--b\r\n" + b"X: y\r\n" * (size // 100) + b"\r\n--b--"),
            ("folds", MIXED, b"--b\r\nX: " + b"\r\n " * (size // 100) + b"\r\n--b--"),
            ("blanks in a fold", MIXED, b"--b\r\nX: y\r\n" + b" " * (size // 10) + b"z\r\n--b--"),
            (
                "blanks in a type",
                MIXED,
                b"--b\r\nContent-Type: text/plain" + b" " * (size // 100) + b";\r\n--b--",
            ),
            ("nesting", *nested(50)),
        ):
            start = time.thread_time()
            try:
                parse_multipart(content_type, body)
            except SIPParseError:
                pass
            self.assertLess(time.thread_time() - start, 0.3, name)


if CONFORMANCE_DIR:

    class ConformanceTests(SynchronousTestCase):
        """Multipart messages of the RFCs, read from $CONFORMANCE_DIR."""

        def test_mpart01(self) -> None:
            """RFC 4475 section 3.1.1.11: text, then DER, in parts that are said to be binary."""
            data = Path(CONFORMANCE_DIR or "", "sip/rfc4475/mpart01.dat").read_bytes()
            head, _, body = data.partition(b"\r\n\r\n")
            found = re.search(rb"\r\nContent-Type: ([^\r]*)", head)
            assert found is not None
            text, signature = parse_multipart(found[1].decode(), body)
            self.assertEqual((text.content_type.essence, text.body), ("text/plain", b"Hello"))
            self.assertEqual(signature.content_type.essence, "application/octet-stream")
            self.assertEqual((text.transfer_encoding, signature.is_opaque), ("binary", False))
            # A DER sequence whose length field counts all that follows.
            self.assertEqual(signature.body[:2], b"\x30\x82")
            self.assertEqual(len(signature.body), 4 + int.from_bytes(signature.body[2:4], "big"))
            self.assertEqual(
                build_multipart([text, signature], boundary="7a9cbec02ceef655"), (found[1].decode(), body)
            )

        def test_types_of_the_examples(self) -> None:
            """The examples have no bodies, so each Content-Type is tried on one that is made for it."""
            count = 0
            for path in sorted(Path(CONFORMANCE_DIR or "", "sip/rfc-examples").glob("*/*.sip")):
                head = path.read_bytes().partition(b"\r\n\r\n")[0].decode()
                found = re.search(r"(?i)\r\n(?:content-type|c)\s*:\s*(multipart(?:[^\r]|\r\n[ \t])*)", head)
                if not found:
                    continue
                content_type = re.sub(r"\r\n[ \t]+", " ", found[1])
                name = re.search(r'(?i)boundary="?([^";]+)', content_type)
                assert name is not None
                built = [Part.of("application/sdp", SDP), Part.of("text/plain", b"x")]
                _, body = build_multipart(built, boundary=name[1])
                self.assertEqual(parse_multipart(content_type, body), built)
                count += 1
            self.assertEqual(count, 19)

else:

    class ConformanceTests(SynchronousTestCase):  # type: ignore[no-redef]
        """Stands for the tests above."""

        def test_conformance(self) -> None:
            raise SkipTest("CONFORMANCE_DIR is not set")
