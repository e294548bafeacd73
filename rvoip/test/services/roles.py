"""A whole role in memory, for tests: its network, its clock and its threads are the test's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.stores.factory import open_store
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.services import accounts, location
from rvoip.services import role as role_module
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.test.common.http_client import Client, Response
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.memory_threads import MemoryThreadPool
from rvoip.testing.phone import Call, Phone
from rvoip.users.accounts import Account

HOST = "127.0.64.20"
SERVER = (HOST, 5060)


class Pool(MemoryThreadPool):
    """The threads of the accounts."""

    def start(self) -> None:
        """There are none."""

    def stop(self) -> None:
        """There are none."""


class PatchableStore(MemoryStore):
    """One whose methods a test may replace."""


def open_patchable(url: str, reactor: Any) -> Any:
    """As `open_store`."""
    return PatchableStore() if url == "memory:" else open_store(url, reactor)


class APIClient(Client):
    """Waits for answers."""

    def __init__(self, role: SIPRole, reactor: MemoryReactor) -> None:
        super().__init__(role.http.api, reactor)  # type: ignore[arg-type]  # a clock is all that it is to it
        self.reactor = reactor

    def ask(self, method: str, target: str, body: object = None, **headers: str | None) -> Response:
        connection = self.start(method, target, body, **headers)
        self.reactor.run_until(lambda: bool(connection.transport.value()), 30.0)
        response = connection.response(head=method == "HEAD")
        connection.lose()
        return response


class RoleCase(SynchronousTestCase):
    """Makes roles that are stopped after the test."""

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.patch(accounts, "ThreadPool", lambda **kwargs: Pool(self.reactor))
        self.patch(role_module, "settle_collector", lambda: None)
        self.patch(location, "open_store", open_patchable)

    def make(self, text: str = "", name: str = "proxy", registrar: bool = True) -> SIPRole:
        """A role that is not started; `text` is added to a configuration that listens on HOST."""
        sip = f'[sip]\nlisten = ["udp:{HOST}:5060", "tcp:{HOST}:5060"]\ndomains = ["example.test"]\n'
        path = self.folder / "role.toml"
        path.write_text(f"{sip}\n[users]\nstore = 'sqlite:users.db'\n{text}", encoding="utf-8")
        return SIPRole(
            self.reactor,
            name,
            load(str(path), name, {}),
            str(path),
            registrar=registrar,
            proxy=name == "proxy",
        )

    def begin(self, role: SIPRole) -> SIPRole:
        """Start it. Signals stay the test runner's: they are taken when a reactor begins to run."""
        self.reactor.running = False
        role.privilegedStartService()
        role.startService()
        self.reactor.running = True
        self.addCleanup(lambda: self.reactor.result_of(role.stopService()))
        self.reactor.advance(0.01)
        return role

    def run_role(self, text: str = "", name: str = "proxy", registrar: bool = True) -> SIPRole:
        """A role that runs, and `self.client` for its API."""
        role = self.begin(self.make(text, name, registrar))
        self.client = APIClient(role, self.reactor)
        return role

    def add_account(self, role: SIPRole, aor: str, password: str = "secret") -> None:
        """An account by which a phone can register."""
        self.reactor.result_of(role.accounts.opened.add(Account.of(aor), password))

    def phone(self, aor: str, host: str, **options: Any) -> Phone:
        """A phone of an account whose password is "secret"; it is closed after the test."""
        phone = Phone(self.reactor, aor, host=host, server=SERVER, password="secret", **options).open()
        self.addCleanup(lambda: self.reactor.result_of(phone.close()))
        return phone

    def talk(self, caller: Phone, callee: Phone) -> Call:
        """A call that is answered and hung up by the caller."""
        call = caller.call(f"sip:{callee.aor}")
        self.reactor.result_of(call.established())
        self.reactor.result_of(call.bye())
        self.reactor.advance(1.0)
        return call
