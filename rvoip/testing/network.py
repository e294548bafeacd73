"""
A network in memory with loss, delay, partitions and a seed.

    network = SimulatedNetwork(seed=7, loss=0.05, delay=(0.01, 0.08))
    server = network.host("server", "10.0.0.1")
    phone = network.host("phone", "10.0.0.2", "2001:db8::2")
    ...                               # hand the hosts to code that wants a reactor
    network.advance(30)
    network.partition(["phone"], ["server"])
    network.advance(60)
    network.heal()
    assert network.run_until(network.quiet), network.pending()

The seed decides everything: two runs of the same program with the same seed do the same, event by event (TLS
excepted, whose handshakes draw randomness of their own).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

from rvoip.testing.memory_clock import MemoryClock
from rvoip.testing.memory_reactor import MemoryReactor
from rvoip.testing.memory_wire import Endpoint, Path, canonical

__all__ = ["Datagram", "Link", "SimulatedNetwork"]

_T = TypeVar("_T")

#: The first retransmission timeout of TCP, in seconds (RFC 6298 with Linux's lower bound).
_RETRANSMIT = 0.2
#: The largest piece that a stream is cut into, in bytes: an Ethernet segment.
_SEGMENT = 1448


class Datagram(NamedTuple):
    """One UDP datagram on its way."""

    source: Endpoint
    destination: Endpoint
    data: bytes


@dataclass
class Link:
    """
    One direction between two hosts.

    `loss`, `duplicate` and `reorder` are probabilities, 0 to 1, of each datagram; `delay` is the range, in
    seconds, from which each delay is drawn. Datagrams keep their order but for the reordered ones, which are
    held back for up to `reorder_by` seconds. Streams have no loss: a lost segment costs them the time of its
    retransmission.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: tuple[float, float] = (0.0, 0.0)
    reorder_by: float = 0.1
    #: A cut link lets nothing through. Datagrams are lost, also those under way; streams wait.
    cut: bool = False
    #: When the last datagram that keeps the order arrives.
    last_arrival: float = 0.0


class SimulatedNetwork:
    """
    Hosts, each a `MemoryReactor` with its addresses, and the links between them, on one clock.

    `loss`, `duplicate`, `reorder` and `delay` are the knobs that every link starts with (see `Link`), and
    `link()` sets them for two hosts. TCP is an ordered, reliable byte stream, in pieces of random size where
    `split` is true; on a cut link it waits, and breaks after `tcp_timeout` seconds.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        seed: int = 0,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        delay: tuple[float, float] = (0.0, 0.0),
        split: bool = True,
        tcp_timeout: float = 900.0,
    ) -> None:
        self.clock: Clock = MemoryClock() if clock is None else clock
        self.seed = seed
        self.random = random.Random(seed)
        self.hosts: dict[str, MemoryReactor] = {}
        self.defaults = Link(loss=loss, duplicate=duplicate, reorder=reorder, delay=delay)
        self.split = split
        self.tcp_timeout = tcp_timeout
        #: How many datagrams were sent, and what became of them.
        self.sent = self.delivered = self.lost = self.duplicated = self.reordered = self.unreachable = 0
        self._owners: dict[str, MemoryReactor] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._waiting: dict[_Stream, None] = {}
        self._under_way = 0
        self._losing: list[Callable[[Datagram], bool]] = []
        self._watching: list[Callable[[float, Datagram], object]] = []
        self._watching_losses: list[Callable[[float, Datagram], object]] = []
        self._watching_streams: list[Callable[[float, Datagram], object]] = []

    def __repr__(self) -> str:
        return f"<SimulatedNetwork seed={self.seed} hosts={list(self.hosts)} at {self.clock.seconds()} s>"

    # the hosts and the links

    def host(self, name: str, *addresses: str) -> MemoryReactor:
        """Add a host with numeric addresses that no other has, at least one; loopback it has anyway."""
        if name in self.hosts:
            raise ValueError(f"there is a host {name!r} already")
        if not addresses:
            raise ValueError(f"host {name!r} needs an address")
        wanted = [canonical(address) for address in addresses]
        for address in wanted:
            if address in self._owners:
                raise ValueError(f"{address} belongs to host {self._owners[address].name!r}")
        reactor = MemoryReactor(self.clock, self, wanted, name)
        self.hosts[name] = reactor
        self._owners.update(dict.fromkeys(wanted, reactor))
        return reactor

    def link(
        self,
        a: str,
        b: str,
        *,
        loss: float | None = None,
        duplicate: float | None = None,
        reorder: float | None = None,
        delay: tuple[float, float] | None = None,
        one_way: bool = False,
    ) -> Link:
        """Set the knobs from a to b and (but for `one_way`) back; returns the link from a to b."""
        knobs = {"loss": loss, "duplicate": duplicate, "reorder": reorder, "delay": delay}
        for source, destination in [(a, b)] if one_way else [(a, b), (b, a)]:
            link = self._link(source, destination)
            for knob, value in knobs.items():
                if value is not None:
                    setattr(link, knob, value)
        return self._link(a, b)

    def _link(self, source: str, destination: str) -> Link:
        link = self._links.get((source, destination))
        if link is None:
            for name in (source, destination):
                if name not in self.hosts:
                    raise KeyError(f"there is no host {name!r}")
            link = self._links[source, destination] = replace(self.defaults)
        return link

    def partition(self, *groups: Iterable[str]) -> None:
        """
        Cut every link between hosts of different groups; links within a group, and of others, stay.

        One group alone is cut from all other hosts.
        """
        sides = [list(group) for group in groups]
        if len(sides) == 1:
            sides.append([name for name in self.hosts if name not in sides[0]])
        for side in sides:
            for other in sides:
                if other is not side:
                    for a in side:
                        for b in other:
                            self._link(a, b).cut = True

    def heal(self) -> None:
        """Restore all that was cut; waiting streams go on."""
        for link in self._links.values():
            link.cut = False
        for stream in list(self._waiting):
            stream.resume()

    def kill(self, name: str) -> MemoryReactor:
        """`kill -9` what runs on a host (see `MemoryReactor.kill`); the host serves the next process."""
        reactor = self.hosts[name]
        reactor.kill()
        return reactor

    # interference and observation

    def lose_if(self, predicate: Callable[[Datagram], bool]) -> Callable[[], None]:
        """Lose each datagram of which `predicate` is true, as it is sent. Returns what ends this."""
        self._losing.append(predicate)
        return partial(self._losing.remove, predicate)

    def watch(self, watcher: Callable[[float, Datagram], object]) -> Callable[[], None]:
        """Call `watcher(now, datagram)` for each datagram that arrives at a host. Returns what ends this."""
        self._watching.append(watcher)
        return partial(self._watching.remove, watcher)

    def watch_losses(self, watcher: Callable[[float, Datagram], object]) -> Callable[[], None]:
        """Call `watcher(now, datagram)` for each datagram that is lost. Returns what ends this."""
        self._watching_losses.append(watcher)
        return partial(self._watching_losses.remove, watcher)

    def watch_streams(self, watcher: Callable[[float, Datagram], object]) -> Callable[[], None]:
        """Call `watcher(now, piece)` for the bytes that are read from a connection, which are shown as a
        `Datagram`. Returns what ends this.
        """
        self._watching_streams.append(watcher)
        return partial(self._watching_streams.remove, watcher)

    # time

    def advance(self, amount: float = 0.0) -> None:
        """Let time pass, each event at its time."""
        if isinstance(self.clock, MemoryClock):
            self.clock.advance(amount)
            return
        # Twisted's own clock jumps to the end and runs what it passed: go from event to event instead.
        end = self.clock.seconds() + amount
        while self.clock.calls:
            due = min(call.getTime() for call in self.clock.calls)
            if due > end:
                break
            self.clock.rightNow = max(self.clock.rightNow, due)
            self.clock.advance(0)
        self.clock.rightNow = end

    def run_until(self, condition: Callable[[], bool], within: float = 64.0) -> bool:
        """See `MemoryClock.run_until`."""
        return self._memory_clock.run_until(condition, within)

    def result_of(
        self, awaitable: Deferred[_T] | Coroutine[Deferred[Any], Any, _T], within: float = 64.0
    ) -> _T:
        """See `MemoryClock.result_of`."""
        return self._memory_clock.result_of(awaitable, within)

    @property
    def _memory_clock(self) -> MemoryClock:
        if not isinstance(self.clock, MemoryClock):
            raise TypeError(f"this needs a MemoryClock, and the network was made with {self.clock!r}")
        return self.clock

    def quiet(self) -> bool:
        """Whether nothing is under way, no stream waits or has unsent bytes, and no host has a timer."""
        return not self.pending()

    def pending(self) -> list[str]:
        """What keeps the network from being quiet, a line each."""
        lines = []
        if self._under_way:
            lines.append(f"{self._under_way} packets under way")
        lines += [f"a stream waits: {stream!r}" for stream in self._waiting]
        for reactor in self.hosts.values():
            lines += [f"{reactor.name}: {call}" for call in reactor.getDelayedCalls()]
            lines += [f"connecting: {connector.getDestination()}" for connector in reactor.connecting]
            lines += [f"{c.unsent} bytes unsent: {c!r}" for c in reactor.connections if c.unsent]
        return lines

    # the wire of the hosts

    def owner(self, sender: MemoryReactor, address: str) -> MemoryReactor | None:
        """Who `sender` reaches at an address."""
        return sender if sender.has_address(address) else self._owners.get(address)

    def datagram(self, sender: MemoryReactor, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Decide over a datagram, and send it on its way."""
        self.sent += 1
        datagram = Datagram(source, destination, data)
        receiver = self.owner(sender, destination[0])
        if receiver is None:
            self.unreachable += 1
            return
        if receiver is sender:
            self._later(0, self._arrive, None, sender, receiver, datagram)
            return
        link = self._link(sender.name, receiver.name)
        if link.cut or any(losing(datagram) for losing in self._losing) or self._happens(link.loss):
            self._lose(datagram)
            return
        copies = 1
        if self._happens(link.duplicate):
            self.duplicated += 1
            copies = 2
        now = self.clock.seconds()
        for _ in range(copies):
            arrival = now + self.random.uniform(*link.delay)
            if self._happens(link.reorder):
                self.reordered += 1
                arrival += self.random.uniform(0, link.reorder_by)
            else:
                arrival = link.last_arrival = max(arrival, link.last_arrival)
            self._later(arrival - now, self._arrive, link, sender, receiver, datagram)

    def _arrive(
        self, link: Link | None, sender: MemoryReactor, receiver: MemoryReactor, datagram: Datagram
    ) -> None:
        if link is not None and link.cut:
            self._lose(datagram)
            return
        self.delivered += 1
        for watcher in list(self._watching):
            watcher(self.clock.seconds(), datagram)
        if not receiver.datagram_arrived(*datagram):
            sender.datagram_refused(datagram.source, datagram.destination)

    def _lose(self, datagram: Datagram) -> None:
        self.lost += 1
        for watcher in list(self._watching_losses):
            watcher(self.clock.seconds(), datagram)

    def stream_read(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        """Bytes of a connection were read at `destination`."""
        for watcher in list(self._watching_streams):
            watcher(self.clock.seconds(), Datagram(source, destination, data))

    def path(self, sender: MemoryReactor, receiver: MemoryReactor, give_up: Callable[[], None]) -> Path:
        """A direction of a new stream."""
        link = Link() if receiver is sender else self._link(sender.name, receiver.name)
        return _Stream(self, link, f"{sender.name} -> {receiver.name}", give_up)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def _later(self, delay: float, function: Callable[..., object], *args: object) -> None:
        self._under_way += 1
        self.clock.callLater(delay, self._now, function, args)

    def _now(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self._under_way -= 1
        function(*args)


class _Stream:
    """One direction of a TCP connection (`rvoip.testing.memory_wire.Path`)."""

    def __init__(self, network: SimulatedNetwork, link: Link, name: str, give_up: Callable[[], None]) -> None:
        self._network = network
        self._link = link
        self._name = name
        self._give_up = give_up
        self._last_arrival = 0.0
        self._sent = 0
        self._expected = 0
        self._early: dict[int, Callable[[], None]] = {}
        self._held: list[tuple[int, Callable[[], None]]] = []
        self._timer: IDelayedCall | None = None

    def __repr__(self) -> str:
        return f"<{self._name}: {len(self._held)} segments held>"

    def carry(self, arrive: Callable[[], None]) -> None:
        self._launch(self._sent, arrive)
        self._sent += 1

    def _launch(self, number: int, arrive: Callable[[], None]) -> None:
        network = self._network
        now = network.clock.seconds()
        delay = network.random.uniform(*self._link.delay)
        timeout = _RETRANSMIT
        while network._happens(min(self._link.loss, 0.9)):
            delay += timeout
            timeout = min(2 * timeout, 60.0)
        self._last_arrival = max(now + delay, self._last_arrival)
        network._later(self._last_arrival - now, self._arrived, number, arrive)

    def _arrived(self, number: int, arrive: Callable[[], None]) -> None:
        if number < self._expected:
            return  # given up
        if self._link.cut:
            self._held.append((number, arrive))
            self._network._waiting[self] = None
            if self._timer is None:
                self._timer = self._network.clock.callLater(self._network.tcp_timeout, self._timed_out)
            return
        self._early[number] = arrive
        while self._expected in self._early:
            following = self._early.pop(self._expected)
            self._expected += 1
            following()

    def resume(self) -> None:
        """The link is whole again: what was held is sent again."""
        held, self._held = self._held, []
        self._network._waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for number, arrive in held:
            self._launch(number, arrive)

    def _timed_out(self) -> None:
        self._timer = None
        self._held.clear()
        self._early.clear()
        self._expected = self._sent  # nothing of it is delivered any more; a reset may still be
        self._network._waiting.pop(self, None)
        self._give_up()

    def pieces(self, data: bytes) -> list[bytes]:
        if not self._network.split:
            return [data]
        pieces = []
        rest = memoryview(data)
        while rest:
            # Small pieces are the interesting ones; large ones keep a megabyte from becoming ten thousand.
            most = 16 if self._network._happens(0.2) else _SEGMENT
            size = self._network.random.randint(1, min(most, len(rest)))
            pieces.append(bytes(rest[:size]))
            rest = rest[size:]
        return pieces
