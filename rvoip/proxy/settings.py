"""What the operator of a proxy decides."""

from __future__ import annotations

__all__ = ["ProxySettings"]


class ProxySettings:
    """What the operator decides; see the `[proxy]` table of the configuration.

    `authenticate`: True asks every request for credentials, None only those for foreign domains, False
    none, and refuses foreign domains with 403. `fork` is "parallel" or "sequential". A request of more than
    `large` octets that would go over UDP goes over TCP where it can (RFC 3261 section 18.1.1).
    """

    __slots__ = ("authenticate", "fork", "large", "record_route")

    def __init__(
        self,
        record_route: bool = True,
        authenticate: bool | None = None,
        fork: str = "parallel",
        large: int = 1300,
    ) -> None:
        self.record_route = record_route
        self.authenticate = authenticate
        self.fork = fork
        self.large = large
