"""G.722 at 64 kbit/s as the recommendation defines it, sample by sample (ITU-T G.722, 09/2012).

Names are those of the blocks and signals of its sections 3 and 6. Arithmetic is that of 16-bit words.
"""

from __future__ import annotations

from collections.abc import Iterable

# Table 11: coefficients of the QMF, half of the symmetric 24.
QMF = (3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876)

# Table 14: Q6 (decision levels), ILN and ILP (codes by interval, negative and positive), Q2 and its codes.
Q6 = [0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121]
Q6 += [1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919]
ILN = [63, 62, *range(31, 3, -1)]
ILP = [61, 60, *range(59, 31, -1)]

# Tables 16, 17 and 21: inverse quantizers; the sign is in the code.
QQ6 = [136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000, 6576]
QQ6 += [7192, 7856, 8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808]
QQ4 = [0, 1200, 2584, 4240, 6288, 8968, 12896, 20456]
QQ2 = (7408, 1616)

WL = [-60, -30, 58, 172, 334, 538, 1198, 3042]
WH = (798, -214)
# Table 19.
ILB = [round(2048 * 2 ** (k / 32)) for k in range(32)]


def clip(value: int, low: int = -32768, high: int = 32767) -> int:
    return max(low, min(high, value))


def scale(product: int) -> int:
    """A product of two fractions of 16 bits."""
    return product >> 15


class Band:
    """The predictor and the scale factor of one sub-band (blocks 3 and 4)."""

    def __init__(self, det: int) -> None:
        self.det = det
        self.nb = 0
        self.s = 0
        self.sz = 0
        self.r = [0, 0, 0]
        self.p = [0, 0, 0]
        self.a = [0, 0, 0]
        self.d = [0] * 7
        self.b = [0] * 7

    def adapt_scale(self, w: int, limit: int, shift: int) -> None:
        """LOGSCL and SCALEL, or LOGSCH and SCALEH."""
        self.nb = clip(scale(self.nb * 32512) + w, 0, limit)
        exponent = shift - (self.nb >> 11)
        value = ILB[self.nb >> 6 & 31]
        self.det = (value >> exponent if exponent >= 0 else value << -exponent) << 2

    def predict(self, difference: int) -> None:
        """RECONS, PARREC, UPPOL2, UPPOL1, UPZERO, DELAYA, FILTEP, FILTEZ, PREDIC."""
        self.d[0] = difference
        self.r[0] = clip(self.s + difference)
        self.p[0] = clip(self.sz + difference)

        negative = [value < 0 for value in self.p]
        step = clip(4 * self.a[1])
        if negative[0] == negative[1]:
            step = clip(-step)
        second = (128 if negative[0] == negative[2] else -128) + (min(step, 32767) >> 7)
        second = clip(second + scale(self.a[2] * 32512), -12288, 12288)
        first = (192 if negative[0] == negative[1] else -192) + scale(self.a[1] * 32640)
        limit = clip(15360 - second)
        first = clip(first, -limit, limit)
        self.a = [0, first, second]

        gain = 0 if difference == 0 else 128
        for i in range(1, 7):
            change = gain if (self.d[i] < 0) == (difference < 0) else -gain
            self.b[i] = clip(change + scale(self.b[i] * 32640))
        self.d = [difference, *self.d[:6]]
        self.r = [self.r[0], *self.r[:2]]
        self.p = [self.p[0], *self.p[:2]]
        poles = clip(scale(self.a[1] * clip(2 * self.r[1])) + scale(self.a[2] * clip(2 * self.r[2])))
        # From the newest of the delayed differences on.
        self.sz = clip(sum(scale(self.b[i] * clip(2 * self.d[i])) for i in range(6, 0, -1)))
        self.s = clip(poles + self.sz)


class Half:
    """One direction of the codec: both bands."""

    def __init__(self) -> None:
        self.low, self.high = Band(32), Band(8)
        self.x = [0] * 24

    def adapt(self, code: int) -> tuple[int, int, int]:
        """Take a code: the low band's reconstruction of 64 kbit/s, of 48 kbit/s, and the high band's."""
        il, ih = code & 63, code >> 6
        low, high = self.low, self.high
        full = scale(low.det * self.invqbl(il))
        coarse = scale(low.det * self.invqal(il >> 2))
        upper = scale(high.det * (QQ2[ih & 1] if ih & 2 else -QQ2[ih & 1]))
        result = low.s + full, low.s + coarse, high.s + upper
        low.adapt_scale(WL[self.level(il >> 2)], 18432, 8)
        low.predict(coarse)
        high.adapt_scale(WH[ih & 1], 22528, 10)
        high.predict(upper)
        return result

    @staticmethod
    def level(ril: int) -> int:
        """The magnitude of a code of 4 bits (table 17)."""
        return 15 - ril if ril >= 8 else (8 - ril) & 7

    def invqal(self, ril: int) -> int:
        value = QQ4[self.level(ril)]
        return value if ril >= 8 else -value

    @staticmethod
    def invqbl(il: int) -> int:
        if il < 4:
            return -QQ6[0]
        if il in ILP:
            return QQ6[ILP.index(il)]
        return -QQ6[ILN.index(il)]


def encode(pcm: Iterable[int]) -> bytes:
    """Pairs of samples to octets: transmit QMF, both quantizers."""
    half, out = Half(), bytearray()
    samples = list(pcm)
    for j in range(0, len(samples) - 1, 2):
        half.x = [*half.x[2:], samples[j], samples[j + 1]]
        odd = sum(half.x[2 * i] * QMF[2 * i if i < 6 else 23 - 2 * i] for i in range(12))
        even = sum(half.x[2 * i + 1] * QMF[2 * i + 1 if i < 6 else 22 - 2 * i] for i in range(12))
        xl, xh = (even + odd) >> 14, (even - odd) >> 14
        el = clip(xl - half.low.s)
        magnitude = el if el >= 0 else ~el
        interval = sum(magnitude >= Q6[i] * half.low.det >> 12 for i in range(1, 30))
        il = (ILN if el < 0 else ILP)[interval]
        eh = clip(xh - half.high.s)
        magnitude = eh if eh >= 0 else ~eh
        outer = magnitude >= 564 * half.high.det >> 12
        ih = (0 if outer else 1) if eh < 0 else (2 if outer else 3)
        out.append(ih << 6 | il)
        half.adapt(out[-1])
    return bytes(out)


def decode(payload: bytes) -> list[int]:
    """Octets to pairs of samples: both inverse quantizers, receive QMF."""
    half, out = Half(), []
    for code in payload:
        low, _, high = half.adapt(code)
        rl, rh = clip(low, -16384, 16383), clip(high, -16384, 16383)
        half.x = [*half.x[2:], rl + rh, rl - rh]
        second = sum(half.x[2 * i] * QMF[2 * i if i < 6 else 23 - 2 * i] for i in range(12))
        first = sum(half.x[2 * i + 1] * QMF[2 * i + 1 if i < 6 else 22 - 2 * i] for i in range(12))
        out += [clip(first >> 11), clip(second >> 11)]
    return out
