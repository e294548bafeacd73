"""The jitter buffer: puts packets in order and plays them in time, many streams at once, one row a stream.

Each stream plays behind the fastest of its packets by a delay that is learned: it rises at once when a packet
comes late, and sinks slowly, by dropping frames where the caller says that nobody speaks. What a packet
holds is copied when it is pushed, so datagrams may be overwritten. Everything is bounded: packets
(`slots`), octets of one packet (`octets`) and milliseconds (`JitterLimits.most`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rvoip.protocols.rtp.jitter_rows import (
    DTX,
    ELSEWHERE,
    EMPTY,
    FRAME,
    HELD,
    LATE,
    LOST,
    NO_TIME,
    NOTHING,
    PLAYED,
    WAITS,
    JitterLimits,
    JitterRows,
    Pulled,
)
from rvoip.protocols.rtp.rows import turns

__all__ = ["DTX", "FRAME", "HELD", "JitterBuffers", "JitterLimits", "LATE", "LOST", "NOTHING", "Pulled"]


class JitterBuffers(JitterRows):
    """Jitter buffers of many streams. `add` a row, then `open` it with the stream's clock rate."""

    # -- in

    def push(
        self,
        rows: NDArray[Any],
        ssrc: NDArray[Any],
        sequence: NDArray[Any],
        timestamp: NDArray[Any],
        payload_type: NDArray[Any],
        marker: NDArray[Any],
        buffer: NDArray[np.uint8],
        offset: NDArray[Any],
        length: NDArray[Any],
        now: ArrayLike,
        *,
        samples: NDArray[Any] | None = None,
        comfort: NDArray[Any] | None = None,
    ) -> NDArray[np.bool_]:
        """Take packets, each for its row, in the order in which they came; tell which are in the buffer now.

        Packet i is octets `offset[i]`, `length[i]` of `buffer[i]`. `now` is the arrival in seconds, one for
        all or one each. `samples` is how much of the stream's time each holds; where it is not given, it is
        learned from the timestamps. `comfort` marks comfort noise; so are payloads of at most two octets
        (Opus, RFC 7587).
        """
        taken = np.zeros(rows.size, bool)
        arrival = np.broadcast_to(np.asarray(now, np.float64), rows.shape)
        number, time = np.asarray(sequence, np.int64), np.asarray(timestamp, np.int64)
        source = np.asarray(ssrc, np.int64)
        size = np.asarray(length, np.int64)
        quiet = size <= 2
        if comfort is not None:
            quiet = quiet | comfort
        seen = np.zeros(rows.size, bool)
        for turn in turns(rows):
            seen[turn] = True
            mine = rows[turn]
            extended, moment, ok = self._place(
                mine, source[turn], number[turn], time[turn], arrival[turn], size[turn]
            )
            held = turn[ok]
            if held.size == 0:
                continue
            mine, extended, moment = mine[ok], extended[ok], moment[ok]
            slot = extended & (self.slots - 1)
            lasts = (
                self._learn(mine, extended, moment)
                if samples is None
                else np.asarray(samples[held], np.int64)
            )
            # However short a peer says that its packets are, a tick has an end (2.5 ms, RFC 6716).
            lasts = np.maximum(lasts, self.rate[mine].astype(np.int64) // 400)
            self.frame[mine] = np.where(quiet[held], self.frame[mine], lasts)
            self.slot_state[mine, slot] = WAITS
            self.slot_sequence[mine, slot] = extended
            self.slot_time[mine, slot] = moment
            self.slot_samples[mine, slot] = lasts
            self.slot_length[mine, slot] = size[held]
            self.slot_type[mine, slot] = payload_type[held]
            self.slot_marker[mine, slot] = marker[held]
            self.slot_comfort[mine, slot] = quiet[held]
            self._copy(mine, slot, buffer, held, np.asarray(offset)[held], size[held])
            self._waiting[mine] += 1
            taken[held] = True
        if not seen.all():
            np.add.at(self.dropped, rows[~seen], 1)
        return taken

    def pass_over(self, rows: NDArray[Any], ssrc: NDArray[Any], sequence: NDArray[Any]) -> None:
        """Packets of these streams came that are not for the buffer, telephone events: they are not missing.

        While they take the place of sound the state is DTX.
        """
        mine = self._known[rows] & (self._ssrc[rows] == ssrc)
        rows, number = rows[mine], np.asarray(sequence, np.int64)[mine]
        extended = self._highest[rows] + (((number - self._highest[rows]) + 0x8000) & 0xFFFF) - 0x8000
        slot = extended & (self.slots - 1)
        near = (extended >= self._next[rows]) & (extended < self._next[rows] + self.slots)
        near &= self.slot_state[rows, slot] != WAITS
        rows, slot, extended = rows[near], slot[near], extended[near]
        self.slot_state[rows, slot] = ELSEWHERE
        self.slot_sequence[rows, slot] = extended
        np.maximum.at(self._highest, rows, extended)

    def _copy(
        self,
        rows: NDArray[Any],
        slot: NDArray[Any],
        buffer: NDArray[np.uint8],
        which: NDArray[Any],
        offset: NDArray[Any],
        size: NDArray[np.int64],
    ) -> None:
        """Payloads into their slots: in one piece where all begin at one octet, as nearly always."""
        width = int(size.max())
        if width == 0:
            return
        first = int(offset[0])
        if first + width <= buffer.shape[1] and (offset == first).all():
            piece = buffer[which, first : first + width]
        else:
            place = np.minimum(offset[:, None] + np.arange(width), buffer.shape[1] - 1)
            piece = buffer[which[:, None], place]
        self.slot_payload[rows, slot, :width] = piece

    def _learn(
        self, rows: NDArray[Any], extended: NDArray[np.int64], moment: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Samples of packets, from the packet before each where that is known; up to 120 ms."""
        slot = (extended - 1) & (self.slots - 1)
        before = (self.slot_sequence[rows, slot] == extended - 1) & (self.slot_state[rows, slot] != EMPTY)
        step = moment - self.slot_time[rows, slot]
        fits = before & (step > 0) & (step <= 0.12 * self.rate[rows])
        self.slot_samples[rows[fits], slot[fits]] = step[fits]
        learned: NDArray[np.int64] = np.where(fits, step, self.frame[rows])
        return learned

    def _place(
        self,
        rows: NDArray[Any],
        source: NDArray[np.int64],
        number: NDArray[np.int64],
        time: NDArray[np.int64],
        arrival: NDArray[np.float64],
        size: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """One packet of each row: its extended sequence number and timestamp, and whether it is taken."""
        limits, rate = self.limits, self.rate[rows]
        self.received[rows] += 1
        extended = self._highest[rows] + (((number - self._highest[rows]) + 0x8000) & 0xFFFF) - 0x8000
        moment = self._time[rows] + (((time - self._time[rows]) + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        transit = arrival * rate - moment
        behind = transit - self._base(rows)
        known, idle = self._known[rows], ~self._playing[rows]
        last = self._next[rows]
        strange = (
            ~known
            | (source != self._ssrc[rows])
            | (extended >= last + self.slots)
            | (extended < last - self.slots)
            | (np.abs(behind) > limits.jump * rate)
        )
        slow = ~strange & (behind > limits.most * rate) & (extended >= last)
        ok = size <= self.octets
        if strange.any() or slow.any():
            empty = self._waiting[rows] == 0
            again = (self._odd_ssrc[rows] == source) & (self._odd_sequence[rows] == number)
            settled = ok & (again | ~known | (idle & empty))
            odd = (strange & ~settled) | (slow & ~(settled & empty))
            self._odd_ssrc[rows[odd]] = source[odd]
            self._odd_sequence[rows[odd]] = (number[odd] + 1) & 0xFFFF
            ok &= ~odd
            # Another timeline: at once where nothing plays that it could disturb, else with its second
            # packet.
            start = strange & settled
            begun = rows[start]
            self.resyncs[begun] += known[start]
            self._begin(begun, source[start], number[start], time[start])
            extended[start], moment[start] = number[start], time[start]
            transit[start] = arrival[start] * rate[start] - time[start]
            # The way became longer than any delay: so it is with all that comes now, where nothing else came.
            turned = rows[slow & settled & empty]
            self._fastest[turned] = self._fastest_before[turned] = NO_TIME
        self.dropped[rows[~ok]] += 1
        if not ok.all():
            # Nothing of what is not taken may move the row.
            sub = np.flatnonzero(ok)
            fits = np.zeros(rows.size, bool)
            if sub.size:
                fits[sub] = self._time_it(rows[sub], extended[sub], moment[sub], transit[sub], arrival[sub])
            return extended, moment, fits
        return extended, moment, self._time_it(rows, extended, moment, transit, arrival)

    def _begin(
        self,
        rows: NDArray[Any],
        source: NDArray[np.int64],
        number: NDArray[np.int64],
        time: NDArray[np.int64],
    ) -> None:
        self._ssrc[rows], self._known[rows] = source, True
        self._highest[rows] = self._next[rows] = number
        self._time[rows] = self._position[rows] = time
        self._odd_sequence[rows] = -1
        self._played[rows] = number - (1 << 40)
        self._waiting[rows] = self._missed[rows] = 0
        self._playing[rows] = self._comfort[rows] = False
        self._fastest[rows] = self._fastest_before[rows] = NO_TIME
        self.slot_state[rows] = EMPTY
        self.slot_sequence[rows] = -1

    def _time_it(
        self,
        rows: NDArray[Any],
        extended: NDArray[np.int64],
        moment: NDArray[np.int64],
        transit: NDArray[np.float64],
        arrival: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Learn from a packet's arrival, and tell whether there is still a use for it."""
        limits, rate = self.limits, self.rate[rows]
        slot = extended & (self.slots - 1)
        twice = (self.slot_sequence[rows, slot] == extended) & (self.slot_state[rows, slot] != EMPTY)
        old = arrival - self._window[rows] > limits.window
        turned = rows[old]
        self._fastest_before[turned] = self._fastest[turned]
        self._fastest[turned] = NO_TIME
        self._window[turned] = arrival[old]
        self._fastest[rows] = np.minimum(self._fastest[rows], transit)
        base = self._base(rows)
        late_by = np.minimum(transit - base, limits.most * rate)
        level = self.level[rows] - np.clip(arrival - self._sunk[rows], 0.0, 1.0) * limits.sink * rate
        # A duplicate says nothing: its way was another.
        level = np.where(twice, self.level[rows], np.maximum(np.maximum(level, late_by), limits.least * rate))
        self.level[rows] = level
        self._sunk[rows] = arrival
        self._highest[rows] = np.maximum(self._highest[rows], extended)
        self._time[rows] = np.maximum(self._time[rows], moment)
        playing, empty = self._playing[rows], self._waiting[rows] == 0
        # A stream that stalled goes on with this packet, that much later than before; one that is idle anew.
        passed = extended < self._next[rows]
        rewind = playing & empty & ~passed & ~twice & (moment < self._position[rows])
        self._position[rows[rewind]] = moment[rewind]
        anew = ~playing & empty & ~passed & ~twice
        self._position[rows[anew]] = moment[anew]
        self._next[rows[anew]] = extended[anew]
        # One that fills may find that an earlier packet comes second.
        sooner = ~playing & ~empty & passed & ~twice & (extended > self._played[rows])
        sooner &= self._highest[rows] - extended < self.slots
        self._position[rows[sooner]] = moment[sooner]
        self._next[rows[sooner]] = extended[sooner]
        late = ~twice & ~sooner & (passed | (playing & (moment < self._position[rows]) & ~rewind))
        self.duplicates[rows[twice]] += 1
        self.late[rows[late]] += 1
        fits: NDArray[np.bool_] = ~(twice | late)
        return fits

    # -- out

    def pull(
        self, rows: NDArray[Any], samples: ArrayLike, now: float, quiet: NDArray[Any] | None = None
    ) -> Pulled:
        """Take what each row (none twice) plays next, when `samples` more of its time are wanted, at `now`.

        `quiet` tells in which rows nobody speaks: there a frame is left out where the delay is more than is
        wanted.
        """
        rows = np.asarray(rows)
        count = rows.size
        rate, frame, limits = self.rate[rows], self.frame[rows], self.limits
        asked = np.broadcast_to(np.asarray(samples, np.int64), rows.shape)
        self._tick[rows] = np.where(asked > 0, asked, self._tick[rows])
        owed = self._owed[rows] + asked
        state = np.full(count, HELD, np.uint8)
        lasts = np.zeros(count, np.int64)
        slot = np.zeros(count, np.int64)
        active = owed > 0
        wanted = np.clip(self.level[rows], limits.least * rate, limits.most * rate)
        # What is pulled now is heard after what is held of the frame before; but it must be here now. So
        # the delay
        # is that of the packet of a tick (or of several, where frames fit no tick) that has least time to
        # come.
        tick = self._tick[rows]
        heard = now * rate + (tick - owed) - (tick - np.gcd(tick, frame))
        delay = heard - self._base(rows) - self._position[rows]
        waiting = self._waiting[rows] > 0
        begins = np.flatnonzero(active & ~self._playing[rows])
        if begins.size:
            ripe = waiting[begins] & (delay[begins] >= wanted[begins])
            self._playing[rows[begins[ripe]]] = True
            self._missed[rows[begins]] = 0
            asleep = begins[~ripe]
            state[asleep] = np.where(self._comfort[rows[asleep]] & ~waiting[asleep], DTX, NOTHING)
            lasts[asleep] = owed[asleep]  # silence for the whole tick
        plays = np.flatnonzero(active & self._playing[rows])
        if plays.size:
            over = delay[plays] - wanted[plays] - 0.5 * frame[plays]
            hush = np.zeros(plays.size, bool) if quiet is None else np.asarray(quiet, bool)[plays]
            state[plays], lasts[plays], slot[plays] = self._play(rows[plays], over, frame[plays], hush)
        # What a row cannot play anew is filled for this tick only.
        owed = np.where(active, owed - lasts, owed)
        self._owed[rows] = owed
        found = state == FRAME
        length = np.where(found, self.slot_length[rows, slot], 0)
        width = int(length.max()) if count else 0
        payload = self.slot_payload[rows, slot, :width]
        return Pulled(
            state,
            lasts,
            payload,
            length.astype(np.int64),
            np.where(found, self.slot_type[rows, slot], 0).astype(np.uint8),
            self.slot_marker[rows, slot] & found,
            np.where(found, self.slot_time[rows, slot] & 0xFFFFFFFF, 0).astype(np.uint32),
            owed > 0,
        )

    def _play(
        self,
        rows: NDArray[Any],
        over: NDArray[np.float64],
        frame: NDArray[np.int64],
        hush: NDArray[np.bool_],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
        """State, samples and slot of rows that play. `over` is the delay beyond what is wanted, in
        samples.
        """
        self._shorten(rows, over, frame, hush)
        there, slot = self._first(rows)
        gap = self.slot_time[rows, slot] - self._position[rows]
        number = self.slot_sequence[rows, slot]
        skipped = number - self._next[rows]
        stretch = over < -0.5 * frame
        # Where more delay is wanted, time stands still for a frame.
        play = there & (gap <= 0) & ~stretch
        put_in = there & (gap <= 0) & stretch
        hole = there & (gap > 0)
        expected = self._next[rows]
        place = expected & (self.slots - 1)
        quiet = self._comfort[rows] | (
            (self.slot_state[rows, place] == ELSEWHERE) & (self.slot_sequence[rows, place] == expected)
        )
        silent = hole & ((skipped <= 0) | (gap > skipped * frame) | quiet)
        state = np.full(rows.size, LATE, np.uint8)
        state[play] = FRAME
        state[hole] = LOST
        state[silent] = DTX
        lasts = np.where(play, self.slot_samples[rows, slot], np.where(hole, np.minimum(frame, gap), frame))
        step = np.where(put_in, 0, lasts)
        nothing = ~there
        if nothing.any():
            calm = nothing & quiet
            state[calm] = DTX
            # Waiting makes the delay that is wanted; beyond it, time goes on.
            step = np.where(nothing & stretch, 0, step)
            self._missed[rows[nothing]] += frame[nothing]
            ends = nothing & (self._missed[rows] >= self.limits.stall * self.rate[rows])
            self._playing[rows[ends]] = False
        done = rows[play]
        self._position[rows] = np.where(play, self.slot_time[rows, slot], self._position[rows]) + step
        self._played[done] = number[play]
        self._next[done] = number[play] + 1
        self._missed[done] = 0
        self._comfort[done] = self.slot_comfort[done, slot[play]]
        self.slot_state[done, slot[play]] = PLAYED
        self._waiting[done] -= 1
        self.inserted[rows] += put_in
        self.lost[rows] += ((state == LOST) | (state == LATE)) & ~put_in
        return state, lasts, slot

    def _first(self, rows: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """The first packet that waits in each row: whether there is one, and its slot."""
        expected = self._next[rows]
        slot = expected & (self.slots - 1)
        there = (self.slot_state[rows, slot] == WAITS) & (self.slot_sequence[rows, slot] == expected)
        seek = np.flatnonzero(~there & (self._waiting[rows] > 0))
        if seek.size:
            ahead = (expected[seek, None] + np.arange(self.slots)) & (self.slots - 1)
            waits = self.slot_state[rows[seek, None], ahead] == WAITS
            step = waits.argmax(axis=1)
            slot[seek] = ahead[np.arange(seek.size), step]
            there[seek] = waits.any(axis=1)
        return there, slot

    def _shorten(
        self, rows: NDArray[Any], over: NDArray[np.float64], frame: NDArray[np.int64], hush: NDArray[np.bool_]
    ) -> None:
        """Leave out a frame where nobody speaks, and as many as it takes where the delay is beyond the most.

        `over` is brought up to date.
        """
        most = (self.limits.most * self.rate[rows]) - np.clip(
            self.level[rows], self.limits.least * self.rate[rows], self.limits.most * self.rate[rows]
        )
        stays = np.zeros(rows.size, bool)
        for turn in range(self.slots):
            far = (over > most + 0.5 * frame) & ~stays
            calm = hush & (over > frame) & (self._waiting[rows] > 1) & (turn == 0)
            cut = np.flatnonzero(far | calm)
            if cut.size == 0:
                return
            mine = rows[cut]
            there, slot = self._first(mine)
            gap = self.slot_time[mine, slot] - self._position[mine]
            due = there & (gap <= 0)
            # The only packet is played, late as it is; time in which there is nothing passes for free.
            lone = due & (self._waiting[mine] == 1)
            if lone.any():
                stays[cut[lone]] = True
                cut, mine, slot = cut[~lone], mine[~lone], slot[~lone]
                due, there, gap = due[~lone], there[~lone], gap[~lone]
            self.skipped[mine] += there
            lasts = np.where(there, np.minimum(frame[cut], gap), frame[cut])
            lasts[due] = self.slot_samples[mine[due], slot[due]]
            gone = mine[due]
            self._played[gone] = self.slot_sequence[gone, slot[due]]
            self._next[gone] = self._played[gone] + 1
            self.slot_state[gone, slot[due]] = PLAYED
            self._waiting[gone] -= 1
            self._position[mine] = np.where(due, self.slot_time[mine, slot], self._position[mine]) + lasts
            over[cut] -= lasts
