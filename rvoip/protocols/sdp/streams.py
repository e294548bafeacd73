"""Attributes that name streams and bind them together: ssrc, ssrc-group, msid, group, rid, simulcast."""

from __future__ import annotations

import re

from msgspec import Struct

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import fields, number, quote, words

__all__ = ["Group", "Msid", "Rid", "Simulcast", "SimulcastStream", "SsrcAttribute", "SsrcGroup"]

MAX_SSRC = 2**32 - 1
# RFC 8852 section 3.1 has letters and digits alone; RFC 8851 section 10 has hyphen and underscore too.
_SIMULCAST_RID = re.compile(r"~?[A-Za-z0-9_-]+")


class SsrcAttribute(Struct, frozen=True, gc=False):
    """Something said of one synchronisation source (a=ssrc, RFC 5576 section 4.1)."""

    ssrc: int
    name: str
    value: str | None = None

    @classmethod
    def parse(cls, text: str) -> SsrcAttribute:
        """Read "1732846380 cname:EocUG1f0fcg/yvY7"."""
        ssrc, _, attribute = text.partition(" ")
        name, colon, value = attribute.lstrip(" ").partition(":")
        if not name:
            raise SDPError(f"ssrc has no attribute: {quote(text)}")
        return cls(number(ssrc, "ssrc", MAX_SSRC), name, value if colon else None)

    def __str__(self) -> str:
        return f"{self.ssrc} {self.name}" if self.value is None else f"{self.ssrc} {self.name}:{self.value}"


class SsrcGroup(Struct, frozen=True, gc=False):
    """Sources that belong together (a=ssrc-group, RFC 5576 section 4.2): FID, FEC-FR, SIM."""

    semantics: str
    ssrcs: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> SsrcGroup:
        """Read "FID 1366781083 1366781084"."""
        parts = words(text, "ssrc-group")
        if not parts:
            raise SDPError("ssrc-group has no semantics")
        return cls(parts[0], tuple(number(part, "ssrc", MAX_SSRC) for part in parts[1:]))

    def __str__(self) -> str:
        return " ".join((self.semantics, *map(str, self.ssrcs)))


class Msid(Struct, frozen=True, gc=False):
    """The media stream and the track of a media section (a=msid, RFC 8830 section 2); stream "-" is none."""

    stream: str
    track: str | None = None

    @classmethod
    def parse(cls, text: str) -> Msid:
        """Read "61317484-2ed4 f30bdb4a-5db8"."""
        parts = words(text, "msid")
        if not 1 <= len(parts) <= 2:
            raise SDPError(f"msid has {len(parts)} fields instead of 1 or 2")
        return cls(parts[0], parts[1] if len(parts) == 2 else None)

    def __str__(self) -> str:
        return self.stream if self.track is None else f"{self.stream} {self.track}"


class Group(Struct, frozen=True, gc=False):
    """Media sections that belong together by their mid (a=group, RFC 5888 section 5): BUNDLE, LS, FID."""

    semantics: str
    mids: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Group:
        """Read "BUNDLE audio video"; a group may be empty."""
        parts = words(text, "group")
        if not parts:
            raise SDPError("group has no semantics")
        return cls(parts[0], tuple(parts[1:]))

    def __str__(self) -> str:
        return " ".join((self.semantics, *self.mids))


class Rid(Struct, frozen=True, gc=False):
    """A restricted RTP stream (a=rid, RFC 8851 section 4); ``direction`` is "send" or "recv"."""

    id: str
    direction: str
    formats: tuple[str, ...] = ()
    restrictions: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Rid:
        """Read "1 send pt=97,98;max-width=1280;max-fps=30"."""
        parts = words(text, "rid")
        if len(parts) < 2 or parts[1] not in ("send", "recv"):
            raise SDPError(f"rid has no direction: {quote(text)}")
        formats: tuple[str, ...] = ()
        restrictions = []
        for index, restriction in enumerate("".join(parts[2:]).split(";") if len(parts) > 2 else ()):
            name, _, value = restriction.partition("=")
            if not name:
                raise SDPError(f"rid has an empty restriction: {quote(text)}")
            if name == "pt" and index == 0:
                formats = tuple(value.split(","))
            else:
                restrictions.append((name, value))
        return cls(parts[0], parts[1], formats, tuple(restrictions))

    def __str__(self) -> str:
        parts = ["pt=" + ",".join(self.formats)] if self.formats else []
        parts += [f"{name}={value}" if value else name for name, value in self.restrictions]
        return f"{self.id} {self.direction}" + (" " + ";".join(parts) if parts else "")


class SimulcastStream(Struct, frozen=True, gc=False):
    """One rid in a simulcast description; a paused one is written with a tilde."""

    rid: str
    paused: bool = False

    def __str__(self) -> str:
        return f"~{self.rid}" if self.paused else self.rid


class Simulcast(Struct, frozen=True, gc=False):
    """The simulcast streams of a section (a=simulcast, RFC 8853 section 5.1).

    Each direction is a list of streams, each stream a list of alternatives in order of preference.
    """

    send: tuple[tuple[SimulcastStream, ...], ...] = ()
    receive: tuple[tuple[SimulcastStream, ...], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Simulcast:
        """Read "send 1,~4;2;3 recv c", in either order."""
        parts = fields(text)
        if len(parts) not in (2, 4):
            raise SDPError(f"simulcast has {len(parts)} fields instead of 2 or 4")
        sides: dict[str, tuple[tuple[SimulcastStream, ...], ...]] = {}
        for side, streams in zip(parts[::2], parts[1::2], strict=True):
            if side not in ("send", "recv") or side in sides:
                raise SDPError(f"simulcast has a wrong direction: {quote(side)}")
            sides[side] = tuple(
                tuple(_simulcast_stream(rid) for rid in stream.split(",")) for stream in streams.split(";")
            )
        return cls(sides.get("send", ()), sides.get("recv", ()))

    def __str__(self) -> str:
        sides = (("send", self.send), ("recv", self.receive))
        return " ".join(
            f"{name} " + ";".join(",".join(map(str, stream)) for stream in streams)
            for name, streams in sides
            if streams
        )


def _simulcast_stream(text: str) -> SimulcastStream:
    if _SIMULCAST_RID.fullmatch(text) is None:
        raise SDPError(f"simulcast has a malformed rid: {quote(text)}")
    return SimulcastStream(text.removeprefix("~"), text[0] == "~")
