"""STUN messages (RFC 8489, and RFC 5389 before it), as ICE uses them (RFC 8445 section 7): values.

`parse_message` reads one datagram, `build_message` writes one; integrity is checked with `authentic`, by who
knows the key. The SIP transport has a few lines of STUN of its own for the keep-alives of its flows, because
neither package may import the other.
"""

from __future__ import annotations

import hmac
import ipaddress
import zlib
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError

__all__ = [
    "BINDING",
    "ERROR",
    "INDICATION",
    "REQUEST",
    "SUCCESS",
    "Attribute",
    "Message",
    "build_message",
    "error_code",
    "is_stun",
    "mapped_address",
    "parse_message",
    "unknown_attributes",
    "xor_address",
]

COOKIE: Final = b"\x21\x12\xa4\x42"
HEADER: Final = 20
MAX_LENGTH: Final = 1500
"""Octets of the longest message that is read: more than one packet is no STUN of ours."""
MAX_ATTRIBUTES: Final = 32

BINDING: Final = 1
REQUEST: Final = 0
INDICATION: Final = 1
SUCCESS: Final = 2
ERROR: Final = 3

_FINGERPRINT_XOR: Final = 0x5354554E


class Attribute:
    """Types of attributes (RFC 8489 section 18.3, RFC 8445 section 16.1). Below 0x8000 they must be known."""

    MAPPED_ADDRESS: Final = 0x0001
    USERNAME: Final = 0x0006
    MESSAGE_INTEGRITY: Final = 0x0008
    ERROR_CODE: Final = 0x0009
    UNKNOWN_ATTRIBUTES: Final = 0x000A
    REALM: Final = 0x0014
    NONCE: Final = 0x0015
    MESSAGE_INTEGRITY_SHA256: Final = 0x001C
    PASSWORD_ALGORITHM: Final = 0x001D
    USERHASH: Final = 0x001E
    XOR_MAPPED_ADDRESS: Final = 0x0020
    PRIORITY: Final = 0x0024
    USE_CANDIDATE: Final = 0x0025
    SOFTWARE: Final = 0x8022
    ALTERNATE_SERVER: Final = 0x8023
    FINGERPRINT: Final = 0x8028
    ICE_CONTROLLED: Final = 0x8029
    ICE_CONTROLLING: Final = 0x802A


KNOWN: Final = frozenset(
    value for name, value in vars(Attribute).items() if not name.startswith("_") and value < 0x8000
)
_FIXED: Final = {
    Attribute.PRIORITY: 4,
    Attribute.USE_CANDIDATE: 0,
    Attribute.ICE_CONTROLLED: 8,
    Attribute.ICE_CONTROLLING: 8,
    Attribute.MESSAGE_INTEGRITY: 20,
    Attribute.FINGERPRINT: 4,
}
"""Octets of the value, where there is one right length."""


class Message(Struct, frozen=True, gc=False):
    """One message. `kind` is REQUEST, INDICATION, SUCCESS or ERROR; `transaction` has 12 octets.

    `attributes` are (type, value) in order, without what stands behind the integrity (RFC 8489 section 14.5)
    and without FINGERPRINT, which was checked when there was one (`fingerprint`). `signed` and
    `signed_sha256` are the octets that MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 cover, or empty.
    """

    method: int
    kind: int
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()
    fingerprint: bool = False
    signed: bytes = b""
    signed_sha256: bytes = b""

    def get(self, attribute: int) -> bytes | None:
        """The first value of an attribute; later ones count for nothing (RFC 8489 section 14)."""
        for kind, value in self.attributes:
            if kind == attribute:
                return value
        return None

    def number(self, attribute: int) -> int | None:
        """The value of PRIORITY, ICE-CONTROLLED or ICE-CONTROLLING."""
        value = self.get(attribute)
        return None if value is None else int.from_bytes(value, "big")

    @property
    def username(self) -> str | None:
        """USERNAME, or None where there is none that is text."""
        value = self.get(Attribute.USERNAME)
        try:
            return None if value is None else value.decode("utf-8")
        except UnicodeDecodeError:
            return None

    @property
    def unknown(self) -> tuple[int, ...]:
        """Attributes that one must know to answer, and that are not known here."""
        return tuple(
            dict.fromkeys(kind for kind, _ in self.attributes if kind < 0x8000 and kind not in KNOWN)
        )

    def authentic(self, key: bytes) -> bool:
        """Whether the integrity that it has is made with this key; the stronger one where there are two.

        False where there is none. For ICE the key is the password of who is asked (RFC 8489 section 9.1.1).
        """
        if self.signed_sha256:
            value = self.get(Attribute.MESSAGE_INTEGRITY_SHA256) or b""
            return hmac.compare_digest(hmac.digest(key, self.signed_sha256, "sha256")[: len(value)], value)
        if self.signed:
            value = self.get(Attribute.MESSAGE_INTEGRITY) or b""
            return hmac.compare_digest(hmac.digest(key, self.signed, "sha1"), value)
        return False


def is_stun(datagram: bytes) -> bool:
    """Whether a datagram begins as a message does; cheap, for what is received on a port of media."""
    return (
        len(datagram) >= HEADER
        and datagram[0] < 4
        and datagram[4:8] == COOKIE
        and len(datagram) == HEADER + int.from_bytes(datagram[2:4], "big")
    )


def parse_message(datagram: bytes) -> Message:
    """Read one datagram; RTPError for anything that is no message, or whose FINGERPRINT is wrong.

    Messages of RFC 3489, which have no cookie, are none.
    """
    if not is_stun(datagram) or len(datagram) > MAX_LENGTH or len(datagram) % 4:
        raise RTPError("no STUN message")
    word = int.from_bytes(datagram[:2], "big")
    kind = (word >> 7 & 2) | (word >> 4 & 1)
    method = (word & 0x000F) | (word >> 1 & 0x0070) | (word >> 2 & 0x0080)
    attributes: list[tuple[int, bytes]] = []
    signed = signed_sha256 = b""
    fingerprint = False
    at = HEADER
    while at < len(datagram):
        if fingerprint:
            raise RTPError("something behind the FINGERPRINT")
        attribute = int.from_bytes(datagram[at : at + 2], "big")
        length = int.from_bytes(datagram[at + 2 : at + 4], "big")
        value = datagram[at + 4 : at + 4 + length]
        if len(value) != length or length != _FIXED.get(attribute, length):
            raise RTPError("an attribute of a wrong length")
        if len(attributes) >= MAX_ATTRIBUTES:
            raise RTPError("too many attributes")
        if attribute == Attribute.FINGERPRINT:
            if int.from_bytes(value, "big") != _fingerprint(datagram[:at]):
                raise RTPError("a FINGERPRINT that is wrong")
            fingerprint = True
        elif attribute == Attribute.MESSAGE_INTEGRITY_SHA256 and not signed_sha256:
            if length % 4 or not 16 <= length <= 32:
                raise RTPError("an attribute of a wrong length")
            signed_sha256 = _covered(datagram[:at], length)
            attributes.append((attribute, value))
        elif signed or signed_sha256:
            pass  # not covered by the integrity
        elif attribute == Attribute.MESSAGE_INTEGRITY:
            signed = _covered(datagram[:at], length)
            attributes.append((attribute, value))
        else:
            attributes.append((attribute, value))
        at += 4 + (length + 3) // 4 * 4
    return Message(method, kind, datagram[8:HEADER], tuple(attributes), fingerprint, signed, signed_sha256)


def build_message(
    method: int,
    kind: int,
    transaction: bytes,
    attributes: Iterable[tuple[int, bytes]] = (),
    *,
    key: bytes | None = None,
    sha256: bool = False,
    fingerprint: bool = True,
) -> bytes:
    """Write a message; `method` is 0 to 255 (RFC 8489 section 18.2).

    With a `key` it has a MESSAGE-INTEGRITY, by SHA-1 or with `sha256` the newer one.
    """
    if len(transaction) != 12 or not 0 <= method < 0x100 or not 0 <= kind <= 3:
        raise RTPBuildError("a STUN message that cannot be written")
    word = (method & 0x80) << 2 | (method & 0x70) << 1 | (method & 0xF) | (kind & 2) << 7 | (kind & 1) << 4
    message = word.to_bytes(2, "big") + b"\0\0" + COOKIE + transaction
    for attribute, value in attributes:
        message += _attribute(attribute, value)
    if key is not None:
        name = "sha256" if sha256 else "sha1"
        code = hmac.digest(key, _covered(message, 32 if sha256 else 20), name)
        message += _attribute(
            Attribute.MESSAGE_INTEGRITY_SHA256 if sha256 else Attribute.MESSAGE_INTEGRITY, code
        )
    if fingerprint:
        code = _fingerprint(_lengthened(message, 8)).to_bytes(4, "big")
        message += _attribute(Attribute.FINGERPRINT, code)
    return _lengthened(message, 0)


def _attribute(attribute: int, value: bytes) -> bytes:
    if len(value) > MAX_LENGTH:
        raise RTPBuildError("a STUN attribute that is too long")
    return attribute.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _lengthened(message: bytes, more: int) -> bytes:
    """The message as if it ended `more` octets later."""
    return message[:2] + (len(message) - HEADER + more).to_bytes(2, "big") + message[4:]


def _covered(message: bytes, length: int) -> bytes:
    return _lengthened(message, 4 + length)


def _fingerprint(message: bytes) -> int:
    return zlib.crc32(message) ^ _FINGERPRINT_XOR


def xor_address(host: str, port: int, transaction: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS of a numeric address (RFC 8489 section 14.2)."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mask = COOKIE + transaction
    hidden = bytes(one ^ other for one, other in zip(address.packed, mask))
    family = b"\0\1" if address.version == 4 else b"\0\2"
    return family + (port ^ 0x2112).to_bytes(2, "big") + hidden


def mapped_address(message: Message) -> tuple[str, int] | None:
    """Host and port of XOR-MAPPED-ADDRESS, or of MAPPED-ADDRESS; None where there is neither."""
    for attribute in (Attribute.XOR_MAPPED_ADDRESS, Attribute.MAPPED_ADDRESS):
        value = message.get(attribute)
        if value is None or value[1:2] not in (b"\1", b"\2"):
            continue
        if len(value) != (8 if value[1] == 1 else 20):
            continue
        port, packed = int.from_bytes(value[2:4], "big"), value[4:]
        if attribute == Attribute.XOR_MAPPED_ADDRESS:
            port ^= 0x2112
            packed = bytes(one ^ other for one, other in zip(packed, COOKIE + message.transaction))
        return str(ipaddress.ip_address(packed)), port
    return None


def error_code(status: int, reason: str = "") -> tuple[int, bytes]:
    """The attribute ERROR-CODE, 300 to 699."""
    if not 300 <= status <= 699:
        raise RTPBuildError("a STUN error is 300 to 699")
    return Attribute.ERROR_CODE, bytes((0, 0, status // 100, status % 100)) + reason.encode()


def unknown_attributes(attributes: Iterable[int]) -> tuple[int, bytes]:
    """The attribute UNKNOWN-ATTRIBUTES."""
    return Attribute.UNKNOWN_ATTRIBUTES, b"".join(one.to_bytes(2, "big") for one in attributes)
