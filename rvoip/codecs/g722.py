"""G.722 at 64 kbit/s over the package `g722` (RFC 3551 section 4.5.2).

The audio has 16,000 samples a second. The RTP clock is signalled, and runs, at 8000: an error of an early
RFC that stayed for the sake of those who had built on it. An octet holds two samples.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.interfaces import IDecoder, IEncoder
from rvoip.codecs.payloads import frame

__all__ = ["G722"]

NEEDS = "G.722 needs the package g722: pip install 'rvoip[g722]'"
BIT_RATE = 64_000


@cache
def _library() -> Any:
    """The class of the package, or None where it is not installed."""
    try:
        import G722 as library
    except ImportError:
        return None
    return library.G722


def _stream(rate: int) -> Any:
    library = _library()
    if library is None:
        raise CodecMissing(NEEDS)
    return library(rate, BIT_RATE)


class G722(Codec):
    """The sub-bands' predictors make the state, in an object of the package for each stream and direction."""

    name = "G722"
    sample_rate = 16000
    static_payload_type = 9

    def missing(self) -> str:
        return NEEDS if _library() is None else ""

    def frame_bytes(self, samples: int) -> int:
        if samples % 2:
            raise CodecError(f"G722 has no frame of {samples} samples, an odd number")
        return samples // 2

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return 2 * lengths

    def encoder(self, fmtp: str = "") -> G722Encoder:
        return G722Encoder(self)

    def decoder(self, fmtp: str = "") -> G722Decoder:
        return G722Decoder(self)

    def encoders(self) -> Any:
        if missing := self.missing():
            raise CodecMissing(missing)
        return super().encoders()

    def decoders(self) -> Any:
        if missing := self.missing():
            raise CodecMissing(missing)
        return super().decoders()


@implementer(IEncoder)
class G722Encoder:
    """The sending side of one stream."""

    def __init__(self, codec: G722) -> None:
        self._codec = codec
        self._stream = _stream(codec.sample_rate)

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        pcm = frame(pcm)
        self._codec.frame_bytes(len(pcm))
        payload: bytes = self._stream.encode(pcm)
        return payload


@implementer(IDecoder)
class G722Decoder:
    """The receiving side of one stream."""

    def __init__(self, codec: G722) -> None:
        self._stream = _stream(codec.sample_rate)

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        if not payload:
            raise CodecError("an empty payload")
        # The package gives an array.array, or one of numpy where its own extra is installed.
        return np.frombuffer(self._stream.decode(bytes(payload)), np.int16)

    def conceal(self, samples: int) -> NDArray[np.int16]:
        return np.zeros(samples, np.int16)

    def recover(self, payload: bytes, samples: int) -> NDArray[np.int16]:
        return self.conceal(samples)
