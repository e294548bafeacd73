"""Secure media (SRTP and SRTCP, RFC 3711): the packets of many legs, protected and opened in place.

A `SecureLeg` has the keys of one leg, `SecureLegs` is a table of them with one row a leg, for batches of
datagrams. What is not authentic, was seen before or is no packet gives None (in a batch, length 0) and is
counted by its `Reason`; nothing is raised for it, and nothing ends by it.

The plain path of a batch is one native call for a packet. A leg leaves it while it is between two keys, where
its packets name their key (MKI), and when packets of a source keep failing: then it is found out whether
only the rollover counter is wrong (`rollover`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rvoip.protocols.rtp.errors import RTPBuildError
from rvoip.protocols.rtp.libsrtp import ints, octets
from rvoip.protocols.rtp.rollover import estimate
from rvoip.protocols.rtp.srtp_keys import MAX_PACKET, Opener, Reason, Sealer, reason_of
from rvoip.protocols.rtp.suites import MasterKey

__all__ = ["Drops", "Reason", "SecureLeg", "SecureLegs"]

_SETTLED: Final = 256
"""After so many packets with a new key the one before is forgotten."""
_OLD: Final = 2
"""How many keys are kept beside the newest."""


class Drops(Struct, frozen=True, gc=False):
    """How many packets were dropped, by reason."""

    auth: int = 0
    replay: int = 0
    malformed: int = 0
    sources: int = 0
    expired: int = 0


class SecureLeg:
    """Keys and streams of one leg, both directions.

    `receive` are the keys of the peer: one, or several that differ by their MKI. `window` (packets, 64 to
    32767) is how far packets may come out of order; `max_sources` bounds the SSRCs of each direction.
    """

    __slots__ = ("drops", "native", "opener", "openers", "sealer", "send_drops", "_fresh", "_most", "_window")

    def __init__(
        self,
        receive: MasterKey | Sequence[MasterKey],
        send: MasterKey,
        *,
        window: int = 128,
        max_sources: int = 256,
    ) -> None:
        self._window = window
        self._most = max_sources
        keys = [receive] if isinstance(receive, MasterKey) else list(receive)
        if not keys:
            raise RTPBuildError("a leg needs a key of its peer")
        if len({key.mki for key in keys}) < len(keys) or len({len(key.mki) for key in keys}) > 1:
            raise RTPBuildError("several keys at a time need an MKI each, of one length")
        self.drops = [0] * len(Reason)
        """Packets of the peer that were dropped, by `Reason`."""
        self.send_drops = [0] * len(Reason)
        """Packets of ours that could not be protected, by `Reason`."""
        self.openers = [Opener(key, window, max_sources) for key in keys]
        self.sealer = Sealer(send, window, max_sources)
        self._fresh = 0
        self.opener = self.openers[0]
        self.native: Any = None
        """The session of libsrtp that batches call at once; None while the leg needs more than that."""
        self._take_plain_path()

    def _take_plain_path(self) -> None:
        plain = len(self.openers) == 1 and not self.opener.key.mki
        self.native = self.opener.session.native if plain else None

    @property
    def dropped(self) -> Drops:
        """Packets of the peer that were dropped."""
        return Drops(*self.drops)

    def rekey_receive(self, key: MasterKey) -> None:
        """The peer has a new key. What it sent with the one before is still opened, until `settle` or until
        256 packets have come with the new one.
        """
        hints = self.opener.hints | self.opener.streams
        for ssrc in list(hints)[: -self._most]:
            del hints[ssrc]
        fresh = Opener(key, self._window, self._most, hints)
        others = [opener for opener in self.openers if not key.mki or opener.key.mki != key.mki]
        self.openers = [fresh, *others[:_OLD]]
        self.opener = fresh
        self._fresh = 0
        self._take_plain_path()

    def rekey_send(self, key: MasterKey, *, keep_rollover: bool = True) -> None:
        """Send with a new key from now on.

        Rollover counters go on (RFC 3711 section 3.3.1), unless the peer is known to begin again at zero.
        """
        streams = self.sealer.streams if keep_rollover else None
        self.sealer = Sealer(key, self._window, self._most, streams)

    def settle(self) -> None:
        """Forget all keys of the peer but the newest one: nothing is under way any more."""
        del self.openers[1:]
        self._take_plain_path()

    def unprotect(self, datagram: bytes) -> bytes | None:
        """The RTP packet in it; None where it is dropped."""
        if not 12 < len(datagram) <= 65535 or datagram[0] >> 6 != 2:
            self._drop(Reason.MALFORMED)
            return None
        ssrc = int.from_bytes(datagram[8:12], "big")
        sequence = int.from_bytes(datagram[2:4], "big")
        worst: Reason = Reason.AUTH
        for number, opener in enumerate(self.openers):
            packet = opener.without_mki(datagram, False)
            if packet is None:
                continue
            opened = opener.open(packet, ssrc, sequence)
            if isinstance(opened, bytes):
                self._opened(number)
                return opened
            worst = opened if number == 0 else worst
        self._drop(worst)
        return None

    def unprotect_control(self, datagram: bytes) -> bytes | None:
        """The RTCP packet in it; None where it is dropped."""
        if not 12 < len(datagram) <= 65535 or datagram[0] >> 6 != 2:
            self._drop(Reason.MALFORMED)
            return None
        ssrc = int.from_bytes(datagram[4:8], "big")
        worst: Reason = Reason.AUTH
        for number, opener in enumerate(self.openers):
            packet = opener.without_mki(datagram, True)
            if packet is None:
                continue
            opened = opener.open_control(packet, ssrc)
            if isinstance(opened, bytes):
                return opened
            worst = opened if number == 0 else worst
        self._drop(worst)
        return None

    def protect(self, packet: bytes) -> bytes | None:
        """The SRTP packet; None where the packet is malformed, was sent before, or the key has expired."""
        if not 12 <= len(packet) <= MAX_PACKET or packet[0] >> 6 != 2:
            self._not_sent(Reason.MALFORMED)
            return None
        sealed = self.sealer.seal(
            packet, int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
        )
        if isinstance(sealed, bytes):
            return sealed
        self._not_sent(sealed)
        return None

    def protect_control(self, packet: bytes) -> bytes | None:
        """The SRTCP packet; None where the packet is malformed or the key has expired."""
        if not 8 <= len(packet) <= MAX_PACKET or packet[0] >> 6 != 2:
            self._not_sent(Reason.MALFORMED)
            return None
        sealed = self.sealer.seal_control(packet, int.from_bytes(packet[4:8], "big"))
        if isinstance(sealed, bytes):
            return sealed
        self._not_sent(sealed)
        return None

    def failed(self, ssrc: int, status: int) -> None:
        """A packet failed on the plain path; libsrtp said why."""
        self.drops[reason_of(status)] += 1
        if self.opener.failed(ssrc, status):
            self.native = None  # the next packet is looked at more closely

    def _opened(self, number: int) -> None:
        if number:
            return
        if len(self.openers) == 1:
            self._take_plain_path()
        elif not self.opener.key.mki:
            self._fresh += 1
            if self._fresh >= _SETTLED:
                self.settle()

    def _drop(self, reason: Reason) -> None:
        self.drops[reason] += 1

    def _not_sent(self, reason: Reason) -> None:
        self.send_drops[reason] += 1


class SecureLegs:
    """The legs of a server: rows that come, go and are used again, and batches over them.

    A batch is a C-contiguous array `buffer` of `uint8`, shape `(count, slot)`, `lengths` of `int32` beside
    it, and two columns of the same length that say which datagrams are whose: `at` (row of the buffer) and
    `rows` (of this table). Datagrams change in place, with their lengths; 0 is one that was dropped. Returned
    is how many are left.
    """

    def __init__(self) -> None:
        self.legs: list[SecureLeg | None] = []
        self._free: list[int] = []

    def add(self, leg: SecureLeg) -> int:
        """The row of a new leg."""
        if self._free:
            row = self._free.pop()
            self.legs[row] = leg
            return row
        self.legs.append(leg)
        return len(self.legs) - 1

    def __getitem__(self, row: int) -> SecureLeg:
        leg = self.legs[row]
        if leg is None:
            raise KeyError(row)
        return leg

    def __len__(self) -> int:
        return len(self.legs) - len(self._free)

    def remove(self, row: int) -> SecureLeg:
        """Take a leg out; its row will be used again."""
        leg = self[row]
        self.legs[row] = None
        self._free.append(row)
        return leg

    def unprotect(
        self, rows: NDArray[Any], buffer: NDArray[np.uint8], lengths: NDArray[np.int32], at: NDArray[Any]
    ) -> int:
        """Open SRTP datagrams in place."""
        address, lengths_at, slot = _addresses(buffer, lengths)
        legs, left = self.legs, 0
        headers = buffer[at, :12]
        good = ((lengths[at] > 12) & (lengths[at] <= slot) & (headers[:, 0] >> 6 == 2)).tolist()
        sources = headers[:, 8:12].copy().view(">u4")[:, 0].tolist()
        sequences = headers[:, 2:4].copy().view(">u2")[:, 0].tolist()
        for row, number, fine, ssrc, sequence in zip(rows.tolist(), at.tolist(), good, sources, sequences):
            leg = legs[row]
            if leg is None:
                lengths[number] = 0
                continue
            if not fine:
                leg.drops[Reason.MALFORMED] += 1
                lengths[number] = 0
                continue
            native = leg.native
            streams = leg.opener.streams
            if native is None or ssrc not in streams:
                left += _replace(leg.unprotect, buffer, lengths, number)
                continue
            status = leg.opener.session.unprotect(native, address + number * slot, lengths_at + number)
            if status:
                lengths[number] = 0
                leg.failed(ssrc, status)
                continue
            last = streams[ssrc]
            index = estimate(last, sequence)
            if index > last:
                streams[ssrc] = index
            left += 1
        return left

    def protect(
        self, rows: NDArray[Any], buffer: NDArray[np.uint8], lengths: NDArray[np.int32], at: NDArray[Any]
    ) -> int:
        """Protect RTP packets in place; a slot must have room for 20 octets more, and for an MKI."""
        address, lengths_at, slot = _addresses(buffer, lengths)
        legs, left = self.legs, 0
        headers = buffer[at, :12]
        sizes = lengths[at]
        good = ((sizes >= 12) & (headers[:, 0] >> 6 == 2)).tolist()
        sources = headers[:, 8:12].copy().view(">u4")[:, 0].tolist()
        sequences = headers[:, 2:4].copy().view(">u2")[:, 0].tolist()
        for row, number, size, fine, ssrc, sequence in zip(
            rows.tolist(), at.tolist(), sizes.tolist(), good, sources, sequences
        ):
            leg = legs[row]
            if leg is None:
                lengths[number] = 0
                continue
            sealer = leg.sealer
            if not fine or size > slot - sealer.trailer:
                leg.send_drops[Reason.MALFORMED] += 1
                lengths[number] = 0
                continue
            streams = sealer.streams
            if ssrc not in streams or sealer.key.mki or sealer.left <= 0:
                left += _replace(leg.protect, buffer, lengths, number)
                continue
            session = sealer.session
            status = session.protect(session.native, address + number * slot, lengths_at + number)
            if status:
                lengths[number] = 0
                leg.send_drops[reason_of(status)] += 1
                continue
            sealer.left -= 1
            last = streams[ssrc]
            index = estimate(last, sequence)
            if index > last:
                streams[ssrc] = index
            left += 1
        return left

    def unprotect_control(
        self, rows: NDArray[Any], buffer: NDArray[np.uint8], lengths: NDArray[np.int32], at: NDArray[Any]
    ) -> int:
        """Open SRTCP datagrams in place."""
        left = 0
        for row, number in zip(rows.tolist(), at.tolist()):
            leg = self.legs[row]
            if leg is None:
                lengths[number] = 0
            else:
                left += _replace(leg.unprotect_control, buffer, lengths, number)
        return left

    def protect_control(
        self, rows: NDArray[Any], buffer: NDArray[np.uint8], lengths: NDArray[np.int32], at: NDArray[Any]
    ) -> int:
        """Protect RTCP packets in place."""
        left = 0
        for row, number in zip(rows.tolist(), at.tolist()):
            leg = self.legs[row]
            if leg is None:
                lengths[number] = 0
            else:
                left += _replace(leg.protect_control, buffer, lengths, number)
        return left


def _addresses(buffer: NDArray[np.uint8], lengths: NDArray[np.int32]) -> tuple[Any, Any, int]:
    if buffer.dtype != np.uint8 or buffer.ndim != 2 or not buffer.flags.c_contiguous or buffer.shape[1] < 12:
        raise RTPBuildError("the buffer of a batch is C-contiguous uint8, shape (count, slot)")
    if lengths.dtype != np.int32 or lengths.shape != buffer.shape[:1] or not lengths.flags.c_contiguous:
        raise RTPBuildError("the lengths of a batch are int32, one a datagram")
    return octets(buffer), ints(lengths), buffer.shape[1]


def _replace(call: Any, buffer: NDArray[np.uint8], lengths: NDArray[np.int32], number: int) -> int:
    """Run one datagram through a call for single ones; 1 where something is left of it."""
    size = int(lengths[number])
    slot = buffer.shape[1]
    changed = call(buffer[number, : min(max(size, 0), slot)].tobytes()) if size <= slot else call(b"")
    if changed is None or len(changed) > slot:
        lengths[number] = 0
        return 0
    buffer[number, : len(changed)] = np.frombuffer(changed, np.uint8)
    lengths[number] = len(changed)
    return 1
