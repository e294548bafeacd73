"""What a conversation is worth: transmission rating R and MOS by the E-model (ITU-T G.107), many legs at
once.

All of G.107 is computed at its default values for what a server cannot know (loudness, noise, echo: a
telephone with good echo control); codec, loss, bursts and delay are those of the leg.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rvoip.media.arrays import Doubles
from rvoip.media.errors import MediaError

__all__ = [
    "CODECS",
    "Impairment",
    "Rating",
    "burst_ratio",
    "impairment",
    "mos",
    "one_way_delay",
    "rate",
    "rating_factor",
]


class Impairment(NamedTuple):
    """Of a codec: its equipment impairment `ie`, and its robustness against random loss `bpl`."""

    ie: float
    bpl: float


CODECS: Mapping[str, Impairment] = {
    # ITU-T G.113 Appendix I, with the concealment of G.711 Appendix I.
    "PCMU": Impairment(0, 25.1),
    "PCMA": Impairment(0, 25.1),
    "G729": Impairment(11, 19.0),
    "G723": Impairment(15, 16.1),
    "AMR": Impairment(5, 10.0),
    # Ours: G.113 has no values on the scale of telephone band, on which these are no worse than G.711.
    "L16": Impairment(0, 25.1),
    "G722": Impairment(0, 25.1),
    "OPUS": Impairment(0, 25.1),
    # Ie of G.113; the robustness of the enhanced codec stands in for its own.
    "GSM": Impairment(20, 10.0),
}
"""By encoding name in capitals. Wide band counts for nothing here: R is on the scale of G.107, 0 to 93.2."""

# Default values of G.107 table 2, in its letters.
_SLR, _RLR, _STMR, _LSTR, _DS, _TELR, _WEPL, _QDU = 8.0, 2.0, 15.0, 18.0, 3.0, 65.0, 110.0, 1.0
_NC, _NFOR, _PS, _PR, _M_T = -70.0, -64.0, 35.0, 35.0, 100.0

_UNCONCEALED = Impairment(0, 4.3)


class Rating(NamedTuple):
    """R and MOS of conversations (MOS-CQ), and MOS of listening, without the delay (MOS-LQ); a row each."""

    r: Doubles
    mos: Doubles
    listening: Doubles


def rate(
    ie: npt.ArrayLike,
    bpl: npt.ArrayLike,
    loss: npt.ArrayLike,
    delay: npt.ArrayLike,
    burst: npt.ArrayLike = 1.0,
) -> Rating:
    """Rate legs.

    `ie` and `bpl` are from CODECS; `loss` is the fraction of packets that were not played, lost or late, 0 to
    1; `delay` is from mouth to ear in seconds (`one_way_delay`); `burst` is the burst ratio, 1 where loss is
    random.
    """
    factor = rating_factor(ie, bpl, loss, delay, burst)
    return Rating(factor, mos(factor), mos(rating_factor(ie, bpl, loss, np.zeros_like(factor), burst)))


def rating_factor(
    ie: npt.ArrayLike,
    bpl: npt.ArrayLike,
    loss: npt.ArrayLike,
    delay: npt.ArrayLike,
    burst: npt.ArrayLike = 1.0,
) -> Doubles:
    """Return R (G.107 clause 7); see `rate`."""
    impairment, robustness = np.asarray(ie, np.float64), np.asarray(bpl, np.float64)
    percent = np.clip(np.asarray(loss, np.float64), 0, 1) * 100
    ratio = np.clip(np.asarray(burst, np.float64), 1, 8)
    effective = impairment + (95 - impairment) * percent / (percent / ratio + robustness)
    t = np.clip(np.asarray(delay, np.float64), 0, 10) * 1000
    found: Doubles = _BASIC - _simultaneous(t) - _delay(t) - effective
    return found


def mos(factor: npt.ArrayLike) -> Doubles:
    """Turn R into MOS, 1 to 4.5 (G.107 Annex B)."""
    r = np.clip(np.asarray(factor, np.float64), 0, 100)
    return np.maximum(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, 1)


def one_way_delay(
    round_trip: npt.ArrayLike, buffer: npt.ArrayLike, packet: npt.ArrayLike = 0.02, codec: npt.ArrayLike = 0.0
) -> Doubles:
    """Return the delay from mouth to ear: half the round trip, buffer, packet and codec; all in seconds."""
    half = np.asarray(round_trip, np.float64) / 2
    found: Doubles = half + np.asarray(buffer) + np.asarray(packet) + np.asarray(codec)
    return found


def burst_ratio(lost: npt.ArrayLike, runs: npt.ArrayLike, packets: npt.ArrayLike) -> Doubles:
    """Return the mean length of a run of losses by that of random loss (G.107 clause 7.6), 1 to 8.

    `lost` of `packets` did not arrive, in `runs` runs.
    """
    count, sent = np.asarray(lost, np.float64), np.maximum(np.asarray(packets, np.float64), 1)
    mean = count / np.maximum(np.asarray(runs, np.float64), 1)
    return np.where(count > 0, np.clip(mean * (1 - np.minimum(count / sent, 1)), 1, 8), 1.0)


def impairment(encoding: str, concealed: bool = True) -> Impairment:
    """Return the values of a codec by its encoding name, PCMU and PCMA also without concealment of losses.

    Raises MediaError for a codec that is not known.
    """
    if not concealed and encoding.upper() in ("PCMU", "PCMA"):
        return _UNCONCEALED
    found = CODECS.get(encoding.upper())
    if found is None:
        raise MediaError(f"the quality of {encoding[:40]!r} is not known")
    return found


def _power_sum(*decibels: float) -> float:
    return float(10 * np.log10(sum(10 ** (one / 10) for one in decibels)))


def _noise() -> float:
    """Return No, the noise in dBm0p (equations 7-3 to 7-7)."""
    olr = _SLR + _RLR
    send = _PS - _SLR - _DS - 100 + 0.004 * (_PS - olr - _DS - 14) ** 2
    effective = _PR + 10 * np.log10(1 + 10 ** ((10 - _LSTR) / 10))
    receive = _RLR - 121 + effective + 0.008 * (effective - 35) ** 2
    return _power_sum(_NC, send, float(receive), _NFOR + _RLR)


_NO = _noise()
_BASIC = 15 - 1.5 * (_SLR + _NO)
"""Ro (equation 7-2)."""


def _simultaneous(t: Doubles) -> Doubles:
    """Return Is: loudness, sidetone, quantising (equations 7-8 to 7-16)."""
    x = (_SLR + _RLR + 0.2 * (64 + _NO - _RLR)) / 8
    loudness = 20 * ((1 + x**8) ** (1 / 8) - x)
    sidetone = -10 * np.log10(10 ** (-_STMR / 10) + np.exp(-t / 4) * 10 ** (-_TELR / 10))
    st = (
        12 * (1 + ((sidetone - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((sidetone + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((sidetone - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    q = 37 - 15 * np.log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y, z = (_BASIC - 100) / 15 + 46 / 8.4 - g / 9, 46 / 30 - g / 40
    found: Doubles = loudness + st + 15 * np.log10(1 + 10**y + 10**z)
    return found


def _delay(t: Doubles) -> Doubles:
    """Return Id for `t` ms one way: talker echo, listener echo, absolute delay (equations 7-17 to 7-28)."""
    terv = _TELR - 40 * np.log10((1 + t / 10) / (1 + t / 150)) + 6 * np.exp(-0.3 * t * t)
    half = (-1.5 * (_NO - _RLR) - (80 + 2.5 * (terv - 14))) / 2
    talker = (half + np.sqrt(half * half + 100) - 1) * (1 - np.exp(-t))
    rle = 10.5 * (_WEPL + 7) * (2 * t + 1) ** -0.25
    half = (_BASIC - rle) / 2
    listener = half + np.sqrt(half * half + 169)
    x = np.log2(np.maximum(t, _M_T) / _M_T)
    absolute = 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)
    found: Doubles = talker + listener + absolute
    return found
