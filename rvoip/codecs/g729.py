"""G.729 over libbcg729 (ITU-T G.729 annexes A and B; RFC 3551 section 4.5.6).

A plugin: the library is licensed under the GPL, so that whoever installs it decides. What is sent has no
silence suppression; what is received may, as annex B has it.
"""

from __future__ import annotations

import weakref
from ctypes import byref, c_uint8
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.fmtp import parse_fmtp
from rvoip.codecs.native import NativeLibrary, P
from rvoip.codecs.rows import NativeDecoderRows, NativeEncoderRows
from rvoip.codecs.stream import NativeDecoder, NativeEncoder

__all__ = ["G729", "codecs"]

FRAME_SAMPLES = 80
FRAME_BYTES = 10
SID_BYTES = 2
"""A description of silence, the last frame of a packet if there is one."""

LIBRARY = NativeLibrary(
    ("libbcg729.so.0",),
    {
        "initBcg729EncoderChannel": (P, (c_uint8,)),
        "bcg729Encoder": (None, (P, P, P, P)),
        "closeBcg729EncoderChannel": (None, (P,)),
        "initBcg729DecoderChannel": (P, ()),
        "bcg729Decoder": (None, (P, P, c_uint8, c_uint8, c_uint8, c_uint8, P)),
        "closeBcg729DecoderChannel": (None, (P,)),
    },
    "G.729 needs libbcg729: apt install libbcg729-0",
)


class G729(Codec):
    """Frames of 10 ms in 10 octets."""

    name = "G729"
    static_payload_type = 18
    conceals = True

    def missing(self) -> str:
        return LIBRARY.missing()

    def frame_bytes(self, samples: int) -> int:
        frames, rest = divmod(samples, FRAME_SAMPLES)
        if rest or not frames:
            raise CodecError(f"G729 has no frame of {samples} samples")
        return frames * FRAME_BYTES

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        frames, rest = np.divmod(lengths, FRAME_BYTES)
        samples = (frames + (rest == SID_BYTES)) * FRAME_SAMPLES
        return np.where((rest == 0) | (rest == SID_BYTES), samples, 0)

    def offer(self) -> str:
        return "annexb=no"

    def answer(self, fmtp: str) -> str:
        """`annexb=no` to whom would send silence as we do not; nothing to whom has said so himself."""
        return "" if parse_fmtp(fmtp).get("annexb", "").lower() == "no" else "annexb=no"

    def encoder(self, fmtp: str = "") -> G729Encoder:
        return G729Encoder(self)

    def decoder(self, fmtp: str = "") -> G729Decoder:
        return G729Decoder(self)

    def encoders(self) -> NativeEncoderRows:
        LIBRARY.load()
        return NativeEncoderRows(self)

    def decoders(self) -> NativeDecoderRows:
        LIBRARY.load()
        return NativeDecoderRows(self)


class G729Encoder(NativeEncoder):
    """The sending side of one stream."""

    def __init__(self, codec: G729) -> None:
        super().__init__(codec)
        library = LIBRARY.load()
        self._channel = library.initBcg729EncoderChannel(0)
        if not self._channel:
            raise CodecError("libbcg729 makes no encoder")
        weakref.finalize(self, library.closeBcg729EncoderChannel, self._channel)
        self._encode = library.bcg729Encoder

    def write(self, source: int, samples: int, target: int, size: int) -> int:
        taken = 0
        length = c_uint8()
        for begin in range(0, samples, FRAME_SAMPLES):
            self._encode(self._channel, source + 2 * begin, target + taken, byref(length))
            taken += length.value
        return taken


class G729Decoder(NativeDecoder):
    """The receiving side of one stream."""

    def __init__(self, codec: G729) -> None:
        super().__init__(codec)
        library = LIBRARY.load()
        self._channel = library.initBcg729DecoderChannel()
        if not self._channel:
            raise CodecError("libbcg729 makes no decoder")
        weakref.finalize(self, library.closeBcg729DecoderChannel, self._channel)
        self._decode = library.bcg729Decoder

    def read(self, source: int, length: int, target: int, samples: int) -> int:
        for begin in range(0, length, FRAME_BYTES):
            size = min(FRAME_BYTES, length - begin)
            self._decode(self._channel, source + begin, size, 0, int(size == SID_BYTES), 0, target)
            target += 2 * FRAME_SAMPLES
        return samples

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """Frames that the decoder takes for erased, or noise where the last that came was silence."""
        frames = -(-samples // FRAME_SAMPLES)
        pcm = np.zeros(frames * FRAME_SAMPLES, np.int16)
        for begin in range(frames):
            self._decode(self._channel, None, 0, 1, 0, 0, pcm.ctypes.data + 2 * FRAME_SAMPLES * begin)
        return pcm[:samples]


def codecs() -> list[Any]:
    """What the plugin brings."""
    return [G729()]
