"""Questions to DNS through twisted.names: shared, bounded, cached, with their CNAMEs followed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.error import BindError, ConnectError
from twisted.internet.interfaces import IReactorTime, IResolver
from twisted.logger import Logger
from twisted.names import dns
from twisted.names.error import AuthoritativeDomainError, DNSNameError, DomainError
from twisted.python.failure import Failure

from rvoip.protocols.transport.dns_cache import AnswerCache
from rvoip.protocols.transport.dns_records import (
    MAX_ALIASES,
    NAPTR,
    NEGATIVE_TTL,
    SRV,
    Answer,
    Outcome,
    Question,
    Raw,
    interpret,
)

__all__ = ["DNSClient"]

_LOOKUPS = {
    "A": "lookupAddress",
    "AAAA": "lookupIPV6Address",
    "SRV": "lookupService",
    "NAPTR": "lookupNamingAuthorityPointer",
}
_LOCALHOST = {"A": "127.0.0.1", "AAAA": "::1"}


class DNSClient:
    """
    Asks an `IResolver`, such as `rvoip.protocols.transport.resolver.make_resolver` makes.

    A question that is already under way is not sent again, at most `max_in_flight` are under way, and answers
    are cached by their TTL (see `AnswerCache`). `timeouts` are the seconds after which each server is asked
    again, for resolvers that heed them.
    """

    _log = Logger()

    def __init__(
        self,
        resolver: IResolver,
        clock: IReactorTime,
        *,
        cache: AnswerCache | None = None,
        max_in_flight: int = 128,
        timeouts: Sequence[float] = (1.0, 2.0),
    ) -> None:
        self.cache = AnswerCache() if cache is None else cache
        self._resolver = resolver
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._timeouts = tuple(timeouts)
        self._waiting: dict[Question, list[Deferred[Answer]]] = {}

    @property
    def in_flight(self) -> int:
        """How many questions are under way."""
        return len(self._waiting)

    def ask(self, question: Question) -> Deferred[Answer]:
        """
        Fires with the answer, at once when it is cached; never fails.

        Its time is the resolver's: whoever waits sets a limit of their own. An answer that comes after it is
        cached all the same.
        """
        known = self.cached(question)
        if known is not None:
            return succeed(known)
        waiter: Deferred[Answer] = Deferred()
        waiters = self._waiting.get(question)
        if waiters is not None:
            waiters.append(waiter)
            return waiter
        if len(self._waiting) >= self._max_in_flight:
            self._log.warn("too many DNS questions under way: {question} is not asked", question=question)
            return succeed(self.cache.stale(question, self._clock.seconds()) or Answer(Outcome.FAILED))
        self._waiting[question] = [waiter]
        Deferred.fromCoroutine(self._look_up(question)).addBoth(self._done, question)
        return waiter

    def cached(self, question: Question) -> Answer | None:
        """The answer, if it is known without asking."""
        if question.name == "localhost" or question.name.endswith(".localhost"):
            # RFC 6761 section 6.3: it never leaves the machine.
            loopback = _LOCALHOST.get(question.kind)
            return Answer(Outcome.NONE) if loopback is None else Answer(Outcome.FOUND, (loopback,), 86400.0)
        if question.name.endswith(".invalid"):
            # Nor does this (section 6.4): so browsers call themselves, who are reached by connection only.
            return Answer(Outcome.NONE)
        return self.cache.get(question, self._clock.seconds())

    def good_until(self, question: Question) -> float:
        """Until when (monotonic seconds) `cached` gives the present answer."""
        if question.name == "localhost" or question.name.endswith((".localhost", ".invalid")):
            return float("inf")
        return self.cache.good_until(question)

    def stale(self, question: Question) -> Answer | None:
        """What was found before, for a time in which DNS does not answer."""
        return self.cache.stale(question, self._clock.seconds())

    def _done(self, result: Answer | Failure, question: Question) -> None:
        if isinstance(result, Failure):
            self._log.failure("while {question} was asked of DNS", result, question=question)
            result = Answer(Outcome.FAILED)
        usable = self.cache.put(question, result, self._clock.seconds())
        for waiter in self._waiting.pop(question):
            waiter.callback(usable)

    async def _look_up(self, question: Question) -> Answer:
        name = question.name
        seen: frozenset[str] = frozenset()
        ttl = float("inf")
        for _ in range(MAX_ALIASES):
            asked = Question(name, question.kind)
            try:
                sections = await self._query(asked)
            except TimeoutError:
                return Answer(Outcome.TIMEOUT)
            except (DNSNameError, AuthoritativeDomainError) as error:
                return Answer(Outcome.NONE, (), min(ttl, _negative_ttl(error)))
            except DomainError as error:
                # The plain class says "not here"; its other children say that the server cannot.
                outcome = Outcome.NONE if type(error) is DomainError else Outcome.FAILED
                return Answer(outcome)
            except (OSError, BindError, ConnectError, NotImplementedError, ValueError) as error:
                self._log.warn("DNS cannot be asked {question}: {error}", question=asked, error=str(error))
                return Answer(Outcome.FAILED)
            answers, authority = sections
            raws = [raw for header in answers if (raw := _raw(header)) is not None]
            result = interpret(asked, raws, seen)
            if isinstance(result, Answer):
                if result.outcome is Outcome.NONE:
                    return result._replace(ttl=min(ttl, _soa_ttl(authority)))
                return result._replace(ttl=min(ttl, result.ttl))
            ttl = min([ttl, *(raw.ttl for raw in raws)])
            seen |= {name}
            name = result
        return Answer(Outcome.FAILED)

    async def _query(self, question: Question) -> tuple[Sequence[Any], Sequence[Any]]:
        lookup = getattr(self._resolver, _LOOKUPS[question.kind])
        answers, authority, _ = await lookup(question.name.encode("ascii"), self._timeouts)
        return answers, authority


def _text(name: dns.Name | None) -> str:
    """A domain name of an answer, lower case and without the dot at its end."""
    text = b"" if name is None else bytes(name.name)
    return text.decode("ascii", "backslashreplace").lower().removesuffix(".")


def _raw(header: Any) -> Raw | None:
    """A record as a value; None for a type that nobody asked for."""
    payload = header.payload
    name, ttl = _text(header.name), float(header.ttl or 0)
    if isinstance(payload, dns.Record_A):
        return Raw(name, "A", ttl, str(ipaddress.IPv4Address(payload.address)))
    if isinstance(payload, dns.Record_AAAA):
        return Raw(name, "AAAA", ttl, ipaddress.IPv6Address(payload.address).compressed)
    if isinstance(payload, dns.Record_SRV):
        srv = SRV(payload.priority, payload.weight, payload.port, _text(payload.target))
        return Raw(name, "SRV", ttl, srv)
    if isinstance(payload, dns.Record_NAPTR):
        naptr = NAPTR(
            payload.order,
            payload.preference,
            payload.flags.string.decode("ascii", "replace").upper(),
            payload.service.string.decode("ascii", "replace").upper(),
            _text(payload.replacement),
            payload.regexp.string.decode("utf-8", "replace"),
        )
        return Raw(name, "NAPTR", ttl, naptr)
    if isinstance(payload, dns.Record_CNAME):
        return Raw(name, "CNAME", ttl, _text(payload.name))
    return None


def _soa_ttl(authority: Sequence[Any]) -> float:
    """How long "there is none" may be believed (RFC 2308 section 5)."""
    for header in authority:
        if isinstance(header.payload, dns.Record_SOA):
            return float(min(header.ttl or 0, header.payload.minimum))
    return NEGATIVE_TTL


def _negative_ttl(error: Exception) -> float:
    message = error.args[0] if error.args else None
    return _soa_ttl(message.authority) if isinstance(message, dns.Message) else NEGATIVE_TTL
