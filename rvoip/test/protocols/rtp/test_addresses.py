"""Addresses as rows of words."""

from __future__ import annotations

import socket

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.addresses import (
    IPV4,
    IPV6,
    families,
    no_addresses,
    pack_address,
    pack_addresses,
    ports_of,
    same_address,
    unpack_address,
)

ADDRESSES = st.tuples(
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), st.integers(min_value=0, max_value=65535)
)


class AddressesTests(SynchronousTestCase):
    """Packing, unpacking and comparing."""

    def test_octets(self) -> None:
        """The octets are those of the kernel's structures."""
        table = {
            ("192.0.2.7", 5004): b"\x02\0\x13\x8c\xc0\0\x02\x07" + bytes(24),
            ("2001:db8::7", 5004): b"\x0a\0"
            b"\x13\x8c" + bytes(4) + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x07" + bytes(8),
            ("fe80::1%3", 65535): b"\x0a\0\xff\xff"
            + bytes(4)
            + b"\xfe\x80"
            + bytes(13)
            + b"\x01"
            + b"\x03\0\0\0"
            + bytes(4),
        }
        for address, octets in table.items():
            self.assertEqual(pack_address(*address).tobytes(), octets)
            self.assertEqual(unpack_address(pack_address(*address)), address)
        self.assertEqual((IPV4, IPV6), (socket.AF_INET, socket.AF_INET6))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(ADDRESSES, max_size=8), ADDRESSES)
    def test_columns(self, addresses: list[tuple[str, int]], one: tuple[str, int]) -> None:
        rows = pack_addresses(addresses)
        self.assertEqual(rows.shape, (len(addresses), 4))
        self.assertEqual([unpack_address(row) for row in rows], addresses)
        self.assertEqual(ports_of(rows).tolist(), [port for _, port in addresses])
        self.assertEqual(families(rows).tolist(), [IPV6 if ":" in host else IPV4 for host, _ in addresses])
        others = np.tile(pack_address(*one), (len(addresses), 1))
        self.assertEqual(same_address(rows, others).tolist(), [address == one for address in addresses])

    def test_each_word_counts(self) -> None:
        row = pack_addresses([("2001:db8::1", 7)])
        for word in range(4):
            other = row.copy()
            other[0, word] ^= np.uint64(1 << 40)
            self.assertFalse(same_address(row, other)[0])

    def test_refused(self) -> None:
        for host, port in (
            ("example.test", 1),
            ("192.0.2.1", -1),
            ("192.0.2.1", 65536),
            ("192.0.2.256", 1),
            ("::1%eth0", 1),
            ("::1%" + "9" * 10, 1),
            ("::1%\u0661", 1),
            ("", 1),
        ):
            with self.assertRaises(ValueError):
                pack_address(host, port)
        for row in (no_addresses(1)[0], np.full(4, 7, np.uint64), pack_address("::1", 1)[:2]):
            with self.assertRaises(ValueError):
                unpack_address(row)
