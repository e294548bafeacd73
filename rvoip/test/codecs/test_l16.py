"""L16: octets in network order, channels interleaved."""

from __future__ import annotations

import numpy as np

from rvoip.codecs.errors import CodecError
from rvoip.codecs.l16 import L16, RATES
from rvoip.test.codecs.agreement import Agreement, columns


class Linear(Agreement):
    def test_forms_agree_at_each_rate(self) -> None:
        for rate in RATES:
            for channels in (1, 2):
                codec = L16(rate, channels)
                self.assert_provides(codec)
                self.assert_forms_agree(codec)
                self.assert_bounds_are_kept(codec)
                self.assert_refuses_what_is_no_frame(codec)

    def test_network_byte_order(self) -> None:
        pcm = np.array([1, -1, 256, -32768], np.int16)
        self.assertEqual(L16(8000).encoder().encode(pcm), bytes.fromhex("0001 ffff 0100 8000"))
        back = L16(8000).decoder().decode(bytes.fromhex("0001 ffff 0100 8000"))
        self.assertEqual(back.tolist(), pcm.tolist())
        self.assertTrue(back.dtype.isnative)

    def test_what_is_signalled(self) -> None:
        types = {(r, c): L16(r, c).static_payload_type for r in RATES for c in (1, 2)}
        self.assertEqual({k: v for k, v in types.items() if v is not None}, {(44100, 1): 11, (44100, 2): 10})
        self.assertEqual(L16(44100, 2).frame_samples(10), 882)
        self.assertRaises(CodecError, L16, 11025)
        self.assertRaises(CodecError, L16, 8000, 3)

    def test_half_a_sample_or_one_channel_alone_is_no_payload(self) -> None:
        for codec, lengths in ((L16(8000), (1, 3)), (L16(8000, 2), (2, 3, 6))):
            for length in lengths:
                self.assertEqual(codec.payload_samples(bytes(length)), 0)
                self.assertRaises(CodecError, codec.decoder().decode, bytes(length))
                decoders = codec.decoders()
                packets, starts, sizes = columns([bytes(length)])
                _, counts = decoders.decode(np.array([decoders.add()]), packets, starts, sizes, 100)
                self.assertEqual(counts.tolist(), [0])
        self.assertRaises(CodecError, L16(8000, 2).encoder().encode, np.zeros(3, np.int16))

    def test_short_packets_end_in_silence(self) -> None:
        decoders = L16(16000).decoders()
        packets, starts, lengths = columns([b"\x01\x02" * 4, b"\x03\x04" * 2])
        found, counts = decoders.decode(np.arange(2), packets, starts, lengths, 4)
        self.assertEqual(counts.tolist(), [4, 2])
        self.assertEqual(found.tolist(), [[0x102] * 4, [0x304, 0x304, 0, 0]])
