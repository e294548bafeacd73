"""Loopback addresses and ports that nothing else has, neither this test process nor another one beside it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

__all__ = ["NETWORK", "address", "free_port"]


def _claim() -> tuple[int, socket.socket]:
    """A number that no other process has, and the socket that holds it until this one ends."""
    for number in range(256):
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0rvoip-interop-{number}")
        except OSError:
            held.close()
            continue
        return number, held
    raise AssertionError("256 test processes have all loopback networks")


_NUMBER, _HELD = _claim()

NETWORK = f"127.70.{_NUMBER}"
"""The first three octets of all IPv4 addresses of a test process."""

# Of four digits, because sipsak cuts off a fifth, and none that the system gives to a client by itself.
_FIRST, _LAST = 5100, 9900
_ports: dict[str, Iterator[int]] = {}


def address(last: int) -> str:
    """An address of the network of this process."""
    return f"{NETWORK}.{last}"


def free_port(host: str) -> int:
    """A port that is free for UDP and TCP on this address, and that nobody was given before.

    Test processes have only ::1 in common, where each begins elsewhere.
    """
    if host not in _ports:
        begin = _FIRST + _NUMBER * 400 % (_LAST - _FIRST)
        _ports[host] = itertools.cycle([*range(begin, _LAST), *range(_FIRST, begin)])
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in itertools.islice(_ports[host], _LAST - _FIRST):
        with (
            socket.socket(family, socket.SOCK_STREAM) as stream,
            socket.socket(family, socket.SOCK_DGRAM) as datagram,
        ):
            try:
                stream.bind((host, port))
                datagram.bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port on {host}")
