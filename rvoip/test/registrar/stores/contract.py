"""What every store of bindings does: tests to be mixed into the test case of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from rvoip.registrar.binding import ALL_CONTACTS, Applied, Binding, Change, Outcome, Removed
from rvoip.registrar.errors import StoreBusy
from rvoip.registrar.interfaces import IBindingStore

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as Base
else:
    Base = object

NOW = 5000.0
WALL = 1_700_000_000.0
AOR = "bob@example.test"


async def settled(result: Any) -> Any:
    """The value of what a store returns."""
    return await result if isinstance(result, Deferred) else result


def bound(
    key: str = "sip:bob@192.0.2.4",
    *,
    call_id: str = "X",
    cseq: int = 1,
    now: float = NOW,
    granted: int = 60,
    **more: Any,
) -> Binding:
    """A binding; its contact is its key."""
    return Binding(key, key, call_id, cseq, now + granted, granted, **more)


def change(
    *puts: Binding,
    aor: str = AOR,
    removes: tuple[str, ...] = (),
    call_id: str = "X",
    cseq: int = 1,
    now: float = NOW,
    most: int = 10,
) -> Change:
    """A change of puts that carry the same Call-ID and CSeq as it does."""
    if puts:
        call_id, cseq = puts[0].call_id, puts[0].cseq
    return Change(aor, now, puts, removes, call_id, cseq, most)


def fields(bindings: Iterable[Binding]) -> list[tuple[object, ...]]:
    """All that is in each, without regard to order; deadlines to the millisecond."""
    return sorted(
        (
            each.key,
            each.contact,
            each.params,
            each.call_id,
            each.cseq,
            each.granted,
            round(each.deadline, 3),
            each.q,
            each.path,
            each.received,
            each.user_agent,
        )
        for each in bindings
    )


class StoreContract(Base):
    """To be mixed into a test case that makes its stores in `make_store`; they are opened and closed here."""

    def make_store(self, **options: Any) -> IBindingStore:
        """A store that is not open."""
        raise AssertionError("each store's test case makes its own")

    async def opened(self, **options: Any) -> IBindingStore:
        store = self.make_store(**options)
        await settled(store.open(NOW, WALL))
        self.addCleanup(store.close)
        return store

    async def keys(self, store: IBindingStore, now: float = NOW, aor: str = AOR) -> list[str]:
        return sorted(each.key for each in await settled(store.lookup(aor, now)))

    async def outcome(self, store: IBindingStore, asked: Change) -> Outcome:
        applied: Applied = await settled(store.apply(asked))
        self.assertIs(applied.change, asked)
        self.assertEqual(fields(applied.bindings), fields(await settled(store.lookup(asked.aor, asked.now))))
        return applied.outcome

    async def test_interface(self) -> None:
        verifyObject(IBindingStore, await self.opened())

    async def test_nothing_is_bound(self) -> None:
        store = await self.opened()
        self.assertEqual(store.trouble, "")
        self.assertEqual(await settled(store.lookup(AOR, NOW)), ())
        self.assertEqual(tuple(await settled(store.count())), (0, 0))
        self.assertEqual(await settled(store.remove(AOR, None, NOW)), Removed(AOR, (), ()))

    async def test_put_and_lookup(self) -> None:
        """Every field comes back."""
        store = await self.opened()
        put = bound(
            q=250,
            params=';q=0.25;+sip.instance="<urn:x:\N{SNOWMAN}>"',
            path=("<sip:p1;lr>", '"a, b" <sip:p2;lr>'),
            received="udp/192.0.2.1:5060/192.0.2.4:5060",
            user_agent="phone/1.0 '); DROP TABLE binding; --",
            cseq=2**32 - 1,
        )
        applied = await settled(store.apply(change(put)))
        self.assertEqual(applied.outcome, Outcome.CREATED)
        self.assertEqual(fields(await settled(store.lookup(AOR, NOW))), fields([put]))
        self.assertEqual(await settled(store.lookup("bob@example.tes", NOW)), ())
        self.assertEqual(await settled(store.lookup("BOB@example.test", NOW)), ())
        self.assertEqual(tuple(await settled(store.count())), (1, 1))

    async def test_compare_and_set(self) -> None:
        store = await self.opened()
        self.assertEqual(await self.outcome(store, change(bound(cseq=5))), Outcome.CREATED)
        self.assertEqual(await self.outcome(store, change(bound(cseq=4))), Outcome.STALE)
        self.assertEqual(await self.outcome(store, change(bound(cseq=5))), Outcome.UNCHANGED)
        self.assertEqual(await self.outcome(store, change(bound(cseq=5, granted=90))), Outcome.STALE)
        self.assertEqual(await self.outcome(store, change(bound(cseq=6))), Outcome.REFRESHED)
        self.assertEqual(await self.outcome(store, change(bound(cseq=1, call_id="Y"))), Outcome.REFRESHED)
        self.assertEqual(
            await self.outcome(store, change(bound(cseq=1, now=NOW + 60), now=NOW + 60)), Outcome.CREATED
        )

    async def test_all_or_nothing(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound("sip:a@h", cseq=5), bound("sip:b@h", cseq=5))))
        await settled(store.apply(change(bound("sip:b@h", cseq=9))))
        before = fields(await settled(store.lookup(AOR, NOW)))
        for asked in (
            change(bound("sip:a@h", cseq=7), bound("sip:b@h", cseq=7)),
            change(bound("sip:c@h", cseq=7), bound("sip:b@h", cseq=7)),
            change(bound("sip:c@h", cseq=7), removes=("sip:b@h",)),
            change(cseq=7, removes=("sip:a@h", "sip:b@h")),
            change(cseq=9, removes=ALL_CONTACTS),
        ):
            self.assertEqual(await self.outcome(store, asked), Outcome.STALE)
            self.assertEqual(fields(await settled(store.lookup(AOR, NOW))), before)

    async def test_remove(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound("sip:a@h"), bound("sip:b@h"), bound("sip:c@h"))))
        applied = await settled(store.apply(change(cseq=2, removes=("sip:a@h", "sip:x@h"))))
        self.assertEqual(applied.outcome, Outcome.REMOVED)
        self.assertEqual([each.key for each in applied.removed], ["sip:a@h"])
        self.assertEqual(await self.keys(store), ["sip:b@h", "sip:c@h"])
        applied = await settled(store.apply(change(cseq=3, removes=ALL_CONTACTS)))
        self.assertEqual(sorted(each.key for each in applied.removed), ["sip:b@h", "sip:c@h"])
        self.assertEqual(await self.keys(store), [])
        self.assertEqual(tuple(await settled(store.count())), (0, 0))
        self.assertEqual(await self.outcome(store, change(cseq=3, removes=ALL_CONTACTS)), Outcome.UNCHANGED)

    async def test_put_and_remove_in_one(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound("sip:a@h"))))
        asked = change(bound("sip:b@h", cseq=2), removes=("sip:a@h",), most=1)
        self.assertEqual(await self.outcome(store, asked), Outcome.CREATED)
        self.assertEqual(await self.keys(store), ["sip:b@h"])

    async def test_a_removal_is_remembered_for_a_while(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound(cseq=5))))
        await settled(store.apply(change(cseq=6, removes=(bound().key,))))
        for later in (0.0, 31.9):
            await settled(store.expire(NOW + later, WALL + later))
            asked = change(bound(cseq=5, now=NOW + later), now=NOW + later)
            self.assertEqual(await self.outcome(store, asked), Outcome.STALE)
        asked = change(bound(cseq=5, now=NOW + 32.1), now=NOW + 32.1)
        self.assertEqual(await self.outcome(store, asked), Outcome.CREATED)

    async def test_a_removal_does_not_keep_out_who_comes_after(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound(cseq=5))))
        await settled(store.apply(change(cseq=6, removes=ALL_CONTACTS)))
        self.assertEqual(await self.outcome(store, change(bound(cseq=7))), Outcome.CREATED)
        self.assertEqual(await self.outcome(store, change(bound(cseq=7))), Outcome.UNCHANGED)
        await settled(store.apply(change(cseq=8, removes=ALL_CONTACTS)))
        self.assertEqual(await self.outcome(store, change(bound(cseq=1, call_id="Y"))), Outcome.CREATED)

    async def test_many_removals_of_one_address(self) -> None:
        """The oldest are forgotten, so that nobody fills the store with them."""
        store = await self.opened()
        for cseq in range(1, 100, 2):
            await settled(store.apply(change(bound(f"sip:{cseq}@h", cseq=cseq), now=NOW + cseq / 1000)))
            asked = change(cseq=cseq + 1, removes=ALL_CONTACTS, now=NOW + cseq / 1000)
            self.assertEqual(await self.outcome(store, asked), Outcome.REMOVED)
        self.assertEqual(
            await self.outcome(store, change(bound("sip:99@h", cseq=99), now=NOW + 1)), Outcome.STALE
        )
        self.assertEqual(
            await self.outcome(store, change(bound("sip:1@h", cseq=1), now=NOW + 1)), Outcome.CREATED
        )

    async def test_max_contacts(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound("sip:a@h"), most=2)))
        await settled(store.apply(change(bound("sip:b@h", granted=90), most=2)))
        self.assertEqual(await self.outcome(store, change(bound("sip:c@h"), most=2)), Outcome.FULL)
        self.assertEqual(
            await self.outcome(store, change(bound("sip:a@h", cseq=2), most=2)), Outcome.REFRESHED
        )
        self.assertEqual(
            await self.outcome(store, change(bound("sip:a@h", cseq=3), most=1)), Outcome.REFRESHED
        )
        self.assertEqual(await self.keys(store), ["sip:a@h", "sip:b@h"])
        late = change(bound("sip:c@h", now=NOW + 60), most=2, now=NOW + 60)
        self.assertEqual(await self.outcome(store, late), Outcome.CREATED)
        self.assertEqual(await self.keys(store, NOW + 60), ["sip:b@h", "sip:c@h"])

    async def test_max_aors(self) -> None:
        store = await self.opened(max_aors=2)
        await settled(store.apply(change(bound(), aor="a@h")))
        await settled(store.apply(change(bound(), aor="b@h")))
        with self.assertRaises(StoreBusy):
            await settled(store.apply(change(bound(), aor="c@h")))
        self.assertEqual(await self.outcome(store, change(bound(cseq=2), aor="a@h")), Outcome.REFRESHED)
        self.assertEqual(await self.outcome(store, change(removes=ALL_CONTACTS, aor="c@h")), Outcome.REMOVED)
        await settled(store.apply(change(removes=ALL_CONTACTS, aor="a@h", cseq=3)))
        self.assertEqual(await self.outcome(store, change(bound(), aor="c@h")), Outcome.CREATED)

    async def test_expiry(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound("sip:a@h", granted=60), bound("sip:b@h", granted=90))))
        await settled(store.apply(change(bound("sip:c@h", granted=70), aor="c@h")))
        self.assertEqual(await self.keys(store, NOW + 59.9), ["sip:a@h", "sip:b@h"])
        self.assertEqual(await self.keys(store, NOW + 60), ["sip:b@h"])
        self.assertEqual(list(await settled(store.expire(NOW + 59, WALL + 59))), [])
        (gone,) = await settled(store.expire(NOW + 65, WALL + 65))
        self.assertEqual((gone.aor, [each.key for each in gone.removed]), (AOR, ["sip:a@h"]))
        self.assertEqual([each.key for each in gone.bindings], ["sip:b@h"])
        gone_too = await settled(store.expire(NOW + 500, WALL + 500))
        self.assertEqual(
            sorted((each.aor, each.removed[0].key) for each in gone_too),
            [(AOR, "sip:b@h"), ("c@h", "sip:c@h")],
        )
        self.assertEqual(tuple(await settled(store.count())), (0, 0))

    async def test_wall_time_jumps(self) -> None:
        """By an hour in either direction: nothing expires, nothing comes back."""
        store = await self.opened()
        await settled(store.apply(change(bound(granted=60))))
        for jump in (3600.0, -3600.0, 86400.0 * 365):
            self.assertEqual(list(await settled(store.expire(NOW + 50, WALL + jump + 50))), [])
            self.assertEqual(await self.keys(store, NOW + 50), [bound().key])
        self.assertEqual(len(await settled(store.expire(NOW + 65, WALL - 3600))), 1)

    async def test_operator(self) -> None:
        store = await self.opened()
        puts = (bound("sip:a@h"), bound("sip:b@h"), bound("sip:c@h"), bound("sip:d@h"))
        await settled(store.apply(change(*puts)))
        for which in ("sip:a@h", puts[1].id):
            gone = await settled(store.remove(AOR, which, NOW))
            self.assertEqual(len(gone.removed), 1)
        self.assertEqual(await self.keys(store), ["sip:c@h", "sip:d@h"])
        nothing = await settled(store.remove(AOR, "sip:a@h", NOW))
        self.assertEqual((nothing.removed, len(nothing.bindings)), ((), 2))
        gone = await settled(store.remove(AOR, None, NOW))
        self.assertEqual((len(gone.removed), gone.bindings), (2, ()))
        # The phone's next refresh registers it again, its last one does not.
        self.assertEqual(await self.outcome(store, change(*puts)), Outcome.STALE)
        self.assertEqual(await self.outcome(store, change(bound("sip:a@h", cseq=2))), Outcome.CREATED)

    async def test_aors(self) -> None:
        store = await self.opened()
        for name in ("ann", "bob", "bo", "cy"):
            await settled(store.apply(change(bound(granted=90 if name != "cy" else 60), aor=f"{name}@h")))
        for arguments, expected in (
            (("", "", 10, NOW), ["ann@h", "bo@h", "bob@h", "cy@h"]),
            (("", "", 2, NOW), ["ann@h", "bo@h"]),
            (("", "bo@h", 2, NOW), ["bob@h", "cy@h"]),
            (("bo", "", 10, NOW), ["bo@h", "bob@h"]),
            (("bo", "bo@h", 10, NOW), ["bob@h"]),
            (("", "", 10, NOW + 60), ["ann@h", "bo@h", "bob@h"]),
            (("x", "", 10, NOW), []),
        ):
            self.assertEqual(list(await settled(store.aors(*arguments))), expected)

    async def test_many_at_once(self) -> None:
        """Of one AOR in order, of different ones in any."""
        store = await self.opened()
        waiting = [store.apply(change(bound(), aor=f"{number}@h")) for number in range(200)]
        waiting += [store.apply(change(bound(cseq=cseq))) for cseq in (3, 4, 5, 4, 6)]
        waiting += [store.apply(change(bound(cseq=2), aor=f"{number}@h")) for number in range(100)]
        waiting += [store.apply(change(bound(cseq=1), aor=f"{number}@h")) for number in range(50, 150)]
        outcomes = [(await settled(each)).outcome for each in waiting]
        self.assertEqual(outcomes[:200], [Outcome.CREATED] * 200)
        self.assertEqual(
            outcomes[200:205],
            [Outcome.CREATED, Outcome.REFRESHED, Outcome.REFRESHED, Outcome.STALE, Outcome.REFRESHED],
        )
        self.assertEqual(outcomes[205:305], [Outcome.REFRESHED] * 100)
        self.assertEqual(outcomes[305:355], [Outcome.STALE] * 50)
        self.assertEqual(outcomes[355:], [Outcome.UNCHANGED] * 50)
        self.assertEqual(tuple(await settled(store.count())), (201, 201))

    async def test_close_twice(self) -> None:
        store = await self.opened()
        await settled(store.apply(change(bound())))
        await settled(store.close())
        await settled(store.close())
