"""Asks gateways with OPTIONS how they are (RFC 3261 section 11), each set as often as it wants."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import parse_number
from rvoip.protocols.sip.message import Response
from rvoip.protocols.transport.errors import TransportError
from rvoip.proxy.gateways import Gateway, Gateways
from rvoip.proxy.health import DISABLED

if TYPE_CHECKING:
    from rvoip.common.wheel import Timer
    from rvoip.protocols.dialog.transactions import TransactionLayer

__all__ = ["LONGEST_REST", "PROBE_TIMEOUT", "Prober"]

PROBE_TIMEOUT = 4.0
"""Seconds after which a probe counts as not answered."""
LONGEST_REST = 300.0
"""Seconds that a gateway which answers 503 may ask for (Retry-After)."""
_LOOK = 0.5
_MOST_AT_ONCE = 50
"""Probes that one look sends at most; the others come with the next."""

_log = Logger()


class Prober:
    """Probes the gateways of all sets that want it, spread over the interval of their set.

    `identity` gives the From and Contact URI of our probes.
    """

    def __init__(
        self,
        gateways: Gateways,
        layer: TransactionLayer,
        transport: Any,
        locator: Any,
        identity: Callable[[], str],
    ) -> None:
        self._gateways = gateways
        self._layer = layer
        self._transport = transport
        self._locator = locator
        self._identity = identity
        self._due: dict[str, float] = {}
        self._timer: Timer | None = None
        self._running: set[_Probe] = set()
        self.sent = 0

    def start(self) -> None:
        """Begin; the first probe of each gateway comes within a second."""
        if self._timer is None:
            self._look()

    def stop(self) -> None:
        """Ask no more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        for probe in list(self._running):
            probe.forget()
        self._due.clear()

    def _look(self) -> None:
        layer = self._layer
        now = layer.now()
        known = set()
        left = _MOST_AT_ONCE
        for group in list(self._gateways.sets.values()):
            every = group.rules.probe
            if every <= 0:
                continue
            for gateway in group.gateways:
                known.add(gateway.id)
                due = self._due.get(gateway.id)
                if due is None:
                    # Never all at once: each has its own place in the interval, the first time in a second.
                    due = self._due[gateway.id] = now + _place(gateway.id) * min(1.0, every)
                if due > now or not left:
                    continue
                self._due[gateway.id] = now + every
                if gateway.health.look(now) != DISABLED:
                    left -= 1
                    self._probe(gateway, group.rules.ping_from)
        for gone in self._due.keys() - known:
            del self._due[gone]
        self._timer = layer.wheel.schedule(_LOOK, Prober._look, self)

    def _probe(self, gateway: Gateway, sender: str) -> None:
        probe = _Probe(self, gateway)
        self._running.add(probe)
        probe.begin(sender)


def _retry_after(response: Response) -> float | None:
    """The seconds for which a gateway wants to be left alone (RFC 3261 section 20.33), None for none."""
    text = (response.get("retry-after") or "").partition(";")[0].partition("(")[0].strip(" \t")
    try:
        return min(float(parse_number(text, 2**31, "Retry-After")), LONGEST_REST)
    except SIPParseError:
        return None


def _place(text: str) -> float:
    """A number from 0 to 1 that is always the same for this text."""
    return blake2b(text.encode(), digest_size=1).digest()[0] / 256


@implementer(IClientUser)
class _Probe:
    """One OPTIONS under way."""

    def __init__(self, prober: Prober, gateway: Gateway) -> None:
        self._prober = prober
        self._gateway = gateway
        self._began = prober._layer.now()
        self._timer: Timer | None = None
        self._over = False

    def begin(self, sender: str) -> None:
        """Find the gateway, and ask it."""
        prober = self._prober
        layer = prober._layer
        self._timer = layer.wheel.schedule(PROBE_TIMEOUT, _Probe._silent, self)
        try:
            targets = prober._locator.locate_now(self._gateway.uri)
        except TransportError as error:
            self._end(getattr(error, "status", 503))
            return
        if targets is not None:
            self._send(targets, sender)
            return
        finding = Deferred.fromCoroutine(prober._locator.locate(self._gateway.uri))
        finding.addCallbacks(self._send, self._not_found, callbackArgs=(sender,))
        finding.addErrback(self._broken)

    def _send(self, targets: list[Any], sender: str) -> None:
        if self._over:
            return
        prober = self._prober
        layer = prober._layer
        identity = sender or prober._identity()
        uri = self._gateway.uri
        made = request(
            "OPTIONS",
            uri.without_params("lr"),
            from_=f"<{identity}>;tag={layer.new_tag()}",
            to=f"<{uri.without_params('lr')}>",
            call_id=layer.token(),
            cseq=1,
            contact=f"<{identity}>",
            headers=(("Accept", "application/sdp"),),
        )
        prober.sent += 1
        self._began = layer.now()
        layer.request(made, prober._transport.flow_to(targets[0]), self)

    def _not_found(self, failure: Any) -> None:
        failure.trap(TransportError)
        self._end(503)

    def _broken(self, failure: Any) -> None:
        _log.failure("Gateway {gateway} could not be probed", failure, gateway=self._gateway.id)
        self._end(503)

    def response_received(self, transaction: ClientTransaction, response: Response) -> None:
        """See `IClientUser`."""
        if response.status >= 200:
            self._end(response.status, _retry_after(response) if response.status == 503 else None)

    def client_failed(self, transaction: ClientTransaction, reason: str) -> None:
        """See `IClientUser`."""
        self._end(408)

    def _silent(self) -> None:
        self._timer = None
        self._end(408)

    def _end(self, status: int, rest: float | None = None) -> None:
        if self._over:
            return
        self.forget()
        gateways, gateway = self._prober._gateways, self._gateway
        before = gateway.health.state
        gateways.probed(gateway, status, self._prober._layer.now() - self._began, rest)
        after = gateway.health.state
        if after != before:
            _log.info(
                "gateway {gateway} is {state}: OPTIONS gave {status}",
                gateway=gateway.id,
                state=after,
                status=status,
            )

    def forget(self) -> None:
        """It matters no more."""
        self._over = True
        self._prober._running.discard(self)
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
