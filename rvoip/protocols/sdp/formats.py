"""What describes the formats of an RTP stream: rtpmap, fmtp, rtcp-fb, extmap; and codecs put together."""

from __future__ import annotations

from msgspec import Struct

from rvoip.protocols.sdp.direction import DIRECTIONS, Direction
from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import number, quote, words

__all__ = ["STATIC_CODECS", "Codec", "ExtMap", "Fmtp", "RtcpFeedback", "RtpMap"]

MAX_CLOCK_RATE = 2**32 - 1
ENCRYPTED = "urn:ietf:params:rtp-hdrext:encrypt"


class RtpMap(Struct, frozen=True, gc=False):
    """What a payload type means (a=rtpmap, RFC 8866 section 6.6).

    ``clock_rate`` is in Hz, None where a peer leaves it out; ``parameters`` is the number of channels of
    audio (`channels`), None where it is not written.
    """

    payload_type: int
    encoding: str
    clock_rate: int | None
    parameters: str | None = None

    @classmethod
    def parse(cls, text: str) -> RtpMap:
        """Read "111 opus/48000/2"."""
        parts = words(text, "rtpmap")
        if len(parts) != 2:
            raise SDPError(f"rtpmap has {len(parts)} fields instead of 2: {quote(text)}")
        payload_type = number(parts[0], "rtpmap payload type", 127)
        encoding, *rest = parts[1].split("/", 2)
        if not encoding:
            raise SDPError(f"rtpmap has no encoding name: {quote(text)}")
        rate = number(rest[0], "rtpmap clock rate", MAX_CLOCK_RATE, 1) if rest else None
        return cls(payload_type, encoding, rate, rest[1] if len(rest) == 2 else None)

    @property
    def channels(self) -> int:
        """Audio channels, 1 where nothing (or nothing readable) is written."""
        parameters = self.parameters
        if parameters and len(parameters) <= 3 and parameters.isascii() and parameters.isdigit():
            return int(parameters) or 1
        return 1

    def __str__(self) -> str:
        rate = "" if self.clock_rate is None else f"/{self.clock_rate}"
        parameters = "" if self.parameters is None else f"/{self.parameters}"
        return f"{self.payload_type} {self.encoding}{rate}{parameters}"


class Fmtp(Struct, frozen=True, gc=False):
    """Parameters of a format (a=fmtp, RFC 8866 section 6.15): text, most often "name=value; name=value"."""

    format: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Fmtp:
        """Read "111 minptime=10;useinbandfec=1"."""
        name, _, parameters = text.strip(" ").partition(" ")
        if not name or not parameters:
            raise SDPError(f"fmtp has no format or no parameters: {quote(text)}")
        return cls(name, parameters.lstrip(" "))

    @property
    def parameters(self) -> dict[str, str]:
        """The text as names in lower case and values; a name without a value has "": {"0-16": ""}.

        Where a name occurs twice, the first counts.
        """
        found: dict[str, str] = {}
        for part in self.text.split(";"):
            name, _, value = part.partition("=")
            name = name.strip(" ").lower()
            if name:
                found.setdefault(name, value.strip(" "))
        return found

    def __str__(self) -> str:
        return f"{self.format} {self.text}"


class RtcpFeedback(Struct, frozen=True, gc=False):
    """RTCP feedback that may be used (a=rtcp-fb, RFC 4585 section 4.2); format "*" stands for all."""

    format: str
    kind: str
    parameters: str | None = None

    @classmethod
    def parse(cls, text: str) -> RtcpFeedback:
        """Read "96 nack pli" or "* ccm fir"."""
        name, _, rest = text.strip(" ").partition(" ")
        kind, _, parameters = rest.strip(" ").partition(" ")
        if not name or not kind:
            raise SDPError(f"rtcp-fb has no format or no type: {quote(text)}")
        return cls(name, kind, parameters.lstrip(" ") or None)

    def __str__(self) -> str:
        return f"{self.format} {self.kind}" + (f" {self.parameters}" if self.parameters else "")


class ExtMap(Struct, frozen=True, gc=False):
    """An RTP header extension and its local number, 1 to 4351 (a=extmap, RFC 8285 section 5)."""

    id: int
    uri: str
    direction: Direction | None = None
    extension_attributes: str | None = None

    @classmethod
    def parse(cls, text: str) -> ExtMap:
        """Read "2/recvonly urn:ietf:params:rtp-hdrext:toffset"."""
        parts = words(text, "extmap")
        if len(parts) < 2:
            raise SDPError(f"extmap has no number or no URI: {quote(text)}")
        identifier, slash, flow = parts[0].partition("/")
        if slash and flow not in DIRECTIONS:
            raise SDPError(f"extmap has an unknown direction: {quote(flow)}")
        direction = DIRECTIONS[flow] if slash else None
        return cls(
            number(identifier, "extmap number", 4351, 1), parts[1], direction, " ".join(parts[2:]) or None
        )

    @property
    def encrypted_uri(self) -> str | None:
        """The extension that is carried encrypted (RFC 6904 section 4); None when this is not one."""
        if self.uri == ENCRYPTED and self.extension_attributes:
            return self.extension_attributes.partition(" ")[0]
        return None

    def __str__(self) -> str:
        flow = f"/{self.direction.value}" if self.direction else ""
        attributes = f" {self.extension_attributes}" if self.extension_attributes else ""
        return f"{self.id}{flow} {self.uri}{attributes}"


class Codec(Struct, frozen=True, gc=False):
    """A payload type with its rtpmap and fmtp put together; encoding names compare without regard to case.

    ``clock_rate`` is the RTP clock in Hz (8000 for G.722, RFC 3551 section 4.5.2), ``fmtp`` the text of
    parameters.
    """

    payload_type: int
    encoding: str
    clock_rate: int
    channels: int = 1
    fmtp: str | None = None

    @property
    def rtpmap(self) -> RtpMap:
        """The a=rtpmap value; one channel is not written."""
        parameters = str(self.channels) if self.channels != 1 else None
        return RtpMap(self.payload_type, self.encoding, self.clock_rate, parameters)

    @property
    def parameters(self) -> dict[str, str]:
        """`Fmtp.parameters` of the fmtp text."""
        return Fmtp("", self.fmtp).parameters if self.fmtp else {}

    def matches(self, other: Codec) -> bool:
        """Whether both are one encoding, clock rate and channel count; payload type and fmtp may differ."""
        return (
            self.clock_rate == other.clock_rate
            and self.channels == other.channels
            and self.encoding.lower() == other.encoding.lower()
        )


# Payload types with a fixed meaning (RFC 3551 section 6, tables 4 and 5): a rtpmap for them may be left out.
STATIC_CODECS = {
    codec.payload_type: codec
    for codec in (
        Codec(0, "PCMU", 8000),
        Codec(3, "GSM", 8000),
        Codec(4, "G723", 8000),
        Codec(5, "DVI4", 8000),
        Codec(6, "DVI4", 16000),
        Codec(7, "LPC", 8000),
        Codec(8, "PCMA", 8000),
        Codec(9, "G722", 8000),
        Codec(10, "L16", 44100, 2),
        Codec(11, "L16", 44100),
        Codec(12, "QCELP", 8000),
        Codec(13, "CN", 8000),
        Codec(14, "MPA", 90000),
        Codec(15, "G728", 8000),
        Codec(16, "DVI4", 11025),
        Codec(17, "DVI4", 22050),
        Codec(18, "G729", 8000),
        Codec(25, "CelB", 90000),
        Codec(26, "JPEG", 90000),
        Codec(28, "nv", 90000),
        Codec(31, "H261", 90000),
        Codec(32, "MPV", 90000),
        Codec(33, "MP2T", 90000),
        Codec(34, "H263", 90000),
    )
}
