"""What the service manager is told."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.services import role as role_module
from rvoip.services.notify import ServiceNotifier
from rvoip.test.services.roles import RoleCase


class Told:
    """A socket as systemd has it."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def take(self) -> list[str]:
        """What came since the last time."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


class NotifierTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.path = f"{folder}/notify"
        self.clock = Clock()
        self.alive = True

    def notifier(self, path: str, **more: str) -> ServiceNotifier:
        notifier = ServiceNotifier(self.clock, {"NOTIFY_SOCKET": path, **more}, lambda: self.alive)
        self.addCleanup(notifier.stopService)
        return notifier

    def test_words(self) -> None:
        for path in (self.path, f"@rvoip-test-{os.getpid()}"):
            told = Told("\0" + path[1:] if path.startswith("@") else path)
            self.addCleanup(told.socket.close)
            notifier = self.notifier(path)
            notifier.startService()
            self.clock.advance(1.5)
            notifier.ready("fine\nREADY=0")
            notifier.reloading()
            notifier.stopping()
            first, second, third = told.take()
            self.assertEqual(first, "READY=1\nSTATUS=fine READY=0")
            self.assertTrue(second.startswith("RELOADING=1\nMONOTONIC_USEC="))
            self.assertEqual(third, "STOPPING=1\nSTATUS=Draining")

    def test_watchdog(self) -> None:
        """Twice in its time, as long as we live."""
        told = Told(self.path)
        self.addCleanup(told.socket.close)
        notifier = self.notifier(self.path, WATCHDOG_USEC="10000000")
        notifier.startService()
        for _ in range(20):
            self.clock.advance(1.0)
        self.assertEqual(told.take(), ["WATCHDOG=1"] * 5)
        self.alive = False
        self.clock.advance(60.0)
        self.assertEqual(told.take(), [])

    def test_nobody_listens(self) -> None:
        for path in ("", self.path, "/proc/nowhere"):
            notifier = self.notifier(path, WATCHDOG_USEC="x")
            notifier.startService()
            notifier.ready("x")
            notifier.stopping()

    def test_somebody_does_not_read(self) -> None:
        told = Told(self.path)
        self.addCleanup(told.socket.close)
        notifier = self.notifier(self.path)
        for _ in range(5000):
            notifier.ready("x" * 200)
        self.assertLess(len(told.take()), 5000)


class RoleTests(RoleCase):
    def test_life(self) -> None:
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        told = Told(f"{folder}/notify")
        self.addCleanup(told.socket.close)
        environ = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "30000000"}
        self.patch(role_module, "first_environment", lambda: environ)
        role = self.run_role()
        ready = told.take()
        self.assertIn("READY=1\nSTATUS=listening on udp:127.0.64.20:5060, tcp:127.0.64.20:5060", ready)
        self.reactor.advance(60.0)
        self.assertEqual(set(told.take()), {"WATCHDOG=1"})
        role.reload()
        first, second = told.take()
        self.assertTrue(first.startswith("RELOADING=1") and second.startswith("READY=1"))
        role.drain()
        self.assertEqual(told.take(), ["STOPPING=1\nSTATUS=Draining"])
