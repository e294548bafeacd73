"""G.722 against the recommendation's own arithmetic, and what is ours around the package."""

from __future__ import annotations

import numpy as np
from twisted.trial.unittest import SkipTest

from rvoip.codecs import g722
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.g722 import G722
from rvoip.test.codecs import g722_definition as definition
from rvoip.test.codecs.agreement import Agreement, speech


class Wideband(Agreement):
    def setUp(self) -> None:
        self.codec = G722()
        if missing := self.codec.missing():
            raise SkipTest(missing)

    def test_forms_agree(self) -> None:
        self.assert_provides(self.codec)
        self.assert_forms_agree(self.codec)
        self.assert_bounds_are_kept(self.codec)
        self.assert_refuses_what_is_no_frame(self.codec)

    def test_speech_is_as_the_definition_has_it(self) -> None:
        pcm = speech(self.codec, 1, 8).reshape(-1)
        # As loud as it gets after that: every limit is reached.
        loud = np.where(np.arange(800) // 7 % 2, 32767, -32768).astype(np.int16)
        whole = np.concatenate([pcm, loud])
        payload = self.codec.encoder().encode(whole)
        self.assertEqual(payload, definition.encode(whole.tolist()))
        self.assertEqual(self.codec.decoder().decode(payload).tolist(), definition.decode(payload))

    def test_octets_that_no_encoder_sent(self) -> None:
        octets = np.random.default_rng(3).integers(0, 256, 2000).astype(np.uint8).tobytes()
        for hostile in (octets, bytes(500), b"\xff" * 500, b"\x3f\xc0" * 500):
            self.assertEqual(self.codec.decoder().decode(hostile).tolist(), definition.decode(hostile))

    def test_what_is_signalled(self) -> None:
        codec = self.codec
        self.assertEqual((codec.clock_rate, codec.sample_rate, codec.static_payload_type), (8000, 16000, 9))
        self.assertEqual(codec.frame_samples(20), 320)
        self.assertEqual(codec.frame_bytes(320), 160)
        self.assertEqual(codec.payload_samples(bytes(160)), 320)
        self.assertRaises(CodecError, codec.encoder().encode, np.zeros(319, np.int16))

    def test_wide_and_narrow_tones_come_through(self) -> None:
        time = np.arange(16000) / 16000
        for hertz in (300, 3000, 6500):
            tone = (8000 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
            heard = self.codec.decoder().decode(self.codec.encoder().encode(tone)).astype(float)[1600:]
            spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
            peak = int(spectrum.argmax())
            self.assertLess(abs(peak * 16000 / len(heard) - hertz), 2)
            rest = spectrum.sum() - spectrum[peak - 3 : peak + 4].sum()
            self.assertGreater(10 * np.log10(spectrum[peak - 3 : peak + 4].sum() / rest), 15)


class Absent(Agreement):
    def test_a_package_that_is_not_there_is_one_line(self) -> None:
        self.patch(g722, "_library", lambda: None)
        codec = G722()
        self.assertEqual(codec.missing(), "G.722 needs the package g722: pip install 'rvoip[g722]'")
        for make in (codec.encoder, codec.decoder, codec.encoders, codec.decoders):
            self.assertEqual(str(self.assertRaises(CodecMissing, make)), codec.missing())
