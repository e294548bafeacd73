"""Words to the service manager: ready, reloading, stopping, still alive (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

__all__ = ["ServiceNotifier"]

_OFTEN: Final = 2.0
"""How many times a watchdog interval it is told that we live."""


class ServiceNotifier(Service):
    """Sends datagrams to the socket that NOTIFY_SOCKET names; does nothing where there is none.

    With WATCHDOG_USEC it says twice in that time that the process lives, as long as `alive` says so: the
    reactor has turned then, and no part has failed for good.
    """

    name = "notify"

    def __init__(self, reactor: Any, environ: Mapping[str, str], alive: Callable[[], bool]) -> None:
        self._reactor = reactor
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._alive = alive
        text = environ.get("WATCHDOG_USEC", "")
        self._interval = int(text[:12]) / 1e6 if text.isascii() and text.isdecimal() else 0.0
        self._loop = LoopingCall(self._feed)
        self._loop.clock = reactor
        self._socket: socket.socket | None = None

    def startService(self) -> None:
        """Begin to feed the watchdog."""
        super().startService()
        if self._address and self._interval > 0:
            self._loop.start(self._interval / _OFTEN)

    def stopService(self) -> None:
        """Say nothing more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """All parts run, or run with the new configuration; `status` is for people."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """A configuration is being read; `ready` says that it was."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._reactor.seconds() * 1e6)}")

    def stopping(self) -> None:
        """We end, as soon as what is under way has."""
        self._send("STOPPING=1\nSTATUS=Draining")

    def _feed(self) -> None:
        if self._alive():
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        """Send; a service manager that is gone, or does not read, is no reason to fail."""
        if not self._address:
            return
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return


def _line(text: str) -> str:
    return text.replace("\n", " ")[:200]
