"""A server transaction: one received request and the responses to it (RFC 3261 section 17.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.transaction import END, PASS, SEND, TIMEOUT, InviteServer, NonInviteServer
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.transactions import TransactionLayer

__all__ = ["ServerTransaction"]

TRYING_AFTER = 0.2
"""Seconds after which an unanswered INVITE gets a 100 (RFC 3261 section 17.2.1)."""

Cancelled = Callable[["ServerTransaction", Request], None]
Ended = Callable[["ServerTransaction", str], None]


class ServerTransaction:
    """A request to be answered with `respond`, at once or later.

    Set `on_cancel` to be told of a CANCEL (the layer has answered it 200 already) and `on_end` to be
    told when the transaction is over: "" after it ran its course, "timeout" when a failure response
    was never acknowledged, "transport: ..." when the response could not be sent.
    """

    __slots__ = (
        "_kept",
        "_last",
        "_layer",
        "_machine",
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
        self.on_cancel: Cancelled | None = None
        self.on_end: Ended | None = None
        self._layer = layer
        self._machine: InviteServer | NonInviteServer | None = None
        self._reply_flow: Flow | None = None
        self._last: bytes | None = None
        self._timer: Timer | None = None
        self._kept = False

    @property
    def state(self) -> str:
        """The state by its name in RFC 3261 figures 7 and 8."""
        if self._machine is not None:
            return self._machine.state
        if self.status >= 200:
            return "Completed"
        return "Proceeding" if self.invite else "Trying"

    @property
    def answered(self) -> bool:
        """Whether a final response was given."""
        return self.status >= 200

    def respond(self, response: Response) -> None:
        """Send a response; one that comes after a final one is dropped, but a further 2xx to an INVITE."""
        status = response.status
        layer = self._layer
        now = layer.now()
        if self.invite:
            self._start()
            machine = self._machine
            if not isinstance(machine, InviteServer) or not machine.respond(status, now) & SEND:
                return
            self.status = status
            data = response.to_bytes()
            # A 2xx is sent again by whoever made it, not here (RFC 6026 section 7.1).
            self._last = None if 200 <= status < 300 else data
            self._send(data)
            self._arm()
            return
        if self.status >= 200:
            return
        if status < 200:
            if not self._may_send_provisional(status, now):
                return
            self.status = status
            self._last = response.to_bytes()
            self._send(self._last)
            return
        # From here on only Timer J is left: see `rvoip.protocols.dialog.answered`.
        self.status = status
        data = response.to_bytes()
        if not self.flow.reliable:
            layer.keep_answer(self.key, data, now)
        self._forget()
        self._send(data)
        self._end("")

    def respond_status(self, status: int, reason: str | None = None, **more: object) -> None:
        """Send the response with this status; see `rvoip.protocols.sip.build.respond` for the keywords."""
        self.respond(respond(self.request, status, reason, to_tag=self._layer.new_tag(), **more))  # type: ignore[arg-type]

    def respond_stateless(self, response: Response) -> None:
        """Answer and leave no state: for challenges and refusals of requests that nobody vouched for.

        The request is answered again when it comes again (RFC 3261 section 8.2.7). Give the response
        `stateless_tag`: the ACK of an INVITE's is then known for what it is.
        """
        if self.status >= 200:
            return
        self.status = response.status
        self._forget()
        self._send(response.to_bytes())
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

    def _start(self) -> None:
        """Be found by retransmissions, CANCEL and ACK from now on."""
        if self._kept:
            return
        self._kept = True
        layer = self._layer
        if self.invite:
            self._machine = InviteServer(layer.timers, self.flow.reliable)
        layer.add_server(self)

    def wait(self) -> None:
        """The user has not answered yet."""
        if self.status >= 200 or self._kept:
            return
        self._start()
        if self.invite and self.status == 0:
            self._timer = self._layer.wheel.schedule(TRYING_AFTER, ServerTransaction._trying, self)

    def _trying(self) -> None:
        self._timer = None
        if self.status == 0:
            self.respond(respond(self.request, 100))

    def receive(self, request: Request) -> None:
        """The request came again, or the ACK for its failure response did."""
        machine = self._machine
        if isinstance(machine, InviteServer):
            actions = machine.receive(request.method, self._layer.now())
            if actions & SEND and self._last is not None:
                self._send(self._last)
            if actions & PASS:
                self._layer.pass_ack(request, self.flow)
            self._act(actions)
        elif self._last is not None and self.status < 200 and request.method != "ACK":
            self._send(self._last)

    def _tick(self) -> None:
        self._timer = None
        machine = self._machine
        if machine is None:
            return
        actions = machine.tick(self._layer.now())
        if actions & SEND and self._last is not None:
            self._send(self._last)
        self._act(actions)

    def _act(self, actions: int) -> None:
        if actions & END:
            self._forget()
            self._end("timeout" if actions & TIMEOUT else "")
        else:
            self._arm()

    def _arm(self) -> None:
        """Have `_tick` called at the machine's deadline."""
        timer = self._timer
        if timer is not None:
            timer.cancel()
            self._timer = None
        machine = self._machine
        if machine is not None and machine.deadline is not None and self._kept:
            layer = self._layer
            delay = machine.deadline - layer.now()
            self._timer = layer.wheel.schedule(delay, ServerTransaction._tick, self)

    def _may_send_provisional(self, status: int, now: float) -> bool:
        """RFC 4320 section 4.1: nothing but a 100, and that not before T2 over UDP."""
        if status != 100:
            return False
        if self._machine is None:
            self._start()
            self._machine = NonInviteServer(self._layer.timers, self.flow.reliable, now)
        machine = self._machine
        return isinstance(machine, NonInviteServer) and machine.may_trouble(now)

    def _send(self, data: bytes) -> None:
        flow = self._reply_flow
        if flow is None:
            flow = self._reply_flow = self.flow.reply_flow(self.request.via)
        try:
            flow.send(data)
        except FlowError as error:
            self._send_elsewhere(data, error)

    def _send_elsewhere(self, data: bytes, error: FlowError) -> None:
        """The connection is gone: try one to the sent-by address (RFC 3261 section 18.2.2)."""
        flow = self._layer.response_flow(self.request, self.flow)
        if flow is not None:
            try:
                flow.send(data)
            except FlowError as second:
                error = second
            else:
                self._reply_flow = flow
                return
        machine = self._machine
        if machine is not None and machine.fail() & END:
            self._forget()
        self._end(f"transport: {error}")

    def _forget(self) -> None:
        if self._kept:
            self._kept = False
            self._layer.remove_server(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, reason: str) -> None:
        ended, self.on_end = self.on_end, None
        self.on_cancel = None
        if ended is not None:
            ended(self, reason)
