"""AMR and AMR-WB over libopencore-amrnb, libopencore-amrwb and libvo-amrwbenc (RFC 4867). A plugin.

Each of the two comes as two codecs that are signalled alike and differ in `octet-align`; whoever chooses
takes the one whose `answer` is not None. One mode is sent throughout, the highest that the peer permits; a
mode that he requests later is in `AMRDecoder.requested_mode`, for `AMREncoder.set_mode`.
"""

from __future__ import annotations

import weakref
from ctypes import c_int, memmove, string_at
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rvoip.codecs.amr_payload import NARROW_BITS, NO_DATA, WIDE_BITS, pack, unpack
from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.fmtp import integer, parse_fmtp
from rvoip.codecs.interfaces import Rows
from rvoip.codecs.native import NativeLibrary, P
from rvoip.codecs.payloads import inside
from rvoip.codecs.rows import NativeDecoderRows, NativeEncoderRows
from rvoip.codecs.stream import NativeDecoder, NativeEncoder

__all__ = ["AMR", "AMRDecoder", "AMREncoder", "codecs"]

NARROW = NativeLibrary(
    ("libopencore-amrnb.so.0",),
    {
        "Encoder_Interface_init": (P, (c_int,)),
        "Encoder_Interface_Encode": (c_int, (P, c_int, P, P, c_int)),
        "Encoder_Interface_exit": (None, (P,)),
        "Decoder_Interface_init": (P, ()),
        "Decoder_Interface_Decode": (None, (P, P, P, c_int)),
        "Decoder_Interface_exit": (None, (P,)),
    },
    "AMR needs libopencore-amrnb: apt install libopencore-amrnb0",
)
WIDE_DECODER = NativeLibrary(
    ("libopencore-amrwb.so.0",),
    {
        "D_IF_init": (P, ()),
        "D_IF_decode": (None, (P, P, P, c_int)),
        "D_IF_exit": (None, (P,)),
    },
    "AMR-WB needs libopencore-amrwb: apt install libopencore-amrwb0",
)
WIDE_ENCODER = NativeLibrary(
    ("libvo-amrwbenc.so.0",),
    {
        "E_IF_init": (P, ()),
        "E_IF_encode": (c_int, (P, c_int, P, P, c_int)),
        "E_IF_exit": (None, (P,)),
    },
    "AMR-WB needs libvo-amrwbenc: apt install libvo-amrwbenc0",
)

NOT_SPOKEN = ("crc", "robust-sorting")
"""Parameters that ask, with 1, for a payload that is not written here; interleaving does by being there."""


class _Band(Struct, frozen=True):
    """What differs between AMR and AMR-WB."""

    name: str
    rate: int
    bits: tuple[int, ...]
    modes: int
    make_encoder: tuple[NativeLibrary, str, str, str]
    """Library, functions that make, encode and end."""
    make_decoder: tuple[NativeLibrary, str, str, str]


NARROW_BAND = _Band(
    "AMR",
    8000,
    NARROW_BITS,
    8,
    (NARROW, "Encoder_Interface_init", "Encoder_Interface_Encode", "Encoder_Interface_exit"),
    (NARROW, "Decoder_Interface_init", "Decoder_Interface_Decode", "Decoder_Interface_exit"),
)
WIDE_BAND = _Band(
    "AMR-WB",
    16000,
    WIDE_BITS,
    9,
    (WIDE_ENCODER, "E_IF_init", "E_IF_encode", "E_IF_exit"),
    (WIDE_DECODER, "D_IF_init", "D_IF_decode", "D_IF_exit"),
)


class AMR(Codec):
    """AMR, or AMR-WB with `wide`, in frames of 20 ms, octet-aligned or not."""

    conceals = True
    ptimes = (20, 40, 60, 80, 100, 120)

    def __init__(self, wide: bool = False, aligned: bool = False) -> None:
        self.band = band = WIDE_BAND if wide else NARROW_BAND
        self.name = band.name
        self.sample_rate = self.clock_rate = band.rate
        self.aligned = aligned
        self.unit = band.rate // 50

    def missing(self) -> str:
        return self.band.make_encoder[0].missing() or self.band.make_decoder[0].missing()

    def frame_bytes(self, samples: int) -> None:
        return None

    def slot(self, samples: int) -> int:
        frames, rest = divmod(samples, self.unit)
        if rest or not 0 < frames <= len(self.ptimes):
            raise CodecError(f"{self.name} has no frame of {samples} samples")
        return 1 + frames * (1 + (max(self.band.bits) + 7) // 8)

    def payload_samples(self, payload: bytes) -> int:
        return self.unit * len(unpack(payload, self.band.bits, self.aligned)[1])

    def durations(self, packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]:
        held = np.zeros(len(packets), np.int32)
        for row in np.flatnonzero(inside(packets, starts, lengths)).tolist():
            begin = int(starts[row])
            held[row] = self.payload_samples(packets[row, begin : begin + int(lengths[row])].tobytes())
        return held

    def offer(self) -> str:
        return "octet-align=1" if self.aligned else ""

    def answer(self, fmtp: str) -> str | None:
        """The peer's payload format has to be this one's (RFC 4867 section 8.3.1), his modes become ours."""
        found = parse_fmtp(fmtp)
        aligned = found.get("octet-align") == "1"
        if aligned != self.aligned or "interleaving" in found or not self.modes(fmtp):
            return None
        if any(found.get(name) == "1" for name in NOT_SPOKEN):
            return None
        parts = [self.offer()] if aligned else []
        if "mode-set" in found:
            parts.append(f"mode-set={','.join(map(str, self.modes(fmtp)))}")
        return ";".join(parts)

    def modes(self, fmtp: str) -> list[int]:
        """The modes that a peer permits, in ascending order: all without `mode-set`."""
        text = parse_fmtp(fmtp).get("mode-set")
        if text is None:
            return list(range(self.band.modes))
        parts = text.replace(" ", "").split(",", 16)[:16]
        return sorted({mode for part in parts if (mode := integer(part, 0, self.band.modes - 1)) is not None})

    def encoder(self, fmtp: str = "") -> AMREncoder:
        return AMREncoder(self, self.modes(fmtp) or [0])

    def decoder(self, fmtp: str = "") -> AMRDecoder:
        return AMRDecoder(self)

    def encoders(self) -> NativeEncoderRows:
        self.band.make_encoder[0].load()
        return NativeEncoderRows(self)

    def decoders(self) -> NativeDecoderRows:
        self.band.make_decoder[0].load()
        return NativeDecoderRows(self)


class AMREncoder(NativeEncoder):
    """The sending side of one stream, without silence suppression."""

    def __init__(self, codec: AMR, modes: list[int]) -> None:
        super().__init__(codec)
        self._amr = codec
        self._modes = modes
        self._mode = modes[-1]
        source, make, encode, end = codec.band.make_encoder
        library = source.load()
        self._state = getattr(library, make)(*(() if codec.band is WIDE_BAND else (0,)))
        if not self._state:
            raise CodecError(f"the library of {codec.name} makes no encoder")
        weakref.finalize(self, getattr(library, end), self._state)
        self._encode = getattr(library, encode)
        self._frame = np.zeros(64, np.uint8)
        # The encoder of AMR filters its input in place, which is not ours to change.
        self._scratch = np.zeros(codec.unit, np.int16)

    def set_mode(self, mode: int) -> None:
        """Send in this mode from the next frame on, or in the nearest below that the peer permits."""
        self._mode = max((known for known in self._modes if known <= mode), default=self._modes[0])

    def write(self, source: int, samples: int, target: int, size: int) -> int:
        frames = []
        scratch, frame, octets = self._scratch.ctypes.data, self._frame.ctypes.data, 2 * self._amr.unit
        for begin in range(0, 2 * samples, octets):
            memmove(scratch, source + begin, octets)
            length = self._encode(self._state, self._mode, scratch, frame, 0)
            if not 0 < length <= len(self._frame):
                raise CodecError(f"the library of {self._amr.name} refuses a frame")
            frames.append(self._frame[:length].tobytes())
        payload = pack(frames, self._amr.band.bits, self._amr.aligned)
        memmove(target, payload, len(payload))
        return len(payload)


class AMRDecoder(NativeDecoder):
    """The receiving side of one stream."""

    requested_mode: int | None = None
    """The mode that the peer asked to be sent in, in his last packet with such a request."""

    def __init__(self, codec: AMR) -> None:
        super().__init__(codec)
        self._amr = codec
        source, make, decode, end = codec.band.make_decoder
        library = source.load()
        self._state = getattr(library, make)()
        if not self._state:
            raise CodecError(f"the library of {codec.name} makes no decoder")
        weakref.finalize(self, getattr(library, end), self._state)
        self._decode = getattr(library, decode)

    def read(self, source: int, length: int, target: int, samples: int) -> int:
        mode, frames = unpack(string_at(source, length), self._amr.band.bits, self._amr.aligned)
        if mode < self._amr.band.modes:
            self.requested_mode = mode
        for frame in frames:
            self._write(frame, target)
            target += 2 * self._amr.unit
        return samples

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """Frames without data: what the decoder makes of the past, or noise where silence was described."""
        unit = self._amr.unit
        frames = -(-samples // unit)
        pcm = np.zeros(frames * unit, np.int16)
        for index in range(frames):
            self._write(bytes([NO_DATA << 3 | 4]), pcm.ctypes.data + 2 * unit * index)
        return pcm[:samples]

    def _write(self, frame: bytes, target: int) -> None:
        # The decoders read all the bits of their longest frame, whatever there is.
        memory = np.zeros(64, np.uint8)
        memory[: len(frame)] = np.frombuffer(frame, np.uint8)
        self._decode(self._state, memory.ctypes.data, target, 0)


def codecs() -> list[Any]:
    """What the plugin brings."""
    return [AMR(wide, aligned) for wide in (True, False) for aligned in (False, True)]
