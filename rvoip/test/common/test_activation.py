"""Sockets that the service manager has bound."""

from __future__ import annotations

import os
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common import activation
from rvoip.common.activation import InheritedSockets, first_environment

HOST = "127.0.67.1"


class InheritedTests(SynchronousTestCase):
    def bound(self, kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        opened = socket.socket(family, kind)
        self.addCleanup(opened.close)
        opened.bind(("::1" if family == socket.AF_INET6 else HOST, 0))
        if kind == socket.SOCK_STREAM:
            opened.listen()
        return opened

    def hand(
        self, *opened: socket.socket, names: str = "", pid: int = 0, count: str = ""
    ) -> InheritedSockets:
        """Hand copies over, as from descriptor FIRST on."""
        first = 200
        self.patch(activation, "_FIRST", first)
        for index, one in enumerate(opened):
            os.dup2(one.fileno(), first + index)
        self.environ = {
            "LISTEN_PID": str(pid or os.getpid()),
            "LISTEN_FDS": count or str(len(opened)),
            "LISTEN_FDNAMES": names,
            "HOME": "/",
        }
        inherited = InheritedSockets.from_environment(self.environ, os.getpid())
        self.addCleanup(inherited.close_others)
        return inherited

    def test_by_address(self) -> None:
        udp, tcp = self.bound(socket.SOCK_DGRAM), self.bound(socket.SOCK_STREAM)
        six = self.bound(socket.SOCK_DGRAM, socket.AF_INET6)
        inherited = self.hand(udp, tcp, six)
        self.assertEqual(len(inherited), 3)
        self.assertIsNone(inherited.take("udp", HOST, tcp.getsockname()[1]))
        for kind, one in (("udp", udp), ("tcp", tcp), ("udp", six)):
            host, port = one.getsockname()[:2]
            taken = inherited.take(kind, host, port)  # type: ignore[arg-type]
            assert taken is not None
            self.addCleanup(taken.close)
            self.assertEqual(taken.getsockname(), one.getsockname())
            self.assertFalse(taken.getblocking() or os.get_inheritable(taken.fileno()))
            self.assertIsNone(inherited.take(kind, host, port))  # type: ignore[arg-type]
        self.assertEqual(len(inherited), 0)

    def test_unix(self) -> None:
        folder = tempfile.mkdtemp()
        path = f"{folder}/http"
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(os.rmdir, folder)
        self.addCleanup(os.unlink, path)
        self.addCleanup(opened.close)
        opened.bind(path)
        taken = self.hand(opened).take("unix", path)
        assert taken is not None
        taken.close()

    def test_what_nobody_took(self) -> None:
        udp, tcp = self.bound(socket.SOCK_DGRAM), self.bound(socket.SOCK_STREAM)
        inherited = self.hand(udp, tcp, names="sip:http")
        ports = [one.getsockname()[1] for one in (udp, tcp)]
        self.assertEqual(
            inherited.close_others(), [f"tcp:{HOST}:{ports[1]} (http)", f"udp:{HOST}:{ports[0]} (sip)"]
        )
        self.assertEqual(len(inherited), 0)

    def test_not_for_us(self) -> None:
        udp = self.bound(socket.SOCK_DGRAM)
        self.assertEqual(len(self.hand(udp, pid=os.getpid() + 1)), 0)
        for count in ("-1", "x", "\u0663", "1_0"):
            self.assertEqual(len(self.hand(udp, count=count)), 0)
        self.assertEqual(len(InheritedSockets.from_environment({}, 1)), 0)

    def test_the_environment(self) -> None:
        """That of the start, whatever was done to it since."""
        self.patch(os, "environ", {})
        self.assertIn("PATH", first_environment())

    def test_what_is_no_socket(self) -> None:
        with open(os.devnull, "rb") as file:
            os.dup2(file.fileno(), 220)
            self.addCleanup(os.close, 220)
            inherited = InheritedSockets()
            inherited.add(220)
            inherited.add(9999)
        self.assertEqual(len(inherited), 0)
