"""How long a packet of Opus is, by the figures of RFC 6716 and by libopus."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, TestCase

from rvoip.codecs import libopus
from rvoip.codecs.opus_packet import packet_units, units
from rvoip.test.codecs.agreement import columns


class Durations(TestCase):
    def test_each_configuration(self) -> None:
        """Table 2 of RFC 6716, in ms."""
        silk, hybrid, celt = [10, 20, 40, 60], [10, 20], [2.5, 5, 10, 20]
        expected = silk * 3 + hybrid * 2 + celt * 4
        self.assertEqual([units(bytes([config << 3, 0])) * 2.5 for config in range(32)], expected)

    def test_counts_of_frames(self) -> None:
        twenty = 1 << 3
        self.assertEqual(units(bytes([twenty])), 8)  # a frame without octets
        self.assertEqual(units(bytes([twenty | 1, 7, 7])), 16)
        self.assertEqual(units(bytes([twenty | 2, 1, 7, 7])), 16)
        self.assertEqual(units(bytes([twenty | 3, 6]) + bytes(6)), 48)
        self.assertEqual(units(bytes([16 << 3 | 3, 48])), 48)

    def test_what_no_packet_is(self) -> None:
        twenty = 1 << 3
        broken = {
            "no octet": b"",
            "two frames of one length in an odd number": bytes([twenty | 1, 7]),
            "no length of the first frame": bytes([twenty | 2]),
            "no count": bytes([twenty | 3]),
            "a count of 0": bytes([twenty | 3, 0x40]),
            "140 ms": bytes([twenty | 3, 7]) + bytes(7),
            "157.5 ms": bytes([16 << 3 | 3, 63]) + bytes(63),
            "a frame of 1276 octets": bytes([twenty]) + bytes(1276),
            "two of 1276": bytes([twenty | 1]) + bytes(2552),
        }
        self.assertEqual({name: units(packet) for name, packet in broken.items()}, dict.fromkeys(broken, 0))
        self.assertFalse(packet_units(*columns(list(broken.values()))).any())

    def test_columns(self) -> None:
        packets, starts, lengths = columns([b"\x08ab", b"\x0b\x06" + bytes(6), b"\x0b", b"", b"\x80"])
        self.assertEqual(packet_units(packets, starts, lengths).tolist(), [8, 48, 0, 0, 1])
        lengths[0] = 100
        starts[1] = 10**9
        self.assertEqual(packet_units(packets, starts, lengths).tolist(), [0, 0, 0, 0, 1])
        self.assertEqual(packet_units(packets[:0], starts[:0], lengths[:0]).tolist(), [])
        self.assertEqual(packet_units(np.zeros((2, 0), np.uint8), starts[:2], lengths[:2]).tolist(), [0, 0])

    @settings(derandomize=True, deadline=None, max_examples=400)
    @given(st.binary(min_size=1, max_size=20))
    def test_one_and_many_agree(self, packet: bytes) -> None:
        self.assertEqual(packet_units(*columns([packet])).tolist(), [units(packet)])

    @settings(derandomize=True, deadline=None, max_examples=400)
    @given(st.binary(min_size=1, max_size=20))
    def test_what_libopus_decodes_is_what_we_counted(self, packet: bytes) -> None:
        if missing := libopus.LIBRARY.missing():
            raise SkipTest(missing)
        library = libopus.LIBRARY.load()
        count = library.opus_packet_get_nb_samples
        count.restype, count.argtypes = ctypes.c_int, (ctypes.c_char_p, ctypes.c_int, ctypes.c_int)
        theirs = count(packet, len(packet), 48000)
        ours = units(packet) * 120
        if ours:
            self.assertEqual(ours, theirs)
        elif theirs > 0:
            # What we refuse and the count of samples alone does not show: R3 and R4.
            self.assertIn(packet[0] & 3, (1, 2, 3))
