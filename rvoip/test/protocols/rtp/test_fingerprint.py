"""a=fingerprint, and the certificate that each process makes for itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.dtls_records import client_random, pack, records
from rvoip.protocols.rtp.errors import RTPError
from rvoip.protocols.rtp.fingerprint import (
    HASHES,
    Fingerprint,
    Identity,
    matches,
    parse_fingerprint,
    usable,
)

WALL = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "SHA-256 " + ":".join(f"{n:02x}" for n in range(32))


class FingerprintTests(SynchronousTestCase):
    def test_lines(self) -> None:
        read = parse_fingerprint(TEXT)
        self.assertEqual(read, Fingerprint("sha-256", bytes(range(32))))
        self.assertEqual(str(read), "sha-256 " + TEXT[8:].upper())
        self.assertEqual(parse_fingerprint("sha-1 " + ":".join(["AB"] * 20)).algorithm, "sha-1")

    def test_no_lines(self) -> None:
        for bad in ("", "sha-256", TEXT[:-3], TEXT + ":00", TEXT + "\r\n", TEXT.replace(":", "-"), "x y"):
            self.assertRaises(RTPError, parse_fingerprint, bad)

    def test_the_strongest_counts(self) -> None:
        md5, weak, good, better = (Fingerprint(name, b"") for name in ("md5", "sha-1", "sha-256", "sha-512"))
        self.assertEqual(usable([md5, weak, good, better, better]), (better, better))
        self.assertEqual(usable([weak, good]), (good,))
        self.assertEqual(usable([md5, weak]), ())

    def test_certificates(self) -> None:
        one, other = Identity.make(WALL), Identity.make(WALL)
        for algorithm, length in HASHES.items():
            mine = one.fingerprint(algorithm)
            self.assertEqual(len(mine.digest), length)
            self.assertEqual(parse_fingerprint(str(mine)), mine)
            self.assertTrue(matches(one.der, [mine]))
            self.assertFalse(matches(other.der, [mine]))
        self.assertFalse(matches(one.der, []))
        self.assertNotEqual(one.certificate.serial_number, other.certificate.serial_number)
        self.assertLess(one.certificate.not_valid_before_utc, WALL)
        self.assertGreater(one.certificate.not_valid_after_utc, WALL + timedelta(days=300))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(max_size=120))
    def test_any_text(self, text: str) -> None:
        for candidate in (text, TEXT[:40] + text):
            try:
                parse_fingerprint(candidate)
            except RTPError:
                pass


class RecordTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.lists(st.tuples(st.sampled_from([20, 21, 22, 23, 25]), st.binary(max_size=60)), max_size=6),
        st.integers(0, 20),
    )
    def test_any_octets(self, parts: list[tuple[int, bytes]], cut: int) -> None:
        """A datagram is all records, or none of it is looked at."""
        whole = b"".join(
            bytes((kind,)) + b"\xfe\xfd" + bytes(8) + len(body).to_bytes(2, "big") + body
            for kind, body in parts
        )
        found = records(whole)
        known = all(kind != 25 for kind, _ in parts)
        self.assertEqual(len(found), len(parts) if known else 0)
        for record in found:
            client_random(record)
        if parts and cut:
            broken = whole[: max(len(whole) - cut, 1)]
            self.assertLess(len(records(broken)), len(parts))
        if known:
            packed = pack(whole, 100)
            self.assertEqual(b"".join(packed), whole)
            self.assertTrue(all(len(datagram) <= 100 for datagram in packed))
        self.assertEqual(records(b"\x16\xfe\xfd" + bytes(10)), [(22, 0, b"\x16\xfe\xfd" + bytes(10))])
        self.assertEqual(records((b"\x16\xfe\xfd" + bytes(10)) * 33), [])
