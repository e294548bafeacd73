"""From octets to the fields of a description: limits, which line may stand where (RFC 8866 section 5)."""

from __future__ import annotations

import sys
from typing import NamedTuple

import msgspec
from msgspec import Struct

from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import quote
from rvoip.protocols.sdp.lines import UNBOUNDED, Bandwidth, Connection, Origin, Repeat, Timing, ZoneAdjustment
from rvoip.protocols.sdp.media import Media, split_media_line

_SESSION_ONLY = frozenset({"v=", "o=", "s=", "u=", "e=", "p=", "t=", "r=", "z="})
_ONCE = frozenset({"v=", "o=", "s=", "u="})
_ORDERED = ["v=", "o=", "s=", "t="]
_FIELD_LINES = frozenset({"o=", "c=", "b=", "t=", "r=", "z=", "m="})


class Limits(Struct, frozen=True, gc=False):
    """The most that `parse` takes: octets, lines, media sections, and attributes of all sections together."""

    octets: int = 65536
    lines: int = 2000
    media: int = 16
    attributes: int = 1500


DEFAULT_LIMITS = Limits()
NO_LIMITS = Limits(sys.maxsize, sys.maxsize, sys.maxsize, sys.maxsize)


class Fields(NamedTuple):
    """The fields of a `SessionDescription`, in its order."""

    origin: Origin
    name: str
    information: str | None
    uri: str | None
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    connection: Connection | None
    bandwidths: tuple[Bandwidth, ...]
    times: tuple[Timing, ...]
    key: str | None
    attributes: tuple[Attribute, ...]
    media: tuple[Media, ...]


def read_description(data: bytes | str, limits: Limits, strict: bool) -> Fields:
    """The fields of the description in ``data``; `SDPError` with the number of the line that is to blame."""
    lines = _split(_decode(data, limits), limits, strict)
    session = _Session()
    section: _Section = session
    sections: list[_MediaSection] = []
    attributes = session.attributes
    number = 0
    try:
        for line in lines:
            number += 1
            kind = line[:2]
            if strict and kind in _FIELD_LINES:
                _check_spaces(line)
            if kind == "a=" and session.seen:
                attributes.append(Attribute.parse(line[2:]))
            elif kind == "m=" and session.seen:
                if len(sections) >= limits.media:
                    raise SDPError(f"there are more than {limits.media} m= lines")
                section = _MediaSection(line[2:], strict)
                sections.append(section)
                attributes = section.attributes
            elif not section.read(kind, line[2:]):
                _check_unknown(line, strict)
        number = 0
        count = len(session.attributes) + sum(len(section.attributes) for section in sections)
        if count > limits.attributes:
            raise SDPError(f"there are more than {limits.attributes} attributes")
        return session.fields(tuple(section.media() for section in sections), strict)
    except SDPError as error:
        raise SDPError(error.reason, number) from None


def _decode(data: bytes | str, limits: Limits) -> str:
    if isinstance(data, str):
        if data.isascii():
            if len(data) > limits.octets:
                raise SDPError(f"the description is longer than {limits.octets} octets")
            return data
        try:
            data = data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise SDPError("the description has a character that cannot be written in UTF-8") from None
    if len(data) > limits.octets:
        raise SDPError(f"the description is longer than {limits.octets} octets")
    return data.decode("utf-8", "surrogateescape")


def _split(text: str, limits: Limits, strict: bool) -> list[str]:
    """The lines without their ends; only CRLF and, unless strict, LF end a line."""
    line_feeds = text.count("\n")
    if line_feeds > limits.lines:
        raise SDPError(f"there are more than {limits.lines} lines")
    if "\0" in text:
        raise SDPError("there is a NUL", text.count("\n", 0, text.index("\0")) + 1)
    if text.count("\r\n") == line_feeds == text.count("\r"):
        lines = text.split("\r\n")
    else:
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if strict and number < len(lines) and line[-1:] != "\r":
                raise SDPError("the line does not end in CRLF", number)
            if "\r" in line[:-1]:
                raise SDPError("there is a CR within a line", number)
        lines = [line.removesuffix("\r") for line in lines]
    if not lines[-1]:
        lines.pop()
    elif strict:
        raise SDPError("the last line has no line end", len(lines))
    return lines


def _check_spaces(line: str) -> None:
    if "  " in line or line[2:3] == " " or line[-1:] == " ":
        raise SDPError("the fields are not one space apart")
    if line[0] == "o" and line.count(" ") != 5:
        raise SDPError(f"o= has {line.count(' ') + 1} fields instead of 6")


def _check_unknown(line: str, strict: bool) -> None:
    """Let a line that no section took pass as blank or of an unknown type, or raise."""
    if line[1:2] == "=" and line[0].isascii() and line[0].isalpha():
        if line[:2] in _SESSION_ONLY:
            raise SDPError(f"{line[:2]} stands below an m= line")
        if not strict:
            return
        raise SDPError(f"the type of the line is unknown: {quote(line[0])}")
    if strict or line.strip(" \t"):
        raise SDPError(f"the line is not of the form x=value: {quote(line)}")


class _Section:
    """What has been read of the session level or of one media section: the lines that both have."""

    __slots__ = ("attributes", "bandwidths", "connections", "information", "key")

    def __init__(self) -> None:
        self.information: str | None = None
        self.connections: list[Connection] = []
        self.bandwidths: list[Bandwidth] = []
        self.key: str | None = None
        self.attributes: list[Attribute] = []

    def read(self, kind: str, value: str) -> bool:
        """Take an i=, c=, b= or k= line; False when the line is of another kind."""
        if kind == "c=":
            self.connections.append(Connection.parse(value))
        elif kind == "b=":
            self.bandwidths.append(Bandwidth.parse(value))
        elif kind == "i=":
            if self.information is not None:
                raise SDPError("i= occurs twice")
            self.information = value
        elif kind == "k=":
            if self.key is not None:
                raise SDPError("k= occurs twice")
            self.key = value
        else:
            return False
        return True


class _MediaSection(_Section):
    """What has been read of one media section."""

    __slots__ = ("line",)

    def __init__(self, text: str, strict: bool) -> None:
        super().__init__()
        self.line = split_media_line(text)
        if strict and not self.line[4]:
            raise SDPError("m= has no formats")

    def media(self) -> Media:
        """The section as a value."""
        kind, port, port_count, protocol, formats = self.line
        return Media(
            kind,
            port,
            protocol,
            formats,
            port_count,
            self.information,
            tuple(self.connections),
            tuple(self.bandwidths),
            self.key,
            tuple(self.attributes),
        )


class _Session(_Section):
    """What has been read above the first m= line."""

    __slots__ = ("emails", "name", "origin", "phones", "seen", "times", "uri")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.origin: Origin | None = None
        self.name: str | None = None
        self.uri: str | None = None
        self.emails: list[str] = []
        self.phones: list[str] = []
        self.times: list[Timing] = []

    def read(self, kind: str, value: str) -> bool:
        """Take any line of the session level but a=; False when the line is of another kind."""
        if not self.seen and kind != "v=" and kind:
            raise SDPError("the first line is not v=")
        if kind in _SESSION_ONLY:
            if kind in _ONCE and kind in self.seen:
                raise SDPError(f"{kind} occurs twice")
            self.seen.append(kind)
        if kind == "v=":
            if value.rstrip(" ") != "0":
                raise SDPError(f"v= is not 0: {quote(value)}")
        elif kind == "o=":
            self.origin = Origin.parse(value)
        elif kind == "s=":
            self.name = value
        elif kind == "t=":
            self.times.append(Timing.parse(value))
        elif kind == "u=":
            self.uri = value
        elif kind == "e=":
            self.emails.append(value)
        elif kind == "p=":
            self.phones.append(value)
        elif kind == "r=" or kind == "z=":
            self._read_repeat(kind, value)
        elif not super().read(kind, value):
            return False
        elif len(self.connections) > 1:
            raise SDPError("c= occurs twice at session level")
        return True

    def _read_repeat(self, kind: str, value: str) -> None:
        if not self.times:
            raise SDPError(f"{kind} stands above t=")
        timing = self.times[-1]
        if kind == "r=":
            if timing.zones:
                raise SDPError("r= stands below z=")
            self.times[-1] = msgspec.structs.replace(timing, repeats=(*timing.repeats, Repeat.parse(value)))
        elif timing.zones:
            raise SDPError("z= occurs twice")
        else:
            self.times[-1] = msgspec.structs.replace(timing, zones=ZoneAdjustment.parse_all(value))

    def fields(self, media: tuple[Media, ...], strict: bool) -> Fields:
        """All that was read, with what is missing made up for or refused."""
        if self.origin is None:
            raise SDPError("there is no o=" if self.seen else "there is no v=")
        if strict:
            self._check_order()
        return Fields(
            self.origin,
            "-" if self.name is None else self.name,
            self.information,
            self.uri,
            tuple(self.emails),
            tuple(self.phones),
            self.connections[0] if self.connections else None,
            tuple(self.bandwidths),
            tuple(self.times) or (UNBOUNDED,),
            self.key,
            tuple(self.attributes),
            media,
        )

    def _check_order(self) -> None:
        present = [kind for kind in dict.fromkeys(self.seen) if kind in _ORDERED]
        for kind in _ORDERED:
            if kind not in present:
                raise SDPError(f"there is no {kind}")
        if present != _ORDERED:
            raise SDPError("v=, o=, s= and t= are not in this order")
