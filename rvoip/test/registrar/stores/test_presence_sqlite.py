"""Presence in SQLite: after a restart all is there, and ends when it would have ended."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.sip.message_summary import MessageSummary
from rvoip.registrar.buddy_lists import Buddy, BuddyList
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence_policy import Decision, Rule
from rvoip.registrar.publication import PublicationChange, Published, StoredPublication
from rvoip.registrar.stores.presence_memory import PresenceMemory
from rvoip.registrar.stores.presence_sqlite import PresenceSQLite
from rvoip.registrar.stores.worker import Task
from rvoip.test.registrar.presence_scene import ALICE, BOB, NOW, WALL, Scene, pidf, publish
from rvoip.test.registrar.stores.contract import settled

FRIENDS = BuddyList("friends@h", ALICE, (Buddy(BOB, "Bob"), Buddy("x@h")), "Friends")


class PresenceSQLiteTests(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.store = PresenceSQLite(self.path, reactor)
        self.scene = Scene(self.store)
        self.addCleanup(lambda: self.store.close())

    async def publish(self, *args: Any, now: float = NOW, **more: Any) -> Any:
        return await settled(self.scene.state.publish(publish(*args, **more), now))

    async def restart(self, now: float, wall: float) -> None:
        """Another process, whose monotonic clock began anew."""
        await self.store.close()
        self.store = PresenceSQLite(self.path, reactor)
        tags = self.scene.tags
        self.scene = Scene(self.store, now=now, wall_now=wall)
        self.scene.tags = tags

    def test_interfaces(self) -> None:
        verifyObject(IPresenceStore, self.store)
        verifyObject(IPresenceStore, PresenceMemory())

    async def test_restart(self) -> None:
        first = await self.publish(pidf("open", "one"), expires=600, publisher=ALICE)
        second = await self.publish(pidf("closed", "two"), expires=100)
        removed = await self.publish(pidf("open", "three"))
        self.assertEqual((first.status, second.status, removed.status), (200, 200, 200))
        self.assertEqual((await self.publish(etag=removed.etag, expires=0)).status, 200)
        refreshed = await self.publish(etag=first.etag, expires=700)
        await settled(self.scene.state.set_rule(Rule(ALICE, BOB, Decision.DENY)))
        await settled(self.scene.state.set_rule(Rule(ALICE, "x@h", Decision.ALLOW)))
        await settled(self.scene.state.drop_rule(ALICE, "x@h"))
        await settled(self.scene.state.set_list(FRIENDS))
        await settled(self.scene.state.set_list(BuddyList("gone@h", ALICE)))
        await settled(self.scene.state.drop_list("gone@h"))
        await settled(self.scene.state.set_mailbox(ALICE, MessageSummary(True)))
        before = self.scene.state.compositor.publications("presence", ALICE, NOW)
        # 150 seconds later one of the two is over.
        await self.restart(50.0, WALL + 150)
        state = self.scene.state
        (left,) = state.compositor.publications("presence", ALICE, 50.0)
        self.assertEqual((left.etag, left.body, left.publisher), (refreshed.etag, before[0].body, ALICE))
        self.assertAlmostEqual(left.deadline, 50.0 + 700 - 150, 3)
        self.assertEqual(state.policy.rules(ALICE), (Rule(ALICE, BOB, Decision.DENY),))
        self.assertEqual(state.lists.get("friends@h"), FRIENDS)
        self.assertIsNone(state.lists.get("gone@h"))
        self.assertIn(b"yes", self.scene.document("message-summary", ALICE, ALICE, 50.0))
        # The device goes on with its entity tag, and another one is later in order.
        again = await self.publish(etag=refreshed.etag, expires=60, now=50.0)
        self.assertEqual(again.status, 200)
        await self.publish(pidf(id_="new"), now=50.0)
        numbers = [each.number for each in state.compositor.publications("presence", ALICE, 50.0)]
        self.assertEqual(numbers, sorted(set(numbers)))
        state.expire(111.0)
        self.assertEqual(len(state.compositor.publications("presence", ALICE, 111.0)), 1)
        await self.restart(0.0, WALL + 150 + 62)
        self.assertEqual(len(self.scene.state.compositor.publications("presence", ALICE, 0.0)), 1)

    async def test_many_at_once(self) -> None:
        waiting = [
            self.scene.state.publish(publish(pidf(), presentity=f"{number}@h"), NOW) for number in range(200)
        ]
        answers = [await settled(each) for each in waiting]
        self.assertEqual({each.status for each in answers}, {200})
        self.assertEqual(len({each.etag for each in answers}), 200)
        await self.restart(NOW, WALL)
        self.assertEqual(self.scene.state.compositor.count(), 200)

    async def test_rows_are_deleted(self) -> None:
        await self.publish(pidf(), expires=60)
        self.scene.state.expire(NOW + 61)
        await self.store.close()
        with sqlite3.connect(self.path) as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM publication").fetchone(), (0,))
        connection.close()

    def test_a_failed_sweep(self) -> None:
        """What was committed before it is not called failed: it would come back after a restart."""

        def fails(now: float) -> None:
            raise StoreError("disk I/O error")

        self.patch(self.store._file, "sweep", fails)
        put = StoredPublication("presence", ALICE, "tag", "application/pidf+xml", pidf(), 60, NOW + 60)
        change = PublicationChange(Published(200, "tag", 60), put)
        done, swept = self.store._serve([Task(change, NOW), Task(NOW, NOW)])
        self.assertIsNone(done)
        self.assertEqual(swept.error.reason, "disk I/O error")

    async def test_what_cannot_be_written_down(self) -> None:
        """It fails alone."""
        bad = self.scene.state.publish(publish(pidf(), presentity="\udcff@h"), NOW)
        good = self.scene.state.publish(publish(pidf()), NOW)
        self.assertEqual([(await settled(each)).status for each in (bad, good)], [503, 200])

    def test_a_file_of_something_else(self) -> None:
        path = self.mktemp()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
        error = self.assertRaises(StoreError, PresenceSQLite(path, reactor).open, NOW, WALL)
        self.assertIn("holds something else than presence", error.reason)

    def test_used_by_another_process(self) -> None:
        error = self.assertRaises(
            StoreError, PresenceSQLite(self.path, reactor, patience=0.0).open, NOW, WALL
        )
        self.assertIn("in use by another process", error.reason)

    async def test_closed(self) -> None:
        await self.store.close()
        self.assertEqual((await self.publish(pidf())).status, 503)
        waiting = self.scene.state.set_mailbox(ALICE, None)
        assert isinstance(waiting, Deferred)
        await self.assertFailure(waiting, StoreError)
