"""The codecs that there are, by what is signalled of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rvoip.codecs.described import ComfortNoise, TelephoneEvent
from rvoip.codecs.errors import CodecError
from rvoip.codecs.g711 import PCMA, PCMU
from rvoip.codecs.g722 import G722
from rvoip.codecs.interfaces import ICodec, ICodecPlugin
from rvoip.codecs.l16 import L16, RATES
from rvoip.codecs.opus import Opus, OpusSettings

__all__ = ["Registry", "built_in", "codec_key"]

CLOCK_RATES = (8000, 16000, 44100, 48000)
"""Clock rates of the audio codecs, at which events and noise are signalled too."""


def codec_key(name: str, clock_rate: int, channels: int = 1) -> str:
    """What two formats have in common that are one: "opus/48000/2", "pcmu/8000"."""
    return f"{name.lower()}/{clock_rate}" + (f"/{channels}" if channels != 1 else "")


def built_in(opus: OpusSettings | None = None) -> list[ICodec]:
    """The codecs of this package that no plugin brings, in the order in which they are preferred."""
    return [
        Opus(opus),
        G722(),
        PCMA,
        PCMU,
        *(L16(rate, channels) for rate in RATES for channels in (1, 2)),
        *(TelephoneEvent(rate) for rate in CLOCK_RATES),
        *(ComfortNoise(rate) for rate in CLOCK_RATES),
    ]


class Registry:
    """Codecs in the order of preference.

    Of those that are signalled alike, the first is the one that goes with a peer's parameters (`variant`).

    A codec whose library is absent is in `absent` with the line that says what to install, and is not found.
    """

    def __init__(self, codecs: Iterable[ICodec], plugins: Iterable[ICodecPlugin] = ()) -> None:
        self._codecs: dict[str, list[ICodec]] = {}
        self._static: dict[int, ICodec] = {}
        self.absent: dict[str, str] = {}
        for codec in [*codecs, *(codec for plugin in plugins for codec in plugin.codecs())]:
            key = codec_key(codec.name, codec.clock_rate, codec.channels)
            if missing := codec.missing():
                self.absent.setdefault(key, missing)
                continue
            self._codecs.setdefault(key, []).append(codec)
            if codec.static_payload_type is not None:
                self._static.setdefault(codec.static_payload_type, codec)
        for key in self._codecs:
            self.absent.pop(key, None)

    def __iter__(self) -> Iterator[ICodec]:
        """The first of those that are signalled alike, in the order of preference."""
        return (variants[0] for variants in self._codecs.values())

    def __len__(self) -> int:
        return len(self._codecs)

    def find(self, name: str, clock_rate: int, channels: int = 1) -> ICodec | None:
        """The codec that is signalled so, None if there is none."""
        variants = self._codecs.get(codec_key(name, clock_rate, channels))
        return variants[0] if variants else None

    def variant(self, name: str, clock_rate: int, channels: int, fmtp: str) -> tuple[ICodec, str] | None:
        """The codec that is signalled so and goes with a peer's parameters, and its own in answer to them."""
        for codec in self._codecs.get(codec_key(name, clock_rate, channels), ()):
            if (answer := codec.answer(fmtp)) is not None:
                return codec, answer
        return None

    def static(self, payload_type: int) -> ICodec | None:
        """The codec of a payload type with a fixed meaning (RFC 3551 section 6), None if there is none."""
        return self._static.get(payload_type)

    def named(self, pattern: str) -> list[ICodec]:
        """Codecs by a name of a configuration: "opus", "L16/16000" or "L16/44100/2", in order.

        Raises CodecError when there is none, with what is missing if that is the reason.
        """
        wanted = pattern.lower()
        found = [variants[0] for key, variants in self._codecs.items() if matches(wanted, key)]
        if not found:
            reasons = [line for key, line in self.absent.items() if matches(wanted, key)]
            raise CodecError(reasons[0] if reasons else f"no codec is called {pattern[:40]!r}")
        return found


def matches(pattern: str, key: str) -> bool:
    """Whether a pattern in lower case ("l16", "l16/44100", "l16/44100/2") is for the codec with this key.

    The pattern without channels is for all of them, one that ends in "/1" for one channel.
    """
    return key == pattern or key.startswith(pattern + "/") or f"{key}/1" == pattern
