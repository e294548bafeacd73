"""SIP over WebSocket (RFC 7118), the side that is connected to. Needs the extra `ws`."""

from __future__ import annotations

from typing import Any, ClassVar

from rvoip.protocols.sip.framing import KeepAlive
from rvoip.protocols.transport.handshake import WebSocketRules
from rvoip.protocols.transport.stream import SIPStreamProtocol
from rvoip.protocols.transport.streamflow import StreamFlow, WSFlow, WSSFlow
from rvoip.protocols.transport.websocket import GOING_AWAY, NORMAL, ServerWebSocket

__all__ = ["SIPWebSocketProtocol"]


class SIPWebSocketProtocol(SIPStreamProtocol):
    """Takes SIP messages out of one WebSocket, and keeps its client within the limits.

    The HTTP request, after the TLS handshake where there is one, must be complete within
    `TransportLimits.handshake_timeout`. What is refused gets an HTTP answer, what breaks the protocol later a
    close frame with the reason. A client that is silent is pinged: browsers answer without any script.
    """

    flow_kinds: ClassVar[tuple[type[StreamFlow], type[StreamFlow]]] = WSFlow, WSSFlow

    def __init__(self, *arguments: Any, rules: WebSocketRules | None = None, **more: Any) -> None:
        """`rules` says who may connect, by default whoever is no browser; the rest is as there."""
        super().__init__(*arguments, **more)
        self._socket = ServerWebSocket(self.intake.limits.message.message, rules or WebSocketRules())

    def _connected(self) -> None:
        """The client has to speak first."""

    def _messages_in(self, data: bytes) -> list[bytes | KeepAlive]:
        socket, times = self._socket, self._times
        was_open = socket.is_open
        found = socket.receive(data)
        if socket.is_open and not was_open:
            self._flush()
            self._ready()
            self.flow.keep_alive(self.intake.limits.websocket_ping)
        if socket.ponged:
            socket.ponged = False
            times.pinged = None
        if found or socket.pending:
            # That a browser answers pings does not say that anybody uses it; and a ping completes no message.
            completed = any(isinstance(item, bytes) for item in found)
            times.received(self._clock.seconds(), completed, socket.pending > 0)
        elif socket.is_open:
            times.partial = None
        if not self._blocked:
            self._flush()
        return found

    def _flush(self) -> None:
        """Write what the machine has to say."""
        output = self._socket.output
        if output:
            self._write(bytes(output))
            output.clear()

    def _all_processed(self) -> None:
        socket = self._socket
        if not socket.ended or self.flow.closed:
            return
        if socket.refusal is not None:
            self.intake.refused(self.flow, f"no WebSocket: {socket.ended}")
        self.flow.shut(f"WebSocket: {socket.ended}")

    def _framed(self, data: bytes) -> bytes:
        return self._socket.message(data)

    def _ping(self) -> bytes:
        return self._socket.ping()

    def _pong(self, count: int) -> bytes:
        return self._socket.pong(count)

    def _goodbye(self) -> bytes:
        socket = self._socket
        reason = self.flow.reason
        socket.close(GOING_AWAY if reason == "stopped" else NORMAL, reason)
        said = bytes(socket.output) + socket.farewell()
        socket.output.clear()
        return said
