"""Which rollover counter a packet was protected with, when that cannot be reckoned.

A packet carries 16 bits of its 48-bit index; the rest, the rollover counter, is counted on both sides (RFC
3711 section 3.3.1). Who joins late, was restarted, or lost more than 32,768 packets in a row counts wrongly,
and then nothing is authentic any more. `RolloverSearch` tries counters against the tag of one packet, and
`roll` brings a session of libsrtp to the index that was found.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rvoip.protocols.rtp.libsrtp import Outbound, Session, ints, octets
from rvoip.protocols.rtp.suites import MasterKey

__all__ = ["MAX_ROLLOVER", "RolloverSearch", "SessionKeys", "derive", "estimate", "roll"]

MAX_ROLLOVER: Final = 0xFFFF
"""The largest counter that `roll` brings a session to: 2^32 packets, 2.7 years of 20 ms."""

_HEADER: Final = 12
_HALF: Final = 0x8000
_STEP: Final = 0x7000
"""How far one packet may lie ahead of the one before, somewhat less than half of the sequence numbers."""
_MARGIN: Final = 0x400
"""How far before the wanted index a rolled session stands, so that packets out of order still count."""


class SessionKeys:
    """What packets of one direction are protected with, derived from a master key (RFC 3711 section 4.3)."""

    __slots__ = ("cipher", "salt", "authentication")

    def __init__(self, cipher: bytes, salt: bytes, authentication: bytes) -> None:
        self.cipher = cipher
        self.salt = salt
        self.authentication = authentication


def derive(key: MasterKey, *, control: bool = False) -> SessionKeys:
    """The session keys of RTP, or of RTCP; a key derivation rate of zero."""
    first = 3 if control else 0
    return SessionKeys(
        _keystream(key, first, len(key.key)),
        _keystream(key, first + 2, len(key.salt)),
        b"" if key.suite.aead else _keystream(key, first + 1, 20),
    )


def _keystream(key: MasterKey, label: int, length: int) -> bytes:
    # A salt of 96 bits is one of 112 that ends with zeros (RFC 7714 section 11).
    salt = int.from_bytes(key.salt.ljust(14, b"\0"), "big")
    counter = ((salt ^ (label << 48)) << 16).to_bytes(16, "big")
    return Cipher(algorithms.AES(key.key), modes.CTR(counter)).encryptor().update(bytes(length))


def estimate(last: int, sequence: int) -> int:
    """The index of a packet with this sequence number, where `last` is the highest so far.

    RFC 3711 section 3.3.1 and appendix A; while `last` is below 2^15 the counter cannot have been less.
    """
    if last <= _HALF:
        return sequence
    index = (last & ~0xFFFF) | sequence
    distance = index - last
    if distance > _HALF:
        return index - 0x10000
    if distance < -_HALF:
        return index + 0x10000
    return index


class RolloverSearch:
    """Tells with which counter an RTP packet is authentic; for one master key, without state."""

    __slots__ = ("_aead", "_keys", "_tag")

    def __init__(self, key: MasterKey) -> None:
        self._keys = derive(key)
        self._tag = key.suite.tag
        self._aead = AESGCM(self._keys.cipher) if key.suite.aead else None

    def find(self, packet: bytes, counters: Iterable[int]) -> int | None:
        """The first of the counters (0 to 2^32-1) that fits the packet, which is without its MKI."""
        header = _header_length(packet)
        if header + self._tag > len(packet):
            return None
        for counter in counters:
            if self._fits(packet, header, counter):
                return counter
        return None

    def _fits(self, packet: bytes, header: int, counter: int) -> bool:
        if self._aead is None:
            body, tag = packet[: -self._tag], packet[-self._tag :]
            code = hmac.digest(self._keys.authentication, body + counter.to_bytes(4, "big"), "sha1")
            return hmac.compare_digest(code[: self._tag], tag)
        # RFC 7714 section 8.1: source, counter and sequence number, and the salt over them
        plain = b"\0\0" + packet[8:12] + counter.to_bytes(4, "big") + packet[2:4]
        nonce = int.from_bytes(plain, "big") ^ int.from_bytes(self._keys.salt, "big")
        try:
            self._aead.decrypt(nonce.to_bytes(12, "big"), packet[header:], packet[:header])
        except InvalidTag:
            return False
        return True


def _header_length(packet: bytes) -> int:
    """Octets of the RTP header with sources and extension; more than the packet has where it is cut off."""
    if len(packet) < _HEADER:
        return _HEADER
    length = _HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        length += 4 + 4 * int.from_bytes(packet[length + 2 : length + 4], "big")
    return length


def roll(session: Session, key: MasterKey, ssrc: int, index: int, *, inbound: bool) -> None:
    """Bring a new stream of a session, of this source, to shortly before `index` (a 48-bit packet index).

    libsrtp counts by the packets that it sees: it is shown some that we make ourselves, half a round of
    sequence numbers apart, about 3 for each count. None of them leaves this function.
    """
    counter = index >> 16
    if counter > MAX_ROLLOVER:
        raise ValueError("a rollover counter of more than 16 bits")
    end = index - _MARGIN
    if end <= _HALF:
        return
    making = Outbound(key, 64) if inbound else session
    buffer = bytearray(_HEADER + 4 + key.suite.tag)
    lengths = bytearray(4)
    at, length = octets(buffer), ints(lengths)
    mark = _HALF + 1
    while True:
        mark = min(mark, end)
        buffer[: _HEADER + 4] = (
            b"\x80\0" + (mark & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + bytes(4)
        )
        length[0] = _HEADER + 4
        status = making.protect(making.native, at, length)
        if not status and inbound:
            status = session.unprotect(session.native, at, length)
        if status:
            raise ValueError(f"libsrtp does not take a packet of its own: {status}")
        if mark == end:
            return
        mark += _STEP
