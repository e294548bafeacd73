"""One master key at work: its session of libsrtp, the streams that it has, and what to do when they fail.

`Opener` undoes the protection of what a peer sends, `Sealer` protects what we send. Neither raises for what
a peer sent; both say by a `Reason` why there is no packet.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from typing import Final

from rvoip.protocols.rtp.libsrtp import (
    AUTH,
    EXPIRED,
    REPLAY,
    Inbound,
    Outbound,
    Process,
    ints,
    octets,
    remove_stream,
)
from rvoip.protocols.rtp.rollover import MAX_ROLLOVER, RolloverSearch, estimate, roll
from rvoip.protocols.rtp.suites import MasterKey

__all__ = ["MAX_PACKET", "Opener", "Reason", "Sealer", "reason_of"]

MAX_PACKET: Final = 65535 - 16 - 4 - 128
"""Octets of the longest packet that is protected: a datagram, less tag, index and MKI."""

_SEARCHED: Final = 64
"""How many rollover counters are tried for one packet; each costs one hash."""
_FIRST_SEARCH: Final = 5
_LAST_SEARCH: Final = 1024
"""A search comes after this many failures of one source; the number doubles with each that finds nothing."""
_STRANGERS: Final = 32
"""Of how many sources that have never been authentic the failures are counted at a time."""
_FAR: Final = 0x8000
"""Further ahead than this, libsrtp takes a packet for one of another round of sequence numbers."""


class Reason(IntEnum):
    """Why a packet was dropped."""

    AUTH = 0
    """It is not authentic: damaged, forged, or protected with another key."""
    REPLAY = 1
    """It was seen before, or is older than the window."""
    MALFORMED = 2
    """It is no packet at all."""
    SOURCES = 3
    """It is of one more source than a leg may have."""
    EXPIRED = 4
    """Its key has protected as many packets as it may: a new one is needed."""


def reason_of(status: int) -> Reason:
    """Of what libsrtp returned."""
    if status in AUTH:
        return Reason.AUTH
    if status in REPLAY:
        return Reason.REPLAY
    return Reason.EXPIRED if status == EXPIRED else Reason.MALFORMED


class _Desk(threading.local):
    """Where single packets are worked on: one place a thread."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(65536 + 256))
        self.address = octets(self.buffer)
        self.length = ints(bytearray(4))


_desk: Final = _Desk()


def _process(call: Process, native: object, packet: bytes) -> tuple[int, bytes]:
    buffer, length = _desk.buffer, _desk.length
    size = len(packet)
    buffer[:size] = packet
    length[0] = size
    status = call(native, _desk.address, length)
    return (status, b"") if status else (0, bytes(buffer[: length[0]]))


class Opener:
    """Undoes what a peer did with one master key.

    `streams` has the highest packet index of each source that has been authentic. `hints` are those of the
    key before: with a new key the rollover counter goes on (RFC 3711 section 3.3.1), but some peers begin
    again at zero, and both are understood.
    """

    __slots__ = (
        "key",
        "session",
        "streams",
        "hints",
        "_most",
        "_search",
        "_failures",
        "_strangers",
        "_control",
        "_floors",
    )

    def __init__(self, key: MasterKey, window: int, most: int, hints: dict[int, int] | None = None) -> None:
        self.key = key
        self.session = Inbound(key, window)
        self.streams: dict[int, int] = {}
        self.hints = hints or {}
        self._most = most
        self._search: RolloverSearch | None = None
        self._failures: dict[int, tuple[int, int]] = {}
        self._strangers: dict[int, tuple[int, int]] = {}
        self._control: dict[int, int] = {}
        self._floors: dict[int, int] = {}

    def without_mki(self, datagram: bytes, control: bool) -> bytes | None:
        """The datagram without the identifier of this key; None where it names another."""
        mki = self.key.mki
        if not mki:
            return datagram
        suite = self.key.suite
        behind = 0 if suite.aead else suite.control_tag if control else suite.tag
        end = len(datagram) - behind
        start = end - len(mki)
        if start < 0 or datagram[start:end] != mki:
            return None
        return datagram[:start] + datagram[end:]

    def open(self, packet: bytes, ssrc: int, sequence: int) -> bytes | Reason:
        """An RTP packet, without MKI; `ssrc` and `sequence` are those of its header."""
        last = self.streams.get(ssrc)
        if last is None and len(self.streams) >= self._most:
            return Reason.SOURCES
        session = self.session
        status, plain = _process(session.unprotect, session.native, packet)
        if status and self._found(packet, ssrc, sequence, last or 0, status):
            last = self.streams.get(ssrc)
            status, plain = _process(session.unprotect, session.native, packet)
        if status:
            return reason_of(status)
        self.note(ssrc, sequence, last or 0)
        return plain

    def note(self, ssrc: int, sequence: int, last: int) -> None:
        """An authentic packet of a source whose highest index was `last`."""
        index = estimate(last, sequence)
        self.streams[ssrc] = index if index > last else last

    def failed(self, ssrc: int, status: int) -> bool:
        """Count a failure; whether the next one of this source is to be searched for."""
        if status not in AUTH and status not in REPLAY:
            return False
        failures = self._failures if ssrc in self.streams else self._strangers
        count, limit = failures.get(ssrc, (0, _FIRST_SEARCH))
        failures[ssrc] = (count + 1, limit)
        if failures is self._strangers and len(failures) > _STRANGERS:
            del failures[next(iter(failures))]
        return count + 1 >= limit

    def _found(self, packet: bytes, ssrc: int, sequence: int, last: int, status: int) -> bool:
        """Find the rollover counter of a packet that failed and bring its stream there, if it is time to."""
        due = self.failed(ssrc, status)
        hint = self.hints.get(ssrc, 0) if not last else 0
        if not due and hint <= 0xFFFF:
            return False
        if due:
            failures = self._failures if ssrc in self.streams else self._strangers
            failures[ssrc] = (0, min(2 * failures[ssrc][1], _LAST_SEARCH))
        first = last >> 16
        counters = [estimate(hint, sequence) >> 16] if hint > 0xFFFF else []
        if due:
            counters += range(first, first + _SEARCHED)
        # Never back, and never where libsrtp looked by itself: a recorded packet stays a replay.
        counters = [
            counter
            for counter in counters
            if counter <= MAX_ROLLOVER and ((counter << 16) | sequence) - last > _FAR
        ]
        if self._search is None:
            self._search = RolloverSearch(self.key)
        counter = self._search.find(packet, counters)
        if counter is None:
            return False
        self.seek(ssrc, (counter << 16) | sequence)
        return True

    def seek(self, ssrc: int, index: int) -> None:
        """Let the stream of a source go on at a packet index; ValueError beyond a counter of 16 bits."""
        remove_stream(self.session, ssrc)
        roll(self.session, self.key, ssrc, index, inbound=True)
        self.streams[ssrc] = max(index - 1, 0)
        self._failures.pop(ssrc, None)
        self._strangers.pop(ssrc, None)
        if ssrc in self._control:
            self._floors[ssrc] = self._control[ssrc]

    def open_control(self, packet: bytes, ssrc: int) -> bytes | Reason:
        """An RTCP packet, without MKI; `ssrc` is the one of its first header."""
        if ssrc not in self.streams and len(self.streams) >= self._most:
            return Reason.SOURCES
        behind = 0 if self.key.suite.aead else self.key.suite.control_tag
        end = len(packet) - behind
        if end < 12:
            return Reason.MALFORMED
        index = int.from_bytes(packet[end - 4 : end], "big") & 0x7FFFFFFF
        if index <= self._floors.get(ssrc, -1):
            return Reason.REPLAY  # from before its stream was made anew
        status, plain = _process(self.session.unprotect_control, self.session.native, packet)
        if status:
            return reason_of(status)
        self.streams.setdefault(ssrc, 0)
        if index > self._control.get(ssrc, -1):
            self._control[ssrc] = index
        return plain


class Sealer:
    """Protects what we send with one master key. `streams` has the highest packet index of each source."""

    __slots__ = ("key", "session", "streams", "left", "trailer", "_most")

    def __init__(self, key: MasterKey, window: int, most: int, streams: dict[int, int] | None = None) -> None:
        """With `streams` of the key before, their rollover counters go on (RFC 3711 section 3.3.1)."""
        self.key = key
        self.session = Outbound(key, window)
        self.streams: dict[int, int] = {}
        self.left = key.lifetime
        """How many packets the key may still protect."""
        self.trailer = key.suite.control_tag + 4 + len(key.mki)
        """By how many octets a packet grows at most."""
        self._most = most
        for ssrc, index in (streams or {}).items():
            if index > 0xFFFF:
                self.seek(ssrc, index)

    def seek(self, ssrc: int, index: int) -> None:
        """Let a source go on after a packet index; ValueError beyond a counter of 16 bits."""
        remove_stream(self.session, ssrc)
        roll(self.session, self.key, ssrc, index, inbound=False)
        self.streams[ssrc] = index

    def seal(self, packet: bytes, ssrc: int, sequence: int) -> bytes | Reason:
        """An RTP packet; `ssrc` and `sequence` are those of its header."""
        last = self.streams.get(ssrc)
        if last is None and len(self.streams) >= self._most:
            return Reason.SOURCES
        if self.left <= 0:
            return Reason.EXPIRED
        status, sealed = _process(self.session.protect, self.session.native, packet)
        if status:
            return reason_of(status)
        self.left -= 1
        index = estimate(last or 0, sequence)
        self.streams[ssrc] = index if last is None or index > last else last
        return self._with_mki(sealed, self.key.suite.tag)

    def seal_control(self, packet: bytes, ssrc: int) -> bytes | Reason:
        """An RTCP packet; `ssrc` is the one of its first header."""
        if ssrc not in self.streams and len(self.streams) >= self._most:
            return Reason.SOURCES
        status, sealed = _process(self.session.protect_control, self.session.native, packet)
        if status:
            return reason_of(status)
        self.streams.setdefault(ssrc, 0)
        return self._with_mki(sealed, self.key.suite.control_tag)

    def _with_mki(self, sealed: bytes, tag: int) -> bytes:
        mki = self.key.mki
        if not mki:
            return sealed
        end = len(sealed) - (0 if self.key.suite.aead else tag)
        return sealed[:end] + mki + sealed[end:]
