"""Where the servers of a simulation stand: one, one behind another, or two that share a location."""

from __future__ import annotations

from random import Random

from rvoip.test.simulation.elements import DOMAIN, Element, start_element
from rvoip.testing.faulty_store import FaultyStore
from rvoip.testing.memory_wire import Endpoint
from rvoip.testing.network import SimulatedNetwork

__all__ = ["KINDS", "Place", "make_places"]

KINDS = ("one", "edge", "pair")

_SIP = """
[sip]
listen = ["udp:{address}:5060", "tcp:{address}:5060"]
domains = [{domains}]
"""
_HOME = """
[registrar]
min_expires = 60
[proxy]
authenticate = {authenticate}
fork = "{fork}"
timer_c = 120
session_expires = {session}
"""
_EDGE = f"""
[proxy]
authenticate = false
path = "always"
timer_c = 120
[[proxy.route]]
domain = "{DOMAIN}"
to = "sip:10.0.0.1"
public = true
"""


class Place:
    """A host with its element, which can be killed and started again."""

    def __init__(
        self,
        network: SimulatedNetwork,
        name: str,
        address: str,
        text: str,
        registrar: bool,
        kept: FaultyStore,
    ) -> None:
        self.name = name
        self.server: Endpoint = (address, 5060)
        self._network = network
        self._reactor = network.host(name, address)
        self._text = text
        self._registrar = registrar
        self._kept = kept
        self._starts = 0
        self.element: Element | None = None
        self.start()

    def start(self) -> None:
        """Start the element, unless it runs."""
        if self.element is None:
            self._starts += 1
            store = self._kept.client(self._reactor)
            seed = f"{self.name} {self._starts} {self._network.seed}"
            self.element = start_element(
                self._reactor, "proxy", self._text, store, seed, registrar=self._registrar
            )

    def kill(self) -> None:
        """Signal 9."""
        self.element = None
        self._network.kill(self.name)


def make_places(kind: str, network: SimulatedNetwork, kept: FaultyStore, chance: Random) -> list[Place]:
    """The servers of one of the `KINDS`, by chance with and without passwords for calls."""

    def sip(address: str, domains: str = f'"{DOMAIN}"') -> str:
        return _SIP.format(address=address, domains=domains)

    home = _HOME.format(
        authenticate="true" if chance.random() < 0.4 else "false",
        fork=chance.choice(("parallel", "sequential")),
        session=chance.choice((0, 0, 90)),
    )
    places = [Place(network, "home", "10.0.0.1", sip("10.0.0.1") + home, True, kept)]
    if kind == "edge":
        places.append(Place(network, "edge", "10.0.0.2", sip("10.0.0.2", "") + _EDGE, False, kept))
    elif kind == "pair":
        places.append(Place(network, "second", "10.0.0.2", sip("10.0.0.2") + home, True, kept))
    return places
