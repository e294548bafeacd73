"""Keeps the way open to phones behind a NAT: something is sent to each of them before the NAT forgets it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.errors import FlowError
from rvoip.registrar.binding import Binding
from rvoip.registrar.errors import StoreError
from rvoip.services.location import LocationService
from rvoip.services.sip import SIPService

__all__ = ["MOST_A_SECOND", "NATPing"]

MOST_A_SECOND = 1000
"""Users looked at in a second at most: with more of them a round takes longer than its interval."""

_TICK = 0.1
_CRLF = b"\r\n\r\n"

_log = Logger()


class NATPing(Service):
    """Goes round all users, evenly over `interval` seconds, and pings their contacts behind NATs.

    A contact is behind one when it was registered with another address than its packets showed: its binding
    names a flow (`Binding.received`). `kind` is "crlf", four octets over UDP that nobody answers, "options",
    a request that the phone answers, over any transport, or "none".
    """

    def __init__(
        self, reactor: Any, sip: SIPService, location: LocationService, kind: str, interval: float
    ) -> None:
        self._reactor = reactor
        self._sip = sip
        self._location = location
        self._kind = kind
        self._interval = interval
        self._timer: Timer | None = None
        self._after = ""
        self._began = 0.0
        self._waiting = False
        self.sent = 0
        """Pings sent."""
        self.answered = 0
        """OPTIONS that were answered, with whatever."""

    def use(self, kind: str, interval: float) -> None:
        """Ping so from now on."""
        self._kind, self._interval = kind, interval
        if self.running:
            self._plan()

    def startService(self) -> None:
        """Begin a round."""
        super().startService()
        self._began = self._reactor.seconds()
        self._plan()

    def stopService(self) -> None:
        """Send no more."""
        super().stopService()
        self._plan()

    def _plan(self, wait: float = _TICK) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self.running and self._kind != "none" and not self._waiting:
            self._timer = self._sip.wheel.schedule(wait, NATPing._step, self)

    def _step(self) -> None:
        """Look at the next few users: as many as it takes to be round in time."""
        self._timer = None
        aors = max(1, self._location.counts().aors)
        limit = max(1, min(math.ceil(aors * _TICK / self._interval), int(MOST_A_SECOND * _TICK)))
        try:
            found = self._location.store.aors("", self._after, limit, self._reactor.seconds())
        except StoreError as error:
            self._failed(error)
            return
        if isinstance(found, Deferred):
            self._waiting = True
            found.addCallbacks(self._page, self._not_found, callbackArgs=(limit, aors))
            found.addErrback(self._broken)
        else:
            self._page(found, limit, aors)

    def _page(self, found: Sequence[str], limit: int, aors: int) -> None:
        self._waiting = False
        now = self._reactor.seconds()
        for aor in found:
            bindings = self._location.store.lookup(aor, now)
            if isinstance(bindings, Deferred):
                bindings.addCallbacks(self._ping_all, self._not_found)
                bindings.addErrback(self._broken)
            else:
                self._ping_all(bindings)
        if len(found) == limit:
            self._after = found[-1]
            self._plan(max(_TICK, self._interval * limit / aors))
            return
        # Round, maybe before the time.
        self._after = ""
        rest = self._began + self._interval - now
        self._began = max(now, self._began + self._interval)
        self._plan(max(_TICK, rest))

    def _not_found(self, failure: Any) -> None:
        failure.trap(StoreError)
        self._failed(failure.value)

    def _failed(self, error: StoreError) -> None:
        self._waiting = False
        _log.warn("Contacts behind NATs are not pinged: {reason}", reason=error.reason)
        self._plan(1.0)

    def _broken(self, failure: Any) -> None:
        self._waiting = False
        _log.failure("Contacts could not be pinged", failure)
        self._plan(1.0)

    def _ping_all(self, bindings: Sequence[Binding]) -> None:
        if not self.running:
            return
        for binding in bindings:
            # Behind a Path there is another proxy, which knows the way and keeps it open.
            if binding.received and not binding.path:
                self._ping(binding)

    def _ping(self, binding: Binding) -> None:
        flow = self._sip.transport.flow_by_token(binding.received)
        if flow is None:
            return  # of another process, or closed
        if self._kind == "crlf":
            if flow.transport != "UDP":
                return
            try:
                flow.send(_CRLF)
            except FlowError:
                return
            self.sent += 1
            return
        uri = binding.uri
        if not isinstance(uri, SipURI):
            return
        layer = self._sip.transactions
        own = f"sip:{flow.sent_by}"
        made = request(
            "OPTIONS",
            uri.for_request_line(),
            from_=f"<{own}>;tag={layer.new_tag()}",
            to=f"<{uri.for_request_line()}>",
            call_id=layer.token(),
            cseq=1,
            contact=f"<{own}>",
            max_forwards=1,
        )
        self.sent += 1
        layer.request(made, flow, _Ping(self._note_answer))

    def _note_answer(self) -> None:
        self.answered += 1


@implementer(IClientUser)
class _Ping:
    """One OPTIONS to a contact."""

    def __init__(self, answered: Callable[[], None]) -> None:
        self._answered = answered

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if response.status >= 200:
            self._answered()

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """The phone is gone; its binding expires when it is not refreshed."""
