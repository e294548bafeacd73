"""The tables of `[proxy]` that say where requests go: routes, gateways, aliases, numbers, peers."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from rvoip.common.config import ConfigPath
from rvoip.services.table import Count, Seconds, Table

__all__ = ["AliasTable", "GatewaySetTable", "GatewayTable", "NumbersTable", "PeerTable", "RouteTable"]

Statuses = list[str | int]


class NumbersTable(Table):
    """`[proxy.numbers]`: how callers dial, for routes and aliases that are written as E.164."""

    country: str = ""
    """Country code of the callers, as in `"49"`; without one only numbers that begin with `+` or \
`international` are known."""
    international: str = "00"
    """What is dialled before the code of another country."""
    national: str = "0"
    """What is dialled before an area code; empty where numbers are dialled in full."""
    local: str = ""
    """What a number without any of them lacks: `"+4930"`, or `"+1"` where ten digits are dialled."""
    shortest: Annotated[int, Meta(ge=1)] = 7
    """Digits below which a number is an extension or a service and stays as it is."""


class RouteTable(Table):
    """`[[proxy.route]]`: where requests go that are not for a user of ours."""

    domain: str = ""
    """The host of the Request-URI; empty: a domain served here."""
    prefix: str = ""
    """What the dialled number begins with; the longest wins. With `+` it is compared as E.164."""
    regex: str = ""
    r"""An expression that the dialled number or name must match; such routes are looked at first, in their \
order."""
    to: str = ""
    r"""A SIP URI to go to; without a user part it keeps the one dialled, `\\1` is a group of `regex`."""
    set: str = ""
    """Name of a gateway set to go by."""
    number: Literal["", "e164", "national"] = ""
    """The form that the number is brought into first."""
    replace: str = ""
    r"""What takes the place of the number where `regex` matches, `\\1` is a group of it."""
    strip: Count = 0
    """Characters to take off the front of the number."""
    add: str = ""
    """What to put in front of the number then."""
    peer: str = ""
    """Only for requests of this `[[proxy.peer]]`."""
    methods: list[str] = field(default_factory=list)
    """Only for these methods; empty: all."""
    public: bool = False
    """Let strangers use it too; else callers must be our users, or peers that may call out."""
    cost: float = 0.0
    """Of routes that fit equally well the cheapest is tried first, the others when it fails."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers to set in what goes this way."""


class GatewayTable(Table):
    """One of `gateways`, where more is to be said than its URI."""

    uri: str
    """Where it is."""
    name: str = ""
    """Its name in the API; empty: its host and port."""
    weight: Annotated[int, Meta(ge=0, le=10000)] = 1
    """Its share, relative to the others'."""
    priority: int = 0
    """The higher the sooner, with `algorithm = "priority"`."""
    max_calls: Count = 0
    """Calls that it takes at once; 0: as many as come."""
    strip: Count = 0
    """Characters to take off the front of the number for this gateway."""
    add: str = ""
    """What to put in front of the number then."""


class GatewaySetTable(Table):
    """`[[proxy.gateway_set]]`: gateways that stand in for one another."""

    name: str
    """What routes call it."""
    algorithm: Literal[
        "priority",
        "round_robin",
        "weight",
        "random",
        "load",
        "latency",
        "parallel",
        "hash_call_id",
        "hash_from",
        "hash_to",
        "hash_uri",
    ] = "priority"
    """Which gateway is first."""
    gateways: list[str | GatewayTable] = field(default_factory=list)
    """URIs, or tables `{uri, name, weight, priority, max_calls, strip, add}`."""
    file: ConfigPath = ""
    """A `dispatcher.list` as Kamailio reads it, in place of `gateways`: lines `SETID URI [FLAGS [PRIORITY \
[ATTRS]]]`."""
    setid: int | None = None
    """Which lines of the file; unset: those of the number that is the set's `name`, else all."""
    probe: bool | float = False
    """Seconds between two OPTIONS to each gateway; `true` is 30, `false` none."""
    probe_from: str = ""
    """From URI of these; empty: our own address."""
    alive: Statuses = field(
        default_factory=lambda: ["2xx", "3xx", "400-407", "409-499", 501, 505, 513, "6xx"]
    )
    """Answers to OPTIONS that show a gateway to be well."""
    failover: Statuses = field(default_factory=lambda: [408, "5xx"])
    """Final answers after which the next gateway is tried; none at all counts as 408."""
    patience: Annotated[float, Meta(ge=0)] = 2.0
    """Seconds without any answer after which the next gateway is tried; 0: while the transaction lasts."""
    ring: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds that a call may ring before the next gateway is tried; 0: 3 minutes."""
    tries: Count = 0
    """Gateways that one request is sent to at most; 0: all."""
    fail_after: Annotated[int, Meta(ge=1)] = 3
    """Failures in a row after which a gateway gets no more calls."""
    recover_after: Annotated[int, Meta(ge=1)] = 1
    """Answers in a row after which it gets calls again."""
    rest: Seconds = 60.0
    """Seconds after which one that is not probed is tried again."""
    keep_uri: bool = False
    """Send the Request-URI as it is; else its host becomes the gateway's."""


class AliasTable(Table):
    """`[[proxy.alias]]`: other names of users, and numbers under which they are called."""

    name: str
    """`USER@DOMAIN`, or a user or number in any domain served here; numbers as E.164 (`+49301234`)."""
    to: str | list[str]
    """`USER@DOMAIN` or a SIP URI; of several all ring."""


class PeerTable(Table):
    """`[[proxy.peer]]`: networks with rights of their own; of several the narrowest decides."""

    name: str
    """What routes and the log call it."""
    networks: list[str]
    """Addresses or networks."""
    transports: list[Literal["udp", "tcp", "tls", "ws", "wss"]] = field(default_factory=list)
    """Only over these; empty: any."""
    call_out: bool = False
    """Its requests need no credentials, to foreign domains and gateways alike."""
    identity: bool = False
    """Believe its P-Asserted-Identity; else it is taken away."""
    refuse: bool = False
    """Answer 403 to all that comes from there."""
