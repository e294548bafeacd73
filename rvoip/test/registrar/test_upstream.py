"""What the registrar behind a front end has to see."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change
from rvoip.registrar.upstream import MARGIN, Need, Phone, UpstreamBindings

AOR = "bob@example.test"
ONE = Phone("udp/a/b", "call-1")
TWO = Phone("udp/a/c", "call-2")


def binding(
    name: str = "one", contact: str = "", granted: int = 60, now: float = 0.0, **more: str
) -> Binding:
    """A binding of a phone of this name."""
    return Binding(contact or f"sip:{name}", name, "call-1", 1, now + granted, granted, **more)  # type: ignore[arg-type]


def put(*bindings: Binding, now: float = 0.0) -> Change:
    """A change that adds or refreshes."""
    return Change(AOR, now, bindings, (), "call-1", 2)


def removal(*keys: str, now: float = 0.0, puts: tuple[Binding, ...] = ()) -> Change:
    """A change that takes away."""
    return Change(AOR, now, puts, keys, "call-1", 2)


class NeedTests(SynchronousTestCase):
    """Plain numbers for the time."""

    def bindings(self, single: bool = False, until: float = 3600.0) -> UpstreamBindings:
        """With the contact of phone ONE accepted at 0."""
        made = UpstreamBindings(single)
        made.accepted(AOR, "one", ONE, until, 0.0)
        return made

    def test_refresh(self) -> None:
        held = (binding(),)
        cases = (
            (put(binding()), ONE, Need.NOTHING),
            (put(binding()), TWO, Need.REFRESH),
            (put(binding()), Phone(ONE.flow, "other"), Need.REFRESH),
            (put(binding()), Phone("other", ONE.call_id), Need.REFRESH),
            (put(binding(contact="sip:moved")), ONE, Need.REFRESH),
            (put(binding(params=";q=0.1")), ONE, Need.REFRESH),
            (put(binding("two")), ONE, Need.REFRESH),
            (put(binding(), binding("two")), ONE, Need.REFRESH),
        )
        for single in (False, True):
            for change, phone, need in cases:
                self.assertIs(self.bindings(single).needs(change, held, phone, False), need)

    def test_not_here(self) -> None:
        self.assertIs(self.bindings().needs(put(binding()), (), ONE, False), Need.REFRESH)

    def test_time(self) -> None:
        known = self.bindings(until=100.0)
        last = 100.0 - 60 - MARGIN
        for now, need in ((last, Need.NOTHING), (last + 0.1, Need.REFRESH)):
            self.assertIs(known.needs(put(binding(now=now), now=now), (binding(),), ONE, False), need)
        self.assertIs(known.needs(put(binding(granted=3600)), (binding(),), ONE, False), Need.REFRESH)

    def test_vouched(self) -> None:
        """Who has shown credentials here may come from anywhere."""
        held = (binding(),)
        self.assertIs(self.bindings().needs(put(binding()), held, TWO, True), Need.NOTHING)
        self.assertIs(self.bindings().needs(put(binding("two")), held, TWO, True), Need.REFRESH)
        self.assertIs(self.bindings(True).needs(put(binding("two")), held, TWO, True), Need.NOTHING)

    def test_removal(self) -> None:
        held = (binding(), binding("two"))
        for single, keys, vouched, need in (
            (False, ("one",), False, Need.REMOVE),
            (False, ("one",), True, Need.REMOVE),
            (False, ALL_CONTACTS, True, Need.REMOVE),
            (True, ("one",), False, Need.KEEP),
            (True, ("one",), True, Need.NOTHING),
            (True, ("one", "two"), True, Need.REMOVE),
            (True, ALL_CONTACTS, True, Need.REMOVE),
        ):
            self.assertIs(self.bindings(single).needs(removal(*keys), held, ONE, vouched), need)
        moved = removal("one", "two", puts=(binding("three"),))
        self.assertIs(self.bindings(True).needs(moved, held, ONE, True), Need.KEEP)
        late = removal("one", now=4000.0)
        self.assertIs(self.bindings(True).needs(late, held, ONE, True), Need.KEEP)

    def test_removed(self) -> None:
        known = self.bindings()
        known.removed(AOR, ("one",), True)
        self.assertEqual((known.until(AOR, "one"), len(known)), (0.0, 0))
        single = self.bindings(True)
        single.accepted(AOR, "two", TWO, 3600.0, 0.0)
        single.removed(AOR, ("one",), False)
        self.assertEqual(single.until(AOR, "two"), 3600.0)
        single.removed(AOR, ("two",), True)
        self.assertEqual(len(single), 0)

    def test_what_is_over_is_forgotten(self) -> None:
        known = UpstreamBindings(False)
        for number in range(10_000):
            known.accepted(f"{number}@example.test", "one", ONE, number + 60.0, float(number))
        self.assertLess(len(known), 1100)
