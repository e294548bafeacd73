"""RTP packets alone and in columns, and what kind of packet a datagram is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.columns import (
    DTLS,
    RTCP,
    RTP,
    STUN,
    UNKNOWN,
    kind_of,
    kinds,
    read_headers,
    write_headers,
)
from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.packet import ONE_BYTE, TWO_BYTE, HeaderExtension, RTPPacket

U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
WORDS = st.integers(0, 12).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
PACKETS = st.builds(
    RTPPacket,
    payload_type=st.integers(0, 127),
    sequence=U16,
    timestamp=U32,
    ssrc=U32,
    payload=st.binary(max_size=60),
    marker=st.booleans(),
    csrcs=st.lists(U32, max_size=15).map(tuple),
    extension=st.none() | st.builds(HeaderExtension, U16, WORDS),
    padding=st.integers(0, 255),
)

# Octets and what they say; None is malformed.
TABLE: list[tuple[str, RTPPacket | None]] = [
    ("8000 0001 000000a0 deadbeef ffff", RTPPacket(0, 1, 160, 0xDEADBEEF, b"\xff\xff")),
    ("80e5 ffff ffffffff 00000000", RTPPacket(101, 65535, 0xFFFFFFFF, 0, b"", True)),
    ("8108 0002 00000000 00000001 0000002a d5", RTPPacket(8, 2, 0, 1, b"\xd5", csrcs=(42,))),
    (
        "9000 0003 00000000 00000001 bede 0001 10aa 0000 55",
        RTPPacket(0, 3, 0, 1, b"\x55", extension=HeaderExtension(ONE_BYTE, b"\x10\xaa\0\0")),
    ),
    ("9000 0003 00000000 00000001 1234 0000", RTPPacket(0, 3, 0, 1, extension=HeaderExtension(0x1234))),
    ("a000 0004 00000000 00000001 aa 00 00 03", RTPPacket(0, 4, 0, 1, b"\xaa", padding=3)),
    ("a000 0004 00000000 00000001 01", RTPPacket(0, 4, 0, 1, b"", padding=1)),
    ("", None),
    ("80", None),
    ("8000 0001 000000a0 deadbe", None),
    ("4000 0001 000000a0 deadbeef", None),
    ("c000 0001 000000a0 deadbeef", None),
    ("8f00 0001 000000a0 deadbeef 00000000", None),
    ("9000 0001 000000a0 deadbeef", None),
    ("9000 0001 000000a0 deadbeef bede00", None),
    ("9000 0001 000000a0 deadbeef bede ffff 00000000", None),
    ("a000 0001 000000a0 deadbeef", None),
    ("a000 0001 000000a0 deadbeef 00", None),
    ("a000 0001 000000a0 deadbeef aa ff", None),
    ("b000 0001 000000a0 deadbeef bede 0000", None),
    ("b100 0001 000000a0 deadbeef 00000001 bede 0001 00000000 02", None),
]


def matrix(datagrams: list[bytes], slot: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Datagrams in one array, with something of an earlier packet behind each."""
    slot = slot or max(map(len, datagrams), default=1) + 3
    buffer = np.full((len(datagrams), slot), 0xA5, np.uint8)
    for row, datagram in enumerate(datagrams):
        buffer[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)[:slot]
    return buffer, np.array([len(datagram) for datagram in datagrams], np.int64)


class PacketTests(SynchronousTestCase):
    """The value."""

    def test_table(self) -> None:
        for octets, packet in TABLE:
            with self.subTest(octets):
                datagram = bytes.fromhex(octets)
                if packet is None:
                    self.assertRaises(RTPError, RTPPacket.parse, datagram)
                else:
                    self.assertEqual(RTPPacket.parse(datagram), packet)
                    self.assertEqual(packet.to_bytes(), datagram)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(PACKETS)
    def test_what_is_written_is_read(self, packet: RTPPacket) -> None:
        self.assertEqual(RTPPacket.parse(packet.to_bytes()), packet)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: b"\xb3\x00" + tail))
    def test_only_the_error_of_the_package_gets_out(self, datagram: bytes) -> None:
        """What is read stands for itself: written and read again it is the same (padding octets are free)."""
        try:
            packet = RTPPacket.parse(datagram)
        except RTPError:
            return
        self.assertEqual(RTPPacket.parse(packet.to_bytes()), packet)
        self.assertEqual(len(packet.to_bytes()), len(datagram))

    def test_what_does_not_fit_is_not_written(self) -> None:
        for wrong in (
            RTPPacket(128, 0, 0, 0),
            RTPPacket(0, 65536, 0, 0),
            RTPPacket(0, -1, 0, 0),
            RTPPacket(0, 0, 2**32, 0),
            RTPPacket(0, 0, 0, 0, csrcs=(0,) * 16),
            RTPPacket(0, 0, 0, 0, csrcs=(-1,)),
            RTPPacket(0, 0, 0, 0, padding=256),
            RTPPacket(0, 0, 0, 0, extension=HeaderExtension(0, b"abc")),
            RTPPacket(0, 0, 0, 0, extension=HeaderExtension(0, bytes(4 * 65536))),
            RTPPacket(0, 0, 0, 0, bytes(65_500)),
        ):
            self.assertRaises(RTPBuildError, wrong.to_bytes)


class ExtensionTests(SynchronousTestCase):
    """Elements of RFC 8285."""

    def test_table(self) -> None:
        for profile, octets, elements in (
            (ONE_BYTE, "10aa 0000", ((1, b"\xaa"),)),
            (ONE_BYTE, "00 10aa 00 21bbcc 00", ((1, b"\xaa"), (2, b"\xbb\xcc"))),
            (ONE_BYTE, "10aa f0 ff", ((1, b"\xaa"),)),
            (ONE_BYTE, "10aa 01 20", ((1, b"\xaa"),)),
            (ONE_BYTE, "", ()),
            (TWO_BYTE, "0101aa 00", ((1, b"\xaa"),)),
            (TWO_BYTE | 7, "ff00 00 0201bb 0000", ((255, b""), (2, b"\xbb"))),
            (0x1234, "10aa 0000", ()),
        ):
            with self.subTest(octets):
                self.assertEqual(HeaderExtension(profile, bytes.fromhex(octets)).elements(), elements)

    def test_cut(self) -> None:
        for profile, octets in (
            (ONE_BYTE, "1faa 0000"),
            (ONE_BYTE, "00000010"),
            (TWO_BYTE, "0104aa 00"),
            (TWO_BYTE, "00000001"),
        ):
            extension = HeaderExtension(profile, bytes.fromhex(octets))
            self.assertRaises(RTPError, extension.elements)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.lists(st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16)), max_size=6)
        | st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=3)
    )
    def test_round_trip(self, elements: list[tuple[int, bytes]]) -> None:
        extension = HeaderExtension.of(elements)
        self.assertEqual(list(extension.elements()), elements)
        self.assertEqual(len(extension.data) % 4, 0)

    def test_which_header(self) -> None:
        self.assertEqual(HeaderExtension.of([(14, b"x")]).profile, ONE_BYTE)
        for needs_two in ((15, b"x"), (1, b""), (1, bytes(17))):
            self.assertEqual(HeaderExtension.of([needs_two]).profile, TWO_BYTE)
        self.assertEqual(HeaderExtension.of([(1, b"x")], two_byte=True).profile, TWO_BYTE)
        self.assertRaises(RTPBuildError, HeaderExtension.of, [(0, b"x")])
        self.assertRaises(RTPBuildError, HeaderExtension.of, [(1, bytes(256))])


class ColumnTests(SynchronousTestCase):
    """Headers of many packets say what each alone says."""

    def compare(self, datagrams: list[bytes]) -> None:
        buffer, lengths = matrix(datagrams)
        columns = read_headers(buffer, lengths)
        for row, datagram in enumerate(datagrams):
            try:
                packet = RTPPacket.parse(datagram)
            except RTPError:
                self.assertFalse(columns.valid[row], datagram.hex())
                continue
            self.assertTrue(columns.valid[row], datagram.hex())
            one = columns.take(np.array([row]))
            start, length = int(one.payload_offset[0]), int(one.payload_length[0])
            at, size = int(one.extension_offset[0]), int(one.extension_length[0])
            extension = packet.extension or HeaderExtension(0)
            self.assertEqual(
                (
                    one.payload_type[0],
                    one.sequence[0],
                    one.timestamp[0],
                    one.ssrc[0],
                    bool(one.marker[0]),
                    buffer[row, start : start + length].tobytes(),
                    one.extension_profile[0],
                    buffer[row, at : at + size].tobytes(),
                ),
                (
                    packet.payload_type,
                    packet.sequence,
                    packet.timestamp,
                    packet.ssrc,
                    packet.marker,
                    packet.payload,
                    extension.profile,
                    extension.data,
                ),
            )

    def test_table(self) -> None:
        self.compare([bytes.fromhex(octets) for octets, _ in TABLE])

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(st.lists(PACKETS.map(RTPPacket.to_bytes) | st.binary(max_size=70), max_size=8))
    def test_as_alone(self, datagrams: list[bytes]) -> None:
        self.compare(datagrams)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        PACKETS.map(RTPPacket.to_bytes).flatmap(
            lambda octets: st.integers(0, len(octets)).map(lambda end: octets[:end])
        )
    )
    def test_cut_anywhere(self, datagram: bytes) -> None:
        self.compare([datagram])

    def test_a_datagram_larger_than_its_slot_is_not_valid(self) -> None:
        buffer = np.zeros((1, 64), np.uint8)
        buffer[0, 0] = 0x80
        self.assertFalse(read_headers(buffer, np.array([65])).valid[0])
        self.assertEqual(kinds(buffer, np.array([65])).tolist(), [UNKNOWN])

    def test_no_rows_and_slots_too_small(self) -> None:
        self.assertEqual(read_headers(np.zeros((0, 64), np.uint8), np.zeros(0, int)).valid.size, 0)
        self.assertEqual(kinds(np.zeros((0, 64), np.uint8), np.zeros(0, int)).size, 0)
        none = np.zeros(0, int)
        write_headers(np.zeros((0, 64), np.uint8), none, none, none, none, none)
        small = np.full((2, 3), 0x80, np.uint8)
        self.assertFalse(read_headers(small, np.array([3, 3])).valid.any())
        self.assertEqual(kinds(small[:, :1], np.array([1, 1])).tolist(), [UNKNOWN] * 2)

    def test_written_headers_are_read(self) -> None:
        buffer = np.zeros((3, 172), np.uint8)
        write_headers(buffer, 8, [0, 65535, 65536], np.array([1, 2**32 - 1, 2**32]), 77, [True, False, True])
        columns = read_headers(buffer, np.full(3, 172))
        self.assertTrue(columns.valid.all())
        self.assertEqual(columns.sequence.tolist(), [0, 65535, 0])
        self.assertEqual(columns.timestamp.tolist(), [1, 2**32 - 1, 0])
        self.assertEqual(columns.ssrc.tolist(), [77] * 3)
        self.assertEqual(columns.marker.tolist(), [True, False, True])
        self.assertEqual(columns.payload_type.tolist(), [8] * 3)
        self.assertEqual(columns.payload_length.tolist(), [160] * 3)


class KindTests(SynchronousTestCase):
    """RFC 7983 section 7, RFC 5761 section 4."""

    def test_every_first_octet(self) -> None:
        for first in range(256):
            expected = UNKNOWN
            if first < 4:
                expected = STUN
            elif 20 <= first <= 63:
                expected = DTLS
            elif 128 <= first <= 191:
                expected = RTP
            self.assertEqual(kind_of(bytes((first,)) + bytes(31)), expected, first)

    def test_every_packet_type(self) -> None:
        for second in range(256):
            datagram = bytes((0x80, second)) + bytes(18)
            expected = RTCP if 192 <= second <= 223 else RTP
            self.assertEqual(kind_of(datagram), expected, second)
            self.assertEqual(kind_of(datagram, rtcp_mux=False), RTP)

    def test_too_short(self) -> None:
        for first, second, least, kind in (
            (0, 1, 20, STUN),
            (22, 254, 13, DTLS),
            (0x80, 0, 12, RTP),
            (0x80, 203, 4, RTCP),
        ):
            datagram = bytes((first, second)) + bytes(30)
            self.assertEqual(kind_of(datagram[:least]), kind)
            self.assertEqual(kind_of(datagram[: least - 1]), UNKNOWN)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(
        st.lists(
            st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 22), st.booleans()), max_size=9
        )
    )
    def test_columns_agree(self, rows: list[tuple[int, int, int, bool]]) -> None:
        datagrams = [bytes((first, second)) + bytes(size) for first, second, size, _ in rows]
        datagrams = [datagram[: max(0, len(datagram) - 2)] for datagram in datagrams]
        mux = [row[3] for row in rows]
        buffer, lengths = matrix(datagrams)
        expected = [kind_of(datagram, rtcp_mux=way) for datagram, way in zip(datagrams, mux, strict=True)]
        self.assertEqual(kinds(buffer, lengths, rtcp_mux=np.array(mux, bool)).tolist(), expected)
