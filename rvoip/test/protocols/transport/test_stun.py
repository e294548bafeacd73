"""Binding responses beside the samples of RFC 5769."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.stun import binding_response

KEY = bytes.fromhex("2112a442b7e7a701bc34d686fa87dfae")
"""Cookie and transaction id of RFC 5769 sections 2.1 to 2.3."""

REQUEST = b"\x00\x01\x00\x00" + KEY


class BindingTests(SynchronousTestCase):
    def test_ipv4(self) -> None:
        """The XOR-MAPPED-ADDRESS of RFC 5769 section 2.2."""
        expected = b"\x01\x01\x00\x0c" + KEY + bytes.fromhex("002000080001a147e112a643")
        self.assertEqual(binding_response(REQUEST, "192.0.2.1", 32853), expected)

    def test_ipv6(self) -> None:
        """That of section 2.3; a zone is no part of the address."""
        value = bytes.fromhex("002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
        host = "2001:db8:1234:5678:11:2233:4455:6677"
        for each in (host, f"{host}%eth0"):
            self.assertEqual(binding_response(REQUEST, each, 32853), b"\x01\x01\x00\x18" + KEY + value)

    def test_attributes_do_not_matter(self) -> None:
        """Whatever the client says of itself."""
        data = b"\x00\x01\x00\x08" + KEY + b"\x80\x22\x00\x04test"
        self.assertIsNotNone(binding_response(data, "192.0.2.1", 1))

    def test_what_is_none(self) -> None:
        """Responses, indications, other cookies, lengths that are wrong."""
        for data in (
            b"",
            REQUEST[:19],
            REQUEST + b"\0",
            b"\x01\x01" + REQUEST[2:],
            b"\x00\x11" + REQUEST[2:],
            REQUEST[:4] + b"\x21\x12\xa4\x43" + REQUEST[8:],
            b"\x00\x01\x00\x04" + KEY,
            b"\x00\x01\x00\x03" + KEY + b"abc",
        ):
            self.assertIsNone(binding_response(data, "192.0.2.1", 1), data)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=80), st.integers(1, 65535))
    def test_any_octets(self, data: bytes, port: int) -> None:
        """It never raises, and never answers with much more than it got."""
        for one in (data, REQUEST[:8] + data):
            response = binding_response(one, "192.0.2.1", port)
            self.assertTrue(response is None or len(response) <= 2 * len(one))
