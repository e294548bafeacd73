"""The script in Redis and the table in PostgreSQL beside a model made of plain dicts."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import (
    ALL_CONTACTS,
    TOMBSTONE,
    Applied,
    Binding,
    Change,
    Counts,
    Outcome,
    Removed,
    find_bindings,
)
from rvoip.registrar.stores.location_table import LocationTable, parse_postgresql_url
from rvoip.registrar.stores.redis_link import script_text
from rvoip.registrar.stores.redis_records import change_question, from_record
from rvoip.registrar.stores.server_clock import ServerClock
from rvoip.test.interop.addresses import address
from rvoip.test.interop.postgresql import shared_postgresql
from rvoip.test.interop.redis import shared_redis
from rvoip.test.registrar.stores.test_model import SETTINGS, StoreMachine

OFFSET = 1_000_000_000.0


class Blocking:
    """What the machine asks of a store, with `apply`, `lookup`, `expire` and `count` to be added."""

    trouble = ""
    at_once = True

    def open(self, now: float, wall_now: float) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        raise AssertionError("each store has its own")

    def apply(self, change: Change) -> Applied:
        raise AssertionError("each store has its own")

    def remove(self, aor: str, which: str | None, now: float) -> Removed:
        """As the real stores do."""
        held = self.lookup(aor, now)
        keys = ALL_CONTACTS if which is None else tuple([each.key for each in find_bindings(held, which)])
        if not held or not keys:
            return Removed(aor, (), held)
        made = self.apply(Change(aor, now, removes=keys))
        return Removed(aor, made.removed, made.bindings)


class Script(Blocking):
    """Asks the script over a blocking connection."""

    def __init__(self, host: str, port: int, prefix: str) -> None:
        self._socket = socket.create_connection((host, port), 10)
        self._replies = self._socket.makefile("rb")
        self._prefix = prefix
        self._script = script_text().encode()

    def close(self) -> None:
        """Close the connection."""
        self._replies.close()
        self._socket.close()

    def ask(self, *question: Any) -> Any:
        """One question."""
        packed = msgspec.msgpack.encode([question])
        until = f"{time.time() + 10:.3f}".encode()
        words = [b"EVAL", self._script, b"0", self._prefix.encode(), until, packed]
        self._socket.sendall(
            b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%s\r\n" % (len(word), word) for word in words])
        )
        line = self._replies.readline()
        assert line[:1] == b"$", line
        _, (answer,) = msgspec.msgpack.decode(self._replies.read(int(line[1:]) + 2)[:-2])
        assert not (answer and answer[0] == "error"), answer
        return answer

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        return _bindings(self.ask("lookup", aor, now + OFFSET))

    def apply(self, change: Change) -> Applied:
        outcome, after, removed = self.ask(*change_question(change, OFFSET, 0, TOMBSTONE))
        return Applied(change, Outcome(outcome), _bindings(after), _bindings(removed))

    def expire(self, now: float, wall_now: float) -> Sequence[Removed]:
        return [
            Removed(aor, _bindings(over), _bindings(rest))
            for aor, over, rest in self.ask("expire", now + OFFSET, 100)
        ]

    def count(self) -> Counts:
        return Counts(*self.ask("count"))


def _bindings(records: list[list[Any]]) -> tuple[Binding, ...]:
    return tuple([from_record(record, OFFSET) for record in records])


class Table(Blocking):
    """Asks the table in this thread."""

    def __init__(self, url: str) -> None:
        self._table = LocationTable(parse_postgresql_url(url), ServerClock(), time.monotonic)
        self._table.open()

    def close(self) -> None:
        """Close the connection."""
        self._table.close()

    def lookup(self, aor: str, now: float) -> tuple[Binding, ...]:
        return self._table.lookup([(aor, now)])[0]

    def apply(self, change: Change) -> Applied:
        (result,) = self._table.write([(change, time.monotonic() + 10)])
        assert isinstance(result, Applied)
        return result

    def expire(self, now: float, wall_now: float) -> Sequence[Removed]:
        return self._table.expire(now, 100)

    def count(self) -> Counts:
        return self._table.count()


class ModelTests(TestCase):
    """Fewer examples than of the stores in memory, because each step is a round trip."""

    def test_redis(self) -> None:
        server = shared_redis(address(1))
        runs = iter(range(10**6))

        class Machine(StoreMachine):
            def make(self) -> None:
                self.store = Script(server.host, server.port, f"model-{next(runs)}")  # type: ignore[assignment]

            def teardown(self) -> None:
                if hasattr(self, "store"):
                    self.store.close()

        run_state_machine_as_test(Machine, settings=SETTINGS)

    def test_postgresql(self) -> None:
        server = shared_postgresql("127.0.72.1")
        server.empty()
        table = Table(server.url)
        self.addCleanup(table.close)

        class Machine(StoreMachine):
            def make(self) -> None:
                table._table._transact(lambda connection: connection.execute("TRUNCATE rvoip_binding"))
                self.store = table  # type: ignore[assignment]

        phases = (Phase.generate,)
        run_state_machine_as_test(Machine, settings=settings(SETTINGS, phases=phases, max_examples=30))
