"""G.729: frames, silence of annex B, loss."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest

from rvoip.codecs import g729
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.g729 import G729
from rvoip.codecs.native import NativeLibrary
from rvoip.test.codecs.agreement import Agreement, columns, speech


class Frames(Agreement):
    def setUp(self) -> None:
        self.codec = G729()
        if missing := self.codec.missing():
            raise SkipTest(missing)

    def test_forms_agree(self) -> None:
        self.assert_provides(self.codec)
        self.assert_forms_agree(self.codec)
        self.assert_bounds_are_kept(self.codec)
        self.assert_refuses_what_is_no_frame(self.codec)

    def test_a_tone_comes_through(self) -> None:
        tone = (8000 * np.sin(2 * np.pi * 700 * np.arange(8000) / 8000)).astype(np.int16)
        encoder, decoder = self.codec.encoder(), self.codec.decoder()
        heard = [decoder.decode(encoder.encode(frame)) for frame in tone.reshape(-1, 160)]
        spectrum = np.abs(np.fft.rfft(np.concatenate(heard).astype(float)))
        self.assertEqual(int(spectrum.argmax()), 700)
        self.assertLess(abs(20 * np.log10(spectrum[690:711].sum() / (8000 * 4000))), 3)

    def test_lengths(self) -> None:
        codec = self.codec
        lengths = {0: 0, 1: 0, 2: 80, 3: 0, 8: 0, 10: 80, 11: 0, 12: 160, 20: 160, 22: 240, 30: 240, 35: 0}
        self.assertEqual({length: codec.payload_samples(bytes(length)) for length in lengths}, lengths)
        self.assertEqual(len(codec.encoder().encode(np.zeros(240, np.int16))), 30)
        for wrong in (79, 81, 100):
            self.assertRaises(CodecError, codec.encoder().encode, np.zeros(wrong, np.int16))
        for length in (1, 8, 35):
            self.assertRaises(CodecError, codec.decoder().decode, bytes(length))

    def test_a_description_of_silence_is_noise_until_audio_comes(self) -> None:
        encoder, decoder = self.codec.encoder(), self.codec.decoder()
        for frame in speech(self.codec, 1, 20)[0]:
            loud = decoder.decode(encoder.encode(frame)).astype(float)
        # As the encoder describes noise whose samples deviate by 20.
        decoder.decode(b"\x34\xd0")
        noise = np.concatenate([decoder.conceal(80) for _ in range(50)]).astype(float)[800:]
        self.assertTrue(10 < noise.std() < 100, noise.std())
        self.assertGreater(loud.std(), 1000)

    def test_concealment_goes_on_and_fades(self) -> None:
        encoder, decoder = self.codec.encoder(), self.codec.decoder()
        for frame in speech(self.codec, 1, 20)[0]:
            loud = decoder.decode(encoder.encode(frame)).astype(float)
        energies = [(decoder.conceal(160).astype(float) ** 2).mean() for _ in range(20)]
        self.assertGreater(energies[0], (loud**2).mean() / 20)
        self.assertLess(energies[-1], energies[0] / 100)
        self.assertEqual([len(decoder.conceal(samples)) for samples in (0, 1, 79, 81)], [0, 1, 79, 81])

    def test_what_is_signalled(self) -> None:
        codec = self.codec
        self.assertEqual(
            (codec.static_payload_type, codec.clock_rate, codec.frame_samples(20)), (18, 8000, 160)
        )
        self.assertEqual(codec.offer(), "annexb=no")
        answers = {
            "": "annexb=no",
            "annexb=yes": "annexb=no",
            "annexb=no": "",
            "AnnexB = NO": "",
            "x": "annexb=no",
        }
        self.assertEqual({fmtp: codec.answer(fmtp) for fmtp in answers}, answers)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.binary(max_size=60))
    def test_any_octets(self, octets: bytes) -> None:
        decoders = self.codec.decoders()
        packets, starts, lengths = columns([octets])
        found, counts = decoders.decode(np.array([decoders.add()]), packets, starts, lengths, 800)
        self.assertEqual(counts.tolist(), [self.codec.payload_samples(octets)])
        self.assertFalse(found[0, counts[0] :].any())


class Absent(Agreement):
    def test_a_library_that_is_not_there_is_one_line(self) -> None:
        line = "G.729 needs libbcg729: apt install libbcg729-0"
        self.patch(g729, "LIBRARY", NativeLibrary(("libnone.so.0",), {}, line))
        codec = G729()
        self.assertEqual(codec.missing(), line)
        for make in (codec.encoder, codec.decoder, codec.encoders, codec.decoders):
            self.assertEqual(str(self.assertRaises(CodecMissing, make)), line)
