"""Codecs by what is signalled, and plugins that bring more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.plugin import getPlugins
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

import rvoip.plugins
from rvoip.codecs.errors import CodecError
from rvoip.codecs.g711 import PCMA, PCMU
from rvoip.codecs.interfaces import CodecPlugin, ICodec, ICodecPlugin
from rvoip.codecs.l16 import L16
from rvoip.codecs.registry import Registry, built_in, codec_key


class Lacking(L16):
    """A codec whose library is not there."""

    name = "lacking"

    def missing(self) -> str:
        return "lacking needs liblacking: apt install liblacking1"


class Found(TestCase):
    def test_by_name_rate_and_channels(self) -> None:
        registry = Registry([PCMU, PCMA, L16(44100), L16(44100, 2)])
        self.assertIs(registry.find("pcmu", 8000), PCMU)
        self.assertIs(registry.find("PCMA", 8000, 1), PCMA)
        self.assertIsNone(registry.find("PCMU", 16000))
        self.assertIsNone(registry.find("PCMU", 8000, 2))
        stereo = registry.find("l16", 44100, 2)
        self.assertEqual(getattr(stereo, "audio_channels", 0), 2)
        self.assertIs(registry.static(0), PCMU)
        self.assertIs(registry.static(10), stereo)
        self.assertIsNone(registry.static(9))
        self.assertEqual(len(registry), 4)

    def test_by_a_name_of_a_configuration(self) -> None:
        registry = Registry([PCMU, L16(8000), L16(44100), L16(44100, 2)])
        for pattern, expected in (
            ("pcmu", ["pcmu/8000"]),
            ("L16", ["l16/8000", "l16/44100", "l16/44100/2"]),
            ("L16/44100", ["l16/44100", "l16/44100/2"]),
            ("L16/44100/1", ["l16/44100"]),
            ("L16/44100/2", ["l16/44100/2"]),
        ):
            found = registry.named(pattern)
            self.assertEqual([codec_key(c.name, c.clock_rate, c.channels) for c in found], expected)
        for unknown in ("L1", "PCM", "", "/", "L16/4410"):
            self.assertRaises(CodecError, registry.named, unknown)

    def test_what_is_missing_says_so(self) -> None:
        registry = Registry([Lacking(8000), PCMU])
        self.assertEqual(
            registry.absent, {"lacking/8000": "lacking needs liblacking: apt install liblacking1"}
        )
        self.assertIsNone(registry.find("lacking", 8000))
        error = self.assertRaises(CodecError, registry.named, "lacking")
        self.assertEqual(str(error), "lacking needs liblacking: apt install liblacking1")

    def test_the_first_of_two_counts(self) -> None:
        mine: Any = L16(8000)
        mine.name = "PCMU"
        self.assertIs(Registry([mine, PCMU]).find("PCMU", 8000), mine)

    def test_built_in_codecs(self) -> None:
        registry = Registry(built_in())
        for codec in built_in():
            verifyObject(ICodec, codec)
        for name, rate in (
            ("PCMU", 8000),
            ("PCMA", 8000),
            ("L16", 48000),
            ("telephone-event", 48000),
            ("CN", 8000),
        ):
            self.assertIsNotNone(registry.find(name, rate))
        self.assertEqual(len({*map(repr, built_in())}), len(built_in()))


class Plugins(TestCase):
    def test_those_of_the_project_are_found(self) -> None:
        plugins = {plugin.name: plugin for plugin in getPlugins(ICodecPlugin, rvoip.plugins)}
        self.assertLessEqual({"amr", "g729", "gsm"}, plugins.keys())
        for plugin in plugins.values():
            verifyObject(ICodecPlugin, plugin)
        codecs = [codec for plugin in plugins.values() for codec in plugin.codecs()]
        registry = Registry([], plugins.values())
        for codec in codecs:
            verifyObject(ICodec, codec)
            key = codec_key(codec.name, codec.clock_rate, codec.channels)
            self.assertEqual(key in registry.absent, bool(codec.missing()))

    def test_one_of_a_user_is_named_by_its_module(self) -> None:
        self.assertRaises(ImportError, CodecPlugin("x", "rvoip.codecs.nothing").codecs)
        source = Path(rvoip.plugins.__file__ or "").parent / "telephony_codecs.py"
        self.assertNotIn("import rvoip.codecs.g729", source.read_text(encoding="utf-8"))
        registry = Registry(built_in(), [CodecPlugin("gsm", "rvoip.codecs.gsm")])
        gsm = registry.find("GSM", 8000)
        self.assertEqual(gsm is None, "gsm/8000" in registry.absent)
