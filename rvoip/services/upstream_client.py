"""Asks the registrar behind: sends a REGISTER to where its URI leads, and waits for the answer."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from zope.interface import implementer

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.protocols.transport.errors import TransportError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.services.sip import SIPService
from rvoip.services.upstream_table import UpstreamTable

__all__ = ["NoAnswer", "UpstreamClient", "make_client"]

_TRIES = 3
"""Targets that are tried for one request."""


class NoAnswer(Exception):
    """It could not be asked, or does not answer; `status` is for the phone, `reason` for the log."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


@implementer(IClientUser)
class _Asking:
    """Waits for the final response of one transaction."""

    def __init__(self) -> None:
        self.done: Deferred[Response] = Deferred()

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if response.status >= 200 and not self.done.called:
            self.done.callback(response)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        if not self.done.called:
            self.done.errback(NoAnswer(504 if reason == "timeout" else 503, reason))


class UpstreamClient:
    """Sends to the registrar at `uri`; `timeout` is seconds for one request."""

    def __init__(
        self, reactor: Any, layer: Any, transport: Any, locator: Any, uri: SipURI, timeout: float
    ) -> None:
        self._reactor = reactor
        self._layer = layer
        self._transport = transport
        self._locator = locator
        self.uri = uri
        self.timeout = timeout

    async def flows(self) -> list[Flow]:
        """The ways there, the best first; `NoAnswer` when there is none."""
        try:
            targets: list[Target] | None = self._locator.locate_now(self.uri)
            if targets is None:
                targets = await self._locator.locate(self.uri)
        except TransportError as error:
            raise NoAnswer(503, error.reason) from None
        if not targets:
            raise NoAnswer(503, "its address is not known")
        return [self._transport.flow_to(target) for target in targets[:_TRIES]]

    async def ask(self, request: Request, flow: Flow) -> Response:
        """The final response to a request; a Via of ours is put on it."""
        asking = _Asking()
        self._layer.request(request, flow, asking)
        asking.done.addTimeout(self.timeout, self._reactor)
        target = Target(flow.transport, flow.remote[0], flow.remote[1])
        try:
            response = await asking.done
        except TimeoutError:
            self._locator.failed(target)
            raise NoAnswer(504, f"no answer within {self.timeout:g} s") from None
        except NoAnswer:
            self._locator.failed(target)
            raise
        self._locator.succeeded(target)
        return response


def make_client(reactor: Any, sip: SIPService, table: UpstreamTable) -> UpstreamClient:
    """For what the configuration names, by way of a role's transport."""
    uri = parse_uri(table.uri)
    assert isinstance(uri, SipURI)
    return UpstreamClient(reactor, sip.transactions, sip.transport, sip.locator, uri, table.timeout)
