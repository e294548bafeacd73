"""A name server, Twisted's, with the records that a test gives it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process

__all__ = ["NameServer"]

_TWISTD = "from twisted.scripts.twistd import run; run()"


class NameServer:
    """An authority for one domain; a record is as in Twisted's zone files: "A('x.test', '127.0.0.1', 60)"."""

    def __init__(self, folder: Path, host: str, domain: str, records: Sequence[str]) -> None:
        self.address = f"{host}:{free_port(host)}"
        zone = folder / "zone.py"
        times = ", ".join(f"{name}=60" for name in ("refresh", "retry", "expire", "minimum", "ttl"))
        soa = f"SOA({domain!r}, mname='ns.{domain}', rname='root.{domain}', serial=1, {times})"
        zone.write_text(f"zone = [{', '.join([soa, *records])}]\n")
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "dns", "-i", host, "-p", port]
        self.process = Process("dns", [*command, f"--pyzone={zone}"], folder)
        self.process.wait_for("DNSDatagramProtocol starting")

    def close(self) -> None:
        """End it."""
        self.process.kill()
