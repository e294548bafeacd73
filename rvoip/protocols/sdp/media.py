"""One media section of a description: the m= line and what stands under it.

What a section does not say may be said for all of them at session level: ask `SessionDescription` for the
direction, connection, fingerprints and ICE credentials of a section, and the section for all that is its own.
"""

from __future__ import annotations

from msgspec import Struct

from rvoip.protocols.sdp.attributes import Attribute, Attributed
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.formats import STATIC_CODECS, Codec, Fmtp, RtcpFeedback, RtpMap
from rvoip.protocols.sdp.grammar import decimal, number, quote, words
from rvoip.protocols.sdp.ice import Candidate
from rvoip.protocols.sdp.lines import Bandwidth, Connection
from rvoip.protocols.sdp.security import Crypto
from rvoip.protocols.sdp.streams import Msid, Rid, Simulcast, SsrcAttribute, SsrcGroup
from rvoip.protocols.sdp.transport import Rtcp, SctpMap

__all__ = ["Media", "codec_attributes"]

MAX_PACKET_TIME = 10_000.0


def read_packet_time(text: str) -> float:
    """Milliseconds of a packet: above 0 and at most 10 seconds, so that no peer sizes a buffer of ours."""
    return decimal(text.strip(" "), "packet time", MAX_PACKET_TIME)


def read_port(text: str) -> int:
    """A port number."""
    return number(text.strip(" "), "port", 65535)


def read_size(text: str) -> int:
    """A size in octets."""
    return number(text.strip(" "), "size")


class Media(Attributed, Struct, frozen=True, gc=False):
    """A media section. ``port`` 0 means refused (see `is_rejected`); ``port_count`` is None unless written.

    ``formats`` are the fmt fields as written: payload types where `is_rtp`. There may be several
    ``connections`` (RFC 8866 section 5.7); `SessionDescription.connections_of` falls back on the session's.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int | None = None
    information: str | None = None
    connections: tuple[Connection, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    key: str | None = None
    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Media:
        """Read an m= line alone: "audio 49170/2 RTP/AVP 0 8"."""
        kind, port, port_count, protocol, formats = split_media_line(text)
        return cls(kind, port, protocol, formats, port_count)

    # The m= line

    @property
    def is_rtp(self) -> bool:
        """Whether it is carried by RTP of any profile, so that formats are payload types."""
        return "RTP/" in self.protocol.upper()

    @property
    def is_secure(self) -> bool:
        """Whether a secure profile is demanded: SAVP and SAVPF, with SDES or DTLS."""
        return "SAVP" in self.protocol.upper()

    @property
    def uses_dtls(self) -> bool:
        """Whether the protocol names DTLS or TLS: UDP/TLS/RTP/SAVPF (RFC 5764), UDP/DTLS/SCTP (RFC 8841)."""
        return not {"TLS", "DTLS"}.isdisjoint(self.protocol.upper().split("/"))

    @property
    def is_rejected(self) -> bool:
        """Whether the section is refused: port 0, unless another section carries it (RFC 9143 section 6)."""
        return self.port == 0 and not self.has("bundle-only")

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The formats that are payload types (0 to 127), in order of preference; none where it is not RTP."""
        if not self.is_rtp:
            return ()
        return tuple(
            int(text)
            for text in self.formats
            if len(text) <= 3 and text.isascii() and text.isdigit() and int(text) < 128
        )

    # Codecs

    @property
    def rtpmaps(self) -> tuple[RtpMap, ...]:
        """All a=rtpmap lines, also of payload types that the m= line does not list."""
        return self.read("rtpmap", RtpMap.parse)

    @property
    def fmtps(self) -> tuple[Fmtp, ...]:
        """All a=fmtp lines."""
        return self.read("fmtp", Fmtp.parse)

    def rtpmap(self, payload_type: int) -> RtpMap | None:
        """What a payload type stands for: its a=rtpmap, else its fixed meaning (RFC 3551 section 6)."""
        for rtpmap in self.rtpmaps:
            if rtpmap.payload_type == payload_type:
                return rtpmap
        static = STATIC_CODECS.get(payload_type)
        return static.rtpmap if static is not None else None

    def fmtp(self, format: int | str) -> Fmtp | None:
        """The first a=fmtp of a format."""
        name = str(format)
        for fmtp in self.fmtps:
            if fmtp.format == name:
                return fmtp
        return None

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The payload types of the m= line with their meaning and parameters, in order of preference.

        One that means nothing is left out: a dynamic type without rtpmap, or a rtpmap without a clock rate
        that RFC 3551 does not supply.
        """
        rtpmaps: dict[int, RtpMap] = {}
        for rtpmap in self.rtpmaps:
            rtpmaps.setdefault(rtpmap.payload_type, rtpmap)
        fmtps: dict[str, str] = {}
        for fmtp in self.fmtps:
            fmtps.setdefault(fmtp.format, fmtp.text)
        found = []
        for payload_type in dict.fromkeys(self.payload_types):
            parameters = fmtps.get(str(payload_type))
            named = rtpmaps.get(payload_type)
            static = STATIC_CODECS.get(payload_type)
            if named is not None and named.clock_rate is not None:
                found.append(
                    Codec(payload_type, named.encoding, named.clock_rate, named.channels, parameters)
                )
            elif static is not None and (named is None or named.encoding.lower() == static.encoding.lower()):
                found.append(
                    Codec(payload_type, static.encoding, static.clock_rate, static.channels, parameters)
                )
        return tuple(found)

    @property
    def ptime(self) -> float | None:
        """Milliseconds of media in a packet that the writer would like (a=ptime, RFC 8866 section 6.4)."""
        return self.read_first("ptime", read_packet_time)

    @property
    def maxptime(self) -> float | None:
        """The most milliseconds of media in a packet (a=maxptime, RFC 8866 section 6.5)."""
        return self.read_first("maxptime", read_packet_time)

    @property
    def rtcp_fb(self) -> tuple[RtcpFeedback, ...]:
        """RTCP feedback that may be used."""
        return self.read("rtcp-fb", RtcpFeedback.parse)

    # Streams and sections

    @property
    def mid(self) -> str | None:
        """The name of this section for groups (RFC 5888 section 4)."""
        value = self.value("mid")
        return value.strip(" ") if value is not None else None

    @property
    def label(self) -> str | None:
        """A pointer to this stream for others (RFC 4574)."""
        return self.value("label")

    @property
    def content(self) -> tuple[str, ...]:
        """What the stream shows: main, slides, speaker, sl, alt (RFC 4796)."""
        value = self.value("content")
        return tuple(value.split(",")) if value else ()

    @property
    def ssrcs(self) -> tuple[SsrcAttribute, ...]:
        """What is said of synchronisation sources."""
        return self.read("ssrc", SsrcAttribute.parse)

    @property
    def ssrc_groups(self) -> tuple[SsrcGroup, ...]:
        """Sources that belong together."""
        return self.read("ssrc-group", SsrcGroup.parse)

    @property
    def msids(self) -> tuple[Msid, ...]:
        """The media streams that this section's track belongs to."""
        return self.read("msid", Msid.parse)

    @property
    def rids(self) -> tuple[Rid, ...]:
        """Restricted streams."""
        return self.read("rid", Rid.parse)

    @property
    def simulcast(self) -> Simulcast | None:
        """Simulcast streams, by rid."""
        return self.read_first("simulcast", Simulcast.parse)

    # What carries it

    @property
    def rtcp(self) -> Rtcp | None:
        """Where RTCP goes if not to the port above (RFC 3605)."""
        return self.read_first("rtcp", Rtcp.parse)

    @property
    def rtcp_mux(self) -> bool:
        """Whether RTP and RTCP may share a port (RFC 5761)."""
        return self.has("rtcp-mux") or self.has("rtcp-mux-only")

    @property
    def rtcp_rsize(self) -> bool:
        """Whether reduced-size RTCP may be used (RFC 5506)."""
        return self.has("rtcp-rsize")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """ICE candidates."""
        return self.read("candidate", Candidate.parse)

    @property
    def end_of_candidates(self) -> bool:
        """Whether no candidates will follow (RFC 8840)."""
        return self.has("end-of-candidates")

    @property
    def connection_reuse(self) -> str | None:
        """Whether a TCP connection is "new" or "existing" (a=connection, RFC 4145 section 5)."""
        value = self.value("connection")
        return value.strip(" ") if value is not None else None

    @property
    def cryptos(self) -> tuple[Crypto, ...]:
        """SDES suites, the preferred one first; in an answer, the chosen one."""
        return self.read("crypto", Crypto.parse)

    @property
    def sctp_port(self) -> int | None:
        """The SCTP port, from a=sctp-port (RFC 8841) or the older a=sctpmap."""
        port = self.read_first("sctp-port", read_port)
        if port is None:
            sctpmap = self.sctpmap
            return sctpmap.port if sctpmap is not None else None
        return port

    @property
    def sctpmap(self) -> SctpMap | None:
        """The older form of SCTP port and streams."""
        return self.read_first("sctpmap", SctpMap.parse)

    @property
    def max_message_size(self) -> int | None:
        """The largest SCTP message that the writer takes, in octets; 0 means any (RFC 8841 section 6)."""
        return self.read_first("max-message-size", read_size)

    # Editing and writing

    def with_codecs(self, codecs: tuple[Codec, ...]) -> Media:
        """A copy with those formats, rtpmaps and fmtps instead of its own, in that order of preference."""
        return self.replace(
            formats=tuple(str(codec.payload_type) for codec in codecs),
        )._with({"rtpmap", "fmtp"}, codec_attributes(codecs))

    def rejected(self) -> Media:
        """What answers this section when it is refused: port 0, one format, its mid (RFC 3264 section 6)."""
        mid = tuple(attribute for attribute in self.attributes if attribute.name == "mid")
        return Media(self.kind, 0, self.protocol, self.formats[:1], attributes=mid)

    def __str__(self) -> str:
        count = "" if self.port_count is None else f"/{self.port_count}"
        return " ".join((self.kind, f"{self.port}{count}", self.protocol, *self.formats))

    def lines(self) -> list[str]:
        """All lines of the section, in the order of RFC 8866 section 5, without line ends."""
        lines = [f"m={self}"]
        if self.information is not None:
            lines.append(f"i={self.information}")
        for connection in self.connections:
            lines.append(f"c={connection}")
        for bandwidth in self.bandwidths:
            lines.append(f"b={bandwidth}")
        if self.key is not None:
            lines.append(f"k={self.key}")
        for attribute in self.attributes:
            value = attribute.value
            lines.append(f"a={attribute.name}" if value is None else f"a={attribute.name}:{value}")
        return lines


def split_media_line(text: str) -> tuple[str, int, int | None, str, tuple[str, ...]]:
    """Kind, port, port count, protocol and formats of an m= line; a line without formats is let through."""
    parts = words(text, "m=")
    if len(parts) < 3:
        raise SDPError(f"m= has {len(parts)} fields instead of 4 or more: {quote(text)}")
    port, slash, count = parts[1].partition("/")
    port_count = number(count, "m= port count", 65535, 1) if slash else None
    return parts[0], number(port, "m= port", 65535), port_count, parts[2], tuple(parts[3:])


def codec_attributes(codecs: tuple[Codec, ...]) -> list[Attribute]:
    """The a=rtpmap of each codec, followed by its a=fmtp."""
    attributes = []
    for codec in codecs:
        attributes.append(Attribute("rtpmap", str(codec.rtpmap)))
        if codec.fmtp is not None:
            attributes.append(Attribute("fmtp", f"{codec.payload_type} {codec.fmtp}"))
    return attributes
