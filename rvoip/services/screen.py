"""Who is not to be heard at all: scanners, by what they call themselves, and peers that are refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rvoip.protocols.sip.message import Request
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.peers import Peers

__all__ = ["DROP", "Screen"]

DROP = 0
"""The verdict on what is dropped without an answer, which would tell a scanner that somebody is there."""

_AGENTS: Final = 1000
"""User-Agent values that are remembered as no scanners'."""
_LONGEST: Final = 200
"""Characters of one that is remembered."""


class Screen:
    """Looks at each request first. `words` are what the User-Agents of scanners contain, in any case."""

    def __init__(self, peers: Peers | None = None) -> None:
        self._peers = Peers() if peers is None else peers
        self._words: tuple[str, ...] = ()
        self._harmless: set[str] = set()
        self.scans = 0
        """Requests of scanners that were dropped."""
        self.refused = 0
        """Requests of refused peers."""

    def use(self, words: Iterable[str]) -> None:
        """Drop these scanners from now on."""
        self._words = tuple(word.lower() for word in words if word)
        self._harmless.clear()

    def verdict(self, request: Request, flow: Flow) -> int | None:
        """None lets the request in, `DROP` drops it, else the status to answer."""
        if self._words:
            agent = request.get("user-agent")
            if agent is not None and self._scans(agent):
                self.scans += 1
                return DROP
        if self._peers.peers and self._peers.refuses(flow):
            self.refused += 1
            return 403
        return None

    def passes(self, agent: str, flow: Flow) -> bool:
        """Whether a request with this User-Agent value is let in without another look; it counts nothing."""
        if self._words and self._scans(agent):
            return False
        return not (self._peers.peers and self._peers.refuses(flow))

    def _scans(self, agent: str) -> bool:
        harmless = self._harmless
        if agent in harmless:
            return False
        lowered = agent.lower()
        if any(word in lowered for word in self._words):
            return True
        if len(agent) <= _LONGEST:
            if len(harmless) >= _AGENTS:
                harmless.clear()
            harmless.add(agent)
        return False
