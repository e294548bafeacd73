"""What prompts, recordings and offers cost: microseconds of CPU.

    python tools/bench_prompts.py [--legs 1000] [--rounds 5]

Playing and recording: a leg for a frame of 20 ms. Reading a prompt: a second of it, once. Answers: each.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from rvoip.codecs.policy import Policy
from rvoip.codecs.registry import Registry, built_in
from rvoip.media.agreed import Local
from rvoip.media.convert import convert
from rvoip.media.negotiate import Negotiation
from rvoip.media.player import Player
from rvoip.media.recorder import Begin, Close, Closed, Done, Recorder
from rvoip.media.sound import Sound

Row = tuple[str, Callable[[], object], int]
FRAME = 160
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 10018 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n"
)


def playing(legs: int) -> Iterator[Row]:
    """One sound for all, and one for each."""
    for name, count in (("one music for all", 1), ("a sound for each", legs)):
        sounds = [Sound(np.arange(40_000).astype(np.int16), 8000) for _ in range(count)]
        player = Player(8000)
        for leg in range(legs):
            player.play(player.add(), "a", sounds[leg % count], loop=True, offset_ms=7 * leg)
        yield f"play, {name}", lambda player=player: [player.pull(FRAME) for _ in range(50)], 50 * legs  # type: ignore[misc]


def recording(legs: int) -> Iterator[Row]:
    """Blocks for a writer that takes no time."""
    audio = np.random.default_rng(1).integers(-9000, 9000, (legs, FRAME)).astype(np.int16)
    for format, tracks in (("wav", "mixed"), ("wav", "stereo"), ("wav-ulaw", "mixed")):
        recorder = Recorder(8000)
        rows = np.array([recorder.start(str(leg), 0, format, tracks) for leg in range(legs)])

        def second(
            recorder: Recorder = recorder, rows: np.ndarray[tuple[int], np.dtype[np.intp]] = rows
        ) -> None:
            for _ in range(50):
                recorder.push(rows, audio, audio, 0)
                for item in recorder.outputs():
                    recorder.answered(Closed(item.id, 0) if isinstance(item, Close) else Done(item.id))
                    assert not isinstance(item, Begin) or item.rate == 8000

        yield f"record, {format}, {tracks}", second, 50 * legs


def reading() -> Iterator[Row]:
    """From one rate to another."""
    for source, target in ((44100, 8000), (48000, 16000), (8000, 48000)):
        audio = np.random.default_rng(1).integers(-9000, 9000, source * 10).astype(np.int16)
        yield (
            f"convert a second, {source} to {target} Hz",
            lambda a=audio, s=source, t=target: convert(a, s, t),  # type: ignore[misc]
            10,
        )


def negotiating() -> Iterator[Row]:
    """An offer of a phone, answered and written."""
    local = Local(
        hosts=("198.51.100.1",), port=20000, session_id=1, policy=Policy(), registry=Registry(built_in())
    )
    yield "answer an offer", lambda: [Negotiation(local).answer(OFFER).to_bytes() for _ in range(200)], 200


def main() -> None:
    """Print a line a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--legs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name, run, count in (
        *playing(options.legs),
        *recording(options.legs),
        *reading(),
        *negotiating(),
    ):
        run()
        best = float("inf")
        for _ in range(options.rounds):
            begin = time.process_time()
            run()
            best = min(best, time.process_time() - begin)
        print(f"{name:44} {best / count * 1e6:10.2f} us")


if __name__ == "__main__":
    main()
