"""The store in a real Redis: the contract of all stores, and what only this one can meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import Outcome
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.factory import open_store
from rvoip.registrar.stores.redis import RedisStore
from rvoip.test.interop.addresses import address
from rvoip.test.interop.redis import RedisServer, shared_redis
from rvoip.test.interop.shared_store import SharedStoreContract, refusal_of
from rvoip.test.registrar.stores.contract import AOR, NOW, WALL, StoreContract, bound, change, settled

HOST = address(1)


class RedisCase(TestCase):
    """One server for all tests; each has keys of its own."""

    def setUp(self) -> None:
        """Find the server."""
        self.server = shared_redis(HOST)

    @property
    def prefix(self) -> str:
        """How the keys of this test begin."""
        return self.id().rpartition(".")[2]

    def make_store(self, url: str = "", **options: Any) -> IBindingStore:
        """A store that is not open."""
        return open_store(f"{url or self.server.url}?prefix={self.prefix}", reactor, **options)


class ContractTests(RedisCase, StoreContract):
    """What every store does."""


class StoreTests(RedisCase, SharedStoreContract):
    """What is particular to this one."""

    async def test_lone_surrogate(self) -> None:
        """What cannot be written down fails alone."""
        store = await self.opened()
        bad, good = store.apply(change(bound("sip:\udcff@h"))), store.apply(change(bound("sip:a@h")))
        with self.assertRaises(StoreError):
            await bad
        self.assertEqual((await good).outcome, Outcome.CREATED)

    async def test_somebody_elses_key(self) -> None:
        """A key of another kind fails one question, not the batch."""
        store = await self.opened()
        self.server.ask("SET", f"{self.prefix}:b:x@h", "1")
        bad, good = store.apply(change(bound(), aor="x@h")), store.apply(change(bound()))
        with self.assertRaises(StoreError):
            await bad
        self.assertEqual((await good).outcome, Outcome.CREATED)

    async def test_script_was_flushed(self) -> None:
        store = await self.opened()
        await store.apply(change(bound()))
        self.server.ask("SCRIPT", "FLUSH")
        self.assertEqual((await store.apply(change(bound(cseq=2)))).outcome, Outcome.REFRESHED)

    async def test_too_much_waits(self) -> None:
        store = RedisStore(f"{self.server.url}?prefix={self.prefix}", reactor, max_waiting=3)
        store.open(NOW, WALL)
        self.addCleanup(store.close)
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(4)]
        with self.assertRaises(StoreBusy):
            await waiting[3]
        for each in waiting[:3]:
            self.assertEqual((await each).outcome, Outcome.CREATED)

    async def test_what_was_asked_too_long_ago_is_not_done(self) -> None:
        """A server that stood still finds the question in its socket, and whoever asked has given up."""
        store = RedisStore(f"{self.server.url}?prefix={self.prefix}", reactor, patience=0.4)
        store.open(NOW, WALL)
        self.addCleanup(store.close)
        await store.apply(change(bound(cseq=1)))
        self.server.freeze()
        self.addCleanup(self.server.thaw)
        with self.assertRaises(StoreError):
            await store.apply(change(bound(cseq=2)))
        self.assertIn("does not answer", store.trouble)
        self.server.thaw()
        other = await self.opened()
        (held,) = await other.lookup(AOR, NOW)
        self.assertEqual(held.cseq, 1)
        # It goes on by itself.
        for _ in range(100):
            if not store.trouble:
                break
            await deferLater(reactor, 0.1)
        self.assertEqual((await store.apply(change(bound(cseq=3)))).outcome, Outcome.REFRESHED)
        self.flushLoggedErrors()

    async def test_ends_by_itself(self) -> None:
        """Without anybody to expire it an AOR's hash goes some while after the last binding."""
        store = await self.opened()
        await store.apply(change(bound(granted=60), bound("sip:b@h", granted=90)))
        answer = self.server.ask("TTL", f"{self.prefix}:b:{AOR}")
        self.assertTrue(85 + 600 <= int(answer[1:-2]) <= 90 + 600, answer)


class RefusedStartTests(TestCase):
    """One clear line."""

    def server(self, *options: str) -> RedisServer:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        server = RedisServer(folder, HOST, options=options)
        self.addCleanup(server.close)
        return server

    def test_not_durable(self) -> None:
        server = self.server()
        for key, bad, good in (
            ("appendfsync", "everysec", "always"),
            ("no-appendfsync-on-rewrite", "yes", "no"),
            ("maxmemory-policy", "volatile-lru", "noeviction"),
            ("appendonly", "no", "yes"),
        ):
            server.ask("CONFIG", "SET", key, bad)
            refusal = refusal_of(server.url)
            self.assertIn("may lose registrations", refusal)
            self.assertIn(f"{key} {good}", refusal)
            if key != "appendonly":
                server.ask("CONFIG", "SET", key, good)

    async def test_not_durable_is_accepted(self) -> None:
        server = self.server("--appendonly", "no")
        store = open_store(f"{server.url}?durable=no", reactor)
        store.open(NOW, WALL)
        await settled(store.apply(change(bound())))
        await settled(store.close())

    def test_password(self) -> None:
        server = self.server("--requirepass", "s3cret")
        self.assertIn("NOAUTH", refusal_of(server.url))
        address = server.url.removeprefix("redis://")
        refusal = refusal_of(f"redis://:wr0ng@{address}")
        self.assertIn("WRONGPASS", refusal)
        self.assertNotIn("wr0ng", refusal)

    async def test_right_password(self) -> None:
        server = self.server("--requirepass", "s3cret")
        store = open_store(f"redis://:s3cret@{server.url.removeprefix('redis://')}", reactor)
        store.open(NOW, WALL)
        self.assertEqual((await settled(store.apply(change(bound())))).outcome, Outcome.CREATED)
        await settled(store.close())

    def test_nobody_there(self) -> None:
        self.assertIn("cannot be reached: Connection refused", refusal_of(f"redis://{HOST}:9/0"))
        self.assertIn("cannot be reached", refusal_of("redis://no.such.name.invalid/0"))
