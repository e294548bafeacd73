"""Which ports a stream gets: pairs out of ranges, for interfaces with an address to listen on and one to
tell.

Pure: nothing is bound here. Whoever binds a pair and finds it taken says so with `refused` and asks again.
"""

from __future__ import annotations

import ipaddress
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from rvoip.protocols.rtp.errors import PortError

__all__ = ["Interface", "PortAllocator", "PortPair", "QUARANTINE", "parse_range"]

QUARANTINE: Final = 5.0
"""Seconds in which a pair that was given back is not given out: what is still under way to it belongs to
no one.
"""

_REFUSED: Final = 60.0
_FREE: Final = 0
_GIVEN: Final = 1
_RESTS: Final = 2
_RANGE: Final = re.compile(r"([0-9]{1,5})-([0-9]{1,5})\Z")


def parse_range(text: str) -> tuple[int, int]:
    """Read "20000-29999". Raises PortError whose text says what is wrong."""
    found = _RANGE.match(text)
    if found is None:
        raise PortError(f"{text!r} is no range of ports, as 20000-29999 is")
    first, last = int(found[1]), int(found[2])
    if not 1 <= first <= last <= 65_535:
        raise PortError(f"{text!r} is no range of ports: it must lie within 1-65535 and not fall")
    if first + first % 2 + 1 > last:
        raise PortError(f"{text!r} has no pair of ports, an even one and the next")
    return first, last


class Interface(NamedTuple):
    """One address of ours. Several may have one name, as those of IPv4 and IPv6 of one network have."""

    name: str
    host: str
    """Numeric address to listen on."""
    ports: tuple[int, int] = (20_000, 29_999)
    """First and last port, both included."""
    advertise: str = ""
    """The address that peers are told, where it is another (we stand behind a NAT)."""

    @property
    def told(self) -> str:
        """The address for descriptions."""
        return self.advertise or self.host

    @property
    def version(self) -> int:
        """4 or 6: of which IP it is."""
        return ipaddress.ip_address(self.host).version


class PortPair(NamedTuple):
    """An even port for RTP; the next is for RTCP."""

    interface: Interface
    rtp: int

    @property
    def rtcp(self) -> int:
        """The port of RTCP where it is not on that of RTP (RFC 3550 section 11)."""
        return self.rtp + 1


class _Range:
    """The pairs of one interface."""

    def __init__(self, interface: Interface) -> None:
        first, last = interface.ports
        self.interface = interface
        self.first = first + first % 2
        self.count = max(0, (last - self.first + 1) // 2)
        self.taken = bytearray(self.count)
        self.free = self.count
        self.resting: deque[tuple[float, int]] = deque()
        self.refused: deque[tuple[float, int]] = deque()

    def wake(self, now: float) -> None:
        """Free what has rested long enough; each queue is in the order of its times."""
        for queue in (self.resting, self.refused):
            while queue and queue[0][0] <= now:
                self.taken[queue.popleft()[1]] = _FREE
                self.free += 1


class PortAllocator:
    """Gives out pairs of ports. `draw` gives numbers from 0 to 1: a stream's port cannot be guessed from
    another's.
    """

    def __init__(
        self, interfaces: Iterable[Interface], draw: Callable[[], float], *, quarantine: float = QUARANTINE
    ) -> None:
        """Raises PortError where an address is not numeric, a range holds no pair, or two overlap."""
        self._draw = draw
        self._quarantine = quarantine
        self._ranges: dict[tuple[str, int], list[_Range]] = {}
        self._by_interface: dict[Interface, _Range] = {}
        for interface in interfaces:
            self._add(interface)
        if not self._ranges:
            raise PortError("there is no interface for media")
        self.default = next(iter(self._by_interface)).name
        """The name of the first interface."""

    def _add(self, interface: Interface) -> None:
        for text in (interface.host, interface.told):
            try:
                ipaddress.ip_address(text)
            except ValueError:
                raise PortError(f"interface {interface.name}: {text!r} is no numeric address") from None
        if ipaddress.ip_address(interface.told).version != interface.version:
            raise PortError(
                f"interface {interface.name}: it listens on one version of IP and tells the other"
            )
        first, last = parse_range("-".join(map(str, interface.ports)))
        host = ipaddress.ip_address(interface.host)
        for other in self._by_interface:
            apart = other.ports[0] > last or first > other.ports[1]
            theirs = ipaddress.ip_address(other.host)
            same = theirs == host or (
                theirs.version == host.version and (theirs.is_unspecified or host.is_unspecified)
            )
            if same and not apart:
                raise PortError(f"the ports of interfaces {other.name} and {interface.name} overlap")
        pairs = self._by_interface[interface] = _Range(interface)
        self._ranges.setdefault((interface.name, interface.version), []).append(pairs)

    def allocate(self, now: float, name: str = "", version: int = 4) -> PortPair:
        """A pair of the interface `name` (the first, where empty) and IP version. Raises PortError.

        The search begins at a random pair, so it ends soon unless nearly all are taken.
        """
        ranges = self._ranges.get((name or self.default, version))
        if ranges is None:
            raise PortError(f"no interface {name or self.default} with IPv{version}")
        for pairs in ranges:
            pairs.wake(now)
            if pairs.free == 0:
                continue
            start = int(self._draw() * pairs.count) % pairs.count
            index = pairs.taken.find(_FREE, start)
            if index < 0:
                index = pairs.taken.find(_FREE)
            pairs.taken[index] = _GIVEN
            pairs.free -= 1
            return PortPair(pairs.interface, pairs.first + 2 * index)
        raise PortError(f"all ports of interface {name or self.default} (IPv{version}) are taken")

    def release(self, pair: PortPair, now: float) -> None:
        """Take a pair back; it rests before it is given out again. KeyError where it is not given out."""
        self._back(pair, now + self._quarantine, refused=False)

    def refused(self, pair: PortPair, now: float) -> None:
        """The pair cannot be bound, another program has it: leave it alone for a minute."""
        self._back(pair, now + _REFUSED, refused=True)

    def _back(self, pair: PortPair, until: float, *, refused: bool) -> None:
        pairs = self._by_interface[pair.interface]
        index, odd = divmod(pair.rtp - pairs.first, 2)
        queue = pairs.refused if refused else pairs.resting
        if odd or not 0 <= index < pairs.count or pairs.taken[index] != _GIVEN:
            raise KeyError(pair.rtp)
        pairs.taken[index] = _RESTS
        queue.append((until, index))

    def free(self, now: float) -> int:
        """Pairs that can be given out now, over all interfaces."""
        for pairs in self._by_interface.values():
            pairs.wake(now)
        return sum(pairs.free for pairs in self._by_interface.values())
