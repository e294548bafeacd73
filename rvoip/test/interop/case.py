"""What the interop tests have in common: a folder, a time limit, and an end for whatever was started."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.interop.addresses import address
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.kamailio import Kamailio
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import Process
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp

__all__ = ["HOST", "InteropTestCase"]

HOST = address(1)
"""Where the role under test is. Each peer has an address of its own, of the same network."""


class Overdue(Exception):
    """A test took longer than its limit."""


class InteropTestCase(SynchronousTestCase):
    """Each test has a folder for logs and files, and `limit` seconds."""

    limit = 60

    def setUp(self) -> None:
        """Begin to count."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self._hosts = 10
        self.addCleanup(Process.kill_all)

        def overdue(number: int, frame: FrameType | None) -> None:
            raise Overdue(f"not done after {self.limit} s; see {self.folder}")

        before = signal.signal(signal.SIGALRM, overdue)
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.alarm(self.limit)
        self.addCleanup(signal.alarm, 0)

    def host(self) -> str:
        """An address for one more peer."""
        self._hosts += 1
        return address(self._hosts)

    def role(self, host: str = HOST, tables: Mapping[str, str] | None = None, **options: Any) -> Role:
        """A role that runs until the test ends; an error in its log fails the test."""
        role = Role(self.folder, host, tables=tables, **options)
        self.addCleanup(role.close)
        self.addCleanup(role.stop)
        return role

    def baresip(self, role: Role, user: str, transport: str = "udp", **options: Any) -> Baresip:
        """A baresip that has registered at a role."""
        phone = Baresip(
            self.folder,
            self.host(),
            f"{user}@{DOMAIN}",
            outbound=role.uri(transport),
            transport=transport,
            ca=role.ca if transport == "tls" else None,
            **options,
        )
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def pjsip(self, role: Role, user: str, transport: str = "udp", **options: Any) -> PJSIP:
        """A PJSIP that has registered at a role."""
        phone = PJSIP(
            self.folder,
            self.host(),
            user,
            role.uri(transport),
            transport=transport,
            ca=role.ca if transport == "tls" else None,
            **options,
        )
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def kamailio(self, proxy: str, trace: str = "") -> Kamailio:
        """A Kamailio that sends what is not for itself to `proxy`, and captured messages to `trace`."""
        started = Kamailio(self.folder, self.host(), proxy, trace)
        self.addCleanup(started.close)
        return started

    def sipp(self, scenario: str, remote: str = "", *, host: str = "", **options: Any) -> SIPp:
        """A run of sipp."""
        started = SIPp(self.folder, scenario, host or self.host(), remote, **options)
        self.addCleanup(started.close)
        return started

    def binds(
        self, role: Role, user: str, contact: str, transport: str = "udp", address: str = "", name: str = ""
    ) -> None:
        """Register a contact (host:port) for a user, on behalf of a program that does not do it itself.

        From the contact's own address: else it looks like one behind a NAT. `address` is where to.
        """
        registering = self.sipp(
            "register",
            address or role.address,
            host=contact.rpartition(":")[0].strip("[]"),
            name=name or f"register-{user}-{transport}",
            transport=transport,
            users=[(user, f"pw-{user}")],
            keys={"contact": contact, "expires": "600"},
        )
        registering.succeed()
