"""The event packages of presence, as the notifier of a user agent asks for them (`IEventPackage`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.errors import Refused
from rvoip.protocols.dialog.event_package import EventPackage
from rvoip.protocols.dialog.subscription import PENDING
from rvoip.protocols.dialog.subscription_server import ServerSubscription
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.registrar.presence import CONTENT_TYPES, Document, Presence
from rvoip.registrar.presence_policy import Decision
from rvoip.registrar.rate_limit import RateLimit
from rvoip.services.domains import Domains
from rvoip.services.presence_table import PresenceTable

__all__ = ["LIST", "DECIDED", "Asking", "Watch", "WatchedPackage", "Watches"]

DECIDED = frozenset(("presence", "dialog"))
"""The packages that the rules are about."""

LIST = (("Require", "eventlist"),)
_BURST = 100
_RETRY = (("Retry-After", "30"),)


@attrs.frozen
class Asking:
    """Who sent the request that is at hand: an AOR, "" for somebody unknown; `flow` is the only way back."""

    user: str
    flow: Flow | None = None


@attrs.define
class Watch:
    """What is noted of one subscription; `user` is who watches."""

    user: str
    flow: Flow | None
    counted: bool = False


class Watches:
    """How many subscriptions each watcher has, and how fast new ones may come."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._rate = RateLimit(0.0, _BURST)
        self._most = 0

    def use(self, table: PresenceTable) -> None:
        """Count by these limits from now on."""
        self._most = table.max_watched
        self._rate = RateLimit(table.subscribe_rate, _BURST)

    def begin(self, user: str, now: float) -> None:
        """One more, or `Refused`."""
        if self._of.get(user, 0) >= self._most:
            raise Refused(503, "Too Many Subscriptions", _RETRY)
        wait = self._rate.take(user, now)
        if wait:
            raise Refused(503, "Subscribed Too Often", (("Retry-After", str(int(wait) + 1)),))
        self._of[user] = self._of.get(user, 0) + 1

    def end(self, user: str) -> None:
        """One less."""
        left = self._of.get(user, 0) - 1
        if left > 0:
            self._of[user] = left
        else:
            self._of.pop(user, None)


class WatchedPackage(EventPackage):
    """One package of `Presence`. `asking` tells who sent the request that the notifier is given."""

    def __init__(
        self,
        name: str,
        presence: Presence,
        domains: Domains,
        watches: Watches,
        asking: Callable[[], Asking],
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self.accept = (CONTENT_TYPES[name],)
        self.told = 0
        self._presence = presence
        self._domains = domains
        self._watches = watches
        self._asking = asking
        self._now = now

    def use(self, table: PresenceTable) -> None:
        """Take the times of the configuration."""
        self.default_expires = table.default_expires
        self.min_expires = table.min_expires
        self.max_expires = table.max_expires
        self.min_interval = table.notify_interval

    def resource(self, request: Request) -> str:
        """The address-of-record."""
        uri = request.uri
        if not isinstance(uri, SipURI):
            raise Refused(416)
        return self._domains.aor(uri)

    def authorise(self, subscription: ServerSubscription) -> bool:
        """Whether the watcher may know now, by the rules; `Refused` where it never may, or has no room."""
        asking = self._asking()
        presence, resource = self._presence, subscription.resource
        decision = presence.decision(self.name, resource, asking.user)
        if decision is Decision.DENY:
            raise Refused(403)
        request = subscription.request
        if presence.lists.get(resource) is not None:
            supported = [] if request is None else [one.lower() for one in request.values("supported")]
            if "eventlist" not in supported:
                raise Refused(421, headers=LIST)
            subscription.headers = LIST
        if not presence.watchers.has_room(self.name, resource, subscription.id):
            raise Refused(503, "Too Many Watchers", _RETRY)
        self._watches.begin(asking.user, self._now())
        subscription.user = Watch(asking.user, asking.flow, True)
        return decision is not Decision.CONFIRM

    def state(self, subscription: ServerSubscription) -> Body | Deferred[Body | None] | None:
        """What this watcher may see now."""
        watch: Watch = subscription.user
        version = subscription.version
        subscription.version += 1
        self.told += 1
        found = self._presence.document(self.name, subscription.resource, watch.user, self._now(), version)
        return found.addCallback(_body) if isinstance(found, Deferred) else _body(found)

    def pending_state(self, subscription: ServerSubscription) -> Body | Deferred[Body | None] | None:
        """Somebody who is not there."""
        return self.state(subscription)

    def renewed(self, subscription: ServerSubscription) -> None:
        """Watcher information says so (RFC 3857), and a stream to the watcher stays open."""
        watch: Watch = subscription.user
        now, expires = self._now(), subscription.expires_in()
        flow = watch.flow
        if flow is not None:
            subscription.dialog.flow = flow
            flow.keep(now + expires)
        self._presence.watched(
            self.name,
            subscription.resource,
            subscription.id,
            f"sip:{watch.user}" if watch.user else subscription.watcher,
            pending=subscription.state == PENDING,
            expires=expires,
            now=now,
        )

    def ended(self, subscription: ServerSubscription) -> None:
        """Nobody is counted or shown any more."""
        watch: Any = subscription.user
        if watch is None or not watch.counted:
            return
        watch.counted = False
        self._watches.end(watch.user)
        reason = subscription.reason or "noresource"
        self._presence.unwatched(self.name, subscription.resource, subscription.id, reason, self._now())


def _body(document: Document | None) -> Body | None:
    return None if document is None else Body(document.body, document.content_type)
