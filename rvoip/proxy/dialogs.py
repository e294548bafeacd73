"""Which requests belong to a dialog that was set up through here, and where they may go.

The proxy keeps no dialogs: its Record-Route values say what it has to know. The value in a request leads
to the request's sender, that in a response is signed anew so that it leads to whoever answered (RFC 3261
section 16.7 step 8).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import split_outside
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.ends import Ends, Taker
from rvoip.proxy.forward import drop_routes, undo_strict_route
from rvoip.proxy.interfaces import IDomains
from rvoip.proxy.record_route import End, RecordRoutes, address_key, flow_token
from rvoip.proxy.topology import Topology

__all__ = ["DIALOG_MAKING", "Dialogs", "Entered", "Marks"]

DIALOG_MAKING = frozenset(("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"))
"""Requests that make a dialog (NOTIFY: RFC 6665 section 4.3); the proxy stays in the way of what follows."""

_REFRESHING = frozenset(("INVITE", "UPDATE", "SUBSCRIBE"))
"""Requests whose sender, and whose receiver, may have moved. (NOTIFY is one too, but there are too many.)"""

_NOWHERE = "0" * 24


_PATH = End("path", "", "")


class Entered(NamedTuple):
    """What the Route of a request allows."""

    token: str
    """The flow that the receiver is reached by, "" for none."""
    by_path: bool = False
    """Whether the flow was named by a Path value of ours (RFC 3327): nothing else leads there."""


class Marks:
    """Our Record-Route values in what was sent for one request, and in what came back."""

    __slots__ = ("ends", "made", "tokens")

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        """The ``d`` of each value that we sent, and its flow token."""
        self.made: dict[tuple[str, End], str] = {}
        """The ``d`` that takes the place of one of these in responses of an end."""
        self.ends: dict[tuple[str | None, str | None, str], End] = {}
        """What was read of the To, the Contact and the Record-Route of responses."""


class Dialogs:
    """Enters requests into their dialogs, and seals Record-Route values."""

    def __init__(self, domains: IDomains, routes: RecordRoutes) -> None:
        self.domains = domains
        self.routes = routes
        self.ends = Ends()
        self.topology = Topology(domains, routes)

    def enter(self, request: Request, came: Flow) -> Entered | None:
        """Remove the Route values that name us (section 16.4); `came` is the flow of the request.

        None when the request is not in a dialog of ours, or leads to somebody who is no end of it, nor to a
        client that registered through us.
        """
        if not request.has("route"):
            return None
        tag = request.to.tag
        if tag is not None and ";d=" in request.uri_text:
            uri = request.uri
            if isinstance(uri, SipURI) and self._names_us(uri):
                entered = self._enter_strictly(request, uri, tag)
                if entered is not None:
                    return entered
        entered = self._enter(request, tag, None)
        # What a client itself sends by way of its Path is for the world, and no more vouched for than else.
        return None if entered is not None and entered.by_path and entered.token == came.token else entered

    def _enter_strictly(self, request: Request, uri: SipURI, tag: str) -> Entered | None:
        """What a strict router made of a request for us: our value is the Request-URI."""
        undone = request.copy()
        undo_strict_route(undone)
        entered = self._enter(undone, tag, uri)
        if entered is not None:
            request.set_uri(undone.uri_text)
            request.remove("route")
            for value in undone.get_all("route"):
                request.add("route", value)
        return entered

    def _enter(self, request: Request, tag: str | None, last: SipURI | None) -> Entered | None:
        routes = request.routes
        if not routes:
            request.remove("route")  # it was empty
        own = 0
        for route in routes:
            uri = route.uri
            if not isinstance(uri, SipURI) or not self._names_us(uri):
                break
            own += 1
            last = uri
        hop = address_key(routes[own].uri) if own < len(routes) else ""
        if own:
            drop_routes(request, own)
        if last is None or not last.params:
            return None
        hidden = self.topology.hidden_routes(last)
        if hidden:
            hop = address_key(parse_name_addr(hidden[0]).uri)
            for value in reversed(hidden):
                request.insert("route", value)
        # Of several values in a row the last one decides: each end is named in its own, the sender's first.
        if tag is not None:
            call_id = request.call_id
            while True:
                target = address_key(request.uri)
                leads = self.routes.recognise(last, call_id, End(tag, hop, target))
                if leads is None:
                    break
                if leads.exact or self.ends.is_at(call_id, tag, target):
                    return Entered(leads.token)
                if not self.topology.reveal_uri(request):
                    break
        if last.user is None:
            return None
        leads = self.routes.recognise(last, "", _PATH)
        return Entered(leads.token, True) if leads is not None and leads.exact else None

    def path(self, came: Flow, goes: Flow, outbound: bool) -> str:
        """The Path value for a REGISTER that came on one flow and goes out on another (RFC 3327).

        It names the first, so that requests for the client come back by it (RFC 5626 section 5.1); `outbound`
        promises that to the registrar.
        """
        return self.routes.path(came, goes, outbound, _PATH)

    def _names_us(self, uri: SipURI) -> bool:
        """Whether a Route value is this proxy: by address, or by a domain that it serves."""
        return self.domains.is_self(uri) or (uri.user is None and self.domains.serves(uri))

    def sender(self, request: Request) -> End:
        """The end that a request comes from."""
        try:
            recorded = request.record_routes
            hop = address_key(recorded[0].uri) if recorded else ""
            contacts = request.contacts
            target = address_key(contacts[0].uri) if contacts else ""
        except SIPParseError:
            hop = target = ""  # nobody reaches it
        return End(request.from_.tag or "", hop, target)

    def seal(self, response: Response, call_id: str, marks: Marks) -> None:
        """Make our Record-Route values in a response lead to whoever answered.

        In a response that makes no dialog they lead nowhere.
        """
        names = response.names
        if "record-route" not in names:
            return
        alone = names.count("record-route") == 1
        text = str(response.get("record-route")) if alone else ", ".join(response.get_all("record-route"))
        ours = [shown for shown in marks.tokens if shown in text]
        if not ours:
            return
        end = None
        if response.status < 300:
            above = text[: min([text.index(shown) for shown in ours])]
            end = self._answerer(response, marks, above if "," in above else "")
        for shown in ours:
            made = _NOWHERE if end is None else marks.made.get((shown, end))
            if made is None and end is not None:
                made = marks.made[shown, end] = self.routes.sign(call_id, marks.tokens[shown], end)
            if not alone:
                response.replace_in("record-route", shown, str(made))
            text = text.replace(shown, str(made))
        if alone:
            response.set("record-route", text)

    def seal_alone(self, response: Response) -> None:
        """Like `seal`, where nothing is remembered of the request: by what the values themselves say."""
        if not response.has("record-route"):
            return
        marks = Marks()
        try:
            for value in response.record_routes:
                uri = value.uri
                shown = uri.param("d") if isinstance(uri, SipURI) else None
                if isinstance(uri, SipURI) and shown and len(shown) == len(_NOWHERE) and self._names_us(uri):
                    marks.tokens[shown] = flow_token(uri) or ""
            self.seal(response, response.call_id, marks)
        except SIPParseError:
            response.remove("record-route")  # nobody could use it

    def hide(self, response: Response, asked: Request, came: Flow, marks: Marks) -> None:
        """Take out of a response, sealed already, what its receiver is not to see: see `Topology`."""
        self.topology.hide_response(response, asked, came, [*marks.tokens, *marks.made.values(), _NOWHERE])

    def _answerer(self, response: Response, marks: Marks, above: str = "") -> End:
        """The end that a response comes from; `above` holds what stands above our values in it."""
        to, contact = response.get("to"), response.get("contact")
        key = to, contact, above
        end = marks.ends.get(key)
        if end is not None:
            return end
        try:
            hop = ""
            if above:
                for value in response.record_routes:
                    uri = value.uri
                    if isinstance(uri, SipURI) and uri.param("d") in marks.tokens:
                        break
                    hop = address_key(uri)
            target = "" if contact is None else _contact_key(contact)
            end = End(_tag(to or "", response), hop, target)
        except SIPParseError:
            end = End("", "", "")  # a Contact that nobody can use
        marks.ends[key] = end
        return end

    def accepted(self, request: Request, response: Response, flow: Flow, marks: Marks) -> None:
        """A request got a 2xx: remember who is where now; `flow` is the one that it went out on."""
        method = request.method
        if method == "BYE":
            self.ends.over(request.call_id, request.from_.tag or "", request.to.tag or "")
            return
        if method not in _REFRESHING:
            return
        call_id = request.call_id
        tag, _, target = self._answerer(response, marks)
        within = request.to.tag is not None
        # Where a request came by twice, the one that was nearer to the taker was told first.
        if method == "INVITE" and (within or self.ends.taker(call_id, tag) is None):
            contact = response.get("contact")
            if contact is not None:
                self.ends.took(call_id, tag, Taker(request.from_.tag or "", contact, target, flow.token))
        if not within:
            return  # the values know of these
        if target and target != address_key(request.uri):
            self.ends.moved(call_id, tag, target)
        try:
            sent = request.contacts
        except SIPParseError:
            return
        if sent:
            self.ends.moved(call_id, request.from_.tag or "", address_key(sent[0].uri))

    def acknowledged(self, ack: Request) -> Taker | None:
        """Who is to get an ACK that followed no route set of ours: the end that accepted the INVITE.

        Its Request-URI must be the Contact of that end, or an address of one of our users.
        """
        taker = self.ends.taker(ack.call_id, ack.to.tag or "")
        uri = ack.uri
        if taker is None or taker.caller_tag != (ack.from_.tag or "") or not isinstance(uri, SipURI):
            return None
        if self.domains.serves(uri) or address_key(uri) == taker.target:
            return taker
        return None


@lru_cache(maxsize=4096)
def _contact_key(text: str) -> str:
    """`address_key` of the first address in a Contact; phones have the same in each call."""
    return address_key(parse_name_addr(split_outside(text, ",")[0].strip(" \t") if "," in text else text).uri)


def _tag(text: str, response: Response) -> str:
    """The tag of a To value."""
    head, found, tag = text.rpartition(";tag=")
    if found and ">" not in tag and '"' not in tag and ";" not in tag and " " not in tag and head[-1:] == ">":
        return tag
    return response.to.tag or ""
