"""Subscriptions of ours to the state of others: SUBSCRIBE out, NOTIFY in (RFC 6665 section 4.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Authentication
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import US, Ending
from rvoip.protocols.dialog.errors import Refused, WrongState
from rvoip.protocols.dialog.event_package import takes_type
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.dialog.outgoing import Outgoing
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.subscription import (
    ACTIVE,
    ENDED,
    NOTIFY_WAIT,
    REFRESH,
    TERMINATED,
    Subscriber,
    SubscriptionEnd,
    retry_delay,
)
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.subscription_headers import Event, SubscriptionState, parse_event
from rvoip.protocols.sip.uri import URI
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent

__all__ = ["ClientSubscription"]

_STEADY = 60.0
"""Seconds that a subscription is active before its end counts as the first failure again: else a notifier
that lets us in and sends us away could have us ask without a pause."""
_MOST_BRIEF = 3
"""How often a SUBSCRIBE is sent again after a 423."""


@implementer(IDialogUsage)
class ClientSubscription:
    """A subscription of ours: kept alive until `stop`, and made anew when it is lost.

    Override the hooks. `accept` are the media types that are taken; `expires` seconds are asked for, 0 to be
    told once. With `again` False a subscription that ends is not made anew.
    """

    def __init__(
        self,
        agent: UserAgent,
        uri: URI | str,
        event: Event | str,
        *,
        from_: NameAddr | str,
        to: NameAddr | str | None = None,
        accept: Iterable[str] = (),
        expires: int = 3600,
        headers: Iterable[tuple[str, str]] = (),
        routes: Iterable[NameAddr | str] = (),
        body: Body | None = None,
        authentication: Authentication | None = None,
        flow: Flow | None = None,
        again: bool = True,
    ) -> None:
        self.agent = agent
        self.uri = uri
        self.event = parse_event(event) if isinstance(event, str) else event
        self.accept = tuple(accept)
        self.expires = expires
        self.dialog: Any = None
        """The dialog, from the first NOTIFY on."""
        self.end: SubscriptionEnd | None = None
        """How it ended last."""
        self.authentication = authentication or agent.authentication()
        self._address = (from_, to, tuple(routes), body)
        self._headers = tuple(headers)
        self._flow = flow
        self._again = again
        self._failures = 0
        self._active_since: float | None = None
        self._brief = 0
        self._forks_until = 0.0
        self._stopped = False
        self._machine: Subscriber | None = None
        self._request: Request | None = None
        self._outgoing: Outgoing | None = None
        self._timer: Timer | None = None

    # Hooks.

    def notified(self, body: Body | None, state: SubscriptionState, request: Request) -> Any:
        """A NOTIFY; may be `async`, and raise `Refused`. `body` is None where it has none."""

    def ended(self, end: SubscriptionEnd, again_in: float | None) -> Any:
        """It is over; a new one is made in `again_in` seconds, or never (None)."""

    def forked(self, request: Request) -> ClientSubscription | None:
        """A second notifier answers the same SUBSCRIBE with this NOTIFY: return a new subscription, not
        started, that is to take it, or None to turn it down (481).
        """
        return None

    # What the application does.

    @property
    def state(self) -> str:
        """Its state by its name in RFC 6665; "Terminated" before it starts as well."""
        return TERMINATED if self._machine is None else self._machine.state

    def start(self) -> None:
        """Subscribe."""
        if self._machine is not None and self._machine.state != TERMINATED:
            raise WrongState("the subscription is under way")
        agent = self.agent
        from_, to, routes, body = self._address
        self._stopped = False
        self.dialog = None
        now = agent.layer.now()
        self._machine = Subscriber(agent.layer.timers, self.expires, now)
        # Timer N of the first SUBSCRIBE (RFC 6665 section 4.1.2.4).
        self._forks_until = now + agent.layer.timers.lifetime
        self._request = agent.make_request(
            "SUBSCRIBE",
            self.uri,
            from_=from_,
            to=to,
            headers=self._subscribe_headers(self.expires),
            routes=routes,
            body=body,
        )
        self._send()

    def refresh(self) -> None:
        """Send a SUBSCRIBE now: every notifier answers it with its full state."""
        if self.dialog is not None and self.state not in (TERMINATED, NOTIFY_WAIT):
            self._subscribe(self.expires)

    def stop(self) -> None:
        """Unsubscribe. `ended` tells when that is done; harmless when it is over."""
        if self._stopped:
            return
        self._stopped = True
        if self._machine is None or self._machine.state == TERMINATED:
            self._disarm()
        elif self.dialog is not None:
            self._subscribe(0)
        # Else the first NOTIFY tells where to unsubscribe.

    # Sending.

    def _subscribe_headers(self, expires: int) -> tuple[tuple[str, str], ...]:
        headers = [("Event", str(self.event)), ("Expires", str(expires)), ("Supported", self.agent.supported)]
        if self.accept:
            headers.append(("Accept", ", ".join(self.accept)))
        return (*headers, *self._headers)

    def _send(self) -> None:
        request = self._request
        assert request is not None
        self.agent.expect(request.call_id, request.from_.tag or "", self._first_notify)
        self._outgoing = None
        self._outgoing = self.agent.send(
            request,
            self._responded,
            self._unanswered,
            authentication=self.authentication,
            flow=self._flow,
        )
        self._arm()

    def _responded(self, outgoing: Outgoing, response: Response) -> None:
        machine = self._machine
        if outgoing is not self._outgoing or machine is None or response.status < 200:
            return
        if machine.state == TERMINATED:
            return
        now = self.agent.layer.now()
        if response.status < 300:
            self._brief = 0
            machine.accepted(response.expires, now, response.status != 204)
            self._arm()
        elif not self._ask_for_longer(response):
            self._act(machine.refused(response.status, now, _retry_after(response)))
        else:
            request = self._request
            assert request is not None
            request.set("cseq", f"{outgoing.request.cseq.number + 1} SUBSCRIBE")
            request.set("expires", str(self.expires))
            self._send()

    def _unanswered(self, outgoing: Outgoing, reason: str) -> None:
        if self._outgoing in (None, outgoing) and self._machine is not None:
            status = 408 if reason == "timeout" else 503
            self._act(self._machine.refused(status, self.agent.layer.now()))

    def _ask_for_longer(self, response: Response) -> bool:
        """Whether a 423 is answered with a longer Expires (RFC 6665 section 4.1.2.1)."""
        try:
            least: int | None = response.typed("min-expires")
        except SIPParseError:
            return False
        if response.status != 423 or least is None or least <= self.expires or self._brief >= _MOST_BRIEF:
            return False
        self._brief += 1
        self.expires = least
        return True

    def _subscribe(self, expires: int) -> None:
        """Another SUBSCRIBE in the dialog."""
        machine = self._machine
        assert machine is not None
        machine.subscribed(expires, self.agent.layer.now())
        waiting = self.agent.request(
            self.dialog, "SUBSCRIBE", usage=self, headers=self._subscribe_headers(expires)
        )
        waiting.addCallbacks(
            self._refreshed, self._not_refreshed, callbackArgs=(machine,), errbackArgs=(machine,)
        )
        self._arm()

    def _refreshed(self, response: Response, machine: Subscriber) -> None:
        if machine is not self._machine or machine.state == TERMINATED:
            return
        now = self.agent.layer.now()
        if response.status < 300:
            self._brief = 0
            self.dialog.refresh(response)
            machine.accepted(response.expires, now, response.status != 204)
            self._arm()
        elif not self._stopped and self._ask_for_longer(response):
            self._subscribe(self.expires)
        else:
            self._act(machine.refused(response.status, now, _retry_after(response)))

    def _not_refreshed(self, failure: Failure, machine: Subscriber) -> None:
        if machine is self._machine:
            self._act(machine.refused(503, self.agent.layer.now()))

    # NOTIFY.

    def _first_notify(self, transaction: ServerTransaction, _: Dialog | None) -> Awaitable[object] | None:
        """A NOTIFY that makes a dialog (RFC 6665 section 4.4.1)."""
        request = transaction.request
        subscribe = self._outgoing.request if self._outgoing is not None else self._request
        machine = self._machine
        if request.method != "NOTIFY" or machine is None or subscribe is None:
            raise Refused(481)
        if not self._matches(request):
            raise Refused(489)
        _state(request)
        usage = self
        if self.dialog is not None:
            # Whoever answers late, or after we have gone, is told so.
            late = self._stopped or self.agent.layer.now() > self._forks_until
            other = None if late else self.forked(request)
            if other is None:
                raise Refused(481)
            other._machine = machine.fork()
            usage = other
        elif machine.state == TERMINATED:
            raise Refused(481)
        dialog = Dialog.from_notify(subscribe, request)
        dialog.receive(request)
        dialog.confirm()
        dialog.authentication = self.authentication
        dialog.flow = self._flow
        flow = None if self._outgoing is None else self._outgoing.flow
        if flow is not None and not dialog.route_set and flow.reliable:
            dialog.flow = flow
        usage.dialog = dialog
        self.agent.request_seen(request, dialog)
        self.agent.attach(dialog, usage)
        usage.request_received(transaction)
        if usage._stopped and usage.state != TERMINATED and usage.dialog is not None:
            usage._subscribe(0)
        return None

    def takes(self, request: Request) -> bool:
        """See `IDialogUsage`."""
        return request.method == "NOTIFY" and self._matches(request)

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `IDialogUsage`."""
        request = transaction.request
        machine = self._machine
        state = _state(request)
        if machine is None or machine.state == TERMINATED:
            raise Refused(481)
        if request.body and not takes_type(self.accept, request.content_type or ""):
            raise Refused(415, headers=(("Accept", ", ".join(self.accept)),))
        dialog = self.dialog
        dialog.refresh(request)
        what = machine.notified(state, self.agent.layer.now())
        if machine.state == ACTIVE and self._active_since is None:
            self._active_since = self.agent.layer.now()
        hooks.call(
            self.notified,
            Body.of(request),
            state,
            request,
            done=lambda result: self.agent.give(transaction, result, dialog),
            failed=lambda refused: self.agent.refuse(transaction, refused, dialog),
        )
        self._act(what)
        return None

    def ack_received(self, request: Request) -> None:
        """See `IDialogUsage`: there is no ACK here."""

    def usage_ended(self, ending: Ending) -> None:
        """See `IDialogUsage`."""
        machine = self._machine
        if machine is None or machine.state == TERMINATED:
            return
        if ending.by == US:
            self._stopped = True
        what = machine.refused(ending.status, self.agent.layer.now())
        if what != ENDED:
            machine.stop()
            self.end = SubscriptionEnd(ending.text, "later", status=ending.status)
            self._finish(self.end)
        else:
            self._act(what)

    def _matches(self, request: Request) -> bool:
        try:
            event: Event | None = request.typed("event")
        except SIPParseError:
            return False
        return event is not None and (event.type, event.id) == (self.event.type, self.event.id)

    # Time.

    def _arm(self) -> None:
        machine = self._machine
        if machine is None or machine.state == TERMINATED:
            return
        self._disarm()
        deadline = machine.deadline
        if deadline is not None:
            layer = self.agent.layer
            delay = max(0.0, deadline - layer.now())
            self._timer = layer.wheel.schedule(delay, ClientSubscription._tick, self)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        if self._machine is not None:
            self._act(self._machine.poll(self.agent.layer.now()))

    def _act(self, what: str) -> None:
        machine = self._machine
        if what == REFRESH and not self._stopped:
            self._subscribe(self.expires)
        elif what == ENDED and machine is not None and machine.end is not None:
            self._finish(machine.end)
        else:
            self._arm()

    def _finish(self, end: SubscriptionEnd) -> None:
        self._disarm()
        self.end = end
        request, self._outgoing = self._request, None
        if request is not None:
            self.agent.unexpect(request.call_id, request.from_.tag or "")
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            self.agent.detach(dialog, self)
        since, self._active_since = self._active_since, None
        if since is not None and self.agent.layer.now() - since >= _STEADY:
            self._failures = 0
        again_in = None
        if self._again and not self._stopped:
            again_in = retry_delay(end, self._failures, self.agent.random())
            self._failures += 1
        if again_in is not None:
            layer = self.agent.layer
            self._timer = layer.wheel.schedule(again_in, ClientSubscription._restart, self)
        hooks.call(self.ended, end, again_in)

    def _restart(self) -> None:
        self._timer = None
        self.start()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.event} {self.uri} {self.state}>"


def _state(request: Request) -> SubscriptionState:
    """The Subscription-State of a NOTIFY, which must have one (RFC 6665 section 4.1.3)."""
    state: SubscriptionState | None = request.typed("subscription-state")
    if state is None:
        raise Refused(400, "Missing Subscription-State")
    return state


def _retry_after(response: Response) -> int | None:
    try:
        value = response.typed("retry-after")
    except SIPParseError:
        return None
    return None if value is None else int(value.seconds)
