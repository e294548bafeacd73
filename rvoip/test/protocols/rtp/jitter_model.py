"""The jitter buffer of one stream as plainly as it can be said: a dict of packets and a few numbers."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from rvoip.protocols.rtp.jitter import DTX, FRAME, LATE, LOST, NOTHING, JitterLimits
from rvoip.protocols.rtp.jitter_stream import JitterFrame
from rvoip.protocols.rtp.packet import RTPPacket

NEVER = float(1 << 62)


class Waiting(NamedTuple):
    """A packet in the buffer; `time` counts on where the timestamp wraps."""

    time: int
    samples: int
    packet: RTPPacket
    comfort: bool


class Model:
    """The rules of `rvoip.protocols.rtp.jitter`, packet by packet."""

    def __init__(self, rate: int, slots: int, limits: JitterLimits | None = None) -> None:
        self.rate, self.slots, self.limits = rate, slots, limits or JitterLimits()
        self.frame = rate // 50
        self.level = self.limits.initial * rate
        self.ssrc: int | None = None
        self.packets: dict[int, Waiting] = {}
        self.played: dict[int, int] = {}  # slot -> number that was played out of it
        self.next = self.highest = self.time = self.position = self.last = 0
        self.owed = self.tick = self.missed = 0
        self.odd: tuple[int, int] | None = None
        self.fastest = self.fastest_before = 0.0
        self.window = self.sunk = 0.0
        self.playing = self.comfort = False
        self.counts = dict.fromkeys("late duplicates dropped skipped lost inserted resyncs".split(), 0)

    # -- in

    def push(self, packet: RTPPacket, now: float, samples: int) -> bool:
        rate, limits = self.rate, self.limits
        number = self.highest + (packet.sequence - self.highest + 0x8000) % 0x10000 - 0x8000
        time = self.time + (packet.timestamp - self.time + 0x80000000) % 0x100000000 - 0x80000000
        transit = now * rate - time
        behind = transit - min(self.fastest, self.fastest_before)
        known = self.ssrc is not None
        strange = (
            not known
            or packet.ssrc != self.ssrc
            or not self.next - self.slots <= number < self.next + self.slots
            or abs(behind) > limits.jump * rate
        )
        slow = not strange and behind > limits.most * rate and number >= self.next
        if strange or slow:
            second = self.odd == (packet.ssrc, packet.sequence)
            settled = second or not known or (not self.playing and not self.packets)
            if not settled or (slow and self.packets):
                self.odd = (packet.ssrc, (packet.sequence + 1) % 0x10000)
                self.counts["dropped"] += 1
                return False
            self.fastest = self.fastest_before = NEVER
            if strange:
                self.counts["resyncs"] += known
                self.ssrc, self.odd = packet.ssrc, None
                self.packets, self.played = {}, {}
                number = self.next = self.highest = packet.sequence
                time = self.time = self.position = packet.timestamp
                self.last = number - (1 << 40)
                self.missed, self.playing, self.comfort = 0, False, False
                transit = now * rate - time
        return self._time_it(packet, number, time, transit, now, samples)

    def _time_it(
        self, packet: RTPPacket, number: int, time: int, transit: float, now: float, samples: int
    ) -> bool:
        rate, limits = self.rate, self.limits
        twice = number in self.packets or self.played.get(number % self.slots) == number
        if now - self.window > limits.window:
            self.fastest_before, self.fastest, self.window = self.fastest, NEVER, now
        self.fastest = min(self.fastest, transit)
        late_by = min(transit - min(self.fastest, self.fastest_before), limits.most * rate)
        if not twice:
            sunk = self.level - min(max(now - self.sunk, 0.0), 1.0) * limits.sink * rate
            self.level = max(sunk, late_by, limits.least * rate)
        self.sunk = now
        self.highest, self.time = max(self.highest, number), max(self.time, time)
        if twice:
            self.counts["duplicates"] += 1
            return False
        if number < self.next:
            filling = not self.playing and bool(self.packets) and number > self.last
            if not (filling and self.highest - number < self.slots and self.next - number < self.slots):
                self.counts["late"] += 1
                return False
            self.next, self.position = number, time
        elif not self.packets:
            if not self.playing:
                self.next, self.position = number, time
            elif time < self.position:
                self.position = time
        elif self.playing and time < self.position:
            self.counts["late"] += 1
            return False
        samples = max(samples, rate // 400)
        comfort = len(packet.payload) <= 2
        if not comfort:
            self.frame = samples
        self.played.pop(number % self.slots, None)
        self.packets[number] = Waiting(time, samples, packet, comfort)
        return True

    # -- out

    def pull(self, samples: int, now: float, quiet: bool) -> list[JitterFrame]:
        found = []
        self.owed += samples
        self.tick = samples
        while self.owed > 0:
            frame = self._next_frame(now, quiet)
            self.owed -= frame.samples
            found.append(frame)
        return found

    def _next_frame(self, now: float, quiet: bool) -> JitterFrame:
        rate, limits, frame = self.rate, self.limits, self.frame
        wanted = min(max(self.level, limits.least * rate), limits.most * rate)
        heard = now * rate + (self.tick - self.owed) - (self.tick - gcd(self.tick, frame))
        delay = heard - min(self.fastest, self.fastest_before) - self.position
        if not self.playing:
            self.missed = 0
            if not (self.packets and delay >= wanted):
                state = DTX if self.comfort and not self.packets else NOTHING
                return JitterFrame(state, self.owed)
            self.playing = True
        over = delay - wanted - 0.5 * frame
        for turn in range(self.slots):
            calm = turn == 0 and quiet and over > frame and len(self.packets) > 1
            if not calm and over <= limits.most * rate - wanted + 0.5 * frame:
                break
            step = self._leave_out(frame)
            if step == 0:
                break
            over -= step
        stretch = over < -0.5 * frame
        if not self.packets:
            self.missed += frame
            if self.missed >= limits.stall * rate:
                self.playing = False
            if not stretch:
                self.position += frame
            state = DTX if self.comfort else LATE
            self.counts["lost"] += state == LATE
            return JitterFrame(state, frame)
        number = min(self.packets)
        first = self.packets[number]
        gap = first.time - self.position
        if gap > 0:
            between = number - self.next
            silent = between == 0 or gap > between * frame or self.comfort
            self.counts["lost"] += not silent
            self.position += min(frame, gap)
            return JitterFrame(DTX if silent else LOST, min(frame, gap))
        if stretch:
            self.counts["inserted"] += 1
            return JitterFrame(LATE, frame)
        self._done(number)
        self.position = first.time + first.samples
        self.missed, self.comfort = 0, first.comfort
        packet = first.packet
        return JitterFrame(
            FRAME, first.samples, packet.payload, packet.payload_type, packet.marker, packet.timestamp
        )

    def _leave_out(self, frame: int) -> int:
        if not self.packets:
            self.position += frame
            return frame
        number = min(self.packets)
        first = self.packets[number]
        if first.time > self.position:
            step = min(frame, first.time - self.position)
            self.position += step
        elif len(self.packets) == 1:
            return 0
        else:
            step = first.samples
            self._done(number)
            self.position = first.time + step
        self.counts["skipped"] += 1
        return step

    def _done(self, number: int) -> None:
        del self.packets[number]
        self.played[number % self.slots] = number
        self.last, self.next = number, number + 1
