"""Digest verification (RFC 7616, RFC 8760, RFC 3261 section 22): challenges, and a verdict on each answer.

Pure: the caller looks the user's hashes up, tells the wall time and sends the answer. An unknown user costs
the same hashing as a known one and gets the same answer.
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import NamedTuple

from rvoip.auth.interfaces import Arithmetic, Credentials, HA1s
from rvoip.auth.nonce import Freshness, NonceIssuer
from rvoip.auth.replay import ReplayWindow

__all__ = ["ALGORITHMS", "QOP", "DigestVerifier", "Kind", "Verdict"]

#: The algorithms of RFC 8760, in the order of the challenges unless configured otherwise: old phones read the
#: first challenge alone, and know MD5 alone.
ALGORITHMS = ("MD5", "SHA-256", "SHA-512-256")
QOP = ("auth", "auth-int")

_DIGITS = {"MD5": 32, "SHA-256": 64, "SHA-512-256": 64}
_COUNT = re.compile("[0-9a-fA-F]{8}").fullmatch
_MAX_REALMS = 1000
_FRESH = Freshness.FRESH


class Kind(enum.Enum):
    """What to do with the request."""

    #: Go on; it comes from `Verdict.user`.
    OK = "ok"
    #: Answer 401 or 407 with challenges, whose `stale` is `Verdict.stale`.
    CHALLENGE = "challenge"
    #: Answer 400 with `Verdict.reason`.
    BAD = "bad"


class Verdict(NamedTuple):
    """What became of some credentials."""

    kind: Kind
    #: The user part of the account, for OK.
    user: str = ""
    #: Whether the password was right and only the nonce will not do: the phone need not ask its user.
    stale: bool = False
    #: For logs, and for the answer of BAD.
    reason: str = ""
    #: Whether a password was guessed wrong or a user made up: what a ban of the source counts.
    is_failure: bool = False


_NONE_GIVEN = Verdict(Kind.CHALLENGE, reason="no credentials")
_OTHER_REALM = Verdict(Kind.CHALLENGE, reason="credentials of another realm")
_NOT_OFFERED = Verdict(Kind.CHALLENGE, reason="an algorithm that was not offered")
_QOP_NOT_OFFERED = Verdict(Kind.CHALLENGE, reason="a qop that was not offered")
_WRONG = Verdict(Kind.CHALLENGE, reason="wrong user or password", is_failure=True)
_EXPIRED = Verdict(Kind.CHALLENGE, stale=True, reason="the nonce has expired")
_FOREIGN = Verdict(Kind.CHALLENGE, stale=True, reason="the nonce is not of this server")
_REPLAY = Verdict(Kind.CHALLENGE, stale=True, reason="the nonce count was used already")
_INCOMPLETE = Verdict(Kind.BAD, reason="Incomplete Digest Credentials")
_BAD_COUNT = Verdict(Kind.BAD, reason="Bad Nonce Count")
_NO_CNONCE = Verdict(Kind.BAD, reason="Digest Without cnonce")
_NO_QOP = Verdict(Kind.BAD, reason="Digest Without qop")
_OTHER_URI = Verdict(Kind.BAD, reason="Digest uri Does Not Match")


class _Nobody:
    """The hashes of no user: nobody knows a password to them, and `of` costs what a user's costs."""

    __slots__ = ("_ha1s",)

    def __init__(self, secret: bytes, algorithms: Sequence[str]) -> None:
        self._ha1s = {
            algorithm: hashlib.sha256(b"nobody:" + algorithm.encode() + secret).hexdigest()[
                : _DIGITS[algorithm]
            ]
            for algorithm in algorithms
        }

    def of(self, algorithm: str, /) -> str:
        """Hexadecimal digits of the algorithm's length."""
        return self._ha1s[algorithm]


class DigestVerifier:
    """Challenges for some realms and verdicts on the credentials that answer them.

    `algorithms` and `qop` are what is offered, in this order. `secret` is drawn at each start and is at least
    16 bytes. The nonces and the replay window may be shared, both together, with another verifier
    of the process.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        nonces: NonceIssuer,
        replay: ReplayWindow,
        *,
        secret: bytes,
        algorithms: Sequence[str] = ALGORITHMS,
        qop: Sequence[str] = QOP,
    ) -> None:
        if not algorithms or len(set(algorithms)) != len(algorithms) or set(algorithms) - _DIGITS.keys():
            raise ValueError(f"digest algorithms are some of {', '.join(ALGORITHMS)}, each once")
        if not qop or len(set(qop)) != len(qop) or set(qop) - set(QOP):
            raise ValueError(f"digest qop is some of {', '.join(QOP)}, each once")
        if len(secret) < 16:
            raise ValueError("the secret of a digest verifier has at least 16 bytes")
        self._ha2 = arithmetic.ha2
        self._response = arithmetic.response
        self._nonces = nonces
        self._replay = replay
        self._offered = {algorithm: algorithm for algorithm in algorithms}
        self._qop = frozenset(qop)
        self._nobody = _Nobody(secret, algorithms)
        offer = f'qop="{",".join(qop)}"'
        self._ends = [f'", algorithm={algorithm}, {offer}' for algorithm in algorithms]
        self._stale_ends = [f'", algorithm={algorithm}, stale=true, {offer}' for algorithm in algorithms]
        self._starts: dict[str, str] = {}

    @classmethod
    def with_secret(
        cls,
        arithmetic: Arithmetic,
        secret: bytes,
        *,
        algorithms: Sequence[str] = ALGORITHMS,
        qop: Sequence[str] = QOP,
        ttl: float = 300.0,
        max_nonces: int = 100_000,
    ) -> DigestVerifier:
        """A verifier with nonces, fresh for `ttl` seconds, and a replay window of its own."""
        return cls(
            arithmetic,
            NonceIssuer(secret, ttl),
            ReplayWindow(max_nonces, ttl),
            secret=secret,
            algorithms=algorithms,
            qop=qop,
        )

    def challenges(self, realm: str, wall_now: float, stale: bool = False, source: str = "") -> list[str]:
        """The values of WWW-Authenticate or Proxy-Authenticate, one header field each, over one new nonce.

        With a `source`, such as the peer's address, the nonce is good for requests from there only; what is
        given here is to be given to `verify`.
        """
        start = self._starts.get(realm) or self._start(realm)
        head = start + self._nonces.issue(wall_now, source)
        return [head + end for end in (self._stale_ends if stale else self._ends)]

    def verify(
        self,
        realm: str,
        method: str,
        credentials: Credentials | None,
        body: bytes,
        ha1s: HA1s | None,
        wall_now: float,
        *,
        uri_matches: Callable[[str], bool] | None = None,
        source: str = "",
    ) -> Verdict:
        """The verdict on the credentials of one request.

        `ha1s` are the hashes of ``credentials.username`` in `realm`, None for an unknown user; `body` counts
        for auth-int. `uri_matches` says whether the digest's uri names the same resource as the Request-URI
        (RFC 7616 section 3.4.6); without it any uri does, since proxies rewrite the Request-URI on the way
        (RFC 3261 section 22.4).
        """
        if credentials is None:
            return _NONE_GIVEN
        if credentials.realm != realm:
            return _OTHER_REALM
        algorithm = self._offered.get(credentials.algorithm) or self._offered.get(
            credentials.algorithm.upper()
        )
        if algorithm is None:
            return _NOT_OFFERED
        username, nonce, uri, given = (
            credentials.username,
            credentials.nonce,
            credentials.uri,
            credentials.response,
        )
        if not (username and nonce and uri and given):
            return _INCOMPLETE
        qop, nc, cnonce = credentials.qop, credentials.nc, credentials.cnonce
        count: int | None = None
        if qop is None:
            # RFC 2069: phones that know no qop know MD5 alone. Elsewhere its absence is a downgrade.
            if algorithm != "MD5" or "auth" not in self._qop:
                return _NO_QOP
            nc = cnonce = None
        elif qop not in self._qop:
            return _QOP_NOT_OFFERED
        elif nc is None or _COUNT(nc) is None or (count := int(nc, 16)) == 0:
            return _BAD_COUNT
        elif not cnonce:
            return _NO_CNONCE
        if uri_matches is not None and not uri_matches(uri):
            return _OTHER_URI

        freshness, serial = self._nonces.check(nonce, wall_now, source)
        ha1 = (self._nobody if ha1s is None else ha1s).of(algorithm)
        ha2 = self._ha2(algorithm, method, uri, qop, body)
        expected = self._response(algorithm, ha1, nonce, nc, cnonce, qop, ha2)
        # As bytes: of text, compare_digest takes ASCII only.
        is_right = compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))
        if not is_right or ha1s is None:
            return _WRONG
        if freshness is not _FRESH:
            return _EXPIRED if serial >= 0 else _FOREIGN
        if not self._replay.accept(serial, count, wall_now):
            return _REPLAY
        # Phones may name themselves in full ("alice@example.test").
        if "@" in username:
            username = username.removesuffix("@" + realm)
        return Verdict(Kind.OK, username)

    def _start(self, realm: str) -> str:
        if not realm.isprintable() or not realm:
            raise ValueError("a realm is printable text")
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        if len(self._starts) >= _MAX_REALMS:
            self._starts.clear()
        start = self._starts[realm] = f'Digest realm="{quoted}", nonce="'
        return start
