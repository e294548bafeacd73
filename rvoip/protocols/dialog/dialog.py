"""A dialog: what two user agents share, and the requests within it (RFC 3261 section 12)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.sip import build
from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.uri import URI, SipURI, parse_uri

if TYPE_CHECKING:
    from rvoip.protocols.dialog.challenge import Authentication
    from rvoip.protocols.transport.flow import Flow

__all__ = ["CONFIRMED", "EARLY", "TERMINATED", "Dialog", "DialogID", "received_in", "sent_in"]

EARLY: Final = "early"
CONFIRMED: Final = "confirmed"
TERMINATED: Final = "terminated"

DialogID = tuple[str, str, str]
"""Call-ID, our tag, the peer's tag ("" for a peer of RFC 2543 that sets none)."""


def received_in(message: Message) -> DialogID:
    """The dialog of a request that was received, or of a response that was sent."""
    return message.call_id, message.to.tag or "", message.from_.tag or ""


def sent_in(message: Message) -> DialogID:
    """The dialog of a response that was received, or of a request that was sent."""
    return message.call_id, message.from_.tag or "", message.to.tag or ""


class Dialog:
    """One dialog, at one of its ends.

    `usages` are the sessions and subscriptions that live in it; they, `flow` and `authentication` are looked
    after by the layer.
    """

    __slots__ = (
        "authentication",
        "call_id",
        "flow",
        "local",
        "local_cseq",
        "local_tag",
        "pending",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "role",
        "route_set",
        "secure",
        "session_id",
        "state",
        "usages",
    )

    def __init__(
        self,
        role: str,
        call_id: str,
        local: str,
        local_tag: str,
        remote: str,
        remote_tag: str,
        remote_target: str,
        route_set: tuple[str, ...] = (),
        local_cseq: int = 0,
        remote_cseq: int | None = None,
        secure: bool = False,
    ) -> None:
        self.role = role
        """"uac" or "uas": who of the two this end was when the dialog began."""
        self.call_id = call_id
        self.local = local
        """Our From value, with its tag."""
        self.local_tag = local_tag
        self.remote = remote
        """The peer's address as our To value, with its tag."""
        self.remote_tag = remote_tag
        self.remote_target = remote_target
        """Where the peer wants its requests: the URI of its Contact."""
        self.route_set = route_set
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.secure = secure
        self.state = EARLY
        self.usages: list[Any] = []
        self.pending: list[Any] = []
        """Server transactions within the dialog that wait for an answer."""
        self.flow: Flow | None = None
        """Where to send in place of what the route says, as long as it is open."""
        self.authentication: Authentication | None = None
        self.session_id: Any = None
        """For whoever keeps the session identifier (RFC 7989)."""

    @property
    def id(self) -> DialogID:
        """Call-ID, our tag, the peer's tag."""
        return self.call_id, self.local_tag, self.remote_tag

    @classmethod
    def uac(cls, request: Request, response: Response) -> Dialog:
        """The dialog that a response to our request makes (section 12.1.2).

        A peer that gives no Contact is sought where the request went, as RFC 2543 has it. Raises
        `SIPParseError` when the response has no good route or target.
        """
        dialog = cls(
            "uac",
            request.call_id,
            request.get("from") or "",
            request.from_.tag or "",
            response.get("to") or "",
            response.to.tag or "",
            request.uri_text,
            _routes(response, reverse=True),
            request.cseq.number,
            secure=_is_secure(request.uri),
        )
        dialog.refresh(response)
        return dialog

    @classmethod
    def uas(cls, request: Request, local_tag: str) -> Dialog:
        """The dialog that our response with this To tag makes (section 12.1.1).

        Raises `SIPParseError` when the request has no good route, or no Contact.
        """
        target = _target(request)
        if target is None:
            raise SIPParseError("Missing Contact")
        return cls(
            "uas",
            request.call_id,
            f"{request.get('to') or ''};tag={local_tag}",
            local_tag,
            request.get("from") or "",
            request.from_.tag or "",
            target,
            _routes(request),
            remote_cseq=request.cseq.number,
            secure=_is_secure(request.uri),
        )

    @classmethod
    def from_notify(cls, subscribe: Request, notify: Request) -> Dialog:
        """The dialog of a subscription of ours whose NOTIFY comes first (RFC 6665 section 4.4.1)."""
        target = _target(notify)
        if target is None:
            raise SIPParseError("Missing Contact")
        return cls(
            "uac",
            subscribe.call_id,
            subscribe.get("from") or "",
            subscribe.from_.tag or "",
            notify.get("from") or "",
            notify.from_.tag or "",
            target,
            _routes(notify),
            subscribe.cseq.number,
            secure=_is_secure(subscribe.uri),
        )

    # Requests of ours.

    @property
    def next_hop(self) -> URI:
        """The URI that leads to the peer: the first of the route, else its target."""
        if self.route_set:
            return parse_name_addr(self.route_set[0]).uri
        return parse_uri(self.remote_target)

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: Body | None = None,
        cseq: int | None = None,
    ) -> Request:
        """A request to the peer (section 12.2.1.1). CSeq counts up, unless it is given as for ACK.

        Where the first of the route is a strict router, it becomes the Request-URI, and the target goes
        to the end of the route. Contact is left to whoever knows on which flow the request goes.
        """
        if cseq is None:
            cseq = self.next_cseq()
        uri, routes = self.remote_target, self.route_set
        if routes:
            first = parse_name_addr(routes[0]).uri
            if isinstance(first, SipURI) and not first.loose:
                routes = (*routes[1:], f"<{uri}>")
                uri = str(first.for_request_line())
        if body is not None:
            headers = (*headers, *body.headers)
        return build.request(
            method,
            uri,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=cseq,
            routes=routes,
            headers=headers,
            body=b"" if body is None else body.content,
            content_type=None if body is None else body.type,
        )

    def next_cseq(self) -> int:
        """The CSeq number of one more request of ours."""
        self.local_cseq += 1
        return self.local_cseq

    # What the peer sends.

    def receive(self, request: Request) -> int:
        """Take the CSeq of a request of the peer (section 12.2.2), neither ACK nor CANCEL.

        Returns 0 when the request is in order, else what to answer: 500 for a number that is lower than one
        before it, 482 for one that came already by another way.
        """
        number = request.cseq.number
        last = self.remote_cseq
        if last is not None:
            if number < last:
                return 500
            if number == last:
                return 482
        self.remote_cseq = number
        return 0

    def refresh(self, message: Message) -> None:
        """Take the peer's Contact as its target, if there is a good one (section 12.2).

        To be called when a target refresh request has succeeded, for what the peer sent in it: the request,
        or the 2xx or reliable provisional response (RFC 6141 section 4).
        """
        target = _target(message)
        if target is not None:
            self.remote_target = target

    def confirm(self, message: Response | None = None) -> None:
        """The dialog is made for good. For the UAC by this 2xx, whose route set counts from now on
        (section 13.2.2.4).
        """
        if self.state != EARLY:
            return
        self.state = CONFIRMED
        if message is not None:
            self.route_set = _routes(message, reverse=True)
            self.remote = message.get("to") or self.remote
            self.refresh(message)

    def end(self) -> None:
        """The dialog is over."""
        self.state = TERMINATED

    def __repr__(self) -> str:
        return f"<Dialog {self.role} {self.state} {self.call_id}>"


def _routes(message: Message, reverse: bool = False) -> tuple[str, ...]:
    if not message.has("record-route"):
        return ()
    values = message.values("record-route")
    for value in values:
        parse_name_addr(value).sip_uri  # noqa: B018  what is no address must not be found out later
    return tuple(reversed(values)) if reverse else tuple(values)


def _target(message: Message) -> str | None:
    """The Contact's URI as it may stand in a request line; None when there is none to send to."""
    contacts = message.contacts
    if not contacts:
        return None
    contact: NameAddr = contacts[0]
    if contact.uri_text == "*":
        return None
    uri = contact.uri
    return str(uri.for_request_line()) if isinstance(uri, SipURI) else contact.uri_text


def _is_secure(uri: URI) -> bool:
    return isinstance(uri, SipURI) and uri.secure
