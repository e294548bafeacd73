"""The one configuration schema of all roles.

Each struct is a table of the file; each field's docstring is its line in the manual. A role reads the
tables that it names and checks the whole file.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from msgspec import Meta, field

from rvoip.common.config import ConfigPath, ListenURL, StoreURL, load_config
from rvoip.services.config_rules import check_rules
from rvoip.services.forwarding import ForwardTable
from rvoip.services.limits_table import LimitsTable
from rvoip.services.presence_table import PresenceTable
from rvoip.services.routing_tables import AliasTable, GatewaySetTable, NumbersTable, PeerTable, RouteTable
from rvoip.services.table import LONGEST, Count, Seconds, Table
from rvoip.services.upstream_table import UpstreamTable
from rvoip.services.users_table import Users

__all__ = ["Config", "load"]


class SIPLimits(Table):
    """`[sip.limits]`: how much of anything at once."""

    connections: Annotated[int, Meta(ge=1)] = 2048
    """Open connections: TCP, TLS and WebSocket."""
    connections_per_address: Annotated[int, Meta(ge=1)] = 64
    """Open connections from one IP address."""
    idle: Seconds = 120.0
    """Seconds after which a connection without messages or keep-alives is closed."""
    partial: Seconds = 20.0
    """Seconds that a message may take to arrive once it has begun."""
    invites: Annotated[int, Meta(ge=1)] = 20000
    """INVITE transactions under way; above it 503."""
    transactions: Annotated[int, Meta(ge=1)] = 50000
    """Other transactions under way; above it 503."""


class SIP(Table):
    """`[sip]`: where to listen and for whom."""

    listen: list[ListenURL] = field(default_factory=lambda: ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"])
    """Listening addresses, `transport:host:port`; `[::1]` for IPv6."""
    domains: list[str] = field(default_factory=list)
    """Domains served here; the listening addresses stand for the first one."""
    t1: Annotated[float, Meta(ge=0.01, le=60)] = 0.5
    """T1 in seconds, from which all SIP timers follow (RFC 3261 section 17.1.1.1)."""
    force_rport: bool = False
    """Answer to the source port even where a request has no `rport`: for clients behind NAT."""
    ws_origins: list[str] = field(default_factory=list)
    """Sites whose scripts may open a WebSocket, as in `https://app.example.test`; `*`: all."""
    gather: Annotated[float, Meta(ge=0, le=0.1)] = 0.005
    """Seconds that dense UDP traffic may wait to be handled together, which costs less; 0: never."""
    dns: list[str] = field(default_factory=list)
    """DNS servers, `host` or `host:port`; empty: those of the system."""
    limits: SIPLimits = field(default_factory=SIPLimits)
    """See `[sip.limits]`."""


class TLSName(Table):
    """`[[tls.name]]`: the certificate for one server name (SNI)."""

    name: str
    """Server name that the client asks for."""
    certificate: ConfigPath
    """PEM file: the certificate and what leads to its issuer."""
    private_key: ConfigPath
    """PEM file of the key."""


class TLS(Table):
    """`[tls]`: certificates for SIP over TLS."""

    certificate: ConfigPath = ""
    """PEM file: the certificate and what leads to its issuer."""
    private_key: ConfigPath = ""
    """PEM file of the key."""
    ca: ConfigPath = ""
    """PEM file of the authorities that peers' certificates are checked against; empty: the system's."""
    verify_client: bool = False
    """Accept only clients that show a certificate of `ca`."""
    crl: ConfigPath = ""
    """PEM file of revocation lists of these authorities, of which `verify_client` then wants valid ones."""
    name: list[TLSName] = field(default_factory=list)
    """See `[[tls.name]]`."""


class HTTP(Table):
    """`[http]`: the API, metrics and health."""

    listen: ListenURL = ""
    """`host:port` or `unix:/path`; empty: the role's own default, `none`: no HTTP."""
    token: str = ""
    """Bearer token that the API asks for; without one it is open, on loopback and Unix sockets only."""
    certificate: ConfigPath = ""
    """PEM file, for HTTPS."""
    private_key: ConfigPath = ""
    """PEM file of the key."""
    ca: ConfigPath = ""
    """PEM file: only clients with a certificate of these authorities (mutual TLS)."""


class Log(Table):
    """`[log]`: what is written to standard output, or to a file."""

    file: ConfigPath = ""
    """File that lines are added to, opened anew at SIGHUP and SIGUSR1; empty: standard output, in the \
background `twistd.log`. `twistd --logfile` and `--syslog` win over it."""
    format: Literal["text", "json"] = "text"
    """`text`, or one JSON object a line."""
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"
    """The least serious level that is written."""
    activity: bool = False
    """Write a line for each registration that begins or ends and each call."""


class Auth(Table):
    """`[auth]`: how SIP requests are challenged (RFC 7616, RFC 8760)."""

    algorithms: list[Literal["MD5", "SHA-256", "SHA-512-256"]] = field(
        default_factory=lambda: ["MD5", "SHA-256", "SHA-512-256"]
    )
    """Digest algorithms in the order of the challenges; old phones read only the first."""
    qop: list[Literal["auth", "auth-int"]] = field(default_factory=lambda: ["auth", "auth-int"])
    """Qualities of protection that are offered."""
    nonce_ttl: Seconds = 300.0
    """Seconds that a nonce is good for."""


class Guard(Table):
    """`[guard]`: floods and scans."""

    trusted: list[str] = field(default_factory=list)
    """Addresses or networks that are never limited or banned; they must still authenticate."""
    rate: Annotated[float, Meta(ge=0)] = 0.0
    """Messages a second from one address; 0: no limit."""
    ban_after: Count = 0
    """Failed authentications after which an address is not heard for a while; 0: never."""
    ban_time: Seconds = 600.0
    """Seconds that a ban lasts."""
    scanners: list[str] = field(
        default_factory=lambda: [
            "friendly-scanner",
            "sipvicious",
            "sipcli",
            "sip-scan",
            "sundayddr",
            "VaxSIPUserAgent",
        ]
    )
    """What User-Agents of scanners contain: their requests are dropped without an answer."""


class Service(Table):
    """`[service]`: the process."""

    drain_max: Annotated[float, Meta(ge=0, le=LONGEST)] = 30.0
    """Seconds that a stop waits for what is under way."""
    class_: str = field(default="", name="class")
    """`package.Class` that takes the place of the role's core class: of `Proxy` in a proxy, of `Registrar` \
in a registrar."""


class Trace(Table):
    """`[trace]`: the messages of recent calls, for ladders."""

    keep: Count = 1000
    """Calls (Call-IDs) whose messages are kept; 0: none."""
    registrations: bool = False
    """Keep REGISTER and OPTIONS as well; where there are many phones they push the calls out."""
    hep: str = ""
    """Collector that all messages are sent to, `udp:host:port` or `tcp:host:port` (HEP3, as Homer takes \
it): as they are, with digests and media keys; REGISTER and OPTIONS only with `registrations`."""
    hep_id: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)] = 1
    """Number by which a collector tells this element from others."""
    hep_key: str = ""
    """Password in what is sent to the collector, and asked of what comes to `hep_listen`."""
    hep_listen: str = ""
    """`host:port` for the messages of other elements (HEP3 over UDP and TCP), so that a ladder shows them \
all; other than on loopback it needs `hep_key`."""


class Registrar(Table):
    """`[registrar]`: the rules of registration."""

    authenticate: bool = True
    """Ask for digest credentials."""
    default_expires: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)] = 3600
    """Seconds of a registration that does not say; `max_expires` where that is less."""
    min_expires: Annotated[int, Meta(ge=0)] = 60
    """Shorter ones are refused with 423."""
    max_expires: Annotated[int, Meta(ge=1, le=0xFFFFFFFF)] = 86400
    """Longer ones are cut."""
    max_contacts: Annotated[int, Meta(ge=1)] = 10
    """Contacts of one address-of-record; more are refused with 403."""
    service_route: list[str] = field(default_factory=list)
    """Service-Route values of every 200 (RFC 3608)."""
    flow_timer: Count = 0
    """Flow-Timer in seconds for clients that use outbound (RFC 5626); 0: none."""
    gruu: bool = True
    """Give devices that ask for it a GRUU, a URI that leads to them alone (RFC 5627)."""
    nat_ping: Literal["none", "crlf", "options"] = "none"
    """What is sent to phones behind NATs to keep their way open: nothing, CRLF over UDP, or OPTIONS."""
    nat_ping_interval: Annotated[float, Meta(ge=1, le=LONGEST)] = 25.0
    """Seconds between two of them to the same phone; all phones are spread over this time."""
    strict_path: bool = False
    """Refuse with 420 a REGISTER with a Path whose phone does not say that it supports that (RFC 3327 \
section 5.3): the Path of an edge proxy, for nearly all phones."""
    class_: str = field(default="", name="class")
    """`package.Class` that takes the place of `Registrar`, also inside a proxy."""
    upstream: UpstreamTable | None = None
    """See `[registrar.upstream]`."""

    @property
    def gives_gruus(self) -> bool:
        """Whether devices get GRUUs: not from a front end, for calls to one go to the registrar behind."""
        return self.gruu and self.upstream is None


class Location(Table):
    """`[location]`: bindings."""

    store: StoreURL = "memory:"
    """`memory:`, `sqlite:PATH`, `redis://HOST:PORT/DB` or `postgresql://HOST/NAME`; a 200 is sent after the \
binding is on disk, where it is kept on one."""


class Proxy(Table):
    """`[proxy]`: forwarding."""

    record_route: bool = True
    """Stay in the way of later requests of a call."""
    authenticate: bool | None = None
    """Ask every request for credentials (`true`), none and refuse foreign domains (`false`), or only \
requests for foreign domains (unset)."""
    secret_file: ConfigPath = ""
    """File of the key that Record-Route values are signed with, made at the first start; empty: `proxy.key` \
beside the accounts."""
    fork: Literal["parallel", "sequential"] = "parallel"
    """Ring all contacts of a user at once, or by falling q."""
    ring: Annotated[float, Meta(ge=0, le=LONGEST)] = 0.0
    """Seconds that phones ring before those of lower q do (`sequential`); 0: until they answer or refuse."""
    late_fork: bool = True
    """Ring a phone too that registers while its user is called."""
    recurse: bool = False
    """Follow a redirection (3xx) by a phone of ours; else it is passed back to the caller."""
    dialogs: Count = 20000
    """Calls that are up of which the proxy knows, to list, end and account for them; beyond it the oldest \
are forgotten. 0: none. They need `record_route`."""
    topology_hiding: bool = False
    """Hide from each side of a call where the other is and by way of whom (Via, Contact, Record-Route); \
needs `record_route`."""
    stateless: bool = False
    """Forward without transactions what has one target (RFC 3261 section 16.11): less memory, no failover."""
    assert_identity: bool = False
    """Name callers who have shown credentials in P-Asserted-Identity (RFC 3325)."""
    path: Literal["supported", "always", "never"] = "supported"
    """When a REGISTER that a route leads to another registrar gets a Path of ours (RFC 3327): where the \
client says that it supports that, always or never."""
    timer_c: Annotated[float, Meta(ge=1, le=LONGEST)] = 185.0
    """Seconds without any further response after which a ringing phone is cancelled, and the caller told \
408; over 3 minutes by RFC 3261 section 16.6 step 11."""
    router: str = ""
    """`package.Class` of a router of your own (`rvoip.proxy.interfaces.IRouter`), which is asked first."""
    route_file: ConfigPath = ""
    """File of more routes, lines `PREFIX,SET,COST` or `PREFIX,URI,COST`; the cheapest is tried first."""
    alias_file: ConfigPath = ""
    """File of more aliases, lines `NAME,TARGET[,TARGET...]`."""
    alias_store: StoreURL = ""
    """`sqlite:PATH` of more aliases: the columns `name` and `target` of the table `aliases`."""
    enum: list[str] = field(default_factory=list)
    """DNS trees in which numbers are looked up before routes are (`"e164.arpa"`); empty: none."""
    rtpengine: str | list[str] = ""
    """rtpengines that relay the media of calls, `udp:ADDRESS:PORT` of their ng protocol; empty: none."""
    rtpengine_options: dict[str, str | int | list[str]] = field(default_factory=dict)
    """What else they are told with each description, as in `{ICE = "remove", flags = ["record-call"]}`."""
    relay: Literal["always", "nat"] = "always"
    """Which calls they relay: all, or those with an end behind a NAT."""
    session_expires: Count = 0
    """Seconds within which calls are to be refreshed (RFC 4028); longer ones are cut. 0: not ours to say."""
    min_se: Annotated[int, Meta(ge=90)] = 90
    """Shorter intervals than this are refused with 422."""
    numbers: NumbersTable = field(default_factory=NumbersTable)
    """See `[proxy.numbers]`."""
    limits: LimitsTable = field(default_factory=LimitsTable)
    """See `[proxy.limits]`."""
    route: list[RouteTable] = field(default_factory=list)
    """See `[[proxy.route]]`."""
    gateway_set: list[GatewaySetTable] = field(default_factory=list)
    """See `[[proxy.gateway_set]]`."""
    alias: list[AliasTable] = field(default_factory=list)
    """See `[[proxy.alias]]`."""
    forward: list[ForwardTable] = field(default_factory=list)
    """See `[[proxy.forward]]`."""
    peer: list[PeerTable] = field(default_factory=list)
    """See `[[proxy.peer]]`."""


class Records(Table):
    """`[records]`: a record of each call that ends or is refused, for accounting."""

    csv: ConfigPath = ""
    """File of comma-separated values that lines are added to, opened anew at SIGHUP and SIGUSR1."""
    jsonl: ConfigPath = ""
    """The same with a JSON object a line."""
    sql: StoreURL = ""
    """`sqlite:PATH` or `postgresql://...`: rows of the table `calls`, which is made when it is missing."""
    queue: Annotated[int, Meta(ge=100)] = 10000
    """Records that wait in memory for a slow disk or database; more are lost and counted."""


class Events(Table):
    """`[events]`: what happens is published, as JSON."""

    url: str | list[str] = ""
    """Where to, one or several: `https://...` or `http://...`, to which `{"events": [...]}` is posted; or a \
broker, `mqtt://USER:PASSWORD@HOST:PORT`, `amqp://.../VHOST`, `nats://...`, with TLS `mqtts://`, `amqps://`, \
`nats+tls://`."""
    sink: str = ""
    """`package.Class` of a sink of your own (`rvoip.services.event_sink.IEventSink`)."""
    topic: str = "rvoip"
    """What topics (`rvoip/call/ended`, MQTT) and subjects (`rvoip.call.ended`, NATS) begin with; and \
the topic exchange, where the routing key is `call.ended` (AMQP)."""
    token: str = ""
    """Bearer token that the web service asks for; empty: none."""
    secret: str = ""
    """Key of the HMAC-SHA256 in `Rvoip-Signature`, of time and body; empty: no such header."""
    kinds: list[
        Literal[
            "registration.created",
            "registration.refreshed",
            "registration.removed",
            "registration.expired",
            "call.answered",
            "call.refused",
            "call.ended",
            "call.limited",
        ]
    ] = field(
        default_factory=lambda: [
            "registration.created",
            "registration.removed",
            "registration.expired",
            "call.answered",
            "call.refused",
            "call.ended",
            "call.limited",
        ]
    )
    """What is told."""
    queue: Annotated[int, Meta(ge=100)] = 10000
    """Events that wait in memory for a service or broker that is slow or away; more are lost and counted."""


class Config(Table):
    """A whole file."""

    sip: SIP = field(default_factory=SIP)
    tls: TLS = field(default_factory=TLS)
    http: HTTP = field(default_factory=HTTP)
    log: Log = field(default_factory=Log)
    auth: Auth = field(default_factory=Auth)
    guard: Guard = field(default_factory=Guard)
    service: Service = field(default_factory=Service)
    trace: Trace = field(default_factory=Trace)
    registrar: Registrar | None = None
    users: Users = field(default_factory=Users)
    location: Location = field(default_factory=Location)
    proxy: Proxy = field(default_factory=Proxy)
    records: Records = field(default_factory=Records)
    events: Events | None = None
    presence: PresenceTable | None = None


OVERRIDABLE = frozenset(("sip", "http"))
"""Tables that `[ROLE.sip]` and the like override for one role of a common file."""

ROLES = ("registrar", "proxy")


def load(path: str | None, role: str, environ: dict[str, str] | None = None) -> Config:
    """The configuration of a role from a file (None: the defaults) and RVOIP_* variables.

    Raises `ConfigError`: one line that names file, key, reason and remedy.
    """
    config = load_config(
        path,
        Config,
        dict(os.environ) if environ is None else environ,
        role=role,
        overridable=OVERRIDABLE,
    )
    check_rules(config, path or "defaults")
    return config
