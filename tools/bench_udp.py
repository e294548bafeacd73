"""CPU time a datagram: the batch port beside Twisted's own, as an echo and with SIP on it.

    python tools/bench_udp.py [--rate 3000,10000] [--seconds 3] [--runs 3]

A server process and this generator talk over loopback, each kind of port in turn. "echo" returns
datagrams of 500 octets; "sip" is a `TransportLayer` that parses, checks and answers REGISTER 200 at once.
Figures are the server's user and system time, the median of the runs. Compare them within a run only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.transport.addresses import ListenAddress
from rvoip.protocols.transport.batch import BatchUDP
from rvoip.protocols.transport.flow import Flow
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.protocols.transport.layer import TransportLayer

SERVER = ("127.0.61.9", 15060)
CLIENT = "127.0.61.8"

REGISTER = "\r\n".join(
    [
        "REGISTER sip:example.test SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.61.8:{port};branch=z9hG4bK-524287-1---{number:07};rport",
        "Max-Forwards: 70",
        "Contact: <sip:alice@127.0.61.8:{port};rinstance=4fd53abf>",
        "To: <sip:alice@example.test>",
        "From: <sip:alice@example.test>;tag=1c8f09f1",
        "Call-ID: 8mF9RrvXCkuu1Vt6aZ2h3g{number:07}",
        "CSeq: 1 REGISTER",
        "Expires: 3600",
        "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE",
        "User-Agent: bench",
        "Content-Length: 0",
        "",
        "",
    ]
)


class Echo(DatagramProtocol):
    """Sends back what it gets."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Send it back."""
        self.transport.write(datagram, addr)  # type: ignore[union-attr]


@implementer(IMessageReceiver)
class Registrar:
    """Says 200 to everything."""

    def message_received(self, message: Request | Response, flow: Flow) -> None:
        """Answer."""
        if isinstance(message, Request):
            flow.reply_flow(message.via).send(respond(message, 200, to_tag="bench").to_bytes())

    def parse_failed(self, error: SIPParseError, flow: Flow) -> None:
        """The generator sends none such."""
        raise error


def serve(kind: str, batch: bool, seconds: float, ready: Connection) -> None:
    """Run a server for so long; report its CPU seconds."""
    reactor: Any = global_reactor
    reactor.seconds = time.monotonic
    if kind == "echo":
        udp = BatchUDP(reactor) if batch else reactor
        udp.listenUDP(SERVER[1], Echo(), SERVER[0], 65535)
    else:
        layer = TransportLayer(reactor, Registrar(), batch=batch)
        layer.listen(ListenAddress("UDP", *SERVER))
    ready.send(0.0)
    reactor.callLater(seconds, reactor.stop)
    before = resource.getrusage(resource.RUSAGE_SELF)
    reactor.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    ready.send(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def generate(
    make: Callable[[int], bytes], client: socket.socket, rate: int, seconds: float
) -> tuple[int, int]:
    """Send at a steady rate; returns how many datagrams went and came back."""
    wanted = int(rate * seconds)
    sent = received = 0
    start = time.monotonic()

    def read() -> int:
        count = 0
        try:
            while client.recv(2048):
                count += 1
        except BlockingIOError:
            return count
        return count

    while sent < wanted:
        due = min(wanted, int((time.monotonic() - start) * rate))
        while sent < due:
            client.sendto(make(sent), SERVER)
            sent += 1
        received += read()
        time.sleep(0.0005)
    time.sleep(0.3)
    return sent, received + read()


def measure(kind: str, batch: bool, rate: int, seconds: float) -> tuple[float, int]:
    """CPU microseconds a datagram, and how many were lost."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(kind, batch, seconds + 1.5, theirs))
    process.start()
    ours.recv()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        client.bind((CLIENT, 0))
        client.setblocking(False)
        port = client.getsockname()[1]
        if kind == "echo":
            payload = os.urandom(500)
            sent, received = generate(lambda number: payload, client, rate, seconds)
        else:
            sent, received = generate(
                lambda number: REGISTER.format(port=port, number=number).encode(), client, rate, seconds
            )
    used: float = ours.recv()
    process.join()
    return used / sent * 1e6, sent - received


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="CPU time a datagram, batch port beside Twisted's own")
    parser.add_argument("--rate", default="1000,3000,10000,30000", help="datagrams a second, comma-separated")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(f"{'what':6}{'rate':>8}{'batch us':>10}{'stock us':>10}{'ratio':>7}{'lost':>6}")
    for kind in ("echo", "sip"):
        for rate in [int(text) for text in given.rate.split(",")]:
            if kind == "sip" and rate > 15000:
                continue
            times: dict[bool, list[float]] = {True: [], False: []}
            lost = 0
            for _ in range(given.runs):
                for batch in (True, False):
                    used, missing = measure(kind, batch, rate, given.seconds)
                    times[batch].append(used)
                    lost += missing
            batch_us, stock_us = statistics.median(times[True]), statistics.median(times[False])
            print(
                f"{kind:6}{rate:8}{batch_us:10.1f}{stock_us:10.1f}{batch_us / stock_us:7.2f}{lost:6}",
                flush=True,
            )


if __name__ == "__main__":
    main()
