"""What all codecs share: frames by milliseconds, payloads by length, streams as objects and as rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import ICodec, Rows
from rvoip.codecs.payloads import inside
from rvoip.codecs.rows import DecoderRows, EncoderRows

__all__ = ["Codec"]


@implementer(ICodec)
class Codec:
    """A codec of audio whose payloads tell by their length how many samples they hold.

    A subclass sets what differs, gives `samples_of`, `encoder` and `decoder`, and has the rest: see
    `ICodec` for each.
    """

    name = ""
    sample_rate = 8000
    clock_rate = 8000
    channels = 1
    audio_channels = 1
    static_payload_type: int | None = None
    kind = "audio"
    conceals = False
    recovers = False
    ptime: float = 20
    ptimes: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 80, 100, 120)
    """The frames in ms that it has, in ascending order."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}/{self.clock_rate}/{self.channels}>"

    def missing(self) -> str:
        return ""

    def frame_samples(self, ptime: float) -> int:
        if ptime not in self.ptimes:
            raise CodecError(f"{self.name} has no frame of {ptime:g} ms")
        return round(self.sample_rate * self.audio_channels * ptime / 1000)

    def fit_ptime(self, wanted: float, most: float) -> float:
        return max((ptime for ptime in self.ptimes if ptime <= min(wanted, most)), default=self.ptimes[0])

    def frame_bytes(self, samples: int) -> int | None:
        raise CodecError(f"{self.name} carries no audio")

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Samples in payloads of these lengths (all above 0), 0 for a length that no payload has."""
        raise CodecError(f"{self.name} carries no audio")

    def payload_samples(self, payload: bytes) -> int:
        return int(self.samples_of(np.array([len(payload)], np.int64))[0]) if payload else 0

    def durations(self, packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]:
        held = self.samples_of(np.maximum(lengths, 1).astype(np.int64))
        return np.where(inside(packets, starts, lengths), held, 0).astype(np.int32)

    def slot(self, samples: int) -> int:
        """Octets that the longest payload for a frame of `samples` takes."""
        size = self.frame_bytes(samples)
        if size is None:
            raise CodecError(f"{self.name} does not say how long its payloads are")
        return size

    def offer(self) -> str:
        return ""

    def answer(self, fmtp: str) -> str | None:
        return ""

    def encoder(self, fmtp: str = "") -> Any:
        raise CodecError(f"{self.name} carries no audio")

    def decoder(self, fmtp: str = "") -> Any:
        raise CodecError(f"{self.name} carries no audio")

    def encoders(self) -> Any:
        return EncoderRows(self)

    def decoders(self) -> Any:
        return DecoderRows(self)
