"""Codecs over libraries that not everybody has or wants: G.729, GSM, AMR."""

from __future__ import annotations

from rvoip.codecs.interfaces import CodecPlugin

g729 = CodecPlugin("g729", "rvoip.codecs.g729")
gsm = CodecPlugin("gsm", "rvoip.codecs.gsm")
amr = CodecPlugin("amr", "rvoip.codecs.amr")
