"""A name server in a thread: what a test says, and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

__all__ = ["NAPTR", "SRV", "Names", "a", "naptr", "srv"]

A, SRV, NAPTR = 1, 33, 35
NO_NAME = 3

Records = list[bytes]
"""Each a record's data; its type is that of the question."""


def _name(text: str) -> bytes:
    """A domain name on the wire, uncompressed."""
    labels = [label.encode("ascii") for label in text.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")


def a(address: str) -> bytes:
    """The data of an A record."""
    return socket.inet_aton(address)


def srv(priority: int, weight: int, port: int, target: str) -> bytes:
    """The data of a SRV record."""
    return struct.pack("!HHH", priority, weight, port) + _name(target)


def naptr(order: int, preference: int, service: str, replacement: str) -> bytes:
    """The data of a NAPTR record that leads to SRV."""
    head = struct.pack("!HH", order, preference)
    return head + _text("s") + _text(service) + _text("") + _name(replacement)


class Names:
    """Answers DNS over UDP at 127.0.72.x; `answer` gives the records for (name in lower case, type)."""

    def __init__(self, host: str, answer: Callable[[str, int], Records]) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self.asked: list[tuple[str, int]] = []
        self._over = threading.Event()
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                query, source = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self._socket.sendto(self._respond(query), source)

    def _respond(self, query: bytes) -> bytes:
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
            at += query[at] + 1
        (kind,) = struct.unpack("!H", query[at + 1 : at + 3])
        question = query[12 : at + 5]
        name = ".".join(labels).lower()
        self.asked.append((name, kind))
        records = self._answer(name, kind)
        head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, len(records), 0, 0)
        answers = [struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for data in records]
        return head + question + b"".join(answers)
