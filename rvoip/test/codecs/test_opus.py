"""Opus: both forms, loss, DTX, what the peer wants, and packets of an attacker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twisted.trial.unittest import SkipTest, TestCase

from rvoip.codecs import libopus
from rvoip.codecs.errors import CodecError, CodecMissing
from rvoip.codecs.native import NativeLibrary
from rvoip.codecs.opus import MAX_PAYLOAD, Opus, OpusSettings
from rvoip.test.codecs.agreement import Agreement, columns, speech


def error_of(heard: NDArray[np.int16], wanted: NDArray[np.int16]) -> float:
    """Energy of the difference to the energy of what was wanted."""
    difference = heard.astype(float) - wanted.astype(float)
    return float((difference**2).mean() / (wanted.astype(float) ** 2).mean())


class OpusCase(Agreement):
    def setUp(self) -> None:
        if missing := libopus.LIBRARY.missing():
            raise SkipTest(missing)


class Forms(OpusCase):
    def test_forms_agree(self) -> None:
        for rate, channels in ((48000, 1), (48000, 2), (16000, 1), (8000, 1)):
            codec = Opus(OpusSettings(rate=rate, channels=channels, complexity=0))
            self.assert_provides(codec)
            self.assert_forms_agree(codec, "useinbandfec=1;stereo=1")
            self.assert_bounds_are_kept(codec)
            self.assert_refuses_what_is_no_frame(codec)

    def test_every_frame_of_2_5_to_60_ms(self) -> None:
        codec = Opus(OpusSettings(complexity=0))
        for ptime, samples in ((2.5, 120), (5, 240), (10, 480), (20, 960), (40, 1920), (60, 2880)):
            self.assertEqual(codec.frame_samples(ptime), samples)
            payload = codec.encoder().encode(np.zeros(samples, np.int16))
            self.assertEqual(codec.payload_samples(payload), samples)
            self.assertEqual(len(codec.decoder().decode(payload)), samples)
        self.assertEqual([codec.fit_ptime(wanted, 120) for wanted in (1, 3, 30, 200)], [2.5, 2.5, 20, 60])
        for wrong in (119, 481, 960 * 4):
            self.assertRaises(CodecError, codec.encoder().encode, np.zeros(wrong, np.int16))

    def test_audio_comes_through(self) -> None:
        codec = Opus()
        pcm = speech(codec, 1, 25)[0]
        encoder, decoder = codec.encoder(), codec.decoder()
        heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in pcm])
        # The coder looks ahead 6.5 ms. It keeps how a voice sounds rather than its wave.
        self.assertLess(error_of(heard[312 + 9600 :], pcm.reshape(-1)[9600:-312]), 0.4)
        self.assertGreater(error_of(heard[9600:-312], pcm.reshape(-1)[9600 + 312 :]), 0.8)

    def test_stereo_stays_apart(self) -> None:
        codec = Opus(OpusSettings(channels=2, bitrate=128_000))
        pcm = np.zeros((25, 960, 2), np.int16)
        pcm[:, :, 0] = speech(Opus(), 1, 25)[0]
        for fmtp, apart in (("stereo=1", True), ("", False)):
            encoder, decoder = codec.encoder(fmtp), codec.decoder()
            heard = [decoder.decode(encoder.encode(frame.reshape(-1))).reshape(-1, 2) for frame in pcm][-1]
            left, right = (heard.astype(float) ** 2).mean(0)
            self.assertEqual(right < left / 20, apart)


class Loss(OpusCase):
    def test_fec_brings_back_the_packet_before(self) -> None:
        codec = Opus(OpusSettings(rate=16000, bitrate=24000, expected_loss=30))
        pcm = speech(codec, 1, 40)[0]
        errors = {}
        for way in ("recover", "conceal"):
            encoder, whole, lossy = codec.encoder("useinbandfec=1"), codec.decoder(), codec.decoder()
            packets = [encoder.encode(frame) for frame in pcm]
            found, wanted = [], []
            for index, packet in enumerate(packets):
                wanted.append(whole.decode(packet))
                if index % 5 != 3:
                    lossy.decode(packet)
                elif way == "recover":
                    found.append((lossy.recover(packets[index + 1], 320), wanted[-1]))
                else:
                    found.append((lossy.conceal(320), wanted[-1]))
            errors[way] = error_of(np.array([f for f, _ in found]), np.array([w for _, w in found]))
        self.assertLess(errors["recover"], errors["conceal"] / 2)

    def test_no_fec_to_a_peer_that_cannot_use_it(self) -> None:
        codec = Opus(OpusSettings(rate=16000, bitrate=24000, expected_loss=30))
        pcm = speech(codec, 1, 10)[0]
        with_fec, without = codec.encoder("useinbandfec=1"), codec.encoder("")
        for frame in pcm[:-1]:
            with_fec.encode(frame)
            without.encode(frame)
        ours, packet = codec.decoder(), without.encode(pcm[-1])
        # Nothing in it: what is recovered is concealment.
        self.assertEqual(ours.recover(packet, 320).tolist(), codec.decoder().conceal(320).tolist())
        self.assertTrue(codec.decoder().recover(with_fec.encode(pcm[-1]), 320).any())

    def test_expected_loss_changes_what_is_sent(self) -> None:
        codec = Opus(OpusSettings(rate=16000, bitrate=24000, expected_loss=0))
        encoders = codec.encoders()
        rows = np.array([encoders.add("useinbandfec=1"), encoders.add("useinbandfec=1")])
        encoders.set_expected_loss(int(rows[1]), 30)
        pcm = speech(codec, 1, 10)[0]
        for frame in pcm:
            payloads, sizes = encoders.encode(rows, np.array([frame, frame]))
        recovered = [codec.decoder().recover(payloads[i, : sizes[i]].tobytes(), 320).any() for i in (0, 1)]
        self.assertEqual(recovered, [False, True])
        self.assertRaises(CodecError, encoders.set_expected_loss, 9, 10)

    def test_concealment_of_any_length(self) -> None:
        codec = Opus()
        encoder, decoder = codec.encoder(), codec.decoder()
        for frame in speech(codec, 1, 10)[0]:
            decoder.decode(encoder.encode(frame))
        self.assertTrue(decoder.conceal(960).any())
        for samples in (0, 1, 119, 121, 5760, 5761, 100_000):
            self.assertEqual(decoder.conceal(samples).shape, (samples,))
        self.assertFalse(decoder.conceal(100_000)[5760:].any())


class Wishes(OpusCase):
    def test_dtx_sends_nothing_in_silence(self) -> None:
        for dtx, fmtp, sent in ((True, "usedtx=1", False), (True, "", True), (False, "usedtx=1", True)):
            codec = Opus(OpusSettings(dtx=dtx, rate=16000))
            encoder = codec.encoder(fmtp)
            for frame in speech(codec, 1, 10)[0]:
                self.assertTrue(encoder.encode(frame))
            quiet = [bool(encoder.encode(np.zeros(320, np.int16))) for _ in range(60)]
            self.assertEqual(all(quiet), sent, (dtx, fmtp))
            if not sent:
                self.assertLess(sum(quiet), 30)
                # Every now and then a frame keeps the noise of the far side up to date.
                self.assertTrue(any(quiet[30:]))

    def bits(self, opus: OpusSettings, fmtp: str) -> list[int]:
        codec = Opus(opus)
        encoder = codec.encoder(fmtp)
        return [len(encoder.encode(frame)) * 8 * 50 for frame in speech(codec, 1, 30)[0]]

    def test_bit_rate_is_the_lesser_of_ours_and_theirs(self) -> None:
        ours = OpusSettings(rate=16000, bitrate=32000, fec=False)
        self.assertLess(abs(np.mean(self.bits(ours, "")) - 32000), 6000)
        self.assertLess(abs(np.mean(self.bits(ours, "maxaveragebitrate=12000")) - 12000), 3000)
        ours = OpusSettings(rate=16000, fec=False)
        self.assertLess(abs(np.mean(self.bits(ours, "maxaveragebitrate=12000")) - 12000), 3000)
        encoder = Opus(ours).encoder("maxaveragebitrate=12000")
        encoder.set_bitrate(64_000)
        frames = speech(Opus(ours), 1, 30)[0]
        self.assertLess(np.mean([len(encoder.encode(frame)) * 400 for frame in frames]), 15000)
        self.assertRaises(CodecError, encoder.set_bitrate, 5999)

    def test_constant_bit_rate(self) -> None:
        for wanted, fmtp in (
            (OpusSettings(bitrate=24000), "cbr=1"),
            (OpusSettings(bitrate=24000, cbr=True), ""),
        ):
            self.assertEqual(len(set(self.bits(wanted, fmtp))), 1)
        self.assertGreater(len(set(self.bits(OpusSettings(bitrate=24000), ""))), 1)

    def test_no_more_bandwidth_than_is_played(self) -> None:
        noise = np.random.default_rng(1).normal(0, 4000, 48000).astype(np.int16).reshape(-1, 960)
        codec = Opus(OpusSettings(bitrate=96000))
        for fmtp, heard_above_5_khz in (("", True), ("maxplaybackrate=8000", False)):
            encoder, decoder = codec.encoder(fmtp), codec.decoder()
            heard = np.concatenate([decoder.decode(encoder.encode(frame)) for frame in noise])
            spectrum = np.abs(np.fft.rfft(heard.astype(float)))
            self.assertEqual(spectrum[5000:].mean() > spectrum[:4000].mean() / 20, heard_above_5_khz)

    def test_what_is_signalled(self) -> None:
        codec = Opus()
        self.assertEqual((codec.name, codec.clock_rate, codec.channels), ("opus", 48000, 2))
        self.assertEqual(codec.offer(), "useinbandfec=1")
        self.assertEqual(codec.answer("cbr=1;stereo=1"), "useinbandfec=1")
        stereo = Opus(OpusSettings(channels=2, dtx=True, bitrate=64000, fec=False))
        self.assertEqual(stereo.offer(), "maxaveragebitrate=64000;stereo=1;sprop-stereo=1;usedtx=1")
        narrow = Opus(OpusSettings(rate=16000, fec=False, cbr=True))
        self.assertEqual(narrow.offer(), "maxplaybackrate=16000;sprop-maxcapturerate=16000;cbr=1")

    def test_settings_that_are_none(self) -> None:
        for wrong in (
            OpusSettings(rate=44100),
            OpusSettings(channels=3),
            OpusSettings(complexity=11),
            OpusSettings(expected_loss=101),
            OpusSettings(bitrate=100),
        ):
            self.assertRaises(CodecError, Opus, wrong)


class Attacks(OpusCase):
    @settings(derandomize=True, deadline=None, max_examples=400)
    @given(st.binary(max_size=200), st.sampled_from([(48000, 2), (8000, 1)]))
    def test_any_octets(self, octets: bytes, audio: tuple[int, int]) -> None:
        codec = Opus(OpusSettings(rate=audio[0], channels=audio[1]))
        decoder, decoders = codec.decoder(), codec.decoders()
        row = np.array([decoders.add()])
        samples = audio[0] * audio[1] * 120 // 1000
        packets, starts, lengths = columns([octets])
        found, counts = decoders.decode(row, packets, starts, lengths, samples)
        try:
            pcm = decoder.decode(octets)
        except CodecError:
            self.assertEqual(counts.tolist(), [0])
            self.assertFalse(found.any())
            self.assertEqual(len(decoder.conceal(samples)), samples)
        else:
            self.assertEqual(counts.tolist(), [len(pcm)])
            self.assertEqual(found[0, : len(pcm)].tolist(), pcm.tolist())
            self.assertFalse(found[0, len(pcm) :].any())
        try:
            self.assertEqual(len(codec.decoder().recover(octets, samples)), samples)
        except CodecError:
            self.assertEqual(codec.payload_samples(octets), 0)

    def test_a_broken_packet_among_good_ones(self) -> None:
        codec = Opus(OpusSettings(complexity=0))
        good = codec.encoder().encode(speech(codec, 1, 1)[0, 0])
        twenty = 1 << 3
        broken = [
            bytes([twenty | 3, 0x83]) + b"\xff" * 3,  # three frames whose lengths go past the end
            bytes([twenty | 2, 255, 255]) + b"x" * 5,
            bytes([twenty | 3, 0x41]) + b"\xff" * 40,  # padding without end
        ]
        decoders = codec.decoders()
        payloads = [good, *broken, good]
        rows = np.array([decoders.add() for _ in payloads])
        packets, starts, lengths = columns(payloads)
        found, counts = decoders.decode(rows, packets, starts, lengths, 5760)
        self.assertEqual(counts.tolist(), [960, 0, 0, 0, 960])
        self.assertEqual(found[0].tolist(), found[4].tolist())
        self.assertFalse(found[1:4].any())

    def test_no_payload_is_longer_than_a_packet_may_be(self) -> None:
        codec = Opus(OpusSettings(bitrate=510_000, channels=2, complexity=0))
        noise = np.random.default_rng(1).normal(0, 9000, 5760).astype(np.int16)
        payload = codec.encoder("stereo=1").encode(noise)
        self.assertTrue(1000 < len(payload) <= MAX_PAYLOAD)
        self.assertEqual(len(codec.decoder().decode(payload)), 5760)


class Absent(TestCase):
    def test_a_library_that_is_not_there_is_one_line(self) -> None:
        line = "Opus needs libopus: apt install libopus0, or pip install 'rvoip[opus]'"
        self.patch(libopus, "LIBRARY", NativeLibrary(("libnone.so.0",), libopus.FUNCTIONS, line))
        codec = Opus()
        self.assertEqual(codec.missing(), line)
        for make in (codec.encoder, codec.decoder, codec.encoders, codec.decoders):
            self.assertEqual(str(self.assertRaises(CodecMissing, make)), line)

    def test_a_library_that_is_something_else(self) -> None:
        library = NativeLibrary(("libc.so.6",), libopus.FUNCTIONS, "Opus needs libopus: apt install libopus0")
        self.assertTrue(
            library.missing().startswith("Opus needs libopus: apt install libopus0 (libc.so.6 lacks")
        )
        self.assertRaises(CodecMissing, library.load)

    def test_the_library_in_the_wheel_of_pyav_is_found(self) -> None:
        folder = self.mktemp()
        (Path(folder) / "av.libs").mkdir(parents=True)
        bundled = Path(folder) / "av.libs" / "libopus-114e2b1a.so.0.11.1"
        bundled.write_bytes(b"")
        origin = str(Path(folder) / "av" / "__init__.py")
        self.patch(libopus, "find_spec", lambda name: SimpleNamespace(origin=origin))
        found = libopus.LIBRARY.candidates()
        self.assertEqual(list(found), ["libopus.so.0", "libopus.0.dylib", str(bundled)])
        self.patch(libopus, "find_spec", lambda name: None)
        self.assertEqual(list(libopus.LIBRARY.candidates()), ["libopus.so.0", "libopus.0.dylib"])
