"""STUN: the vectors of RFC 5769, what is written and read again, and what is no message."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.errors import RTPBuildError, RTPError
from rvoip.protocols.rtp.stun import (
    BINDING,
    ERROR,
    INDICATION,
    REQUEST,
    SUCCESS,
    Attribute,
    build_message,
    error_code,
    is_stun,
    mapped_address,
    parse_message,
    unknown_attributes,
    xor_address,
)
from rvoip.test import conformance

TRANSACTION = bytes(range(12))


def changed(datagram: bytes, place: int, value: int) -> bytes:
    """The datagram with another octet at one place."""
    return datagram[:place] + bytes((value,)) + datagram[place + 1 :]


class WriteTests(SynchronousTestCase):
    def test_kinds_and_methods(self) -> None:
        for kind in (REQUEST, INDICATION, SUCCESS, ERROR):
            for method in (0, 1, 2, 9, 0x0F, 0x10, 0x7F, 0x80, 0xAB, 0xFF):
                message = parse_message(build_message(method, kind, TRANSACTION))
                self.assertEqual((message.method, message.kind), (method, kind))
                self.assertEqual((message.transaction, message.fingerprint), (TRANSACTION, True))
        self.assertEqual(build_message(1, SUCCESS, TRANSACTION, fingerprint=False)[:2], b"\x01\x01")
        self.assertEqual(build_message(1, ERROR, TRANSACTION, fingerprint=False)[:2], b"\x01\x11")

    def test_integrity(self) -> None:
        for sha256 in (False, True):
            for fingerprint in (False, True):
                datagram = build_message(
                    BINDING,
                    REQUEST,
                    TRANSACTION,
                    [(Attribute.USERNAME, b"a:b"), (Attribute.USE_CANDIDATE, b"")],
                    key=b"secret",
                    sha256=sha256,
                    fingerprint=fingerprint,
                )
                message = parse_message(datagram)
                self.assertTrue(message.authentic(b"secret"))
                self.assertFalse(message.authentic(b"Secret"))
                self.assertEqual(message.username, "a:b")
                self.assertEqual(message.get(Attribute.USE_CANDIDATE), b"")
                self.assertIsNone(message.get(Attribute.PRIORITY))
        self.assertFalse(parse_message(build_message(1, 0, TRANSACTION)).authentic(b""))

    def test_the_weaker_integrity_cannot_be_chosen(self) -> None:
        """Where both are there, the one by SHA-256 counts: taking it away leaves none that is covered."""
        both = build_message(
            BINDING,
            REQUEST,
            TRANSACTION,
            [(Attribute.USERNAME, b"a:bc"), (Attribute.MESSAGE_INTEGRITY, bytes(20))],
            key=b"k",
            sha256=True,
        )
        self.assertTrue(parse_message(both).authentic(b"k"))
        forged = build_message(
            BINDING, REQUEST, TRANSACTION, [(Attribute.MESSAGE_INTEGRITY_SHA256, bytes(32))], key=b"k"
        )
        self.assertFalse(parse_message(forged).authentic(b"k"))

    def test_what_is_behind_the_integrity_is_not_there(self) -> None:
        signed = build_message(BINDING, REQUEST, TRANSACTION, key=b"k", fingerprint=False)
        extra = Attribute.USE_CANDIDATE.to_bytes(2, "big") + b"\0\0"
        longer = signed[:2] + (len(signed) - 20 + 4).to_bytes(2, "big") + signed[4:] + extra
        message = parse_message(longer)
        self.assertTrue(message.authentic(b"k"))
        self.assertIsNone(message.get(Attribute.USE_CANDIDATE))

    def test_addresses(self) -> None:
        for host, port in (("192.0.2.1", 32853), ("2001:db8::5", 1), ("0.0.0.0", 65535), ("fe80::1", 0)):
            value = xor_address(host, port, TRANSACTION)
            message = parse_message(
                build_message(1, SUCCESS, TRANSACTION, [(Attribute.XOR_MAPPED_ADDRESS, value)])
            )
            self.assertEqual(mapped_address(message), (host, port))
        self.assertEqual(xor_address("fe80::1%eth0", 5, TRANSACTION), xor_address("fe80::1", 5, TRANSACTION))
        plain = b"\0\1\x12\x34\xc0\0\2\1"
        message = parse_message(build_message(1, SUCCESS, TRANSACTION, [(Attribute.MAPPED_ADDRESS, plain)]))
        self.assertEqual(mapped_address(message), ("192.0.2.1", 0x1234))
        for value in (b"", b"\0", b"\0\1", plain + b"\0", b"\0\3" + plain[2:], b"\0\2" + plain[2:]):
            bad = build_message(1, SUCCESS, TRANSACTION, [(Attribute.XOR_MAPPED_ADDRESS, value)])
            self.assertIsNone(mapped_address(parse_message(bad)))

    def test_errors_and_unknown_attributes(self) -> None:
        self.assertEqual(error_code(487), (Attribute.ERROR_CODE, b"\0\0\x04\x57"))
        self.assertEqual(error_code(401, "No")[1], b"\0\0\x04\x01No")
        self.assertEqual(unknown_attributes((5, 0x7FFF)), (Attribute.UNKNOWN_ATTRIBUTES, b"\0\5\x7f\xff"))
        datagram = build_message(1, 0, TRANSACTION, [(0x7FFE, b""), (0x9999, b"x"), (0x7FFE, b"y")])
        self.assertEqual(parse_message(datagram).unknown, (0x7FFE,))

    def test_what_cannot_be_written(self) -> None:
        self.assertRaises(RTPBuildError, build_message, 1, 0, b"short")
        self.assertRaises(RTPBuildError, build_message, 0x100, 0, TRANSACTION)
        self.assertRaises(RTPBuildError, build_message, 1, 4, TRANSACTION)
        self.assertRaises(RTPBuildError, build_message, 1, 0, TRANSACTION, [(6, bytes(2000))])
        self.assertRaises(RTPBuildError, error_code, 200)
        self.assertRaises(RTPBuildError, error_code, 700)

    def test_a_name_that_is_no_text(self) -> None:
        datagram = build_message(1, 0, TRANSACTION, [(Attribute.USERNAME, b"\xff\xfe")])
        self.assertIsNone(parse_message(datagram).username)


class ReadTests(SynchronousTestCase):
    def test_no_messages(self) -> None:
        good = build_message(1, 0, TRANSACTION, [(Attribute.PRIORITY, bytes(4))], key=b"k")
        self.assertTrue(is_stun(good))
        old = changed(good, 4, 0)  # RFC 3489 has no cookie
        bad = [
            b"",
            good[:19],
            good[:-1],
            good + b"\0",
            good + bytes(4),
            old,
            changed(good, 0, 0x40),
            changed(good, 0, 0x80),
            changed(good, 23, 8),  # PRIORITY of 8 octets
            changed(good, 22, 0xFF),  # an attribute longer than the message
            changed(good, len(good) - 1, good[-1] ^ 1),  # a fingerprint that is wrong
            changed(good, 24, 1),  # ... because of what it covers
            build_message(1, 0, TRANSACTION, [(0x8022, b"")] * 40),
            build_message(1, 0, TRANSACTION, [(0x8022, bytes(1490))]),
            build_message(1, 0, TRANSACTION, [(Attribute.MESSAGE_INTEGRITY_SHA256, bytes(12))]),
            build_message(1, 0, TRANSACTION, [(Attribute.MESSAGE_INTEGRITY_SHA256, bytes(36))]),
            build_message(1, 0, TRANSACTION, [(Attribute.MESSAGE_INTEGRITY, bytes(32))]),
        ]
        for datagram in bad:
            self.assertRaises(RTPError, parse_message, datagram)

    def test_nothing_behind_the_fingerprint(self) -> None:
        good = build_message(1, 0, TRANSACTION)
        behind = good[:2] + (12).to_bytes(2, "big") + good[4:] + b"\x80\x22\0\0"
        # the fingerprint is that of the longer message, which a reader that skips it would accept
        self.assertRaises(RTPError, parse_message, behind)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=100), st.booleans(), st.integers(0, 0x3FFF))
    def test_any_octets(self, body: bytes, padded: bool, word: int) -> None:
        """RTPError or a message; what is read is written to the same."""
        if padded:
            body += bytes(-len(body) % 4)
        head = word.to_bytes(2, "big") + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + TRANSACTION
        for datagram in (body, head + body):
            try:
                message = parse_message(datagram)
            except RTPError:
                continue
            message.authentic(b"k")
            mapped_address(message)
            self.assertIsInstance(message.unknown, tuple)
            self.assertTrue(message.username is None or isinstance(message.username, str))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(st.sampled_from([0x0006, 0x0014, 0x8022, 0x8000, 0x7000]), st.binary(max_size=40)),
            max_size=8,
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_what_was_written(self, attributes: list[tuple[int, bytes]], sha256: bool, finger: bool) -> None:
        datagram = build_message(
            BINDING, REQUEST, TRANSACTION, attributes, key=b"key", sha256=sha256, fingerprint=finger
        )
        message = parse_message(datagram)
        self.assertEqual(list(message.attributes[:-1]), attributes)
        self.assertTrue(message.authentic(b"key"))


if conformance.GIVEN:

    class VectorTests(SynchronousTestCase):
        """RFC 5769."""

        def test_printed_messages(self) -> None:
            file = json.loads((conformance.FOLDER / "vectors/stun.json").read_text(encoding="utf-8"))
            self.assertEqual(len(file["vectors"]), 4)
            for vector in file["vectors"]:
                datagram = (conformance.FOLDER / "vectors" / vector["file"]).read_bytes()
                message = parse_message(datagram)
                key = vector["password"].encode()
                if "realm" in vector:
                    text = f"{vector['username']}:{vector['realm']}:{vector['password']}"
                    key = hashlib.md5(text.encode(), usedforsecurity=False).digest()
                    self.assertEqual(message.get(Attribute.NONCE), vector["nonce"].encode())
                self.assertTrue(message.authentic(key), vector["source"])
                self.assertFalse(message.authentic(key + b"x"))
                self.assertEqual(message.fingerprint, vector.get("fingerprint_ok", False))
                if "username" in vector:
                    self.assertEqual(message.username, vector["username"])
                if "priority" in vector:
                    self.assertEqual(message.number(Attribute.PRIORITY), vector["priority"])
                if "software" in vector:
                    self.assertEqual(message.get(Attribute.SOFTWARE), vector["software"].encode())
                if "mapped" in vector:
                    host, port = vector["mapped"].rsplit(":", 1)
                    self.assertEqual(mapped_address(message), (host.strip("[]"), int(port)))
