"""
What went over a simulated network, as a ladder.

    network = SimulatedNetwork(seed=7, loss=0.05)
    ladder = NetworkLadder(network)
    ...
    print(ladder.draw("some-call-id"))

Each line is a message as it arrived, or a datagram that was lost, with its time on the network's clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rvoip.common.printable import printable
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.framing import StreamFramer
from rvoip.protocols.sip.grammar import format_host_port
from rvoip.protocols.sip.message import Message, Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.network import Datagram, SimulatedNetwork

__all__ = ["NetworkLadder", "Passed"]


class Passed(NamedTuple):
    """One message that arrived, or (`lost`) did not; `transport` is "UDP" or "TCP", `time` seconds."""

    time: float
    source: Endpoint
    destination: Endpoint
    transport: str
    lost: bool
    size: int
    message: Message


class NetworkLadder:
    """Keeps every SIP message that passes; what is no SIP, as within TLS, is left out."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.passed: list[Passed] = []
        self._network = network
        self._names: dict[str, str] = {}
        self._framers: dict[tuple[Endpoint, Endpoint], StreamFramer] = {}
        network.watch(self._arrived)
        network.watch_losses(self._lost)
        network.watch_streams(self._read)

    def _arrived(self, now: float, datagram: Datagram) -> None:
        self._add(now, datagram, datagram.data, "UDP", False)

    def _lost(self, now: float, datagram: Datagram) -> None:
        self._add(now, datagram, datagram.data, "UDP", True)

    def _read(self, now: float, piece: Datagram) -> None:
        framer = self._framers.setdefault((piece.source, piece.destination), StreamFramer())
        try:
            found = framer.receive(piece.data)
        except SIPParseError:
            self._framers[piece.source, piece.destination] = StreamFramer()
            return
        for one in found:
            if isinstance(one, bytes):
                self._add(now, piece, one, "TCP", False)

    def _add(self, now: float, datagram: Datagram, data: bytes, transport: str, lost: bool) -> None:
        try:
            message = parse_message(data)
        except SIPParseError:
            return
        self.passed.append(
            Passed(now, datagram.source, datagram.destination, transport, lost, len(data), message)
        )

    def of(self, call_id: str = "") -> list[Passed]:
        """The messages of one Call-ID, or all, in their order."""
        return [one for one in self.passed if not call_id or one.message.get("call-id") == call_id]

    def draw(self, *call_ids: str) -> str:
        """The messages of these Call-IDs, or all: a line each, ends by the names of their hosts."""
        chosen = [one for one in self.passed if not call_ids or one.message.get("call-id") in call_ids]
        return "".join(f"{line}\n" for line in self._lines(chosen))

    def _lines(self, chosen: Iterable[Passed]) -> Iterable[str]:
        for one in chosen:
            message = one.message
            what = f"{message.method} {message.uri_text}" if isinstance(message, Request) else ""
            what = what or str(message.start_line).partition(" ")[2]
            fate = "  -- lost" if one.lost else ""
            way = f"{self._name(one.source)} -> {self._name(one.destination)}"
            what = f"{printable(what)}  [{message.get('cseq')}]"
            yield f"{one.time:10.3f} {way:24} {one.transport} {what}{fate}"

    def _name(self, end: Endpoint) -> str:
        """The name of the host with this address, or the address."""
        host, port = end
        if host not in self._names:
            for name, reactor in self._network.hosts.items():
                if reactor.addresses is not None:
                    self._names.update(dict.fromkeys(reactor.addresses, name))
        return self._names.get(host) or format_host_port(host, port)
