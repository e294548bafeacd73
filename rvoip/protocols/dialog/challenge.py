"""Credentials for challenges: which of them, for whom, and how often (RFC 3261 section 22, RFC 8760)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

from rvoip.protocols.sip import digest
from rvoip.protocols.sip.digest import ALGORITHMS, DigestChallenge, parse_challenge, parse_directives
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response

__all__ = ["Authentication", "Credential", "FindCredential"]

_HEADERS = {
    401: ("www-authenticate", "authorization"),
    407: ("proxy-authenticate", "proxy-authorization"),
}
_MOST_CHALLENGES = 16
"""Challenges of one response that are looked at; each costs a parse."""
_MOST_REALMS = 8
"""Realms that one series of requests may have credentials for."""


@attrs.frozen
class Credential:
    """A user name and password, and whom they may be shown to.

    `realm` None stands for any realm of these hosts. `hosts` are the lower-case domains or addresses, as the
    URI that a request is sent to names them, that may challenge for it.
    """

    username: str
    password: str = attrs.field(repr=False)
    realm: str | None = None
    hosts: frozenset[str] = frozenset()

    def serves(self, realm: str, host: str) -> bool:
        """Whether it may be shown to this host for this realm."""
        return host in self.hosts and self.realm in (None, realm)


FindCredential = Callable[[str, str], "Credential | None"]
"""Called with realm and host; a credential, or None. One that does not serve them is not shown."""


@attrs.define
class _Answered:
    """What was sent to a realm."""

    credential: Credential
    challenge: DigestChallenge
    header: str
    count: int
    hosts: set[str]
    stale: bool = False
    """Whether a nonce was called stale since the last success."""


class Authentication:
    """The credentials of one series of requests: a call with all its dialogs, a registration.

    `find` gives the credential for a realm and host. Whom a credential was shown to, by host and address,
    may have it again: a proxy that was reached by its domain is reached by its address within the dialog.
    `token` gives fresh random text.
    """

    __slots__ = ("_answered", "_find", "_token")

    def __init__(self, find: FindCredential, token: Callable[[], str]) -> None:
        self._find = find
        self._token = token
        self._answered: dict[str, _Answered] = {}

    def authorize(self, request: Request, host: str, address: str = "") -> None:
        """Put into a request that is about to be sent what this receiver may have, counted up.

        `host` is that of the URI which the request is sent to, `address` the numeric one.
        """
        for answered in self._answered.values():
            if host in answered.hosts or address in answered.hosts:
                self._put(request, answered)

    def answer(self, request: Request, response: Response, host: str, address: str = "") -> bool:
        """Take the challenges of a 401 or 407 to `request`, which was sent there.

        Of several challenges for a realm the one with the strongest algorithm counts. True: send the
        request again with a new CSeq, authorized anew. False: there is nothing to answer with, the
        credentials were refused, or a nonce is called stale for the second time.
        """
        names = _HEADERS.get(response.status)
        if names is None:
            return False
        asked, header = names
        added: dict[str, _Answered] = {}
        for challenge in _strongest(response.get_all(asked)):
            before = self._answered.get(challenge.realm)
            stale = False
            if before is not None and _carries(request, header, challenge.realm):
                # These very credentials were refused, unless it is only that the nonce is old: the server
                # says so, or has taken it before.
                old = challenge.stale or before.count > 1
                if not old or before.stale or challenge.nonce == before.challenge.nonce:
                    return False
                stale = True
            if before is not None and (host in before.hosts or address in before.hosts):
                credential: Credential | None = before.credential
            else:
                credential = self._find(challenge.realm, host)
                if credential is not None and not credential.serves(challenge.realm, host):
                    credential = None  # it was found, but is not for this host to see
            if credential is None:
                continue
            hosts = {host, address} - {""}
            if before is not None:
                hosts |= before.hosts
            added[challenge.realm] = _Answered(credential, challenge, header, 0, hosts, stale)
        if not added or len({**self._answered, **added}) > _MOST_REALMS:
            return False
        self._answered.update(added)
        return True

    def accepted(self, response: Response) -> None:
        """A request got through: note the nonce for the next one, where the server names it
        (RFC 7616 section 3.5).
        """
        for answered in self._answered.values():
            answered.stale = False
        if len(self._answered) != 1:
            return
        names = ("authentication-info", "proxy-authentication-info")
        text = response.get(names[0]) or response.get(names[1])
        if text is None:
            return
        try:
            nonce = parse_directives("Digest " + text)[1].get("nextnonce")
        except SIPParseError:
            return
        (answered,) = self._answered.values()
        if nonce and nonce != answered.challenge.nonce:
            old = answered.challenge
            answered.challenge = DigestChallenge(old.realm, nonce, old.algorithm, old.qop, False, old.opaque)
            answered.count = 0

    def _put(self, request: Request, answered: _Answered) -> None:
        answered.count += 1
        credentials = digest.answer(
            answered.challenge,
            method=request.method,
            uri=request.uri_text,
            username=answered.credential.username,
            password=answered.credential.password,
            cnonce=self._token(),
            nc=answered.count,
            body=request.body,
        )
        if credentials is not None:
            _remove_realm(request, answered.header, answered.challenge.realm)
            request.add(answered.header, str(credentials))


def _strongest(values: Iterable[str]) -> list[DigestChallenge]:
    """For each realm the challenge with the strongest algorithm that can be answered here."""
    best: dict[str, tuple[int, DigestChallenge]] = {}
    for value in list(values)[:_MOST_CHALLENGES]:
        try:
            challenge = parse_challenge(value)
        except SIPParseError:
            continue
        if challenge is None or (challenge.qop and not {"auth", "auth-int"} & set(challenge.qop)):
            continue
        algorithm = challenge.algorithm.upper().removesuffix("-SESS")
        if algorithm not in ALGORITHMS:
            continue
        strength = ALGORITHMS.index(algorithm)
        known = best.get(challenge.realm)
        if known is None or strength > known[0]:
            best[challenge.realm] = strength, challenge
    return [challenge for _, challenge in best.values()]


def _carries(request: Request, header: str, realm: str) -> bool:
    """Whether the request has credentials for the realm in it."""
    return any(_realm_of(value) == realm for value in request.get_all(header))


def _remove_realm(request: Request, header: str, realm: str) -> None:
    values = request.get_all(header)
    if not values:
        return
    request.remove(header)
    for value in values:
        if _realm_of(value) != realm:
            request.add(header, value)


def _realm_of(value: str) -> str | None:
    try:
        return parse_directives(value)[1].get("realm")
    except SIPParseError:
        return None
