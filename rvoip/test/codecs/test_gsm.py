"""GSM full rate: frames and what is none."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest

from rvoip.codecs import gsm
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.gsm import GSM
from rvoip.codecs.native import NativeLibrary
from rvoip.test.codecs.agreement import Agreement, columns, speech


class Frames(Agreement):
    def setUp(self) -> None:
        self.codec = GSM()
        if missing := self.codec.missing():
            raise SkipTest(missing)

    def test_forms_agree(self) -> None:
        self.assert_provides(self.codec)
        self.assert_forms_agree(self.codec)
        self.assert_bounds_are_kept(self.codec)
        self.assert_refuses_what_is_no_frame(self.codec)

    def test_audio_comes_through(self) -> None:
        pcm = speech(self.codec, 1, 50)[0]
        encoder, decoder = self.codec.encoder(), self.codec.decoder()
        heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in pcm]).astype(float)
        self.assertGreater(np.corrcoef(heard[1600:], pcm.reshape(-1)[1600:])[0, 1], 0.8)

    def test_what_is_signalled(self) -> None:
        codec = self.codec
        self.assertEqual((codec.static_payload_type, codec.clock_rate), (3, 8000))
        self.assertEqual([codec.fit_ptime(wanted, 120) for wanted in (10, 20, 30, 60)], [20, 20, 20, 60])
        payload = codec.encoder().encode(np.zeros(480, np.int16))
        self.assertEqual((len(payload), payload[0] >> 4, payload[33] >> 4), (99, 13, 13))
        for length in (1, 32, 34, 65):
            self.assertEqual(codec.payload_samples(bytes(length)), 0)
            self.assertRaises(CodecError, codec.decoder().decode, bytes(length))
        self.assertRaises(CodecError, codec.encoder().encode, np.zeros(80, np.int16))

    def test_a_frame_without_its_mark_is_none(self) -> None:
        self.assertRaises(CodecError, self.codec.decoder().decode, bytes(33))
        right = self.codec.encoder().encode(speech(self.codec, 1, 1)[0, 0])
        decoders = self.codec.decoders()
        packets, starts, lengths = columns([right, right + bytes(33), right + right])
        rows = np.array([decoders.add() for _ in range(3)])
        found, counts = decoders.decode(rows, packets, starts, lengths, 320)
        self.assertEqual(counts.tolist(), [160, 0, 320])
        self.assertFalse(found[1].any())

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.binary(min_size=32, max_size=32))
    def test_any_octets_behind_the_mark(self, octets: bytes) -> None:
        self.assertEqual(len(self.codec.decoder().decode(b"\xd0" + octets)), 160)


class Absent(Agreement):
    def test_a_library_that_is_not_there_is_one_line(self) -> None:
        line = "GSM needs libgsm: apt install libgsm1"
        self.patch(gsm, "LIBRARY", NativeLibrary(("libnone.so.0",), {}, line))
        codec = GSM()
        self.assertEqual(codec.missing(), line)
        for make in (codec.encoder, codec.decoder, codec.encoders, codec.decoders):
            self.assertEqual(str(self.assertRaises(CodecMissing, make)), line)
