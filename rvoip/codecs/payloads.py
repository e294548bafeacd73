"""Where payloads and frames stand: checks of what comes in, and the copying of columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import Rows

__all__ = ["contiguous_frames", "frame", "gather", "inside", "output"]


def inside(packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.bool_]:
    """Which payloads have an octet at least, and stand in their slots with all that they claim to have."""
    slot = packets.shape[1]
    # Compared this way round, no sum of two numbers that came from a packet can overflow.
    found: NDArray[np.bool_] = (
        (starts >= 0) & (starts <= slot) & (lengths > 0) & (lengths <= slot - np.minimum(starts, slot))
    )
    return found


def gather(packets: NDArray[np.uint8], starts: Rows, size: int) -> NDArray[np.uint8]:
    """The `size` octets from `starts[i]` on of each row; what lies outside of a slot is its last octet."""
    if len(starts) and (starts == starts[0]).all() and 0 <= starts[0] <= packets.shape[1] - size:
        begin = int(starts[0])
        return packets[:, begin : begin + size]
    columns = np.clip(starts[:, None] + np.arange(size), 0, packets.shape[1] - 1)
    found: NDArray[np.uint8] = np.take_along_axis(packets, columns, 1)
    return found


def frame(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """A frame of one stream, contiguous; raises CodecError for what is none."""
    if pcm.dtype != np.int16 or pcm.ndim != 1 or not pcm.size:
        raise CodecError("a frame is an int16 array of one dimension, with a sample at least")
    return np.ascontiguousarray(pcm)


def contiguous_frames(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Frames of many streams, the samples of each contiguous; raises CodecError for what is none."""
    if pcm.dtype != np.int16 or pcm.ndim != 2 or not pcm.shape[1]:
        raise CodecError("frames are an int16 array (streams, samples), with a sample at least")
    return pcm if pcm.strides[1] == 2 else np.ascontiguousarray(pcm)


def output(out: NDArray[np.uint8] | None, count: int, size: int) -> NDArray[np.uint8]:
    """The array for `count` payloads of `size` octets: `out` when it is given and large enough."""
    if out is None:
        return np.empty((count, size), np.uint8)
    if out.dtype != np.uint8 or out.ndim != 2 or len(out) != count or (count and out.strides[1] != 1):
        raise CodecError(f"out is no uint8 array with {count} rows of contiguous octets")
    if out.shape[1] < size:
        raise CodecError(f"out has {out.shape[1]} octets a row, a payload needs {size}")
    return out
