"""Opus over libopus (RFC 6716, RFC 7587), with its FEC, DTX and concealment.

The RTP clock is 48,000 Hz and two channels are signalled whatever is carried. The audio that goes in and
comes out has the rate and channels of `OpusSettings`: the library converts, so that a conference at 16,000 Hz
needs no resampler.
"""

from __future__ import annotations

from ctypes import CDLL

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rvoip.codecs import libopus
from rvoip.codecs.codec import Codec
from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import Rows
from rvoip.codecs.opus_packet import MAX_UNITS, UNITS_PER_SECOND, packet_units, units
from rvoip.codecs.opus_parameters import OpusParameters
from rvoip.codecs.rows import NativeDecoderRows, NativeEncoderRows
from rvoip.codecs.stream import NativeDecoder, NativeEncoder

__all__ = ["MAX_PAYLOAD", "Opus", "OpusDecoder", "OpusEncoder", "OpusEncoderRows", "OpusSettings"]

RATES = (8000, 12000, 16000, 24000, 48000)

MAX_PAYLOAD = 1400
"""Octets that are sent at most: with the headers of RTP, SRTP and IPv6 they fit into an Ethernet frame."""

NOTHING_TO_SEND = 2
"""With DTX a packet of no more octets need not be sent."""


class OpusSettings(Struct, frozen=True, kw_only=True):
    """What this side does and wants; where the peer wants less (`OpusParameters`), that goes before it."""

    rate: int = 48000
    """Samples of a channel a second: 8000, 12000, 16000, 24000 or 48000."""
    channels: int = 1
    bitrate: int | None = None
    """Bits a second, 6000 to 510,000; None leaves it to the library, by rate and channels."""
    complexity: int = 5
    """0 to 10."""
    fec: bool = True
    """Send what helps against loss to a peer that can use it, and ask for it."""
    expected_loss: int = 5
    """Percent of packets; the more, the larger a part of the bits is FEC. 0 sends none."""
    dtx: bool = False
    """Send nothing in silence to a peer that prefers it, and prefer it."""
    cbr: bool = False


class Opus(Codec):
    """One codec object for one set of settings."""

    name = "opus"
    clock_rate = 48000
    channels = 2
    conceals = True
    recovers = True
    ptimes = (2.5, 5, 10, 20, 40, 60)

    def __init__(self, settings: OpusSettings | None = None) -> None:
        settings = settings or OpusSettings()
        within = (
            settings.rate in RATES
            and settings.channels in (1, 2)
            and 0 <= settings.complexity <= 10
            and 0 <= settings.expected_loss <= 100
            and (settings.bitrate is None or 6000 <= settings.bitrate <= 510_000)
        )
        if not within:
            raise CodecError(f"not settings of Opus: {settings}")
        self.settings = settings
        self.sample_rate = settings.rate
        self.audio_channels = settings.channels
        self._frames = frozenset(map(self.frame_samples, self.ptimes))
        self._unit = settings.rate * settings.channels // UNITS_PER_SECOND

    def missing(self) -> str:
        return libopus.LIBRARY.missing()

    def frame_bytes(self, samples: int) -> None:
        return None

    def slot(self, samples: int) -> int:
        if samples not in self._frames:
            raise CodecError(f"opus has no frame of {samples} samples")
        return MAX_PAYLOAD

    def payload_samples(self, payload: bytes) -> int:
        return units(payload) * self._unit

    def durations(self, packets: NDArray[np.uint8], starts: Rows, lengths: Rows) -> NDArray[np.int32]:
        return packet_units(packets, starts, lengths) * np.int32(self._unit)

    def offer(self) -> str:
        settings = self.settings
        stereo = settings.channels == 2
        return str(
            OpusParameters(
                max_playback_rate=settings.rate,
                sprop_max_capture_rate=settings.rate,
                max_average_bitrate=settings.bitrate,
                stereo=stereo,
                sprop_stereo=stereo,
                cbr=settings.cbr,
                use_inband_fec=settings.fec,
                use_dtx=settings.dtx,
            )
        )

    def answer(self, fmtp: str) -> str:
        """Each side describes itself: no parameter of the peer's is an obstacle (RFC 7587 section 7)."""
        return self.offer()

    def encoder(self, fmtp: str = "") -> OpusEncoder:
        return OpusEncoder(self, OpusParameters.parse(fmtp))

    def decoder(self, fmtp: str = "") -> OpusDecoder:
        return OpusDecoder(self)

    def encoders(self) -> OpusEncoderRows:
        libopus.LIBRARY.load()
        return OpusEncoderRows(self)

    def decoders(self) -> NativeDecoderRows:
        libopus.LIBRARY.load()
        return NativeDecoderRows(self)


def _state(library: CDLL, size: int) -> tuple[NDArray[np.uint8], int]:
    """Memory for a state of the library, which goes when the object does that holds it; and its address."""
    memory = np.zeros(max(size, 1), np.uint8)
    return memory, memory.ctypes.data


class OpusEncoder(NativeEncoder):
    """The sending side of one stream, to a peer that wants `wanted`."""

    def __init__(self, codec: Opus, wanted: OpusParameters) -> None:
        super().__init__(codec)
        settings = codec.settings
        self._library = library = libopus.LIBRARY.load()
        self._channels = settings.channels
        size = library.opus_encoder_get_size(settings.channels)
        self._memory, self._address = _state(library, size)
        error = library.opus_encoder_init(
            self._address, settings.rate, settings.channels, libopus.APPLICATION_VOIP
        )
        if error:
            raise CodecError(f"libopus makes no encoder: error {error}")
        self._most = wanted.max_average_bitrate
        self._dtx = settings.dtx and wanted.use_dtx
        self._set(libopus.SET_COMPLEXITY, settings.complexity)
        self._set(libopus.SET_VBR, not (settings.cbr or wanted.cbr))
        self._set(libopus.SET_DTX, self._dtx)
        self._set(libopus.SET_INBAND_FEC, settings.fec and wanted.use_inband_fec)
        if wanted.max_playback_rate < settings.rate:
            bandwidth = max(value for rate, value in libopus.BANDWIDTHS if rate <= wanted.max_playback_rate)
            self._set(libopus.SET_MAX_BANDWIDTH, bandwidth)
        if settings.channels == 2 and not wanted.stereo:
            self._set(libopus.SET_FORCE_CHANNELS, 1)
        if settings.bitrate is not None or self._most is not None:
            self.set_bitrate(settings.bitrate or 510_000)
        self.set_expected_loss(settings.expected_loss)

    def set_bitrate(self, bits: int) -> None:
        """Send so many bits a second from the next frame on, or what the peer takes at most."""
        if not 6000 <= bits <= 510_000:
            raise CodecError(f"{bits} bits a second are no rate of Opus")
        self._set(libopus.SET_BITRATE, bits if self._most is None else min(bits, self._most))

    def set_expected_loss(self, percent: int) -> None:
        """Prepare for the loss of so many packets (from a peer's reports), from the next frame on."""
        self._set(libopus.SET_PACKET_LOSS_PERC, min(max(percent, 0), 100))

    def write(self, source: int, samples: int, target: int, size: int) -> int:
        length: int = self._library.opus_encode(
            self._address, source, samples // self._channels, target, min(size, MAX_PAYLOAD)
        )
        if length < 0:
            raise CodecError(f"libopus refuses a frame of {samples} samples: error {length}")
        return 0 if self._dtx and length <= NOTHING_TO_SEND else length

    def _set(self, request: int, value: int) -> None:
        error = self._library.opus_encoder_ctl(self._address, request, int(value))
        if error:
            raise CodecError(f"libopus refuses setting {request}: error {error}")


class OpusDecoder(NativeDecoder):
    """The receiving side of one stream."""

    def __init__(self, codec: Opus) -> None:
        super().__init__(codec)
        settings = codec.settings
        self._library = library = libopus.LIBRARY.load()
        self._channels = settings.channels
        self._unit = settings.rate // UNITS_PER_SECOND
        size = library.opus_decoder_get_size(settings.channels)
        self._memory, self._address = _state(library, size)
        error = library.opus_decoder_init(self._address, settings.rate, settings.channels)
        if error:
            raise CodecError(f"libopus makes no decoder: error {error}")

    def read(self, source: int, length: int, target: int, samples: int) -> int:
        return self._decode(source, length, target, samples, 0)

    def conceal(self, samples: int) -> NDArray[np.int16]:
        """What the library makes of the past, for 120 ms; silence after that."""
        return self._past(None, 0, samples)

    def recover(self, payload: bytes, samples: int) -> NDArray[np.int16]:
        self._samples(payload)
        source = np.frombuffer(payload, np.uint8)
        return self._past(source.ctypes.data, len(payload), samples)

    def _past(self, source: int | None, length: int, samples: int) -> NDArray[np.int16]:
        step = self._unit * self._channels
        # The library makes whole units: the rest of the last one is cut off.
        wanted = min(-(-samples // step), MAX_UNITS) * step
        pcm = np.zeros(max(samples, wanted), np.int16)
        if wanted > 0 and self._decode(source, length, pcm.ctypes.data, wanted, int(source is not None)) == 0:
            pcm[:] = 0
        return pcm[:samples]

    def _decode(self, source: int | None, length: int, target: int, samples: int, fec: int) -> int:
        count: int = self._library.opus_decode(
            self._address, source, length, target, samples // self._channels, fec
        )
        return count * self._channels if count > 0 else 0


class OpusEncoderRows(NativeEncoderRows):
    """The sending side of many streams."""

    def set_bitrate(self, row: int, bits: int) -> None:
        """`OpusEncoder.set_bitrate` of one stream."""
        self[row].set_bitrate(bits)

    def set_expected_loss(self, row: int, percent: int) -> None:
        """`OpusEncoder.set_expected_loss` of one stream."""
        self[row].set_expected_loss(percent)
