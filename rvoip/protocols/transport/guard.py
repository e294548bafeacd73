"""Who may speak to us, and how often: a rate a source, and bans.

A machine: it is told the time. Memory is bounded, whatever addresses an attacker makes up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from rvoip.protocols.transport.addresses import Network, source_key
from rvoip.protocols.transport.bounded import Recent

__all__ = ["Guard"]


class _Bucket:
    """Tokens of one source, and when they were counted."""

    __slots__ = ("then", "tokens")

    def __init__(self, tokens: float, then: float) -> None:
        self.tokens = tokens
        self.then = then


class Guard:
    """A token bucket a source, and a ban after too many failures.

    A source is an IPv4 address or an IPv6 /64. Sources in `trusted` networks are never limited or banned. All
    times are monotonic seconds.
    """

    def __init__(
        self,
        rate: float = 0.0,
        ban_after: int = 0,
        trusted: Iterable[Network] = (),
        *,
        burst: float | None = None,
        failure_window: float = 60.0,
        ban_time: float = 300.0,
        max_sources: int = 65536,
    ) -> None:
        self.active = False
        """Whether `admit` has anything to look at: hot paths may skip the call when it is false."""
        self.limited = 0
        """Messages refused because their source sent too many."""
        self.refused = 0
        """Messages and connections refused because their source is banned."""
        self._failure_window = failure_window
        self._ban_time = ban_time
        self._max_sources = max_sources
        self._buckets: Recent[str, _Bucket] = Recent(max_sources)
        self._failures: Recent[str, _Bucket] = Recent(max_sources)
        self._bans: dict[str, float] = {}
        self._keys: Recent[str, str] = Recent(max_sources)
        self._trust: Recent[str, bool] = Recent(max_sources)
        self.configure(rate, ban_after, trusted, burst=burst)

    def configure(
        self, rate: float, ban_after: int, trusted: Iterable[Network], *, burst: float | None = None
    ) -> None:
        """Set the rules, also while running.

        `rate` is messages a second a source may send on average, 0 for no limit; `burst` how many it may send
        at once, by default those of two seconds and at least 10. `ban_after` failures within the window ban a
        source, 0 for never. Bans in force stay, except those of sources that are now trusted.
        """
        self.rate = rate
        self.burst = max(rate * 2, 10.0) if burst is None else burst
        self.ban_after = ban_after
        self.trusted = tuple(trusted)
        self._trust.clear()
        self._buckets.clear()
        for key in [key for key in self._bans if self.trusts(key.removesuffix("/64"))]:
            del self._bans[key]
        self._update()

    def _update(self) -> None:
        self.active = self.rate > 0 or bool(self._bans)

    def admit(self, host: str, now: float) -> bool:
        """Whether to look at a message from this numeric address; it is counted."""
        if not self.active:
            return True
        if self.trusted and self.trusts(host):
            return True
        key = self._key(host)
        if self._bans and self._banned(key, now):
            self.refused += 1
            return False
        rate = self.rate
        if rate <= 0:
            return True
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets.put(key, _Bucket(self.burst - 1.0, now))
            return True
        tokens = min(self.burst, bucket.tokens + (now - bucket.then) * rate)
        bucket.then = now
        if tokens < 1.0:
            bucket.tokens = tokens
            self.limited += 1
            return False
        bucket.tokens = tokens - 1.0
        return True

    def admits_connection(self, host: str, now: float) -> bool:
        """Whether to accept a connection from this numeric address."""
        if self._bans and not self.trusts(host) and self._banned(self._key(host), now):
            self.refused += 1
            return False
        return True

    def failed(self, host: str, now: float) -> bool:
        """Count a failure of this source (wrong credentials); True when that has banned it.

        Only what proves that the source gets our packets, such as an answer to a challenge, should count:
        whoever can make an address fail by forging it can have it banned. Right credentials in between
        forgive nothing: whoever has an account would guess at those of others without end.
        """
        if self.ban_after <= 0 or self.trusts(host):
            return False
        key = self._key(host)
        failures = self._failures.get(key)
        if failures is None or now - failures.then > self._failure_window:
            failures = _Bucket(0.0, now)
            self._failures.put(key, failures)
        failures.tokens += 1.0
        if failures.tokens < self.ban_after:
            return False
        self._failures.pop(key)
        self.ban(host, now)
        return True

    def ban(self, host: str, now: float) -> None:
        """Refuse this source for the ban time."""
        bans = self._bans
        key = self._key(host)
        bans.pop(key, None)
        if len(bans) >= self._max_sources:
            # All bans last equally long: the first is the one that ends first.
            del bans[next(iter(bans))]
        bans[key] = now + self._ban_time
        self._update()

    def unban(self, host: str) -> bool:
        """End a ban; False when there is none."""
        ended = self._bans.pop(self._key(host), None) is not None
        self._update()
        return ended

    def banned(self, now: float) -> dict[str, float]:
        """The sources that are banned, with the seconds that are left."""
        return {key: until - now for key, until in self._bans.items() if until > now}

    def trusts(self, host: str) -> bool:
        """Whether a numeric address is in a trusted network."""
        if not self.trusted:
            return False
        known = self._trust.get(host)
        if known is None:
            address = ipaddress.ip_address(host.partition("%")[0])
            known = any(address in network for network in self.trusted)
            self._trust.put(host, known)
        return known

    def _key(self, host: str) -> str:
        return host if ":" not in host else self._keys.find_or(host, source_key)

    def _banned(self, key: str, now: float) -> bool:
        until = self._bans.get(key)
        if until is None:
            return False
        if until > now:
            return True
        del self._bans[key]
        self._update()
        return False
