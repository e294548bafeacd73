"""A name server that knows a few hosts and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Self

__all__ = ["NameServer"]

_A = 1


class NameServer:
    """Answers A questions about `hosts` on a UDP socket of its own; everything else does not exist."""

    def __init__(self, host: str, hosts: dict[str, str]) -> None:
        self.hosts = hosts
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(0.1)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                question, asker = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii"))
            at += 1 + question[at]
        kind = struct.unpack_from("!H", question, at + 1)[0]
        asked = question[12 : at + 5]
        host = self.hosts.get(".".join(labels).lower())
        records = b""
        if host is not None and kind == _A:
            records = b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 60, 4) + socket.inet_aton(host)
        code = 0x8580 if host is not None else 0x8583  # an authoritative answer: no such name
        return question[:2] + struct.pack("!HHHHH", code, 1, bool(records), 0, 0) + asked + records
