"""Publications of ours, sent and kept alive by a user agent (RFC 3903 section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog import hooks
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Authentication
from rvoip.protocols.dialog.publication import FAILED, Publication, Publish
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.uri import URI
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.agent import UserAgent

__all__ = ["ClientPublication"]


class ClientPublication:
    """State of ours for one event package, at the compositor that serves `uri`, our own address.

    Override the hooks. `expires` seconds are asked for.
    """

    def __init__(
        self,
        agent: UserAgent,
        uri: URI | str,
        event: str,
        *,
        from_: NameAddr | str | None = None,
        expires: int = 3600,
        headers: Iterable[tuple[str, str]] = (),
        routes: Iterable[NameAddr | str] = (),
        authentication: Authentication | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.agent = agent
        self.uri = uri
        self.event = event
        self.authentication = authentication or agent.authentication()
        self._from = f"<{uri}>" if from_ is None else from_
        self._headers = tuple(headers)
        self._routes = tuple(routes)
        self._flow = flow
        self._machine: Publication[Body] = Publication(expires)
        self._call_id = agent.layer.token()
        self._cseq = 0
        self._timer: Timer | None = None
        self._closed = False

    # Hooks.

    def published(self, etag: str | None) -> Any:
        """The compositor has what was published last."""

    def failed(self, status: int) -> Any:
        """The compositor refuses it for good; `publish` tries once more."""

    # What the application does.

    @property
    def state(self) -> str:
        """ "Unpublished", "Publishing", "Published", "Refreshing", "Modifying", "Removing" or "Failed"."""
        return self._machine.state

    def publish(self, body: Body) -> None:
        """This is our state from now on."""
        self._closed = False
        self._do(self._machine.publish(body))

    def remove(self) -> None:
        """Withdraw it."""
        self._do(self._machine.remove())

    def close(self) -> None:
        """Forget it without a word: the compositor does when it expires."""
        self._closed = True
        self._disarm()

    # Sending.

    def _do(self, publish: Publish[Body] | None) -> None:
        if publish is None:
            self._arm()
            return
        self._disarm()
        self._cseq += 1
        headers = [("Event", self.event), ("Expires", str(publish.expires)), *self._headers]
        if publish.etag is not None:
            headers.append(("SIP-If-Match", publish.etag))
        request = self.agent.make_request(
            "PUBLISH",
            self.uri,
            from_=self._from,
            body=publish.body,
            headers=headers,
            routes=self._routes,
            call_id=self._call_id,
            cseq=self._cseq,
        )
        # A challenge that is answered takes the number after this one.
        self._cseq += 1
        waiting = self.agent.send_for_response(request, authentication=self.authentication, flow=self._flow)
        waiting.addCallbacks(self._answered, self._unanswered)

    def _answered(self, response: Response) -> None:
        if self._closed:
            return
        if response.status < 300:
            etag = _value(response, "sip-etag")
            following = self._machine.accepted(
                response.status, etag, response.expires, self.agent.layer.now()
            )
            if following is None:
                hooks.call(self.published, etag)
            self._do(following)
            return
        retry = _value(response, "retry-after")
        self._refused(
            response.status, _value(response, "min-expires"), None if retry is None else retry.seconds
        )

    def _unanswered(self, failure: Failure) -> None:
        if not self._closed:
            self._refused(408, None, None)

    def _refused(self, status: int, min_expires: int | None, retry_after: int | None) -> None:
        agent = self.agent
        following = self._machine.refused(
            status,
            agent.layer.now(),
            agent.random(),
            min_expires=min_expires,
            retry_after=retry_after,
        )
        if self._machine.state == FAILED:
            hooks.call(self.failed, status)
        self._do(following)

    def _arm(self) -> None:
        self._disarm()
        deadline = self._machine.deadline
        if deadline is not None and not self._closed:
            layer = self.agent.layer
            self._timer = layer.wheel.schedule(
                max(0.0, deadline - layer.now()), ClientPublication._tick, self
            )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._do(self._machine.poll(self.agent.layer.now()))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.event} {self.uri} {self.state}>"


def _value(response: Response, name: str) -> Any:
    """A header of a response; None for none or one that cannot be read."""
    try:
        return response.typed(name)
    except SIPParseError:
        return None
