"""postgres on a loopback port of its own, with its data in a folder of the test."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, until

__all__ = ["PostgreSQLServer", "shared_postgresql"]

_USER = "postgres"


def shared_postgresql(host: str) -> PostgreSQLServer:
    """A server for tests that each begin with an empty database; it ends with the test process."""
    server = _shared(host)
    if server.process.ended is not None:
        server.start()
    return server


@cache
def _shared(host: str) -> PostgreSQLServer:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = PostgreSQLServer(Path(folder), host)
    atexit.register(server.close)
    return server


def _program(name: str) -> str:
    """The path of a program of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise SkipTest(f"{name} is not installed: tools/install-peers.sh")
    return str(found[-1])


class PostgreSQLServer:
    """A server whose one user needs no password; root starts it as the user of the package."""

    def __init__(self, folder: Path, host: str, *, options: Sequence[str] = ()) -> None:
        self.host = host
        self.port = free_port(host)
        self._folder = folder
        self._as: list[str] = []
        if os.getuid() == 0:
            # Another user's process is not told of its parent's end unless it asks for that anew.
            self._as = [
                "setpriv",
                f"--reuid={_USER}",
                f"--regid={_USER}",
                "--clear-groups",
                "--pdeathsig=INT",
            ]
            folder.chmod(0o755)
        self._data = Path(tempfile.mkdtemp(prefix="rvoip-pg-"))
        atexit.register(shutil.rmtree, self._data, ignore_errors=True)
        if self._as:
            shutil.chown(self._data, _USER, _USER)
        initdb = [_program("initdb"), "-D", str(self._data), "-U", _USER, "-A", "trust", "-E", "UTF8"]
        subprocess.run(
            [*self._as, *initdb, "--no-sync", "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/"
        )
        self._command = [_program("postgres"), "-D", str(self._data), "-p", str(self.port), "-h", host]
        self._command += ["-c", "unix_socket_directories=", *options]
        self.start()

    def start(self) -> None:
        """Start it, or start it again after it was killed."""
        self.process = Process("postgresql", [*self._as, *self._command], self._folder)
        until(self._answers, "postgresql answers", patience=30)

    def _answers(self) -> bool:
        asked = [_program("pg_isready"), "-h", self.host, "-p", str(self.port), "-t", "1"]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    @property
    def url(self) -> str:
        """What a configuration says."""
        return self.url_by(self.host, self.port)

    def url_by(self, host: str, port: int) -> str:
        """What a configuration says that goes another way."""
        return f"postgresql://{_USER}@{host}:{port}/postgres"

    def execute(self, *statements: str) -> str:
        """Run statements, one after the other; what the last one returned."""
        done = subprocess.run(
            [
                _program("psql"),
                "-X",
                "-A",
                "-t",
                "-q",
                self.url,
                *(word for one in statements for word in ("-c", one)),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def empty(self) -> None:
        """Drop all tables."""
        self.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    def kill(self) -> None:
        """End it with signal 9, and with it all its processes."""
        self._signal_all(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """Stop all its processes where they are: its sockets stay, and nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        """To the server and to its processes, each of which is a group of its own."""
        server = self.process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for pid in (server, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
