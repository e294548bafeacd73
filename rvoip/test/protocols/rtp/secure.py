"""Packets and keys that the tests of secure media share."""

from __future__ import annotations

import hashlib

from rvoip.protocols.rtp.srtp import SecureLeg
from rvoip.protocols.rtp.suites import MAX_LIFETIME, MasterKey, Suite

__all__ = ["SSRC", "key", "pair", "report", "rtp"]

SSRC = 0x01020304


def key(suite: Suite, name: str = "alice", mki: bytes = b"", lifetime: int = MAX_LIFETIME) -> MasterKey:
    """A master key, the same for the same name."""
    return MasterKey.cut(
        suite, hashlib.shake_128(f"{suite.name} {name}".encode()).digest(suite.length), mki, lifetime
    )


def pair(suite: Suite, mki: bytes = b"", **options: int) -> tuple[SecureLeg, SecureLeg]:
    """Both ends of a leg."""
    ours, theirs = key(suite, "ours", mki), key(suite, "theirs", mki)
    return SecureLeg(theirs, ours, **options), SecureLeg(ours, theirs, **options)


def rtp(sequence: int, ssrc: int = SSRC, payload: bytes = b"\xd5" * 160) -> bytes:
    """An RTP packet; the sequence number may be an index, of which the low 16 bits count."""
    return (
        b"\x80\x08"
        + (sequence & 0xFFFF).to_bytes(2, "big")
        + (160 * sequence & 0xFFFFFFFF).to_bytes(4, "big")
        + ssrc.to_bytes(4, "big")
        + payload
    )


def report(ssrc: int = SSRC, number: int = 0) -> bytes:
    """An RTCP compound: an empty receiver report and a canonical name."""
    return (
        b"\x80\xc9\x00\x01"
        + ssrc.to_bytes(4, "big")
        + b"\x81\xca\x00\x03"
        + ssrc.to_bytes(4, "big")
        + b"\x01\x04"
        + f"{number:04}".encode()
        + bytes(2)
    )
