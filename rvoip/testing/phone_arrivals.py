"""What comes to a test phone: to which of its transactions and calls a message goes, and what is amiss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.testing.phone_call import Call
from rvoip.testing.phone_expect import Expectations
from rvoip.testing.phone_transactions import ServerTransaction
from rvoip.testing.phone_wire import Channel

if TYPE_CHECKING:
    from rvoip.testing.phone import Phone

__all__ = ["Arrivals"]

_AGREED = ("OPTIONS", "MESSAGE", "NOTIFY", "INFO")


class Arrivals:
    """What comes to `phone`; what it must not be sent becomes one of its problems."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._incoming: Expectations[Call] = Expectations(phone.reactor)
        self._unclaimed_calls: list[Call] = []

    def stop(self) -> None:
        """Wait for no more calls."""
        self._incoming.stop()

    def incoming(self, within: float = 32.0) -> Deferred[Call]:
        """Fires with the next incoming call, in the state that the script left it in."""
        coming = self._incoming.expect(
            lambda call: True, within, lambda: f"a call\n{self._phone.ladder()}", self._unclaimed_calls
        )
        if coming.called:
            del self._unclaimed_calls[0]
        return coming

    def received(self, data: bytes, channel: Channel) -> None:
        """Take what came: a message, or a problem."""
        try:
            message = parse_message(data)
            check(message)
        except SIPParseError as error:
            self._phone.problems.append(f"from {channel.peer}: {error}: {data[:200]!r}")
            return
        index = self._phone.record.received(message, channel.peer)
        if isinstance(message, Response):
            new = self._take_response(message)
        else:
            new = self._take_request(message, channel)
        if new:
            self._phone.record.offer(message)
        else:
            self._phone.record.repeated(index)

    def _take_response(self, response: Response) -> bool:
        if len(response.vias) != 1 or response.via.sent_by != self._phone.sent_by:
            self._phone.problems.append(
                f"a response with the Via values of others: {response.get_all('via')}"
            )
            return False
        transaction = self._phone.client_transactions.get((response.via.branch or "", response.cseq.method))
        if transaction is not None:
            return transaction.received(response)
        if not self._phone.record.matches(response):
            self._phone.problems.append(f"a response to nothing: {response.start_line}")
        return False

    def _take_request(self, came: Request, channel: Channel) -> bool:
        transaction = self._phone.server_transactions.get(ServerTransaction.key(came))
        if came.method == "ACK":
            call = self._call_of(came)
            if transaction is not None:
                return transaction.acknowledged()
            return call is not None and call.acknowledged(came)
        if transaction is not None:
            transaction.repeated()
            return False
        server = ServerTransaction(self._phone, came, channel)
        if came.method == "CANCEL":
            self._take_cancel(server)
        elif came.to.tag is not None:
            call = self._call_of(came)
            if came.method == "NOTIFY" and came.call_id in self._phone.subscribed:
                server.respond(respond(came, 200))
            elif call is None or call.state == "over":
                server.respond(respond(came, 481))
            else:
                call.request_arrived(server)
        elif came.method == "INVITE":
            self._take_invite(server)
        else:
            status = 200 if came.method in _AGREED else 501
            server.respond(respond(came, status, to_tag=self._phone.new_tag()))
        return True

    def _call_of(self, came: Request) -> Call | None:
        for call in self._phone.calls:
            if (
                call.call_id == came.call_id
                and call.local.tag == came.to.tag
                and call.remote.tag == came.from_.tag
            ):
                return call
        return None

    def _take_cancel(self, server: ServerTransaction) -> None:
        branch, sent_by, _ = ServerTransaction.key(server.request)
        invited = self._phone.server_transactions.get((branch, sent_by, "INVITE"))
        server.respond(respond(server.request, 481 if invited is None else 200, to_tag=self._phone.new_tag()))
        if invited is not None:
            for call in self._phone.calls:
                call.cancelled_by(invited)

    def _take_invite(self, server: ServerTransaction) -> None:
        invite = server.request
        local = NameAddr(invite.to.uri_text, invite.to.display, {"tag": self._phone.new_tag()})
        call = Call(self._phone, invite.call_id, local, invite.from_, True)
        call.arrived(server)
        self._phone.script(call)
        if not self._incoming.happened(call):
            self._unclaimed_calls.append(call)
