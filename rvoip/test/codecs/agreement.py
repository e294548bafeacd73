"""Both forms of a codec side by side: what one stream gives, the row of many gives too, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.codecs.errors import CodecError
from rvoip.codecs.interfaces import ICodec, IDecoder, IDecoders, IEncoder, IEncoders

HEADER = 12


def speech(codec: ICodec, streams: int, frames: int, seed: int = 1) -> NDArray[np.int16]:
    """Something like voices, (streams, frames, samples of 20 ms): gliding harmonics and noise."""
    random = np.random.default_rng(seed)
    samples = codec.frame_samples(20)
    time = np.arange(frames * samples) / (codec.sample_rate * codec.audio_channels)
    pitch = random.uniform(90, 220, (streams, 1))
    phase = 2 * np.pi * (pitch * time + 8 * np.sin(3 * time))
    voice = sum(np.sin(phase * k) / k for k in range(1, 12)) * (1 + np.sin(9 * time + pitch))
    noisy = 4000 * voice + random.normal(0, 100, voice.shape)
    pcm: NDArray[np.int16] = np.clip(noisy, -32768, 32767).astype(np.int16)
    return pcm.reshape(streams, frames, samples)


def columns(
    payloads: Sequence[bytes], slot: int = 0, start: int = HEADER
) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
    """Payloads as they stand in datagrams: the buffer, where each begins, how long it is."""
    width = max([slot, *(start + len(payload) for payload in payloads)])
    packets = np.full((len(payloads), width), 0xAA, np.uint8)
    for row, payload in enumerate(payloads):
        packets[row, start : start + len(payload)] = np.frombuffer(payload, np.uint8)
    lengths = np.array([len(payload) for payload in payloads], np.intp)
    return packets, np.full(len(payloads), start, np.intp), lengths


class Agreement(TestCase):
    """What holds for every codec of audio."""

    def assert_provides(self, codec: ICodec) -> None:
        verifyObject(ICodec, codec)
        verifyObject(IEncoder, codec.encoder())
        verifyObject(IDecoder, codec.decoder())
        verifyObject(IEncoders, codec.encoders())
        verifyObject(IDecoders, codec.decoders())

    def assert_forms_agree(self, codec: ICodec, fmtp: str = "") -> None:
        """Encode, decode, conceal and recover a few streams for some frames in either form."""
        streams, frames = 5, 12
        pcm = speech(codec, streams, frames)
        samples, untouched = pcm.shape[2], pcm.copy()
        encoders, decoders = codec.encoders(), codec.decoders()
        # Rows are out of order, and one was somebody else's before.
        encoders.remove([encoders.add(fmtp) for _ in range(3)][1])
        rows = np.array([encoders.add(fmtp) for _ in range(streams)])
        decoder_rows = np.array([decoders.add(fmtp) for _ in range(streams)])[::-1].copy()
        single = [(codec.encoder(fmtp), codec.decoder(fmtp)) for _ in range(streams)]
        for frame in range(frames):
            payloads = [one[0].encode(pcm[row, frame]) for row, one in enumerate(single)]
            out = np.zeros((streams, HEADER + 2000 + 2 * samples), np.uint8)
            written, sizes = encoders.encode(rows, pcm[:, frame], out[:, HEADER:])
            self.assertEqual([written[i, : sizes[i]].tobytes() for i in range(streams)], payloads)
            self.assertEqual([len(payload) for payload in payloads], sizes.tolist())
            self.assertFalse(out[:, :HEADER].any())
            starts = np.full(streams, HEADER)
            if frame == 5:
                expected = [one[1].conceal(samples) for one in single]
                found = decoders.conceal(decoder_rows, samples)
            elif frame == 6:
                expected = [one[1].recover(p, samples) for one, p in zip(single, payloads)]
                found = decoders.recover(decoder_rows, out, starts, sizes.astype(np.intp), samples)
                np.testing.assert_array_equal(found, np.array(expected))
                expected = [one[1].decode(p) for one, p in zip(single, payloads)]
                found, _ = decoders.decode(decoder_rows, out, starts, sizes.astype(np.intp), samples)
            else:
                expected = [one[1].decode(payload) for one, payload in zip(single, payloads)]
                found, counts = decoders.decode(decoder_rows, out, starts, sizes.astype(np.intp), samples)
                self.assertEqual(counts.tolist(), [samples] * streams)
            self.assertEqual(found.dtype, np.int16)
            np.testing.assert_array_equal(found, np.array(expected))
            self.assertEqual(
                codec.durations(out, starts, sizes.astype(np.intp)).tolist(),
                [codec.payload_samples(payload) for payload in payloads],
            )
        np.testing.assert_array_equal(pcm, untouched)

    def assert_bounds_are_kept(self, codec: ICodec) -> None:
        """Payloads that are none, or lie about where they are, silence their own row and no other."""
        pcm = speech(codec, 1, 1)[0, 0]
        payload = codec.encoder().encode(pcm)
        decoders = codec.decoders()
        places = [
            (HEADER, len(payload)),
            (HEADER, 0),
            (HEADER, -1),
            (-1, len(payload)),
            (HEADER, len(payload) + 1),
            (HEADER + len(payload), 1),
            (2**62, 2**62),
            (HEADER, 2**62),
        ]
        rows = np.array([decoders.add() for _ in places])
        packets, _, _ = columns([payload] * len(places))
        starts = np.array([start for start, _ in places])
        lengths = np.array([length for _, length in places])
        found, counts = decoders.decode(rows, packets, starts, lengths, len(pcm))
        self.assertEqual(counts.tolist(), [len(pcm)] + [0] * 7)
        self.assertTrue(found[0].any())
        self.assertFalse(found[1:].any())
        np.testing.assert_array_equal(codec.durations(packets, starts, lengths) > 0, counts > 0)
        recovered = decoders.recover(rows, packets, starts, lengths, len(pcm))
        self.assertEqual(recovered.shape, found.shape)
        # A packet that holds more than was asked for is left alone.
        _, counts = decoders.decode(rows[:1], packets[:1], starts[:1], lengths[:1], len(pcm) - 1)
        self.assertEqual(counts.tolist(), [0])
        self.assertEqual(codec.payload_samples(b""), 0)
        self.assertRaises(CodecError, codec.decoder().decode, b"")
        with self.assertRaises(CodecError):
            codec.encoders().encode(np.array([0]), pcm[None], np.zeros((1, 1), np.uint8))

    def assert_refuses_what_is_no_frame(self, codec: ICodec) -> None:
        encoder, encoders = codec.encoder(), codec.encoders()
        row = np.array([encoders.add()])
        right = speech(codec, 1, 1)[0, 0]
        for wrong in (right[:0], right.astype(np.float64), right.astype(np.uint16), right[None]):
            self.assertRaises(CodecError, encoder.encode, wrong)
        for wrong in (right[None, :0], right[None].astype(np.int32), right):
            self.assertRaises(CodecError, encoders.encode, row, wrong)
        # A frame that does not stand in one piece is as good as one that does.
        apart = np.repeat(right, 2)[::2]
        self.assertEqual(encoder.encode(apart), codec.encoder().encode(right))
