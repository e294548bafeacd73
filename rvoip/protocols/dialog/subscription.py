"""The two ends of a subscription as machines (RFC 6665): the subscriber's and the notifier's.

They know times and states, no messages: whoever runs them sends the SUBSCRIBE or NOTIFY that they ask for.
All times are seconds. docs/reference/dialogs.md is drawn from the tables.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from rvoip.protocols.dialog.outcomes import TRANSACTION, effect
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.subscription_headers import SubscriptionState

__all__ = [
    "ACTIVE",
    "ENDED",
    "NOTIFY_WAIT",
    "PENDING",
    "REFRESH",
    "RETRY",
    "TERMINATED",
    "Notifier",
    "Subscriber",
    "SubscriptionEnd",
    "grant",
    "retry_delay",
]

NOTIFY_WAIT: Final = "Notify wait"
PENDING: Final = "Pending"
ACTIVE: Final = "Active"
TERMINATED: Final = "Terminated"

REFRESH: Final = "refresh"
"""Send another SUBSCRIBE in the dialog."""
ENDED: Final = "ended"
"""It is over, and `end` says how."""

NOW: Final = "now"
LATER: Final = "later"
NEVER: Final = "never"

RETRY: dict[str, str] = {
    "deactivated": NOW,
    "probation": LATER,
    "rejected": NEVER,
    "timeout": NOW,
    "giveup": LATER,
    "noresource": NEVER,
    "invariant": NEVER,
}
"""Whether to subscribe again after a NOTIFY that ends the subscription for this reason, and when (RFC 6665
section 4.1.3). Another reason counts as "later"."""

FIRST_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 3600.0
ONE_HOUR: Final = 3600


@attrs.frozen
class SubscriptionEnd:
    """How a subscription of ours ended.

    `reason` is that of the last NOTIFY, else "expired", "no NOTIFY" or "refused"; `retry` says whether to
    subscribe again: "now", "later" or "never"; `retry_after` is what the notifier asked for, in seconds.
    """

    reason: str
    retry: str
    retry_after: int | None = None
    status: int = 0
    """The final response that refused it, 0 for none."""


def retry_delay(end: SubscriptionEnd, failures: int, random: float) -> float | None:
    """Seconds until a new subscription may be tried, None for never.

    `failures` counts the subscriptions in a row that never became active: a notifier that sends us away
    each time is left alone for ever longer. `random` is drawn from 0 up to but not including 1.
    """
    if end.retry == NEVER:
        return None
    if end.retry_after is not None:
        return end.retry_after + random
    if end.retry == NOW and failures == 0:
        return 0.0
    return min(FIRST_PAUSE * 2.0 ** min(failures, 10), LONGEST_PAUSE) * (0.5 + random / 2)


def grant(asked: int | None, default: int, least: int, most: int) -> int | Refusal:
    """The seconds that a notifier grants for an Expires of `asked`, or its 423 (section 4.2.1.1).

    0 is a subscription that ends at once. Nobody is refused who asks for an hour or more.
    """
    if asked is None:
        asked = default
    if 0 < asked < least and asked < ONE_HOUR:
        return Refusal(423, (("Min-Expires", str(least)),))
    return min(asked, most)


class Subscriber:
    """One subscription of ours in one dialog (section 4.1.2).

    It begins when the SUBSCRIBE goes out; a forked one that several notifiers answer has a `fork` for each
    further dialog.
    """

    __slots__ = ("_expire_at", "_initial", "_refresh_at", "_timers", "_wait_until", "end", "expires", "state")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        (NOTIFY_WAIT, "NOTIFY active"): (ACTIVE, ""),
        (NOTIFY_WAIT, "NOTIFY pending"): (PENDING, ""),
        (NOTIFY_WAIT, "NOTIFY terminated"): (TERMINATED, ENDED),
        (NOTIFY_WAIT, "refused"): (TERMINATED, ENDED),
        (NOTIFY_WAIT, "timer N"): (TERMINATED, ENDED),
        (PENDING, "NOTIFY active"): (ACTIVE, ""),
        (PENDING, "NOTIFY pending"): (PENDING, ""),
        (PENDING, "NOTIFY terminated"): (TERMINATED, ENDED),
        (PENDING, "refused"): (TERMINATED, ENDED),
        (PENDING, "before it expires"): (PENDING, REFRESH),
        (PENDING, "expired"): (TERMINATED, ENDED),
        (PENDING, "timer N"): (TERMINATED, ENDED),
        (ACTIVE, "NOTIFY active"): (ACTIVE, ""),
        (ACTIVE, "NOTIFY pending"): (PENDING, ""),
        (ACTIVE, "NOTIFY terminated"): (TERMINATED, ENDED),
        (ACTIVE, "refused"): (TERMINATED, ENDED),
        (ACTIVE, "before it expires"): (ACTIVE, REFRESH),
        (ACTIVE, "expired"): (TERMINATED, ENDED),
        (ACTIVE, "timer N"): (TERMINATED, ENDED),
    }

    def __init__(self, timers: Timers, expires: int, now: float) -> None:
        self.state = NOTIFY_WAIT
        self.expires = expires
        """Seconds that we asked for, or were granted last; 0 once we want it to end."""
        self.end: SubscriptionEnd | None = None
        self._timers = timers
        self._initial = True
        self._wait_until: float | None = now + timers.lifetime
        self._refresh_at: float | None = None
        self._expire_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; None for never."""
        times = [time for time in (self._wait_until, self._refresh_at, self._expire_at) if time is not None]
        return min(times, default=None)

    @property
    def waits_for_notify(self) -> bool:
        """Whether Timer N runs: a NOTIFY is due after a SUBSCRIBE of ours."""
        return self._wait_until is not None

    def fork(self) -> Subscriber:
        """The subscription of another notifier that got the same SUBSCRIBE, as long as Timer N runs."""
        made = Subscriber(self._timers, self.expires, 0.0)
        made._wait_until = self._wait_until
        return made

    def subscribed(self, expires: int, now: float) -> None:
        """Another SUBSCRIBE goes out, for `expires` seconds; 0 ends the subscription (section 4.1.2.3)."""
        self._wait_until = now + self._timers.lifetime
        self._refresh_at = None
        if expires == 0:
            self.expires = 0

    def accepted(self, expires: int | None, now: float, notify: bool = True) -> None:
        """A SUBSCRIBE got a 2xx with this Expires; without `notify` (204) no NOTIFY will follow."""
        if self.state == TERMINATED:
            return
        self._initial = False
        if not notify:
            self._wait_until = None
        if expires is not None and self.expires:
            self._lasts(expires, now)

    def refused(self, status: int, now: float, retry_after: int | None = None) -> str:
        """A SUBSCRIBE failed for good with this status, 408 for no answer: "ended" when that is the end.

        A refresh that fails otherwise leaves the subscription as long as it lasts, and is tried again half
        way to its end (section 4.1.2.2).
        """
        if self.state == TERMINATED:
            return ""
        if self._initial:
            retry = LATER if status in (408, 480, 486, 500, 503, 504) else NEVER
            return self._go("refused", SubscriptionEnd("refused", retry, retry_after, status))
        if effect("SUBSCRIBE", status) != TRANSACTION or self.expires == 0:
            retry = NEVER if self.expires == 0 or status in (405, 489, 501) else NOW
            return self._go("refused", SubscriptionEnd("refused", retry, retry_after, status))
        if self._expire_at is not None:
            self._wait_until = None
            pause = max((self._expire_at - now) / 2, retry_after or 0)
            self._refresh_at = now + pause if pause >= 1.0 else None
        return ""

    def notified(self, state: SubscriptionState, now: float) -> str:
        """A NOTIFY came with this Subscription-State: "ended" when it is the last one.

        Leniency: a state that nobody knows counts as pending.
        """
        if self.state == TERMINATED:
            return ""
        self._initial = False
        if self.expires:
            self._wait_until = None
        if state.state == "terminated":
            reason = state.reason or ""
            retry = NEVER if self.expires == 0 else RETRY.get(reason, LATER)
            after = state.retry_after if RETRY.get(reason, LATER) == LATER else None
            return self._go("NOTIFY terminated", SubscriptionEnd(reason, retry, after))
        if state.expires is not None and self.expires:
            self._lasts(state.expires, now)
        elif self._expire_at is None and self.expires:
            self._lasts(self.expires, now)
        event = "NOTIFY active" if state.state == "active" else "NOTIFY pending"
        self.state = self.TRANSITIONS[self.state, event][0]
        return ""

    def poll(self, now: float) -> str:
        """Call at `deadline`: "refresh" or "ended" or nothing."""
        if self._wait_until is not None and now >= self._wait_until:
            # Nobody waits for the last NOTIFY of what is not wanted any more.
            retry = NEVER if self.expires == 0 else LATER
            return self._go("timer N", SubscriptionEnd("no NOTIFY", retry))
        if self._expire_at is not None and now >= self._expire_at:
            return self._go("expired", SubscriptionEnd("expired", NOW if self.expires else NEVER))
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            return self.TRANSITIONS[self.state, "before it expires"][1]
        return ""

    def stop(self) -> None:
        """It is over for another reason, such as the end of its dialog."""
        self.state = TERMINATED
        self._wait_until = self._refresh_at = self._expire_at = None

    def _lasts(self, seconds: int, now: float) -> None:
        self.expires = max(seconds, 1)
        if self.state == NOTIFY_WAIT and self._wait_until is not None:
            # There is nothing to refresh before the first NOTIFY, and Timer N ends what has none.
            self._expire_at = None
            return
        self._expire_at = now + self.expires
        # Time for a SUBSCRIBE that is lost, a challenge, and a second attempt.
        self._refresh_at = self._expire_at - max(min(60.0, self.expires / 2), self.expires / 10)

    def _go(self, event: str, end: SubscriptionEnd) -> str:
        state, what = self.TRANSITIONS.get((self.state, event), (TERMINATED, ENDED))
        self.stop()
        self.state, self.end = state, end
        return what


class Notifier:
    """One subscription at its notifier (section 4.2), from the 2xx to its SUBSCRIBE on.

    One NOTIFY is under way at a time, so that none overtakes another; what changes meanwhile goes into the
    next one. `min_interval` seconds pass between two of them, but the answer to a SUBSCRIBE and the last one
    wait for nothing; at least every `max_interval` one is sent (RFC 6446).
    """

    __slots__ = (
        "_dirty",
        "_expire_at",
        "_last_sent",
        "_under_way",
        "_urgent_since",
        "max_interval",
        "min_interval",
        "over",
        "reason",
        "retry_after",
        "state",
    )

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        (PENDING, "SUBSCRIBE"): (PENDING, "NOTIFY at once"),
        (PENDING, "state changed"): (PENDING, ""),
        (PENDING, "authorised"): (ACTIVE, "NOTIFY at once"),
        (PENDING, "rejected"): (TERMINATED, "NOTIFY at once"),
        (PENDING, "expired"): (TERMINATED, "NOTIFY at once"),
        (PENDING, "NOTIFY failed"): (TERMINATED, ""),
        (ACTIVE, "SUBSCRIBE"): (ACTIVE, "NOTIFY at once"),
        (ACTIVE, "state changed"): (ACTIVE, "NOTIFY when the rate permits"),
        (ACTIVE, "rejected"): (TERMINATED, "NOTIFY at once"),
        (ACTIVE, "expired"): (TERMINATED, "NOTIFY at once"),
        (ACTIVE, "NOTIFY failed"): (TERMINATED, ""),
    }
    """"rejected" is every end of ours: the `reason` of `terminate` says which."""

    def __init__(
        self,
        expires: int,
        now: float,
        *,
        pending: bool = False,
        min_interval: float = 0.0,
        max_interval: float | None = None,
    ) -> None:
        self.state = PENDING if pending else ACTIVE
        self.min_interval = min_interval
        self.max_interval = max_interval
        self.reason: str | None = None
        """Why it is terminated: a reason of section 4.1.3."""
        self.retry_after: int | None = None
        self.over = False
        """Whether nothing is left to do: it is terminated, and its last NOTIFY was answered or is not due."""
        self._expire_at = now
        self._last_sent = float("-inf")
        self._under_way = False
        self._dirty = False
        self._urgent_since: float | None = None
        self.subscribed(expires, now)

    @property
    def deadline(self) -> float | None:
        """When `poll` wants to be called; None for never."""
        if self.over:
            return None
        times = [] if self.state == TERMINATED else [self._expire_at]
        due = self._due()
        if due is not None:
            times.append(due)
        return min(times, default=None)

    def expires_in(self, now: float) -> int:
        """Whole seconds that are left."""
        return max(0, int(self._expire_at - now))

    def subscribed(self, expires: int, now: float) -> None:
        """A SUBSCRIBE is accepted for so many seconds; 0 ends the subscription. A NOTIFY follows at once."""
        if self.state == TERMINATED:
            return
        self._expire_at = now + expires
        self._go("SUBSCRIBE", now)
        if expires == 0:
            self._terminate("expired", "timeout", None, now)

    def changed(self, now: float) -> None:
        """The state has changed that the subscription is about."""
        self._go("state changed", now)

    def authorise(self, now: float) -> None:
        """The watcher may know the state after all."""
        self._go("authorised", now)

    def terminate(self, reason: str, now: float, retry_after: int | None = None) -> None:
        """End it for a reason of section 4.1.3: rejected, deactivated, probation, giveup, noresource ..."""
        if self.state != TERMINATED:
            self._terminate("rejected", reason, retry_after, now)

    def poll(self, now: float) -> bool:
        """Call at `deadline`, and after every input: whether to send a NOTIFY with `header` now.

        True counts as sent: tell `answered` what came of it.
        """
        if self.state != TERMINATED and now >= self._expire_at:
            self._terminate("expired", "timeout", None, now)
        due = self._due()
        if due is None or now < due:
            return False
        self._under_way = True
        self._dirty, self._urgent_since = False, None
        self._last_sent = now
        return True

    def header(self, now: float) -> SubscriptionState:
        """The Subscription-State of a NOTIFY that goes out now."""
        if self.state == TERMINATED:
            return SubscriptionState("terminated", self.reason, None, self.retry_after)
        return SubscriptionState(self.state.lower(), None, self.expires_in(now))

    def answered(self, status: int, now: float, retry_after: int | None = None) -> bool:
        """The NOTIFY got this final response, 408 for none; True when the subscription is over by it.

        What ends its usage removes it without another word (section 4.2.2, RFC 5057); another failure
        leaves it, and where the peer names a time, the NOTIFY is sent again then.
        """
        self._under_way = False
        if self.state == TERMINATED:
            self.over = self._urgent_since is None
            return self.over
        if status >= 300 and effect("NOTIFY", status) != TRANSACTION:
            self._go("NOTIFY failed", now)
            self.over = True
            return True
        if status >= 300 and retry_after is not None:
            self._dirty = True
            self._last_sent = now + retry_after - self.min_interval
        return False

    def stop(self) -> None:
        """Forget it without a NOTIFY."""
        self.state = TERMINATED
        self.over = True

    def _due(self) -> float | None:
        if self._under_way or self.over:
            return None
        if self._urgent_since is not None:
            return self._urgent_since
        if self.state == TERMINATED:
            return None
        times = []
        if self._dirty:
            times.append(self._last_sent + self.min_interval)
        if self.max_interval is not None:
            times.append(self._last_sent + self.max_interval)
        return min(times, default=None)

    def _terminate(self, event: str, reason: str, retry_after: int | None, now: float) -> None:
        self.reason, self.retry_after = reason, retry_after
        self._go(event, now)

    def _go(self, event: str, now: float) -> None:
        self.state, what = self.TRANSITIONS.get((self.state, event), (self.state, ""))
        if what == "NOTIFY at once":
            self._urgent_since = now
        elif what:
            self._dirty = True
