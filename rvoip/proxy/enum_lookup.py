"""Asks DNS for the SIP addresses of a telephone number (RFC 6116)."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.dns import DNSClient
from rvoip.protocols.transport.dns_records import NAPTR, Outcome, Question, host_name
from rvoip.proxy.enum import MOST_STEPS, choose, enum_domain

__all__ = ["MOST_LOOKUPS", "EnumLookup"]

MOST_LOOKUPS = 64
"""Questions under way, beyond which numbers are not looked up: who dials at random shall not flood DNS."""


class EnumLookup:
    """Searches the trees of `suffixes` ("e164.arpa", or a private one), in order.

    A search that takes longer than `timeout` seconds finds nothing: a call must not wait for somebody else's
    name server.
    """

    def __init__(
        self, dns: DNSClient, suffixes: Sequence[str], clock: IReactorTime, timeout: float = 2.0
    ) -> None:
        self._dns = dns
        self._clock = clock
        self._timeout = timeout
        self.suffixes = tuple(suffixes)

    async def find(self, number: str) -> list[SipURI]:
        """The SIP URIs of a number (+ and digits), most wanted first, maybe none; never fails."""
        if self._dns.in_flight >= MOST_LOOKUPS:
            return []
        searching = Deferred.fromCoroutine(self._search(number))
        try:
            return await searching.addTimeout(self._timeout, self._clock)
        except TimeoutError:
            return []

    async def _search(self, number: str) -> list[SipURI]:
        for suffix in self.suffixes:
            try:
                domain = host_name(enum_domain(number, suffix))
            except ValueError:
                return []
            seen: set[str] = set()
            while domain is not None and domain not in seen and len(seen) < MOST_STEPS:
                seen.add(domain)
                answer = await self._dns.ask(Question(domain, "NAPTR"))
                if answer.outcome is not Outcome.FOUND:
                    break
                records = [one for one in answer.records if isinstance(one, NAPTR)]
                uris, following = choose(records, number)
                if uris:
                    return uris
                domain = host_name(following) if following else None
        return []
