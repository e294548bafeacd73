"""The way out: the request of a branch as it is sent, and where to (RFC 3261 sections 16.6 and 18.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.sip.build import MAGIC
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import parse_number
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow, Target
from rvoip.proxy.branch import Branch
from rvoip.proxy.diversion import Attempt, say_diversions, say_history, wants_history
from rvoip.proxy.forward import consume_credentials, forwarded, next_hop
from rvoip.proxy.identity import assert_identity, hide_identity
from rvoip.proxy.targets import Refused

if TYPE_CHECKING:
    from rvoip.proxy.context import ResponseContext
    from rvoip.proxy.proxy import Proxy

__all__ = ["Outgoing"]


class Outgoing:
    """Prepares branches and starts their transactions."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.transport = proxy.transport
        self.locator = proxy.locator
        self.domains = proxy.domains

    def prepare(self, context: ResponseContext, branch: Branch) -> Deferred[list[Target]] | None:
        """Make the branch's request and find its targets; a Deferred of them when that takes time.

        Raises `Refused`, `SIPParseError` or a `TransportError` when it can go nowhere.
        """
        destination = branch.destination
        came = context.transaction.request
        request = forwarded(came, destination.uri, destination.route)
        request.set("max-breadth", str(branch.breadth))
        self.keep_back(request, context.incoming.trusted or context.incoming.ours)
        if self.proxy.settings.assert_identity:
            assert_identity(request, context.incoming.user, self.domains)
        if destination.trail:
            say_diversions(request, destination.trail)
        if destination.trail or wants_history(came):
            failed = _failed(context, branch)
            say_history(request, came.uri_text, destination.trail, request.uri_text, branch.number, failed)
        for name, value in destination.headers:
            request.set(name.lower(), value)
        hop = destination.next_hop or next_hop(request)
        branch.request = request
        token = destination.flow_token
        if token is not None and not destination.route:
            branch.flow = self.transport.flow_by_token(token)
            if branch.flow is not None:
                return None
            if destination.flow_only:
                raise Refused(430)
        targets = self._here(hop) or self.locator.locate_now(hop)
        if targets is not None:
            branch.targets = self.sized(targets, request)
            return None
        return Deferred.fromCoroutine(self._locate(hop, request))

    def _here(self, hop: SipURI) -> list[Target] | None:
        """Where we listen, for a contact that is another of our users, whatever DNS knows of our domains."""
        if not self.domains.serves(hop) or hop.secure or self.domains.is_self(hop) or hop.has_param("maddr"):
            return None
        transports = [hop.transport.upper()] if hop.transport else ["UDP", "TCP"]
        for transport in transports:
            for one in self.transport.listeners:
                if one.transport == transport:
                    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(one.host, one.host)
                    return [Target(transport, host, one.port)]
        return None

    def keep_back(self, request: Request, trusted: bool) -> None:
        """Remove what is only for us, and what nobody untrusted may assert (RFC 3325 section 5).

        Remote-Party-ID is the elder of the two headers that assert.
        """
        names = request.names
        if "proxy-authorization" in names and not self.proxy.settings.passes_credentials:
            consume_credentials(request, self._is_own_realm)
        if not trusted:
            if "p-asserted-identity" in names:
                request.remove("p-asserted-identity")
            if "remote-party-id" in names:
                request.remove("remote-party-id")

    def keep_back_identity(self, response: Response, flow: Flow, trusted: bool) -> None:
        """Remove from a response what nobody untrusted may assert (RFC 3325 section 5), and what is private.

        `flow` is the one that it came on, `trusted` whether whoever gets it is.
        """
        if response.has("p-asserted-identity") or response.has("remote-party-id"):
            if not self.proxy.trusted(flow):
                response.remove("p-asserted-identity")
                response.remove("remote-party-id")
            hide_identity(response, trusted)

    def _is_own_realm(self, realm: str) -> bool:
        served: bool = self.domains.serves(SipURI("sip", None, realm.lower()))
        return served

    async def _locate(self, hop: SipURI, request: Request) -> list[Target]:
        return self.sized(await self.locator.locate(hop), request)

    def sized(self, targets: list[Target], request: Request) -> list[Target]:
        """With TCP before UDP for a request too large for one packet (RFC 3261 section 18.1.1).

        UDP stays as the second choice: many phones listen on nothing else, and where TCP failed lately it is
        the only one. A phone behind a firewall would be kept waiting for each request else.
        """
        if targets and targets[0].transport == "UDP":
            # 200 for our own Via and Record-Route.
            lines = request.lines
            size = len(request.body) + sum(map(len, lines)) + 2 * len(lines) + 200
            if size > self.proxy.settings.large and self._has_tcp():
                tcp = targets[0]._replace(transport="TCP")
                if not self.locator.avoids(tcp):
                    return [tcp, *targets]
        return targets

    def _has_tcp(self) -> bool:
        return any(one.transport == "TCP" for one in self.transport.listeners)

    def send(
        self, context: ResponseContext, branch: Branch, request: Request, flow: Flow
    ) -> ClientTransaction:
        """The client transaction, not started yet, for the branch's request, with Record-Route and Via."""
        self.stamp(context, branch, request, flow)
        layer = self.proxy.layer
        return layer.prepare(request, flow, branch, f"{MAGIC}{layer.token()}.{context.mark}")

    def stamp(self, context: ResponseContext, branch: Branch, request: Request, flow: Flow) -> None:
        """What only the flow decides that the request goes out on: identity, Record-Route, Path."""
        hide_identity(request, self.proxy.trusted(flow))
        if request.method == "REGISTER":
            self._add_path(request, context.transaction.flow, flow)
        hidden = self.proxy.dialogs.topology.hide_request(request, flow) if context.hides else ""
        end = context.sender
        if end is not None:
            values = self.proxy.dialogs.routes.values(
                request.call_id,
                context.transaction.flow,
                flow,
                request.uri_text[:5].lower() == "sips:",
                context.pinned,
                branch.destination.flow_token == flow.token,
                end,
            )
            for value, shown, token in reversed(values):
                request.insert("record-route", f"{value[:-1]};h={hidden}>" if hidden else value)
                context.marks.tokens[shown] = token

    def _add_path(self, request: Request, came: Flow, goes: Flow) -> None:
        """Have requests for a client come back through us, which has the way to it (RFC 3327, RFC 5626).

        Of one that came through another proxy that one has it.
        """
        wanted = self.proxy.settings.path
        if wanted == "never" or len(request.get_all("via")) > 1:
            return
        try:
            tags = request.option_tags("supported")
            outbound = "outbound" in tags and any("reg-id" in one.params for one in request.contacts)
        except SIPParseError:
            return  # the registrar has the last word on it
        if wanted == "always" or "path" in tags:
            request.insert("path", self.proxy.dialogs.path(came, goes, outbound))

    def failed(self, flow: Flow) -> None:
        """Prefer other addresses for a while (RFC 3263 section 4.3)."""
        self.locator.failed(Target(flow.transport, flow.remote[0], flow.remote[1]))

    def answered(self, flow: Flow, response: Response) -> None:
        """One of several targets is alive, or says 503: then it is left alone for as long as it asks."""
        target = Target(flow.transport, flow.remote[0], flow.remote[1])
        if response.status != 503:
            self.locator.succeeded(target)
            return
        text = (response.get("retry-after") or "").partition(";")[0].partition("(")[0].strip(" \t")
        try:
            seconds = float(parse_number(text, 2**31, "Retry-After"))
        except SIPParseError:
            self.locator.failed(target)
        else:
            self.locator.failed(target, seconds)


def _failed(context: ResponseContext, branch: Branch) -> list[Attempt]:
    """The branches of before that have ended; none where each side is hidden from the other."""
    if context.hides:
        return []
    finals = context.fork.finals
    return [
        Attempt(one.destination.trail, str(one.destination.uri), one.number, finals[one.number])
        for one in context.branches[: branch.number]
        if finals.get(one.number, 0) >= 300
    ]
