"""The public names of the package, so that none comes or goes unseen."""

from __future__ import annotations

import importlib
import pkgutil

from twisted.trial.unittest import SynchronousTestCase

import rvoip.protocols.sdp

NAMES = {
    "attributes": "SECRET_NAMES Attribute Attributed",
    "build": "G722 OPUS PCMA PCMU TELEPHONE_EVENT audio_media audio_offer",
    "compare": "equivalent same_session same_version",
    "direction": "DIRECTIONS Direction",
    "errors": "SDPBuildError SDPError",
    "formats": "STATIC_CODECS Codec ExtMap Fmtp RtcpFeedback RtpMap",
    "ice": "Candidate",
    "lines": "UNBOUNDED Bandwidth Connection Origin Repeat Timing ZoneAdjustment seconds",
    "media": "Media codec_attributes",
    "problems": "problems",
    "security": "KEY_LENGTHS Crypto CryptoKey Fingerprint",
    "session": "Limits SessionDescription parse",
    "streams": "Group Msid Rid Simulcast SimulcastStream SsrcAttribute SsrcGroup",
    "transport": "Rtcp SctpMap Setup",
}
# What other modules of the package are made of.
INTERNAL = {"grammar", "reading"}


class ExportTests(SynchronousTestCase):
    """`__all__`."""

    def test_names(self) -> None:
        found = {}
        for module in pkgutil.iter_modules(rvoip.protocols.sdp.__path__):
            names = getattr(importlib.import_module(f"rvoip.protocols.sdp.{module.name}"), "__all__", None)
            if module.name in INTERNAL:
                self.assertIsNone(names)
            else:
                found[module.name] = " ".join(names or ())
        self.assertEqual(found, NAMES)
