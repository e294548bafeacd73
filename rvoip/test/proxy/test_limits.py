"""Limits of users' calls: what numbers are, and when it is too much."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.uri import SipURI, TelURI, parse_uri
from rvoip.proxy.limits import (
    NOBODY,
    OTHER,
    CallLimits,
    Hold,
    NumberClass,
    NumberClasses,
    OverLimit,
    UserLimits,
)
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern
from rvoip.test.proxy.scene import sip

PLAN = NumberPlan("49", "00", "0", "+4930")
CLASSES = NumberClasses(
    [
        NumberClass("service", regex=Pattern("^11[0-9]{3,4}$")),
        NumberClass("national", ["+49"]),
        NumberClass("mobile", ["+4915", "+4917"]),
        NumberClass("premium", ["+49900", "0137", "*9"]),
    ],
    PLAN,
    ["112", "110"],
)
ALICE = "alice@example.test"
NUMBER = sip("sip:0301234567@example.test")
HOUR = 3600.0


class ClassTests(SynchronousTestCase):
    def test_of_numbers(self) -> None:
        for user, expected in (
            ("030123456", "national"),
            ("+4930123456", "national"),
            ("004930123456", "national"),
            ("0049 (30) 123-456", "national"),
            ("1234567", "national"),  # local
            ("+49151123456", "mobile"),
            ("015112345", "mobile"),
            ("0900123456", "premium"),
            ("0049900123456", "premium"),
            ("+49-900-123456", "premium"),
            ("+49900123456;phone-context=x", "premium"),
            ("01371234567", "premium"),
            ("*9", "premium"),
            ("11833", "service"),
            ("0043123456", OTHER),
            ("+0049900123", OTHER),
            ("alice", OTHER),
            ("100", OTHER),
            ("", OTHER),
            ("9" * 400, OTHER),
        ):
            uri = SipURI("sip", user.replace(" ", "%20") or None, "example.test")
            self.assertEqual(CLASSES.of(uri), expected, user)

    def test_tel(self) -> None:
        uri = parse_uri("tel:+49-900-1234")
        assert isinstance(uri, TelURI)
        self.assertEqual(CLASSES.of(uri), "premium")

    def test_elsewhere_it_is_the_same_number(self) -> None:
        self.assertEqual(CLASSES.of(sip("sip:0900123456@192.0.2.1")), "premium")

    def test_emergency(self) -> None:
        for user, expected in (
            ("112", True),
            ("110", True),
            ("1120", False),
            ("+112", False),
            ("11-2", True),
        ):
            self.assertEqual(CLASSES.is_emergency(sip(f"sip:{user}@example.test")), expected, user)
        self.assertFalse(NumberClasses().is_emergency(sip("sip:112@example.test")))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(alphabet="0123456789+-.() ;=*#abc%", max_size=80))
    def test_any_text_is_of_one_class(self, text: str) -> None:
        uri = SipURI("sip", text.replace("%", "%25") or None, "example.test")
        self.assertIn(CLASSES.of(uri), {OTHER, *CLASSES.names})


class LimitTests(SynchronousTestCase):
    def make(self, **limits: int | frozenset[str]) -> CallLimits:
        of = UserLimits(**limits)  # type: ignore[arg-type]  # by name
        made = CallLimits(lambda aor: of if aor == ALICE else NOBODY, CLASSES)
        made.begin_day("2026-11-24")
        return made

    def admit(self, limits: CallLimits, now: float, uri: SipURI = NUMBER, user: str = ALICE) -> Hold | None:
        return limits.admit(user, [uri], now, 100.0)

    def refused(self, limits: CallLimits, now: float, uri: SipURI = NUMBER) -> OverLimit:
        held, changes = limits.held, limits.changes()
        limits.put_back(limits.day, changes)
        refusal: OverLimit = self.assertRaises(OverLimit, self.admit, limits, now, uri)
        self.assertEqual((limits.held, limits.changes()), (held, changes))
        limits.put_back(limits.day, changes)
        return refusal

    def test_nobody_is_limited(self) -> None:
        limits = CallLimits(lambda aor: NOBODY)
        self.assertIsNone(self.admit(limits, 0.0))
        self.assertEqual((len(limits), limits.held, limits.changes()), (0, 0, {}))

    def test_classes(self) -> None:
        limits = self.make(allow=frozenset({"national"}))
        self.assertIsNone(self.admit(limits, 0.0))
        refusal = self.refused(limits, 0.0, sip("sip:0900123@example.test"))
        self.assertEqual((refusal.status, refusal.reason), (403, "Destination Not Allowed"))
        self.assertEqual(
            refusal.headers, (("Warning", '399 proxy "This account may not call the class premium"'),)
        )
        self.assertEqual(self.refused(limits, 0.0, sip("sip:x@192.0.2.1")).number_class, OTHER)
        self.assertIsNone(self.admit(limits, 0.0, sip("sip:112@example.test")))
        self.assertEqual(limits.refused["class"], 2)
        with self.assertRaises(OverLimit):
            limits.admit(ALICE, [NUMBER, sip("sip:0900123@example.test")], 0.0, 1.0)
        self.assertRaises(OverLimit, self.admit, self.make(allow=frozenset()), 0.0)

    def test_at_once(self) -> None:
        limits = self.make(calls=2)
        first, second = self.admit(limits, 0.0), self.admit(limits, 1.0)
        assert first is not None and second is not None
        refusal = self.refused(limits, 2.0)
        self.assertEqual((refusal.status, refusal.what, refusal.limit), (486, "calls", 2))
        self.assertIsNone(self.admit(limits, 2.0, sip("sip:112@example.test")))
        self.assertIsNone(self.admit(limits, 2.0, user="bob@example.test"))
        limits.ended(first, 3.0)
        limits.ended(first, 3.0)
        self.assertEqual(limits.held, 1)
        third = self.admit(limits, 4.0)
        assert third is not None
        self.refused(limits, 5.0)
        for hold in (second, third):
            limits.answered(hold, 6.0)
            limits.ended(hold, 10.0)
        self.assertEqual(limits.held, 0)
        self.assertEqual(limits.spent(ALICE, 11.0).seconds, 8.0)

    def test_a_minute(self) -> None:
        limits = self.make(calls_a_minute=2)
        self.admit(limits, 0.0)
        self.admit(limits, 30.0)
        refusal = self.refused(limits, 59.0)
        self.assertEqual((refusal.status, refusal.what), (603, "minute"))
        self.assertIn(("Retry-After", "2"), refusal.headers)
        self.admit(limits, 60.0)
        self.refused(limits, 89.9)
        self.admit(limits, 90.0)

    def test_a_day(self) -> None:
        limits = self.make(calls_a_day=2, calls_a_minute=100)
        self.admit(limits, 0.0)
        self.admit(limits, HOUR)
        refusal = self.refused(limits, 2 * HOUR)
        self.assertEqual((refusal.status, refusal.what), (603, "day"))
        self.assertIn(("Retry-After", "101"), refusal.headers)
        self.assertEqual(limits.changes(), {ALICE: (2, 0.0)})
        limits.begin_day("2026-11-24")
        self.refused(limits, 3 * HOUR)
        limits.begin_day("2026-11-25")
        self.admit(limits, 4 * HOUR)
        self.assertEqual(limits.changes(), {ALICE: (1, 0.0)})

    def test_minutes(self) -> None:
        limits = self.make(minutes_a_day=2)
        hold = self.admit(limits, 0.0)
        assert hold is not None
        limits.answered(hold, 10.0)
        self.admit(limits, 129.0)  # still running, and not answered
        self.assertEqual(self.refused(limits, 130.0).what, "minutes")
        limits.ended(hold, 131.0)
        self.refused(limits, 1000.0)
        self.assertEqual(limits.spent(ALICE, 1000.0).seconds, 121.0)

    def test_what_is_kept(self) -> None:
        limits = self.make(calls_a_day=3)
        self.admit(limits, 0.0)
        changes = limits.changes()
        self.admit(limits, 1.0)
        # Another server has counted one as well.
        limits.counted("2026-11-24", {ALICE: (changes[ALICE][0] + 1, 5.0)})
        self.assertEqual(limits.spent(ALICE, 2.0).calls, 3)
        self.refused(limits, 2.0)
        limits.counted("2026-11-23", {ALICE: (0, 0.0)})
        self.refused(limits, 2.0)
        # What could not be kept comes again, but not into another day.
        limits.put_back("2026-11-24", changes)
        self.assertEqual(limits.changes(), {ALICE: (2, 0.0)})
        limits.begin_day("2026-11-25")
        limits.put_back("2026-11-24", changes)
        self.assertEqual(limits.changes(), {})

    def test_it_is_bounded(self) -> None:
        self.patch(__import__("rvoip.proxy.limits", fromlist=["x"]), "MOST_USERS", 3)
        limits = CallLimits(lambda aor: UserLimits(calls=5))
        holds = [self.admit(limits, 0.0, user=f"u{number}") for number in range(2)]
        for number in range(100):
            hold = self.admit(limits, 1.0, user=f"v{number}")
            assert hold is not None
            limits.ended(hold, 2.0)
        self.assertEqual((len(limits), limits.held), (3, 2))
        for hold in holds:
            assert hold is not None
            limits.ended(hold, 3.0)
        self.assertEqual(limits.held, 0)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40)), max_size=80))
    def test_never_more_than_the_limits(self, steps: list[tuple[int, float]]) -> None:
        """Whatever happens when: no more at once, in any minute, or in the day than may be."""
        limits = self.make(calls=3, calls_a_minute=5, calls_a_day=12)
        now = 0.0
        held: list[Hold] = []
        begun: list[float] = []
        for what, wait in steps:
            now += wait
            if what < 2:
                try:
                    hold = self.admit(limits, now)
                except OverLimit as refusal:
                    minute = [one for one in begun if one > now - 60.0]
                    reached = {"calls": len(held), "minute": len(minute), "day": len(begun)}
                    self.assertEqual(reached[refusal.what], refusal.limit)
                    continue
                assert hold is not None
                held.append(hold)
                begun.append(now)
            elif held:
                limits.ended(held.pop(0), now)
            self.assertEqual(limits.held, len(held))
            self.assertLessEqual(len(held), 3)
            self.assertLessEqual(len([one for one in begun if one > now - 60.0]), 5)
            self.assertLessEqual(len(begun), 12)
