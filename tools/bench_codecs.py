"""CPU time of the codecs: microseconds a stream for a frame of 20 ms, with 1, 100 and 1,000 streams at once.

    python tools/bench_codecs.py [--streams 1,100,1000] [--codecs PCMU,opus] [--seconds 0.2]

The audio is voice-like. Figures are this process's CPU time, the least of several runs, of the form for many
streams; what one stream alone costs by its own objects stands behind it. Opus is measured with complexity 5.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from twisted.plugin import getPlugins

import rvoip.plugins
from rvoip.codecs.interfaces import ICodec, ICodecPlugin
from rvoip.codecs.l16 import L16
from rvoip.codecs.opus import Opus, OpusSettings
from rvoip.codecs.registry import built_in

HEADER = 12


def voices(codec: ICodec, streams: int, frames: int) -> NDArray[np.int16]:
    """Gliding harmonics and noise: (frames, streams, samples of 20 ms)."""
    random = np.random.default_rng(1)
    samples = codec.frame_samples(20)
    clock = np.arange(frames * samples) / (codec.sample_rate * codec.audio_channels)
    found = np.empty((frames, streams, samples), np.int16)
    for stream in range(streams):
        phase = 2 * np.pi * (random.uniform(90, 220) * clock + 8 * np.sin(3 * clock))
        voice = np.sin(phase) + np.sin(2 * phase) / 2 + np.sin(5 * phase) / 5
        found[:, stream] = (4000 * voice + random.normal(0, 100, len(clock))).reshape(frames, samples)
    return found


def least(work: Callable[[int], object], frames: int, seconds: float) -> float:
    """CPU seconds of `work` of one frame, the least of its means over all frames in `seconds`."""
    best, end = float("inf"), time.process_time() + seconds
    while True:
        begun = time.process_time()
        for frame in range(frames):
            work(frame)
        now = time.process_time()
        best = min(best, (now - begun) / frames)
        if now >= end:
            return best


def many(codec: ICodec, streams: int, seconds: float) -> tuple[float, float]:
    """Microseconds a stream to encode and to decode a frame of each of `streams`."""
    frames = 5
    pcm = voices(codec, min(streams, 20), frames)
    pcm = np.ascontiguousarray(np.resize(pcm.swapaxes(0, 1), (streams, *pcm.shape[::2])).swapaxes(0, 1))
    samples = pcm.shape[2]
    encoders, decoders = codec.encoders(), codec.decoders()
    rows = np.array([encoders.add("useinbandfec=1") for _ in range(streams)])
    for _ in range(streams):
        decoders.add()
    datagrams = np.zeros((frames, streams, 1500 + 2 * samples), np.uint8)
    sizes = [
        encoders.encode(rows, pcm[i], datagrams[i, :, HEADER:])[1].astype(np.intp) for i in range(frames)
    ]
    starts = np.full(streams, HEADER)
    encoding = least(lambda i: encoders.encode(rows, pcm[i], datagrams[i, :, HEADER:]), frames, seconds)
    decoding = least(
        lambda i: decoders.decode(rows, datagrams[i], starts, sizes[i], samples), frames, seconds
    )
    return encoding / streams * 1e6, decoding / streams * 1e6


def single(codec: ICodec, seconds: float) -> tuple[float, float]:
    """Microseconds to encode and to decode a frame of one stream by its own objects."""
    pcm = voices(codec, 1, 20)[:, 0]
    encoder, decoder = codec.encoder("useinbandfec=1"), codec.decoder()
    payloads = [encoder.encode(frame) for frame in pcm]
    encoding = least(lambda i: encoder.encode(pcm[i]), len(pcm), seconds)
    decoding = least(lambda i: decoder.decode(payloads[i]), len(pcm), seconds)
    return encoding * 1e6, decoding * 1e6


def main() -> None:
    """Print a line a codec."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", default="1,100,1000")
    parser.add_argument("--codecs", default="", help="names, separated by commas")
    parser.add_argument("--seconds", type=float, default=0.2)
    options = parser.parse_args()
    counts = [int(count) for count in options.streams.split(",")]
    wanted = [name.lower() for name in options.codecs.split(",") if name]
    brought = [codec for plugin in getPlugins(ICodecPlugin, rvoip.plugins) for codec in plugin.codecs()]
    codecs = [
        codec for codec in [*built_in(), Opus(OpusSettings(rate=16000)), *brought] if codec.kind == "audio"
    ]
    heads = [f"{count:,} encode, decode" for count in counts] + ["alone encode, decode"]
    print(f"{'codec, audio':22}" + "".join(f"{head:>24}" for head in heads))
    for codec in codecs:
        if wanted and codec.name.lower() not in wanted:
            continue
        if isinstance(codec, L16) and (codec.sample_rate, codec.channels) != (16000, 1):
            continue
        name = f"{codec.name}, {codec.sample_rate:,} Hz"
        if missing := codec.missing():
            print(f"{name:22}{missing}")
            continue
        figures = [many(codec, count, options.seconds) for count in counts] + [single(codec, options.seconds)]
        print(
            f"{name:22}" + "".join(f"{encode:16.2f}{decode:8.2f}" for encode, decode in figures), flush=True
        )


if __name__ == "__main__":
    main()
