"""What a SIP role counts, for Prometheus: plain numbers of its parts, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rvoip.common.metrics import Metrics
from rvoip.proxy.health import STATES
from rvoip.services.certificates import certificate_ends
from rvoip.services.upstream import UpstreamRegistration

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["sip_metrics"]

Samples = Iterable[tuple[tuple[str, ...], float]]


def sip_metrics(role: SIPRole) -> Metrics:
    """The metrics of a role: `rvoip_proxy_requests_total` and so on."""
    metrics = Metrics(role.role)
    _transport(metrics, role)
    _transactions(metrics, role)
    _authentication(metrics, role)
    _registrar(metrics, role)
    _process(metrics, role)
    proxy = role.proxy
    if proxy is not None:
        metrics.collect_from(
            "forwarded", "Requests sent on, one a branch", lambda: proxy.forwarded, "counter"
        )
    _calls(metrics, role)
    _presence(metrics, role)
    return metrics


def _transport(metrics: Metrics, role: SIPRole) -> None:
    transport = role.sip.transport
    counters, guard = transport.intake.counters, transport.guard
    metrics.collect_labelled(
        "messages",
        "Datagrams and stream messages by direction",
        ("direction",),
        lambda: [(("in",), counters.received), (("out",), counters.sent)],
        "counter",
    )
    metrics.collect_labelled(
        "dropped",
        "What came and was not used, or was to go and could not, by reason",
        ("reason",),
        lambda: [((reason,), count) for reason, count in counters.dropped.items()],
        "counter",
    )
    metrics.collect_labelled(
        "connections",
        "TCP and TLS connections by what became of them",
        ("outcome",),
        lambda: [
            (("accepted",), counters.connections_accepted),
            (("opened",), counters.connections_opened),
            (("refused",), counters.connections_refused),
        ],
        "counter",
    )
    metrics.collect_from(
        "open_connections", "TCP and TLS connections, open or being opened", lambda: transport.connections
    )
    metrics.collect_from("guarded", "Messages that [guard] refused", lambda: guard.refused, "counter")
    metrics.collect_from(
        "banned", "Addresses that are banned", lambda: len(guard.banned(role.sip.transactions.now()))
    )


def _transactions(metrics: Metrics, role: SIPRole) -> None:
    layer = role.sip.transactions
    metrics.collect_labelled(
        "requests",
        "Requests received by method, retransmissions included",
        ("method",),
        lambda: [((method,), count) for method, count in layer.requests.items()],
        "counter",
    )
    metrics.collect_labelled(
        "responses",
        "Responses by direction and class, those sent without retransmissions",
        ("direction", "class"),
        lambda: [*_classes("in", layer.responses_received), *_classes("out", layer.responses_sent)],
        "counter",
    )
    metrics.collect_labelled(
        "transactions",
        "Transactions under way",
        ("kind",),
        lambda: [(("server",), layer.servers), (("client",), layer.clients)],
    )
    metrics.collect_from(
        "retransmissions", "Requests received again", lambda: layer.retransmissions, "counter"
    )
    metrics.collect_from("shed", "Requests refused for want of room", lambda: layer.shed, "counter")
    gate = role.sip.gate
    metrics.collect_from(
        "overloads", "Times that there was more to do than could be done", lambda: gate.overloads, "counter"
    )
    metrics.collect_from("waiting", "New requests that wait for their turn", lambda: gate.waiting)
    metrics.collect_from(
        "unmatched_responses", "Responses of no transaction", lambda: layer.unmatched, "counter"
    )
    metrics.collect_from(
        "unsent_responses", "Responses that could not be sent", lambda: layer.unsent, "counter"
    )


def _classes(direction: str, counts: list[int]) -> Samples:
    return [((direction, f"{index}xx"), count) for index, count in enumerate(counts) if 1 <= index <= 6]


def _upstream(metrics: Metrics, registration: UpstreamRegistration) -> None:
    metrics.collect_labelled(
        "upstream_registrations",
        "REGISTERs at a front end, sent to the registrar behind it or answered without it",
        ("way",),
        lambda: [(("forwarded",), registration.forwarded), (("absorbed",), registration.absorbed)],
        "counter",
    )


def _authentication(metrics: Metrics, role: SIPRole) -> None:
    authenticator, accounts = role.authenticator, role.accounts
    metrics.collect_from(
        "challenges", "Requests answered 401 or 407", lambda: authenticator.challenged, "counter"
    )
    metrics.collect_labelled(
        "authentications",
        "Credentials judged",
        ("outcome",),
        lambda: [(("accepted",), authenticator.accepted), (("failed",), authenticator.failures)],
        "counter",
    )

    def lookups() -> Samples:
        credentials = accounts.credentials
        return (
            [] if credentials is None else [(("memory",), credentials.hits), (("store",), credentials.misses)]
        )

    metrics.collect_labelled(
        "credential_lookups", "Where credentials were found", ("place",), lookups, "counter"
    )


def _registrar(metrics: Metrics, role: SIPRole) -> None:
    held, registration = role.location.counts, role.registration

    metrics.collect_from("bindings", "Registered contacts", lambda: held().bindings)
    metrics.collect_from("aors", "Addresses-of-record that have contacts", lambda: held().aors)
    metrics.collect_labelled(
        "registrations",
        "Changes of registrations by kind",
        ("kind",),
        lambda: [((kind,), count) for kind, count in role.registrations.items()],
        "counter",
    )
    ping = role.nat_ping
    if ping is not None:
        metrics.collect_from(
            "nat_pings", "What was sent to keep the way to phones open", lambda: ping.sent, "counter"
        )
    if registration is not None:
        metrics.collect_from(
            "registrations_unavailable",
            "REGISTER requests that the store could not take",
            lambda: registration.unavailable,
            "counter",
        )
        if isinstance(registration, UpstreamRegistration):
            _upstream(metrics, registration)


def _calls(metrics: Metrics, role: SIPRole) -> None:
    service, routing = role.calls, role.routing
    if service is not None:
        metrics.collect_from("dialogs", "Calls that are up", lambda: len(service.calls))
        metrics.collect_from("calls", "Calls that were answered", lambda: service.calls.total, "counter")
    limits = role.limits
    if limits is not None:
        counted = limits.limits
        metrics.collect_labelled(
            "limited",
            "Calls that a limit of their user refused, by what it limits",
            ("limit",),
            lambda: [((what,), count) for what, count in counted.refused.items()],
            "counter",
        )
        metrics.collect_from("limited_calls", "Calls that count for a limit now", lambda: counted.held)
    records = role.records
    if records is not None:
        metrics.collect_labelled(
            "call_records",
            "Records of calls by what became of them, for each place that they are written to",
            ("outcome",),
            lambda: [
                (("written",), sum(writer.written for writer in records.writers)),
                (("lost",), sum(writer.lost for writer in records.writers)),
            ],
            "counter",
        )
    publishing = role.publishing
    if publishing:
        metrics.collect_labelled(
            "published_events",
            "Events by what became of them on their way to a web service or broker",
            ("sink", "outcome"),
            lambda: [
                ((queue.sink.name, outcome), count)
                for queue in publishing
                for outcome, count in (("sent", queue.sent), ("lost", queue.lost))
            ],
            "counter",
        )
        metrics.collect_labelled(
            "published_waiting",
            "Events that a web service or broker has not taken yet",
            ("sink",),
            lambda: [((queue.sink.name,), queue.waiting) for queue in publishing],
        )
    if routing is not None:

        def states() -> Samples:
            counts = dict.fromkeys(STATES, 0)
            for one in routing.gateways.gateways():
                counts[one["state"]] += 1
            return [((state,), count) for state, count in counts.items()]

        metrics.collect_labelled("gateways", "Gateways by state", ("state",), states)
        metrics.collect_from("probes", "OPTIONS sent to gateways", lambda: routing.probes, "counter")
    passing = role.passing
    if passing is not None:
        metrics.collect_from(
            "unrelayed", "Session descriptions that no relay rewrote", lambda: passing.failed, "counter"
        )
    screen = role.screen
    metrics.collect_labelled(
        "screened",
        "Requests of scanners that were dropped, and of peers that are refused",
        ("who",),
        lambda: [(("scanner",), screen.scans), (("peer",), screen.refused)],
        "counter",
    )


def _presence(metrics: Metrics, role: SIPRole) -> None:
    service = role.presence
    if service is None:
        return
    metrics.collect_labelled(
        "subscriptions",
        "Subscriptions to our users by event package and state",
        ("package", "state"),
        lambda: [(key, count) for key, count in service.subscriptions().items()],
    )
    metrics.collect_from(
        "publications", "What phones have published", lambda: service.presence.compositor.count()
    )
    metrics.collect_labelled(
        "publish_responses",
        "PUBLISH requests of our users by how they were answered",
        ("status",),
        lambda: [((str(status),), count) for status, count in service.requests.published.items()],
        "counter",
    )
    metrics.collect_from(
        "notifications", "Documents that were made for watchers", lambda: service.told, "counter"
    )


def _process(metrics: Metrics, role: SIPRole) -> None:
    metrics.collect_from(
        "lag_seconds", "How late the reactor is, the worst of the last second", lambda: role.lag.lag
    )
    metrics.collect_from(
        "reload_refused",
        "Whether the configuration was refused when it was last read again: an older one is in force",
        lambda: int(role.reload_refused),
    )
    metrics.collect_labelled(
        "events_dropped",
        "Events that a slow subscriber lost",
        ("subscriber",),
        lambda: [((name,), count) for name, count in role.events.dropped().items()],
        "counter",
    )
    metrics.collect_from(
        "traced_calls", "Calls whose messages are kept", lambda: 0 if role.ring is None else len(role.ring)
    )
    metrics.collect_from(
        "traced_bytes",
        "Memory that kept messages take, about",
        lambda: 0 if role.ring is None else role.ring.size,
    )
    sender, listener = role.tracing.sender, role.tracing.listener
    metrics.collect_labelled(
        "hep_packets",
        "Captured messages to and from other elements by what became of them",
        ("outcome",),
        lambda: [
            (("sent",), 0 if sender is None else sender.sent),
            (("lost",), 0 if sender is None else sender.lost),
            (("received",), 0 if listener is None else listener.received),
            (("refused",), 0 if listener is None else listener.refused),
        ],
        "counter",
    )
    metrics.collect_labelled(
        "certificate_end_seconds",
        "When our certificates expire, wall time in seconds since 1970",
        ("file",),
        lambda: [((path,), end.timestamp()) for path, end in certificate_ends(role.config).items()],
    )
