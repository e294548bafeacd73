"""ICE for a server (RFC 8445, lite): a machine that answers the checks of a full agent.

A lite agent has an address that everybody reaches. It sends no checks: it answers those that know its
password, and sends media to where the peer nominated. `IceLite` is told of datagrams and the time and returns
what is to be done. A full agent is to have the same `receive`, `timeout` and outputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from rvoip.protocols.rtp.candidate import Candidate, Credentials, candidate_priority
from rvoip.protocols.rtp.errors import RTPError
from rvoip.protocols.rtp.stun import (
    BINDING,
    ERROR,
    REQUEST,
    SUCCESS,
    Attribute,
    Message,
    build_message,
    error_code,
    parse_message,
    unknown_attributes,
    xor_address,
)

__all__ = ["Address", "Answer", "ConsentLost", "IceLite", "IceOutput", "IceRefusal", "Pair", "Selected"]

Address = tuple[str, int]
"""Numeric host and port."""

MAX_PAIRS: Final = 32
"""How many addresses of the peer are kept; the one that was silent longest makes place for a new one."""
AMPLIFICATION: Final = 2
"""No answer is longer than so many times the request."""
_PAIR_RATE, _PAIR_BURST = 20.0, 40.0
_STRANGER_RATE, _STRANGER_BURST = 50.0, 100.0
_ERROR_RATE, _ERROR_BURST = 5.0, 10.0
"""Messages a second: of one address that has been authentic, of all others together, and refusals."""
_OLD_CREDENTIALS: Final = 30.0
"""Seconds for which checks with the credentials before a restart are answered."""
_STALE: Final = 10.0
"""Seconds without a check after which a pair is no rival of a newly nominated one."""


class Answer(Struct, frozen=True, gc=False):
    """Send this datagram from `local` to `remote`."""

    component: int
    local: Address
    remote: Address
    datagram: bytes


class Selected(Struct, frozen=True, gc=False):
    """Media of a component is exchanged between these addresses from now on."""

    component: int
    local: Address
    remote: Address


class ConsentLost(Struct, frozen=True, gc=False):
    """The peer has not asked for so long that nothing may be sent to it any more (RFC 7675)."""

    component: int
    remote: Address


IceOutput = Answer | Selected | ConsentLost


class IceRefusal(Struct):
    """How many datagrams got no success, by reason."""

    malformed: int = 0
    unexpected: int = 0
    """Responses and other methods: a lite agent asks nothing."""
    limited: int = 0
    unauthorized: int = 0
    bad_request: int = 0
    role_conflict: int = 0
    unanswered: int = 0
    """Refusals that were not sent: too many, or longer than the request deserves."""


class _Bucket:
    __slots__ = ("rate", "burst", "level", "time")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.level, self.time = burst, float("-inf")

    def take(self, now: float) -> bool:
        self.level = min(self.burst, self.level + max(now - self.time, 0.0) * self.rate)
        self.time = max(self.time, now)
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True


class Pair:
    """An address of ours and one of the peer between which a check was authentic."""

    __slots__ = ("component", "local", "remote", "kind", "priority", "heard", "nominating", "_bucket")

    def __init__(self, component: int, local: Address, remote: Address, kind: str, priority: int) -> None:
        self.component = component
        self.local = local
        self.remote = remote
        self.kind = kind
        """Of the peer's candidate; prflx for an address that it did not tell (RFC 8445 section 7.3.1.3)."""
        self.priority = priority
        """Of the pair, the peer controlling (RFC 8445 section 6.1.2.3)."""
        self.heard = float("-inf")
        """When the last check came (monotonic seconds)."""
        self.nominating = False
        """Whether that one had USE-CANDIDATE."""
        self._bucket = _Bucket(_PAIR_RATE, _PAIR_BURST)

    def take(self, now: float) -> bool:
        """Whether one more check is within its rate."""
        return self._bucket.take(now)


class IceLite:
    """The lite agent of one stream. Its peer is a full agent and controls (RFC 8445 section 6.1.1).

    `candidates` are ours, as told to the peer. `consent` is how long the peer may be silent on the selected
    pair (seconds, RFC 7675 section 5.1); 0 for peers that send no checks once they have nominated.
    """

    def __init__(
        self, credentials: Credentials, candidates: Iterable[Candidate] = (), *, consent: float = 30.0
    ) -> None:
        self.credentials = credentials
        self.consent = consent
        self.refused = IceRefusal()
        self.pairs: dict[tuple[int, Address, Address], Pair] = {}
        self.selected: dict[int, Pair] = {}
        """The pair of each component that has one."""
        self._priorities = {(one.component, one.address, one.port): one.priority for one in candidates}
        self._remote_ufrag = ""
        self._remote: dict[tuple[int, str, int], Candidate] = {}
        self._old: Credentials | None = None
        self._old_until = 0.0
        self._strangers = _Bucket(_STRANGER_RATE, _STRANGER_BURST)
        self._errors = _Bucket(_ERROR_RATE, _ERROR_BURST)

    def set_remote(self, ufrag: str, candidates: Iterable[Candidate] = ()) -> None:
        """What the peer's description says: from now on only checks with its ufrag count.

        The first of its candidates are kept, at most 128. None of them is needed: checks come from where they
        come from.
        """
        self._remote_ufrag = ufrag
        self._remote = {}
        for candidate in candidates:
            if len(self._remote) >= 4 * MAX_PAIRS:
                break
            self._remote[candidate.component, candidate.address, candidate.port] = candidate

    def restart(self, credentials: Credentials, now: float) -> None:
        """New credentials of ours (RFC 8445 section 9). Media goes on where it went until the peer nominates
        anew; until then, and for at most 30 seconds, checks with the old ones keep that pair alive.
        """
        self._old, self._old_until = self.credentials, now + _OLD_CREDENTIALS
        self.credentials = credentials
        self._remote_ufrag = ""
        self._remote = {}
        kept = {id(pair) for pair in self.selected.values()}
        self.pairs = {key: pair for key, pair in self.pairs.items() if id(pair) in kept}
        for pair in self.pairs.values():
            pair.nominating = False

    def knows(self, component: int, local: Address, remote: Address) -> bool:
        """Whether a check between these addresses was authentic, so that DTLS from there may be looked at."""
        return (component, local, remote) in self.pairs

    @property
    def deadline(self) -> float | None:
        """When `timeout` is to be called (monotonic seconds)."""
        if not self.consent or not self.selected:
            return None
        return min(pair.heard for pair in self.selected.values()) + self.consent

    def timeout(self, now: float) -> list[IceOutput]:
        """Give up the pairs whose peer was silent for too long."""
        lost: list[IceOutput] = []
        if self.consent:
            for component, pair in list(self.selected.items()):
                if pair.heard + self.consent <= now:
                    del self.selected[component]
                    self.pairs.pop((component, pair.local, pair.remote), None)
                    lost.append(ConsentLost(component, pair.remote))
        return lost

    def receive(
        self, datagram: bytes, component: int, local: Address, remote: Address, now: float
    ) -> list[IceOutput]:
        """A datagram that begins like STUN came in from `remote` on our `local`; never raises for it."""
        pair = self.pairs.get((component, local, remote))
        if not (self._strangers.take(now) if pair is None else pair.take(now)):
            self.refused.limited += 1
            return []
        try:
            message = parse_message(datagram)
        except RTPError:
            self.refused.malformed += 1
            return []
        if message.method != BINDING or message.kind != REQUEST:
            # An indication is a keep-alive (RFC 8445 section 11); it proves nothing and is not answered.
            self.refused.unexpected += message.kind != 1 or message.method != BINDING
            return []
        answer, outputs = self._answered(message, component, local, remote, now)
        if answer is None:
            return []
        if len(answer) > AMPLIFICATION * len(datagram):
            self.refused.unanswered += 1
            return outputs
        return [Answer(component, local, remote, answer), *outputs]

    def _answered(
        self, message: Message, component: int, local: Address, remote: Address, now: float
    ) -> tuple[bytes | None, list[IceOutput]]:
        username = message.username
        if username is None or not (message.signed or message.signed_sha256):
            self.refused.bad_request += 1
            return self._refusal(message, 400, now), []
        ours, _, theirs = username.partition(":")
        credentials = self._credentials(ours, theirs, now)
        if credentials is None or not message.authentic(credentials.password.encode()):
            self.refused.unauthorized += 1
            return self._refusal(message, 401, now), []
        key = credentials.password.encode()
        if message.unknown:
            self.refused.bad_request += 1
            return self._signed(
                message, ERROR, [error_code(420), unknown_attributes(message.unknown)], key
            ), []
        if message.get(Attribute.ICE_CONTROLLED) is not None:
            # Facing a lite agent, the full one controls whatever the tie-breakers are.
            self.refused.role_conflict += 1
            return self._signed(message, ERROR, [error_code(487)], key), []
        priority = message.number(Attribute.PRIORITY)
        if priority is None:
            self.refused.bad_request += 1
            return self._signed(message, ERROR, [error_code(400)], key), []
        mapped = xor_address(remote[0], remote[1], message.transaction)
        answer = self._signed(message, SUCCESS, [(Attribute.XOR_MAPPED_ADDRESS, mapped)], key)
        known = self.pairs.get((component, local, remote))
        if credentials is not self.credentials:
            if known is not None:
                known.heard = now  # consent, and no more
            return answer, []
        nominates = message.get(Attribute.USE_CANDIDATE) is not None
        pair = known or self._new_pair(component, local, remote, priority)
        pair.heard = now
        pair.nominating = nominates
        return answer, self._nominated(pair, now) if nominates else []

    def _credentials(self, ours: str, theirs: str, now: float) -> Credentials | None:
        """The credentials that a user name speaks of."""
        if ours == self.credentials.ufrag:
            fits = not self._remote_ufrag or theirs == self._remote_ufrag
            return self.credentials if fits else None
        if self._old is not None and ours == self._old.ufrag and now < self._old_until:
            return self._old
        return None

    def _refusal(self, message: Message, status: int, now: float) -> bytes | None:
        if not self._errors.take(now):
            self.refused.unanswered += 1
            return None
        return build_message(BINDING, ERROR, message.transaction, [error_code(status)])

    def _signed(self, message: Message, kind: int, attributes: list[tuple[int, bytes]], key: bytes) -> bytes:
        # With the integrity that the request has (RFC 8489 section 9.1.3.2).
        return build_message(
            BINDING, kind, message.transaction, attributes, key=key, sha256=bool(message.signed_sha256)
        )

    def _new_pair(self, component: int, local: Address, remote: Address, priority: int) -> Pair:
        if len(self.pairs) >= MAX_PAIRS:
            chosen = {id(pair) for pair in self.selected.values()}
            silent = min(
                (pair for pair in self.pairs.values() if id(pair) not in chosen), key=lambda pair: pair.heard
            )
            del self.pairs[silent.component, silent.local, silent.remote]
        told = self._remote.get((component, *remote))
        theirs = told.priority if told else priority
        ours = self._priorities.get((component, *local), candidate_priority("host", component))
        rank = (min(theirs, ours) << 32) + 2 * max(theirs, ours) + (theirs > ours)
        pair = Pair(component, local, remote, told.kind if told else "prflx", rank)
        self.pairs[component, local, remote] = pair
        return pair

    def _nominated(self, pair: Pair, now: float) -> list[IceOutput]:
        """The peer wants this pair. It gets it, unless it still wants a better one as well.

        A regular nomination names one pair, once. An aggressive one (RFC 5245) names all of them, again and
        again, and the best counts (RFC 8445 section 8.1.1); and some name another one when their network
        changes, and the one before no longer.
        """
        before = self.selected.get(pair.component)
        if before is pair:
            return []
        rival = before is not None and before.nominating and now - before.heard < _STALE
        if before is not None and rival and before.priority > pair.priority:
            return []
        self.selected[pair.component] = pair
        return [Selected(pair.component, pair.local, pair.remote)]
