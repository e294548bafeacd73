"""One RTP session of two parties: what is sent and heard, and the RTCP that tells of it (RFC 3550 section 6).

A machine: told the time (`now`, seconds that never run backwards, and `wall_now`, seconds since 1970, which
sender reports carry) and handed its randomness. `deadline` says when to call `expire`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from msgspec import Struct

from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.reports import Reception, ntp_of, round_trip
from rvoip.protocols.rtp.rtcp import (
    CNAME,
    ControlPacket,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceChunk,
    SourceDescription,
    build_compound,
)
from rvoip.protocols.rtp.schedule import LEAST_INTERVAL, ReportSchedule
from rvoip.protocols.rtp.sources import Address, Participants, Verdict

__all__ = ["RTPSession", "SessionStatistics"]

_ONE: Final = np.zeros(1, np.int64)


class SessionStatistics(Struct, frozen=True):
    """What a session has seen so far. Octets are those of payloads; times are in seconds."""

    packets_sent: int
    octets_sent: int
    packets_received: int
    octets_received: int
    lost: int
    """Packets that did not come; negative where duplicates did."""
    jitter: float
    round_trip: float | None
    """None until the peer has reported on a report of ours."""
    remote_fraction_lost: float | None
    """What share of ours the peer lost in its last interval, None until it has said so."""
    remote_jitter: float | None
    restarts: int
    """How often the peer began anew: another SSRC, a jump of the sequence."""
    collisions: int
    looped: int
    """Packets of ours that came back."""


class RTPSession:
    """The machine. What it wants to be sent as RTCP is in `control_out`, to be taken after each call."""

    def __init__(
        self,
        now: float,
        draw: Callable[[], float],
        *,
        cname: str,
        rate: int = 8000,
        bandwidth: float = 400.0,
        least: float = LEAST_INTERVAL,
        sequential: int = 1,
    ) -> None:
        """`draw` gives numbers from 0 to 1, of a source that cannot be guessed.

        `rate` is the clock of the timestamps in Hz; `cname` our name in reports (RFC 7022: say nothing with
        it); `sequential` packets in order begin a stream: one, because signalling has announced it.
        """
        self.rate = rate
        self.cname = cname.encode("utf-8")[:255]
        self.control_out: list[bytes] = []
        self.goodbye: bytes | None = None
        """The reason of the peer's BYE, None as long as there was none."""
        self._draw = draw
        self.participants = Participants(self._draw32(), self._draw32)
        self.schedule = ReportSchedule(now, draw, bandwidth=bandwidth, least=least)
        self._reception = Reception(1, 1, sequential)
        self._reception.rate[self._reception.add()] = rate
        self.sequence = self._draw32() & 0x7FFF
        """The number of the next packet; it begins in the lower half, so that it does not wrap at once."""
        self._packets_sent = self._octets_sent = 0
        self._packets_received = self._octets_received = 0
        self._last_timestamp = 0
        self._last_sent = -math.inf
        self._round_trip: float | None = None
        self._remote: ReportBlock | None = None
        self._collisions = self._looped = 0
        self._left = False

    @property
    def ssrc(self) -> int:
        """Our source; it changes when another has it too."""
        return self.participants.ssrc

    @property
    def deadline(self) -> float | None:
        """When `expire` is due; None after we have left."""
        return None if self._left else self.schedule.deadline

    def _draw32(self) -> int:
        return int(self._draw() * 2**32) & 0xFFFFFFFF

    # -- media

    def send(
        self, payload: bytes, payload_type: int, timestamp: int, now: float, *, marker: bool = False
    ) -> RTPPacket:
        """The next packet, to be sent now. `timestamp` is in the clock of the stream and may be any 32
        bits.
        """
        packet = RTPPacket(payload_type, self.sequence, timestamp & 0xFFFFFFFF, self.ssrc, payload, marker)
        self.sequence = (self.sequence + 1) & 0xFFFF
        self._packets_sent += 1
        self._octets_sent += len(payload)
        self._last_timestamp, self._last_sent = packet.timestamp, now
        self.schedule.we_sent = True
        return packet

    def receive(self, packet: RTPPacket, address: Address, now: float, wall_now: float) -> bool:
        """A packet came that may come from there; tell whether it is to be heard."""
        if not self._seen(packet.ssrc, address, now, wall_now, control=False):
            return False
        self._packets_received += 1
        self._octets_received += len(packet.payload)
        self._reception.update(
            _ONE,
            np.array([packet.ssrc]),
            np.array([packet.sequence]),
            np.array([packet.timestamp]),
            now,
        )
        return True

    def _seen(self, ssrc: int, address: Address, now: float, wall_now: float, *, control: bool) -> bool:
        verdict = self.participants.seen(ssrc, address, now, control=control)
        self._count(now)
        if verdict is Verdict.LOOP:
            self._looped += 1
        elif verdict is Verdict.COLLISION:
            self._collisions += 1
            gone = self.participants.collided
            assert gone is not None
            self._emit([ReceiverReport(gone), self._named(gone), Goodbye((gone,), b"collision")])
            self._packets_sent = self._octets_sent = 0
            self.sequence = self._draw32() & 0x7FFF
        return verdict in (Verdict.TAKE, Verdict.COLLISION)

    def _count(self, now: float) -> None:
        """Tell the schedule how many there are."""
        schedule, participants = self.schedule, self.participants
        members, senders = participants.members, participants.senders(schedule.we_sent)
        if members < schedule.members:
            schedule.members_left(members, senders, now)
        else:
            schedule.members, schedule.senders = members, senders

    # -- RTCP

    def control(
        self, packets: Iterable[ControlPacket], size: int, address: Address, now: float, wall_now: float
    ) -> None:
        """A compound packet of `size` octets came that may come from there."""
        self.schedule.received(size)
        middle = (ntp_of(wall_now) >> 16) & 0xFFFFFFFF
        for packet in packets:
            if isinstance(packet, SenderReport | ReceiverReport):
                if not self._seen(packet.ssrc, address, now, wall_now, control=True):
                    return
                if isinstance(packet, SenderReport) and packet.ssrc == int(self._reception.ssrc[0]):
                    self._reception.sender_reported(0, packet.ntp, now)
                for block in packet.reports:
                    if block.ssrc == self.ssrc:
                        self._remote = block
                        trip = float(round_trip(middle, block.last_sr, block.delay))
                        if not math.isnan(trip):
                            self._round_trip = trip
            elif isinstance(packet, SourceDescription):
                for chunk in packet.chunks:
                    other = self.participants.others.get(chunk.ssrc)
                    if other is not None and chunk.cname is not None:
                        other.cname = chunk.cname
            elif isinstance(packet, Goodbye):
                self._goodbye(packet, size, now)

    def _goodbye(self, packet: Goodbye, size: int, now: float) -> None:
        self.schedule.goodbye_received(size)
        gone = [ssrc for ssrc in packet.ssrcs if self.participants.left(ssrc)]
        if gone:
            self.goodbye = packet.reason or b""
            self._count(now)

    def expire(self, now: float, wall_now: float) -> None:
        """The deadline is there: perhaps a report is due."""
        schedule = self.schedule
        if self._left or now < schedule.deadline:
            return
        self.participants.expire(now, schedule.calculated())
        self._count(now)
        if schedule.expire(now):
            self._emit([self._report(now, wall_now), self._named(self.ssrc)])
        schedule.we_sent = now - self._last_sent < 2 * schedule.calculated()

    def leave(self, now: float, wall_now: float, reason: str = "") -> None:
        """We go: say BYE, once."""
        if self._left:
            return
        self._left = True
        text = reason.encode("utf-8")[:255] or None
        self._emit([self._report(now, wall_now), self._named(self.ssrc), Goodbye((self.ssrc,), text)])

    def _report(self, now: float, wall_now: float) -> SenderReport | ReceiverReport:
        blocks: tuple[ReportBlock, ...] = ()
        if self._reception.heard(_ONE)[0]:
            blocks = (self._reception.report(_ONE, now).block(0),)
        if not self.schedule.we_sent or self._packets_sent == 0:
            return ReceiverReport(self.ssrc, blocks)
        moved = self._last_timestamp + round((now - self._last_sent) * self.rate)
        return SenderReport(
            self.ssrc,
            ntp_of(wall_now),
            moved & 0xFFFFFFFF,
            self._packets_sent,
            self._octets_sent,
            blocks,
        )

    def _named(self, ssrc: int) -> SourceDescription:
        return SourceDescription((SourceChunk(ssrc, ((CNAME, self.cname),)),))

    def _emit(self, packets: list[ControlPacket]) -> None:
        datagram = build_compound(packets)
        self.schedule.sent(len(datagram))
        self.control_out.append(datagram)

    # -- what there is to say

    def statistics(self) -> SessionStatistics:
        """All of it, now."""
        heard, remote = self._reception, self._remote
        return SessionStatistics(
            self._packets_sent,
            self._octets_sent,
            self._packets_received,
            self._octets_received,
            int(heard.lost(_ONE)[0]),
            float(heard.jitter(_ONE)[0]) / self.rate,
            self._round_trip,
            None if remote is None else remote.fraction_lost / 256,
            None if remote is None else remote.jitter / self.rate,
            int(heard.restarts[0]),
            self._collisions,
            self._looped,
        )
