"""Who is asked for names: given servers, or those of the system, whose files may change at any time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IResolver
from twisted.names import client, dns, hosts
from twisted.names.resolve import ResolverChain

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import split_host_port
from rvoip.protocols.transport.addresses import canonical_host

__all__ = ["make_resolver", "parse_server"]

PAYLOAD: Final = 1232
"""Octets of an answer that we take over UDP (RFC 6891): what passes every path without fragments."""

CHECK_EVERY: Final = 5.0
"""Seconds between two looks at whether the system's list of servers has changed."""

_MAX_SERVERS: Final = 3  # as the C library

_OPT: Final = 41
_TRIES: Final = 100

_Address = tuple[str, int]


def make_resolver(
    reactor: Any,
    servers: Sequence[str] = (),
    *,
    resolv_conf: str = "/etc/resolv.conf",
    hosts_file: str = "/etc/hosts",
) -> IResolver:
    """
    A resolver that asks `servers` ("192.0.2.53", "127.0.0.1:5353", "[::1]:5353").

    Without any it reads the hosts file first and asks those of `resolv_conf`, which is read again when it has
    changed; 127.0.0.1 where it names none. Raises ValueError for a server that is no numeric address.
    """
    if servers:
        return cast(IResolver, _Resolver(reactor, [parse_server(text) for text in servers]))
    return cast(IResolver, _SystemResolver(reactor, resolv_conf, hosts_file))


class _Datagrams(dns.DNSDatagramProtocol):
    """Says in each question how long an answer may be."""

    noisy = False

    def writeMessage(self, message: dns.Message, address: _Address) -> None:
        """Send a question."""
        if address not in self.controller.plain:
            option = dns.RRHeader(b"", _OPT, PAYLOAD, 0, dns.UnknownRecord(b""))
            message.additional = [*message.additional, option]
        super().writeMessage(message, address)


class _Resolver(client.Resolver):
    """Twisted's, with EDNS for servers that know it: SRV records of large domains do not fit into 512 octets.

    What does not fit into `PAYLOAD` either is asked for over TCP, which some networks do not let through.
    """

    def __init__(self, reactor: Any, servers: list[_Address]) -> None:
        super().__init__(servers=servers, reactor=reactor)
        self.plain: set[_Address] = set()
        """Servers that do not know EDNS."""
        self.index = -1  # TCP begins with the first server, too

    def _connectedProtocol(self, interface: str = "") -> dns.DNSDatagramProtocol:  # noqa: N802  Twisted's name
        """A new socket a question, so that its port is not known to whoever would forge the answer."""
        protocol = _Datagrams(self, reactor=self._reactor)
        for left in reversed(range(_TRIES)):
            try:
                self._reactor.listenUDP(dns.randomSource(), protocol, interface=interface)
            except CannotListenError:
                if not left:
                    raise
            else:
                break
        return protocol

    def _query(self, *args: Any) -> Deferred[dns.Message]:
        asked: Deferred[dns.Message] = super()._query(*args)
        if args[0] not in self.plain:
            asked.addCallback(self._checked, args)
        return asked

    def _checked(self, message: dns.Message, args: tuple[Any, ...]) -> Any:
        """Ask again in the old way where EDNS is what was not understood (RFC 6891 section 7)."""
        if message.rCode not in (dns.EFORMAT, dns.ENOTIMP):
            return message
        self.plain.add(args[0])
        return super()._query(*args[:3])


class _SystemResolver(ResolverChain):
    """The hosts file, then the servers of resolv.conf, as they are when a question is asked."""

    def __init__(self, reactor: Any, resolv_conf: str, hosts_file: str) -> None:
        self._reactor = reactor
        self._path = resolv_conf
        self._seen: tuple[int, ...] | None = None
        self._asking = _Resolver(reactor, _system_servers(self._path))
        self._look()
        super().__init__([hosts.Resolver(hosts_file, ttl=5), self._asking])

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Sequence[float]) -> Any:
        if self._reactor.seconds() - self._looked_at >= CHECK_EVERY:
            self._look()
        return super()._lookup(name, cls, type, timeout)

    def _look(self) -> None:
        """Take over the servers of a file that is another one; where it is gone the old ones stay."""
        self._looked_at = self._reactor.seconds()
        try:
            found = os.stat(self._path)
        except OSError:
            return
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen != self._seen:
            self._seen = seen
            self._asking.servers = _system_servers(self._path)


def _system_servers(path: str) -> list[_Address]:
    try:
        text = Path(path).read_text("ascii", "replace")
    except OSError:
        text = ""
    addresses = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            host = canonical_host(words[1])
            if host is not None:
                addresses.append((host, dns.PORT))
    return addresses[:_MAX_SERVERS] or [("127.0.0.1", dns.PORT)]


def parse_server(text: str) -> tuple[str, int]:
    """The numeric address and the port of a DNS server, as `make_resolver` takes it; or ValueError."""
    bare = text if text.count(":") < 2 or text.startswith("[") else f"[{text}]"
    try:
        host, port = split_host_port(bare, "server")
    except SIPParseError:
        host, port = "", None
    numeric = canonical_host(host)
    if numeric is None or port == 0:
        raise ValueError(f"{text!r} is not the numeric address of a DNS server")
    return numeric, dns.PORT if port is None else port
