"""What is done to requests and responses on their way through: session timers, and a relay for their media.

It may take time. A request waits for it before it is sent anywhere; responses keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.dialog.session_timer_proxy import ProxyTimer, proxy_request, proxy_response
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.media_relay import MediaRelay
from rvoip.proxy.targets import Refused, Targets

if TYPE_CHECKING:
    from rvoip.protocols.dialog.server import ServerTransaction

__all__ = ["Passage", "Passing"]

_REFRESHING = frozenset(("INVITE", "UPDATE"))

_log = Logger(__name__)


class Passing:
    """`media` and `session_timer` may be None, and may be set at any time."""

    def __init__(self, media: MediaRelay | None = None, session_timer: TimerSettings | None = None) -> None:
        self.media = media
        self.session_timer = session_timer

    def enter(self, transaction: ServerTransaction, targets: Targets) -> Passage | None:
        """The passage of a request that is about to be forwarded; None where nothing is to be done.

        The request is edited. Raises `Refused` when its session timer is too short.
        """
        request = transaction.request
        timer: ProxyTimer | None = None
        settings = self.session_timer
        if settings is not None and request.method in _REFRESHING:
            outcome = proxy_request(request, settings)
            if isinstance(outcome, Refusal):
                raise Refused(outcome.status, headers=outcome.headers)
            timer = outcome
        media = self.media
        if media is not None and not media.wants(request, transaction.flow, _behind_nat(targets)):
            media = None
        return None if timer is None and media is None else Passage(transaction, media, timer)

    def ack(self, ack: Request, flow: Flow) -> Awaitable[None] | None:
        """Edit an ACK; an awaitable when that takes time."""
        media = self.media
        return media.ack(ack, flow) if media is not None and media.wants_ack(ack) else None

    def final(self, request: Request, status: int) -> None:
        """A request got its final response: the relay is told of calls that are over."""
        media = self.media
        if media is not None and media.ends(request, status):
            Deferred.fromCoroutine(media.end(request)).addErrback(_unforeseen, request)


def _behind_nat(targets: Targets) -> bool:
    return any(one.flow_token is not None for group in targets.groups for one in group)


def _unforeseen(failure: Failure, request: Request) -> None:
    _log.failure("The media of {call_id} could not be relayed", failure, call_id=request.call_id)


class Passage:
    """One request on its way, and its responses."""

    __slots__ = ("_made", "_media", "_queue", "_timer", "_transaction", "_working")

    def __init__(
        self, transaction: ServerTransaction, media: MediaRelay | None, timer: ProxyTimer | None
    ) -> None:
        self._transaction = transaction
        self._media = media
        self._timer = timer
        self._queue: deque[tuple[Response, Flow | None]] = deque()
        self._working = False
        # What was made of the bodies of responses, by To tag: many come several times.
        self._made: dict[tuple[str | None, bytes], bytes] = {}

    def prepare(self) -> Awaitable[None] | None:
        """Edit the request; an awaitable when that takes time, which fails with `Refused`."""
        media, transaction = self._media, self._transaction
        if media is None or not transaction.request.body:
            return None
        return media.request(transaction.request, transaction.flow)

    def respond(self, response: Response, flow: Flow | None) -> None:
        """Send a response upstream that came on `flow` (None: our own), edited, after those before it."""
        timer = self._timer
        if timer is not None and 200 <= response.status < 300:
            proxy_response(timer, response)
        if not self._working:
            if not self._is_for_relay(response):
                self._transaction.respond(response)
                return
            self._working = True
            self._queue.append((response, flow))
            Deferred.fromCoroutine(self._work()).addErrback(_unforeseen, self._transaction.request)
        else:
            self._queue.append((response, flow))

    def _is_for_relay(self, response: Response) -> bool:
        return self._media is not None and self._media.wants_response(self._transaction.request, response)

    async def _work(self) -> None:
        try:
            while self._queue:
                response, flow = self._queue.popleft()
                if flow is not None and self._is_for_relay(response):
                    await self._relay(response, flow)
                self._transaction.respond(response)
        finally:
            self._working = False

    async def _relay(self, response: Response, flow: Flow) -> None:
        key = response.to.tag, response.body
        known = self._made.get(key)
        if known is not None:
            response.set_body(known, response.get("content-type"))
            return
        media = self._media
        if media is not None:
            await media.response(self._transaction.request, response, flow)
            self._made[key] = response.body
