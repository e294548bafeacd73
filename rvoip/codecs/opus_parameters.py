"""How a receiver of Opus describes itself in a session description (RFC 7587 section 6.1)."""

from __future__ import annotations

from msgspec import Struct

from rvoip.codecs.fmtp import format_fmtp, integer, parse_fmtp

__all__ = ["OpusParameters"]

FULL_RATE = 48000
MIN_BIT_RATE, MAX_BIT_RATE = 6000, 510_000


class OpusParameters(Struct, frozen=True, kw_only=True):
    """The parameters of one side; what is not written has the default that stands here.

    All but the two `sprop` ones say what this side wants to receive.
    """

    max_playback_rate: int = FULL_RATE
    """Hz that it can make use of."""
    sprop_max_capture_rate: int = FULL_RATE
    """Hz that its sender has at most."""
    max_average_bitrate: int | None = None
    """Bits a second."""
    stereo: bool = False
    sprop_stereo: bool = False
    cbr: bool = False
    use_inband_fec: bool = False
    use_dtx: bool = False

    @classmethod
    def parse(cls, fmtp: str) -> OpusParameters:
        """Read any text: what is unknown or out of its range counts as not written."""
        found = parse_fmtp(fmtp)
        playback = integer(found.get("maxplaybackrate"), 1, 10**6)
        capture = integer(found.get("sprop-maxcapturerate"), 1, 10**6)
        return cls(
            max_playback_rate=FULL_RATE if playback is None else min(max(playback, 8000), FULL_RATE),
            sprop_max_capture_rate=FULL_RATE if capture is None else min(max(capture, 8000), FULL_RATE),
            max_average_bitrate=integer(found.get("maxaveragebitrate"), MIN_BIT_RATE, MAX_BIT_RATE),
            stereo=found.get("stereo") == "1",
            sprop_stereo=found.get("sprop-stereo") == "1",
            cbr=found.get("cbr") == "1",
            use_inband_fec=found.get("useinbandfec") == "1",
            use_dtx=found.get("usedtx") == "1",
        )

    def __str__(self) -> str:
        """The text for a=fmtp, without what is as by default."""
        written: dict[str, str | int] = {}
        if self.max_playback_rate != FULL_RATE:
            written["maxplaybackrate"] = self.max_playback_rate
        if self.sprop_max_capture_rate != FULL_RATE:
            written["sprop-maxcapturerate"] = self.sprop_max_capture_rate
        if self.max_average_bitrate is not None:
            written["maxaveragebitrate"] = self.max_average_bitrate
        flags = {
            "stereo": self.stereo,
            "sprop-stereo": self.sprop_stereo,
            "cbr": self.cbr,
            "useinbandfec": self.use_inband_fec,
            "usedtx": self.use_dtx,
        }
        written.update({name: 1 for name, value in flags.items() if value})
        return format_fmtp(written)
