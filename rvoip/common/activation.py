"""Sockets that the service manager has bound already, and keeps open while a new process takes over.

systemd hands them over as descriptors from 3 on (sd_listen_fds(3)): LISTEN_FDS says how many, LISTEN_PID to
whom, LISTEN_FDNAMES how their units call them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["InheritedSockets", "first_environment"]

Kind = Literal["udp", "tcp", "unix"]

_FIRST: Final = 3

_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class InheritedSockets:
    """Sockets by what they are bound to; each is given out once, to a listener for the same address."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[Kind, str, int], socket.socket] = {}
        self._names: dict[tuple[Kind, str, int], str] = {}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], pid: int) -> InheritedSockets:
        """Those that were handed to the process `pid`, by the environment that it was started with."""
        inherited = cls()
        values = [environ.get(name, "") for name in _VARIABLES]
        for_us, count, names = values[0], values[1], values[2].split(":")
        if for_us == str(pid) and count.isascii() and count.isdecimal():
            for index in range(min(int(count[:4]), 1024)):
                inherited.add(_FIRST + index, names[index] if index < len(names) else "")
        return inherited

    def add(self, descriptor: int, name: str = "") -> None:
        """Take over a descriptor; one that is no socket, or of an unknown kind, is left alone."""
        try:
            os.set_inheritable(descriptor, False)
            opened = socket.socket(fileno=descriptor)
        except OSError:
            return
        key = _key(opened)
        if key is None or key in self._sockets:
            opened.detach()
            return
        opened.setblocking(False)
        self._sockets[key] = opened
        self._names[key] = name

    def __len__(self) -> int:
        return len(self._sockets)

    def take(self, kind: Kind, host: str, port: int = 0) -> socket.socket | None:
        """The socket that is bound to an address (a path, for "unix"); None when there is none."""
        return self._sockets.pop((kind, host, port), None)

    def close_others(self) -> list[str]:
        """Close what nobody took: `kind:host:port (name)` of each, sorted."""
        others = []
        for key, opened in self._sockets.items():
            kind, host, port = key
            where = (
                f"{kind}:{host}"
                if kind == "unix"
                else f"{kind}:{f'[{host}]' if ':' in host else host}:{port}"
            )
            name = self._names[key]
            others.append(f"{where} ({name})" if name else where)
            opened.close()
        self._sockets.clear()
        return sorted(others)


def first_environment() -> dict[str, str]:
    """The environment that this process was started with.

    Twisted takes the variables of the service manager away as soon as its endpoints are imported.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = os.fsdecode(file.read()).split("\0")
    except OSError:
        return dict(os.environ)
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name}


def _key(opened: socket.socket) -> tuple[Kind, str, int] | None:
    address = opened.getsockname()
    if opened.family == socket.AF_UNIX and opened.type == socket.SOCK_STREAM and isinstance(address, str):
        return "unix", address, 0
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        kind: Kind | None = {socket.SOCK_DGRAM: "udp", socket.SOCK_STREAM: "tcp"}.get(opened.type)  # type: ignore[assignment]
        if kind is not None and address[1]:
            return kind, str(address[0]), int(address[1])
    return None
