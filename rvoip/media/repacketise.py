"""What is done to the packets of one leg before they go to another: nothing, cutting, or decoding."""

from __future__ import annotations

from typing import Literal

from rvoip.codecs.policy import Choice
from rvoip.codecs.registry import codec_key
from rvoip.media.agreed import Agreed

__all__ = ["Passage", "passage", "received_with"]

Passage = Literal["relay", "repacketise", "transcode"]
"""`relay`: payloads go on as they are, with another payload type if need be. `repacketise`: the same octets
in packets of another length. `transcode`: decoded and encoded."""


def received_with(leg: Agreed, payload_type: int) -> Choice | None:
    """What a payload type stands for in what the peer of a leg sends; None for one that was not agreed on."""
    for choice in leg.choices:
        if choice.receive_payload_type == payload_type:
            return choice
    return None


def passage(source: Choice, packet_ms: float, target: Agreed) -> Passage:
    """How audio of `source`, which comes in packets of `packet_ms`, goes to the peer of `target`.

    Packets of the length that the peer asked for, or of any that he takes where he asked for none, go on as
    they are. Payloads of one size for one length (G.711, L16, G.722) are put together anew. Those that say
    themselves how long they are (Opus) go on as they are where they fit, and are decoded where they do not.
    """
    codec = source.codec
    key = codec_key(codec.name, codec.clock_rate, codec.channels)
    same = next((choice for choice in target.audio if choice.format.key == key), None)
    if same is None:
        return "transcode"
    fits = target.max_ptime is None or packet_ms <= target.max_ptime
    if packet_ms == same.ptime or (target.wanted_ptime is None and fits):
        return "relay"
    if codec.frame_bytes(codec.frame_samples(same.ptime)) is not None:
        return "repacketise"
    return "relay" if fits else "transcode"
