"""The NATS client protocol as far as a publisher needs it: a machine without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

__all__ = ["NATSError", "NATSPublisher"]

_LONGEST: Final = 64 * 1024
"""Octets of a line of the server's."""


class NATSError(Exception):
    """The server refused, or does not speak NATS. `str()` is one line."""


class NATSPublisher:
    """One connection: what to send, and what has been taken.

    `outbox` is to be sent after each call. Messages are taken when the server has answered the PING behind
    them; to keep them, and give them to subscribers that come later, is for a stream of JetStream.
    """

    def __init__(self, name: str, username: str = "", password: str = "") -> None:
        self._options: dict[str, object] = {
            "verbose": False,
            "pedantic": False,
            "lang": "python",
            "version": "1",
            "protocol": 1,
            "name": name,
        }
        if username and password:
            self._options.update(user=username, **{"pass": password})
        elif username:
            self._options["auth_token"] = username
        self.outbox = b""
        self.ready = False
        self._greeted = False
        self._inbox = b""
        self._pings = 0

    @property
    def settled(self) -> bool:
        """Whether all that was published has been taken."""
        return self.ready and not self._pings

    def take_outbox(self) -> bytes:
        """What is to be sent, once."""
        data, self.outbox = self.outbox, b""
        return data

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish (subject, payload) pairs, in their order."""
        parts = [b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(body), body) for subject, body in messages]
        self.outbox += b"".join(parts)
        self.ping()

    def ping(self) -> None:
        """Ask whether it is there."""
        self.outbox += b"PING\r\n"
        self._pings += 1

    def disconnect(self) -> None:
        """NATS has no goodbye."""

    def receive(self, data: bytes) -> None:
        """What came. Raises `NATSError`; the connection is of no use then."""
        self._inbox += data
        while True:
            line, found, rest = self._inbox.partition(b"\r\n")
            if not found:
                if len(line) > _LONGEST:
                    raise NATSError("it does not speak NATS")
                return
            self._inbox = rest
            self._received(line.decode("utf-8", "replace"))

    def _received(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        word = word.upper()
        if word == "INFO" and not self._greeted:
            self._greeted = True
            self.outbox += b"CONNECT " + msgspec.json.encode(self._options) + b"\r\n"
            self.ping()
        elif not self._greeted:
            raise NATSError("it does not speak NATS")
        elif word == "PING":
            self.outbox += b"PONG\r\n"
        elif word == "PONG":
            self._pings = max(0, self._pings - 1)
            self.ready = True
        elif word == "-ERR":
            raise NATSError(rest.strip(" '")[:200])
        elif word not in ("INFO", "+OK"):
            raise NATSError(f"it sends {word[:20]!a}, which is for subscribers")
