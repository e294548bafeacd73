"""What media processing costs: microseconds of CPU a leg for a frame of 20 ms.

    python tools/bench_media.py [--legs 1000 10000] [--rounds 5] [NAME ...]

Each function works on that many legs at once, as the engine's tick does; the fastest round counts. A NAME
chooses the rows that begin with it. Linear algebra is kept to one thread.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from rvoip.media.active_speaker import ActiveSpeakers
from rvoip.media.agc import GainControl
from rvoip.media.arrays import Booleans, Frames, Indexes, StreamTable
from rvoip.media.comfort_noise import ComfortNoise
from rvoip.media.conceal import Concealer
from rvoip.media.dtmf import DtmfDetector
from rvoip.media.levels import measure
from rvoip.media.mixer import Mixer
from rvoip.media.quality import rate
from rvoip.media.resample import RATES, Resampler
from rvoip.media.tones import ToneGenerator, parse_tone
from rvoip.media.vad import Speaking, VoiceDetector

Row = tuple[str, Callable[[], object]]


def sound(rng: np.random.Generator, legs: int, frequency: int = 8000) -> Frames:
    """Noise as loud as talk."""
    return rng.normal(0, 2500, (legs, frequency // 50)).clip(-32768, 32767).astype(np.int16)


def filled(table: StreamTable, legs: int) -> Indexes:
    """The rows of a table with that many streams."""
    return np.array([table.add() for _ in range(legs)], np.intp)


def mixing(rng: np.random.Generator, legs: int) -> Iterator[Row]:
    """Rooms of one size, of all sizes, and one room."""
    audio = sound(rng, legs)
    out = np.empty_like(audio)
    for name, sizes in (
        ("rooms of 3", [3] * (legs // 3 + 1)),
        ("rooms of 10", [10] * (legs // 10 + 1)),
        ("rooms of 2 to 50", rng.integers(2, 51, legs).tolist()),
        ("one room", [legs]),
    ):
        mixer, row = Mixer(), 0
        for size in sizes:
            room = mixer.open_room()
            for _ in range(min(size, legs - row)):
                mixer.join(room, row)
                row += 1
        yield f"mix, {name}", partial(mixer.mix, audio, out)
        if name == "rooms of 10":
            for row in range(0, legs, 10):
                mixer.change(row, gain=2)
                if row + 2 < legs:
                    mixer.change(row + 1, role="whisper", to=[row])
                    mixer.change(row + 2, mute=True)
            yield f"mix, {name}, gain, mute, whisper", partial(mixer.mix, audio, out)


def resampling(rng: np.random.Generator, legs: int) -> Iterator[Row]:
    """Any rate to any other."""
    for source in RATES:
        for target in RATES:
            if source != target:
                resampler = Resampler(source, target)
                rows, audio = filled(resampler, legs), sound(rng, legs, source)
                name = f"resample {source // 1000} -> {target // 1000} kHz"
                yield name, partial(resampler.process, rows, audio)


def losses(rng: np.random.Generator, legs: int) -> Iterator[Row]:
    """Nothing lost, and one packet in twenty; and the noise of those who send nothing."""
    for share in (0, 0.05):
        concealer = Concealer(8000)
        rows, audio = filled(concealer, legs), sound(rng, legs)
        # Patterns, so that losses of all lengths are among them.
        lost = itertools.cycle([rng.random(legs) < share for _ in range(7)])
        yield f"conceal, {share:.0%} lost", partial(_concealed, concealer, rows, audio, lost)
    for name, colour in (("white", None), ("coloured", rng.uniform(-0.8, 0.8, (legs, 10)))):
        noise = ComfortNoise()
        rows = np.array([noise.begin(seed) for seed in range(legs)], np.intp)
        noise.describe(rows, -50, colour)
        yield f"comfort noise, {name}", partial(noise.process, rows, 160)


def _concealed(concealer: Concealer, rows: Indexes, audio: Frames, lost: Iterator[Booleans]) -> None:
    concealer.process(rows, audio, next(lost))


def listening(rng: np.random.Generator, legs: int) -> Iterator[Row]:
    """What is found out about audio."""
    audio = sound(rng, legs)
    level = measure(audio).rms
    yield "levels (RMS and peak)", lambda: measure(audio)
    voice, speaking, gain = VoiceDetector(), Speaking(8000), GainControl(8000)
    rows = filled(voice, legs)
    filled(speaking, legs)
    filled(gain, legs)
    active = voice.process(rows, level, 0.02)
    yield "voice, from levels", lambda: voice.process(rows, level, 0.02)
    yield "speaking start and stop", lambda: speaking.process(rows, active, 160)
    mixer = Mixer()
    for row in range(legs):
        mixer.join(mixer.open_room() if row % 10 == 0 else row // 10, row)
    speakers = ActiveSpeakers()
    yield "active speaker, rooms of 10", lambda: speakers.process(mixer.plan(), level, active, 0.02)
    yield "automatic gain", lambda: gain.process(rows, audio, level)
    detector = DtmfDetector(8000)
    filled(detector, legs)
    yield "DTMF, noise", lambda: detector.process(rows, audio)
    tones = ToneGenerator(8000)
    ring = np.array([tones.begin(parse_tone("tone:852+1336")) for _ in range(legs // 20)], np.intp)
    digits = audio.copy()
    digits[: len(ring)] = tones.process(ring, 160)
    yield "DTMF, a digit on 5 % of the legs", lambda: detector.process(rows, digits)


def sounding(_: np.random.Generator, legs: int) -> Iterator[Row]:
    """Tones, and figures."""
    for text in ("tone:440", "tone:ringback/us"):
        tones = ToneGenerator(8000)
        rows = np.array([tones.begin(parse_tone(text)) for _ in range(legs)], np.intp)
        # Not all in step.
        for row in range(0, legs, 3):
            tones.process(rows[row : row + 3], row % 4000 + 1)
        yield text, partial(tones.process, rows, 160)
    loss = np.linspace(0, 0.2, legs)
    yield "quality (R and MOS)", lambda: rate(0, 25.1, loss, loss + 0.05)


def cost(work: Callable[[], object], legs: int, rounds: int) -> float:
    """CPU seconds of one call, the least of some rounds."""
    work()
    calls = max(20_000 // legs, 1)
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(calls):
            work()
        found.append((time.process_time() - begin) / calls)
    return min(found)


def main() -> None:
    """Print a row a function, a column a number of legs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--legs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    found: dict[str, list[str]] = {}
    for legs in options.legs:
        for group in (mixing, resampling, losses, listening, sounding):
            for name, work in group(np.random.default_rng(1), legs):
                if not options.names or name.startswith(tuple(options.names)):
                    found.setdefault(name, []).append(f"{cost(work, legs, options.rounds) / legs * 1e6:.2f}")
    print("| us of CPU a leg for 20 ms | " + " | ".join(f"{legs} legs" for legs in options.legs) + " |")
    print("|---" * (len(options.legs) + 1) + "|")
    for name, figures in found.items():
        print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
