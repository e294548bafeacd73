"""What is asked of a Redis before a role starts: is it there, may we in, is it durable, what time is it.

This blocks, as all that a start opens. Later questions are asked by `rvoip.registrar.stores.redis_link`.
"""

from __future__ import annotations

import socket
from typing import Final, NamedTuple

from rvoip.common.printable import printable
from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores.redis_address import DURABILITY_KEYS, RedisAddress, durability_objection

__all__ = ["Found", "check_redis"]

_LONGEST: Final = 1 << 20
_DEEPEST: Final = 4

_Reply = str | int | None | list["_Reply"]


class Found(NamedTuple):
    """What a Redis said of itself."""

    clock: float
    """Wall seconds by its clock."""
    objection: str
    """Why it may forget what it acknowledged; "" when it may not."""


class _Refusal(Exception):
    """An error reply."""


class _Questions:
    """One blocking connection."""

    def __init__(self, address: RedisAddress, timeout: float) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout)
        self._replies = self._socket.makefile("rb")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def ask(self, *words: str) -> _Reply:
        encoded = [word.encode("utf-8", "surrogateescape") for word in words]
        parts = [b"*%d\r\n" % len(encoded)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self._socket.sendall(b"".join(parts))
        return self._reply(_DEEPEST)

    def _reply(self, depth: int) -> _Reply:
        line = self._replies.readline(_LONGEST)
        if not line.endswith(b"\r\n"):
            raise OSError("it closes the connection")
        kind, text = line[:1], line[1:-2].decode("utf-8", "replace")
        if kind == b"+":
            return text
        if kind == b"-":
            raise _Refusal(text)
        number = _number(text)
        if kind == b":":
            return number
        if number > _LONGEST or depth == 0:
            raise OSError("it is no Redis")
        if kind == b"$":
            if number < 0:
                return None
            data = self._replies.read(number + 2)
            if len(data) != number + 2:
                raise OSError("it closes the connection")
            return data[:-2].decode("utf-8", "replace")
        if kind == b"*":
            return [self._reply(depth - 1) for _ in range(max(0, number))]
        raise OSError("it is no Redis")


def check_redis(address: RedisAddress, timeout: float) -> Found:
    """Ask the Redis at `address`; StoreError in one line when it cannot be used.

    Each step may take `timeout` seconds.
    """
    try:
        questions = _Questions(address, timeout)
        try:
            return _check(questions, address)
        finally:
            questions.close()
    except _Refusal as refusal:
        raise StoreError(f"{address.shown}: {printable(str(refusal))[:200]}") from None
    except TimeoutError:
        raise StoreError(f"{address.shown} does not answer") from None
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that is none
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"{address.shown} cannot be reached: {printable(reason)}") from None


def _check(questions: _Questions, address: RedisAddress) -> Found:
    if address.password:
        user = [address.username] if address.username else []
        questions.ask("AUTH", *user, address.password)
    questions.ask("SELECT", str(address.db))
    clock = questions.ask("TIME")
    if not (isinstance(clock, list) and len(clock) == 2):
        raise OSError("it is no Redis")
    settings: dict[str, str] = {}
    for key in DURABILITY_KEYS:
        try:
            told = questions.ask("CONFIG", "GET", key)
        except _Refusal:
            continue
        if isinstance(told, list) and len(told) == 2:
            settings[key] = str(told[1])
    seconds, microseconds = (_number(str(part)) for part in clock)
    return Found(seconds + microseconds / 1e6, durability_objection(settings))


def _number(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise OSError("it is no Redis")
    return int(text)
