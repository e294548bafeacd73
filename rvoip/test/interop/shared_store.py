"""What every store does whose bindings are in a server that several processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import reactor

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Outcome
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.factory import open_store
from rvoip.test.registrar.stores.contract import AOR, NOW, WALL, bound, change, fields, settled

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as Base
else:
    Base = object


def refusal_of(url: str) -> str:
    """Why a store with this URL cannot be opened."""
    store = open_store(url, reactor)
    try:
        store.open(NOW, WALL)
    except StoreError as error:
        return str(error)
    raise AssertionError(f"{url} was opened")


class SharedStoreContract(Base):
    """To be mixed into a test case whose `make_store` makes stores of one server."""

    def make_store(self, **options: Any) -> IBindingStore:
        """A store that is not open."""
        raise AssertionError("each store's test case makes its own")

    async def opened(self, **options: Any) -> Any:
        """An open store."""
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

    async def test_close_finishes(self) -> None:
        store = await self.opened()
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(300)]
        await store.close()
        self.assertEqual([(await each).outcome for each in waiting], [Outcome.CREATED] * 300)
        with self.assertRaises(StoreError):
            await store.apply(change(bound()))
