"""An echo for one stream of G.711, and the same work for many streams as a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from rvoip.protocols.rtp.columns import RTP, kinds, read_headers, write_headers
from rvoip.protocols.rtp.jitter import FRAME, JitterBuffers
from rvoip.protocols.rtp.jitter_stream import JitterBuffer
from rvoip.protocols.rtp.latch import Address
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.protocol import RTPProtocol
from rvoip.protocols.rtp.telephone_event import EventReceiver, EventStarted

EVENTS = 101


class Echo(RTPProtocol):
    """Plays back what it hears, in order and in time, and keeps the digits."""

    def startProtocol(self) -> None:
        super().startProtocol()
        self.jitter = JitterBuffer(self.session.rate)
        self.events = EventReceiver(self.session.rate)
        self.digits: list[int] = []
        self.now_at = 0

    def packet_received(self, packet: RTPPacket, address: Address) -> None:
        now = self.clock.seconds()
        if packet.payload_type == EVENTS:
            self.jitter.pass_over(packet)
            told = self.events.receive(packet.payload, packet.timestamp, now)
            self.digits += [event.event for event in told if isinstance(event, EventStarted)]
        else:
            self.jitter.push(packet, now, samples=len(packet.payload))

    def tick(self) -> None:
        """Every 20 ms: play what is due."""
        for frame in self.jitter.pull(160, self.clock.seconds()):
            if frame.state == FRAME:
                self.send(frame.payload, frame.payload_type, self.now_at)
            self.now_at += frame.samples


class ManyEchoes:
    """A batch in, a batch out: row i of the buffers is stream i, and nothing is done packet by packet."""

    def __init__(self, streams: int) -> None:
        self.rows = np.arange(streams)
        self.jitter = JitterBuffers(streams)
        for _ in range(streams):
            self.jitter.open(self.jitter.add(), 8000)
        self.sequence = np.zeros(streams, np.int64)

    def received(self, buffer: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any], now: float) -> None:
        """Datagrams, shape (streams, octets), one of each stream."""
        headers = read_headers(buffer, lengths)
        good = np.flatnonzero(headers.valid & (kinds(buffer, lengths) == RTP))
        headers = headers.take(good)
        self.jitter.push(
            self.rows[good],
            headers.ssrc,
            headers.sequence,
            headers.timestamp,
            headers.payload_type,
            headers.marker,
            buffer[good],
            headers.payload_offset,
            headers.payload_length,
            now,
            samples=headers.payload_length,
        )

    def tick(self, now: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The streams that have something to say, and their datagrams."""
        pulled = self.jitter.pull(self.rows, 160, now)
        speaking = np.flatnonzero(pulled.state == FRAME)
        out = np.zeros((speaking.size, 12 + pulled.payload.shape[1]), np.uint8)
        write_headers(
            out, pulled.payload_type[speaking], self.sequence[speaking], pulled.timestamp[speaking], speaking
        )
        out[:, 12:] = pulled.payload[speaking]
        self.sequence[speaking] += 1
        return speaking, out
