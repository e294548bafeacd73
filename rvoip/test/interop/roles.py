"""Roles of ours in processes of their own, as an operator starts them."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import rvoip
from rvoip.test.interop.activation import HeldSockets
from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.ping import ping
from rvoip.test.interop.processes import PATIENCE, Process, run, until
from rvoip.testing.certificates import Authority

__all__ = ["DOMAIN", "Role", "command"]

DOMAIN = "example.test"

_ROOT = str(Path(rvoip.__file__).parent.parent)
_TWISTD = f"import sys; sys.path.insert(0, {_ROOT!r}); from twisted.scripts.twistd import run; run()"
_RVOIP = f"import sys; sys.path.insert(0, {_ROOT!r}); from rvoip.cli.main import main; sys.exit(main())"
_TROUBLE = re.compile(r"Traceback|Unhandled|^\S+ (critical|error) ")


def command(*arguments: str) -> list[str]:
    """The command line of `rvoip`, with the interpreter and the code that run this test."""
    return [sys.executable, "-c", _RVOIP, *arguments]


class Role:
    """A role with UDP, TCP and TLS listeners on one address, its API, and accounts; stores are SQLite.

    `tables` replaces the text of tables of the configuration, or adds some, as in {"log": "level = 'warn'"};
    `sip` and `tls` add lines to the tables of that name, and `listen` more addresses. The password of user U
    is "pw-U". With `activated` its sockets stay open between one process and the next.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        *,
        role: str = "rvoip-proxy",
        users: tuple[str, ...] = ("alice", "bob", "carol", "dave"),
        tables: Mapping[str, str] | None = None,
        sip: str = "",
        tls: str = "",
        listen: Sequence[str] = (),
        name: str = "",
        activated: bool = False,
        domain: str = DOMAIN,
    ) -> None:
        self.role = role
        self.host = host
        self.name = name or role
        self.folder = folder / self.name
        self.folder.mkdir()
        self.port, self.tls_port, http_port = (free_port(host) for _ in range(3))
        self.api = f"http://{host}:{http_port}"
        self.config = self.folder / "rvoip.toml"
        self.authority = Authority()
        self.ca = self.folder / "ca.pem"
        self.ca.write_bytes(self.authority.certificate_pem)
        certificate, key = self.authority.issue(DOMAIN, host).write(self.folder)
        addresses = [f"udp:{self.address}", f"tcp:{self.address}", f"tls:{self.tls_address}", *listen]
        written = {
            "sip": f'listen = {json.dumps(addresses)}\ndomains = ["{domain}"]\n{sip}',
            "tls": f'certificate = "{certificate}"\nprivate_key = "{key}"\n{tls}',
            "http": f'listen = "{host}:{http_port}"',
            "log": "activity = true",
            "service": "drain_max = 0",
            "trace": "registrations = true",
            "users": 'store = "sqlite:users.db"',
            "location": 'store = "sqlite:location.db"',
            "registrar": "",
            **(tables or {}),
        }
        self.local_users = written["users"] == 'store = "sqlite:users.db"'
        self.config.write_text("".join(f"[{table}]\n{text}\n" for table, text in written.items()))
        self.expected: list[str] = []
        """Patterns of errors in its log that a test has provoked."""
        self._make_accounts(users)
        self.held: HeldSockets | None = None
        if activated:
            streams = [("tcp", host, one) for one in (self.port, self.tls_port, http_port)]
            self.held = HeldSockets([("udp", host, self.port), *streams])
        self.process = self._start()

    _accounts: ClassVar[dict[tuple[str, ...], bytes]] = {}

    def _make_accounts(self, users: tuple[str, ...]) -> None:
        """Import accounts, once in a run for each list of users: it takes as long as a short test."""
        if not self.local_users:
            self.import_users(users)
            return
        database = self.folder / "users.db"
        known = self._accounts.get(users)
        if known is None:
            self.import_users(users)
            assert not database.with_name("users.db-wal").exists(), "all is in one file"
            self._accounts[users] = database.read_bytes()
        else:
            database.write_bytes(known)

    def import_users(self, users: tuple[str, ...]) -> None:
        """Make accounts with `rvoip user import`."""
        lines = "".join(f"{user}:{DOMAIN}:pw-{user}\n" for user in users)
        done = run(command("user", "import", "-", "--config", str(self.config)), self.folder, stdin=lines)
        left = f"{len(users)} unchanged" if not self.local_users else "nothing"
        assert done.returncode == 0, done
        assert f"{len(users)} added" in done.stdout or left in done.stdout, done

    @property
    def address(self) -> str:
        """host:port of UDP and TCP."""
        return f"{self.host}:{self.port}"

    @property
    def tls_address(self) -> str:
        """host:port of TLS."""
        return f"{self.host}:{self.tls_port}"

    def uri(self, transport: str = "udp", user: str = "") -> str:
        """The role's address as a SIP URI for a transport."""
        address = self.tls_address if transport == "tls" else self.address
        return f"sip:{user}{'@' if user else ''}{address};transport={transport}"

    def _start(self) -> Process:
        command = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", self.role, "--config", str(self.config)]
        descriptors: list[int] = []
        if self.held is not None:
            command, descriptors = self.held.command(command), self.held.descriptors
        process = Process(self.name, command, self.folder, descriptors=descriptors)
        process.wait_for(f"listens on tls:{self.tls_address}$")
        return process

    def kill(self) -> None:
        """End it with signal 9, as a power cut does."""
        self.process.signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL

    def hang_up(self) -> None:
        """Tell it to read its configuration again."""
        self.process.signal(signal.SIGHUP)

    def reload(self) -> None:
        """Have it read its configuration again, which must be a good one."""
        mark = self.process.mark
        self.hang_up()
        self.process.wait_for("Configuration reloaded", after=mark)

    def restart(self) -> float:
        """Start it again, after it was ended; returns the seconds until it answered for the first time."""
        began = time.monotonic()
        self.process = self._start()
        until(lambda: ping(self.address).startswith("SIP/2.0 200 "), "an answer to OPTIONS")
        return time.monotonic() - began

    def close(self) -> None:
        """End it at once, whatever state it is in."""
        self.process.kill()
        if self.held is not None:
            self.held.close()

    def stop(self) -> None:
        """End it, and see that nothing went wrong in it."""
        if self.process.ended is None:
            assert self.process.stop() in (0, -signal.SIGTERM, 128 + signal.SIGTERM), "a clean end"
        self.check_log()

    def check_log(self) -> None:
        """Fail when it logged an error that is not `expected`, or crashed somewhere."""
        text = self.process.log.read_text("utf-8", "replace")
        for line in text.split("\n"):
            if _TROUBLE.search(line) and not any(re.search(one, line) for one in self.expected):
                raise AssertionError(f"{self.name} logged errors:\n{text[-6000:]}")

    def said(self, pattern: str, patience: float = PATIENCE) -> re.Match[str]:
        """Wait for a line of its log."""
        return self.process.wait_for(pattern, patience)

    # What its API and its command line say.

    def get(self, path: str) -> Any:
        """The answer of its API; None for 404."""
        try:
            with urllib.request.urlopen(self.api + path, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from None

    def put(self, path: str, body: Any) -> None:
        """Change something by its API."""
        request = urllib.request.Request(
            self.api + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def bindings(self, user: str) -> list[dict[str, Any]]:
        """The contacts of a user, as the API shows them."""
        found = self.get(f"/v1/bindings/{urllib.parse.quote(f'{user}@{DOMAIN}')}")
        return [] if found is None else list(found["bindings"])

    def wait_for_bindings(self, user: str, count: int) -> list[dict[str, Any]]:
        """The contacts of a user once there are this many."""
        until(lambda: len(self.bindings(user)) == count, f"{count} contacts of {user}")
        return self.bindings(user)

    def listed(self, user: str = "") -> list[dict[str, Any]]:
        """The contacts of a user, or all there are, as `rvoip binding list` shows them."""
        done = self.rvoip("binding", "list", *([f"{user}@{DOMAIN}"] if user else []), "--json")
        assert done.returncode == 0, done
        return list(json.loads(done.stdout))

    def rvoip(self, *arguments: str) -> Any:
        """Run `rvoip ARGUMENTS --config FILE` to its end."""
        return run(command(*arguments, "--config", str(self.config)), self.folder)

    def ladder(self, call_id: str) -> list[dict[str, str]]:
        """The messages of a call as the server has them, for `summary`, `direction`, `transport`, `text`."""
        found = self.get(f"/v1/ladders/{urllib.parse.quote(call_id, safe='')}")
        return [] if found is None else list(found["messages"])
