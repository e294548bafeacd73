"""Subscriptions to state of ours: SUBSCRIBE in, NOTIFY out (RFC 6665 section 4.2)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.ending import Ending
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.event_package import takes_type
from rvoip.protocols.dialog.interfaces import IDialogUsage
from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.subscription import TERMINATED, Notifier, grant
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.subscription_headers import Event

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent

__all__ = ["EventServer", "ServerSubscription", "crowded", "rates"]

_RETRY = (("Retry-After", "30"),)
_NO_STATE = 60
"""Seconds after which a watcher may ask again whose state could not be told."""
_SLOWEST = 86400.0
_IN_A_DIALOG = 16
"""Subscriptions of the peer that share a dialog, those of its REFERs too."""


@implementer(IDialogUsage)
class ServerSubscription:
    """One watcher's subscription: its dialog, and what is told in it.

    `package` is an `IEventPackage`; `user` and `version` are free for it. `done` is called once, at the end.
    """

    __slots__ = (
        "_authorised",
        "_done",
        "_machine",
        "_over",
        "_timer",
        "accept",
        "agent",
        "dialog",
        "ending",
        "event",
        "headers",
        "id",
        "package",
        "request",
        "resource",
        "user",
        "version",
        "watcher",
    )

    def __init__(
        self,
        agent: UserAgent,
        package: Any,
        request: Request,
        event: Event,
        resource: str,
        done: Callable[[ServerSubscription], object],
        accept: tuple[str, ...] = (),
    ) -> None:
        self.agent = agent
        self.package = package
        self.request: Request | None = request
        """The SUBSCRIBE, or the REFER, that made it, until it is accepted: what a package wants to know of it
        later it notes in `user`. There are many subscriptions, and each message is larger than one."""
        self.event = event
        self.resource = resource
        self.watcher = request.from_.uri_text
        """The URI that the watcher calls itself by, which its package may have reason to believe."""
        self.accept = accept
        """The media ranges that the watcher takes (`takes_type`); empty for those of the package."""
        self.id = agent.layer.token()
        """Names it among all subscriptions, in watcher information too (RFC 3857)."""
        self.headers: tuple[tuple[str, str], ...] = ()
        """What its package wants in the 200 and in each NOTIFY, such as Require: eventlist (RFC 4662)."""
        self.dialog: Any = None
        self.user: Any = None
        self.version = 0
        self.ending: Ending | None = None
        """How a response to a NOTIFY, or the end of the dialog, ended it; None for any other end."""
        self._machine: Notifier | None = None
        self._done = done
        self._timer: Timer | None = None
        self._authorised = False
        self._over = False

    @property
    def state(self) -> str:
        """ "Pending", "Active" or "Terminated"."""
        return TERMINATED if self._machine is None or self._over else self._machine.state

    @property
    def reason(self) -> str:
        """Why it is over, a reason of RFC 6665 section 4.1.3; "" while it is not, or where it never began."""
        if self.ending is not None:
            return "timeout" if self.ending.status == 408 else "noresource"
        return "" if self._machine is None else self._machine.reason or ""

    def expires_in(self) -> int:
        """Seconds that are left to it."""
        return 0 if self._machine is None else self._machine.expires_in(self.agent.layer.now())

    # What the package or the application does.

    def changed(self) -> None:
        """What it is about has changed: tell the watcher, as soon as the rate permits."""
        if self._machine is not None:
            self._machine.changed(self.agent.layer.now())
            self._run()

    def authorise(self) -> None:
        """The watcher may know after all."""
        if self._machine is not None and not self._over:
            self._authorised = True
            self._machine.authorise(self.agent.layer.now())
            hooks.call(self.package.renewed, self)
            self._run()

    def terminate(self, reason: str = "noresource", retry_after: int | None = None) -> None:
        """End it for one of the reasons of RFC 6665 section 4.1.3, with a last NOTIFY."""
        if self._machine is not None:
            if reason == "rejected":
                self._authorised = False
            self._machine.terminate(reason, self.agent.layer.now(), retry_after)
            self._run()

    def begin(self, dialog: Dialog, expires: int, authorised: bool) -> None:
        """It is accepted for so many seconds: live in the dialog. `start` follows once that is answered."""
        low, high = rates(self.event)
        self._authorised = authorised
        self._machine = Notifier(
            expires,
            self.agent.layer.now(),
            pending=not authorised,
            min_interval=max(self.package.min_interval, low),
            max_interval=None if high is None else max(self.package.min_interval, low, high),
        )
        self.dialog = dialog
        self.request = None
        self.agent.attach(dialog, self)

    def start(self) -> None:
        """Send the first NOTIFY."""
        if self.state != TERMINATED:
            hooks.call(self.package.renewed, self)
        self._run()

    def stop(self) -> None:
        """Forget it without a word."""
        if self._machine is not None:
            self._machine.stop()
        self._finish()

    # From the agent (`IDialogUsage`).

    def takes(self, request: Request) -> bool:
        """See `IDialogUsage`: a SUBSCRIBE for the same Event."""
        if request.method != "SUBSCRIBE":
            return False
        event = _event(request)
        return event is not None and (event.type, event.id) == (self.event.type, self.event.id)

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `IDialogUsage`: the watcher asks for more time, or for the end."""
        machine = self._machine
        request = transaction.request
        package = self.package
        granted = grant(request.expires, package.default_expires, package.min_expires, package.max_expires)
        if machine is None or machine.state == TERMINATED:
            raise Refused(481)
        if isinstance(granted, Refusal):
            raise Refused(granted.status, headers=granted.headers)
        self.dialog.refresh(request)
        headers = (("Expires", str(granted)), *self.headers)
        self.agent.respond(transaction, 200, dialog=self.dialog, headers=headers)
        machine.subscribed(granted, self.agent.layer.now())
        if machine.state != TERMINATED:
            hooks.call(self.package.renewed, self)
        self._run()
        return None

    def ack_received(self, request: Request) -> None:
        """See `IDialogUsage`: there is no ACK here."""

    def usage_ended(self, ending: Ending) -> None:
        """See `IDialogUsage`."""
        if self.ending is None:
            self.ending = ending
        self.stop()

    # NOTIFY.

    def _run(self) -> None:
        machine = self._machine
        if machine is None or self._over:
            return
        if machine.poll(self.agent.layer.now()):
            state = self.package.state if self._authorised else self.package.pending_state
            if machine.state == TERMINATED and not self._authorised:
                self._notify(None)
            else:
                hooks.call(state, self, done=self._notify, failed=self._no_state)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        machine = self._machine
        if machine is None or self._over or machine.deadline is None:
            return
        layer = self.agent.layer
        delay = max(0.0, machine.deadline - layer.now())
        self._timer = layer.wheel.schedule(delay, ServerSubscription._tick, self)

    def _tick(self) -> None:
        self._timer = None
        self._run()

    def _notify(self, body: Body | None) -> None:
        machine = self._machine
        if machine is None or self._over:
            return
        header = machine.header(self.agent.layer.now())
        headers = (("Event", str(self.event)), ("Subscription-State", str(header)), *self.headers)
        waiting = self.agent.request(self.dialog, "NOTIFY", usage=self, headers=headers, body=body)
        waiting.addCallbacks(self._answered, self._unanswered)

    def _no_state(self, refused: Refused) -> None:
        """The package failed, and that is logged: the watcher may try again later."""
        machine = self._machine
        if machine is not None:
            self._authorised = False
            machine.terminate("giveup", self.agent.layer.now(), _NO_STATE)
            self._heard(200, None)

    def _answered(self, response: Response) -> None:
        if response.status < 300 and self.dialog is not None:
            self.dialog.refresh(response)
        try:
            retry = response.typed("retry-after")
        except SIPParseError:
            retry = None
        self._heard(response.status, None if retry is None else retry.seconds)

    def _unanswered(self, failure: Failure) -> None:
        self._heard(408, None)

    def _heard(self, status: int, retry_after: int | None) -> None:
        machine = self._machine
        if machine is None or self._over:
            return
        if machine.answered(status, self.agent.layer.now(), retry_after):
            self._finish()
        else:
            self._run()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.dialog is not None:
            self.agent.detach(self.dialog, self)
        self._done(self)
        hooks.call(self.package.ended, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.event} {self.resource} {self.state}>"


class EventServer:
    """The notifier of a user agent: serves the event packages that it is given.

    `most` bounds the subscriptions; those above it are answered 503.
    """

    def __init__(self, agent: UserAgent, most: int = 100_000) -> None:
        self.agent = agent
        self.most = most
        self.packages: dict[str, Any] = {}
        self._subscriptions: dict[tuple[str, str], dict[ServerSubscription, None]] = {}
        self._count = 0
        agent.register_method("SUBSCRIBE", self._subscribe)

    def add(self, package: Any) -> None:
        """Serve a package (an `IEventPackage`)."""
        self.packages[package.name] = package

    @property
    def allow_events(self) -> str:
        """The Allow-Events value: the packages that are served."""
        return ", ".join(self.packages)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ServerSubscription]:
        for found in list(self._subscriptions.values()):
            yield from list(found)

    def watchers(self, package: str, resource: str) -> list[ServerSubscription]:
        """The subscriptions to a resource."""
        return list(self._subscriptions.get((package, resource), ()))

    def changed(self, package: str, resource: str) -> None:
        """The state of a resource has changed: tell all who may know."""
        for subscription in self.watchers(package, resource):
            subscription.changed()

    def close(self, reason: str = "deactivated") -> None:
        """End all of them, so that the watchers subscribe anew, elsewhere or later."""
        for subscription in self:
            subscription.terminate(reason)

    def _subscribe(self, transaction: ServerTransaction, dialog: Dialog | None) -> None:
        request = transaction.request
        event = _event(request)
        package = None if event is None else self.packages.get(event.type)
        if event is None or package is None:
            raise Refused(489, headers=(("Allow-Events", self.allow_events),))
        if self._count >= self.most or (dialog is None and self.agent.full):
            raise Refused(503, headers=_RETRY)
        if dialog is not None and crowded(dialog):
            raise Refused(503, headers=_RETRY)
        granted = grant(request.expires, package.default_expires, package.min_expires, package.max_expires)
        if isinstance(granted, Refusal):
            raise Refused(granted.status, headers=granted.headers)
        resource = package.resource(request)
        accept = tuple(request.values("accept"))
        subscription = ServerSubscription(self.agent, package, request, event, resource, self._ended, accept)
        if package.accept and not any(takes_type(accept, one) for one in package.accept):
            raise Refused(406, headers=(("Accept", ", ".join(package.accept)),))
        living = dialog or Dialog.uas(request, self.agent.layer.new_tag())
        self._put(subscription)

        def refused(why: Refused) -> None:
            self._ended(subscription)
            self.agent.refuse(transaction, why, dialog)
            hooks.call(package.ended, subscription)

        def authorised(result: Any) -> None:
            if transaction.answered:
                self._ended(subscription)
                hooks.call(package.ended, subscription)
                return
            subscription.begin(living, granted, bool(result))
            living.confirm()
            self.agent.respond(
                transaction,
                200,
                dialog=living,
                headers=(
                    ("Expires", str(granted)),
                    ("Allow-Events", self.allow_events),
                    *subscription.headers,
                ),
            )
            subscription.start()

        hooks.call(package.authorise, subscription, done=authorised, failed=refused)

    def _put(self, subscription: ServerSubscription) -> None:
        key = (subscription.package.name, subscription.resource)
        self._subscriptions.setdefault(key, {})[subscription] = None
        self._count += 1

    def _ended(self, subscription: ServerSubscription) -> None:
        key = (subscription.package.name, subscription.resource)
        found = self._subscriptions.get(key, {})
        if subscription in found:
            del found[subscription]
            self._count -= 1
            if not found:
                del self._subscriptions[key]


def crowded(dialog: Dialog) -> bool:
    """Whether a dialog has as many subscriptions of the peer as it may have."""
    return sum(isinstance(one, ServerSubscription) for one in dialog.usages) >= _IN_A_DIALOG


def _event(request: Request) -> Event | None:
    """The Event; None for none or one that cannot be read."""
    try:
        event: Event | None = request.typed("event")
    except SIPParseError:
        return None
    return event


_RATE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?\Z")


def rates(event: Event) -> tuple[float, float | None]:
    """The least and the longest seconds between NOTIFYs that an Event asks for with max-rate and min-rate,
    which count NOTIFYs a second (RFC 6446 section 4); what cannot be read, or is 0, asks for nothing.
    """
    shortest = _interval(event.params.get("max-rate"))
    longest = _interval(event.params.get("min-rate"))
    return shortest or 0.0, longest


def _interval(text: str | None) -> float | None:
    if text is None or not _RATE.match(text) or float(text) == 0.0:
        return None
    return min(1.0 / float(text), _SLOWEST)
