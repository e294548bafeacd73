"""Who takes a request: the registrar, the proxy, or this element itself (`ITransactionUser`)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from zope.interface import classImplements

from rvoip import __version__
from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.check import KNOWN_METHODS
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.services.domains import Domains
from rvoip.services.presence import PresenceService
from rvoip.services.presence_requests import METHODS
from rvoip.services.screen import DROP, Screen

__all__ = ["SERVER", "Core"]

SERVER = f"rvoip/{__version__}"

_SUPPORTED = ("path", "outbound")


class Core:
    """Sends each request where it belongs.

    `registration` (a `Registration`) takes REGISTER for our domains, `proxy` (a `Proxy`) all that is not
    for this element itself; either may be None. OPTIONS to this element is answered here. `screen` is asked
    about each request first. `presence` (a `PresenceService`) answers SUBSCRIBE and PUBLISH, if there is one.
    """

    def __init__(
        self,
        domains: Domains,
        registration: Any = None,
        proxy: Any = None,
        screen: Screen | None = None,
        presence: PresenceService | None = None,
    ) -> None:
        self.domains = domains
        self.registration = registration
        self.proxy = proxy
        self.screen = Screen() if screen is None else screen
        self.presence = presence
        if proxy is not None:
            self._allow = (
                "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY"
            )
            if registration is not None:
                self._allow += ", REGISTER"
        else:
            self._allow = "REGISTER, OPTIONS"
        if presence is not None:
            self._allow += ", PUBLISH" if proxy is not None else ", SUBSCRIBE, PUBLISH, NOTIFY"

    def request_received(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """See `ITransactionUser`."""
        request = transaction.request
        try:
            waiting = self._dispatch(transaction, request)
        except SIPParseError as error:
            self._refuse(transaction, error.status, error.reason)
            return None
        return waiting

    def _dispatch(self, transaction: ServerTransaction, request: Request) -> Awaitable[object] | None:
        verdict = self.screen.verdict(request, transaction.flow)
        if verdict is not None:
            if verdict == DROP:
                transaction.abandon()
            else:
                self._refuse(transaction, verdict)
            return None
        method = request.method
        uri = request.uri
        if isinstance(uri, SipURI):
            if method == "REGISTER":
                if self.registration is not None and self.domains.serves(uri):
                    if self._encoded(transaction, request):
                        return None
                    found: Awaitable[object] | None = self.registration.register(transaction)
                    return found
            elif method == "OPTIONS" and not uri.user and self.domains.serves(uri) and self._for_us(request):
                self._options(transaction, request)
                return None
        if self.presence is not None and method in METHODS:
            return self.presence.requests.received(transaction, self._pass_on)
        return self._pass_on(transaction)

    def _pass_on(self, transaction: ServerTransaction) -> Awaitable[object] | None:
        """What is not for this element itself."""
        if self.proxy is not None:
            forwarded: Awaitable[object] | None = self.proxy.request_received(transaction)
            return forwarded
        self._decline(transaction, transaction.request, transaction.request.uri)
        return None

    def _for_us(self, request: Request) -> bool:
        """Whether no Route leads further on."""
        return all(
            isinstance(route.uri, SipURI) and self.domains.is_self(route.uri) for route in request.routes
        )

    def _decline(self, transaction: ServerTransaction, request: Request, uri: object) -> None:
        """A registrar's answer to what is not its work."""
        if not isinstance(uri, SipURI):
            self._refuse(transaction, 416)
        elif request.method not in KNOWN_METHODS:
            self._refuse(transaction, 501, headers=(("Allow", self._allow),))
        elif request.method == "REGISTER":
            self._refuse(transaction, 404, "Domain Not Served Here")
        elif request.method == "OPTIONS" and self.domains.serves(uri):
            self._options(transaction, request)
        else:
            self._refuse(transaction, 405, headers=(("Allow", self._allow),))

    def _options(self, transaction: ServerTransaction, request: Request) -> None:
        """RFC 3261 section 11.2."""
        if self._encoded(transaction, request):
            return
        unknown = request.other_tags("require", _SUPPORTED)
        if unknown:
            self._refuse(transaction, 420, headers=(("Unsupported", ", ".join(unknown)),))
            return
        headers: tuple[tuple[str, str], ...] = (
            ("Allow", self._allow),
            ("Accept", "*/*" if self.proxy is not None else "application/sdp"),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "en"),
            ("Supported", ", ".join(_SUPPORTED)),
            ("Server", SERVER),
        )
        if self.presence is not None:
            headers += (("Allow-Events", self.presence.server.allow_events),)
        transaction.respond_stateless(
            respond(request, 200, to_tag=transaction.stateless_tag, headers=headers)
        )

    def _encoded(self, transaction: ServerTransaction, request: Request) -> bool:
        """Refuse a body that would have to be unpacked (RFC 3261 section 8.2.3); tells whether it did."""
        if not request.has("content-encoding"):
            return False
        encodings = [value.lower() for value in request.values("content-encoding")]
        if all(encoding == "identity" for encoding in encodings):
            return False
        self._refuse(transaction, 415, headers=(("Accept-Encoding", "identity"),))
        return True

    def _refuse(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        transaction.respond_stateless(
            respond(transaction.request, status, reason, to_tag=transaction.stateless_tag, headers=headers)
        )

    def ack_received(self, request: Request, flow: Flow) -> None:
        """See `ITransactionUser`."""
        if self.proxy is not None:
            self.proxy.ack_received(request, flow)

    def response_unmatched(self, response: Response, flow: Flow) -> None:
        """See `Proxy.response_unmatched`; dropped where there is no proxy."""
        if self.proxy is not None:
            self.proxy.response_unmatched(response, flow)


# Not by a decorator, with which mypyc would leave the class to the interpreter.
classImplements(Core, ITransactionUser)
