"""Keys in the session description (SDES, RFC 4568): `a=crypto` values read, written and negotiated.

Pure functions over the text of the attribute's value; randomness is handed in. A line that cannot be used is
refused with the reason, and the others are looked at: an offer has several, so that the peer may choose.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.suites import MAX_LIFETIME, SUITES, MasterKey, Suite

__all__ = [
    "DEFAULT_SUITES",
    "MAX_KEYS",
    "MAX_LINES",
    "MIN_LIFETIME",
    "CryptoLine",
    "Negotiated",
    "SDESError",
    "accept",
    "answer",
    "new_key",
    "offer",
    "parse_crypto",
]

DEFAULT_SUITES: Final = tuple(SUITES)
"""What is offered and taken: the stronger first, short tags last."""
MIN_LIFETIME: Final = 2**16
"""A key that lives for fewer packets is refused: 2^16 are 22 minutes, and each end needs a re-INVITE."""
MAX_LINES: Final = 32
"""Of how many lines of an offer the rest is not looked at."""
MAX_KEYS: Final = 8
"""How many keys one line may have."""
MAX_LENGTH: Final = 4096
"""Characters of the longest line that is looked at."""

_LINE: Final = re.compile(r"([0-9]{1,9})[ ]+([A-Za-z0-9_]{1,64})[ ]+([!-~]+)((?:[ ]+[!-~]+)*)[ ]*", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_POWER: Final = re.compile(r"2\^([0-9]{1,2})", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_MKI: Final = re.compile(r"([0-9]{1,39}):([0-9]{1,3})", re.ASCII)
_WINDOW: Final = re.compile(r"WSH=([0-9]{1,5})", re.ASCII)
_UNSUPPORTED: Final = {
    "KDR": "keys that are derived anew while they are used",
    "UNENCRYPTED_SRTP": "media that is not encrypted",
    "UNENCRYPTED_SRTCP": "reports that are not encrypted",
    "UNAUTHENTICATED_SRTP": "media that is not authenticated",
    "FEC_ORDER": "forward error correction",
    "FEC_KEY": "forward error correction",
}
"""Session parameters (RFC 4568 section 6.3) of which each changes what a packet is."""


class SDESError(RTPError):
    """A line, or all lines of an offer or answer, cannot be used; `reason` says why in one clause."""


class CryptoLine(Struct, frozen=True, gc=False):
    """One `a=crypto` line that can be used: its tag, and the keys of who wrote it.

    `window` is the size of the replay window that it asks for (packets), or 0.
    """

    tag: int
    suite: Suite
    keys: tuple[MasterKey, ...]
    window: int = 0

    def __str__(self) -> str:
        """The value of the attribute, keys included: nothing for a log."""
        text = f"{self.tag} {self.suite.name} " + ";".join(_inline(key) for key in self.keys)
        return f"{text} WSH={self.window}" if self.window else text

    def __repr__(self) -> str:
        return f"CryptoLine({self.tag}, {self.suite.name}, {len(self.keys)} keys)"


class Negotiated(Struct, frozen=True, gc=False):
    """What an offer and its answer agreed on: the keys of the peer, ours, and our line for the SDP."""

    receive: tuple[MasterKey, ...]
    send: MasterKey
    line: CryptoLine
    window: int = 128
    """For `SecureLeg`: what the peer asked for, at least 128 packets."""


def parse_crypto(text: str) -> CryptoLine:
    """Read "1 AES_CM_128_HMAC_SHA1_80 inline:WVNf...|2^20|1:4 WSH=64"; raises SDESError with the reason.

    Suites are those of `suites.SUITES`. The session parameter WSH is understood; others are refused by name,
    but those that begin with "-" and are not known are ignored (RFC 4568 section 6.3.7).
    """
    if len(text) > MAX_LENGTH:
        raise SDESError(f"a crypto line of more than {MAX_LENGTH} characters")
    found = _LINE.fullmatch(text)
    if found is None:
        raise SDESError("a crypto line that is malformed")
    suite = SUITES.get(found[2])
    if suite is None:
        raise SDESError("a crypto suite that is not known here")
    parts = [found[3], *found[4].split()]
    # Several keys are one field; some write a space behind the semicolon.
    inline = parts.pop(0)
    while inline.endswith(";") and parts:
        inline += parts.pop(0)
    inlines = [part for part in inline.split(";") if part]
    if len(inlines) > MAX_KEYS:
        raise SDESError(f"a crypto line with more than {MAX_KEYS} keys")
    keys = tuple(_key(part, suite) for part in inlines)
    if not keys:
        raise SDESError("a crypto line without a key")
    if len(keys) > 1 and (
        len({key.mki for key in keys}) < len(keys)
        or len({len(key.mki) for key in keys}) > 1
        or not keys[0].mki
    ):
        raise SDESError("several keys that their MKI does not tell apart")
    return CryptoLine(int(found[1]), suite, keys, _window(parts))


def _key(text: str, suite: Suite) -> MasterKey:
    method, colon, information = text.partition(":")
    if method.lower() != "inline" or not colon:
        raise SDESError("a key method other than inline")
    material, *rest = information.split("|")
    padded = material + "=" * (-len(material) % 4)
    if not _BASE64.fullmatch(padded):
        raise SDESError("a key that is not base64")
    try:
        octets = base64.b64decode(padded, validate=True)
    except binascii.Error:
        raise SDESError("a key that is not base64") from None
    if len(octets) != suite.length:
        raise SDESError(f"a key of a wrong length for {suite.name}")
    lifetime, mki = MAX_LIFETIME, b""
    if rest and ":" not in rest[0]:
        lifetime = _lifetime(rest.pop(0))
    if rest:
        mki = _mki(rest.pop(0))
    if rest:
        raise SDESError("a key with fields that are not known")
    return MasterKey.cut(suite, octets, mki, lifetime)


def _lifetime(text: str) -> int:
    if power := _POWER.fullmatch(text):
        lifetime = 1 << int(power[1])
    elif _NUMBER.fullmatch(text):
        lifetime = int(text)
    else:
        raise SDESError("a lifetime that is malformed")
    if not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        raise SDESError("a lifetime that is not between 2^16 and 2^48 packets")
    return lifetime


def _mki(text: str) -> bytes:
    found = _MKI.fullmatch(text)
    if found is None:
        raise SDESError("an MKI that is malformed")
    value, length = int(found[1]), int(found[2])
    if not 1 <= length <= 128 or value >= 1 << (8 * min(length, 17)):
        raise SDESError("an MKI that does not fit its length")
    return value.to_bytes(length, "big")


def _window(parameters: Iterable[str]) -> int:
    window = 0
    for parameter in parameters:
        name = parameter.lstrip("-").partition("=")[0]
        if found := _WINDOW.fullmatch(parameter):
            window = int(found[1])
            if not 64 <= window <= 0x7FFF:
                raise SDESError("a replay window of fewer than 64 or more than 32767 packets")
        elif name in _UNSUPPORTED:
            raise SDESError(f"{name}: {_UNSUPPORTED[name]}")
        elif not parameter.startswith("-"):
            raise SDESError("a session parameter that is not known here")
    return window


def _inline(key: MasterKey) -> str:
    text = "inline:" + base64.b64encode(key.material).decode("ascii")
    if key.lifetime != MAX_LIFETIME:
        power = key.lifetime.bit_length() - 1
        text += f"|2^{power}" if key.lifetime == 1 << power else f"|{key.lifetime}"
    if key.mki:
        text += f"|{int.from_bytes(key.mki, 'big')}:{len(key.mki)}"
    return text


def new_key(suite: Suite, random: Callable[[int], bytes]) -> MasterKey:
    """A key of ours; `random(n)` gives n octets that nobody can guess (`secrets.token_bytes`)."""
    material = random(suite.length)
    if len(material) != suite.length:
        raise RTPBuildError("the randomness is too short")
    return MasterKey.cut(suite, material)


def offer(random: Callable[[int], bytes], suites: Sequence[str] = DEFAULT_SUITES) -> list[CryptoLine]:
    """The lines of an offer: one a suite, tags from 1, a key of its own each (RFC 4568 section 6.1)."""
    return [
        CryptoLine(tag, SUITES[name], (new_key(SUITES[name], random),)) for tag, name in enumerate(suites, 1)
    ]


def answer(
    lines: Sequence[str], random: Callable[[int], bytes], suites: Sequence[str] = DEFAULT_SUITES
) -> Negotiated:
    """Choose among the values of an offer's lines and make our line; SDESError where none can be used.

    The first line that is usable, in the order of the offer, which is its preference (RFC 4568 section
    5.1.2); `suites` are those that may be chosen. The error names what is wrong with each line.
    """
    reasons = []
    for text in lines[:MAX_LINES]:
        try:
            line = parse_crypto(text)
        except SDESError as error:
            reasons.append(error.reason)
            continue
        if line.suite.name not in suites:
            reasons.append("a crypto suite that is not allowed here")
            continue
        ours = new_key(line.suite, random)
        return Negotiated(line.keys, ours, CryptoLine(line.tag, line.suite, (ours,)), max(line.window, 128))
    raise SDESError("; ".join(dict.fromkeys(reasons)) or "no crypto line")


def accept(offered: Sequence[CryptoLine], lines: Sequence[str]) -> Negotiated:
    """Take the answer to lines of ours; SDESError where it fits none of them.

    An answer has one line, with the tag and the suite of one of the offer (RFC 4568 section 5.1.3).
    """
    if len(lines) != 1:
        raise SDESError("an answer that has not exactly one crypto line")
    line = parse_crypto(lines[0])
    for ours in offered:
        if ours.tag == line.tag:
            if ours.suite != line.suite:
                raise SDESError("an answer with another suite than its tag was offered with")
            return Negotiated(line.keys, ours.keys[0], ours, max(line.window, 128))
    raise SDESError("an answer with a tag that was not offered")
