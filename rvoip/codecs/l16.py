"""L16: linear audio of 16 bits in network byte order (RFC 3551 section 4.5.11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import IDecoder, IDecoders, IEncoder, IEncoders, Rows
from rvoip.codecs.payloads import contiguous_frames, frame, gather, inside, output
from rvoip.codecs.rows import StreamRows

__all__ = ["L16", "RATES"]

RATES = (8000, 16000, 44100, 48000)

STATIC = {(44100, 2): 10, (44100, 1): 11}


class L16(Codec):
    """Two octets a sample, channels interleaved. Its rows and streams have no state."""

    name = "L16"

    def __init__(self, rate: int, channels: int = 1) -> None:
        if rate not in RATES or channels not in (1, 2):
            raise CodecError(f"no L16/{rate}/{channels}")
        self.sample_rate = self.clock_rate = rate
        self.channels = self.audio_channels = channels
        self.static_payload_type = STATIC.get((rate, channels))

    def frame_bytes(self, samples: int) -> int:
        return 2 * samples

    def samples_of(self, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(lengths % (2 * self.channels), 0, lengths // 2)

    def encoder(self, fmtp: str = "") -> L16Stream:
        return L16Stream(self)

    def decoder(self, fmtp: str = "") -> L16Stream:
        return L16Stream(self)

    def encoders(self) -> L16Encoders:
        return L16Encoders(self)

    def decoders(self) -> L16Decoders:
        return L16Decoders(self)

    def check_frame(self, samples: int) -> None:
        """Raise CodecError where a channel has a sample more than the other."""
        if samples % self.channels:
            raise CodecError(f"{samples} samples are no frame of {self.channels} channels")


@implementer(IEncoder, IDecoder)
class L16Stream:
    """One stream, either way."""

    def __init__(self, codec: L16) -> None:
        self._codec = codec

    def encode(self, pcm: NDArray[np.int16]) -> bytes:
        pcm = frame(pcm)
        self._codec.check_frame(len(pcm))
        return pcm.astype(">i2").tobytes()

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        if not self._codec.payload_samples(payload):
            raise CodecError(f"{len(payload)} octets that are no payload of L16")
        return np.frombuffer(payload, ">i2").astype(np.int16)

    def conceal(self, samples: int) -> NDArray[np.int16]:
        return np.zeros(samples, np.int16)

    def recover(self, payload: bytes, samples: int) -> NDArray[np.int16]:
        return self.conceal(samples)


class _L16Rows(StreamRows):
    def __init__(self, codec: L16) -> None:
        super().__init__()
        self._codec = codec

    def add(self, fmtp: str = "") -> int:
        return self.place(self._codec)


@implementer(IEncoders)
class L16Encoders(_L16Rows):
    """Encoders of many streams: the octets of all at once."""

    def encode(
        self, rows: Rows, pcm: NDArray[np.int16], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        pcm = contiguous_frames(pcm)
        count, samples = pcm.shape
        self._codec.check_frame(samples)
        octets = pcm.astype(">i2", order="C").view(np.uint8)
        lengths = np.full(count, 2 * samples, np.int32)
        if out is None:
            return octets, lengths
        out = output(out, count, 2 * samples)
        out[:, : 2 * samples] = octets
        return out, lengths


@implementer(IDecoders)
class L16Decoders(_L16Rows):
    """Decoders of many streams: the samples of all at once."""

    def decode(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        usable = inside(packets, starts, lengths) & (lengths <= 2 * samples)
        usable &= lengths % (2 * self._codec.channels) == 0
        held = np.where(usable, lengths // 2, 0).astype(np.int32)
        if not held.any():
            return np.zeros((len(packets), samples), np.int16), held
        octets = np.ascontiguousarray(gather(packets, starts, 2 * samples))
        pcm = octets.view(">i2").astype(np.int16)
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
