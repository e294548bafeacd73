"""MQTT 3.1.1 as far as a publisher needs it (OASIS mqtt-v3.1.1): a machine without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["KEEP_ALIVE", "MQTTError", "MQTTPublisher"]

KEEP_ALIVE: Final = 30
"""Seconds within which the broker hears of us."""

_LARGEST: Final = 1024
"""Octets of a packet of the broker's: a publisher is told little."""

_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PINGREQ, _PINGRESP, _DISCONNECT = 1, 2, 3, 4, 12, 13, 14

_REFUSALS: Final = {
    1: "it does not know MQTT 3.1.1",
    2: "it does not take the client's name",
    3: "it is not available",
    4: "user or password are wrong",
    5: "we may not connect",
}


class MQTTError(Exception):
    """The broker refused, or does not speak MQTT. `str()` is one line."""


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    left, length = len(body), bytearray()
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([kind << 4 | flags]) + bytes(length) + body


class MQTTPublisher:
    """One connection: what to send, and what has been taken.

    `outbox` is to be sent after each call. QoS 1: a message is taken when its PUBACK has come.
    """

    def __init__(self, client_id: str, username: str = "", password: str = "") -> None:
        flags = 0x02 | (0x80 if username else 0) | (0x40 if username and password else 0)
        head = _text("MQTT") + bytes([4, flags]) + KEEP_ALIVE.to_bytes(2, "big")
        words = [client_id, *([username] if username else ()), *([password] if flags & 0x40 else ())]
        self.outbox = _packet(_CONNECT, head + b"".join(map(_text, words)))
        self.ready = False
        self._inbox = b""
        self._last = 0
        self._waiting: set[int] = set()

    @property
    def settled(self) -> bool:
        """Whether all that was published has been taken."""
        return self.ready and not self._waiting

    def take_outbox(self) -> bytes:
        """What is to be sent, once."""
        data, self.outbox = self.outbox, b""
        return data

    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish (topic, payload) pairs, in their order."""
        parts = []
        for topic, payload in messages:
            self._last = self._last % 0xFFFF + 1
            self._waiting.add(self._last)
            body = _text(topic) + self._last.to_bytes(2, "big") + payload
            parts.append(_packet(_PUBLISH, body, 0x02))
        self.outbox += b"".join(parts)

    def ping(self) -> None:
        """Show that we are there."""
        self.outbox += _packet(_PINGREQ, b"")

    def disconnect(self) -> None:
        """Say goodbye."""
        self.outbox += _packet(_DISCONNECT, b"")

    def receive(self, data: bytes) -> None:
        """What came. Raises `MQTTError`; the connection is of no use then."""
        self._inbox += data
        while True:
            found = self._cut()
            if found is None:
                return
            self._received(*found)

    def _cut(self) -> tuple[int, bytes] | None:
        """The first whole packet."""
        data, length, shift = self._inbox, 0, 0
        if data and not self.ready and data[0] != _CONNACK << 4:
            raise MQTTError("it does not speak MQTT")
        for place in range(1, 5):
            if place >= len(data):
                return None
            length |= (data[place] & 0x7F) << shift
            shift += 7
            if not data[place] & 0x80:
                break
        else:
            raise MQTTError("it does not speak MQTT")
        if length > _LARGEST:
            raise MQTTError("it does not speak MQTT")
        end = place + 1 + length
        if len(data) < end:
            return None
        self._inbox = data[end:]
        return data[0] >> 4, data[place + 1 : end]

    def _received(self, kind: int, body: bytes) -> None:
        if not self.ready:
            if kind != _CONNACK or len(body) != 2:
                raise MQTTError("it does not speak MQTT")
            if body[1]:
                raise MQTTError(_REFUSALS.get(body[1], f"it refuses the connection with {body[1]}"))
            self.ready = True
        elif kind == _PUBACK and len(body) == 2:
            self._waiting.discard(int.from_bytes(body, "big"))
        elif kind != _PINGRESP:
            raise MQTTError(f"it sends a packet of kind {kind}, which is for subscribers")
