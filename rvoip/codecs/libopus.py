"""libopus by ctypes: the few functions that a codec of telephony needs."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_char_p, c_int
from importlib.util import find_spec
from pathlib import Path

from rvoip.codecs.native import Functions, NativeLibrary, P

__all__ = [
    "APPLICATION_VOIP",
    "BANDWIDTHS",
    "LIBRARY",
    "SET_BITRATE",
    "SET_COMPLEXITY",
    "SET_DTX",
    "SET_FORCE_CHANNELS",
    "SET_INBAND_FEC",
    "SET_MAX_BANDWIDTH",
    "SET_PACKET_LOSS_PERC",
    "SET_VBR",
]

# opus_defines.h.
APPLICATION_VOIP = 2048
SET_BITRATE = 4002
SET_MAX_BANDWIDTH = 4004
SET_VBR = 4006
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_DTX = 4016
SET_FORCE_CHANNELS = 4022

BANDWIDTHS = ((8000, 1101), (12000, 1102), (16000, 1103), (24000, 1104), (48000, 1105))
"""Sample rates and the audio bandwidth that they can carry, in ascending order."""

FUNCTIONS: Functions = {
    "opus_get_version_string": (c_char_p, ()),
    "opus_encoder_get_size": (c_int, (c_int,)),
    "opus_encoder_init": (c_int, (P, c_int, c_int, c_int)),
    "opus_encoder_ctl": (c_int, (P, c_int, c_int)),
    "opus_encode": (c_int, (P, P, c_int, P, c_int)),
    "opus_decoder_get_size": (c_int, (c_int,)),
    "opus_decoder_init": (c_int, (P, c_int, c_int)),
    "opus_decode": (c_int, (P, P, c_int, P, c_int, c_int)),
}


class _LibOpus(NativeLibrary):
    def candidates(self) -> Sequence[str]:
        """The system's library, else the one that comes in the wheel of PyAV (without loading that)."""
        spec = find_spec("av")
        if spec is None or spec.origin is None:
            return self._names
        bundled = (Path(spec.origin).parent.parent / "av.libs").glob("libopus*")
        return [*self._names, *map(str, sorted(bundled))]


LIBRARY = _LibOpus(
    ("libopus.so.0", "libopus.0.dylib"),
    FUNCTIONS,
    "Opus needs libopus: apt install libopus0, or pip install 'rvoip[opus]'",
)
