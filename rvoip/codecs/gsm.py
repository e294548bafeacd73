"""GSM full rate over libgsm (ETSI GSM 06.10; RFC 3551 section 4.5.8). A plugin."""

from __future__ import annotations

import weakref
from ctypes import c_int
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.native import NativeLibrary, P
from rvoip.codecs.rows import NativeDecoderRows, NativeEncoderRows
from rvoip.codecs.stream import NativeDecoder, NativeEncoder

__all__ = ["GSM", "codecs"]

FRAME_SAMPLES = 160
FRAME_BYTES = 33

LIBRARY = NativeLibrary(
    ("libgsm.so.1",),
    {
        "gsm_create": (P, ()),
        "gsm_destroy": (None, (P,)),
        "gsm_encode": (None, (P, P, P)),
        "gsm_decode": (c_int, (P, P, P)),
    },
    "GSM needs libgsm: apt install libgsm1",
)


class GSM(Codec):
    """Frames of 20 ms in 33 octets, of which the first four bits are always 1101."""

    name = "GSM"
    static_payload_type = 3
    ptimes = (20, 40, 60, 80, 100, 120)

    def missing(self) -> str:
        return LIBRARY.missing()

    def frame_bytes(self, samples: int) -> int:
        frames, rest = divmod(samples, FRAME_SAMPLES)
        if rest or not frames:
            raise CodecError(f"GSM has no frame of {samples} samples")
        return frames * FRAME_BYTES

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(lengths % FRAME_BYTES, 0, lengths // FRAME_BYTES * FRAME_SAMPLES)

    def encoder(self, fmtp: str = "") -> GSMEncoder:
        return GSMEncoder(self)

    def decoder(self, fmtp: str = "") -> GSMDecoder:
        return GSMDecoder(self)

    def encoders(self) -> NativeEncoderRows:
        LIBRARY.load()
        return NativeEncoderRows(self)

    def decoders(self) -> NativeDecoderRows:
        LIBRARY.load()
        return NativeDecoderRows(self)


class GSMEncoder(NativeEncoder):
    """The sending side of one stream."""

    def __init__(self, codec: GSM) -> None:
        super().__init__(codec)
        self._library = LIBRARY.load()
        self._state = _state(self)

    def write(self, source: int, samples: int, target: int, size: int) -> int:
        frames = samples // FRAME_SAMPLES
        for index in range(frames):
            self._library.gsm_encode(
                self._state, source + 2 * FRAME_SAMPLES * index, target + FRAME_BYTES * index
            )
        return frames * FRAME_BYTES


class GSMDecoder(NativeDecoder):
    """The receiving side of one stream."""

    def __init__(self, codec: GSM) -> None:
        super().__init__(codec)
        self._library = LIBRARY.load()
        self._state = _state(self)

    def read(self, source: int, length: int, target: int, samples: int) -> int:
        for index in range(length // FRAME_BYTES):
            if self._library.gsm_decode(
                self._state, source + FRAME_BYTES * index, target + 2 * FRAME_SAMPLES * index
            ):
                return 0
        return samples


def _state(owner: object) -> int:
    """A state of the library, destroyed with its owner."""
    library = LIBRARY.load()
    state: int | None = library.gsm_create()
    if not state:
        raise CodecError("libgsm makes no state")
    weakref.finalize(owner, library.gsm_destroy, state)
    return state


def codecs() -> list[Any]:
    """What the plugin brings."""
    return [GSM()]
