"""The jitter buffer of one stream: the same machine as that of the server, with one row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rvoip.protocols.rtp.jitter import HELD, JitterBuffers, JitterLimits
from rvoip.protocols.rtp.packet import RTPPacket

__all__ = ["JitterBuffer", "JitterFrame"]


class JitterFrame(NamedTuple):
    """What is to be played next: `state` is one of `jitter`'s; the rest is empty unless it is FRAME."""

    state: int
    samples: int
    """How much of the stream's time it covers."""
    payload: bytes = b""
    payload_type: int = 0
    marker: bool = False
    timestamp: int = 0


class JitterBuffer:
    """Packets of one stream in; what to play, in order and in time, out."""

    def __init__(
        self,
        rate: int,
        *,
        frame: int = 0,
        slots: int = 32,
        octets: int = 1500,
        limits: JitterLimits | None = None,
    ) -> None:
        """`rate` is the clock of the timestamps in Hz, `frame` the samples of a packet (20 ms where 0)."""
        self.columns = JitterBuffers(1, 1, slots=slots, octets=octets, limits=limits)
        """The row's counters, each an array of one."""
        self._rows = np.array([self.columns.add()])
        self.columns.open(0, rate, frame)
        self._zero = np.zeros(1, np.int64)

    def push(
        self, packet: RTPPacket, now: float, *, samples: int | None = None, comfort: bool = False
    ) -> bool:
        """Take a packet that came at `now` seconds; tell whether it is in the buffer now.

        `samples` is how much of the stream's time it holds, learned from the timestamps where it is not
        given.
        """
        octets = np.frombuffer(packet.payload, np.uint8)[None]
        return bool(
            self.columns.push(
                self._rows,
                np.array([packet.ssrc]),
                np.array([packet.sequence]),
                np.array([packet.timestamp]),
                np.array([packet.payload_type], np.uint8),
                np.array([packet.marker]),
                octets,
                self._zero,
                np.array([octets.shape[1]]),
                now,
                samples=None if samples is None else np.array([samples]),
                comfort=np.array([comfort]),
            )[0]
        )

    def pass_over(self, packet: RTPPacket) -> None:
        """A packet of the stream came that is not for the buffer, a telephone event: it is not missing."""
        self.columns.pass_over(self._rows, np.array([packet.ssrc]), np.array([packet.sequence]))

    def pull(self, samples: int, now: float, *, quiet: bool = False) -> list[JitterFrame]:
        """Take what fills `samples` more of the stream's time, at `now`.

        That is no frame where the one before lasts for it, and several where packets are short. `quiet` tells
        that nobody speaks just now.
        """
        frames = []
        hush = np.array([quiet])
        while True:
            pulled = self.columns.pull(self._rows, samples, now, hush)
            state, length = int(pulled.state[0]), int(pulled.length[0])
            if state != HELD:
                frames.append(
                    JitterFrame(
                        state,
                        int(pulled.samples[0]),
                        pulled.payload[0, :length].tobytes(),
                        int(pulled.payload_type[0]),
                        bool(pulled.marker[0]),
                        int(pulled.timestamp[0]),
                    )
                )
            if not pulled.more[0]:
                return frames
            samples = 0

    def delay(self, now: float) -> float:
        """Seconds between the fastest packet's arrival and its being heard, after a pull at `now`; 0 in
        silence.
        """
        return float(self.columns.delay(self._rows, now)[0])

    @property
    def waiting(self) -> int:
        """Packets in the buffer."""
        return int(self.columns.waiting(self._rows)[0])
