"""Prometheus metrics of one role, in a registry of its own, and the probe of how late the reactor is.

A bound counter costs 0.35 us. Where that is too much, count with a plain int and let `collect_from` read it
when the metrics are asked for.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

__all__ = ["LagProbe", "Metrics", "SECONDS"]

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 32.0)
"""Buckets for how long a request takes, from half a millisecond to 64*T1."""

Kind = Literal["counter", "gauge"]
Samples = Iterable[tuple[Sequence[str], float]]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)

_log = Logger()


class Metrics:
    """The metrics of a role: `rvoip_ROLE_NAME`, plus those of the process.

    A name is given once; a second time is a ValueError, and so is one that is not snake_case.
    """

    def __init__(self, role: str) -> None:
        self.registry = CollectorRegistry()
        self._prefix = f"rvoip_{role.replace('-', '_')}"
        self._read = _Read()
        self._names: set[str] = set()
        self.registry.register(self._read)
        ProcessCollector(registry=self.registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Make a counter, exposed as NAME_total. With `labels`, bind its children once: `.labels("udp")`."""
        return Counter(self._full(name), help, labels, registry=self.registry)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Make a gauge. With `labels`, bind its children once."""
        return Gauge(self._full(name), help, labels, registry=self.registry)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """Make a histogram with the given upper bounds. With `labels`, bind its children once."""
        return Histogram(self._full(name), help, labels, registry=self.registry, buckets=buckets)

    def collect_from(self, name: str, help: str, read: Callable[[], float], kind: Kind = "gauge") -> None:
        """Call `read` for the value whenever the metrics are asked for; what it raises is logged."""
        self.collect_labelled(name, help, (), lambda: [((), read())], kind)

    def collect_labelled(
        self, name: str, help: str, labels: Sequence[str], read: Callable[[], Samples], kind: Kind = "gauge"
    ) -> None:
        """Call `read` for pairs of label values and value whenever the metrics are asked for."""
        self._read.add(self._full(name), help, tuple(labels), read, kind)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """Write all metrics for a scraper that sent this Accept header: the body and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _full(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a metric")
        if name in self._names:
            raise ValueError(f"there is a metric {name!r} already")
        self._names.add(name)
        return f"{self._prefix}_{name}"


class _Read(Collector):
    """Values that are read when they are asked for."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, tuple[str, ...], Callable[[], Samples], Kind]] = []

    def add(
        self, name: str, help: str, labels: tuple[str, ...], read: Callable[[], Samples], kind: Kind
    ) -> None:
        self._entries.append((name, help, labels, read, kind))

    def collect(self) -> Iterator[Metric]:
        for name, help_text, labels, read, kind in self._entries:
            family = (CounterMetricFamily if kind == "counter" else GaugeMetricFamily)(
                name, help_text, labels=labels
            )
            try:
                for values, value in read():
                    if len(values) != len(labels):
                        raise ValueError(f"{len(values)} label values for {len(labels)} labels")
                    family.add_metric(values, float(value))
            except Exception:
                _log.failure("Metric {metric} could not be read", metric=name)
                continue
            yield family


class LagProbe(Service):
    """How late the reactor is: a call each 100 ms notes by how much it came too late.

    A server sheds load by it: `lag` is what a request that arrives now probably waits.
    """

    INTERVAL: Final = 0.1
    WINDOW: Final = 1.0
    """Seconds for which the worst lag counts."""
    SUSTAINED: Final = 3
    """Probes in a row that must be late before it counts as load: one pause is none."""

    def __init__(self, clock: IReactorTime, watch: Callable[[float], object] = lambda lag: None) -> None:
        """`watch` is told, after each probe, the least lag of the last `SUSTAINED` ones, in seconds."""
        self._clock = clock
        self._watch = watch
        self._last: deque[float] = deque([0.0] * self.SUSTAINED, maxlen=self.SUSTAINED)
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self._recent: deque[tuple[float, float]] = deque()  # (when it is forgotten, lag), lag falling
        self.lag = 0.0
        """Seconds, the worst of the last second. A plain attribute: hot paths read it."""

    def startService(self) -> None:
        """Begin to probe."""
        super().startService()
        self._schedule(self._clock.seconds())

    def stopService(self) -> None:
        """Stop; the lag is 0 from now on."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._recent.clear()
        self.lag = 0.0

    def _schedule(self, now: float) -> None:
        self._due = now + self.INTERVAL
        self._call = self._clock.callLater(self.INTERVAL, self._probe)

    def _probe(self) -> None:
        now = self._clock.seconds()
        lag = max(now - self._due, 0.0)
        recent = self._recent
        while recent and recent[-1][1] <= lag:
            recent.pop()
        recent.append((now + self.WINDOW, lag))
        while recent[0][0] <= now:
            recent.popleft()
        self.lag = recent[0][1]
        self._last.append(lag)
        self._watch(min(self._last))
        self._schedule(now)
