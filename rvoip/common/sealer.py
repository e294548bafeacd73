"""Texts that go out and come back, which nobody else can read or make."""

from __future__ import annotations

import hmac
from hashlib import blake2b

__all__ = ["Sealer"]

_TAG = 12


class Sealer:
    """Seals octets with a secret; equal octets look equal.

    A keyed hash of the text stands before it and begins the key stream that hides it. `purpose` keeps what is
    sealed for one use from being good for another.
    """

    __slots__ = ("_hide", "_sign")

    def __init__(self, secret: bytes, purpose: str) -> None:
        """`secret` is up to 64 octets."""
        self._sign = blake2b(f"{purpose} sign".encode(), key=secret, digest_size=32).digest()
        self._hide = blake2b(f"{purpose} hide".encode(), key=secret, digest_size=32).digest()

    def seal(self, text: bytes) -> bytes:
        """`text` sealed, 12 octets longer."""
        tag = self._tag(text)
        return tag + self._mask(tag, text)

    def open(self, sealed: bytes) -> bytes | None:
        """What was sealed; None for anything that was not."""
        tag, hidden = sealed[:_TAG], sealed[_TAG:]
        text = self._mask(tag, hidden)
        return text if hmac.compare_digest(tag, self._tag(text)) else None

    def _tag(self, text: bytes) -> bytes:
        return blake2b(text, key=self._sign, digest_size=_TAG).digest()

    def _mask(self, tag: bytes, text: bytes) -> bytes:
        """The text under a key stream that the tag begins: the same again gives it back."""
        stream = b"".join(
            [
                blake2b(tag + block.to_bytes(4, "big"), key=self._hide).digest()
                for block in range((len(text) + 63) // 64)
            ]
        )
        size = len(text)
        return (int.from_bytes(text, "big") ^ int.from_bytes(stream[:size], "big")).to_bytes(size, "big")
