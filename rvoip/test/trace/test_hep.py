"""HEP3 packets, both ways."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.trace.hep import LONGEST, SIP, TCP, UDP, HEPError, HEPPacket, build, parse, read_length

PACKET = HEPPacket(
    at=1700000000.25,
    source=("192.0.2.7", 5070),
    destination=("192.0.2.1", 5060),
    payload=b"OPTIONS",
    agent=2001,
    key=b"secret",
    correlation="c1",
)

# Written by hand from the specification: vendor, type, length and content of each chunk.
WIRE = bytes.fromhex(
    "48455033 007e"
    "0000 0001 0007 02"
    "0000 0002 0007 11"
    "0000 0003 000a c0000207"
    "0000 0004 000a c0000201"
    "0000 0007 0008 13ce"
    "0000 0008 0008 13c4"
    "0000 0009 000a 6553f100"
    "0000 000a 000a 0003d090"
    "0000 000b 0007 01"
    "0000 000c 000a 000007d1"
    "0000 000e 000c 736563726574"
    "0000 0011 0008 6331"
    "0000 000f 000d 4f5054494f4e53"
)


class HEPTests(SynchronousTestCase):
    def test_the_octets(self) -> None:
        self.assertEqual(build(PACKET).hex(), WIRE.hex())
        self.assertEqual(parse(WIRE), PACKET)

    def test_ipv6(self) -> None:
        packet = HEPPacket(1.5, ("2001:db8::1", 5060), ("::1", 65535), b"x", TCP)
        self.assertEqual(parse(build(packet)), packet)

    def test_addresses_that_do_not_fit(self) -> None:
        """A name, and two families in one packet: the collector gets what there is."""
        packet = parse(build(HEPPacket(1.0, ("sip.example.test", 5060), ("192.0.2.1", 1), b"x")))
        self.assertEqual((packet.source[0], packet.destination[0]), ("0.0.0.0", "192.0.2.1"))
        packet = parse(build(HEPPacket(1.0, ("0.0.0.0", 5060), ("2001:db8::1", 1), b"x")))
        self.assertEqual((packet.source[0], packet.destination[0]), ("::", "2001:db8::1"))
        packet = parse(build(HEPPacket(1.0, ("fe80::1%eth0", 5060), ("[::1]", 1), b"x")))
        self.assertEqual((packet.source[0], packet.destination[0]), ("fe80::1", "::1"))

    def test_a_long_payload_is_cut(self) -> None:
        wire = build(HEPPacket(1.0, ("192.0.2.7", 1), ("192.0.2.1", 2), b"x" * 70_000))
        self.assertEqual(len(wire), LONGEST)
        self.assertEqual(read_length(wire), LONGEST)

    def test_what_others_put_in(self) -> None:
        """Chunks of vendors, unknown ones, and no chunk that we could do without."""
        chunks = WIRE[6:]
        odd = struct.pack(">HHH4s", 5, 3, 10, b"abcd") + struct.pack(">HHH", 0, 99, 6)
        wire = b"HEP3" + struct.pack(">H", 6 + len(odd) + len(chunks)) + odd + chunks
        self.assertEqual(parse(wire), PACKET)
        needed = struct.pack(">HHH4s", 0, 3, 10, b"\x01\x02\x03\x04") + struct.pack(
            ">HHH4s", 0, 4, 10, b"\x04\x03\x02\x01"
        )
        needed += struct.pack(">HHH1s", 0, 15, 7, b"x")
        found = parse(b"HEP3" + struct.pack(">H", 6 + len(needed)) + needed)
        self.assertEqual((found.at, found.source, found.kind), (0.0, ("1.2.3.4", 0), 0))

    def test_what_is_none(self) -> None:
        for wire in (
            b"",
            b"HEP3",
            b"HEP3\x00\x05",
            b"HEP2" + WIRE[4:],
            WIRE[:-1],
            WIRE + b"x",
            b"HEP3\x00\x06",
            b"HEP3\x00\x0b" + b"\x00" * 5,
            b"HEP3\x00\x0c" + struct.pack(">HHH", 0, 1, 0),
            b"HEP3\x00\x0c" + struct.pack(">HHH", 0, 1, 7),
            WIRE.replace(bytes.fromhex("0000 0001 0007 02"), bytes.fromhex("0000 0003 0007 02")),
            WIRE.replace(bytes.fromhex("0000 000f"), bytes.fromhex("0000 0063")),
            b"HEP3" + struct.pack(">H", 6 + 6 * 100) + struct.pack(">HHH", 9, 9, 6) * 100,
        ):
            self.assertRaises(HEPError, parse, wire)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=80), st.integers(0, len(WIRE)), st.binary(max_size=8))
    def test_nothing_else_gets_out(self, noise: bytes, place: int, patch: bytes) -> None:
        for wire in (noise, b"HEP3" + noise, WIRE[:place] + patch + WIRE[place + len(patch) :]):
            try:
                parse(wire)
            except HEPError:
                continue

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.integers(0, 2**32 * 1000 - 1),
        st.ip_addresses(),
        st.integers(0, 65535),
        st.binary(max_size=300),
        st.sampled_from([UDP, TCP]),
        st.binary(max_size=20),
    )
    def test_any_packet(
        self, at: int, host: object, port: int, data: bytes, protocol: int, key: bytes
    ) -> None:
        ends = (str(host), port), (str(host), 5060)
        packet = HEPPacket(at / 1000, *ends, data, protocol, SIP, 7, key)
        self.assertEqual(parse(build(packet)), packet)
