"""Nonces that the server need not remember: each carries its time and number, under a key only we have.

A nonce is 32 characters of base64url: 6 bytes of wall time in milliseconds, 6 bytes of serial number, 12
bytes (96 bits) of keyed BLAKE2s over both. Whoever sends one back shows that it came from here and how old it
is (RFC 7616 section 5.4); how often it was used is what `rvoip.auth.replay` remembers, by the serial.
"""

from __future__ import annotations

import enum
import hashlib
from binascii import a2b_base64, b2a_base64
from hmac import compare_digest

from mypy_extensions import mypyc_attr

__all__ = ["Freshness", "NonceIssuer"]

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_+/", b"+/!!")
_LENGTH = 32
_MAC_BYTES = 12
_MASK_48 = (1 << 48) - 1
# Seconds that the clock may be set back without every phone being asked anew.
_SLACK = 5.0


class Freshness(enum.Enum):
    """What a nonce is worth."""

    FRESH = "fresh"
    STALE = "stale"
    FORGED = "forged"


_FRESH = Freshness.FRESH
_STALE = Freshness.STALE
_FORGED_ANSWER = (Freshness.FORGED, -1)


@mypyc_attr(allow_interpreted_subclasses=True)
class NonceIssuer:
    """Issues nonces that are fresh for `ttl` seconds of wall time, and knows its own again.

    `secret`, at least 16 bytes, is drawn at each start: with an old one the nonces of the time before would
    be taken again, while nobody remembers how often they were used. Processes that share a secret accept each
    other's nonces, but each remembers only its own uses.
    """

    __slots__ = ("_key", "_serial", "_ttl")

    def __init__(self, secret: bytes, ttl: float = 300.0) -> None:
        if len(secret) < 16:
            raise ValueError("the secret of a nonce issuer has at least 16 bytes")
        self._key = hashlib.blake2s(secret, person=b"nonce").digest()
        self._ttl = ttl
        self._serial = 0

    @property
    def ttl(self) -> float:
        """Seconds for which a nonce is fresh."""
        return self._ttl

    def issue(self, wall_now: float, source: str = "") -> str:
        """A nonce that was never issued before. With a `source` it is good for that one only."""
        self._serial += 1
        payload = ((int(wall_now * 1000.0) & _MASK_48) << 48 | self._serial & _MASK_48).to_bytes(12, "big")
        mac = hashlib.blake2s(payload + source.encode(), key=self._key, digest_size=_MAC_BYTES).digest()
        return b2a_base64(payload + mac, newline=False).translate(_TO_URL).decode("ascii")

    def check(self, nonce: str, wall_now: float, source: str = "") -> tuple[Freshness, int]:
        """What the nonce is worth now, and its serial number (-1 when it is forged)."""
        if len(nonce) != _LENGTH:
            return _FORGED_ANSWER
        try:
            decoded = a2b_base64(nonce.encode("ascii").translate(_FROM_URL), strict_mode=True)
        except ValueError:
            return _FORGED_ANSWER
        payload = decoded[:12]
        mac = hashlib.blake2s(payload + source.encode(), key=self._key, digest_size=_MAC_BYTES).digest()
        if not compare_digest(decoded[12:], mac):
            return _FORGED_ANSWER
        number = int.from_bytes(payload, "big")
        age = wall_now - (number >> 48) / 1000.0
        return (_FRESH if -_SLACK <= age <= self._ttl else _STALE), number & _MASK_48
