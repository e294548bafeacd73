"""Forwarding without transactions (RFC 3261 section 16.11): what comes again is sent again, and the same way.

The branch that goes out is a keyed hash of what identifies the hop that the request came by, so a CANCEL and
the ACK of a failure get the same one, and a response shows that it answers a request of ours: nobody can send
through us by making one up. The Via names the flow of the request, for the way back. All that is remembered,
for a while, is which way a request took.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.address import Via
from rvoip.protocols.sip.build import MAGIC, respond, via_value
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.transport.errors import FlowError, TransportError
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.forward import forwarded
from rvoip.proxy.targets import Refused, Targets

if TYPE_CHECKING:
    from rvoip.proxy.context import ResponseContext
    from rvoip.proxy.proxy import Proxy

__all__ = ["Stateless"]

_PREFIX = f"{MAGIC}.l."
_MOST = 20_000
_STACKED = frozenset(("record-route", "path", "diversion"))
"""Headers whose new values stand above those that came."""
_PER_HOP = frozenset(("via", "route", "max-forwards"))


class _Way(NamedTuple):
    """The way that a request took."""

    method: str
    uri: str
    routes: tuple[str, ...]
    flow_token: str
    added: tuple[tuple[str, str], ...]
    """Names and values of the headers that it got here."""


class Stateless:
    """Forwards requests with one target, and the responses to them."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._ways: OrderedDict[str, _Way] = OrderedDict()

    def takes(self, targets: Targets) -> bool:
        """Whether requests with these targets need no transaction."""
        if len(targets) != 1 or targets.on_failure is not None:
            return False
        one = targets.groups[0][0]
        return not (one.others or one.timeout or one.patience or one.done)

    def again(self, request: Request, flow: Flow) -> bool:
        """Send what was sent before the same way, and what belongs to it: a retransmission, CANCEL, ACK."""
        if not self._ways:
            return False
        branch = self._branch(request, request.via, flow.token)
        way = self._ways.get(branch)
        if way is None or request.method not in (way.method, "CANCEL", "ACK"):
            return False
        out = self.proxy.transport.flow_by_token(way.flow_token)
        if out is None:
            return True  # nothing can be sent there any more, and the sender's timer says so
        sent = forwarded(request, None)
        sent.set_uri(way.uri)
        sent.remove("route")
        for value in way.routes:
            sent.add("route", value)
        self.proxy.outgoing.keep_back(sent, self.proxy.trusted(flow))
        if request.method == way.method:
            for name, _ in way.added:
                if name not in _STACKED:
                    sent.remove(name)
            for name, value in reversed(way.added):
                sent.insert(name, value)
        self._send(sent, out, branch, flow.token)
        return True

    def forward(self, context: ResponseContext) -> None:
        """Send a request on for which a response context was made, and forget both."""
        branch = context.branches[0]
        branch.breadth = context.breadth
        try:
            waiting = self.proxy.outgoing.prepare(context, branch)
        except TransportError as error:
            raise Refused(getattr(error, "status", 503), stateless=True) from None
        if waiting is None:
            self._forward(context, branch.targets)
        else:
            waiting.addCallback(lambda targets: self._forward(context, targets))
            waiting.addErrback(lambda failure: self._refuse(context, getattr(failure.value, "status", 503)))
        context.transaction.abandon()

    def _forward(self, context: ResponseContext, targets: list[Target]) -> None:
        branch = context.branches[0]
        request = branch.request
        came = context.transaction.flow
        flow = branch.flow or (self.proxy.transport.flow_to(targets[0]) if targets else None)
        if request is None or flow is None:
            self._refuse(context, 503)
            return
        self.proxy.outgoing.stamp(context, branch, request, flow)
        name = self._branch(context.transaction.request, context.transaction.request.via, came.token)
        self._ways[name] = _Way(
            request.method,
            request.uri_text,
            tuple(request.get_all("route")),
            flow.token,
            _added(context.transaction.request, request),
        )
        if len(self._ways) > _MOST:
            self._ways.popitem(last=False)
        self.proxy.forwarded += 1
        if not self._send(request, flow, name, came.token):
            self._refuse(context, 503)
        context.branches = []  # which know the context: see `ResponseContext.ended`

    def _send(self, request: Request, flow: Flow, branch: str, came: str) -> bool:
        shown = urlsafe_b64encode(came.encode()).decode().rstrip("=")
        via = f"{via_value(flow.transport, flow.sent_by, branch)};f={shown}"
        try:
            self.proxy.layer.send(request, flow, via)
        except FlowError:
            return False
        return True

    def _refuse(self, context: ResponseContext, status: int) -> None:
        transaction: ServerTransaction = context.transaction
        request = transaction.request
        answer = respond(request, status, to_tag=transaction.stateless_tag)
        self.proxy.layer.reply(request, transaction.flow, answer)

    def respond(self, response: Response, flow: Flow) -> bool:
        """Send a response back when it answers a request that was sent from here; whether it does."""
        try:
            vias = response.vias
            if len(vias) < 2 or not (vias[0].branch or "").startswith(_PREFIX):
                return False
            token = b64decode(str(vias[0].params.get("f")) + "==", b"-_").decode()
            branch = self._branch(response, vias[1], token)
        except (SIPParseError, ValueError):
            return False
        if not hmac.compare_digest(branch.encode(), str(vias[0].branch).encode("utf-8", "surrogateescape")):
            return False
        response.remove_first_value("via")
        if response.status == 100:
            return True  # it was for this hop (section 16.11)
        self.proxy.dialogs.seal_alone(response)
        back = self.proxy.transport.flow_by_token(token)
        if back is None:
            back = self._reach(vias[1], token)
        self.proxy.outgoing.keep_back_identity(response, flow, self.proxy.trusted(back))
        try:
            back.reply_flow(vias[1]).send(response.to_bytes())
        except (FlowError, TransportError):
            self.proxy.layer.unsent += 1
        return True

    def _reach(self, via: Via, token: str) -> Flow:
        """A new connection to where the sender of a request listens (section 18.2.2)."""
        transport = token.partition("/")[0].upper()
        port = via.port or (5061 if transport == "TLS" else 5060)
        flow: Flow = self.proxy.transport.flow_to(Target(transport, via.received or via.host, port))
        return flow

    def _branch(self, message: Message, via: Via, token: str) -> str:
        """The branch for a message whose sender's Via is this, which came on the flow of this token."""
        params = via.params
        return _PREFIX + self.proxy.dialogs.routes.mac(
            "\n".join(
                [
                    via.host,
                    str(via.port),
                    str(params.get("branch")),
                    str(params.get("received")),
                    str(params.get("rport")),
                    message.call_id,
                    str(message.cseq.number),
                    str(message.from_.tag),
                    token,
                ]
            )
        )


def _added(came: Request, goes: Request) -> tuple[tuple[str, str], ...]:
    """The headers that a request got here, but for what each hop has of its own."""
    before = set(came.lines)
    return tuple(
        [
            (name, line.partition(":")[2].strip(" \t"))
            for name, line in zip(goes.names, goes.lines)
            if line not in before and name not in _PER_HOP
        ]
    )
