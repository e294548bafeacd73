"""The store in a real Redis: the contract of all stores, and what only this one can meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Outcome
from rvoip.registrar.errors import StoreBusy, StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.factory import open_store
from rvoip.registrar.stores.redis import RedisStore
from rvoip.test.interop.addresses import address
from rvoip.test.interop.redis import RedisServer, shared_redis
from rvoip.test.registrar.stores.contract import AOR, NOW, WALL, StoreContract, bound, change, fields, settled

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


class StoreTests(RedisCase):
    """What is particular to this one."""

    async def opened(self, **options: Any) -> Any:
        store = self.make_store(**options)
        await settled(store.open(NOW, WALL))
        self.addCleanup(store.close)
        return store

    def same(self, found: tuple[Binding, ...], expected: Binding) -> None:
        """It is this one; the stores have read the clock at different times."""
        (only,) = found
        self.assertLess(abs(only.deadline - expected.deadline), 2.0)
        only.deadline = expected.deadline
        self.assertEqual(fields(found), fields([expected]))

    async def test_shared(self) -> None:
        """What one writes the other sees at once, and is compared with."""
        one, other = await self.opened(), await self.opened()
        await one.apply(change(bound(cseq=5)))
        self.same(await other.lookup(AOR, NOW), bound(cseq=5))
        self.assertEqual((await other.apply(change(bound(cseq=5)))).outcome, Outcome.UNCHANGED)
        self.assertEqual((await other.apply(change(bound(cseq=4)))).outcome, Outcome.STALE)
        await other.apply(change(cseq=6, removes=ALL_CONTACTS))
        self.assertEqual(await one.lookup(AOR, NOW), ())
        self.assertEqual((await one.apply(change(bound(cseq=5)))).outcome, Outcome.STALE)

    async def test_one_is_told_of_each_end(self) -> None:
        one, other = await self.opened(), await self.opened()
        await one.apply(change(bound(granted=60)))
        told = [await settled(store.expire(NOW + 61, WALL + 61)) for store in (one, other, one)]
        self.assertEqual([len(each) for each in told], [1, 0, 0])

    async def test_survives(self) -> None:
        store = await self.opened()
        await store.apply(change(bound(cseq=5, path=("<sip:p;lr>",))))
        await store.close()
        self.same(await (await self.opened()).lookup(AOR, NOW), bound(cseq=5, path=("<sip:p;lr>",)))

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

    async def test_close_finishes(self) -> None:
        store = await self.opened()
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(300)]
        await store.close()
        self.assertEqual([(await each).outcome for each in waiting], [Outcome.CREATED] * 300)
        with self.assertRaises(StoreError):
            await store.apply(change(bound()))


class RefusedStartTests(TestCase):
    """One clear line."""

    def refusal(self, url: str) -> str:
        store = open_store(url, reactor)
        with self.assertRaises(StoreError) as raised:
            store.open(NOW, WALL)
        return str(raised.exception)

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
            refusal = self.refusal(server.url)
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
        self.assertIn("NOAUTH", self.refusal(server.url))
        address = server.url.removeprefix("redis://")
        refusal = self.refusal(f"redis://:wr0ng@{address}")
        self.assertIn("WRONGPASS", refusal)
        self.assertNotIn("wr0ng", refusal)

    async def test_right_password(self) -> None:
        server = self.server("--requirepass", "s3cret")
        store = open_store(f"redis://:s3cret@{server.url.removeprefix('redis://')}", reactor)
        store.open(NOW, WALL)
        self.assertEqual((await settled(store.apply(change(bound())))).outcome, Outcome.CREATED)
        await settled(store.close())

    def test_nobody_there(self) -> None:
        self.assertIn("cannot be reached: Connection refused", self.refusal(f"redis://{HOST}:9/0"))
        self.assertIn("cannot be reached", self.refusal("redis://no.such.name.invalid/0"))
