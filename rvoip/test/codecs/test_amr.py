"""AMR and AMR-WB: audio, modes, and which of the two payload formats."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest

from rvoip.codecs import amr
from rvoip.codecs.amr import AMR, AMREncoder, codecs
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.formats import Format
from rvoip.codecs.native import NativeLibrary
from rvoip.codecs.policy import Policy, accept, choose, offer
from rvoip.codecs.registry import Registry
from rvoip.test.codecs.agreement import Agreement, columns, speech


class Frames(Agreement):
    def setUp(self) -> None:
        self.all: list[AMR] = codecs()
        for codec in self.all:
            if missing := codec.missing():
                raise SkipTest(missing)

    def test_forms_agree(self) -> None:
        for codec in self.all:
            self.assert_provides(codec)
            self.assert_forms_agree(codec)
            self.assert_bounds_are_kept(codec)
            self.assert_refuses_what_is_no_frame(codec)

    def test_audio_comes_through(self) -> None:
        for codec in self.all:
            rate = codec.sample_rate
            hertz = 3600 if rate == 16000 else 700
            tone = (8000 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)).astype(np.int16)
            encoder, decoder = codec.encoder(), codec.decoder()
            packets = [encoder.encode(frame) for frame in tone.reshape(-1, 2 * rate // 50)]
            heard = np.concatenate([decoder.decode(packet) for packet in packets]).astype(float)
            spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
            self.assertLess(abs(spectrum.argmax() * rate / len(heard) - hertz), 4)
            self.assertTrue(3000 < heard.std() < 9000, heard.std())

    def test_sizes_tell_the_mode(self) -> None:
        """RFC 4867 section 4.4.2 and table 1 of each codec's frame structure: octets of a frame by mode."""
        narrow, wide = [12, 13, 15, 17, 19, 20, 26, 31], [17, 23, 32, 36, 40, 46, 50, 58, 60]
        for codec, sizes in ((AMR(False, True), narrow), (AMR(True, True), wide)):
            pcm = speech(codec, 1, 1)[0, 0]
            for mode, size in enumerate(sizes):
                self.assertEqual(len(codec.encoder(f"mode-set={mode}").encode(pcm)), 2 + size)

    def test_a_mode_that_is_requested(self) -> None:
        codec = AMR(aligned=True)
        pcm = speech(codec, 1, 1)[0, 0]
        decoder = codec.decoder()
        payload = codec.encoder().encode(pcm)
        decoder.decode(payload)
        self.assertIsNone(decoder.requested_mode)
        decoder.decode(b"\x20" + payload[1:])
        self.assertEqual(decoder.requested_mode, 2)
        encoder = codec.encoder("octet-align=1;mode-set=0,2,7")
        self.assertIsInstance(encoder, AMREncoder)
        for mode, size in ((2, 15), (6, 15), (7, 31), (0, 12)):
            encoder.set_mode(mode)
            self.assertEqual(len(encoder.encode(pcm)), 2 + size)

    def test_concealment_goes_on_and_fades(self) -> None:
        for codec in self.all:
            encoder, decoder = codec.encoder(), codec.decoder()
            for frame in speech(codec, 1, 20)[0]:
                loud = decoder.decode(encoder.encode(frame)).astype(float)
            lost = [decoder.conceal(len(loud)).astype(float).std() for _ in range(30)]
            self.assertGreater(lost[0], loud.std() / 10)
            self.assertLess(lost[-1], loud.std() / 10)
            self.assertEqual(len(decoder.conceal(7)), 7)

    def test_which_of_the_two_is_chosen(self) -> None:
        registry = Registry(self.all)
        for octet_align in ("0", "1"):
            offered = [Format(96, "AMR", 8000, 1, f"octet-align={octet_align};mode-set=0,2,4,7,9")]
            (choice,) = choose(offered, Policy(), registry)
            self.assertEqual(getattr(choice.codec, "aligned", None), octet_align == "1")
            expected = "octet-align=1;mode-set=0,2,4,7" if octet_align == "1" else "mode-set=0,2,4,7"
            self.assertEqual(choice.format.fmtp, expected)
        for wrong in ("crc=1", "robust-sorting=1", "interleaving=4", "mode-set=9", "mode-set="):
            self.assertEqual(choose([Format(96, "AMR", 8000, 1, wrong)], Policy(), registry), [], wrong)
        ours = offer(Policy(allow=("AMR",)), registry)
        self.assertEqual(ours, [Format(96, "AMR", 8000)])
        self.assertEqual(len(accept(ours, [Format(97, "amr", 8000)], Policy(), registry)), 1)
        answered = [Format(96, "AMR", 8000, 1, "octet-align=1")]
        self.assertEqual(accept(ours, answered, Policy(), registry), [])
        self.assertEqual(
            [format.encoding for format in offer(Policy(allow=("AMR-WB",)), registry)], ["AMR-WB"]
        )

    def test_lengths(self) -> None:
        codec = AMR()
        self.assertEqual(codec.frame_samples(20), 160)
        for wrong in (80, 161, 160 * 13):
            self.assertRaises(CodecError, codec.encoder().encode, np.zeros(wrong, np.int16))
        payload = codec.encoder().encode(np.zeros(960, np.int16))
        self.assertEqual(codec.payload_samples(payload), 960)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(min_size=1, max_size=80), st.integers(0, 3))
    def test_any_octets(self, octets: bytes, which: int) -> None:
        codec = self.all[which]
        decoders = codec.decoders()
        packets, starts, lengths = columns([octets])
        found, counts = decoders.decode(np.array([decoders.add()]), packets, starts, lengths, 12 * codec.unit)
        self.assertEqual(counts.tolist(), [codec.payload_samples(octets)])
        self.assertFalse(found[0, counts[0] :].any())


class Absent(Agreement):
    def test_libraries_that_are_not_there_are_one_line(self) -> None:
        nothing = NativeLibrary(("libnone.so.0",), {}, "AMR-WB needs libnone: apt install libnone0")
        band = amr.WIDE_BAND
        self.patch(
            amr,
            "WIDE_BAND",
            amr._Band(
                band.name,
                band.rate,
                band.bits,
                band.modes,
                (nothing, *band.make_encoder[1:]),
                (nothing, *band.make_decoder[1:]),
            ),
        )
        codec = AMR(wide=True)
        self.assertEqual(codec.missing(), "AMR-WB needs libnone: apt install libnone0")
        for make in (codec.encoder, codec.decoder, codec.encoders, codec.decoders):
            self.assertEqual(str(self.assertRaises(CodecMissing, make)), codec.missing())
