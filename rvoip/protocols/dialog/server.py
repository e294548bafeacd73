"""A server transaction: one received request and the responses to it (RFC 3261 section 17.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.transaction import (
    ACCEPTED,
    END,
    PASS,
    PROVISIONAL,
    SEND,
    TERMINATED,
    TIMEOUT,
    InviteServer,
    NonInviteServer,
)
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.transactions import TransactionLayer

__all__ = ["ServerTransaction"]

Cancelled = Callable[["ServerTransaction", Request], None]
Ended = Callable[["ServerTransaction", str], None]


class ServerTransaction:
    """A request to be answered with `respond`, at once or later.

    Set `on_cancel` to be told of a CANCEL (the layer has answered it 200 already) and `on_end` to be
    told when the transaction is over: "" after it ran its course, "timeout" when a failure response was
    never acknowledged, or a request other than INVITE not answered in time.
    """

    __slots__ = (
        "_last",
        "_layer",
        "_machine",
        "_over",
        "_reply_flow",
        "_timer",
        "flow",
        "invite",
        "key",
        "on_cancel",
        "on_end",
        "request",
        "status",
    )

    def __init__(self, layer: TransactionLayer, request: Request, flow: Flow, key: str) -> None:
        self.request = request
        self.flow = flow
        self.key = key
        self.invite = request.method == "INVITE"
        self.status = 0
        """The status of the last response; 0 before the first one."""
        self.on_cancel: Cancelled | None = None
        self.on_end: Ended | None = None
        self._layer = layer
        # There is none for a request that is answered before it has to be remembered.
        self._machine: InviteServer | NonInviteServer | None = None
        self._over = False
        self._reply_flow: Flow | None = None
        self._last: bytes | None = None
        self._timer: Timer | None = None

    @property
    def state(self) -> str:
        """The state by its name in RFC 3261 figures 7 and 8; "Terminated" once the layer forgot it."""
        if self._over:
            return TERMINATED
        if self._machine is not None:
            return self._machine.state
        return "Proceeding" if self.invite else "Trying"

    @property
    def answered(self) -> bool:
        """Whether a final response was given, or none will be any more."""
        return self.status >= 200 or self._over

    def respond(self, response: Response) -> None:
        """Send a response.

        One that comes after a final one is dropped, but a further 2xx to an INVITE. So is a provisional
        one to anything but an INVITE (RFC 4320 section 4.1).
        """
        if self._over:
            return
        status = response.status
        layer = self._layer
        now = layer.now()
        if self.invite:
            machine = self._machine or self._start(now)
            if not machine.respond(status, now) & SEND:
                return
            data = response.to_bytes()
            if status >= 200:
                if machine.state == ACCEPTED and self.status < 200:
                    layer.accepted(self)
                # A 2xx is sent again by whoever made it, not here (RFC 6026 section 7.1).
                self._last = data if status >= 300 else None
            else:
                self._last = data
            self.status = status
            self._send(data)
            self._arm(now)
            return
        if status < 200:
            return
        self.respond_written(status, response.to_bytes())

    def respond_written(self, status: int, data: bytes, keep: bool = True) -> None:
        """Send a final response that is written already, to a request other than INVITE.

        Unless `keep`, the request is answered again when it comes again (RFC 3261 section 8.2.7).
        """
        if self._over:
            return
        # From here on only Timer J is left: see `rvoip.protocols.dialog.answered`.
        self.status = status
        if keep and not self.flow.reliable:
            layer = self._layer
            layer.keep_answer(self.key, data, layer.now())
        if self._machine is None:
            self._over = True
        else:
            self._forget()
        self._send(data)
        if self.on_end is not None:
            self._end("")

    def respond_status(self, status: int, reason: str | None = None, **more: object) -> None:
        """Send the response with this status; see `rvoip.protocols.sip.build.respond` for the keywords."""
        self.respond(respond(self.request, status, reason, to_tag=self._layer.new_tag(), **more))  # type: ignore[arg-type]

    def respond_stateless(self, response: Response) -> None:
        """Answer and leave no state: for challenges and refusals of requests that nobody vouched for.

        The request is answered again when it comes again (RFC 3261 section 8.2.7). Give the response
        `stateless_tag`: the ACK of an INVITE's is then known for what it is.
        """
        if self.status or self._over:
            # After a 100 the client does not ask again: the answer must not be lost.
            self.respond(response)
            return
        self._forget()
        self.status = response.status
        self._send(response.to_bytes())
        if self.on_end is not None:
            self._end("")

    def abandon(self) -> None:
        """Give the request up without an answer, as a proxy must rather than send a 408 to a non-INVITE
        request (RFC 4320 section 4.2).
        """
        self._forget()
        self._end("")

    @property
    def stateless_tag(self) -> str:
        """The To tag for `respond_stateless`: the same when the request comes again."""
        return self._layer.stateless_tag(self.request)

    # Called by the layer.

    def wait(self) -> None:
        """The user has not answered yet: be found by retransmissions and CANCEL from now on."""
        if self._machine is None and not self._over:
            now = self._layer.now()
            self._start(now)
            self._arm(now)

    def _start(self, now: float) -> InviteServer | NonInviteServer:
        layer = self._layer
        machine_class = InviteServer if self.invite else NonInviteServer
        machine: InviteServer | NonInviteServer = machine_class(layer.timers, self.flow.reliable, now)
        self._machine = machine
        layer.add_server(self)
        return machine

    def receive(self, request: Request, flow: Flow) -> None:
        """The request came again, or the ACK of an INVITE did."""
        machine = self._machine
        if machine is None:
            return
        layer = self._layer
        now = layer.now()
        event = request.method if self.invite else "request"
        actions = machine.receive(event, now)
        if actions & SEND and self._last is not None:
            self._send(self._last)
        if event == "ACK":
            if actions & PASS:
                layer.pass_ack(request, flow)
            else:
                self._act(actions, now)

    def _tick(self) -> None:
        self._timer = None
        machine = self._machine
        if machine is None:
            return
        now = self._layer.now()
        actions = machine.tick(now)
        if actions & PROVISIONAL:
            self.status = 100
            self._last = respond(self.request, 100).to_bytes()
            self._send(self._last)
        elif actions & SEND and self._last is not None:
            self._send(self._last)
        self._act(actions, now)

    def _act(self, actions: int, now: float) -> None:
        if actions & END:
            self._forget()
            self._end("timeout" if actions & TIMEOUT else "")
        else:
            self._arm(now)

    def _arm(self, now: float) -> None:
        """Have `_tick` called at the machine's deadline."""
        timer = self._timer
        if timer is not None:
            timer.cancel()
            self._timer = None
        machine = self._machine
        if machine is not None and machine.deadline is not None and not self._over:
            self._timer = self._layer.wheel.schedule(machine.deadline - now, ServerTransaction._tick, self)

    def _send(self, data: bytes) -> None:
        flow = self._reply_flow
        if flow is None:
            flow = self._reply_flow = self.flow.reply_flow(self.request.via)
        try:
            flow.send(data)
        except FlowError:
            self._send_elsewhere(data)
        else:
            self._layer.sent_response(self.request, data, flow)

    def _send_elsewhere(self, data: bytes) -> None:
        """The connection is gone: try one to the sent-by address (RFC 3261 section 18.2.2).

        When that fails as well the transaction goes on: the peer may come back and ask, or cancel
        (RFC 6026 section 8.8).
        """
        layer = self._layer
        flow = layer.response_flow(self.request, self.flow)
        if flow is not None:
            try:
                flow.send(data)
            except FlowError:
                flow = None
        if flow is None:
            layer.unsent += 1
        else:
            self._reply_flow = flow
            layer.sent_response(self.request, data, flow)

    def _forget(self) -> None:
        if self._over:
            return
        self._over = True
        if self._machine is not None:
            self._layer.remove_server(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, reason: str) -> None:
        ended, self.on_end = self.on_end, None
        self.on_cancel = None
        if ended is not None:
            ended(self, reason)
