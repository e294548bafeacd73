"""Both stores beside a model made of plain dicts, under random changes, times, restarts."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change, Outcome
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.registrar.stores.sqlite import SQLiteStore
from rvoip.test.registrar.stores.contract import fields
from rvoip.test.registrar.stores.threads import Pump

START = 1000.0
WALL = 1_700_000_000.0
AORS = ("ann@h", "bob@h")
KEYS = ("a", "b", "c")
CALLS = ("X", "Y")
MOST = 2

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)


class Model:
    """RFC 3261 section 10.3 for contacts of one letter, written down once more and without care for speed.

    bound: {aor: {key: (call_id, cseq, granted, deadline)}}, graves: {(aor, key): (call_id, cseq, deadline)}.
    """

    def __init__(self) -> None:
        self.bound: dict[str, dict[str, tuple[str, int, int, float]]] = {aor: {} for aor in AORS}
        self.graves: dict[tuple[str, str], tuple[str, int, float]] = {}

    def pass_time(self, now: float) -> None:
        for held in self.bound.values():
            for key in [key for key, entry in held.items() if entry[3] <= now]:
                del held[key]
        for place in [place for place, grave in self.graves.items() if grave[2] <= now]:
            del self.graves[place]

    def register(
        self, aor: str, call_id: str, cseq: int, puts: dict[str, int], removes: set[str] | None, now: float
    ) -> str:
        """What is answered; `removes` None is all."""
        held = self.bound[aor]
        if removes is None:
            buried = [n for (of, _), (by, n, _) in self.graves.items() if of == aor and by == call_id]
            bound = [n for by, n, _, _ in held.values() if by == call_id]
            if any(cseq < number for number in buried) or any(cseq <= number for number in bound):
                return "stale"
            if cseq in buried:
                return "unchanged"
        verdicts = set()
        for key, granted in puts.items():
            verdicts.add(self._verdict(aor, key, call_id, cseq, granted))
        for key in held if removes is None else removes:
            verdicts.add(self._verdict(aor, key, call_id, cseq, 0))
        verdicts.discard("nothing")
        if "stale" in verdicts or verdicts == {"newer", "same"}:
            return "stale"
        if verdicts == {"same"}:
            return "unchanged"
        gone = set(held) if removes is None else removes & set(held)
        after = (set(held) - gone) | set(puts)
        if len(after) > MOST and len(after) > len(held):
            return "full"
        created = set(puts) - set(held)
        for key in list(held):
            if key in gone:
                del held[key]
                self.graves[aor, key] = (call_id, cseq, now + 32)
        for place, grave in self.graves.items():
            if place[0] == aor and grave[0] == call_id and (removes is None or place[1] in removes):
                self.graves[place] = (call_id, cseq, now + 32)
        for key, granted in puts.items():
            held[key] = (call_id, cseq, granted, now + granted)
            self.graves.pop((aor, key), None)
        return "created" if created else "refreshed" if puts else "removed"

    def _verdict(self, aor: str, key: str, call_id: str, cseq: int, granted: int) -> str:
        if key in self.bound[aor]:
            by, number, before, _ = self.bound[aor][key]
        elif (aor, key) in self.graves:
            by, number, _ = self.graves[aor, key]
            before = 0
        else:
            return "newer" if granted else "nothing"
        if by != call_id or cseq > number:
            return "newer"
        return "same" if cseq == number and before == granted else "stale"

    def kick(self, aor: str, key: str | None, now: float) -> set[str]:
        gone = set(self.bound[aor]) if key is None else {key} & set(self.bound[aor])
        for each in gone:
            call_id, cseq, _, _ = self.bound[aor].pop(each)
            self.graves[aor, each] = (call_id, cseq, now + 32)
        return gone


changes = st.fixed_dictionaries(
    {
        "aor": st.sampled_from(AORS),
        "call_id": st.sampled_from(CALLS),
        "cseq": st.integers(1, 6),
        "puts": st.dictionaries(st.sampled_from(KEYS), st.sampled_from((20, 40)), min_size=0, max_size=2),
        "removes": st.one_of(st.just(frozenset()), st.sets(st.sampled_from(KEYS), max_size=2)),
    }
)


class StoreMachine(RuleBasedStateMachine):
    """Subclasses make the store."""

    store: IBindingStore
    pump: Pump

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.model = Model()
        self.pump = Pump()
        self.jump = 0.0
        self.make()

    def make(self) -> None:
        self.store = MemoryStore()
        self.store.open(self.now, WALL)

    def change(self, asked: dict[str, Any]) -> tuple[Change, str]:
        removes = asked["removes"] - set(asked["puts"])
        expected = self.model.register(
            asked["aor"], asked["call_id"], asked["cseq"], asked["puts"], removes, self.now
        )
        puts = tuple(
            Binding(key, key, asked["call_id"], asked["cseq"], self.now + granted, granted)
            for key, granted in asked["puts"].items()
        )
        made = Change(asked["aor"], self.now, puts, tuple(removes), asked["call_id"], asked["cseq"], MOST)
        return made, expected

    @rule(asked=changes)
    def register(self, asked: dict[str, Any]) -> None:
        made, expected = self.change(asked)
        applied = self.pump.wait(self.store.apply(made))
        assert applied.outcome.value == expected, (applied, expected)

    @rule(all_of_them=st.lists(changes, min_size=2, max_size=6))
    def register_many(self, all_of_them: list[dict[str, Any]]) -> None:
        """In one transaction, where there are transactions."""
        asked = [self.change(each) for each in all_of_them]
        waiting = [self.store.apply(made) for made, _ in asked]
        found = [self.pump.wait(each).outcome.value for each in waiting]
        assert found == [expected for _, expected in asked]

    @rule(aor=st.sampled_from(AORS), call_id=st.sampled_from(CALLS), cseq=st.integers(1, 6))
    def unregister_all(self, aor: str, call_id: str, cseq: int) -> None:
        expected = self.model.register(aor, call_id, cseq, {}, None, self.now)
        made = Change(aor, self.now, (), ALL_CONTACTS, call_id, cseq, MOST)
        applied = self.pump.wait(self.store.apply(made))
        assert applied.outcome.value == expected
        if applied.outcome is Outcome.REMOVED:
            assert applied.bindings == ()

    @rule(aor=st.sampled_from(AORS), key=st.sampled_from((None, *KEYS)))
    def kick(self, aor: str, key: str | None) -> None:
        expected = self.model.kick(aor, key, self.now)
        gone = self.pump.wait(self.store.remove(aor, key, self.now))
        assert {each.key for each in gone.removed} == expected

    @rule(seconds=st.sampled_from((2.0, 5.0, 10.0, 32.0)), jump=st.sampled_from((0.0, 0.0, 3600.0, -3600.0)))
    def pass_time(self, seconds: float, jump: float) -> None:
        self.now += seconds
        self.jump += jump
        self.model.pass_time(self.now)
        self.store.expire(self.now, WALL + self.now - START + self.jump)

    @invariant()
    def the_same_is_bound(self) -> None:
        if not hasattr(self, "model"):
            return
        for aor, held in self.model.bound.items():
            expected = [
                Binding(key, key, call_id, cseq, deadline, granted)
                for key, (call_id, cseq, granted, deadline) in held.items()
            ]
            found = self.pump.wait(self.store.lookup(aor, self.now))
            assert fields(found) == fields(expected), (fields(found), fields(expected), self.now)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.pump.wait(self.store.close())


class SQLiteMachine(StoreMachine):
    """As above, and now and then the process is another one."""

    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.reopen()

    def reopen(self) -> None:
        self.store = SQLiteStore(os.path.join(self.folder.name, "db"), self.pump, window=0.0, patience=0.0)
        self.store.open(self.now, WALL + self.now - START + self.jump)

    @rule()
    def restart(self) -> None:
        self.pump.wait(self.store.close())
        self.reopen()

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


class ModelTests(TestCase):
    def test_memory(self) -> None:
        run_state_machine_as_test(StoreMachine, settings=SETTINGS)

    def test_sqlite(self) -> None:
        # Each step syncs to the disk: to make a failure smaller takes too long here.
        run_state_machine_as_test(SQLiteMachine, settings=settings(SETTINGS, phases=(Phase.generate,)))
