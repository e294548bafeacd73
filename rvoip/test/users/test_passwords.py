"""HA1, Argon2id and generated passwords."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.users import passwords
from rvoip.users.errors import AccountError
from rvoip.users.passwords import HA1Set, PasswordHash, generate_password, ha1_set, sha512_256

# FIPS 180-4's own example: SHA-512/256 of "abc".
ABC = "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"

#: Fast parameters: what is tested is ours, not Argon2's strength.
FAST = PasswordHash(time_cost=1, memory_kib=8, parallelism=1)


class SHA512256Tests(SynchronousTestCase):
    def test_each_source_gives_the_value_of_fips_180_4(self) -> None:
        self.assertEqual(sha512_256(b"abc").hex(), ABC)
        self.assertEqual(passwords._sha512_256_cryptography(b"abc").hex(), ABC)

    def test_it_is_not_sha_512_cut_short(self) -> None:
        self.assertNotEqual(ABC, hashlib.sha512(b"abc").hexdigest()[:64])

    def test_without_openssls_own(self) -> None:
        """A Python whose OpenSSL lacks it, or refuses it when asked, takes the other source."""
        self.patch(hashlib, "algorithms_available", {"md5", "sha256"})
        self.assertIs(passwords._choose_sha512_256(), passwords._sha512_256_cryptography)
        self.patch(hashlib, "algorithms_available", {"sha512_256"})

        def refuse(*_: object, **__: object) -> None:
            raise ValueError("unsupported hash type")

        self.patch(hashlib, "new", refuse)
        self.assertIs(passwords._choose_sha512_256(), passwords._sha512_256_cryptography)


class HA1Tests(SynchronousTestCase):
    def test_each_algorithm(self) -> None:
        made = ha1_set("Mufasa", "testrealm@host.com", "Circle Of Life")
        self.assertEqual(made.md5, "939e7578ed9e3c518a452acee763bce9")
        text = b"Mufasa:testrealm@host.com:Circle Of Life"
        self.assertEqual(made.sha256, hashlib.sha256(text).hexdigest())
        self.assertEqual(made.sha512_256, sha512_256(text).hex())
        self.assertEqual(made.of("MD5"), made.md5)
        self.assertEqual(made.of("SHA-256"), made.sha256)
        self.assertEqual(made.of("SHA-512-256"), made.sha512_256)
        self.assertRaises(KeyError, made.of, "MD5-sess")

    def test_published_vectors(self) -> None:
        """RFC 2617 section 3.5 and RFC 7616 section 3.9, from our HA1s on.

        For SHA-512-256 the RFC prints what SHA-512 cut to 256 bits gives; ours is SHA-512/256 (FIPS 180-4),
        whose response the file gives in a note.
        """
        folder = os.environ.get("CONFORMANCE_DIR")
        if not folder:
            raise SkipTest("CONFORMANCE_DIR is not set")
        hashes = {
            "MD5": lambda text: hashlib.md5(text).hexdigest(),
            "SHA-256": lambda text: hashlib.sha256(text).hexdigest(),
            "SHA-512-256": lambda text: sha512_256(text).hex(),
        }
        vectors = json.loads(Path(folder, "vectors", "digest.json").read_text(encoding="utf-8"))["vectors"]
        self.assertEqual(len(vectors), 4)
        for vector in vectors:
            of = hashes[vector["algorithm"]]
            ha1 = ha1_set(vector["username"], vector["realm"], vector["password"]).of(vector["algorithm"])
            ha2 = of(f"{vector['method']}:{vector['uri']}".encode())
            fields = (ha1, vector["nonce"], vector["nc"], vector["cnonce"], vector["qop"], ha2)
            response = of(":".join(fields).encode())
            if vector["recomputed_ok"]:
                self.assertEqual(response, vector["response"])
            else:
                self.assertNotEqual(response, vector["response"])
                self.assertIn(response, vector["note"])

    def test_passwords_are_hashed_in_nfc(self) -> None:
        self.assertEqual(ha1_set("a", "r", "e\u0301"), ha1_set("a", "r", "\u00e9"))

    def test_packed_both_ways(self) -> None:
        made = ha1_set("a", "r", "p")
        self.assertEqual(len(made.packed), 80)
        self.assertEqual(HA1Set.from_bytes(made.packed), made)
        self.assertEqual(HA1Set(made.md5, made.sha256, made.sha512_256), made)
        self.assertEqual(hash(HA1Set.from_bytes(made.packed)), hash(made))
        self.assertNotEqual(made, ha1_set("a", "r", "q"))
        self.assertNotEqual(made, "x")
        self.assertRaises(ValueError, HA1Set.from_bytes, bytes(79))
        self.assertRaises(ValueError, HA1Set, made.md5, made.md5, made.sha256)
        self.assertRaises(ValueError, HA1Set, made.md5[:-2], made.sha256, made.sha512_256)

    def test_nothing_shows_in_logs(self) -> None:
        made = ha1_set("a", "r", "p")
        self.assertNotIn(made.md5, f"{made!r} {made}")

    def test_refused(self) -> None:
        self.assertRaises(AccountError, ha1_set, "a", "r", "")


class PasswordHashTests(SynchronousTestCase):
    def test_right_and_wrong(self) -> None:
        hashed = FAST.hash("s3cret")
        self.assertTrue(hashed.startswith("$argon2id$"))
        self.assertNotEqual(hashed, FAST.hash("s3cret"))
        self.assertTrue(FAST.verify(hashed, "s3cret"))
        for wrong in ("s3cret ", "", "x" * 300, "a\0b", "\ud800"):
            self.assertFalse(FAST.verify(hashed, wrong))

    def test_same_text_in_another_form(self) -> None:
        self.assertTrue(FAST.verify(FAST.hash("e\u0301"), "\u00e9"))

    def test_no_hash_costs_a_verification(self) -> None:
        """A name that is not there takes the work of one that is."""
        hasher = PasswordHash(time_cost=1, memory_kib=8, parallelism=1)
        calls: list[str] = []
        inner = hasher._hasher

        class Counting:
            def hash(self, password: str) -> str:
                return inner.hash(password)

            def verify(self, hashed: str, password: str) -> bool:
                calls.append(hashed)
                return inner.verify(hashed, password)

        hasher._hasher = Counting()  # type: ignore[assignment]
        self.assertFalse(hasher.verify(None, "x"))
        self.assertFalse(hasher.verify(None, "no such password"))
        self.assertEqual(len(calls), 2)
        self.assertFalse(hasher.verify(hasher.hash("x"), ""))
        self.assertEqual(len(calls), 3)

    def test_a_damaged_hash_is_no_match(self) -> None:
        self.assertFalse(FAST.verify("$argon2id$nonsense", "x"))
        self.assertFalse(FAST.verify("", "x"))

    def test_outdated(self) -> None:
        stronger = PasswordHash(time_cost=2, memory_kib=16, parallelism=1)
        hashed = FAST.hash("x")
        self.assertFalse(FAST.is_outdated(hashed))
        self.assertTrue(stronger.is_outdated(hashed))

    def test_the_default_is_what_rfc_9106_recommends(self) -> None:
        """Section 4, second option: t = 3, 64 MiB, 4 lanes."""
        inner = PasswordHash()._hasher
        self.assertEqual((inner.time_cost, inner.memory_cost, inner.parallelism), (3, 65536, 4))


class GeneratedTests(SynchronousTestCase):
    def test_generated(self) -> None:
        made = {generate_password() for _ in range(200)}
        self.assertEqual(len(made), 200)
        for password in made:
            self.assertEqual(len(password), 20)
            self.assertTrue(password.isascii() and password.isalnum())
            self.assertFalse(set(password) & set("0O1lI"))
        self.assertEqual(len(generate_password(1)), 1)
        self.assertRaises(ValueError, generate_password, 0)
