"""A key that outlives the process: what was signed before a restart is known again after it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

from twisted.application.service import Service

from rvoip.common.errors import StartError

__all__ = ["SecretService", "read_secret"]

_BYTES = 32


class SecretService(Service):
    """Hands the key to `use` at the start, making it if there is none; without a path it is new each time."""

    name = "secret"

    def __init__(self, path: str, use: Callable[[bytes], None]) -> None:
        self._path = path
        self._use = use

    def privilegedStartService(self) -> None:
        """`StartError` in one line when the file can be neither read nor made."""
        super().privilegedStartService()
        self._use(read_secret(self._path) if self._path else os.urandom(_BYTES))


def read_secret(path: str) -> bytes:
    """The key in the file, 32 octets in hexadecimal digits; made, for the owner alone, if there is none.

    Raises `StartError`.
    """
    try:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            with open(path, encoding="ascii") as file:
                key = bytes.fromhex(file.read(1024).strip())
            if len(key) != _BYTES:
                raise StartError(f"{path}: is no key; remove it to have a new one made") from None
            return key
        key = secrets.token_bytes(_BYTES)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise StartError(f"{path}: is no key; remove it to have a new one made") from None
    return key
