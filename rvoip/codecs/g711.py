"""G.711: both laws, by tables (ITU-T G.711, 11/88; RFC 3551 section 4.5.14).

A law's codes are segments of 16 steps; from the second or third segment on, each has steps twice as wide as
the one before. Audio has 16 bits, of which mu-law takes the upper 14 and A-law the upper 13, sign included.
A negative value has the magnitude of its one's complement, as in ITU-T G.191, so that -1 and 0 are the two
zeros of a law.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import IDecoder, IDecoders, IEncoder, IEncoders, Rows
from rvoip.codecs.payloads import contiguous_frames, frame, gather, inside, output
from rvoip.codecs.rows import StreamRows

__all__ = ["PCMA", "PCMU", "G711", "Companding", "a_law", "mu_law"]

ALL_VALUES = np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)
"""Every 16-bit value in the order of its bits: 0, 1, ... 32767, -32768, ... -1."""

ALL_CODES = np.arange(256, dtype=np.int32)


class Companding:
    """The tables of a law.

    `compress` has the code of each 16-bit value, at the value's bits taken as unsigned; `expand` has the
    value of each code.
    """

    def __init__(self, compress: NDArray[np.int32], expand: NDArray[np.int32]) -> None:
        self.compress = compress.astype(np.uint8)
        self.expand = expand.astype(np.int16)
        self.compress.flags.writeable = self.expand.flags.writeable = False


def _bits(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """How many bits each value has, 0 for 0."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int32)


@cache
def mu_law() -> Companding:
    """ITU-T G.711 tables 2a and 2b: segment 0 to 7, step 0 to 15, all bits inverted."""
    magnitude = np.where(ALL_VALUES < 0, ~ALL_VALUES, ALL_VALUES) >> 2
    # A bias of 33 makes each segment begin at a power of two: 32 << segment.
    biased = np.minimum(magnitude + 33, 8191)
    segment = _bits(biased) - 6
    step = (biased >> (segment + 1)) & 15
    sign = np.where(ALL_VALUES < 0, 0x80, 0)
    compress = ~(sign | segment << 4 | step) & 0xFF

    code = ~ALL_CODES & 0xFF
    # The middle of the step: half a step, of 2 << segment, above its beginning.
    middle = (((code & 15) << 1 | 33) << (code >> 4 & 7)) - 33
    return Companding(compress, np.where(code & 0x80, -middle, middle) << 2)


@cache
def a_law() -> Companding:
    """ITU-T G.711 tables 1a and 1b: segment 0 to 7, step 0 to 15, even bits inverted.

    Segments 0 and 1 have steps of the same width.
    """
    magnitude = np.where(ALL_VALUES < 0, ~ALL_VALUES, ALL_VALUES) >> 4
    segment = np.maximum(_bits(magnitude) - 4, 0)
    step = (magnitude >> np.maximum(segment - 1, 0)) & 15
    sign = np.where(ALL_VALUES < 0, 0, 0x80)
    compress = (sign | segment << 4 | step) ^ 0x55

    code = ALL_CODES ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    # In halves of the narrowest step, which has 16 of the 16-bit values.
    middle = (step + np.where(segment, 16, 0)) * 2 + 1 << np.maximum(segment - 1, 0)
    return Companding(compress, np.where(code & 0x80, middle, -middle) << 3)


class G711(Codec):
    """A law of G.711: an octet a sample. Its rows and streams have no state."""

    def __init__(self, name: str, payload_type: int, law: Companding) -> None:
        self.name = name
        self.static_payload_type = payload_type
        self.law = law

    def frame_bytes(self, samples: int) -> int:
        return samples

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return lengths

    def encoder(self, fmtp: str = "") -> G711Stream:
        return G711Stream(self.law)

    def decoder(self, fmtp: str = "") -> G711Stream:
        return G711Stream(self.law)

    def encoders(self) -> G711Encoders:
        return G711Encoders(self.law)

    def decoders(self) -> G711Decoders:
        return G711Decoders(self.law)


@implementer(IEncoder, IDecoder)
class G711Stream:
    """One stream, either way."""

    def __init__(self, law: Companding) -> None:
        self._law = law

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        return self._law.compress[frame(pcm).view(np.uint16)].tobytes()

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        if not payload:
            raise CodecError("an empty payload")
        pcm: NDArray[np.int16] = self._law.expand[np.frombuffer(payload, np.uint8)]
        return pcm

    def conceal(self, samples: int) -> NDArray[np.int16]:
        return np.zeros(samples, np.int16)

    def recover(self, payload: bytes, samples: int) -> NDArray[np.int16]:
        return self.conceal(samples)


class _G711Rows(StreamRows):
    def __init__(self, law: Companding) -> None:
        super().__init__()
        self._law = law

    def add(self, fmtp: str = "") -> int:
        return self.place(self._law)


@implementer(IEncoders)
class G711Encoders(_G711Rows):
    """Encoders of many streams: one look-up for all."""

    def encode(
        self, rows: Rows, pcm: NDArray[np.int16], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        pcm = contiguous_frames(pcm)
        count, samples = pcm.shape
        codes = self._law.compress.take(pcm.view(np.uint16))
        lengths = np.full(count, samples, np.int32)
        if out is None:
            return codes, lengths
        out = output(out, count, samples)
        out[:, :samples] = codes
        return out, lengths


@implementer(IDecoders)
class G711Decoders(_G711Rows):
    """Decoders of many streams: one look-up for all."""

    def decode(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        held = np.where(inside(packets, starts, lengths) & (lengths <= samples), lengths, 0).astype(np.int32)
        if not held.any():
            return np.zeros((len(packets), samples), np.int16), held
        pcm: NDArray[np.int16] = self._law.expand.take(gather(packets, starts, samples))
        short = np.flatnonzero(held < samples)
        if len(short):
            pcm[short] *= np.arange(samples) < held[short, None]
        return pcm, held

    def conceal(self, rows: Rows, samples: int) -> NDArray[np.int16]:
        return np.zeros((len(rows), samples), np.int16)

    def recover(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> NDArray[np.int16]:
        return self.conceal(rows, samples)


PCMU = G711("PCMU", 0, mu_law())
PCMA = G711("PCMA", 8, a_law())
