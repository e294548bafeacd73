"""A whole session description: parsed, asked, edited, written (RFC 8866, RFC 4566)."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from rvoip.protocols.sdp.attributes import Attribute, Attributed
from rvoip.protocols.sdp.direction import DIRECTIONS, Direction
from rvoip.protocols.sdp.errors import SDPBuildError, SDPError
from rvoip.protocols.sdp.formats import ExtMap
from rvoip.protocols.sdp.lines import UNBOUNDED, Bandwidth, Connection, Origin, Timing, ZoneAdjustment
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.reading import DEFAULT_LIMITS, NO_LIMITS, Limits, read_description
from rvoip.protocols.sdp.security import Fingerprint
from rvoip.protocols.sdp.streams import Group
from rvoip.protocols.sdp.transport import Setup

__all__ = ["Limits", "SessionDescription", "parse"]


class SessionDescription(Attributed, Struct, frozen=True, gc=False):
    """One description. Text is as written, without line ends; octets beyond UTF-8 are surrogate escapes.

    ``str()`` and `to_bytes` write it in the order of RFC 8866 section 5 with CRLF, and raise `SDPBuildError`
    for a value that would not read back as itself.
    """

    origin: Origin
    name: str = "-"
    information: str | None = None
    uri: str | None = None
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    times: tuple[Timing, ...] = (UNBOUNDED,)
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()
    version: int = 0

    @property
    def time_zones(self) -> tuple[ZoneAdjustment, ...]:
        """The adjustments of all z= lines, in order; each also stands in the `Timing` that it followed."""
        return tuple(zone for timing in self.times for zone in timing.zones)

    @property
    def groups(self) -> tuple[Group, ...]:
        """How sections belong together (RFC 5888 section 5)."""
        return self.read("group", Group.parse)

    @property
    def ice_lite(self) -> bool:
        """Whether the writer does ICE lite (RFC 8839 section 5.3)."""
        return self.has("ice-lite")

    def section(self, mid: str) -> Media | None:
        """The media section of that mid."""
        for media in self.media:
            if media.mid == mid:
                return media
        return None

    # A section with the defaults of the session

    def direction_of(self, media: Media) -> Direction:
        """The section's direction, else the session's, else sendrecv (RFC 8866 section 6.7)."""
        return media.own_direction or self.own_direction or Direction.SENDRECV

    def connections_of(self, media: Media) -> tuple[Connection, ...]:
        """The section's connections, else the session's; none if there is neither (RFC 8866 section 5.7)."""
        if media.connections or self.connection is None:
            return media.connections
        return (self.connection,)

    def fingerprints_of(self, media: Media) -> tuple[Fingerprint, ...]:
        """The section's fingerprints, else the session's (RFC 8122 section 5)."""
        return media.fingerprints if media.has("fingerprint") else self.fingerprints

    def setup_of(self, media: Media) -> Setup | None:
        """The section's setup, else the session's (RFC 4145 section 4)."""
        return media.setup if media.has("setup") else self.setup

    def ice_ufrag_of(self, media: Media) -> str | None:
        """The section's ICE user name fragment, else the session's."""
        return media.ice_ufrag or self.ice_ufrag

    def ice_pwd_of(self, media: Media) -> str | None:
        """The section's ICE password, else the session's."""
        return media.ice_pwd or self.ice_pwd

    def ice_options_of(self, media: Media) -> tuple[str, ...]:
        """The section's ICE options, else the session's."""
        return media.ice_options or self.ice_options

    def extmaps_of(self, media: Media) -> tuple[ExtMap, ...]:
        """The section's header extensions, else the session's (RFC 8285 section 5: never both)."""
        return media.extmaps if media.has("extmap") else self.extmaps

    # Hold

    def holds(self, media: Media) -> bool:
        """Whether the writer puts this stream on hold, that is, takes no media on it.

        Either the direction says so (sendonly, inactive: RFC 3264 section 8.4), or all its addresses are null
        (the hold of RFC 2543); a null address beside ICE only says that candidates will follow (RFC 8840).
        """
        if not self.direction_of(media).receives:
            return True
        connections = self.connections_of(media)
        return (
            bool(connections)
            and all(connection.is_null for connection in connections)
            and self.ice_ufrag_of(media) is None
        )

    def held(self, media: Media) -> bool:
        """Whether the writer sends nothing on this stream (recvonly, inactive), as one put on hold."""
        return not self.direction_of(media).sends

    @property
    def is_hold(self) -> bool:
        """Whether the writer holds every stream that is not rejected; False where there is none."""
        live = [media for media in self.media if not media.is_rejected]
        return bool(live) and all(map(self.holds, live))

    # Editing

    def next_version(self) -> Self:
        """A copy whose origin counts one more, as each changed offer or answer must (RFC 3264 section 8)."""
        origin = self.origin
        return self.replace(
            origin=Origin(
                origin.username,
                origin.session_id,
                origin.session_version + 1,
                origin.network_type,
                origin.address_type,
                origin.address,
            )
        )

    def with_media(self, index: int, media: Media) -> Self:
        """A copy with another section at that place; IndexError where there is none."""
        sections = list(self.media)
        sections[index] = media
        return self.replace(media=tuple(sections))

    def with_connection(self, connection: Connection) -> Self:
        """A copy in which every section is reached there: c= at session level and nowhere else."""
        sections = tuple(media.replace(connections=()) for media in self.media)
        return self.replace(connection=connection, media=sections)

    def with_direction(self, direction: Direction) -> Self:
        """A copy with that direction in each section that is not rejected, and none at session level."""
        sections = tuple(m if m.is_rejected else m.with_direction(direction) for m in self.media)
        return self.without(*DIRECTIONS).replace(media=sections)

    # Writing

    def lines(self) -> list[str]:
        """All lines in the order of RFC 8866 section 5, without line ends."""
        lines = [f"v={self.version}", f"o={self.origin}", f"s={self.name}"]
        if self.information is not None:
            lines.append(f"i={self.information}")
        if self.uri is not None:
            lines.append(f"u={self.uri}")
        for email in self.emails:
            lines.append(f"e={email}")
        for phone in self.phones:
            lines.append(f"p={phone}")
        if self.connection is not None:
            lines.append(f"c={self.connection}")
        for bandwidth in self.bandwidths:
            lines.append(f"b={bandwidth}")
        for timing in self.times:
            lines += timing.lines()
        if self.key is not None:
            lines.append(f"k={self.key}")
        for attribute in self.attributes:
            lines.append(f"a={attribute}")
        for media in self.media:
            lines += media.lines()
        return lines

    def __str__(self) -> str:
        text = "\r\n".join([*self.lines(), ""])
        try:
            again = parse(text, NO_LIMITS)
        except SDPError as error:
            raise SDPBuildError(error.reason, error.line) from None
        if again != self:
            raise SDPBuildError("a field holds a character that would end it, or a number in another form")
        return text

    def to_bytes(self) -> bytes:
        """The description as it goes into a message body."""
        return str(self).encode("utf-8", "surrogateescape")


def parse(data: bytes | str, limits: Limits = DEFAULT_LIMITS, *, strict: bool = False) -> SessionDescription:
    """Read a description; `SDPError` for anything that is not one.

    By default it is lenient as phones need it: lines may end in a bare LF; the last line end may be missing;
    blank lines are passed over, and so are lines of an unknown type; s= and t= may be missing (s=- and t=0 0
    then stand in for them); session lines may be in any order after v=, and section lines after m=; fields
    may be further apart than one space; the user name of o= and the formats of m= may be missing. ``strict``
    refuses all of these but the order of lines other than v=, o=, s= and t=, which real examples of the RFCs
    do not keep.
    """
    return SessionDescription(*read_description(data, limits, strict))
