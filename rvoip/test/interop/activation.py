"""Sockets that outlive a role, as those of a service manager do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

__all__ = ["HeldSockets"]

# Puts the sockets where a service manager would, and becomes the program.
_EXEC = """
import os, sys
sockets, rest = sys.argv[1].split(","), sys.argv[2:]
for index, number in enumerate([os.dup(int(one)) for one in sockets]):
    if number != 3 + index:
        os.dup2(number, 3 + index)
    os.set_inheritable(3 + index, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
os.execv(rest[0], rest)
"""


class HeldSockets:
    """Bound sockets for addresses such as ("udp", host, port); "tcp" ones listen."""

    def __init__(self, addresses: Sequence[tuple[str, str, int]]) -> None:
        self.sockets = []
        for kind, host, port in addresses:
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
            self.sockets.append(opened)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((host, port))
            if kind == "tcp":
                opened.listen(128)

    @property
    def descriptors(self) -> list[int]:
        """What the program inherits."""
        return [one.fileno() for one in self.sockets]

    def command(self, command: Sequence[str]) -> list[str]:
        """The command that hands the sockets to `command`."""
        return [sys.executable, "-c", _EXEC, ",".join(map(str, self.descriptors)), *command]

    def close(self) -> None:
        """Let go of them."""
        for one in self.sockets:
            one.close()
