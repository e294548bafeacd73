"""What a codec does for one stream and for many, and how a plugin brings further codecs.

Audio is int16. For one stream it has one dimension; two channels stand interleaved (left, right, left, ...).
For many streams it has the shape (streams, samples), C order. `samples` counts values of the array, so that
20 ms of stereo at 48,000 Hz are 1,920. Payloads are what stands in an RTP packet after the header.

The two forms agree bit for bit: the same frames through one encoder each, or through the rows of one
`IEncoders`, give the same octets.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, implementer

__all__ = ["CodecPlugin", "ICodec", "ICodecPlugin", "IDecoder", "IDecoders", "IEncoder", "IEncoders", "Rows"]

Rows = NDArray[np.intp]
"""Numbers of streams as `add` gave them, one for each row of the arrays beside them; none twice."""


class IEncoder(Interface):
    """The sending side of one stream."""

    def encode(pcm: NDArray[np.int16]) -> bytes:
        """The payload of one packet; empty when nothing need be sent for this frame (DTX).

        Raises CodecError when the codec has no frame of this length.
        """


class IDecoder(Interface):
    """The receiving side of one stream."""

    def decode(payload: bytes) -> NDArray[np.int16]:
        """The audio of one packet; raises CodecError when the payload is none of this codec."""

    def conceal(samples: int) -> NDArray[np.int16]:
        """Audio for a packet that did not come: the codec's own, silence where `ICodec.conceals` is false."""

    def recover(payload: bytes, samples: int) -> NDArray[np.int16]:
        """Audio for a packet that did not come, from the one after it, which has yet to be decoded.

        Where the later packet holds nothing of the earlier (always, if `ICodec.recovers` is false), this is
        `conceal`. Raises CodecError as `decode` does.
        """


class IEncoders(Interface):
    """The sending side of many streams, one row each. Rows of removed streams are given out again."""

    def add(fmtp: str = "") -> int:
        """A new stream whose receiver has described itself by `fmtp`: its row."""

    def remove(row: int) -> None:
        """Forget a stream, its state and its settings."""

    def encode(
        rows: Rows, pcm: NDArray[np.int16], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Encode a frame of each stream: `pcm` (n, samples) to payloads (n, size) and their lengths (n,).

        With `out` (n, at least size; the octets of a row contiguous) payloads are written there and `out` is
        what comes back. A length of 0 is a frame for which nothing need be sent. Raises CodecError when the
        codec has no frame of this length, or `out` is too small for one.
        """


class IDecoders(Interface):
    """The receiving side of many streams, one row each. Rows of removed streams are given out again.

    Payloads are where the packets are: row i of `packets` (n, slot) holds one from `starts[i]` on, of
    `lengths[i]` octets. What does not fit into the slot, or is no payload of the codec, changes no state and
    no other row: its count is 0.
    """

    def add(fmtp: str = "") -> int:
        """A new stream that was described by `fmtp`: its row."""

    def remove(row: int) -> None:
        """Forget a stream and its state."""

    def decode(
        rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
        """Decode a packet of each stream: (n, samples), silent after its end, and how many samples it had.

        A packet that holds more than `samples` is not decoded, and its count is 0: ask `ICodec.durations`.
        """

    def conceal(rows: Rows, samples: int) -> NDArray[np.int16]:
        """`IDecoder.conceal` of each stream: (n, samples)."""

    def recover(
        rows: Rows, packets: NDArray[np.uint8], starts: Rows, lengths: Rows, samples: int
    ) -> NDArray[np.int16]:
        """`IDecoder.recover` of each stream: (n, samples); concealment where the packet is no payload."""


class ICodec(Interface):
    """One encoding as it is signalled, and what makes encoders and decoders of it. Without state itself."""

    name: str = Attribute("Encoding name, `G722`; compared without regard to case.")
    sample_rate: int = Attribute("Samples of a channel a second of the audio, 16000 for G.722.")
    clock_rate: int = Attribute("Rate of the RTP timestamp in Hz, as signalled: 8000 for G.722.")
    channels: int = Attribute("Channels as signalled: 2 for Opus, whatever it carries.")
    audio_channels: int = Attribute("Channels of the audio that goes in and comes out, 1 or 2.")
    static_payload_type: int | None = Attribute("Payload type with a fixed meaning (RFC 3551), or None.")
    kind: str = Attribute("`audio`, `events` (telephone-event) or `noise` (CN); only `audio` has encoders.")
    conceals: bool = Attribute("Whether decoders conceal by themselves; who has the audio conceals the rest.")
    recovers: bool = Attribute("Whether a packet may hold something of the one before it (FEC).")
    ptime: float = Attribute("Milliseconds of a packet where nobody asks for another length.")

    def missing() -> str:
        """What is to be installed for this codec, in one line; empty when it can be used."""

    def frame_samples(ptime: float) -> int:
        """Samples (of all channels) of a frame of `ptime` milliseconds; CodecError if there is none."""

    def fit_ptime(wanted: float, most: float) -> float:
        """The longest frame in ms of at most `wanted` and `most`; the shortest there is if none is."""

    def frame_bytes(samples: int) -> int | None:
        """Octets of a frame of `samples`, None where that varies."""

    def payload_samples(payload: bytes) -> int:
        """Samples (of all channels) that a payload holds; 0 if it is none of this codec."""

    def durations(packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]:
        """`payload_samples` of one payload a row (see `IDecoders`)."""

    def offer() -> str:
        """The parameters (fmtp) that describe us in an offer; empty if there are none."""

    def answer(fmtp: str) -> str | None:
        """Our parameters for a peer that offers with `fmtp`; None when the two do not go together."""

    def encoder(fmtp: str = "") -> IEncoder:
        """The sending side of a stream to who described itself by `fmtp`; raises CodecMissing."""

    def decoder(fmtp: str = "") -> IDecoder:
        """The receiving side of a stream; raises CodecMissing."""

    def encoders() -> IEncoders:
        """The sending side of many streams; raises CodecMissing."""

    def decoders() -> IDecoders:
        """The receiving side of many streams; raises CodecMissing."""


class ICodecPlugin(Interface):
    """Brings further codecs: an object of a module in `rvoip.plugins` provides this and Twisted's IPlugin."""

    name: str = Attribute("What a configuration calls it: `g729`.")

    def codecs() -> Iterable[ICodec]:
        """The codecs, whether what they need is installed (`ICodec.missing`) or not."""


@implementer(IPlugin, ICodecPlugin)
class CodecPlugin:
    """A plugin by the dotted name of a module, whose `codecs()` it calls; imported when that is asked for."""

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self._module = module

    def codecs(self) -> Iterable[Any]:
        """The codecs of the module; raises ImportError where there is no such module."""
        found: Iterable[Any] = import_module(self._module).codecs()
        return found
