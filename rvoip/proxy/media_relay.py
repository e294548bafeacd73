"""Calls whose media goes through a relay: what passes the proxy with a session description is rewritten.

Which description is an offer and which its answer follows from the messages alone (RFC 3264, RFC 6337): one
in an INVITE or UPDATE is an offer and its responses hold the answer; where an INVITE has none, its first
reliable response holds the offer, and the PRACK or ACK the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from rvoip.mediacontrol.errors import MediaError
from rvoip.protocols.dialog.body import session_part
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.addresses import canonical_host
from rvoip.protocols.transport.bounded import Recent
from rvoip.proxy.targets import Refused

if TYPE_CHECKING:
    from rvoip.mediacontrol.interfaces import IMediaRelay
    from rvoip.protocols.transport.flow import Flow

__all__ = ["MediaRelay", "source_behind_nat"]

_OFFERING = frozenset(("INVITE", "UPDATE", "PRACK"))
_MOST_CALLS = 100_000

_log = Logger()


class MediaRelay:
    """Puts an `IMediaRelay` into calls.

    `only_nat`: only where one of the ends is behind a NAT; else in all calls. Where a new call cannot be
    relayed it is refused with 503; in one that is set up already the description is passed on as it is.
    """

    def __init__(self, relay: IMediaRelay, only_nat: bool = False) -> None:
        self.relay = relay
        self.only_nat = only_nat
        self.failed = 0
        """Descriptions that could not be rewritten."""
        self._calls: Recent[str, bool] = Recent(_MOST_CALLS)
        # (Call-ID, tag of the callee): the callee has made an offer that is not answered yet.
        self._offered: Recent[tuple[str, str], bool] = Recent(_MOST_CALLS)

    # Requests.

    def wants(self, request: Request, flow: Flow, behind_nat: bool) -> bool:
        """Whether a request, or what comes back for it, is to be rewritten.

        `behind_nat`: whoever it goes to is behind one.
        """
        method = request.method
        if method not in _OFFERING:
            return False
        call_id = request.call_id
        if self.only_nat and not (behind_nat or self._calls.get(call_id) or source_behind_nat(request, flow)):
            return False
        if method == "INVITE":
            self._calls.put(call_id, True)
            return True
        return bool(request.body)

    async def request(self, request: Request, flow: Flow) -> None:
        """Rewrite the description in a request. Raises `Refused` when that of a new call cannot be."""
        part = session_part(request)
        if part is None:
            return
        from_tag, to_tag = request.from_.tag or "", request.to.tag or ""
        call_id = request.call_id
        received = source_behind_nat(request, flow)
        text = _text(part.content)
        answers = request.method == "PRACK" and self._offered.pop((call_id, to_tag)) is not None
        try:
            if answers:
                made = await self.relay.answer(call_id, to_tag, from_tag, text, received=received)
            else:
                made = await self.relay.offer(call_id, from_tag, text, to_tag, received=received)
        except MediaError as error:
            self._note(error, call_id)
            if not to_tag:
                raise Refused(503, "No media relay", headers=(("Retry-After", "10"),)) from None
            return
        _put(request, part.content, made)

    # Responses.

    def wants_response(self, request: Request, response: Response) -> bool:
        """Whether a response to a request that `wants` was true for is to be rewritten."""
        return 100 < response.status < 300 and bool(response.body)

    async def response(self, request: Request, response: Response, flow: Flow) -> None:
        """Rewrite the description in a response that came on `flow`."""
        part = session_part(response)
        if part is None:
            return
        call_id = request.call_id
        from_tag, to_tag = request.from_.tag or "", response.to.tag or ""
        received = source_behind_nat(response, flow)
        text = _text(part.content)
        try:
            if session_part(request) is not None:
                made = await self.relay.answer(call_id, from_tag, to_tag, text, received=received)
            else:
                made = await self.relay.offer(call_id, to_tag, text, from_tag, received=received)
                self._offered.put((call_id, to_tag), True)
        except MediaError as error:
            self._note(error, call_id)
            return
        _put(response, part.content, made)

    # The rest of a call.

    def wants_ack(self, ack: Request) -> bool:
        """Whether an ACK holds an answer of a call of ours."""
        return bool(ack.body) and (not self.only_nat or bool(self._calls.get(ack.call_id)))

    async def ack(self, ack: Request, flow: Flow) -> None:
        """Rewrite the answer in an ACK."""
        part = session_part(ack)
        if part is None:
            return
        caller, callee = ack.from_.tag or "", ack.to.tag or ""
        self._offered.pop((ack.call_id, callee))
        received = source_behind_nat(ack, flow)
        try:
            made = await self.relay.answer(
                ack.call_id, callee, caller, _text(part.content), received=received
            )
        except MediaError as error:
            self._note(error, ack.call_id)
            return
        _put(ack, part.content, made)

    def ends(self, request: Request, status: int) -> bool:
        """Whether a call is over with this final status of a request."""
        method = request.method
        if method == "INVITE":
            return status >= 300 and request.to.tag is None
        return method == "BYE" and (status < 300 or status in (408, 481))

    async def end(self, request: Request) -> None:
        """The call is over: the relay may forget it. Never fails."""
        await self.over(request.call_id, request.from_.tag or "")

    async def over(self, call_id: str, tag: str) -> None:
        """The call with this end is over. Never fails."""
        if self.only_nat and not self._calls.get(call_id):
            return
        self._calls.pop(call_id)
        try:
            await self.relay.delete(call_id, tag)
        except MediaError as error:
            self._note(error, call_id)

    def _note(self, error: MediaError, call_id: str) -> None:
        self.failed += 1
        _log.warn("The media of {call_id} is not relayed: {reason}", call_id=call_id, reason=error.reason)


def source_behind_nat(message: Message, flow: Flow) -> str:
    """The address that a message came from, where its Contact shows another one; else "".

    A NAT is between then, and the addresses in the description are no better than that in the Contact. A
    message that came through another proxy says nothing.
    """
    if isinstance(message, Request) and len(message.vias) > 1:
        return ""
    try:
        contacts = message.contacts
        uri = contacts[0].uri if contacts else None
    except SIPParseError:
        return ""
    if not isinstance(uri, SipURI) or canonical_host(uri.host) in (None, flow.remote[0]):
        return ""
    return flow.remote[0]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _put(message: Message, old: bytes, new: str) -> None:
    """Put a description in the place of the old one, which may be one part of several."""
    body = message.body.replace(old, new.encode("utf-8", "surrogateescape"), 1)
    message.set_body(body, message.get("content-type") or "application/sdp")
