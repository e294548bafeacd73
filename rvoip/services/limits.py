"""The limits of users' calls while a role runs; what counts by the day is kept in the users store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.errors import StartError
from rvoip.common.events import EventBus
from rvoip.common.log import LogLimiter
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI, TelURI
from rvoip.proxy.calls import Call, address_of
from rvoip.proxy.interfaces import ICallLimits
from rvoip.proxy.limits import CallLimits, Hold, Limited, OverLimit, Spent, UserLimits
from rvoip.proxy.route_context import RouteContext
from rvoip.proxy.targets import Refused, Targets
from rvoip.services.accounts import AccountsService
from rvoip.services.limits_table import LimitRules
from rvoip.users.errors import StoreError
from rvoip.users.limits import AccountLimits, DayTotals

__all__ = ["LimitsService", "local_day"]

_EVERY: Final = 1.0
"""Seconds between two looks at what the store says, and until it has what was counted."""

_log = Logger()


def local_day(wall: float) -> tuple[str, float]:
    """The day of this wall time in the server's time zone, as "2026-11-24", and the seconds left of it."""
    now = datetime.fromtimestamp(wall).astimezone()
    end = datetime.combine(now.date() + timedelta(days=1), datetime.min.time()).astimezone()
    return now.date().isoformat(), max(0.0, (end - now).total_seconds())


@implementer(ICallLimits)
class LimitsService(Service):
    """Asks the limits of users about their calls, and tells of refusals.

    `is_gateway` tells of a contact whether it is a gateway of ours: whoever registers one calls out.
    """

    name = "limits"

    def __init__(
        self,
        reactor: Any,
        accounts: AccountsService,
        rules: LimitRules,
        events: EventBus,
        wall: Callable[[], float],
        is_gateway: Callable[[SipURI], bool] = lambda uri: False,
        day_of: Callable[[float], tuple[str, float]] = local_day,
    ) -> None:
        self._reactor = reactor
        self._accounts = accounts
        self._events = events
        self._wall = wall
        self._is_gateway = is_gateway
        self._day_of = day_of
        self.rules = rules
        self.special: dict[str, AccountLimits] = {}
        self.limits = CallLimits(self.of, rules.classes)
        self._up: dict[str, list[Hold]] = {}
        self._lines = LogLimiter(reactor.seconds)
        self._writing: Deferred[None] | None = None
        self._probe: Callable[[], bool] = lambda: True
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    @property
    def wanted(self) -> bool:
        """Whether anybody is limited at all."""
        return self.rules.says_anything or bool(self.special)

    def of(self, aor: str) -> UserLimits:
        """The limits of a user."""
        return self.rules.of(aor, self.special.get(aor))

    def use(self, rules: LimitRules) -> None:
        """Go by these from now on; what was counted stays."""
        self.rules = rules
        self.limits.classes = rules.classes

    def changed(self, aor: str, special: AccountLimits) -> None:
        """The store has this of an account now."""
        self.special = {name: one for name, one in self.special.items() if name != aor}
        if not special.is_empty:
            self.special[aor] = special

    def spent(self, aor: str) -> Spent:
        """What a user has used."""
        return self.limits.spent(aor, self._now())

    def _now(self) -> float:
        now: float = self._reactor.seconds()
        return now

    # ICallLimits

    def admit(self, request: Request, targets: Targets, context: RouteContext) -> None:
        """See `ICallLimits`. Who pays is whoever has shown credentials, or had the call sent on."""
        if targets.vouched or not self.wanted:
            return
        user = context.user or context.payer
        uris: Iterable[SipURI | TelURI]
        if targets.aor:
            # Users may register where they like, but not dial by it.
            uris = [one.uri for group in targets.groups for one in group if self._is_gateway(one.uri)]
            user = targets.aor
        elif targets.outs is not None:
            uris = targets.outs
        else:
            uri = request.uri
            uris = [uri] if isinstance(uri, SipURI | TelURI) else []
        if not (user and uris):
            return
        day, left = self._day_of(self._wall())
        self.limits.begin_day(day)
        try:
            hold = self.limits.admit(user, uris, self._now(), left)
        except OverLimit as over:
            self._tell(user, over, request, context)
            raise Refused(over.status, over.reason, over.headers, stateless=True) from None
        if hold is not None:
            context.holds.append(hold)

    def _tell(self, user: str, refused: OverLimit, request: Request, context: RouteContext) -> None:
        source = address_of(context.flow)
        suppressed = self._lines.allow((user, refused.what))
        if suppressed is not None:
            _log.warn(
                "a call of {user} to {uri} was refused: {why} ({number_class})",
                user=user,
                uri=request.uri_text,
                why=_WHY[refused.what].format(limit=refused.limit),
                number_class=refused.number_class,
                call_id=request.call_id,
                source=source,
                suppressed=suppressed,
            )
        if self._events.wants(Limited):
            self._events.publish(
                Limited(
                    user,
                    refused.what,
                    refused.number_class,
                    refused.limit,
                    request.call_id,
                    request.uri_text,
                    source,
                )
            )

    def settled(self, holds: list[Hold], call: Call | None) -> None:
        """See `ICallLimits`."""
        if call is None or not holds:
            self.released(holds)
            return
        now = self._now()
        for hold in holds:
            self.limits.answered(hold, now)
        self._up.setdefault(call.id, []).extend(holds)
        holds.clear()

    def released(self, holds: list[Hold]) -> None:
        """See `ICallLimits`."""
        now = self._now()
        for hold in holds:
            self.limits.ended(hold, now)
        holds.clear()

    def over(self, call: Call) -> None:
        """A call that was answered is over."""
        holds = self._up.pop(call.id, None)
        if holds is not None:
            self.released(holds)

    # What is kept.

    def privilegedStartService(self) -> None:
        """Read what the store says; `StartError` in one line when that fails."""
        super().privilegedStartService()
        self.limits.begin_day(self._day_of(self._wall())[0])
        table = self._accounts.limits
        if table is not None:
            try:
                self.special = table.all()
                self.limits.counted(self.limits.day, table.day(self.limits.day))
            except StoreError as error:
                raise StartError(str(error)) from None
            self._probe = self._accounts.make_probe()

    def startService(self) -> None:
        """Begin to keep what is counted."""
        super().startService()
        if self._accounts.limits is not None:
            self._loop.start(_EVERY, now=False)

    def stopService(self) -> Deferred[None]:
        """Keep what was counted; fires when that is done."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._accounts.limits is None:
            return succeed(None)
        waiting = self._writing if self._writing is not None else succeed(None)
        return waiting.addBoth(lambda _: self._keep())

    def _look(self) -> None:
        if self._writing is not None:
            return
        self._writing = self._keep()
        self._writing.addCallback(lambda _: self._read()).addErrback(self._failed).addBoth(self._looked)

    def _looked(self, result: object) -> None:
        self._writing = None

    def _keep(self) -> Deferred[None]:
        """Add what was counted to the store, and hear what others have counted."""
        limits = self.limits
        day, changes = limits.day, limits.changes()
        limits.begin_day(self._day_of(self._wall())[0])
        if not changes:
            return succeed(None)

        def kept(totals: DayTotals) -> None:
            limits.counted(day, totals)

        def failed(failure: Failure) -> None:
            limits.put_back(day, changes)
            self._failed(failure)

        return self._accounts.opened.add_day(day, changes).addCallbacks(kept, failed)

    def _read(self) -> Deferred[None] | None:
        """What is special, when anybody has written."""
        if not self._probe():
            return None

        def read(special: dict[str, AccountLimits]) -> None:
            self.special = special

        return self._accounts.opened.all_limits().addCallback(read)

    def _failed(self, failure: Failure) -> None:
        failure.trap(StoreError)
        suppressed = self._lines.allow("store")
        if suppressed is not None:
            _log.error(
                "Limits of calls: {reason}; counting goes on in memory",
                reason=failure.getErrorMessage(),
                suppressed=suppressed,
            )


_WHY: Final = {
    "class": "it may not call numbers of this class",
    "calls": "it has {limit} calls, as many as it may have at once",
    "minute": "it has begun {limit} calls in the last minute, as many as it may",
    "day": "it has begun {limit} calls today, as many as it may",
    "minutes": "it has talked {limit} minutes today, as long as it may",
}
