"""Who may send to a stream: symmetric RTP without letting strangers in.

A phone behind a NAT sends from an address that its SDP does not name, so the address is learned from its
packets; and whoever guesses our port sends packets too. The rules, in the order in which they win:

1. With SRTP or ICE the address is what has been authenticated, and nothing else gets in (`authenticated`,
`select`). 2. A packet from the address in the SDP locks the stream to it. 3. One from the host in the SDP,
or the host that signals the call, locks after `sequential` packets in order. 4. So does one from anywhere
else, but only once nothing has come from the hosts of 2 and 3 for the whole `window`,
   unless the SDP names an address that nobody can send from.

Before that, at most `strangers` packets of all others get in, ever. A lock holds until the next offer or
answer. RTCP follows: it is taken from the host that media is taken from.
"""

from __future__ import annotations

import ipaddress
from enum import Enum
from typing import Final

__all__ = ["Address", "Latch", "LatchMode", "SEQUENTIAL", "STRANGERS", "WINDOW", "canonical"]

Address = tuple[str, int]
"""Numeric host and port."""

SEQUENTIAL: Final = 4
"""Packets in order that make an address one to lock to."""

STRANGERS: Final = 5
"""Packets that get in from addresses that are not locked to."""

WINDOW: Final = 5.0
"""Seconds in which a better address may still come."""

_MOST_CANDIDATES: Final = 8

_PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::/127",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Addresses that mean nothing outside the network of whoever wrote them."""


class LatchMode(Enum):
    """How strict it is."""

    SDP = "sdp"
    """Only the address in the SDP: for trunks whose descriptions are true."""
    LEARN = "learn"
    """The rules above."""
    OFF = "off"
    """Everybody; we send to where the last packet came from."""


class _Rank(Enum):
    """How likely an address is to be the peer's."""

    STRANGE = 0
    HOST = 1
    SDP = 2


class _Candidate:
    """An address from which packets came before the lock."""

    __slots__ = ("count", "rank", "sequence", "ssrc")

    def __init__(self, rank: _Rank) -> None:
        self.rank = rank
        self.count = 0
        self.ssrc = -1
        self.sequence = -1


class Latch:
    """The machine of one stream. `expected` is the address in the SDP, None before there is one."""

    def __init__(
        self,
        expected: Address | None = None,
        *,
        mode: LatchMode = LatchMode.LEARN,
        secure: bool = False,
        signalling: str = "",
        control: Address | None = None,
        sequential: int = SEQUENTIAL,
        strangers: int = STRANGERS,
        window: float = WINDOW,
    ) -> None:
        """`secure` streams hear only what is authenticated; `signalling` is the host that signals the call.

        `control` is the address of RTCP where the SDP names one (RFC 3605); without, it is the next port.
        """
        self.mode = mode
        self.secure = secure
        self.expected = expected if expected is None else (canonical(expected[0]), expected[1])
        self.signalling = canonical(signalling)
        self.locked: Address | None = None
        """The address that packets are taken from."""
        self.dropped = 0
        """Packets that were not let in."""
        self._control_told = control
        self._control: Address | None = None
        self._sequential = sequential
        self._strangers = strangers
        self._window = window
        self._selected = False
        self._final = False
        self._admitted = 0
        self._begun: float | None = None
        self._previous: Address | None = None
        self._candidates: dict[Address, _Candidate] = {}

    # -- what others ask

    @property
    def remote(self) -> Address | None:
        """Where to send media: to the locked address, else to that in the SDP; None where there is
        neither.
        """
        return self.locked or self.expected

    @property
    def control_remote(self) -> Address | None:
        """Where to send RTCP that is not on the port of media."""
        if self._control is not None:
            return self._control
        if self._control_told is not None and (self.locked is None or self.locked == self.expected):
            return self._control_told
        remote = self.remote
        return None if remote is None or remote[1] > 65_534 else (remote[0], remote[1] + 1)

    @property
    def settled(self) -> bool:
        """Whether nothing but a new offer or authentication changes the lock any more."""
        return self._final

    @property
    def asks_always(self) -> bool:
        """Whether packets of the locked address too must be asked about: those that SRTP should have
        checked.
        """
        return self.secure and not self._selected

    # -- what is told

    def offered(
        self, expected: Address | None, *, control: Address | None = None, secure: bool | None = None
    ) -> None:
        """A description of the peer came. Where it names another address than before, all is learned anew.

        Until then packets from the address that was locked are still taken.
        """
        if secure is not None:
            self.secure = secure
        self._control_told = control
        if expected is not None:
            expected = (canonical(expected[0]), expected[1])
        if expected == self.expected:
            return
        self.expected = expected
        self._previous = self.locked
        self._selected = self._final = False
        self._control = None
        self._begun = None
        self._candidates.clear()
        if self.mode is LatchMode.SDP:
            self.locked = None

    def select(self, address: Address) -> None:
        """ICE has checked this address: it is the only one (RFC 8445 section 8)."""
        self.locked, self._selected, self._final = address, True, True
        self._control = None

    def authenticated(self, address: Address) -> bool:
        """A packet from `address` was authenticated by SRTP: take it. The stream follows its peer."""
        if self._selected and address != self.locked:
            self.dropped += 1
            return False
        if address != self.locked:
            self.locked, self._control = address, None
        self._final = True
        return True

    # -- packets

    def media(self, address: Address, ssrc: int, sequence: int, now: float) -> bool:
        """A packet of RTP that nothing authenticates came: tell whether to take it."""
        if self.mode is LatchMode.OFF and not self.secure:
            self.locked = address
            return True
        if address == self.locked and not self.asks_always:
            if not self._final:
                self._age(now)
            return True
        taken = not (self.secure or self._final) and self._learn(address, ssrc, sequence, now)
        self.dropped += not taken
        return taken

    def control(self, address: Address) -> bool:
        """A packet of RTCP came on a port of its own, or on that of media: tell whether to take it.

        With SRTP ask only for what was authenticated.
        """
        if self.mode is LatchMode.OFF:
            self._control = address
            return True
        if self._selected:
            taken = self.locked is not None and address[0] == self.locked[0]
        elif self.locked is not None:
            taken = address[0] == self.locked[0]
        else:
            taken = (canonical(address[0]), address[1]) in (self.control_remote, self.expected)
        if taken and address != self.locked:
            self._control = address
        self.dropped += not taken
        return taken

    @property
    def ages(self) -> float | None:
        """When a lock that is not settled settles, None where it does not."""
        if (
            self._final
            or self.locked is None
            or self._begun is None
            or self._ranked(self.locked) is _Rank.STRANGE
        ):
            return None
        return self._begun + self._window

    def _age(self, now: float) -> None:
        if self._begun is None:
            self._begun = now
        ages = self.ages
        self._final = ages is not None and now > ages

    def _learn(self, address: Address, ssrc: int, sequence: int, now: float) -> bool:
        if self._begun is None:
            self._begun = now
        rank = self._ranked(address)
        if rank is _Rank.SDP:
            self._lock(address)
            self._final = True
            return True
        if self.mode is LatchMode.SDP:
            return False
        candidate = self._candidates.get(address)
        if candidate is None:
            candidate = self._remember(address, rank)
        in_order = ssrc == candidate.ssrc and sequence == (candidate.sequence + 1) & 0xFFFF
        candidate.count = candidate.count + 1 if in_order else 1
        candidate.ssrc, candidate.sequence = ssrc, sequence
        locked = None if self.locked == self._previous else self.locked
        if locked is not None and self._ranked(locked).value >= rank.value:
            return False
        late = now - self._begun > self._window
        alone = late and all(other.rank is _Rank.STRANGE for other in self._candidates.values())
        if candidate.count >= self._sequential and (rank is _Rank.HOST or alone):
            self._lock(address)
            self._age(now)
            return True
        if self._admitted < self._strangers:
            self._admitted += 1
            return True
        return False

    def _remember(self, address: Address, rank: _Rank) -> _Candidate:
        """A new candidate; where there are many, one that is no better goes."""
        if len(self._candidates) >= _MOST_CANDIDATES:
            worst = min(self._candidates, key=lambda known: self._candidates[known].rank.value)
            del self._candidates[worst]
        candidate = self._candidates[address] = _Candidate(rank)
        return candidate

    def _lock(self, address: Address) -> None:
        self.locked, self._control = address, None

    def _ranked(self, address: Address) -> _Rank:
        host = canonical(address[0])
        if self.expected is None:
            # Nobody has said where packets will come from, but perhaps who calls.
            return _Rank.HOST if self.signalling in ("", host) else _Rank.STRANGE
        if (host, address[1]) == self.expected:
            return _Rank.SDP
        if host in (self.signalling, self.expected[0]):
            return _Rank.HOST
        if address[1] == self.expected[1] and _is_loopback(host) and _is_loopback(self.expected[0]):
            # All of them are one machine, and a socket that is bound to none of its addresses sends from
            # the first.
            return _Rank.HOST
        # A private address in the SDP of a peer on the Internet: a NAT stands between, its packets cannot
        # come so.
        return _Rank.HOST if _is_private(self.expected[0]) and not _is_private(host) else _Rank.STRANGE


def canonical(host: str) -> str:
    """A host in one spelling, IPv4 also where it is written as IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE if network.version == address.version)
