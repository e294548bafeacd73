"""The calls that are up and pass this proxy: who talks to whom since when, and how to reach either end.

A machine that is shown requests and the final responses that they got. Nothing is decided by it: it is there
for the operator, for accounting, and to end a call from the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.record_route import goes_by_flow

__all__ = ["LONGEST", "Call", "Calls", "Party", "address_of", "answerer"]

LONGEST: Final = 12 * 3600.0
"""Seconds after which a call without session timers (RFC 4028) counts as over: its BYE went another way."""

_GRACE: Final = 60.0
"""Seconds that a session may be refreshed too late."""

_GONE: Final = frozenset((408, 481))
"""Answers within a dialog that end it (RFC 3261 section 12.2.1.2)."""


class Party:
    """One end of a call, and the way to it from here."""

    __slots__ = ("address", "contact", "cseq", "flow_token", "hidden", "routes", "value")

    def __init__(self, value: str, address: str) -> None:
        self.value = value
        """From or To, with the tag."""
        self.address = address
        """Where its messages come from, `transport:host:port`."""
        self.contact = ""
        """Its Contact: the Request-URI of what is sent to it."""
        self.routes: tuple[str, ...] = ()
        """Route values from here to it."""
        self.flow_token = ""
        """The only flow that reaches it, "" for where its address leads."""
        self.hidden = ""
        """Our Record-Route value that hides further ones (`rvoip.proxy.topology`), "" where none does."""
        self.cseq = 0
        """The last CSeq number that it used."""


class Call:
    """A call that was answered. Times are those of the proxy's clock, in seconds."""

    __slots__ = ("answered", "began", "call_id", "callee", "caller", "deadline", "id", "key", "uri", "user")

    def __init__(self, id: str, key: str, call_id: str, began: float, now: float) -> None:
        self.id = id
        self.key = key
        self.call_id = call_id
        self.began = began
        """When the INVITE came."""
        self.answered = now
        self.deadline = now + LONGEST
        self.caller = Party("", "")
        self.callee = Party("", "")
        self.uri = ""
        """The Request-URI as it came."""
        self.user = ""
        """The address-of-record of ours whose credentials the INVITE carried."""

    def bye(self, to_callee: bool, reason: str) -> Request:
        """The BYE that the other end would send (RFC 3261 section 15.1.1); it carries a Reason (RFC 3326)."""
        sender, taker = (self.caller, self.callee) if to_callee else (self.callee, self.caller)
        sender.cseq += 1
        return request(
            "BYE",
            taker.contact,
            from_=sender.value,
            to=taker.value,
            call_id=self.call_id,
            cseq=sender.cseq,
            routes=taker.routes,
            headers=(("Reason", f'SIP;cause=200;text="{reason}"'),),
        )

    def ack(self) -> Request:
        """The ACK of the callee's 2xx that the caller would send (RFC 3261 section 13.2.2.4)."""
        return request(
            "ACK",
            self.callee.contact,
            from_=self.caller.value,
            to=self.callee.value,
            call_id=self.call_id,
            cseq=self.caller.cseq,
            routes=self.callee.routes,
        )


class Calls:
    """Bounded: of more than `most` calls the ones that were answered first are forgotten.

    `new_id` makes names for calls; `ended` is told of each that is over, and why: "bye", "gone" (an end does
    not know it any more), "expired", "forgotten", or what `clear` was told.
    """

    def __init__(
        self,
        most: int,
        new_id: Callable[[], str],
        ended: Callable[[Call, str], object] = lambda call, why: None,
    ) -> None:
        self.most = most
        self.ended = ended
        self.total = 0
        self._new_id = new_id
        self._by_key: dict[str, Call] = {}
        self._by_id: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._by_key.values())

    def find(self, id: str) -> Call | None:
        """The call of this id."""
        return self._by_id.get(id)

    def knows(self, request: Request, response: Response) -> bool:
        """Whether the call that this response to this request belongs to is up."""
        return _key(request.call_id, request.from_.tag, response.to.tag) in self._by_key

    def of(self, request: Request, response: Response) -> Call | None:
        """The call that this response to this request belongs to, if it is up."""
        return self._by_key.get(_key(request.call_id, request.from_.tag, response.to.tag))

    def answered(
        self,
        request: Request,
        response: Response,
        came: Flow,
        went: Flow | None,
        began: float,
        now: float,
        user: str = "",
    ) -> None:
        """A request got its final response, which is on its way back.

        `came` is the flow of the request and `went` the one on which it was accepted; None when it was not.
        Whoever shows requests here is in the way of later ones.
        """
        try:
            if request.to.tag is not None:
                self._within(request, response, came, went, now)
            elif request.method == "INVITE" and response.status < 300 and went is not None:
                self._begin(request, response, came, went, began, now, user)
        except SIPParseError:
            return  # neither end could be reached by it

    def _begin(
        self,
        request: Request,
        response: Response,
        came: Flow,
        went: Flow,
        began: float,
        now: float,
        user: str,
    ) -> None:
        key = _key(request.call_id, request.from_.tag, response.to.tag)
        call = self._by_key.get(key)
        if call is None:
            call = Call(self._new_id(), key, request.call_id, began, now)
            call.callee = Party(str(response.get("to")), address_of(went))
            above, ours = _beyond(response, request)
            _reach(call.callee, response, went, tuple(reversed(above)))
            if ";h=" in ours:
                call.callee.hidden = ours
            self._by_key[key] = self._by_id[call.id] = call
            self.total += 1
        # Where it came by twice, because a contact was another of our users, the outer pass knows the caller.
        call.began = began
        call.uri = request.uri_text
        call.user = user or call.user
        call.caller = Party(str(request.get("from")), address_of(came))
        call.caller.cseq = request.cseq.number
        _reach(call.caller, request, came, tuple(request.values("record-route")))
        self._extend(call, response, now)
        while len(self._by_key) > self.most:
            self._end(next(iter(self._by_key.values())), "forgotten")

    def _within(
        self, request: Request, response: Response, came: Flow, went: Flow | None, now: float
    ) -> None:
        call = self._by_key.get(_key(request.call_id, request.from_.tag, request.to.tag))
        if call is None:
            return
        method, status = request.method, response.status
        if method == "BYE" or status in _GONE:
            self._end(call, "bye" if method == "BYE" else "gone")
            return
        is_caller = request.from_.tag == _tag(call.caller.value)
        sender, taker = (call.caller, call.callee) if is_caller else (call.callee, call.caller)
        sender.cseq = max(sender.cseq, request.cseq.number)
        if status < 300 and method in ("INVITE", "UPDATE"):
            # A target refresh (RFC 3261 section 12.2): the ways stay, the addresses may not.
            _reach(sender, request, came, sender.routes)
            if went is not None:
                _reach(taker, response, went, taker.routes)
            self._extend(call, response, now)

    @staticmethod
    def _extend(call: Call, response: Response, now: float) -> None:
        call.deadline = now + LONGEST
        if response.has("session-expires"):
            call.deadline = now + response.typed("session-expires").seconds + _GRACE

    def expire(self, now: float) -> None:
        """Drop the calls that nobody has refreshed."""
        for call in [one for one in self._by_key.values() if one.deadline <= now]:
            self._end(call, "expired")

    def clear(self, why: str) -> None:
        """Forget all."""
        for call in list(self._by_key.values()):
            self._end(call, why)

    def forget(self, call: Call) -> None:
        """A call was ended from here; harmless when it is known to be over."""
        if call.key in self._by_key:
            self._end(call, "bye")

    def _end(self, call: Call, why: str) -> None:
        del self._by_key[call.key]
        del self._by_id[call.id]
        self.ended(call, why)


def _key(call_id: str, one: str | None, other: str | None) -> str:
    """A dialog's name, the same seen from both ends."""
    one, other = one or "", other or ""
    return f"{call_id}\n{one}\n{other}" if one < other else f"{call_id}\n{other}\n{one}"


def _tag(value: str) -> str:
    """The tag in a From or To value."""
    return value.rpartition(";tag=")[2].partition(";")[0].strip(" \t")


def address_of(flow: Flow) -> str:
    """Where the peer of a flow is, `transport:host:port`."""
    host, port = flow.remote
    shown = f"[{host}]" if ":" in host else host
    return f"{flow.transport.lower()}:{shown}:{port}"


def answerer(invite: Request, response: Response, flow: Flow) -> Party:
    """Who accepted an INVITE as it was sent on this flow; `SIPParseError` when the 2xx cannot be read."""
    party = Party(str(response.get("to")), address_of(flow))
    above, _ = _beyond(response, invite)
    _reach(party, response, flow, tuple(reversed(above)))
    return party


def _reach(party: Party, message: Request | Response, flow: Flow, routes: tuple[str, ...]) -> None:
    """Note how to reach whoever sent a message, by its Contact; without one it stays as it is."""
    contacts = message.contacts
    if not contacts:
        return
    uri = contacts[0].uri
    party.contact = contacts[0].uri_text
    party.routes = routes
    pinned = not routes and isinstance(uri, SipURI) and goes_by_flow(uri, flow)
    party.flow_token = flow.token if pinned else ""


def _beyond(response: Response, request: Request) -> tuple[list[str], str]:
    """The Record-Route values of those between us and whoever answered, and ours below them.

    Those of the request come last in the response; ours, one or two, before them.
    """
    values = response.values("record-route")
    ahead = len(request.values("record-route")) if request.has("record-route") else 0
    above = values[: len(values) - ahead]
    ours = ""
    while above and ";d=" in above[-1]:
        ours = above.pop()
    return above, ours
