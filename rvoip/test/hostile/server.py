"""A role as an operator starts it: a process of its own, configured by a file, seen from outside."""

from __future__ import annotations

import atexit
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rvoip
from rvoip.test.hostile.wire import Datagrams, Message, by_call, request

__all__ = ["DOMAIN", "Ended", "Server", "command", "free_port", "own_host", "run_role", "running"]

ROOT = Path(rvoip.__file__).parent.parent
DOMAIN = "example.test"
PATIENCE = 20.0
"""Seconds that a server has to start, on a machine that is busy."""

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl  # looked up here: little is allowed between fork and exec


class Ended(NamedTuple):
    """What a role left that did not start, or has stopped."""

    status: int
    out: str
    err: str


def _die_with_parent() -> None:
    """Let no server outlive the tests."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def command(role: str, *arguments: str, daemon: bool = False) -> list[str]:
    """The command line of a role in the foreground, or with `daemon` in the background."""
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = 'twistd'; "
    start += "from twisted.scripts.twistd import run; run()"
    where = [] if daemon else ["-n", "--pidfile="]
    return [sys.executable, "-c", start, *where, f"rvoip-{role}", *arguments]


def free_port(host: str) -> int:
    """A port that neither UDP nor TCP uses at this address."""
    for _ in range(100):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        ):
            datagrams.bind((host, 0))
            port: int = datagrams.getsockname()[1]
            try:
                stream.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def run_role(
    role: str,
    folder: Path,
    config: str | None,
    patience: float = PATIENCE,
    *,
    daemon: bool = False,
    **more: Any,
) -> Ended:
    """Start a role that is expected not to start; what it left. Without `config` the file is not there."""
    if config is not None:
        (folder / "rvoip.toml").write_text(config, encoding="utf-8")
    try:
        done = subprocess.run(
            command(role, "--config", "rvoip.toml", daemon=daemon),
            cwd=folder,
            capture_output=True,
            timeout=patience,
            check=False,
            preexec_fn=_die_with_parent,
            **more,
        )
    except subprocess.TimeoutExpired as late:
        out, err = late.stdout or b"", late.stderr or b""
        raise AssertionError(f"it runs: {out.decode()} {err.decode()}") from None
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class Server:
    """A role that runs in a folder of its own.

    `tables` is TOML that comes after `[sip]` and `[http]`; `sip` more lines for `[sip]`; `tls` adds a TLS
    listener. `users` are accounts with their passwords, which `add_users` makes.
    """

    def __init__(
        self,
        host: str,
        role: str = "proxy",
        tables: str = "[registrar]\n",
        *,
        sip: str = "",
        tls: bool = False,
        folder: Path | None = None,
        domains: Sequence[str] = (DOMAIN,),
        users: dict[str, str] | None = None,
    ) -> None:
        self.host = host
        self._users = users or {}
        self.role = role
        self._made = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="rvoip-hostile-")) if folder is None else folder
        self.out, self.err = self.folder / "out.log", self.folder / "err.log"
        port = free_port(host)
        self.address = (host, port)
        self.tls_address = (host, free_port(host))
        listen = [f"udp:{host}:{port}", f"tcp:{host}:{port}"]
        if tls:
            listen.append(f"tls:{host}:{self.tls_address[1]}")
        self.config = self.folder / "rvoip.toml"
        self.text = (
            f"[sip]\nlisten = {json.dumps(listen)}\ndomains = {json.dumps(domains)}\n{sip}\n"
            f'[http]\nlisten = "unix:http.sock"\n{tables}'
        )
        self.config.write_text(self.text, encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.probe: Datagrams | None = None

    # -- life

    def start(self, wait: bool = True) -> float:
        """Start it and wait until it answers; returns the seconds that this took."""
        began = time.monotonic()
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                command(self.role, "--config", "rvoip.toml"),
                cwd=self.folder,
                stdout=out,
                stderr=err,
                preexec_fn=_die_with_parent,
            )
        if wait:
            self.wait_for_answer(began)
        return time.monotonic() - began

    def wait_for_answer(self, began: float, patience: float = PATIENCE) -> float:
        """Ask with OPTIONS until there is an answer; the seconds since `began`."""
        while time.monotonic() - began < patience:
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(
                    f"it ended with status {self.process.returncode}: {self.err.read_text()}"
                )
            if self.options(patience=0.1) is not None:
                return time.monotonic() - began
        raise AssertionError(f"no answer within {patience} s: {self.err.read_text()}")

    def close(self) -> None:
        """End it and remove what it left."""
        self.kill()
        if self.probe is not None:
            self.probe.socket.close()
            self.probe = None
        if self._made:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """Signal 9, if it still runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, patience: float) -> int | None:
        """The exit status, None when it runs on."""
        assert self.process is not None
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    # -- what is seen

    def options(self, patience: float = 1.0, host: str | None = None) -> Message | None:
        """The answer to a normal OPTIONS from another address than the attacker's, None without one."""
        probe = self.probe
        if probe is None:
            probe = self.probe = Datagrams("127.0.71.254" if host is None else host, self.address)
        probe.drain()
        wire = request(
            "OPTIONS", f"sip:{DOMAIN}", sent_by=probe.sent_by, sender="<sip:probe@example.test>;tag=p"
        )
        probe.send(wire)
        return probe.wait(by_call(Message(wire).get("call-id")), patience)

    def pss(self) -> int:
        """Proportional set size in octets."""
        assert self.process is not None
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        return 1024 * next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        """All that it has written, both ways."""
        return self.out.read_text("utf-8") + self.err.read_text("utf-8")

    def api(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Ask the HTTP API; `body` is JSON, or octets as they are."""
        connection = _UnixConnection(str(self.folder / "http.sock"))
        try:
            content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            kind = {} if body is None else {"Content-Type": "application/json"}
            try:
                connection.request(method, path, content, {"Host": "localhost"} | kind | (headers or {}))
            except BrokenPipeError:
                pass  # it has answered before it had everything
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def transactions(self) -> list[dict[str, Any]]:
        """Those that are under way: not those that only wait for what is sent again."""
        status, answer = self.api("GET", "/v1/transactions?limit=1000")
        if status != 200:
            raise AssertionError(f"{status} {answer}")
        over = ("Completed", "Confirmed", "Accepted", "Terminated")
        return [each for each in answer["transactions"] if each["state"] not in over]

    def add_users(self) -> None:
        """Make the accounts that it is to have."""
        for user, password in self._users.items():
            self.add_user(user, password)

    def add_user(self, user: str, password: str, domain: str = DOMAIN) -> None:
        """Make an account."""
        status, answer = self.api("POST", "/v1/users", {"user": user, "domain": domain, "password": password})
        if status != 201:
            raise AssertionError(f"{status} {answer}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10.0)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


_running: dict[tuple[str, str], Server] = {}


def own_host() -> str:
    """An address for the servers of this process: test processes run side by side."""
    return f"127.0.71.{10 + os.getpid() % 100}"


def running(module: str, name: str, make: Callable[[str], Server]) -> Server:
    """The server of this name, started once a module and test process.

    Servers of other modules are ended first; Trial has no fixtures of modules.
    """
    for key in [key for key in _running if key[0] != module]:
        _running.pop(key).close()
    server = _running.get((module, name))
    if server is None or not server.alive:
        if server is not None:
            server.close()
        server = _running[module, name] = make(own_host())
        server.start()
        server.add_users()
    return server


@atexit.register
def _close_all() -> None:
    for key in list(_running):
        _running.pop(key).close()
