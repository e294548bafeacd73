"""What is heard of streams: the reception statistics of RFC 3550 appendix A, one row a stream.

`Reception.update` takes a batch of packets as columns. `report` gives what goes into report blocks, and
`round_trip` what comes out of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rvoip.protocols.rtp.rows import Rows, turns
from rvoip.protocols.rtp.rtcp import ReportBlock

__all__ = ["MIN_SEQUENTIAL", "Reception", "Reports", "ntp_of", "round_trip"]

MIN_SEQUENTIAL: Final = 2
"""Packets in order that make a source one that counts (appendix A.1)."""

_MAX_DROPOUT: Final = 3000
_MAX_MISORDER: Final = 100
_NTP_EPOCH: Final = 2_208_988_800
_LONGEST_TRIP: Final = 60.0


def ntp_of(wall_now: float) -> int:
    """Wall time in seconds since 1970 as an NTP timestamp of 64 bits (RFC 3550 section 4), which wraps in
    2036.
    """
    seconds, rest = divmod(wall_now, 1.0)
    return (((int(seconds) + _NTP_EPOCH) << 32) + int(rest * 2**32)) & 0xFFFFFFFFFFFFFFFF


def round_trip(middle_now: int | NDArray[Any], last_sr: ArrayLike, delay: ArrayLike) -> NDArray[np.float64]:
    """Seconds from us to the peer and back, out of a report block (RFC 3550 section 6.4.1, figure 2).

    `middle_now` is the middle 32 bits of our NTP time when the report came. NaN where the peer has had no
    report of ours, or says what cannot be (more than a minute); what rounding made negative is 0.
    """
    last = np.asarray(last_sr, np.int64)
    units = (np.asarray(middle_now, np.int64) - last - np.asarray(delay, np.int64)) & 0xFFFFFFFF
    seconds = np.where(units >= 1 << 31, units - (1 << 32), units) / 65536.0
    wrong = (last == 0) | (seconds > _LONGEST_TRIP) | (seconds < -1.0)
    return np.where(wrong, np.nan, np.maximum(seconds, 0.0))


class Reports(NamedTuple):
    """Report blocks as columns, named as in `ReportBlock`."""

    ssrc: NDArray[np.uint32]
    fraction_lost: NDArray[np.uint8]
    cumulative_lost: NDArray[np.int32]
    highest_sequence: NDArray[np.uint32]
    jitter: NDArray[np.uint32]
    last_sr: NDArray[np.uint32]
    delay: NDArray[np.uint32]

    def block(self, index: int) -> ReportBlock:
        """One row as a value."""
        return ReportBlock(*(int(column[index]) for column in self))


class Reception(Rows):
    """Statistics of received streams. A row counts one source at a time.

    A new source counts from the second of two packets in order, and so does one that takes the place of
    another in its row (a changed SSRC, or a jump of more than 3000 in the sequence): `restarts` counts
    those.
    """

    columns: ClassVar = {
        "ssrc": (np.uint32, (), 0),
        "known": (bool, (), False),
        "rate": (np.float64, (), 8000.0),
        "base": (np.int64, (), 0),
        "highest": (np.int64, (), 0),
        "bad_ssrc": (np.uint32, (), 0),
        "bad_sequence": (np.int32, (), -1),
        "probation": (np.int32, (), 0),
        "received": (np.int64, (), 0),
        "expected_prior": (np.int64, (), 0),
        "received_prior": (np.int64, (), 0),
        "transit": (np.int64, (), 0),
        "has_transit": (bool, (), False),
        "last_time": (np.int64, (), -1),
        "scaled_jitter": (np.int64, (), 0),
        "restarts": (np.int64, (), 0),
        "refused": (np.int64, (), 0),
        "sr_middle": (np.uint32, (), 0),
        "sr_at": (np.float64, (), 0.0),
    }
    ssrc: NDArray[np.uint32]
    """The source that is counted."""
    known: NDArray[np.bool_]
    rate: NDArray[np.float64]
    """Clock of the timestamps in Hz; set it when the row is taken."""
    base: NDArray[np.int64]
    highest: NDArray[np.int64]
    """Extended highest sequence number: the number plus 65536 for each time it wrapped."""
    bad_ssrc: NDArray[np.uint32]
    bad_sequence: NDArray[np.int32]
    probation: NDArray[np.int32]
    received: NDArray[np.int64]
    """Packets of this source, late and duplicate ones included."""
    expected_prior: NDArray[np.int64]
    received_prior: NDArray[np.int64]
    transit: NDArray[np.int64]
    has_transit: NDArray[np.bool_]
    last_time: NDArray[np.int64]
    scaled_jitter: NDArray[np.int64]
    restarts: NDArray[np.int64]
    refused: NDArray[np.int64]
    """Packets that did not count: on probation, out of a jump, of another source."""
    sr_middle: NDArray[np.uint32]
    sr_at: NDArray[np.float64]

    def __init__(self, capacity: int = 16, most: int = 65_536, sequential: int = MIN_SEQUENTIAL) -> None:
        """`sequential` packets in order make a new source count; 1 where signalling has announced it."""
        super().__init__(capacity, most)
        self._sequential = sequential

    # -- packets

    def update(
        self,
        rows: NDArray[Any],
        ssrc: NDArray[Any],
        sequence: NDArray[Any],
        timestamp: NDArray[Any],
        now: ArrayLike,
    ) -> NDArray[np.bool_]:
        """Count packets, each of its row, in the order in which they came; tell which of them count.

        `now` is the arrival in seconds, one for all or one each.
        """
        counted = np.zeros(rows.size, bool)
        arrival = np.broadcast_to(np.asarray(now, np.float64), rows.shape)
        number, time = sequence.astype(np.int64), timestamp.astype(np.int64)
        for turn in turns(rows):
            counted[turn] = self._turn(rows[turn], ssrc[turn], number[turn], time[turn], arrival[turn])
        self.refused += np.bincount(rows[~counted], minlength=self.capacity)
        return counted

    def _turn(
        self,
        rows: NDArray[Any],
        ssrc: NDArray[Any],
        number: NDArray[np.int64],
        time: NDArray[np.int64],
        arrival: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """One packet of each of these rows (appendix A.1, `update_seq`)."""
        begin = ~self.known[rows]
        if begin.any():
            self._begin(rows[begin], ssrc[begin], number[begin])
        same = self.ssrc[rows] == ssrc
        ahead = (number - self.highest[rows]) & 0xFFFF
        waits = same & (self.probation[rows] > 0)
        flows = same & ~waits
        forward = flows & (ahead < _MAX_DROPOUT)
        jumped = flows & ~forward & (ahead <= 65536 - _MAX_MISORDER)
        counted = flows & ~jumped  # in order, late or duplicate
        move = np.where(forward, ahead, 0)
        if waits.any():
            in_order = waits & (ahead == 1)
            left = np.where(in_order, self.probation[rows] - 1, self._sequential - 1)
            self.probation[rows[waits]] = left[waits]
            self.highest[rows[waits]] = number[waits]
            done = in_order & (left == 0)
            self._restart(rows[done], ssrc[done], number[done])
            counted |= done
            move[waits] = 0
        strange = jumped | ~same
        if strange.any():
            # Another source, or this one started anew: the second packet in order settles it.
            again = strange & (self.bad_ssrc[rows] == ssrc) & (self.bad_sequence[rows] == number)
            first = strange & ~again
            self.bad_ssrc[rows[first]] = ssrc[first]
            self.bad_sequence[rows[first]] = (number[first] + 1) & 0xFFFF
            self.restarts[rows[again]] += 1
            self._restart(rows[again], ssrc[again], number[again])
            counted |= again
        self.highest[rows] += move
        self.received[rows] += counted
        self._jitter(rows[counted], time[counted], arrival[counted], (ahead < 0x8000)[counted])
        done_with: NDArray[np.bool_] = counted
        return done_with

    def _begin(self, rows: NDArray[Any], ssrc: NDArray[Any], number: NDArray[np.int64]) -> None:
        self._restart(rows, ssrc, number)
        self.highest[rows] = number - 1
        self.probation[rows] = self._sequential
        if self._sequential <= 1:
            self.probation[rows] = 0

    def _restart(self, rows: NDArray[Any], ssrc: NDArray[Any], number: NDArray[np.int64]) -> None:
        """Appendix A.1, `init_seq`."""
        changed = rows[~self.known[rows] | (self.ssrc[rows] != ssrc)]
        self.sr_middle[changed] = 0
        self.ssrc[rows], self.known[rows] = ssrc, True
        self.base[rows] = self.highest[rows] = number
        self.bad_sequence[rows] = -1
        self.probation[rows] = 0
        self.received[rows] = self.received_prior[rows] = self.expected_prior[rows] = 0
        self.scaled_jitter[rows], self.has_transit[rows] = 0, False

    def _jitter(
        self,
        rows: NDArray[Any],
        time: NDArray[np.int64],
        arrival: NDArray[np.float64],
        onward: NDArray[np.bool_],
    ) -> None:
        """Appendix A.8, with integers: 16 times the jitter is kept.

        Where the sequence goes `onward` and the timestamp does not, a packet says nothing: telephone events
        keep theirs for as long as they last, with audio between them or not (RFC 4733 section 2.2.1).
        """
        step = (time - self.last_time[rows]) & 0xFFFFFFFF
        later = (step > 0) & (step < 0x80000000)
        fresh = ~self.has_transit[rows] | later | ~onward
        rows, time, arrival, later = rows[fresh], time[fresh], arrival[fresh], later[fresh]
        self.last_time[rows] = np.where(later | ~self.has_transit[rows], time, self.last_time[rows])
        transit = (np.floor(arrival * self.rate[rows]).astype(np.int64) - time) & 0xFFFFFFFF
        moved = (transit - self.transit[rows]) & 0xFFFFFFFF
        moved = np.minimum(moved, (1 << 32) - moved)  # the size of a difference that may wrap
        scaled = self.scaled_jitter[rows]
        scaled += np.where(self.has_transit[rows], moved - ((scaled + 8) >> 4), 0)
        self.scaled_jitter[rows] = scaled
        self.transit[rows], self.has_transit[rows] = transit, True

    # -- reports

    def sender_reported(self, row: int, ntp: int, now: float) -> None:
        """A sender report of the source of `row` came: `ntp` is its time of 64 bits."""
        self.sr_middle[row] = (ntp >> 16) & 0xFFFFFFFF
        self.sr_at[row] = now

    def jitter(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Jitter in units of the timestamp."""
        scaled: NDArray[np.int64] = self.scaled_jitter[rows] >> 4
        return scaled

    def lost(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Packets lost since the source began; negative where duplicates came."""
        counts = self.known[rows] & (self.probation[rows] == 0)
        expected = self.highest[rows] - self.base[rows] + 1
        gone: NDArray[np.int64] = np.where(counts, expected - self.received[rows], 0)
        return gone

    def heard(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Which rows have a source that counts, and so a report block."""
        heard: NDArray[np.bool_] = self.known[rows] & (self.received[rows] > 0)
        return heard

    def report(self, rows: NDArray[Any], now: float) -> Reports:
        """The blocks of these rows (appendix A.3). A new interval of the fraction begins."""
        expected = self.highest[rows] - self.base[rows] + 1
        expected = np.where(self.heard(rows), expected, 0)
        received = self.received[rows]
        wanted = expected - self.expected_prior[rows]
        missing = wanted - (received - self.received_prior[rows])
        self.expected_prior[rows], self.received_prior[rows] = expected, received
        fraction = np.where((wanted > 0) & (missing > 0), (missing << 8) // np.maximum(wanted, 1), 0)
        middle = self.sr_middle[rows]
        delay = np.where(middle != 0, np.clip((now - self.sr_at[rows]) * 65536.0, 0, 2**32 - 1), 0)
        return Reports(
            self.ssrc[rows],
            np.minimum(fraction, 255).astype(np.uint8),
            np.clip(expected - received, -0x800000, 0x7FFFFF).astype(np.int32),
            (self.highest[rows] & 0xFFFFFFFF).astype(np.uint32),
            np.minimum(self.jitter(rows), 2**32 - 1).astype(np.uint32),
            middle,
            delay.astype(np.uint32),
        )
