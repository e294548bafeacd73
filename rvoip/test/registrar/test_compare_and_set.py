"""The rule of RFC 3261 section 10.3 steps 6 and 7, as tables."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change, Outcome, tombstone
from rvoip.registrar.compare_and_set import buried, merge, objection

NOW = 1000.0


def bound(key: str, call_id: str = "X", cseq: int = 5, left: float = 60.0, granted: int = 60) -> Binding:
    return Binding(key, key, call_id, cseq, NOW + left, granted)


def put(key: str, cseq: int, call_id: str = "X", granted: int = 60) -> Binding:
    return Binding(key, key, call_id, cseq, NOW + granted, granted)


def change(
    cseq: int,
    puts: str = "",
    removes: str | tuple[str, ...] = "",
    call_id: str = "X",
    most: int = 10,
    granted: int = 60,
) -> Change:
    """Contacts are one letter each."""
    return Change(
        "bob@example.test",
        NOW,
        tuple([put(key, cseq, call_id, granted) for key in puts]),
        tuple(removes),
        call_id,
        cseq,
        most,
    )


class ObjectionTests(TestCase):
    def check(
        self,
        expected: Outcome | None,
        asked: Change,
        held: tuple[Binding, ...] = (),
        graves: tuple[Binding, ...] = (),
    ) -> None:
        self.assertEqual(objection(held, graves, asked), expected)

    def test_put(self) -> None:
        self.check(None, change(1, "a"))
        self.check(None, change(6, "a"), (bound("a"),))
        self.check(Outcome.STALE, change(4, "a"), (bound("a"),))
        self.check(None, change(1, "a", call_id="Y"), (bound("a"),))
        self.check(None, change(1, "a"), (bound("b"),))

    def test_an_expired_binding_does_not_count(self) -> None:
        self.check(None, change(1, "a"), (bound("a", left=0.0),))
        self.check(None, change(1, removes="a"), (bound("a", left=0.0),))

    def test_the_same_request_again(self) -> None:
        self.check(Outcome.UNCHANGED, change(5, "a"), (bound("a"),))
        self.check(Outcome.UNCHANGED, change(5, "ab"), (bound("a"), bound("b")))
        self.check(Outcome.UNCHANGED, change(5, "a", "b"), (bound("a"),), (tombstone("b", "X", 5, NOW + 9),))

    def test_the_same_cseq_with_something_else(self) -> None:
        self.check(Outcome.STALE, change(5, "a", granted=30), (bound("a"),))
        self.check(Outcome.STALE, change(5, "ab"), (bound("a"),))
        self.check(Outcome.STALE, change(5, removes="a"), (bound("a"),))
        self.check(Outcome.STALE, change(5, "a", "b"), (bound("a"), bound("b", "Y")))

    def test_one_stale_part_refuses_all(self) -> None:
        held = (bound("a", cseq=5), bound("b", cseq=7))
        self.check(Outcome.STALE, change(6, "ab"), held)
        self.check(Outcome.STALE, change(6, "a", "b"), held)
        self.check(Outcome.STALE, change(6, "b", "a"), held)
        self.check(None, change(8, "a", "b"), held)

    def test_remove(self) -> None:
        self.check(None, change(6, removes="a"), (bound("a"),))
        self.check(Outcome.STALE, change(4, removes="a"), (bound("a"),))
        self.check(None, change(1, removes="a", call_id="Y"), (bound("a"),))
        self.check(None, change(1, removes="a"))

    def test_remove_all(self) -> None:
        held = (bound("a"), bound("b", "Y", 50))
        self.check(None, change(6, removes=ALL_CONTACTS), held)
        self.check(Outcome.STALE, change(5, removes=ALL_CONTACTS), held)
        self.check(None, change(1, removes=ALL_CONTACTS, call_id="Z"), held)
        self.check(None, change(1, removes=ALL_CONTACTS))

    def test_a_tombstone_keeps_a_late_request_away(self) -> None:
        graves = (tombstone("a", "X", 6, NOW + 30),)
        self.check(Outcome.STALE, change(5, "a"), (), graves)
        self.check(Outcome.STALE, change(6, "a"), (), graves)
        self.check(None, change(7, "a"), (), graves)
        self.check(None, change(1, "a", call_id="Y"), (), graves)
        self.check(None, change(5, "b"), (), graves)
        self.check(Outcome.STALE, change(5, removes="a"), (), graves)
        self.check(Outcome.UNCHANGED, change(6, removes="a"), (), graves)
        self.check(None, change(7, removes="a"), (), graves)

    def test_remove_all_again(self) -> None:
        """Not what was registered after it by somebody else."""
        graves = (tombstone("a", "X", 6, NOW + 30),)
        held = (bound("b", "Y"),)
        self.check(Outcome.UNCHANGED, change(6, removes=ALL_CONTACTS), held, graves)
        self.check(Outcome.STALE, change(5, removes=ALL_CONTACTS), held, graves)
        self.check(None, change(7, removes=ALL_CONTACTS), held, graves)

    def test_all_with_tombstones_of_several_requests(self) -> None:
        """The order in which a store has them does not matter: the highest CSeq counts."""
        graves = (tombstone("a", "X", 2, NOW + 32), tombstone("b", "X", 6, NOW + 32))
        for each in (graves, graves[::-1]):
            self.check(Outcome.STALE, change(2, removes=ALL_CONTACTS), (), each)
            self.check(Outcome.UNCHANGED, change(6, removes=ALL_CONTACTS), (), each)
            self.check(Outcome.STALE, change(6, removes=ALL_CONTACTS), (bound("c", cseq=6),), each)
            self.check(None, change(7, removes=ALL_CONTACTS), (), each)

    def test_a_tombstone_has_its_time(self) -> None:
        graves = (tombstone("a", "X", 6, NOW),)
        self.check(None, change(5, "a"), (), graves)
        self.check(None, change(5, removes=ALL_CONTACTS), (), graves)

    def test_full(self) -> None:
        two = (bound("a"), bound("b"))
        self.check(Outcome.FULL, change(6, "c", most=2), two)
        self.check(None, change(6, "c", most=3), two)
        self.check(None, change(6, "a", most=2), two)
        self.check(None, change(6, "c", "a", most=2), two)
        self.check(Outcome.FULL, change(6, "cd", "a", most=2), two)
        self.check(Outcome.FULL, change(6, "abc", most=2))
        self.check(None, change(6, "c", most=2), (bound("a"), bound("b", left=0.0)))

    def test_more_than_full(self) -> None:
        """After the limit was lowered, what is there can be refreshed and exchanged but not added to."""
        three = (bound("a"), bound("b"), bound("c"))
        self.check(None, change(6, "abc", most=2), three)
        self.check(None, change(6, "d", "a", most=2), three)
        self.check(Outcome.FULL, change(6, "d", most=2), three)

    def test_stale_comes_before_full(self) -> None:
        self.check(Outcome.STALE, change(4, "ac", most=1), (bound("a"),))

    def test_an_operator_is_not_compared(self) -> None:
        self.check(None, Change("a", NOW, removes=("a",)), (bound("a"),))
        self.check(None, Change("a", NOW, removes=ALL_CONTACTS), (bound("a"),))


class MergeTests(TestCase):
    def check(self, outcome: Outcome, after: str, removed: str, asked: Change, *held: Binding) -> None:
        got = merge(held, asked)
        self.assertEqual(
            (got[0], "".join(each.key for each in got[1]), "".join(each.key for each in got[2])),
            (outcome, after, removed),
        )

    def test_puts(self) -> None:
        self.check(Outcome.CREATED, "a", "", change(6, "a"))
        self.check(Outcome.REFRESHED, "a", "", change(6, "a"), bound("a"))
        self.check(Outcome.CREATED, "ba", "", change(6, "a"), bound("b"))
        self.check(Outcome.REFRESHED, "abc", "", change(6, "b"), bound("a"), bound("b"), bound("c"))
        self.check(Outcome.CREATED, "abc", "", change(6, "cb"), bound("a"), bound("b"))
        self.check(Outcome.CREATED, "a", "", change(6, "a"), bound("a", left=0.0))
        self.check(Outcome.CREATED, "a", "", change(6, "a"), bound("b", left=0.0))
        self.check(Outcome.CREATED, "ba", "", change(6, "a"), bound("b"), bound("a", left=0.0))

    def test_a_put_takes_the_place_of_the_old_one(self) -> None:
        asked = change(6, "a")
        self.assertIs(merge((bound("a"),), asked)[1][0], asked.puts[0])
        self.assertIs(merge((bound("a"), bound("b")), asked)[1][0], asked.puts[0])

    def test_removes(self) -> None:
        self.check(Outcome.REMOVED, "b", "a", change(6, removes="a"), bound("a"), bound("b"))
        self.check(Outcome.REMOVED, "", "ab", change(6, removes=ALL_CONTACTS), bound("a"), bound("b"))
        self.check(Outcome.REMOVED, "a", "", change(6, removes="c"), bound("a"))
        self.check(Outcome.REMOVED, "", "", change(6, removes="a"), bound("a", left=0.0))

    def test_both(self) -> None:
        self.check(Outcome.CREATED, "bc", "a", change(6, "c", "a"), bound("a"), bound("b"))
        self.check(Outcome.REFRESHED, "b", "a", change(6, "b", "a"), bound("a"), bound("b"))


class BuriedTests(TestCase):
    def test_who_removed_it(self) -> None:
        held = (bound("a"), bound("b", "Y", 9), bound("c", left=0.0))
        self.assertEqual(buried(held, (), change(6, "d")), [])
        self.assertEqual(buried(held, (), change(6, removes="ac")), [("a", "X", 6)])
        self.assertEqual(buried(held, (), change(6, removes=ALL_CONTACTS)), [("a", "X", 6), ("b", "X", 6)])

    def test_an_operator_leaves_the_number_of_the_binding(self) -> None:
        held = (bound("a"), bound("b", "Y", 9))
        graves = (tombstone("c", "Z", 3, NOW + 9),)
        asked = Change("bob", NOW, removes=ALL_CONTACTS)
        self.assertEqual(buried(held, graves, asked), [("a", "X", 5), ("b", "Y", 9)])

    def test_a_grave_rises_with_its_own_call_id_only(self) -> None:
        graves = (tombstone("a", "X", 6, NOW + 9), tombstone("b", "Y", 6, NOW + 9))
        self.assertEqual(buried((), graves, change(8, removes="ab")), [("a", "X", 8)])
