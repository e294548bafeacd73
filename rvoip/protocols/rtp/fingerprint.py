"""Who is at the other end of DTLS: certificates that a session description vouches for (RFC 8122).

Nobody signs these certificates. Each process makes its own, says its hash in `a=fingerprint`, and takes of
the peer only one whose hash the peer's description has.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPError

__all__ = ["HASHES", "Fingerprint", "Identity", "matches", "parse_fingerprint", "usable"]

HASHES: Final = {"sha-512": 64, "sha-384": 48, "sha-256": 32}
"""Hashes that count, the stronger first, with their length in octets. SHA-1 and MD5 do not."""
MAX_FINGERPRINTS: Final = 32
"""Of how many fingerprints of a description the rest is not looked at."""

_LINE: Final = re.compile(r"([A-Za-z0-9-]{1,16})[ ]+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){15,63})[ ]*", re.ASCII)
_AGE: Final = timedelta(days=1)
_LIFE: Final = timedelta(days=365)


class Fingerprint(Struct, frozen=True, gc=False):
    """The hash of a certificate; `algorithm` is in lower case."""

    algorithm: str
    digest: bytes

    def __str__(self) -> str:
        """The value of `a=fingerprint`."""
        return f"{self.algorithm} {self.digest.hex(':').upper()}"


def parse_fingerprint(text: str) -> Fingerprint:
    """Read "sha-256 19:E2:1C:..."; RTPError where that is malformed or has another length than its hash.

    Hashes that are not known are read too: a description may have several, and they are passed over later.
    """
    found = _LINE.fullmatch(text)
    if found is None:
        raise RTPError("a fingerprint that is malformed")
    algorithm, digest = found[1].lower(), bytes.fromhex(found[2].replace(":", ""))
    if len(digest) != HASHES.get(algorithm, len(digest)):
        raise RTPError("a fingerprint of a wrong length")
    return Fingerprint(algorithm, digest)


def usable(fingerprints: Iterable[Fingerprint]) -> tuple[Fingerprint, ...]:
    """Those that a certificate is held against: all of the strongest hash among them (RFC 8122 section 5)."""
    known = [one for one in list(fingerprints)[:MAX_FINGERPRINTS] if one.algorithm in HASHES]
    for algorithm in HASHES:
        if chosen := tuple(one for one in known if one.algorithm == algorithm):
            return chosen
    return ()


def matches(certificate: bytes, fingerprints: Sequence[Fingerprint]) -> bool:
    """Whether a certificate (DER) is one that a description vouches for."""
    return any(
        hmac.compare_digest(_digest(one.algorithm, certificate), one.digest) for one in usable(fingerprints)
    )


def _digest(algorithm: str, certificate: bytes) -> bytes:
    return hashlib.new(algorithm.replace("-", ""), certificate).digest()


class Identity:
    """A private key and the certificate that says nothing but its public half (ECDSA on P-256)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate
        self.der = certificate.public_bytes(serialization.Encoding.DER)

    @classmethod
    def make(cls, wall_now: datetime) -> Identity:
        """A new one, valid for a year; `wall_now` knows its time zone. Its randomness is that of OpenSSL."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rvoip")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(wall_now - _AGE)
            .not_valid_after(wall_now + _LIFE)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        """For `a=fingerprint`; the hash is one of HASHES."""
        return Fingerprint(algorithm, _digest(algorithm, self.der))
