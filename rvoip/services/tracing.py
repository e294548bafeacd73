"""What goes over the wire, into the ring of recent messages and to a collector: the taps of a role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rvoip.common.errors import ConfigError
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.transport.addresses import canonical_host, is_loopback
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.layer import TransportLayer
from rvoip.services.config import Trace
from rvoip.trace.hep import SIP, TCP, UDP, HEPPacket
from rvoip.trace.hep_in import HEPListener
from rvoip.trace.hep_out import HEPSender
from rvoip.trace.reading import read
from rvoip.trace.ring import MessageRing

__all__ = ["Tracing"]

_FREQUENT: Final = frozenset(("REGISTER", "OPTIONS"))
"""What phones send all day long: it would push the calls out of the ring."""


class Tracing:
    """Two taps, `received` and `sent`, which run for each message and so do as little as they can.

    `ring` holds what passed; it is None while the `[trace]` table keeps nothing. `sender` and `listener` are
    services that somebody has to start, None where none is wanted; `ConfigError` for an address that is none.
    Our end of a message is named by where we listen, so that an element is one column of a ladder whichever
    port its connections leave from.
    """

    def __init__(
        self,
        reactor: Any,
        table: Trace,
        file: str,
        transport: TransportLayer,
        transactions: TransactionLayer,
        wall: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._transactions = transactions
        self._wall = wall
        self._skipped: frozenset[str] = _FREQUENT
        self._id = table.hep_id
        self._key = table.hep_key.encode()
        self.ring: MessageRing | None = None
        self.sender: HEPSender | None = None
        self.listener: HEPListener | None = None
        if table.hep:
            scheme, _, rest = table.hep.partition(":")
            host, port = _host_port(rest)
            if scheme not in ("udp", "tcp") or not host or not port:
                raise ConfigError(file, "trace.hep", f"{table.hep!r} is not udp:host:port or tcp:host:port")
            self.sender = HEPSender(reactor, scheme, host, port)
        if table.hep_listen:
            host, port = _host_port(table.hep_listen)
            if canonical_host(host) is None or port is None:
                raise ConfigError(file, "trace.hep_listen", f"{table.hep_listen!r} is not IP:port")
            if not (table.hep_key or is_loopback(host)):
                remedy = "set hep_key, or listen on loopback"
                raise ConfigError(file, "trace.hep_listen", "other machines reach it", remedy)
            self.listener = HEPListener(reactor, host, port, self._key, self.captured)
        self.apply(table)

    def apply(self, table: Trace) -> None:
        """Keep from now on what this table asks for; of what was kept, as many calls as it allows."""
        self._skipped = frozenset() if table.registrations else _FREQUENT
        if not table.keep:
            self.ring = None
        elif self.ring is None:
            self.ring = MessageRing(table.keep)
        else:
            self.ring.resize(table.keep)
        wanted = self.ring is not None or self.sender is not None
        self._transport.intake.tap = self.received if wanted else None
        self._transactions.tap = self.sent if wanted else None

    def received(self, message: Request | Response, data: bytes, flow: Flow) -> None:
        """A checked message came, as `data`."""
        method = message.method if isinstance(message, Request) else message.cseq.method
        if method in self._skipped:
            return
        if self.ring is not None:
            self.ring.add(
                message.call_id, self._wall(), False, flow.transport, flow.sent_by, flow.remote, data
            )
        if self.sender is not None:
            self._report(flow, flow.remote, _host_port(flow.sent_by), data)

    def sent(self, request: Request, data: bytes, flow: Flow) -> None:
        """`data` went out: this request, or a response to it."""
        if request.method in self._skipped:
            return
        if self.ring is not None:
            self.ring.add(
                request.call_id, self._wall(), True, flow.transport, flow.sent_by, flow.remote, data
            )
        if self.sender is not None:
            self._report(flow, _host_port(flow.sent_by), flow.remote, data)

    def _report(
        self, flow: Flow, source: tuple[str, int | None], destination: tuple[str, int | None], data: bytes
    ) -> None:
        assert self.sender is not None
        protocol = UDP if flow.transport == "UDP" else TCP
        ends = (source[0], source[1] or 0), (destination[0], destination[1] or 0)
        self.sender.send(HEPPacket(self._wall(), *ends, data, protocol, SIP, self._id, self._key))

    def captured(self, packet: HEPPacket) -> None:
        """Another element has captured a message."""
        if self.ring is None or packet.kind != SIP:
            return
        message = read(packet.payload)
        if message is None:
            return
        try:
            call_id, method = message.call_id, _method(message)
        except SIPParseError:
            return
        if method in self._skipped:
            return
        transport = "UDP" if packet.protocol == UDP else _transport(message)
        source = format_host_port(*packet.source)
        node = packet.agent or 1 << 32
        self.ring.add(call_id, packet.at, True, transport, source, packet.destination, packet.payload, node)


def _transport(message: Message) -> str:
    """The transport that the top Via names: a collector is not told of TLS. TCP when it names none."""
    try:
        return message.via.transport
    except SIPParseError:
        return "TCP"


def _method(message: Message) -> str:
    return message.method if isinstance(message, Request) else message.cseq.method


def _host_port(text: str) -> tuple[str, int | None]:
    """The host, without brackets, and the port, None when it is none."""
    host, _, port = text.rpartition(":")
    good = port.isascii() and port.isdecimal() and len(port) < 6 and int(port) < 65536
    return host.removeprefix("[").removesuffix("]"), int(port) if good else None
