"""Networks of peers with rights of their own: other servers, trunks, gateways; and those to keep out.

A machine. The longest network that an address is in decides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from rvoip.protocols.transport.addresses import Network
from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.flow import Flow

__all__ = ["Peer", "Peers"]


class Peer:
    """Who comes from `networks`, over one of `transports` (none: any).

    `call_out`: its requests need no credentials, also where those of strangers do. `identity`: the
    P-Asserted-Identity that it sends is believed (RFC 3325). `refuse`: nothing of it is taken (403).
    """

    __slots__ = ("call_out", "identity", "name", "networks", "refuse", "transports")

    def __init__(
        self,
        name: str,
        networks: Iterable[Network],
        *,
        call_out: bool = False,
        identity: bool = False,
        refuse: bool = False,
        transports: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.networks = tuple(networks)
        self.call_out = call_out
        self.identity = identity
        self.refuse = refuse
        self.transports = frozenset(one.upper() for one in transports)

    def __repr__(self) -> str:
        return f"<Peer {self.name}>"


class Peers:
    """All peers; `find` tells whose an address is."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self.peers: tuple[Peer, ...] = ()
        self._networks: list[tuple[Network, Peer]] = []
        self._known: Recent[tuple[str, str], tuple[Peer | None]] = Recent(4096)
        self.replace(peers)

    def replace(self, peers: Iterable[Peer]) -> None:
        """Use these from now on."""
        self.peers = tuple(peers)
        pairs = [(network, peer) for peer in self.peers for network in peer.networks]
        self._networks = sorted(pairs, key=lambda pair: -pair[0].prefixlen)
        self._known.clear()

    def find(self, flow: Flow) -> Peer | None:
        """The peer that a flow comes from; None for a stranger."""
        if not self._networks:
            return None
        key = (flow.remote[0], flow.transport)
        return self._known.find_or(key, self._search)[0]

    def _search(self, key: tuple[str, str]) -> tuple[Peer | None]:
        host, transport = key
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            address = mapped
        for network, peer in self._networks:
            if address in network and (not peer.transports or transport in peer.transports):
                return (peer,)
        return (None,)

    def name_of(self, flow: Flow) -> str:
        """The name of the peer that a flow comes from, "" for a stranger."""
        peer = self.find(flow)
        return "" if peer is None else peer.name

    def refuses(self, flow: Flow) -> bool:
        """Whether nothing is to be taken from there."""
        peer = self.find(flow)
        return peer is not None and peer.refuse

    def may_call_out(self, flow: Flow) -> bool:
        """Whether requests from there need no credentials."""
        peer = self.find(flow)
        return peer is not None and peer.call_out and not peer.refuse

    def asserts_identity(self, flow: Flow) -> bool:
        """Whether what it says of identities is believed."""
        peer = self.find(flow)
        return peer is not None and peer.identity and not peer.refuse
