"""A TCP relay between two programs that can be cut: what is in it stays there, as on a parted network."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

__all__ = ["Relay"]

_LOOK = 0.02


class Relay:
    """Listens on a free port of `host` and connects on to (host, port) `target`."""

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server((host, 0))
        self.host, self.port = self._listener.getsockname()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._cut = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Nothing goes through from now on, and nobody is told."""
        self._cut.set()

    def heal(self) -> None:
        """Go on, with what was sent meanwhile."""
        self._cut.clear()

    def close(self) -> None:
        """End it."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0):
            if self._cut.is_set():
                self._end.wait(_LOOK)
                continue
            ready, _, _ = select.select([self._listener, *self._peers], (), (), _LOOK)
            for each in ready:
                if self._cut.is_set():
                    break
                if each is self._listener:
                    self._accept()
                elif each in self._peers:
                    self._pass_on(each)
        for each in (self._listener, *self._peers):
            each.close()

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        try:
            connected = socket.create_connection(self._target, 2)
        except OSError:
            accepted.close()
            return
        self._peers[accepted] = connected
        self._peers[connected] = accepted

    def _pass_on(self, side: socket.socket) -> None:
        other = self._peers[side]
        try:
            data = side.recv(65536)
            if data:
                other.sendall(data)
                return
        except OSError:
            data = b""
        for each in (side, other):
            del self._peers[each]
            with contextlib.suppress(OSError):
                each.close()
