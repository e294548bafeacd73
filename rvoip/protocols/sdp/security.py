"""Attributes that key a stream: fingerprints (RFC 8122) and SDES crypto lines (RFC 4568)."""

from __future__ import annotations

import base64
import binascii
import re

from msgspec import Struct

from rvoip.protocols.sdp.errors import SDPError
from rvoip.protocols.sdp.grammar import number, quote, words

__all__ = ["KEY_LENGTHS", "Crypto", "CryptoKey", "Fingerprint"]

_DIGEST_LENGTHS = {
    "sha-1": 20,
    "sha-224": 28,
    "sha-256": 32,
    "sha-384": 48,
    "sha-512": 64,
    "md5": 16,
    "md2": 16,
}
_HEX_PAIRS = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,63}", re.ASCII)
_LIFETIME = re.compile(r"2\^[0-9]{1,2}|[0-9]{1,15}", re.ASCII)

# Octets of master key and salt (RFC 4568 section 6.2, RFC 6188, RFC 7714).
KEY_LENGTHS = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "F8_128_HMAC_SHA1_80": 30,
    "AES_192_CM_HMAC_SHA1_80": 38,
    "AES_192_CM_HMAC_SHA1_32": 38,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AES_256_CM_HMAC_SHA1_32": 46,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}


class Fingerprint(Struct, frozen=True, gc=False):
    """The hash of a certificate (a=fingerprint, RFC 8122 section 5); ``algorithm`` is in lower case."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read "sha-256 19:E2:1C:...". A digest that is too long or short for a known hash is refused."""
        parts = words(text, "fingerprint")
        if len(parts) != 2 or _HEX_PAIRS.fullmatch(parts[1]) is None:
            raise SDPError(f"fingerprint is malformed: {quote(text)}")
        algorithm = parts[0].lower()
        digest = bytes.fromhex(parts[1].replace(":", ""))
        if len(digest) != _DIGEST_LENGTHS.get(algorithm, len(digest)):
            raise SDPError(f"fingerprint of {quote(algorithm)} has {len(digest)} octets")
        return cls(algorithm, digest)

    @property
    def text(self) -> str:
        """The digest as "19:E2:1C:..."."""
        return self.digest.hex(":").upper()

    def __str__(self) -> str:
        return f"{self.algorithm} {self.text}"


class CryptoKey(Struct, frozen=True, gc=False):
    """One inline key: master key and salt in one, lifetime, master key identifier (RFC 4568 section 6.1).

    ``lifetime`` is as written ("2^20" or a decimal number; `lifetime_packets` reckons it).
    """

    key_salt: bytes
    lifetime: str | None = None
    mki: int | None = None
    mki_length: int | None = None

    @classmethod
    def parse(cls, text: str) -> CryptoKey:
        """Read "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"."""
        method, _, information = text.partition(":")
        if method.lower() != "inline":
            raise SDPError(f"crypto has an unknown key method: {quote(method)}")
        material, *rest = information.split("|")
        try:
            key_salt = base64.b64decode(material + "=" * (-len(material) % 4), validate=True)
        except binascii.Error:
            raise SDPError("crypto has a key that is not base64") from None
        lifetime = mki = mki_length = None
        if rest and ":" not in rest[0]:
            lifetime = rest.pop(0)
            if _LIFETIME.fullmatch(lifetime) is None:
                raise SDPError(f"crypto has a malformed lifetime: {quote(lifetime)}")
        if rest:
            value, colon, length = rest.pop(0).partition(":")
            if not colon:
                raise SDPError("crypto has an MKI without a length")
            mki_length = number(length, "crypto MKI length", 128, 1)
            mki = number(value, "crypto MKI")
        if rest or not key_salt:
            raise SDPError("crypto has a malformed key")
        return cls(key_salt, lifetime, mki, mki_length)

    @property
    def lifetime_packets(self) -> int | None:
        """How many packets the key may protect; None where it is not said (2^48, RFC 3711 section 9.2)."""
        if self.lifetime is None:
            return None
        if self.lifetime.startswith("2^"):
            return int(2 ** int(self.lifetime[2:]))
        return int(self.lifetime)

    def __str__(self) -> str:
        text = "inline:" + base64.b64encode(self.key_salt).decode("ascii")
        if self.lifetime is not None:
            text += f"|{self.lifetime}"
        if self.mki is not None:
            text += f"|{self.mki}:{self.mki_length}"
        return text

    def __repr__(self) -> str:
        return f"CryptoKey(..., lifetime={self.lifetime!r}, mki={self.mki!r}, mki_length={self.mki_length!r})"


class Crypto(Struct, frozen=True, gc=False):
    """An offered or chosen SDES suite with keys and session parameters (a=crypto, RFC 4568 section 4)."""

    tag: int
    suite: str
    keys: tuple[CryptoKey, ...]
    session_parameters: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Crypto:
        """Read "1 AES_CM_128_HMAC_SHA1_80 inline:WVNf...|2^20|1:4 FEC_ORDER=FEC_SRTP".

        A key whose length is wrong for a known suite is refused (RFC 4568 section 6.1). Session parameters
        are kept as written: who chooses a line must know all of them, but for those that begin with "-"
        (section 6.3).
        """
        parts = words(text, "crypto")
        if len(parts) < 3:
            raise SDPError("crypto has fewer than 3 fields")
        tag, suite, *rest = parts
        keys = [rest.pop(0)]
        while rest and keys[-1].endswith(";"):
            keys.append(rest.pop(0))
        parsed = tuple(CryptoKey.parse(key) for part in keys for key in part.split(";") if key)
        wanted = KEY_LENGTHS.get(suite)
        if not parsed or any(len(key.key_salt) != (wanted or len(key.key_salt)) for key in parsed):
            raise SDPError(f"crypto has no key, or one of a wrong length for {quote(suite)}")
        return cls(number(tag, "crypto tag", 999_999_999), suite, parsed, tuple(rest))

    def __str__(self) -> str:
        return " ".join((str(self.tag), self.suite, ";".join(map(str, self.keys)), *self.session_parameters))
