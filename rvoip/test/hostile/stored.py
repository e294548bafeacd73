"""The databases of a server that was used, to be put where another one starts."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from rvoip.test.hostile.case import PASSWORDS, register
from rvoip.test.hostile.server import Server, own_host
from rvoip.test.hostile.starts import listening
from rvoip.test.hostile.wire import Datagrams

__all__ = ["HOLD", "STORED", "TABLES", "used"]

TABLES = '[registrar]\n[location]\nstore = "sqlite:location.db"\n'
"""What keeps bindings in a file."""

STORED = listening() + TABLES
"""A whole configuration with it."""

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
"""A program that begins a transaction in a database and stays in it until its standard input ends."""


@functools.cache
def _used() -> dict[str, bytes]:
    """The databases of a server that was used: two accounts, two bindings."""
    folder = Path(tempfile.mkdtemp(prefix="rvoip-used-"))
    server = Server(own_host(), tables=TABLES, folder=folder, users=PASSWORDS)
    try:
        server.start()
        server.add_users()
        for user in PASSWORDS:
            with Datagrams("127.0.71.201", server.address) as phone:
                register(server, phone, user, f"<sip:{user}@{phone.sent_by}>")
        server.process.terminate()  # type: ignore[union-attr]
        if server.wait(10.0) != -15:
            raise AssertionError(server.log())
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".db", ".key")}
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
    if set(found) != {"users.db", "location.db", "proxy.key"}:
        raise AssertionError(f"a server that was stopped left {sorted(found)}")
    return found


def used(folder: Path) -> None:
    """Put the databases into a folder."""
    for name, octets in _used().items():
        (folder / name).write_bytes(octets)
