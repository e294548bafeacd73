"""What the operator of a proxy decides."""

from __future__ import annotations

__all__ = ["ProxySettings"]


class ProxySettings:
    """What the operator decides; see the `[proxy]` table of the configuration.

    `authenticate`: True asks every request for credentials, None only those for foreign domains, False
    none, and refuses foreign domains with 403. `fork` is "parallel" or "sequential". A request of more than
    `large` octets that would go over UDP goes over TCP where it can (RFC 3261 section 18.1.1). `timer_c` is
    how many seconds an INVITE may go without a further response before it is given up, over 3 minutes by RFC
    3261 section 16.6 step 11. `ring` is for how many seconds phones ring before those of lower q do
    ("sequential"), 0 for as long as they like. `late`: a phone that registers while its user is called rings
    too. `recurse`: a 3xx of a user's phone is followed here, in place of passing it back. `path`: when a
    REGISTER for somebody else's registrar gets a Path, "supported" (where the client says so), "always" or
    "never". `assert_identity`: whoever has shown credentials is named in P-Asserted-Identity.
    `stateless`: what has one target is forwarded without transactions (RFC 3261 section 16.11).
    `topology_hiding`: neither side sees where the other is, nor by way of whom; it needs `record_route`.
    `passes_credentials`: Proxy-Authorization is not for us, whatever realm it names.
    """

    __slots__ = (
        "assert_identity",
        "authenticate",
        "fork",
        "large",
        "late",
        "passes_credentials",
        "path",
        "record_route",
        "recurse",
        "ring",
        "stateless",
        "timer_c",
        "topology_hiding",
    )

    def __init__(
        self,
        record_route: bool = True,
        authenticate: bool | None = None,
        fork: str = "parallel",
        large: int = 1300,
        timer_c: float = 185.0,
        ring: float = 0.0,
        late: bool = True,
        recurse: bool = False,
        path: str = "supported",
        assert_identity: bool = False,
        stateless: bool = False,
        topology_hiding: bool = False,
        passes_credentials: bool = False,
    ) -> None:
        self.record_route = record_route
        self.authenticate = authenticate
        self.fork = fork
        self.large = large
        self.timer_c = timer_c
        self.ring = ring
        self.late = late
        self.recurse = recurse
        self.path = path
        self.assert_identity = assert_identity
        self.stateless = stateless
        self.topology_hiding = topology_hiding and record_route
        self.passes_credentials = passes_credentials
