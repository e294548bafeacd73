"""telephone-event and CN: what is said of them in a session description."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.codecs.described import ComfortNoise, TelephoneEvent, format_events, parse_events
from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import ICodec


class Events(TestCase):
    def test_lists(self) -> None:
        for text, expected in (
            ("0-15", range(16)),
            ("0-15,66,70", [*range(16), 66, 70]),
            ("0 - 2, 5", [0, 1, 2, 5]),
            ("", []),
            ("5-3", []),
            ("256,1_0,-1,\u0663,99999999999,3-", []),
            ("0-4294967295,7", [7]),
        ):
            self.assertEqual(parse_events(text), frozenset(expected), text)
        self.assertEqual(format_events(frozenset([0, 1, 2, 5, 6, 9])), "0-2,5,6,9")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.frozensets(st.integers(0, 255)))
    def test_text_and_back(self, events: frozenset[int]) -> None:
        self.assertEqual(parse_events(format_events(events)), events)

    def test_the_answer_is_what_both_know(self) -> None:
        codec = TelephoneEvent(48000, frozenset(range(17)))
        verifyObject(ICodec, codec)
        self.assertEqual(codec.offer(), "0-16")
        answers = {"": "0-15", "0-11": "0-11", "14-40": "14-16", "32-36": None, "junk": None}
        self.assertEqual({fmtp: codec.answer(fmtp) for fmtp in answers}, answers)


class Without(TestCase):
    def test_they_carry_no_audio(self) -> None:
        for codec in (TelephoneEvent(), ComfortNoise()):
            verifyObject(ICodec, codec)
            self.assertEqual(codec.missing(), "")
            for make in (codec.encoder, codec.decoder):
                self.assertIn("carries no audio", str(self.assertRaises(CodecError, make)))
            self.assertRaises(CodecError, codec.encoders().add)
            self.assertRaises(CodecError, codec.decoders().add)
            self.assertRaises(CodecError, codec.frame_bytes, 160)
            self.assertRaises(CodecError, codec.payload_samples, b"1234")
            self.assertEqual(codec.payload_samples(b""), 0)
            self.assertRaises(CodecError, codec.encoders().encode, np.arange(0), np.zeros((0, 160), np.int16))

    def test_payload_types(self) -> None:
        self.assertEqual(ComfortNoise().static_payload_type, 13)
        self.assertIsNone(ComfortNoise(16000).static_payload_type)
        self.assertIsNone(TelephoneEvent().static_payload_type)
