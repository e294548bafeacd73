"""What a call between two legs does with the codecs of an offer on its way: hide, drop, add, change.

An offer comes from one leg and goes to the other by `pass_on`; its answer comes back by `answer_back`. Where
the two legs end up with different codecs, what is between them transcodes.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rvoip.codecs.formats import Format, IsFormat, free_numbers, readable
from rvoip.codecs.interfaces import ICodec
from rvoip.codecs.registry import Registry, codec_key, matches

__all__ = ["Answered", "CodecOperations", "Passed", "answer_back", "pass_on"]

ALL = "all"


class CodecOperations(Struct, frozen=True, kw_only=True):
    """Operations on an offer, each a list of patterns (see `Registry.named`; "all" is for every codec)."""

    strip: tuple[str, ...] = ()
    """Gone: the far side is not offered it, and the offerer is not answered with it."""
    keep: tuple[str, ...] = ()
    """Exceptions to `strip`, `mask` and `consume`."""
    mask: tuple[str, ...] = ()
    """Not offered to the far side, but spoken with the offerer if `transcode` has brought something else."""
    consume: tuple[str, ...] = ()
    """As `mask`, but spoken with the offerer whatever the far side is offered."""
    accept: tuple[str, ...] = ()
    """Offered to the far side, and spoken with the offerer even if the far side does not take it."""
    transcode: tuple[str, ...] = ()
    """Offered to the far side although the offerer does not have it, after what he has."""
    set: tuple[tuple[str, str], ...] = ()
    """Pairs of a pattern and the parameters (fmtp) with which it is offered to the far side."""


class Passed(Struct, frozen=True):
    """An offer after the operations."""

    offer: tuple[Format, ...]
    """What the far side is offered; formats of the offerer keep their payload types."""
    own: tuple[Format, ...]
    """Formats of the offerer that are spoken with him even if the far side does not."""


class Answered(Struct, frozen=True):
    """The answer on its way back."""

    answer: tuple[Format, ...]
    """What the offerer is answered with, in the order of preference; empty when there is nothing."""
    transcodes: bool
    """Whether the audio of the two legs differs."""


def pass_on(offered: Sequence[IsFormat], operations: CodecOperations, registry: Registry) -> Passed:
    """What becomes of an offer. Formats that we have no codec for pass by the same rules."""
    formats = readable(offered)
    hidden = operations.consume + (operations.mask if operations.transcode else ())
    passed, own = [], []
    for format in formats:
        kept = _any(operations.keep, format.key)
        if _any(operations.strip, format.key) and not kept:
            continue
        spoken = registry.variant(format.encoding, format.clock_rate, format.channels, format.fmtp or "")
        is_hidden = _any(operations.mask + operations.consume, format.key) and not kept
        if not is_hidden:
            parameters = _set(operations, format.key, format.fmtp)
            passed.append(
                Format(format.payload_type, format.encoding, format.clock_rate, format.channels, parameters)
            )
        answerable = operations.accept + (hidden if is_hidden else ())
        if spoken is not None and _any(answerable, format.key):
            own.append(format)
    there = {format.key for format in passed}
    free = free_numbers(format.payload_type for format in formats)
    taken = {format.payload_type for format in formats}
    for pattern in operations.transcode:
        for codec in registry:
            key = codec_key(codec.name, codec.clock_rate, codec.channels)
            if codec.kind != "audio" or key in there or not matches(pattern.lower(), key):
                continue
            there.add(key)
            static = codec.static_payload_type
            number = static if static is not None and static not in taken else next(free, None)
            if number is not None:
                parameters = _set(operations, key, codec.offer() or None)
                passed.append(Format(number, codec.name, codec.clock_rate, codec.channels, parameters))
    return Passed(tuple(passed), tuple(own))


def answer_back(
    offered: Sequence[IsFormat], passed: Passed, answered: Sequence[IsFormat], registry: Registry
) -> Answered:
    """What the offerer is answered with when the far side has answered `passed.offer` with `answered`.

    First come the formats that both legs have, which need no transcoding, then those that are spoken with the
    offerer alone. Payload types are the offerer's.
    """
    theirs = {format.key: format for format in reversed(readable(offered))}
    permitted = {format.key for format in passed.offer}
    far = [format for format in readable(answered) if format.key in permitted]
    answer: dict[str, Format] = {}
    for format in far:
        if format.key in theirs:
            number = theirs[format.key].payload_type
            answer.setdefault(
                format.key,
                Format(number, format.encoding, format.clock_rate, format.channels, format.fmtp),
            )
    far_audio = next((format.key for format in far if _is_audio(registry, format)), None)
    if far_audio is not None:
        for format in passed.own:
            spoken = registry.variant(format.encoding, format.clock_rate, format.channels, format.fmtp or "")
            if spoken is not None and format.key not in answer:
                codec, parameters = spoken
                answer[format.key] = Format(
                    format.payload_type, codec.name, codec.clock_rate, codec.channels, parameters or None
                )
    near = sorted(answer.values(), key=lambda format: not _is_audio(registry, format))
    near_audio = next((format.key for format in near if _is_audio(registry, format)), None)
    if near_audio is None or far_audio is None:
        return Answered((), False)
    return Answered(tuple(near), near_audio != far_audio)


def _any(patterns: tuple[str, ...], key: str) -> bool:
    return any(pattern == ALL or matches(pattern.lower(), key) for pattern in patterns)


def _codec(registry: Registry, format: Format) -> ICodec | None:
    return registry.find(format.encoding, format.clock_rate, format.channels)


def _is_audio(registry: Registry, format: Format) -> bool:
    """Whether it is audio; so is taken what we have no codec for, unless its name says otherwise."""
    codec = _codec(registry, format)
    return codec.kind == "audio" if codec else format.encoding.lower() not in ("telephone-event", "cn", "red")


def _set(operations: CodecOperations, key: str, fmtp: str | None) -> str | None:
    return next(
        (text or None for pattern, text in operations.set if pattern == ALL or matches(pattern.lower(), key)),
        fmtp,
    )
