"""Where to send a request or a response (RFC 3263): the decisions of `selection`, the lookups of `dns`."""

from __future__ import annotations

import random
from collections.abc import Sequence

from mypy_extensions import mypyc_attr
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IResolver

from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.protocols.transport.blacklist import Blacklist
from rvoip.protocols.transport.bounded import Recent
from rvoip.protocols.transport.dns import DNSClient
from rvoip.protocols.transport.dns_records import Answer, Outcome, Question
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.selection import LocateError, Plan, Search, search_for_uri

__all__ = ["LocateError", "Locator"]

STALE_WAIT = 1.5
"""Seconds that a renewal may take before what was found earlier is used (RFC 8767 section 5)."""

_Key = tuple[str, str, int | None, tuple[tuple[str, str | None], ...]]


@mypyc_attr(allow_interpreted_subclasses=True)
class Locator:
    """
    Finds the targets for URIs, and remembers which of them do not answer.

    `supported` are the transports that can be sent on ("UDP", "TCP", "TLS"), in the order in which they are
    preferred where a domain states no preference; `families` are 4 and 6 in order of preference. A lookup
    takes at most `timeout` seconds in all, also when DNS is silent.

    The same URI may give its targets in another order each time, as the weights of its SRV records demand:
    what must go the same way as an earlier request (CANCEL, ACK to a failure) uses that request's flow.
    """

    def __init__(
        self,
        resolver: IResolver,
        clock: IReactorTime,
        *,
        supported: Sequence[str] = ("UDP", "TCP", "TLS"),
        families: Sequence[int] = (4, 6),
        rng: random.Random | None = None,
        blacklist: Blacklist | None = None,
        timeout: float = 4.0,
        max_in_flight: int = 128,
        dns_timeouts: Sequence[float] = (1.0, 2.0),
    ) -> None:
        self.supported = tuple(supported)
        self.families = tuple(families)
        self.blacklist = Blacklist() if blacklist is None else blacklist
        self.dns = DNSClient(resolver, clock, max_in_flight=max_in_flight, timeouts=dns_timeouts)
        self._clock = clock
        self._now = clock.seconds
        self._rng = random.Random() if rng is None else rng
        self._timeout = timeout
        self._plans: Recent[_Key, tuple[Plan, float]] = Recent(4096)

    def locate_now(self, uri: URI) -> list[Target] | None:
        """
        The targets, best first, if no lookup is needed: a numeric host, or all that it takes is cached.

        None: use `locate`. Raises `LocateError` when it is known that there is nowhere to send to.
        """
        if isinstance(uri, SipURI):
            key = (uri.scheme, uri.host, uri.port, uri.params)
            known = self._plans.get(key)
            if known is not None and self._now() < known[1]:
                return self._order(known[0])
        search = search_for_uri(uri, self.supported, self.families)
        until = float("inf")
        while search.wanted:
            answers: dict[Question, Answer] = {}
            for question in search.wanted:
                answer = self.dns.cached(question)
                if answer is None:
                    return None
                answers[question] = answer
                until = min(until, self.dns.good_until(question))
            search.answered(answers)
        plan = search.plan()
        if isinstance(uri, SipURI):
            self._plans.put(key, (plan, until))
        return self._order(plan)

    async def locate(self, uri: URI) -> list[Target]:
        """
        The targets, best first; at least one. Those that failed lately are the last ones.

        Raises `LocateError` when there are none, or DNS does not answer in time.
        """
        ready = self.locate_now(uri)
        if ready is not None:
            return ready
        return self._order(await self._finish(search_for_uri(uri, self.supported, self.families)))

    def failed(self, target: Target, seconds: float | None = None) -> None:
        """The target did not answer, or said 503 with this Retry-After: it comes last for a while."""
        self.blacklist.failed(target, self._now(), seconds)

    def succeeded(self, target: Target) -> None:
        """The target answered."""
        self.blacklist.succeeded(target)

    def avoids(self, target: Target) -> bool:
        """Whether the target failed so lately that others are to be tried before it."""
        return self.blacklist.avoids(target, self._now())

    def forget(self) -> None:
        """Forget every answer of DNS, as an operator may want after a change there."""
        self.dns.cache.clear()
        self._plans.clear()

    def _order(self, plan: Plan) -> list[Target]:
        targets = plan.order(self._rng)
        return targets if len(targets) < 2 else self.blacklist.order(targets, self._now())

    async def _finish(self, search: Search) -> Plan:
        deadline = self._now() + self._timeout
        while search.wanted:
            search.answered(await self._answers(search.wanted, deadline))
        return search.plan()

    async def _answers(self, wanted: Sequence[Question], deadline: float) -> dict[Question, Answer]:
        """The answers to all questions, or what stands in for those that did not come in time."""
        answers: dict[Question, Answer] = {}
        complete: Deferred[None] = Deferred()

        def arrived(answer: Answer, question: Question) -> None:
            answers[question] = answer
            if len(answers) == len(wanted) and not complete.called:
                complete.callback(None)

        for question in wanted:
            self.dns.ask(question).addCallback(arrived, question)
        if not complete.called:
            wait = max(0.0, deadline - self._now())
            if wanted[0].kind in ("NAPTR", "SRV"):
                # One question without an answer must leave time for the rest of the way.
                wait = min(wait, self._timeout / 2)
            if all(question in answers or self.dns.stale(question) is not None for question in wanted):
                wait = min(wait, STALE_WAIT)
            timer = self._clock.callLater(wait, complete.callback, None)
            try:
                await complete
            finally:
                if timer.active():
                    timer.cancel()
        for question in wanted:
            if question not in answers:
                answers[question] = self.dns.stale(question) or Answer(Outcome.TIMEOUT)
        return answers
