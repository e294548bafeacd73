"""Password hashes: HA1 for SIP digest, Argon2id for logins to the APIs, and passwords drawn at random.

An HA1 is all that a phone's password protects: whoever reads it can answer challenges of its realm, and the
MD5 one is searched at billions of guesses a second. An Argon2id hash of the *same* password beside it would
protect nothing and cost 160 ms an account, so the store keeps one only where an API login was made or where
the account has no digest credentials at all (see `rvoip.users.store`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from rvoip.users.accounts import check_password
from rvoip.users.errors import AccountError

__all__ = ["HA1Set", "PasswordHash", "generate_password", "ha1_set", "sha512_256"]

# No character that a reader takes for another (0 O, 1 l I): it may be typed into a desk phone.
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"


# The algorithms in the order of `HA1Set.packed`, with their bytes.
_SIZES = (("MD5", 16), ("SHA-256", 32), ("SHA-512-256", 32))
_HEXADECIMAL = re.compile("[0-9a-fA-F]+").fullmatch


def _choose_sha512_256() -> Callable[[bytes], bytes]:
    """SHA-512/256 of FIPS 180-4, from the library that has it.

    hashlib has it only where Python's OpenSSL does; `cryptography` brings an OpenSSL of its own. SHA-512 cut
    to 256 bits, which RFC 7616 section 3.9.2 prints, starts from other constants and is a different function.
    """
    if "sha512_256" in hashlib.algorithms_available:
        try:
            hashlib.new("sha512_256", usedforsecurity=False)
        except ValueError:
            return _sha512_256_cryptography
        return _sha512_256_hashlib
    return _sha512_256_cryptography


def _sha512_256_hashlib(text: bytes) -> bytes:
    return hashlib.new("sha512_256", text, usedforsecurity=False).digest()


def _sha512_256_cryptography(text: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes

    digest = hashes.Hash(hashes.SHA512_256())
    digest.update(text)
    return digest.finalize()


#: SHA-512/256 (FIPS 180-4) of some bytes: 32 bytes.
sha512_256: Callable[[bytes], bytes] = _choose_sha512_256()


class HA1Set:
    """H(user:realm:password) by the three algorithms of RFC 8760, as lower-case hexadecimal text.

    Kept as 80 bytes: a server holds one a user. `repr` shows none of it; comparing takes constant time.
    """

    __slots__ = ("_packed",)

    def __init__(self, md5: str, sha256: str, sha512_256: str) -> None:
        self._packed = bytes.fromhex(md5) + bytes.fromhex(sha256) + bytes.fromhex(sha512_256)
        if (len(md5), len(sha256), len(sha512_256)) != (32, 64, 64):
            raise ValueError("an HA1 set is 32, 64 and 64 hexadecimal digits")

    @classmethod
    def from_bytes(cls, packed: bytes) -> HA1Set:
        """From 16 + 32 + 32 bytes, as `packed` gives them."""
        if len(packed) != 80:
            raise ValueError("an HA1 set is 80 bytes")
        made = cls.__new__(cls)
        made._packed = packed
        return made

    @classmethod
    def of_known(cls, known: Mapping[str, str], fill: Callable[[int], bytes]) -> HA1Set:
        """From hexadecimal digits by the algorithm's name, of which some may be missing.

        `fill` gives random bytes in place of a missing one, a hash to which nobody knows the password.
        ValueError for what is no hash of its algorithm.
        """
        packed = b""
        for algorithm, size in _SIZES:
            text = known.get(algorithm)
            if text is None:
                packed += fill(size)
            elif len(text) != 2 * size or _HEXADECIMAL(text) is None:
                raise ValueError(f"the HA1 for {algorithm} is not {2 * size} hexadecimal digits")
            else:
                packed += bytes.fromhex(text)
        return cls.from_bytes(packed)

    @property
    def packed(self) -> bytes:
        """The three hashes one after the other, 80 bytes."""
        return self._packed

    @property
    def md5(self) -> str:
        """32 hexadecimal digits."""
        return self._packed[:16].hex()

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return self._packed[16:48].hex()

    @property
    def sha512_256(self) -> str:
        """64 hexadecimal digits."""
        return self._packed[48:].hex()

    def of(self, algorithm: str) -> str:
        """The HA1 for "MD5", "SHA-256" or "SHA-512-256"; KeyError for another name."""
        if algorithm == "MD5":
            return self._packed[:16].hex()
        if algorithm == "SHA-256":
            return self._packed[16:48].hex()
        if algorithm == "SHA-512-256":
            return self._packed[48:].hex()
        raise KeyError(algorithm)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HA1Set):
            return NotImplemented
        return hmac.compare_digest(self._packed, other._packed)

    def __hash__(self) -> int:
        return hash(self._packed)

    def __repr__(self) -> str:
        return "<HA1Set>"


def ha1_set(user: str, realm: str, password: str) -> HA1Set:
    """The HA1s of a password in a realm; `user` is the digest username as the phone will send it.

    Text is hashed as UTF-8, the password in NFC (RFC 7616 section 4). AccountError for an unfit password.
    """
    text = f"{user}:{realm}:{check_password(password)}".encode()
    return HA1Set.from_bytes(
        hashlib.md5(text, usedforsecurity=False).digest() + hashlib.sha256(text).digest() + sha512_256(text)
    )


def generate_password(length: int = 20) -> str:
    """A random password of letters and digits that are told apart by eye: 5.8 bits a character."""
    if length < 1:
        raise ValueError("a password has at least one character")
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class PasswordHash:
    """Argon2id with fixed parameters; the defaults are RFC 9106's second recommendation.

    Each call takes about 160 ms of one core and `memory_kib` of memory, so it belongs in a thread.
    """

    def __init__(self, time_cost: int = 3, memory_kib: int = 65536, parallelism: int = 4) -> None:
        self._hasher = argon2.PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism, type=argon2.Type.ID
        )
        # Verified where there is no hash, so that a name that is not there costs the same time.
        self._decoy: str | None = None

    def hash(self, password: str) -> str:
        """The hash in the PHC string format, salt and parameters included."""
        return self._hasher.hash(check_password(password))

    def verify(self, hashed: str | None, password: str) -> bool:
        """Whether the password is the one of `hashed`; None costs the same and is False."""
        try:
            password = check_password(password)
        except AccountError:
            hashed, password = None, "no such password"
        if hashed is None:
            if self._decoy is None:
                self._decoy = self._hasher.hash(secrets.token_hex(16))
            self._matches(self._decoy, password)
            return False
        return self._matches(hashed, password)

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters and should be made anew at the next login."""
        return self._hasher.check_needs_rehash(hashed)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
