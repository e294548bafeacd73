"""Many streams of one codec, a row each.

For a codec that keeps state in an object of its library there is one such object a row, and one call a frame.
Codecs without state, whose columns are computed at once, only count their rows.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from zope.interface import implementer

from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import IDecoders, IEncoders, Rows
from rvoip.codecs.payloads import contiguous_frames, output

__all__ = [
    "DecoderRows",
    "EncoderRows",
    "MAX_STREAMS",
    "NativeDecoderRows",
    "NativeEncoderRows",
    "StreamRows",
]

MAX_STREAMS = 65_536
"""Streams of one codec in one table; an encoder of a process has fewer ports than that."""


class StreamCodec(Protocol):
    """What rows need of their codec (see `ICodec`)."""

    @property
    def name(self) -> str: ...
    def slot(self, samples: int) -> int: ...
    def durations(self, packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]: ...
    def encoder(self, fmtp: str = "") -> Any: ...
    def decoder(self, fmtp: str = "") -> Any: ...


class StreamRows:
    """Objects by row; a row that becomes free is the next to be given out."""

    def __init__(self) -> None:
        self._streams: list[Any] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._streams) - len(self._free)

    def place(self, stream: object) -> int:
        """Put something other than None into a row; raises CodecError when all `MAX_STREAMS` are taken."""
        if self._free:
            row = self._free.pop()
            self._streams[row] = stream
            return row
        if len(self._streams) >= MAX_STREAMS:
            raise CodecError(f"there are {MAX_STREAMS} streams already")
        self._streams.append(stream)
        return len(self._streams) - 1

    def remove(self, row: int) -> None:
        """Empty a row; raises CodecError when it is empty."""
        self[row]
        self._streams[row] = None
        self._free.append(row)

    def __getitem__(self, row: int) -> Any:
        stream = self._streams[row] if 0 <= row < len(self._streams) else None
        if stream is None:
            raise CodecError(f"row {row} has no stream")
        return stream

    def of(self, rows: Rows, count: int) -> list[Any]:
        """The objects of these rows; raises CodecError if one is empty, or they are not `count`."""
        if len(rows) != count:
            raise CodecError(f"{len(rows)} rows for {count} streams")
        return [self[row] for row in rows.tolist()]


@implementer(IEncoders)
class EncoderRows(StreamRows):
    """Encoders (`IEncoder`) of many streams."""

    def __init__(self, codec: StreamCodec) -> None:
        super().__init__()
        self.codec = codec

    def add(self, fmtp: str = "") -> int:
        return self.place(self.codec.encoder(fmtp))

    def encode(
        self, rows: Rows, pcm: NDArray[np.int16], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        pcm = contiguous_frames(pcm)
        streams = self.of(rows, len(pcm))
        out = output(out, len(pcm), self.codec.slot(pcm.shape[1]))
        return out, np.array(self._encode(streams, pcm, out), np.int32)

    def _encode(self, streams: list[Any], pcm: NDArray[np.int16], out: NDArray[np.uint8]) -> list[int]:
        sizes = []
        for index, stream in enumerate(streams):
            payload = stream.encode(pcm[index])
            out[index, : len(payload)] = np.frombuffer(payload, np.uint8)
            sizes.append(len(payload))
        return sizes


@implementer(IDecoders)
class DecoderRows(StreamRows):
    """Decoders (`IDecoder`) of many streams."""

    def __init__(self, codec: StreamCodec) -> None:
        super().__init__()
        self.codec = codec

    def add(self, fmtp: str = "") -> int:
        return self.place(self.codec.decoder(fmtp))

    def decode(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        streams = self.of(rows, len(packets))
        held = self.codec.durations(packets, starts, lengths)
        held[held > samples] = 0
        out = np.zeros((len(packets), samples), np.int16)
        for index in np.flatnonzero(held).tolist():
            begin, length, expected = int(starts[index]), int(lengths[index]), int(held[index])
            held[index] = self._decode(streams[index], packets, index, begin, length, out, expected)
        return out, held

    def conceal(self, rows: Rows, samples: int) -> NDArray[np.int16]:
        out = np.zeros((len(rows), samples), np.int16)
        for index, stream in enumerate(self.of(rows, len(rows))):
            out[index] = stream.conceal(samples)
        return out

    def recover(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> NDArray[np.int16]:
        streams = self.of(rows, len(packets))
        held = self.codec.durations(packets, starts, lengths)
        out = np.zeros((len(packets), samples), np.int16)
        for index, stream in enumerate(streams):
            if held[index]:
                begin = int(starts[index])
                payload = packets[index, begin : begin + int(lengths[index])].tobytes()
                out[index] = stream.recover(payload, samples)
            else:
                out[index] = stream.conceal(samples)
        return out

    def _decode(
        self,
        stream: Any,
        packets: NDArray[np.uint8],
        index: int,
        begin: int,
        length: int,
        out: NDArray[np.int16],
        expected: int,
    ) -> int:
        try:
            pcm = stream.decode(packets[index, begin : begin + length].tobytes())
        except CodecError:
            return 0
        out[index, :expected] = pcm
        return expected


class NativeEncoderRows(EncoderRows):
    """Encoders (`rvoip.codecs.stream.NativeEncoder`) that write straight into the array of payloads."""

    def _encode(self, streams: list[Any], pcm: NDArray[np.int16], out: NDArray[np.uint8]) -> list[int]:
        source, target, size = pcm.ctypes.data, out.ctypes.data, out.shape[1]
        step, stride, samples = pcm.strides[0], out.strides[0], pcm.shape[1]
        sizes = []
        for stream in streams:
            sizes.append(stream.write(source, samples, target, size))
            source += step
            target += stride
        return sizes


class NativeDecoderRows(DecoderRows):
    """Decoders (`rvoip.codecs.stream.NativeDecoder`) that read packets where they stand."""

    def decode(
        self, rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        if packets.strides[1] != 1:
            packets = np.ascontiguousarray(packets)
        return super().decode(rows, packets, starts, lengths, samples)

    def _decode(
        self,
        stream: Any,
        packets: NDArray[np.uint8],
        index: int,
        begin: int,
        length: int,
        out: NDArray[np.int16],
        expected: int,
    ) -> int:
        source = packets.ctypes.data + index * packets.strides[0] + begin
        count: int = stream.read(source, length, out.ctypes.data + index * out.strides[0], expected)
        if count != expected:
            out[index] = 0
        return count
