"""What all of a user agent stands on: its dialogs, and the requests and responses that it makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any
from zlib import crc32

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rvoip.protocols.dialog import outcomes
from rvoip.protocols.dialog.agent_settings import AgentSettings, Answer
from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Authentication, Credential, FindCredential
from rvoip.protocols.dialog.dialog import Dialog, DialogID
from rvoip.protocols.dialog.ending import NETWORK, PEER, Ending
from rvoip.protocols.dialog.errors import Refused, RequestFailed
from rvoip.protocols.dialog.merged import SeenLately
from rvoip.protocols.dialog.outgoing import Outgoing
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip import build
from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.protocols.transport.flow import Flow

__all__ = ["AgentCore", "Taker"]

Taker = Callable[[ServerTransaction, "Dialog | None"], "Awaitable[object] | None"]
"""Whoever takes the requests of a method: gets the transaction, and the dialog that it is in or None."""

_ALLOWED = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO")
_CONTACT = frozenset(("INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"))


class AgentCore:
    """The half of a `UserAgent` that sends, and knows the dialogs.

    Override the hooks `request_made`, `response_made`, `request_seen`, `response_seen` and `contact`.
    """

    def __init__(
        self,
        layer: TransactionLayer,
        locator: Any,
        settings: AgentSettings | None = None,
        find_credential: FindCredential | None = None,
    ) -> None:
        self.layer = layer
        self.locator = locator
        self.settings = settings or AgentSettings()
        self._find_credential = find_credential or _no_credential
        self.invites: set[Any] = set()
        """The INVITEs, of either side, that have no final response yet."""
        self._dialogs: dict[DialogID, Dialog] = {}
        self._expected: dict[tuple[str, str], Taker] = {}
        self._methods: dict[str, Taker] = {}
        self._supported = ["replaces"]
        if self.settings.reliable != "off":
            self._supported.append("100rel")
        if self.settings.timer.policy != "off":
            self._supported.append("timer")
        self._merged = SeenLately(layer.timers.lifetime)
        self._ended = SeenLately(layer.timers.lifetime)
        self._write_capabilities()

    # Hooks.

    def request_made(self, request: Request, dialog: Dialog | None) -> None:
        """The last look at a request of ours, or an ACK, before it is sent."""

    def response_made(self, request: Request, response: Response, dialog: Dialog | None) -> None:
        """The last look at a response of ours before it is sent."""

    def request_seen(self, request: Request, dialog: Dialog | None) -> None:
        """The first look at a request of the peer."""

    def response_seen(self, response: Response, dialog: Dialog | None) -> None:
        """The first look at a response of the peer."""

    def contact(self, flow: Flow, dialog: Dialog | None, message: Request | Response) -> str:
        """Our Contact value on this flow, for a request or response of ours."""
        user = self.settings.contact_user or _user_of(message)
        name = f"{user}@{flow.sent_by}" if user else flow.sent_by
        uri = message.uri_text if isinstance(message, Request) else ""
        if (dialog is not None and dialog.secure) or uri[:5].lower() == "sips:":
            return f"<sips:{name}>"
        transport = flow.transport
        return f"<sip:{name}>" if transport == "UDP" else f"<sip:{name};transport={transport.lower()}>"

    # What we can.

    @property
    def takes_messages(self) -> bool:
        """Whether MESSAGE outside a dialog is of use here."""
        return False

    def register_method(self, method: str, taker: Taker) -> None:
        """Let `taker` have the requests of a method, in dialogs only those that no usage takes."""
        self._methods[method] = taker
        self._write_capabilities()

    def support(self, *option_tags: str) -> None:
        """Say that these extensions are understood (Supported), and let requests require them."""
        self._supported += [tag for tag in option_tags if tag not in self._supported]
        self._write_capabilities()

    def _write_capabilities(self) -> None:
        methods = list(_ALLOWED)
        if self.takes_messages:
            methods.append("MESSAGE")
        methods += [method for method in self._methods if method not in methods]
        self.allow = ", ".join(methods)
        """Our Allow value."""
        self.supported = ", ".join(self._supported)
        """Our Supported value."""
        self.own_headers: tuple[tuple[str, str], ...] = (
            ("Allow", self.allow),
            ("Supported", self.supported),
        )
        """What responses to INVITE and UPDATE say of us."""

    def random(self) -> float:
        """A number from 0 up to but not including 1."""
        return crc32(self.layer.token().encode()) / 2**32

    # Dialogs.

    @property
    def dialogs(self) -> Iterator[Dialog]:
        """All dialogs."""
        return iter(list(self._dialogs.values()))

    def __len__(self) -> int:
        return len(self._dialogs)

    @property
    def full(self) -> bool:
        """Whether there are as many dialogs as there may be."""
        return len(self._dialogs) >= self.settings.dialogs

    def dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """The dialog with this identifier."""
        return self._dialogs.get((call_id, local_tag, remote_tag))

    def attach(self, dialog: Dialog, usage: Any) -> None:
        """Let a usage (an `IDialogUsage`) live in the dialog, and the dialog be found."""
        dialog.usages.append(usage)
        self._dialogs[dialog.id] = dialog

    def detach(self, dialog: Dialog, usage: Any) -> None:
        """A usage is over; the dialog ends with its last one (RFC 5057 section 4)."""
        if usage in dialog.usages:
            dialog.usages.remove(usage)
        if not dialog.usages:
            dialog.end()
            if self._dialogs.pop(dialog.id, None) is not None:
                self._ended.add(dialog.id, self.layer.now())

    def expect(self, call_id: str, local_tag: str, taker: Taker) -> None:
        """Let `taker` have the requests to a dialog that we have asked for, before its response tells the
        peer's tag: a NOTIFY may be there before the 2xx to its SUBSCRIBE (RFC 6665 section 4.4.1).
        """
        self._expected[call_id, local_tag] = taker

    def unexpect(self, call_id: str, local_tag: str) -> None:
        """Expect no such dialog any more."""
        self._expected.pop((call_id, local_tag), None)

    # Requests of ours.

    def authentication(self, find: FindCredential | None = None) -> Authentication:
        """What answers the challenges of one call, registration or subscription."""
        return Authentication(find or self._find_credential, self.layer.token)

    def make_request(
        self,
        method: str,
        uri: URI | str,
        *,
        from_: NameAddr | str,
        to: NameAddr | str | None = None,
        body: Body | None = None,
        headers: Iterable[tuple[str, str]] = (),
        routes: Iterable[NameAddr | str] = (),
        call_id: str | None = None,
        cseq: int = 1,
    ) -> Request:
        """A request outside a dialog. From gets a tag unless it has one; `routes` is the way to its target,
        over loose routers (an outbound proxy, a service route).
        """
        sender = parse_name_addr(str(from_))
        if sender.tag is None:
            sender.params["tag"] = self.layer.new_tag()
        return build.request(
            method,
            uri,
            from_=sender,
            to=f"<{uri}>" if to is None else to,
            call_id=call_id or self.layer.token(),
            cseq=cseq,
            routes=routes,
            headers=headers if body is None else (*headers, *body.headers),
            body=b"" if body is None else body.content,
            content_type=None if body is None else body.type,
        )

    def send(
        self,
        request: Request,
        on_response: Callable[[Outgoing, Response], object],
        on_failure: Callable[[Outgoing, str], object],
        *,
        next_hop: URI | None = None,
        dialog: Dialog | None = None,
        authentication: Authentication | None = None,
        flow: Flow | None = None,
    ) -> Outgoing:
        """Send a request; see `Outgoing`. What cannot be sent at all is told before this returns.

        In a dialog its next hop, flow and authentication hold; else `next_hop` (the first Route, else the
        Request-URI, unless given).
        """
        if dialog is not None:
            next_hop = next_hop or dialog.next_hop
            authentication = authentication or dialog.authentication
            flow = flow or dialog.flow
        elif next_hop is None:
            next_hop = first_hop(request)
        outgoing = Outgoing(self, request, next_hop, on_response, on_failure, dialog, authentication, flow)
        outgoing.start()
        return outgoing

    def request_outside(
        self,
        method: str,
        uri: URI | str,
        *,
        from_: NameAddr | str,
        authentication: Authentication | None = None,
        flow: Flow | None = None,
        **more: Any,
    ) -> Deferred[Response]:
        """Send MESSAGE, OPTIONS, REGISTER and their like; see `make_request` for the keywords.

        Fires with the final response, whatever its status; fails with `RequestFailed` when there is none.
        """
        request = self.make_request(method, uri, from_=from_, **more)
        return self.send_for_response(
            request, authentication=authentication or self.authentication(), flow=flow
        )

    def send_for_response(self, request: Request, **more: Any) -> Deferred[Response]:
        """Send a request as `send` does; fires with the final response, or fails with `RequestFailed`."""

        def responded(outgoing: Outgoing, response: Response) -> None:
            if response.status >= 200 and not waiting.called:
                waiting.callback(response)

        def failed(outgoing: Outgoing, reason: str) -> None:
            if not waiting.called:
                waiting.errback(RequestFailed(reason))

        started: list[Outgoing] = []
        waiting: Deferred[Response] = Deferred(lambda _: started[0].abandon())
        started.append(self.send(request, responded, failed, **more))
        return waiting

    def request(
        self,
        dialog: Dialog,
        method: str,
        *,
        usage: Any = None,
        headers: Iterable[tuple[str, str]] = (),
        body: Body | None = None,
    ) -> Deferred[Response]:
        """Send a request within a dialog; fires and fails as `request_outside`.

        What its outcome ends is ended first (RFC 5057): `usage`, or all usages of the dialog.
        """

        def answered(response: Response) -> Response:
            self.outcome(dialog, usage, method, response.status, response.reason)
            return response

        def failed(failure: Failure) -> Failure:
            if failure.check(RequestFailed) and str(failure.value) == "timeout":
                self.outcome(dialog, usage, method, 408, "no answer", NETWORK)
            return failure

        request = dialog.request(method, headers, body)
        return self.send_for_response(request, dialog=dialog).addCallbacks(answered, failed)

    def outcome(
        self, dialog: Dialog, usage: Any, method: str, status: int, text: str, by: str = PEER
    ) -> None:
        """End what the final response to a request within a dialog ends (RFC 5057 section 5.1)."""
        effect = outcomes.effect(method, status)
        if effect == outcomes.TRANSACTION:
            return
        ending = Ending(status, text, by)
        for one in list(dialog.usages):
            if effect == outcomes.DIALOG or one is usage:
                one.usage_ended(ending)

    # Responses of ours.

    def make_response(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None = None,
        *,
        dialog: Dialog | None = None,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: Body | None = None,
    ) -> Response:
        """A response with what is due in it: Contact where it makes or refreshes a dialog, Server."""
        request = transaction.request
        if dialog is not None:
            to_tag = dialog.local_tag
        response = build.respond(
            request,
            status,
            reason,
            to_tag=to_tag or self.layer.new_tag(),
            headers=headers if body is None else (*headers, *body.headers),
            body=b"" if body is None else body.content,
            content_type=None if body is None else body.type,
        )
        if 100 < status < 300 and request.method in _CONTACT and not response.has("contact"):
            response.add("contact", self.contact(transaction.flow, dialog, response))
        if self.settings.user_agent:
            response.add("server", self.settings.user_agent)
        self.response_made(request, response, dialog)
        return response

    def respond(
        self, transaction: ServerTransaction, status: int, reason: str | None = None, **more: Any
    ) -> None:
        """Answer; see `make_response` for the keywords."""
        transaction.respond(self.make_response(transaction, status, reason, **more))

    def refuse(self, transaction: ServerTransaction, refused: Refused, dialog: Dialog | None = None) -> None:
        """Answer as a hook wants it, unless there is a final answer."""
        if not transaction.answered:
            self.respond(transaction, refused.status, refused.reason, headers=refused.headers, dialog=dialog)

    def give(self, transaction: ServerTransaction, result: Any, dialog: Dialog | None = None) -> None:
        """Answer with what a hook returned: None for 200, a status, or an `Answer`."""
        if transaction.answered:
            return
        answer = result if isinstance(result, Answer) else Answer(200 if result is None else int(result))
        self.respond(
            transaction, answer.status, answer.reason, headers=answer.headers, body=answer.body, dialog=dialog
        )

    def capabilities(self) -> tuple[tuple[str, str], ...]:
        """The headers that answer an OPTIONS."""
        return (
            ("Allow", self.allow),
            ("Accept", ", ".join(self.settings.accept)),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "en"),
            ("Supported", self.supported),
        )


def first_hop(request: Request) -> URI:
    """Where a request outside a dialog goes first."""
    routes = request.routes
    return routes[0].uri if routes else request.uri


def _user_of(message: Request | Response) -> str:
    """The user part of our own address."""
    address = message.from_ if isinstance(message, Request) else message.to
    uri = address.uri
    return (uri.user or "") if isinstance(uri, SipURI) else ""


def _no_credential(realm: str, host: str) -> Credential | None:
    return None
