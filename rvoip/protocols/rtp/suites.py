"""The ciphers of secure media: how long their keys are, what they add to a packet, what they are called.

One table for the two ways that keys come: SDES names a suite (RFC 4568 section 6.2, RFC 6188, RFC 7714
section 14.2), DTLS-SRTP numbers a profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError

__all__ = [
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
    "AES_256_CM_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_CM_128_HMAC_SHA1_80",
    "MAX_LIFETIME",
    "PROFILES",
    "SUITES",
    "MasterKey",
    "Suite",
]

MAX_LIFETIME: Final = 2**48
"""How many packets one key may protect at most (RFC 3711 section 9.2)."""


class Suite(Struct, frozen=True, gc=False):
    """A cipher with its authentication. Lengths in octets; `tag` of RTP, `control_tag` of RTCP packets.

    `profile` is the number in DTLS-SRTP, `openssl` what OpenSSL calls that; 0 and "" where there is none.
    """

    name: str
    key_length: int
    salt_length: int
    tag: int
    control_tag: int
    aead: bool = False
    profile: int = 0
    openssl: str = ""

    @property
    def length(self) -> int:
        """Octets of master key and salt in one."""
        return self.key_length + self.salt_length


AES_CM_128_HMAC_SHA1_80: Final = Suite(
    "AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10, profile=0x0001, openssl="SRTP_AES128_CM_SHA1_80"
)
AES_CM_128_HMAC_SHA1_32: Final = Suite(
    "AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10, profile=0x0002, openssl="SRTP_AES128_CM_SHA1_32"
)
AES_256_CM_HMAC_SHA1_80: Final = Suite("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10)
AES_256_CM_HMAC_SHA1_32: Final = Suite("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10)
AEAD_AES_128_GCM: Final = Suite(
    "AEAD_AES_128_GCM", 16, 12, 16, 16, aead=True, profile=0x0007, openssl="SRTP_AEAD_AES_128_GCM"
)
AEAD_AES_256_GCM: Final = Suite(
    "AEAD_AES_256_GCM", 32, 12, 16, 16, aead=True, profile=0x0008, openssl="SRTP_AEAD_AES_256_GCM"
)

SUITES: Final[dict[str, Suite]] = {
    suite.name: suite
    for suite in (
        AEAD_AES_256_GCM,
        AEAD_AES_128_GCM,
        AES_256_CM_HMAC_SHA1_80,
        AES_CM_128_HMAC_SHA1_80,
        AES_256_CM_HMAC_SHA1_32,
        AES_CM_128_HMAC_SHA1_32,
    )
}
"""By name, the stronger first; short tags are last (RFC 3711 section 9.5.1 says why)."""

PROFILES: Final[dict[int, Suite]] = {suite.profile: suite for suite in SUITES.values() if suite.profile}
"""By number in DTLS-SRTP. AES-256 in counter mode has none (RFC 5764 and 7714 define none)."""


class MasterKey(Struct, frozen=True, gc=False):
    """What one side protects its packets with: a suite, its master key and salt.

    `mki` (0 to 128 octets) stands in each packet where several keys are in use (RFC 3711 section 3.1).
    `lifetime` is the number of packets that may be protected with it. The repr shows no key.
    """

    suite: Suite
    key: bytes
    salt: bytes
    mki: bytes = b""
    lifetime: int = MAX_LIFETIME

    def __post_init__(self) -> None:
        if len(self.key) != self.suite.key_length or len(self.salt) != self.suite.salt_length:
            raise RTPBuildError(
                f"{self.suite.name} takes a key of {self.suite.key_length} and a salt of"
                f" {self.suite.salt_length} octets, not {len(self.key)} and {len(self.salt)}"
            )
        if len(self.mki) > 128:
            raise RTPBuildError("an MKI has at most 128 octets")
        if not 0 < self.lifetime <= MAX_LIFETIME:
            raise RTPBuildError("a key lives for 1 to 2^48 packets")

    @classmethod
    def cut(cls, suite: Suite, material: bytes, mki: bytes = b"", lifetime: int = MAX_LIFETIME) -> MasterKey:
        """Of key and salt in one, as SDES writes them; `suite.length` octets."""
        return cls(suite, material[: suite.key_length], material[suite.key_length :], mki, lifetime)

    @property
    def material(self) -> bytes:
        """Key and salt in one."""
        return self.key + self.salt

    def __repr__(self) -> str:
        return f"MasterKey({self.suite.name}, ..., mki={self.mki.hex() or None}, lifetime={self.lifetime})"
