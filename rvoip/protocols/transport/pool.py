"""Which open stream connection may carry a message to a target (RFC 3261 section 18)."""

from __future__ import annotations

from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.streamflow import StreamFlow

__all__ = ["StreamPool"]


class StreamPool:
    """All stream flows, by token and by where they lead.

    A connection of ours serves its own target. One that a peer opened serves that peer's source address; over
    TLS only for a name that the peer's certificate speaks for (RFC 5922 section 7.3), so that no one who
    shares an address with a domain gets its messages.
    """

    def __init__(self) -> None:
        self._by_token: dict[str, StreamFlow] = {}
        self._ours: dict[Target, StreamFlow] = {}
        self._theirs: dict[tuple[str, str, int], StreamFlow] = {}

    def add(self, flow: StreamFlow) -> None:
        """Take a flow in until it closes."""
        self._by_token[flow.token] = flow
        if flow.opened_by_peer:
            self._theirs[flow.transport, *flow.remote] = flow
        else:
            self._ours[_key(Target(flow.transport, *flow.remote, flow.server_name))] = flow
        flow.when_closed(self._closed)

    def find(self, target: Target) -> StreamFlow | None:
        """A connection that leads to the target, open or being opened."""
        flow = self._ours.get(_key(target))
        if flow is not None and not flow.closed:
            return flow
        flow = self._theirs.get(target[:3])
        if flow is None or flow.closed:
            return None
        if flow.secure and (target.server_name or target.host).lower() not in flow.identities:
            return None
        return flow

    def by_token(self, token: str) -> StreamFlow | None:
        """The open flow of this name."""
        flow = self._by_token.get(token)
        return None if flow is None or flow.closed else flow

    def _closed(self, flow: object, reason: str) -> None:
        assert isinstance(flow, StreamFlow)
        self._by_token.pop(flow.token, None)
        if flow.opened_by_peer:
            theirs = (flow.transport, *flow.remote)
            if self._theirs.get(theirs) is flow:
                del self._theirs[theirs]
            return
        ours = _key(Target(flow.transport, *flow.remote, flow.server_name))
        if self._ours.get(ours) is flow:
            del self._ours[ours]


def _key(target: Target) -> Target:
    """Only TLS connections differ by the name that was asked for."""
    name = target.server_name.lower() if target.transport == "TLS" else ""
    return target if name == target.server_name else target._replace(server_name=name)
