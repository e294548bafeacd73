"""SRTP against published packets (RFC 3711, 6188, 7714, libsrtp), read from $CONFORMANCE_DIR."""

from __future__ import annotations

import json
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.rtp.rollover import RolloverSearch, derive
from rvoip.protocols.rtp.srtp import SecureLeg
from rvoip.protocols.rtp.suites import (
    AEAD_AES_128_GCM,
    AES_256_CM_HMAC_SHA1_80,
    AES_CM_128_HMAC_SHA1_80,
    MasterKey,
    Suite,
)
from rvoip.test import conformance

POLICIES = {
    "rtp_default": AES_CM_128_HMAC_SHA1_80,
    "aes_gcm_128_16_auth": AEAD_AES_128_GCM,
    "aes_cm_256_hmac_sha1_80": AES_256_CM_HMAC_SHA1_80,
}


def vectors(name: str) -> Any:
    """One file of vectors."""
    return json.loads((conformance.FOLDER / "vectors" / name).read_text(encoding="utf-8"))


def material(file: Any, test: Any, suite: Suite) -> bytes | None:
    """Master key and salt of a test of libsrtp."""
    named = {
        AES_CM_128_HMAC_SHA1_80: "test_key",
        AEAD_AES_128_GCM: "test_key_gcm",
        AES_256_CM_HMAC_SHA1_80: "aes_256_test_key",
    }[suite]
    text = test["key"] or test["arrays"].get(named) or file["keys"].get(named)
    return bytes.fromhex(text)[: suite.length] if text else None


if conformance.GIVEN:

    class DerivationTests(SynchronousTestCase):
        """RFC 3711 B.3 and RFC 6188 section 7.2."""

        def test_session_keys(self) -> None:
            file = vectors("srtp.json")
            for name, suite in (
                ("kdf_aes_cm_128", AES_CM_128_HMAC_SHA1_80),
                ("kdf_aes_cm_256", AES_256_CM_HMAC_SHA1_80),
            ):
                one = file[name]
                keys = derive(
                    MasterKey(suite, bytes.fromhex(one["master_key"]), bytes.fromhex(one["master_salt"]))
                )
                self.assertEqual(keys.cipher.hex(), one["cipher_key"])
                self.assertEqual(keys.salt.hex(), one["cipher_salt"])
                self.assertEqual(keys.authentication.hex(), one["auth_key"][:40])

    class PacketTests(SynchronousTestCase):
        """Whole packets of libsrtp's own tests."""

        def test_packets(self) -> None:
            file = vectors("srtp_libsrtp.json")
            seen = set()
            for test in file["tests"]:
                suite = POLICIES.get(test["policies"][0][0])
                arrays = test["arrays"]
                if suite is None or ("srtcp_ciphertext" not in arrays and "aes_256" not in test["test"]):
                    continue  # ciphers and header extensions that are not offered
                found = material(file, test, suite)
                if found is None:
                    continue
                mki = bytes.fromhex(file["keys"]["test_mki_id"]) if test["test"].endswith("mki") else b""
                one = MasterKey.cut(suite, found, mki)
                ours, theirs = SecureLeg(one, one), SecureLeg(one, one)
                plain = bytes.fromhex(arrays.get("srtp_plaintext_ref") or arrays["rtp_plaintext_ref"])
                sealed = bytes.fromhex(arrays["srtp_ciphertext"])
                self.assertEqual(ours.protect(plain), sealed, test["test"])
                self.assertEqual(theirs.unprotect(sealed), plain)
                self.assertEqual(RolloverSearch(one).find(_bare(sealed, mki), (7, 0)), 0)
                if "srtcp_ciphertext" in arrays:
                    plain = bytes.fromhex(arrays["rtcp_plaintext_ref"])
                    sealed = bytes.fromhex(arrays["srtcp_ciphertext"])
                    # libsrtp began to count at 0 where the index is printed
                    opened = theirs.unprotect_control(sealed)
                    self.assertEqual(opened, plain, test["test"])
                    self.assertEqual(ours.protect_control(plain), sealed)
                seen.add((suite.name, bool(mki)))
            self.assertGreaterEqual(
                seen,
                {
                    ("AES_CM_128_HMAC_SHA1_80", False),
                    ("AES_256_CM_HMAC_SHA1_80", False),
                    ("AEAD_AES_128_GCM", False),
                },
            )

    class AuthenticatedEncryptionTests(SynchronousTestCase):
        """RFC 7714 section 16.1: its keys are session keys, so it is the nonce that is compared."""

        def test_counter_of_printed_packets(self) -> None:
            done = 0
            for case in vectors("srtp.json")["aes_gcm"]:
                if "SRTP" not in case["title"] or "Decryption" not in case["title"]:
                    continue
                if not case["source"].startswith("RFC 7714 16."):
                    continue
                suite = AEAD_AES_128_GCM
                session = bytes.fromhex(case["key"])
                if len(session) != suite.key_length:
                    continue
                search = RolloverSearch(MasterKey(suite, bytes(16), bytes(12)))
                search._keys.salt = bytes.fromhex(case["salt"])
                search._aead = AESGCM(session)
                packet = bytes.fromhex(case["input_packet"])
                self.assertEqual(search.find(packet, range(3)), 0, case["title"])
                done += 1
            self.assertGreaterEqual(done, 1)


def _bare(sealed: bytes, mki: bytes) -> bytes:
    return sealed[:-14] + sealed[-10:] if mki else sealed
