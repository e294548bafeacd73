"""The machines of a subscription: each row of their tables, times, and any order of events (RFC 6665)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.subscription import (
    ACTIVE,
    ENDED,
    NOTIFY_WAIT,
    PENDING,
    REFRESH,
    RETRY,
    TERMINATED,
    Notifier,
    Subscriber,
    SubscriptionEnd,
    grant,
    retry_delay,
)
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.subscription_headers import SubscriptionState, parse_subscription_state

TIMERS = Timers()


def state(text: str) -> SubscriptionState:
    return parse_subscription_state(text)


class SubscriberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.subscriber = Subscriber(TIMERS, 3600, 0.0)

    def reach(self, wanted: str) -> Subscriber:
        subscriber = Subscriber(TIMERS, 3600, 0.0)
        if wanted != NOTIFY_WAIT:
            subscriber.accepted(3600, 0.0)
            subscriber.notified(state(f"{wanted};expires=3600"), 0.0)
        self.assertEqual(subscriber.state, wanted)
        return subscriber

    def test_each_row(self) -> None:
        for (at, event), (following, what) in Subscriber.TRANSITIONS.items():
            subscriber = self.reach(at)
            if event.startswith("NOTIFY"):
                done = subscriber.notified(state(event.removeprefix("NOTIFY ")), 1.0)
            elif event == "refused":
                done = subscriber.refused(481, 1.0)
            elif event == "timer N":
                subscriber.subscribed(3600, 1.0)
                done = subscriber.poll(33.0)
            else:
                done = subscriber.poll({"before it expires": 3240.0, "expired": 3600.0}[event])
            self.assertEqual((subscriber.state, done), (following, what), (at, event))
            self.assertEqual(subscriber.end is not None, following == TERMINATED)
            if following == TERMINATED:
                self.assertIsNone(subscriber.deadline)

    def test_times(self) -> None:
        """(seconds granted, when the refresh goes)."""
        for seconds, refresh in ((3600, 3240), (600, 540), (100, 50), (60, 30), (1, 0.5)):
            subscriber = Subscriber(TIMERS, 3600, 0.0)
            subscriber.accepted(seconds, 0.0)
            subscriber.notified(state("active"), 0.0)
            self.assertEqual(subscriber.deadline, refresh)
            self.assertEqual(subscriber.poll(refresh), REFRESH)
            self.assertEqual(subscriber.deadline, seconds)
            self.assertEqual(subscriber.poll(seconds), ENDED)
            self.assertEqual(subscriber.end, SubscriptionEnd("expired", "now"))

    def test_the_notify_says_how_long(self) -> None:
        self.subscriber.accepted(3600, 0.0)
        self.subscriber.notified(state("active;expires=100"), 10.0)
        self.assertEqual(self.subscriber.deadline, 60.0)

    def test_a_notify_before_the_2xx(self) -> None:
        self.subscriber.notified(state("active"), 1.0)
        self.assertEqual(self.subscriber.state, ACTIVE)
        self.subscriber.accepted(100, 2.0)
        self.assertEqual(self.subscriber.deadline, 52.0)

    def test_no_notify(self) -> None:
        self.subscriber.accepted(20, 1.0)
        self.assertEqual(self.subscriber.deadline, 32.0)
        self.assertEqual(self.subscriber.poll(31.9), "")
        self.assertEqual(self.subscriber.poll(32.0), ENDED)
        self.assertEqual(self.subscriber.end, SubscriptionEnd("no NOTIFY", "later"))

    def test_no_notify_after_a_204(self) -> None:
        subscriber = self.reach(ACTIVE)
        subscriber.subscribed(3600, 3240.0)
        self.assertTrue(subscriber.waits_for_notify)
        subscriber.accepted(3600, 3241.0, notify=False)
        self.assertFalse(subscriber.waits_for_notify)
        self.assertEqual(subscriber.deadline, 3241.0 + 3240.0)

    def test_why_it_ended(self) -> None:
        """RFC 6665 section 4.1.3."""
        for text, retry, after in (
            ("deactivated", "now", None),
            ("deactivated;retry-after=9", "now", None),
            ("probation", "later", None),
            ("probation;retry-after=9", "later", 9),
            ("rejected", "never", None),
            ("rejected;retry-after=9", "never", None),
            ("timeout", "now", None),
            ("giveup;retry-after=9", "later", 9),
            ("noresource", "never", None),
            ("invariant", "never", None),
            ("fatigue;retry-after=9", "later", 9),
        ):
            subscriber = self.reach(ACTIVE)
            self.assertEqual(subscriber.notified(state(f"terminated;reason={text}"), 1.0), ENDED)
            self.assertEqual(subscriber.end, SubscriptionEnd(text.partition(";")[0], retry, after))
        subscriber = self.reach(ACTIVE)
        subscriber.notified(state("terminated"), 1.0)
        self.assertEqual(subscriber.end, SubscriptionEnd("", "later"))
        self.assertEqual(subscriber.notified(state("active"), 2.0), "", "nothing comes after the end")

    def test_a_first_subscribe_that_fails(self) -> None:
        for status, retry in ((403, "never"), (489, "never"), (404, "never"), (503, "later"), (408, "later")):
            subscriber = Subscriber(TIMERS, 3600, 0.0)
            self.assertEqual(subscriber.refused(status, 1.0, 7), ENDED)
            self.assertEqual(subscriber.end, SubscriptionEnd("refused", retry, 7, status))

    def test_a_refresh_that_fails(self) -> None:
        for status, retry in ((481, "now"), (408, "now"), (404, "now"), (489, "never"), (501, "never")):
            subscriber = self.reach(ACTIVE)
            self.assertEqual(subscriber.refused(status, 1.0), ENDED)
            assert subscriber.end is not None
            self.assertEqual((subscriber.end.retry, subscriber.end.status), (retry, status))

    def test_a_refresh_that_fails_for_now(self) -> None:
        subscriber = self.reach(ACTIVE)
        self.assertEqual(subscriber.poll(3240.0), REFRESH)
        subscriber.subscribed(3600, 3240.0)
        self.assertEqual(subscriber.refused(500, 3241.0), "")
        self.assertEqual(subscriber.deadline, 3420.5)
        self.assertEqual(subscriber.poll(3420.5), REFRESH)
        self.assertEqual(subscriber.refused(503, 3421.0, 120), "")
        self.assertEqual(subscriber.deadline, 3541.0)
        self.assertEqual(subscriber.poll(3541.0), REFRESH)
        self.assertEqual(subscriber.refused(500, 3599.0), "")
        self.assertEqual(subscriber.deadline, 3600.0, "there is no time for another one")
        self.assertEqual(subscriber.poll(3600.0), ENDED)

    def test_unsubscribe(self) -> None:
        subscriber = self.reach(ACTIVE)
        subscriber.subscribed(0, 10.0)
        self.assertEqual(subscriber.deadline, 42.0)
        subscriber.accepted(0, 10.0)
        # One that crossed our SUBSCRIBE.
        self.assertEqual(subscriber.notified(state("active;expires=3000"), 11.0), "")
        self.assertEqual(subscriber.deadline, 42.0)
        self.assertEqual(subscriber.notified(state("terminated;reason=timeout"), 12.0), ENDED)
        self.assertEqual(subscriber.end, SubscriptionEnd("timeout", "never"))

    def test_unsubscribe_without_an_answer(self) -> None:
        for status in (0, 481, 500):
            subscriber = self.reach(ACTIVE)
            subscriber.subscribed(0, 10.0)
            done = subscriber.refused(status, 11.0) if status else subscriber.poll(42.0)
            self.assertEqual(done, ENDED)
            assert subscriber.end is not None
            self.assertEqual(subscriber.end.retry, "never")

    def test_a_fetch(self) -> None:
        subscriber = Subscriber(TIMERS, 0, 0.0)
        subscriber.accepted(0, 0.1)
        self.assertEqual(subscriber.notified(state("terminated;reason=timeout"), 0.2), ENDED)
        self.assertEqual(subscriber.end, SubscriptionEnd("timeout", "never"))

    def test_a_fork(self) -> None:
        self.subscriber.notified(state("active;expires=50"), 1.0)
        other = Subscriber(TIMERS, 3600, 0.0).fork()
        self.assertEqual((other.state, other.deadline), (NOTIFY_WAIT, 32.0))
        other.notified(state("pending;expires=70"), 2.0)
        self.assertEqual((self.subscriber.state, other.state), (ACTIVE, PENDING))
        self.assertEqual((self.subscriber.deadline, other.deadline), (26.0, 37.0))

    def test_stop(self) -> None:
        subscriber = self.reach(ACTIVE)
        subscriber.stop()
        self.assertIsNone(subscriber.deadline)
        self.assertEqual(subscriber.refused(481, 1.0), "")
        subscriber.accepted(100, 1.0)
        self.assertIsNone(subscriber.deadline)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["accept", "active", "pending", "terminated", "refuse", "wait", "subscribe"]),
                st.integers(0, 4000),
            ),
            max_size=30,
        )
    )
    def test_any_order(self, events: list[tuple[str, int]]) -> None:
        """It ends once, and until then there is always something to wait for."""
        now, ends = 0.0, 0
        subscriber = self.subscriber = Subscriber(TIMERS, 3600, now)
        for event, number in events:
            done = ""
            if event == "accept":
                subscriber.accepted(number, now)
            elif event == "subscribe":
                if subscriber.state != TERMINATED:
                    subscriber.subscribed(number % 2 * 3600, now)
            elif event == "refuse":
                done = subscriber.refused((481, 500, 503, 489)[number % 4], now, number or None)
            elif event == "wait":
                now = max(now, subscriber.deadline or now)
                done = subscriber.poll(now)
            else:
                done = subscriber.notified(state(f"{event};expires={number}"), now)
            ends += done == ENDED
            over = subscriber.state == TERMINATED
            self.assertEqual((ends, subscriber.end is not None), (int(over), over))
            self.assertEqual(subscriber.deadline is None, over)


class RetryTests(SynchronousTestCase):
    def test_reasons(self) -> None:
        self.assertEqual(set(RETRY.values()), {"now", "later", "never"})
        self.assertIsNone(retry_delay(SubscriptionEnd("rejected", "never", 5), 0, 0.5))
        self.assertEqual(retry_delay(SubscriptionEnd("deactivated", "now"), 0, 0.5), 0.0)
        self.assertEqual(retry_delay(SubscriptionEnd("probation", "later", 20), 3, 0.5), 20.5)

    def test_ever_longer(self) -> None:
        for retry in ("now", "later"):
            end = SubscriptionEnd("x", retry)
            delays = [retry_delay(end, failures, 0.0) for failures in range(1, 20)]
            self.assertEqual(delays[:4], [30.0, 60.0, 120.0, 240.0])
            self.assertEqual(delays[-1], 1800.0)
        self.assertEqual(retry_delay(SubscriptionEnd("x", "later"), 0, 0.999), 30.0 * 0.9995)
        self.assertEqual(retry_delay(SubscriptionEnd("x", "later"), 10**9, 0.0), 1800.0)

    def test_grants(self) -> None:
        too_brief = Refusal(423, (("Min-Expires", "60"),))
        for asked, expected in (
            (None, 3600),
            (0, 0),
            (1, too_brief),
            (59, too_brief),
            (60, 60),
            (3600, 3600),
            (2**32 - 1, 86400),
        ):
            self.assertEqual(grant(asked, 3600, 60, 86400), expected)
        # Nobody is refused who asks for an hour (section 4.2.1.1).
        self.assertEqual(grant(3600, 7200, 7200, 86400), 3600)


class NotifierTests(SynchronousTestCase):
    def reach(self, wanted: str) -> Notifier:
        notifier = Notifier(100, 0.0, pending=wanted == PENDING)
        self.assertTrue(notifier.poll(0.0))
        notifier.answered(200, 0.0)
        self.assertEqual(notifier.state, wanted)
        self.assertFalse(notifier.poll(0.0))
        return notifier

    def test_each_row(self) -> None:
        for (at, event), (following, what) in Notifier.TRANSITIONS.items():
            notifier = self.reach(at)
            if event == "SUBSCRIBE":
                notifier.subscribed(100, 1.0)
            elif event == "state changed":
                notifier.changed(1.0)
            elif event == "authorised":
                notifier.authorise(1.0)
            elif event == "rejected":
                notifier.terminate("rejected", 1.0)
            elif event == "NOTIFY failed":
                notifier.changed(1.0)
                notifier.poll(1.0)
                self.assertTrue(notifier.answered(481, 1.0))
            now = 100.0 if event == "expired" else 1.0
            self.assertEqual(notifier.poll(now), bool(what), (at, event))
            self.assertEqual(notifier.state, following, (at, event))

    def test_the_first_notify_goes_at_once(self) -> None:
        notifier = Notifier(100, 5.0, min_interval=60.0)
        self.assertEqual(notifier.deadline, 5.0)
        self.assertTrue(notifier.poll(5.0))
        self.assertEqual(str(notifier.header(5.0)), "active;expires=100")
        self.assertFalse(notifier.poll(5.0), "it is under way")
        self.assertEqual(str(Notifier(100, 5.0, pending=True).header(25.9)), "pending;expires=79")

    def test_one_at_a_time(self) -> None:
        notifier = Notifier(100, 0.0)
        notifier.poll(0.0)
        notifier.changed(1.0)
        self.assertFalse(notifier.poll(1.0))
        self.assertEqual(notifier.deadline, 100.0)
        notifier.answered(200, 2.0)
        self.assertTrue(notifier.poll(2.0))
        notifier.answered(200, 3.0)
        self.assertFalse(notifier.poll(3.0))

    def test_the_rate(self) -> None:
        notifier = self.reach(ACTIVE)
        notifier.min_interval = 10.0
        notifier.changed(1.0)
        notifier.changed(2.0)
        self.assertEqual(notifier.deadline, 10.0)
        self.assertFalse(notifier.poll(9.9))
        self.assertTrue(notifier.poll(10.0))
        notifier.answered(200, 10.1)
        # What a SUBSCRIBE asks for, and the end, do not wait.
        notifier.subscribed(100, 11.0)
        self.assertTrue(notifier.poll(11.0))
        notifier.answered(200, 11.0)
        notifier.terminate("giveup", 12.0, 30)
        self.assertTrue(notifier.poll(12.0))
        self.assertEqual(str(notifier.header(12.0)), "terminated;reason=giveup;retry-after=30")

    def test_at_least_that_often(self) -> None:
        notifier = Notifier(100, 0.0, max_interval=30.0)
        times = []
        while notifier.deadline is not None:
            now = notifier.deadline
            if notifier.poll(now):
                times.append(now)
                notifier.answered(200, now)
        self.assertEqual(times, [0.0, 30.0, 60.0, 90.0, 100.0])

    def test_it_expires(self) -> None:
        notifier = self.reach(ACTIVE)
        self.assertEqual(notifier.deadline, 100.0)
        self.assertTrue(notifier.poll(100.0))
        self.assertEqual(str(notifier.header(100.0)), "terminated;reason=timeout")
        self.assertFalse(notifier.over)
        self.assertTrue(notifier.answered(200, 101.0))
        self.assertTrue(notifier.over)
        self.assertIsNone(notifier.deadline)

    def test_a_refresh(self) -> None:
        notifier = self.reach(ACTIVE)
        notifier.subscribed(100, 90.0)
        self.assertTrue(notifier.poll(90.0))
        self.assertEqual(notifier.deadline, 190.0)

    def test_unsubscribe_and_fetch(self) -> None:
        notifier = self.reach(ACTIVE)
        notifier.subscribed(0, 10.0)
        self.assertEqual(str(notifier.header(10.0)), "terminated;reason=timeout")
        self.assertTrue(notifier.poll(10.0))
        fetch = Notifier(0, 10.0)
        self.assertTrue(fetch.poll(10.0))
        self.assertEqual(str(fetch.header(10.0)), "terminated;reason=timeout")
        self.assertTrue(fetch.answered(200, 10.5))

    def test_the_end_while_a_notify_is_under_way(self) -> None:
        notifier = Notifier(100, 0.0)
        notifier.poll(0.0)
        notifier.terminate("noresource", 1.0)
        self.assertFalse(notifier.poll(1.0))
        self.assertFalse(notifier.answered(200, 2.0), "the last one is still to go")
        self.assertTrue(notifier.poll(2.0))
        self.assertTrue(notifier.answered(408, 34.0))

    def test_a_notify_that_fails(self) -> None:
        for status in (404, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604):
            notifier = Notifier(100, 0.0)
            notifier.poll(0.0)
            self.assertTrue(notifier.answered(status, 1.0), status)
            self.assertIsNone(notifier.deadline)

    def test_a_notify_that_fails_for_now(self) -> None:
        notifier = Notifier(100, 0.0)
        notifier.poll(0.0)
        self.assertFalse(notifier.answered(500, 1.0))
        self.assertFalse(notifier.poll(1.0))
        notifier.changed(2.0)
        self.assertTrue(notifier.poll(2.0))
        self.assertFalse(notifier.answered(503, 3.0, 20))
        self.assertEqual(notifier.deadline, 23.0)
        self.assertTrue(notifier.poll(23.0))

    def test_pending_tells_nothing(self) -> None:
        notifier = self.reach(PENDING)
        notifier.changed(1.0)
        self.assertFalse(notifier.poll(1.0))
        notifier.authorise(2.0)
        self.assertTrue(notifier.poll(2.0))
        self.assertEqual(str(notifier.header(2.0)), "active;expires=98")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.booleans(),
        st.lists(
            st.tuples(
                st.sampled_from(["subscribe", "change", "authorise", "end", "answer", "wait"]),
                st.integers(0, 50),
            ),
            max_size=40,
        ),
    )
    def test_any_order(self, pending: bool, events: list[tuple[str, int]]) -> None:
        """Never two under way, never too soon, and nothing after the last one."""
        now = 0.0
        notifier = Notifier(100, now, pending=pending, min_interval=5.0)
        under_way, last, urgent, lasts = False, -100.0, True, 0
        for event, number in events:
            if event == "subscribe":
                notifier.subscribed(number * 10, now)
                urgent = True
            elif event == "change":
                notifier.changed(now)
            elif event == "authorise":
                notifier.authorise(now)
                urgent = True
            elif event == "end":
                notifier.terminate("noresource", now)
                urgent = True
            elif event == "answer" and under_way:
                under_way = False
                notifier.answered((200, 500, 481)[number % 3], now)
            elif event == "wait":
                now += number
            if now >= 100.0:
                urgent = True
            if notifier.poll(now):
                self.assertFalse(under_way)
                self.assertTrue(urgent or now - last >= 5.0)
                self.assertEqual(lasts, 0)
                lasts += notifier.state == TERMINATED
                under_way, last, urgent = True, now, False
            if notifier.over:
                self.assertIsNone(notifier.deadline)
                self.assertFalse(notifier.poll(now + 1000))
