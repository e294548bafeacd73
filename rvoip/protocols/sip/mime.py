"""Multipart bodies: taken apart and put together (RFC 2046 section 5.1, RFC 5621).

Boundaries frame parts octet by octet: the CRLF before a boundary belongs to it, a Content-Length in a part
counts for nothing. Bodies are not decoded; SIP is eight-bit clean (RFC 3261 section 7.4.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import attrs

from rvoip.protocols.sip.content_headers import (
    ContentDisposition,
    MediaType,
    parse_content_disposition,
    parse_media_type,
)
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.grammar import is_token, token_or_quoted

__all__ = ["Part", "build_multipart", "find_part", "parse_multipart"]

MAX_HEADER_LINES = 64
"""Lines of header fields in one part, folded ones counted as they are."""
_LONGEST_BOUNDARY = 70  # RFC 2046 section 5.1.1
_IDENTITY = frozenset({"identity", "7bit", "8bit", "binary"})
_PLAIN_TEXT = MediaType("text", "plain")
# What may follow a boundary on its line: blanks of a transport that pads lines, then the line end or the end
# of all.
_END_OF_DELIMITER = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
_FOLD = re.compile(r"\r\n[ \t]+")
_BREAK = re.compile(r"[\r\n\0]")


@attrs.frozen
class Part:
    """One part of a multipart body: its header fields in order, its octets, and its parts if it is multipart.

    ``body`` is what stands between the boundaries, also where ``parts`` says the same taken apart.
    """

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    parts: tuple[Part, ...] = attrs.field(default=(), eq=False, repr=False)

    @classmethod
    def of(
        cls, content_type: str, body: bytes, *, disposition: str | None = None, content_id: str | None = None
    ) -> Part:
        """A part with these header fields; ``content_id`` is given without its angle brackets."""
        headers = [("Content-Type", content_type)]
        if disposition is not None:
            headers.append(("Content-Disposition", disposition))
        if content_id is not None:
            headers.append(("Content-ID", f"<{content_id}>"))
        return cls(tuple(headers), body)

    def header(self, name: str) -> str | None:
        """The first header field of that name, without regard to case; None when absent."""
        wanted = name.lower()
        for found, value in self.headers:
            if found.lower() == wanted:
                return value
        return None

    @property
    def content_type(self) -> MediaType:
        """What the body is, text/plain where nothing is said; `SIPParseError` when malformed (RFC 2046)."""
        text = self.header("content-type")
        return _PLAIN_TEXT if text is None else parse_media_type(text)

    @property
    def content_id(self) -> str | None:
        """The name that a cid: URL gives this part (RFC 2392), without angle brackets."""
        text = self.header("content-id")
        if text is None:
            return None
        return text.removeprefix("<").removesuffix(">")

    @property
    def disposition(self) -> ContentDisposition | None:
        """How to handle it, None where nothing is said; `SIPParseError` when malformed (RFC 5621)."""
        text = self.header("content-disposition")
        return None if text is None else parse_content_disposition(text)

    @property
    def transfer_encoding(self) -> str:
        """Content-Transfer-Encoding in lower case; "binary" where nothing is said, as SIP has it."""
        text = self.header("content-transfer-encoding")
        return "binary" if text is None else text.lower()

    @property
    def is_opaque(self) -> bool:
        """Whether the octets are encoded (base64, quoted-printable), which nothing here undoes."""
        return self.transfer_encoding not in _IDENTITY


def parse_multipart(content_type: str, body: bytes, *, max_depth: int = 4, max_parts: int = 16) -> list[Part]:
    """The parts of a body of that Content-Type; preamble and epilogue are dropped.

    ``max_depth`` counts multiparts within each other, the outermost too; ``max_parts`` counts the parts of
    all of them. `SIPParseError` with status 413 when there are more, with 400 when the type is not multipart
    or has no boundary that may be used, a boundary is missing in the body, or a header field is malformed.
    """
    media_type = parse_media_type(content_type)
    if media_type.type != "multipart":
        raise SIPParseError("Content-Type is not multipart")
    return list(_parse(media_type, body, max_depth, _Budget(max_parts)))


def find_part(parts: Iterable[Part], essence: str) -> Part | None:
    """The first part of that type ("application/sdp"), also inside multiparts; None when there is none.

    A part whose Content-Type is malformed or whose octets are encoded is passed over.
    """
    for part in parts:
        if not part.is_opaque and _essence(part) == essence:
            return part
        inner = find_part(part.parts, essence)
        if inner is not None:
            return inner
    return None


def build_multipart(
    parts: Sequence[Part], subtype: str = "mixed", boundary: str | None = None
) -> tuple[str, bytes]:
    """(Content-Type value, body) of these parts.

    Without a ``boundary`` one is derived from the parts, so that equal parts give equal octets and no part
    contains it. `SIPBuildError` for no parts, for a header field that cannot be written, and for a boundary
    that is malformed or occurs in a part.
    """
    if not parts:
        raise SIPBuildError("A multipart body has at least one part")
    if not is_token(subtype):
        raise SIPBuildError("Bad multipart subtype")
    written = [_written(part) for part in parts]
    if boundary is None:
        boundary = _derived_boundary(written)
    elif not _is_boundary(boundary):
        raise SIPBuildError("Bad boundary")
    delimiter = b"--" + boundary.encode("ascii")
    if any(delimiter in octets for octets in written):
        raise SIPBuildError("The boundary occurs in a part")
    body = b"".join(delimiter + b"\r\n" + octets + b"\r\n" for octets in written) + delimiter + b"--\r\n"
    return f"multipart/{subtype};boundary={token_or_quoted(boundary)}", body


class _Budget:
    """How many parts may still come, over all levels."""

    __slots__ = ("left",)

    def __init__(self, parts: int) -> None:
        self.left = parts

    def spend(self) -> None:
        """Count one part."""
        if self.left <= 0:
            raise SIPParseError("Too many parts in a multipart body", 413)
        self.left -= 1


def _parse(media_type: MediaType, body: bytes, depth: int, budget: _Budget) -> Iterator[Part]:
    if depth <= 0:
        raise SIPParseError("Multipart bodies too deep within each other", 413)
    boundary = media_type.param("boundary")
    if boundary is None or not _is_boundary(boundary):
        raise SIPParseError("Multipart without a good boundary")
    for octets in _split(body, b"--" + boundary.encode("ascii"), budget):
        headers, content = _parse_headers(octets)
        part = Part(headers, content)
        inner = part.content_type
        if inner.type == "multipart" and not part.is_opaque:
            part = attrs.evolve(part, parts=tuple(_parse(inner, content, depth - 1, budget)))
        yield part


def _split(body: bytes, delimiter: bytes, budget: _Budget) -> Iterator[bytes]:
    """What stands between the delimiter lines, up to the closing one."""
    start = -1
    at = 0 if body.startswith(delimiter) else _find(body, delimiter, 0)
    while at >= 0:
        end = _END_OF_DELIMITER.match(body, at + len(delimiter))
        if end is None:
            at = _find(body, delimiter, at)
            continue
        if start >= 0:
            budget.spend()
            # Two delimiter lines may share the CRLF between them; the part is empty then.
            yield body[start : max(start, at - 2)]
        if end[1]:
            if start < 0:
                raise SIPParseError("Multipart body without parts")
            return
        start = end.end()
        at = _find(body, delimiter, start - 2)
    raise SIPParseError("Multipart body without its closing boundary")


def _find(body: bytes, delimiter: bytes, start: int) -> int:
    """Where the next line that begins with the delimiter begins; its CRLF is at ``start`` or later."""
    at = body.find(b"\r\n" + delimiter, start)
    return at + 2 if at >= 0 else -1


def _parse_headers(octets: bytes) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """(header fields, body) of a part; without an empty line all of it is header fields."""
    if octets[:2] == b"\r\n":
        return (), octets[2:]
    head, _, body = octets.partition(b"\r\n\r\n")
    if not head:
        return (), body
    head = head.removesuffix(b"\r\n")
    if head.count(b"\r\n") >= MAX_HEADER_LINES:
        raise SIPParseError("Too many header lines in a part", 413)
    text = _FOLD.sub(" ", head.decode("utf-8", "surrogateescape"))
    headers = []
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not is_token(name) or _BREAK.search(value):
            raise SIPParseError("Bad header field in a part")
        headers.append((name, value.strip(" \t")))
    return tuple(headers), body


def _essence(part: Part) -> str | None:
    try:
        return part.content_type.essence
    except SIPParseError:
        return None


def _is_boundary(text: str) -> bool:
    """1 to 70 characters of printable ASCII without a blank at the end (RFC 2046 section 5.1.1 has fewer)."""
    return 0 < len(text) <= _LONGEST_BOUNDARY and text.isascii() and text.isprintable() and text[-1] != " "


def _written(part: Part) -> bytes:
    for name, value in part.headers:
        if not is_token(name) or _BREAK.search(value):
            raise SIPBuildError("A header field of a part cannot be written")
    head = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + part.body


def _derived_boundary(written: list[bytes]) -> str:
    """A boundary that no part can contain but by breaking SHA-256."""
    digest = hashlib.sha256(b"\0".join(written)).hexdigest()
    return f"part-{digest[:24]}"
