"""WAV files as they are written, and as they are broken."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.codecs.g711 import a_law, mu_law
from rvoip.media.errors import AudioFileError
from rvoip.media.wav import read_wav
from rvoip.test.media.sounds import chunk, fmt, sine, wav, wav_of

VALUES = np.array([0, 1, -1, 256, -256, 12345, -12345, 32767, -32768], np.int16)
PCM24 = b"".join(int(v << 8 | 0x5A).to_bytes(3, "little", signed=True) for v in VALUES.tolist())
PCM32 = (VALUES.astype("<i4") << 16 | 0x1234).tobytes()
GUID = bytes.fromhex("000000001000800000aa00389b71")


def extensible(tag: int, bits: int, channels: int = 1) -> bytes:
    block = channels * (bits + 7) // 8
    head = struct.pack("<HHIIHH", 0xFFFE, channels, 8000, 8000 * block, block, bits)
    return chunk(b"fmt ", head + struct.pack("<HHIH", 22, bits, 4, tag) + GUID)


class EncodingTests(SynchronousTestCase):
    def test_every_encoding_gives_its_values(self) -> None:
        law = np.arange(256, dtype=np.uint8)
        floats = (VALUES / 32768).astype("<f4")
        for name, format, data, wanted in (
            ("s16", fmt(), VALUES.astype("<i2").tobytes(), VALUES),
            ("u8", fmt(bits=8), bytes([0, 128, 255]), [-32768, 0, 32512]),
            ("s24", fmt(bits=24), PCM24, VALUES),
            ("s20 in 24", fmt(bits=20), PCM24, VALUES),
            ("s32", fmt(bits=32), PCM32, VALUES),
            ("f32", fmt(3, bits=32), floats.tobytes(), VALUES),
            ("f64", fmt(3, bits=64), floats.astype("<f8").tobytes(), VALUES),
            ("mu-law", fmt(7, bits=8), law.tobytes(), mu_law().expand),
            ("A-law", fmt(6, bits=8), law.tobytes(), a_law().expand),
            ("extensible", extensible(1, 24), PCM24, VALUES),
            ("extensible float", extensible(3, 32), floats.tobytes(), VALUES),
        ):
            audio = read_wav(wav(format, chunk(b"data", data)))
            self.assertEqual(audio.samples[0].tolist(), list(map(int, wanted)), msg=name)
            self.assertEqual((audio.rate, len(audio.samples)), (8000, 1), msg=name)

    def test_channels_stand_apart(self) -> None:
        both = np.stack([sine(440, 0.1), sine(880, 0.1)])
        self.assertTrue(np.array_equal(read_wav(wav_of(both)).samples, both))

    def test_channels_are_mixed_without_wrapping(self) -> None:
        both = np.array([[32767, -32768, 100], [32767, -32768, 101]], np.int16)
        self.assertEqual(read_wav(wav_of(both)).sound(8000).samples.tolist(), [32767, -32768, 100])

    def test_floats_that_are_none_are_silent_or_full(self) -> None:
        data = np.array([np.nan, np.inf, -np.inf, 7.5, -7.5, 1e38], "<f4").tobytes()
        found = read_wav(wav(fmt(3, bits=32), chunk(b"data", data))).samples[0].tolist()
        self.assertEqual(found, [0, 32767, -32768, 32767, -32768, 32767])

    def test_all_rates(self) -> None:
        for rate in (8000, 11025, 22050, 44100, 48000):
            self.assertEqual(read_wav(wav_of(VALUES, rate)).rate, rate)


class BrokenTests(SynchronousTestCase):
    def test_what_is_there_is_read(self) -> None:
        data = VALUES.astype("<i2").tobytes()
        for name, octets, count in (
            ("truncated", wav_of(VALUES)[:-5], 6),
            ("lying size", wav(fmt(), chunk(b"data", data, 2**31)), 9),
            ("unfinished", wav(fmt(), chunk(b"data", data, 0), size=0), 9),
            ("streamed", wav(fmt(), chunk(b"data", data, 0xFFFFFFFF), size=0xFFFFFFFF), 9),
            (
                "chunks before",
                wav(chunk(b"LIST", b"abc"), fmt(), chunk(b"fact", b"1234"), chunk(b"data", data)),
                9,
            ),
            ("chunks after", wav(fmt(), chunk(b"data", data), chunk(b"LIST", b"x" * 99)), 9),
            ("half a sample", wav(fmt(), chunk(b"data", data + b"x")), 9),
            (
                "RF64",
                wav(
                    chunk(b"ds64", struct.pack("<QQQI", 0, 8, 4, 0)),
                    fmt(),
                    chunk(b"data", data, 0xFFFFFFFF),
                    magic=b"RF64",
                    size=0xFFFFFFFF,
                ),
                4,
            ),
        ):
            self.assertEqual(read_wav(octets).samples[0].tolist(), VALUES[:count].tolist(), msg=name)

    def test_what_is_no_audio_is_one_clear_line(self) -> None:
        data = chunk(b"data", b"1234")
        for octets, reason in (
            (b"", "does not begin"),
            (b"RIFF", "does not begin"),
            (b"RIFX\0\0\0\0WAVE", "does not begin"),
            (b"\x7fELF" * 100, "does not begin"),
            (wav(), "no audio"),
            (wav(fmt()), "no audio"),
            (wav(fmt(), chunk(b"data", b"")), "no audio"),
            (wav(fmt(), chunk(b"data", b"x")), "no audio"),
            (wav(data, fmt()), "before the format"),
            (wav(chunk(b"fmt ", b"\1\0"), data), "2 octets"),
            (wav(fmt(2), data), "0x0002"),
            (wav(fmt(0x55), data), "0x0055"),
            (wav(fmt(channels=0, width=1), data), "0 channels"),
            (wav(fmt(channels=9), data), "9 channels"),
            (wav(fmt(rate=7999), data), "7999 samples"),
            (wav(fmt(rate=4_000_000_000, bits=8), data), "4000000000 samples"),
            (wav(fmt(bits=0), data), "0 bits"),
            (wav(fmt(bits=64, width=8), data), "64 bits"),
            (wav(fmt(3, bits=16), data), "16 bits"),
            (wav(fmt(bits=24, width=2), data), "24 bits"),
            (wav(chunk(b"fmt ", struct.pack("<HHIIHH", 0xFFFE, 1, 8000, 0, 2, 16)), data), "extensible"),
            (wav(*[chunk(b"junk", b"")] * 1000, fmt(), data), "no audio"),
        ):
            error = self.assertRaises(AudioFileError, read_wav, octets)
            self.assertIn(reason, str(error))
            self.assertNotIn("\n", str(error))

    def test_too_long_is_said_before_it_is_decoded(self) -> None:
        error = self.assertRaises(AudioFileError, read_wav, wav_of(np.zeros(16001, np.int16)), 2)
        self.assertIn("2 s is the most", str(error))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=64), st.integers(0, 80), st.integers(0, 255))
    def test_nothing_else_escapes(self, tail: bytes, at: int, octet: int) -> None:
        data = bytearray(wav_of(VALUES, 16000) + tail)
        data[at % len(data)] = octet
        for octets in (bytes(data), bytes(data[:at]), wav(tail), wav(fmt(), tail)):
            try:
                audio = read_wav(octets)
            except AudioFileError as error:
                self.assertTrue(str(error))
            else:
                self.assertGreater(audio.samples.size, 0)
                self.assertEqual(audio.samples.dtype, np.int16)
