"""Which codecs of an offer are used: pure functions over plain values (RFC 3264, RFC 3551).

Patterns name codecs as `Registry.named` has it: "opus", "L16/16000", "L16/44100/2".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from rvoip.codecs.fmtp import parse_fmtp
from rvoip.codecs.formats import Format, IsFormat, free_numbers, readable
from rvoip.codecs.interfaces import ICodec
from rvoip.codecs.registry import Registry, codec_key, matches

__all__ = ["OFFERED", "Choice", "Policy", "accept", "choose", "offer"]

OFFERED = ("opus", "G722", "PCMA", "PCMU")
"""What an offer holds, as far as it is there, where a policy allows everything."""

USUAL = {"opus/48000/2": 111, "telephone-event/8000": 101, "telephone-event/48000": 110}
"""Payload types without a fixed meaning that most others give to these formats."""

MAX_PTIME = 1000.0


class Policy(Struct, frozen=True, kw_only=True):
    """What a leg wants of its codecs."""

    allow: tuple[str, ...] = ()
    """Patterns of audio codecs in the order of our preference; empty for all that there are."""
    deny: tuple[str, ...] = ()
    """Patterns of codecs, of events and of noise too, that are not used; goes before `allow`."""
    order: Literal["peer", "ours"] = "peer"
    """Whose preference an answer follows; RFC 3264 section 6.1 recommends the peer's."""
    most: int | None = None
    """Audio codecs in an answer at most; 1 leaves the peer no way to change during the call."""
    noise: bool = False
    """Whether an offer has comfort noise in it; in an answer it is whenever the peer has offered it."""
    ptime: float | None = None
    """Milliseconds of the packets that are sent to a peer who does not say what he wants."""
    max_ptime: float = 120
    """Milliseconds of the packets that are sent at most."""
    step: float = 10
    """Packets are whole multiples of this where the codec has such frames: what the sender counts in."""


class Choice(Struct, frozen=True):
    """A codec that both sides have."""

    codec: ICodec
    format: Format
    """Its payload type in what is sent to the peer, and our own parameters."""
    peer_fmtp: str
    """The peer's parameters, for `ICodec.encoder`."""
    ptime: float
    """Milliseconds of the packets that are sent."""
    receive_payload_type: int
    """Its payload type in what the peer sends."""


def choose(
    offered: Sequence[IsFormat],
    policy: Policy,
    registry: Registry,
    ptime: float | None = None,
    max_ptime: float | None = None,
) -> list[Choice]:
    """The formats to answer an offer with, the first of which is used; empty without audio in common.

    `ptime` and `max_ptime` are the peer's (a=ptime, a=maxptime). Payload types are those of the offer. Events
    and noise follow the audio, at its clock rates; if events were offered at none of them, then at what they
    were offered.
    """
    mutual: dict[str, Choice] = {}
    for format in readable(offered):
        found = registry.variant(format.encoding, format.clock_rate, format.channels, format.fmtp or "")
        if found is None or format.key in mutual or not _permitted(found[0], policy):
            continue
        codec, answer = found
        ours = Format(format.payload_type, codec.name, codec.clock_rate, codec.channels, answer or None)
        packet = _ptime(codec, policy, format.fmtp or "", ptime, max_ptime)
        mutual[format.key] = Choice(codec, ours, format.fmtp or "", packet, format.payload_type)
    audio = [choice for choice in mutual.values() if choice.codec.kind == "audio"]
    if policy.order == "ours":
        audio.sort(key=lambda choice: _preference(choice.codec, policy, registry))
    audio = audio[: policy.most]
    return audio + _companions(audio, mutual.values()) if audio else []


def offer(policy: Policy, registry: Registry, numbers: Mapping[str, int] | None = None) -> list[Format]:
    """The formats of our own offer, in the order of our preference.

    `numbers` are payload types that formats (by `codec_key`) had earlier in the session: they keep them.
    """
    audio: dict[str, ICodec] = {}
    for pattern in policy.allow or OFFERED:
        for codec in registry:
            key = codec_key(codec.name, codec.clock_rate, codec.channels)
            if codec.kind == "audio" and matches(pattern.lower(), key) and not _denied(codec, policy):
                audio.setdefault(key, codec)
    rates = list(dict.fromkeys(codec.clock_rate for codec in audio.values()))
    listed = list(audio.values())
    for name in ("telephone-event", *(("CN",) if policy.noise else ())):
        found = [registry.find(name, rate) for rate in rates]
        listed += [codec for codec in found if codec is not None and not _denied(codec, policy)]
    return _numbered(listed, numbers or {})


def accept(
    offered: Sequence[Format],
    answered: Sequence[IsFormat],
    policy: Policy,
    registry: Registry,
    ptime: float | None = None,
    max_ptime: float | None = None,
) -> list[Choice]:
    """What the answer to our `offered` makes of it, in the order of the answer; empty without audio.

    Formats are told by what they stand for: an answer may give one another payload type, by which it is then
    sent, while the peer goes on to send by ours (RFC 3264 section 5.1).
    """
    ours = {format.key: format for format in reversed(offered)}
    choices: dict[str, Choice] = {}
    for format in readable(answered):
        found = registry.variant(format.encoding, format.clock_rate, format.channels, format.fmtp or "")
        mine = ours.get(format.key)
        if found is None or mine is None or format.key in choices:
            continue
        codec = found[0]
        if codec.answer(mine.fmtp or "") is None:
            continue
        sent = Format(format.payload_type, codec.name, codec.clock_rate, codec.channels, mine.fmtp)
        packet = _ptime(codec, policy, format.fmtp or "", ptime, max_ptime)
        choices[format.key] = Choice(codec, sent, format.fmtp or "", packet, mine.payload_type)
    audio = [choice for choice in choices.values() if choice.codec.kind == "audio"]
    return audio + _companions(audio, choices.values()) if audio else []


def _key(codec: ICodec) -> str:
    return codec_key(codec.name, codec.clock_rate, codec.channels)


def _denied(codec: ICodec, policy: Policy) -> bool:
    return any(matches(pattern.lower(), _key(codec)) for pattern in policy.deny)


def _permitted(codec: ICodec, policy: Policy) -> bool:
    if _denied(codec, policy):
        return False
    if codec.kind != "audio" or not policy.allow:
        return True
    return any(matches(pattern.lower(), _key(codec)) for pattern in policy.allow)


def _preference(codec: ICodec, policy: Policy, registry: Registry) -> int:
    if policy.allow:
        return next(index for index, name in enumerate(policy.allow) if matches(name.lower(), _key(codec)))
    return next(index for index, other in enumerate(registry) if _key(other) == _key(codec))


def _companions(audio: list[Choice], choices: Iterable[Choice]) -> list[Choice]:
    rates = {choice.codec.clock_rate for choice in audio}
    events = [choice for choice in choices if choice.codec.kind == "events"]
    noise = [choice for choice in choices if choice.codec.kind == "noise"]
    at_a_rate = [choice for choice in events if choice.codec.clock_rate in rates]
    return (at_a_rate or events) + [choice for choice in noise if choice.codec.clock_rate in rates]


def _ptime(codec: ICodec, policy: Policy, fmtp: str, ptime: float | None, max_ptime: float | None) -> float:
    """Milliseconds of a packet: the peer's wish (whole, from the description or from fmtp), within bounds."""
    written = parse_fmtp(fmtp)
    wanted = _milliseconds(ptime) or _milliseconds(written.get("ptime")) or policy.ptime or codec.ptime
    limit = _milliseconds(max_ptime) or _milliseconds(written.get("maxptime")) or MAX_PTIME
    most = min(limit, policy.max_ptime)
    for count in range(int(min(wanted, most) // policy.step), 0, -1):
        packet = count * policy.step
        if codec.fit_ptime(packet, most) == packet:
            return packet
    return codec.fit_ptime(wanted, most)


def _milliseconds(value: float | str | None) -> float | None:
    """A length that a peer has written; None when it is no number between 1 and 1000."""
    if isinstance(value, str):
        value = int(value) if len(value) <= 4 and value.isascii() and value.isdigit() else None
    return value if value is not None and 1 <= value <= MAX_PTIME else None


def _numbered(codecs: list[ICodec], numbers: Mapping[str, int]) -> list[Format]:
    """Formats with payload types: the one that it had, the fixed one, the usual one, the next free one."""
    given: dict[str, int] = {}
    keys = [_key(codec) for codec in codecs]
    for key, codec in zip(keys, codecs):
        wanted = numbers.get(key, codec.static_payload_type)
        if wanted is not None and wanted not in given.values():
            given[key] = wanted
    # A number that stood for another format earlier keeps its meaning to the end of the session.
    taken = {*given.values(), *numbers.values()}
    for key in keys:
        usual = USUAL.get(key)
        if key not in given and usual is not None and usual not in taken:
            given[key] = usual
            taken.add(usual)
    free = free_numbers(taken)
    for key in keys:
        if key not in given and (number := next(free, None)) is not None:
            given[key] = number
    return [
        Format(given[key], codec.name, codec.clock_rate, codec.channels, codec.offer() or None)
        for key, codec in zip(keys, codecs)
        if key in given
    ]
