"""A client transaction: one request sent and the responses to it (RFC 3261 section 17.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rvoip.common.wheel import Timer
from rvoip.protocols.dialog.transaction import (
    ACK,
    END,
    PASS,
    PROCEEDING,
    SEND,
    TIMEOUT,
    InviteClient,
    NonInviteClient,
)
from rvoip.protocols.sip.build import ack_for_failure, cancel_for
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow

if TYPE_CHECKING:
    from rvoip.protocols.dialog.transactions import TransactionLayer

__all__ = ["ClientTransaction"]


class ClientTransaction:
    """A request of ours under way; `user` (an `IClientUser`) is told of its responses or its failure."""

    __slots__ = (
        "_ack",
        "_cancel",
        "_cancel_sent",
        "_cancel_timer",
        "_data",
        "_failed",
        "_layer",
        "_machine",
        "_timer",
        "_unwatch",
        "flow",
        "invite",
        "key",
        "request",
        "status",
        "user",
    )

    def __init__(self, layer: TransactionLayer, request: Request, flow: Flow, key: str, user: Any) -> None:
        self.request = request
        self.flow = flow
        self.key = key
        self.user = user
        self.invite = request.method == "INVITE"
        self.status = 0
        self._layer = layer
        machine_class = InviteClient if self.invite else NonInviteClient
        self._machine: InviteClient | NonInviteClient = machine_class(
            layer.timers, flow.reliable, layer.now()
        )
        self._data = request.to_bytes()
        self._ack: bytes | None = None
        self._timer: Timer | None = None
        self._cancel: tuple[tuple[str, str], ...] | None = None
        self._cancel_sent = False
        self._cancel_timer: Timer | None = None
        self._unwatch: Callable[[], None] | None = None
        self._failed = False

    @property
    def state(self) -> str:
        """The state by its name in RFC 3261 figures 5 and 6."""
        return self._machine.state

    @property
    def answered(self) -> bool:
        """Whether a final response came."""
        return self.status >= 200

    def cancel(self, headers: Iterable[tuple[str, str]] = (), *, hush: bool = False) -> None:
        """Send a CANCEL as soon as a provisional response has come (RFC 3261 section 9.1).

        `headers` go into the CANCEL (Reason, RFC 3326). Nothing happens after a final response. When
        none comes within 64*T1 of the CANCEL, the transaction fails with "timeout". With `hush` an INVITE
        that nobody has answered is not sent again meanwhile.
        """
        if not self.invite or self._cancel is not None or self.status >= 200 or self._failed:
            return
        self._cancel = tuple(headers)
        machine = self._machine
        if machine.state == PROCEEDING:
            self._send_cancel()
        elif hush and isinstance(machine, InviteClient):
            machine.hush()
            self._arm()

    # Called by the layer.

    def start(self) -> None:
        """Send the request."""
        if self.flow.reliable and not self.flow.closed:
            self._unwatch = self.flow.when_closed(self._flow_closed)
        if self._send(self._data):
            self._arm()

    def receive(self, response: Response) -> None:
        """A response to the request came."""
        status = response.status
        machine = self._machine
        before = machine.state
        actions = machine.receive(status, self._layer.now())
        if status >= 200 and self.status < 200:
            self.status = status
            self._data = b""
            self._stop_watching()
        elif status < 200 and not self.answered:
            self.status = status
        if actions & ACK:
            if self._ack is None:
                self._ack = ack_for_failure(self.request, response).to_bytes()
            self._send(self._ack)
        if machine.state != before:
            if not self.invite and status >= 200 and not actions & END:
                # Only Timer K is left: see `rvoip.protocols.dialog.concluded`.
                self._forget()
                self._layer.conclude(self.key)
            else:
                self._arm()
            if self._cancel is not None and machine.state == PROCEEDING:
                self._send_cancel()
        if actions & PASS:
            self.user.response_received(self, response)
        if actions & END:
            self._forget()

    def _tick(self) -> None:
        self._timer = None
        actions = self._machine.tick(self._layer.now())
        if actions & SEND and not self._send(self._data):
            return
        if actions & END:
            self._forget()
        else:
            self._arm()
        if actions & TIMEOUT:
            self._fail("timeout")

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.deadline
        if deadline is not None:
            layer = self._layer
            self._timer = layer.wheel.schedule(deadline - layer.now(), ClientTransaction._tick, self)

    def _send(self, data: bytes) -> bool:
        try:
            self.flow.send(data)
        except FlowError as error:
            self._transport_failed(str(error))
            return False
        tap = self._layer.tap
        if tap is not None:
            tap(self.request, data, self.flow)
        return True

    def _send_cancel(self) -> None:
        if self._cancel_sent:
            return
        self._cancel_sent = True
        request = cancel_for(self.request)
        for name, value in self._cancel or ():
            request.add(name.lower(), value)
        layer = self._layer
        layer.resend_branch(request, self.flow, _Uninterested())
        self._cancel_timer = layer.wheel.schedule(
            layer.timers.lifetime, ClientTransaction._cancel_ignored, self
        )

    def _cancel_ignored(self) -> None:
        """No final response came after our CANCEL (RFC 3261 section 9.1)."""
        self._cancel_timer = None
        if self.status < 200:
            self._forget()
            self._fail("timeout")

    def _flow_closed(self, flow: Flow, reason: str) -> None:
        self._transport_failed(reason)

    def _transport_failed(self, reason: str) -> None:
        actions = self._machine.fail()
        if actions & END:
            self._forget()
        if self.status < 200:
            self._fail(f"transport: {reason}")

    def _fail(self, reason: str) -> None:
        if not self._failed and self.status < 200:
            self._failed = True
            self.user.client_failed(self, reason)

    def _forget(self) -> None:
        self._layer.remove_client(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._cancel_timer is not None:
            self._cancel_timer.cancel()
            self._cancel_timer = None
        self._stop_watching()

    def _stop_watching(self) -> None:
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()


class _Uninterested:
    """The user of a CANCEL: what becomes of it shows in the INVITE's transaction."""

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """The INVITE's own final response tells."""

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """The INVITE's own timer tells."""
