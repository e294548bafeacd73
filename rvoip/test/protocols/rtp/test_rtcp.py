"""RTCP: packets as octets, compound packets, extended reports."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.rtcp import (
    CNAME,
    MOST_PACKETS,
    Application,
    ControlPacket,
    Goodbye,
    OtherPacket,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceChunk,
    SourceDescription,
    build_compound,
    parse_compound,
)
from rvoip.protocols.rtp.rtcp_xr import (
    Delay,
    ExtendedReport,
    LastReceiverReports,
    OtherBlock,
    ReferenceTime,
    VoIPMetrics,
)

U8, U16, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
S8 = st.integers(-128, 127)
WORDS = st.integers(0, 5).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
BLOCKS = st.lists(
    st.builds(ReportBlock, U32, U8, st.integers(-0x800000, 0x7FFFFF), U32, U32, U32, U32), max_size=31
).map(tuple)
SENDERS = st.builds(SenderReport, U32, U64, U32, U32, U32, BLOCKS, WORDS)
RECEIVERS = st.builds(ReceiverReport, U32, BLOCKS, WORDS)
CHUNKS = st.lists(
    st.builds(
        SourceChunk,
        U32,
        st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=255)), max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)
METRICS = st.builds(VoIPMetrics, U32, *[U8] * 4, *[U16] * 4, S8, S8, *[U8] * 7, *[U16] * 3)
XR_BLOCKS = (
    st.builds(ReferenceTime, U64)
    | st.builds(LastReceiverReports, st.lists(st.builds(Delay, U32, U32, U32), max_size=4).map(tuple))
    | METRICS
    | st.builds(OtherBlock, st.integers(8, 255), U8, WORDS)
)
OTHERS: st.SearchStrategy[ControlPacket] = st.one_of(
    st.builds(SourceDescription, CHUNKS),
    st.builds(
        Goodbye,
        st.lists(U32, max_size=31).map(tuple),
        st.none() | st.binary(max_size=255),
    ),
    st.builds(Application, U32, st.binary(min_size=4, max_size=4), st.integers(0, 31), WORDS),
    st.builds(ExtendedReport, U32, st.lists(XR_BLOCKS, max_size=4).map(tuple)),
    st.builds(OtherPacket, st.sampled_from((192, 205, 206, 213)), st.integers(0, 31), WORDS),
)

BLOCK = ReportBlock(0x11223344, 0x40, -2, 0x00010005, 7, 0x12345678, 0x00010000)
TABLE: list[tuple[str, ControlPacket]] = [
    (
        "80c80006 deadbeef e000000080000000 000000a0 00000003 000001e0",
        SenderReport(0xDEADBEEF, 0xE000000080000000, 160, 3, 480),
    ),
    (
        "81c90007 deadbeef 11223344 40fffffe 00010005 00000007 12345678 00010000",
        ReceiverReport(0xDEADBEEF, (BLOCK,)),
    ),
    (
        "81ca0003 deadbeef 0104 6140622e 0000",
        SourceDescription((SourceChunk(0xDEADBEEF, ((CNAME, b"a@b."),)),)),
    ),
    ("81ca0002 deadbeef 0102 61 62 00000000", SourceDescription((SourceChunk(1),))),  # set right below
    ("81cb0003 deadbeef 05 6c65617665 0000", Goodbye((0xDEADBEEF,), b"leave")),
    ("80cb0000", Goodbye()),
    ("83cc0003 deadbeef 74657374 01020304", Application(0xDEADBEEF, b"test", 3, b"\1\2\3\4")),
    (
        "80cf0004 deadbeef 04000002 e000000080000000",
        ExtendedReport(0xDEADBEEF, (ReferenceTime(0xE000000080000000),)),
    ),
    (
        "80cf0005 deadbeef 05000003 11223344 12345678 00010000",
        ExtendedReport(0xDEADBEEF, (LastReceiverReports((Delay(0x11223344, 0x12345678, 65536),)),)),
    ),
    (
        "80cf000a deadbeef 07000008 11223344 0d000000 00000000 00000000 c4ce7f10 5d7f2a2a 30000028 005000a0",
        ExtendedReport(
            0xDEADBEEF,
            (
                VoIPMetrics(
                    0x11223344,
                    13,
                    signal_level=-60,
                    noise_level=-50,
                    r_factor=93,
                    mos_lq=42,
                    mos_cq=42,
                    rx_config=0x30,
                    jb_nominal=40,
                    jb_maximum=80,
                    jb_absolute_maximum=160,
                ),
            ),
        ),
    ),
]
# An item that ends on a word is followed by a whole word of zeros.
TABLE[3] = (
    "81ca0003 deadbeef 0102 6162 00000000",
    SourceDescription((SourceChunk(0xDEADBEEF, ((CNAME, b"ab"),)),)),
)

RR = "80c90001 deadbeef"
MALFORMED = [
    "",
    "80c900",
    "80c90001",
    "40c90001 deadbeef",
    "81c90001 deadbeef",
    "80c80001 deadbeef",
    "80c90000",
    "80ca0000",  # not a report first
    "80cb0000",
    RR + "80",
    RR + "80cb00",
    RR + "80cb0001",
    RR + "81cb0000",
    RR + "81cb0002 deadbeef ff616263",
    RR + "81ca0001 deadbeef",
    RR + "81ca0002 deadbeef 01ff6162",
    RR + "81ca0002 deadbeef 01026162",
    RR + "82ca0002 deadbeef 00000000",
    RR + "80cc0001 deadbeef",
    RR + "80cf0000",
    RR + "80cf0002 deadbeef 04000002",
    "a0c90002 deadbeef 00000004" + RR,  # padding before the last
    "a0c90002 deadbeef 00000003",
    "a0c90002 deadbeef 00000000",
    "a0c90002 deadbeef 0000000c",
    "a0c90000",
    RR * (MOST_PACKETS + 1),
]


class TableTests(SynchronousTestCase):
    """Octets and what they say."""

    def test_table(self) -> None:
        for octets, packet in TABLE:
            with self.subTest(octets):
                datagram = bytes.fromhex(octets)
                self.assertEqual(parse_compound(datagram, reduced=True), (packet,))
                self.assertEqual(build_compound([packet], reduced=True), datagram)

    def test_all_in_one(self) -> None:
        packets = [packet for _, packet in TABLE]
        datagram = b"".join(bytes.fromhex(octets) for octets, _ in TABLE)
        self.assertEqual(list(parse_compound(datagram)), packets)
        self.assertEqual(build_compound(packets), datagram)

    def test_malformed(self) -> None:
        for octets in MALFORMED:
            with self.subTest(octets[:60]):
                self.assertRaises(RTPError, parse_compound, bytes.fromhex(octets))

    def test_padding_of_the_last(self) -> None:
        found = parse_compound(bytes.fromhex(RR + "a1cb0002 deadbeef 00000004"))
        self.assertEqual(found, (ReceiverReport(0xDEADBEEF), Goodbye((0xDEADBEEF,))))

    def test_reduced_size_only_where_agreed(self) -> None:
        """RFC 5506: a lone packet of feedback."""
        datagram = bytes.fromhex("81ce0002 deadbeef 11223344")
        self.assertRaises(RTPError, parse_compound, datagram)
        packet = OtherPacket(206, 1, bytes.fromhex("deadbeef11223344"))
        self.assertEqual(parse_compound(datagram, reduced=True), (packet,))
        self.assertRaises(RTPBuildError, build_compound, [packet])

    def test_a_block_of_wrong_length_is_kept_as_it_is(self) -> None:
        found = parse_compound(bytes.fromhex(RR + "80cf0003 deadbeef 07000001 11223344"))
        self.assertEqual(found[1], ExtendedReport(0xDEADBEEF, (OtherBlock(7, 0, bytes.fromhex("11223344")),)))

    def test_the_canonical_name(self) -> None:
        self.assertEqual(SourceChunk(1, ((2, b"Ann"), (CNAME, b"x"))).cname, b"x")
        self.assertIsNone(SourceChunk(1, ((2, b"Ann"),)).cname)

    def test_what_does_not_fit_is_not_written(self) -> None:
        report = ReceiverReport(1)
        for wrong in (
            [],
            [Goodbye()],
            [report] * (MOST_PACKETS + 1),
            [ReceiverReport(2**32)],
            [ReceiverReport(1, (ReportBlock(1),) * 32)],
            [ReceiverReport(1, (ReportBlock(1, 256),))],
            [ReceiverReport(1, (ReportBlock(1, 0, 0x800000),))],
            [ReceiverReport(1, (), b"abc")],
            [SenderReport(1, 2**64, 0, 0, 0)],
            [report, SourceDescription((SourceChunk(1, ((0, b""),)),))],
            [report, SourceDescription((SourceChunk(1, ((1, bytes(256)),)),))],
            [report, Goodbye((1,), bytes(256))],
            [report, Application(1, b"abc")],
            [report, Application(1, b"abcd", 32)],
            [report, ExtendedReport(1, (OtherBlock(9, 0, b"a"),))],
            [report, ExtendedReport(1, (VoIPMetrics(1, 256),))],
            [report, OtherPacket(206, 0, bytes(65_520))],
        ):
            self.assertRaises(RTPBuildError, build_compound, wrong)

    def test_counters_of_a_sender_wrap(self) -> None:
        (found,) = parse_compound(build_compound([SenderReport(1, 0, 0, 2**32 + 5, 2**33 + 6)]))
        assert isinstance(found, SenderReport)
        self.assertEqual((found.packets, found.octets), (5, 6))


class PropertyTests(SynchronousTestCase):
    """Whatever is written is read; whatever is read harms nobody."""

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(SENDERS | RECEIVERS, st.lists(OTHERS | SENDERS | RECEIVERS, max_size=4))
    def test_round_trip(self, first: ControlPacket, others: list[ControlPacket]) -> None:
        packets = [first, *others]
        self.assertEqual(list(parse_compound(build_compound(packets))), packets)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.binary(max_size=90)
        | st.tuples(
            st.sampled_from((200, 201, 202, 203, 204, 207)), st.integers(0, 31), st.integers(0, 12), st.data()
        ).map(
            lambda drawn: (
                bytes((0x80 | drawn[1], drawn[0], 0, drawn[2]))
                + drawn[3].draw(st.binary(min_size=4 * drawn[2], max_size=4 * drawn[2]))
            )
        )
    )
    def test_garbage(self, datagram: bytes) -> None:
        try:
            packets = parse_compound(datagram, reduced=True)
        except RTPError:
            return
        self.assertEqual(parse_compound(build_compound(packets, reduced=True), reduced=True), packets)
