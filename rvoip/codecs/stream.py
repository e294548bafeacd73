"""One stream of a codec that a library of C computes: arrays by address, or as values."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import IDecoder, IEncoder
from rvoip.codecs.payloads import frame

__all__ = ["NativeDecoder", "NativeEncoder"]


class FramedCodec(Protocol):
    """What a stream needs of its codec (see `ICodec`)."""

    @property
    def name(self) -> str: ...
    def slot(self, samples: int) -> int: ...
    def payload_samples(self, payload: bytes) -> int: ...


@implementer(IEncoder)
class NativeEncoder:
    """An encoder; a subclass gives `write`."""

    def __init__(self, codec: FramedCodec) -> None:
        self.codec = codec

    def write(self, source: int, samples: int, target: int, size: int) -> int:
        """Encode the frame at address `source` into `size` octets at `target`: how many it took.

        `size` is at least `codec.slot(samples)`, which has refused lengths that are no frame.
        """
        raise CodecError(f"{self.codec.name} has no encoder")

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        pcm = frame(pcm)
        size = self.codec.slot(len(pcm))
        payload = np.empty(size, np.uint8)
        length = self.write(pcm.ctypes.data, len(pcm), payload.ctypes.data, size)
        return payload[:length].tobytes()


@implementer(IDecoder)
class NativeDecoder:
    """A decoder; a subclass gives `read`, and what the codec knows about loss."""

    def __init__(self, codec: FramedCodec) -> None:
        self.codec = codec

    def read(self, source: int, length: int, target: int, samples: int) -> int:
        """Decode `length` octets at address `source`, which hold `samples`, to `target`: the number again.

        0 if the library finds fault with the payload.
        """
        raise CodecError(f"{self.codec.name} has no decoder")

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        samples = self._samples(payload)
        source = np.frombuffer(payload, np.uint8)
        pcm = np.empty(samples, np.int16)
        if self.read(source.ctypes.data, len(payload), pcm.ctypes.data, samples) != samples:
            raise CodecError(f"{len(payload)} octets that {self.codec.name} cannot decode")
        return pcm

    def conceal(self, samples: int) -> NDArray[np.int16]:
        return np.zeros(samples, np.int16)

    def recover(self, payload: bytes, samples: int) -> NDArray[np.int16]:
        self._samples(payload)
        return self.conceal(samples)

    def _samples(self, payload: bytes) -> int:
        """How many samples a payload holds; raises CodecError where it is none."""
        samples = self.codec.payload_samples(payload)
        if not samples:
            raise CodecError(f"{len(payload)} octets that are no payload of {self.codec.name}")
        return samples
