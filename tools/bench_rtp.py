"""What RTP costs without sockets: headers, statistics and the jitter buffer, and what the buffer does to
sound.

    python tools/bench_rtp.py [--streams 1000] [--seconds 10]

The first table is CPU time a packet, with one packet of each stream every 20 ms, as the tick of a media
server has them. The second is one stream through a network of a given loss and jitter: how long the delay
is and how many frames are heard as they were sent.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rvoip.protocols.rtp.addresses import pack_addresses, unpack_address
from rvoip.protocols.rtp.columns import kinds, read_headers, write_headers
from rvoip.protocols.rtp.jitter import DTX, FRAME, LATE, LOST, NOTHING, JitterBuffers
from rvoip.protocols.rtp.jitter_stream import JitterBuffer
from rvoip.protocols.rtp.latch import Latch
from rvoip.protocols.rtp.latch_table import LatchTable
from rvoip.protocols.rtp.packet import RTPPacket
from rvoip.protocols.rtp.reports import Reception

FRAME_SAMPLES = 160
NETWORKS = [(0.0, 0.0), (0.0, 0.02), (0.01, 0.04), (0.05, 0.1), (0.1, 0.2)]


class Outcome(NamedTuple):
    """One stream through one network: counts of frames by state, and mean and greatest delay in seconds."""

    states: Counter[int]
    late: int
    mean: float
    greatest: float


def through(loss: float, jitter: float, *, seconds: float = 60.0, seed: int = 1) -> Outcome:
    """Send a stream of 20 ms packets through a network, and pull it every 20 ms; one second of three is
    quiet.
    """
    draw = random.Random(seed)
    arrivals = sorted(
        (0.02 * index + draw.random() * jitter, index)
        for index in range(int(seconds * 50))
        if draw.random() >= loss
    )
    stream = JitterBuffer(8000)
    states: Counter[int] = Counter()
    delays = []
    place = 0
    for tick in range(int(seconds * 50)):
        now = 0.003 + 0.02 * tick
        while place < len(arrivals) and arrivals[place][0] <= now:
            came, index = arrivals[place]
            packet = RTPPacket(0, index & 0xFFFF, index * FRAME_SAMPLES, 1, bytes(FRAME_SAMPLES))
            stream.push(packet, came, samples=FRAME_SAMPLES)
            place += 1
        states.update(frame.state for frame in stream.pull(FRAME_SAMPLES, now, quiet=tick // 50 % 3 == 2))
        delays.append(stream.delay(now))
    return Outcome(states, int(stream.columns.late[0]), statistics.fmean(delays), max(delays))


def each(work: Callable[[int], object], packets: int, rounds: int) -> float:
    """Microseconds of CPU a packet."""
    for warm in range(3):
        work(warm)
    begun = time.process_time()
    for number in range(3, rounds + 3):
        work(number)
    return (time.process_time() - begun) / (rounds * packets) * 1e6


def costs(streams: int, rounds: int) -> list[tuple[str, float]]:
    """CPU time a packet of each step."""
    buffer = np.zeros((streams, 172), np.uint8)
    lengths = np.full(streams, 172)
    rows = np.arange(streams)

    def write(number: int) -> None:
        write_headers(buffer, 0, number, number * FRAME_SAMPLES, rows)

    write(0)
    headers = read_headers(buffer, lengths)
    sources = pack_addresses([(f"10.0.{row // 250}.{row % 250 + 1}", 4000) for row in range(streams)])
    latches = LatchTable(streams)
    for row in range(streams):
        latches.open(Latch(unpack_address(sources[row])))
    reception = Reception(streams)
    jitter = JitterBuffers(streams)
    for _ in range(streams):
        reception.add()
        jitter.open(jitter.add(), 8000)

    def count(number: int) -> None:
        sequence = np.full(streams, number & 0xFFFF)
        reception.update(rows, headers.ssrc, sequence, sequence * FRAME_SAMPLES, 0.02 * number)

    def push_and_pull(number: int) -> None:
        sequence = np.full(streams, number & 0xFFFF)
        now = 0.02 * number
        jitter.push(
            rows,
            headers.ssrc,
            sequence,
            sequence * FRAME_SAMPLES,
            headers.payload_type,
            headers.marker,
            buffer,
            headers.payload_offset,
            headers.payload_length,
            now,
            samples=headers.payload_length,
        )
        jitter.pull(rows, FRAME_SAMPLES, now + 0.001)

    return [
        ("kinds (RFC 7983)", each(lambda _: kinds(buffer, lengths), streams, rounds)),
        ("read_headers", each(lambda _: read_headers(buffer, lengths), streams, rounds)),
        ("write_headers", each(write, streams, rounds)),
        (
            "sources checked",
            each(
                lambda _: latches.media(rows, sources, headers.ssrc, headers.sequence, 0.0), streams, rounds
            ),
        ),
        ("reception statistics", each(count, streams, rounds)),
        ("jitter buffer, push and pull", each(push_and_pull, streams, rounds)),
    ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="What RTP costs without sockets.")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0, help="how many seconds of media a step takes")
    options = parser.parse_args()
    print(f"{options.streams} streams, us of CPU a packet")
    for name, cost in costs(options.streams, max(1, int(options.seconds * 50))):
        print(f"  {name:30} {cost:6.2f}")
    print("one stream, 60 s               delay ms        frames")
    print("  loss    jitter             mean   most   heard    lost   late  quiet   none")
    for loss, jitter in NETWORKS:
        outcome = through(loss, jitter)
        states = "".join(f"{outcome.states[state]:7}" for state in (FRAME, LOST, LATE, DTX, NOTHING))
        print(
            f"  {loss:4.0%} {jitter * 1000:6.0f} ms          {outcome.mean * 1000:6.0f}"
            f" {outcome.greatest * 1000:6.0f} {states}"
        )


if __name__ == "__main__":
    main()
