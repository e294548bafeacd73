"""Who sent a SIP request: digest challenges, and verdicts on the answers (RFC 3261 section 22)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.auth.verify import DigestVerifier, Kind, Verdict
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.digest import DigestCredentials, parse_credentials
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI, escape_user
from rvoip.protocols.transport.intake import AMPLIFICATION
from rvoip.proxy.interfaces import IAuthenticator
from rvoip.services.domains import Domains
from rvoip.users.errors import StoreError
from rvoip.users.interfaces import ICredentials
from rvoip.users.passwords import HA1Set

__all__ = ["Authenticator"]

User = Deferred[str | None] | str | None

_SMALL = 300
"""Characters of headers above which three challenges do not make an answer thrice as long as the request."""

_STAMP = 40
"""Octets that the transport may have added to the request: rport and received."""


@implementer(IAuthenticator)
class Authenticator:
    """Digest authentication of requests in the realms of our domains.

    `wall` tells the wall time in seconds; `failed` is told the address of whoever gave a wrong password, and
    the username. `in_doubt` says that wrong credentials may be right ones by now: they get 503.
    A realm is a domain: an account is challenged in that of its own.
    """

    def __init__(
        self,
        verifier: DigestVerifier,
        credentials: ICredentials,
        domains: Domains,
        wall: Callable[[], float],
        failed: Callable[[str, str], None] = lambda host, user: None,
        in_doubt: Callable[[], bool] = lambda: False,
    ) -> None:
        self._verifier = verifier
        self._credentials = credentials
        self._domains = domains
        self._wall = wall
        self._failed = failed
        self._in_doubt = in_doubt
        self.challenged = 0
        self.accepted = 0
        self.failures = 0

    def authenticate(self, transaction: ServerTransaction) -> User:
        """As a proxy: 407 and Proxy-Authorization, in the realm of the sender's domain."""
        sender = transaction.request.from_.uri
        if isinstance(sender, SipURI) and self._domains.serves(sender):
            realm = self._domains.domain(sender)
        else:
            realm = self._domains.first
        return self._authenticate(transaction, realm, 407, "proxy-authorization", "Proxy-Authenticate")

    def authenticate_registration(self, transaction: ServerTransaction, realm: str) -> User:
        """As a registrar: 401 and Authorization."""
        return self._authenticate(transaction, realm, 401, "authorization", "WWW-Authenticate")

    def _authenticate(
        self, transaction: ServerTransaction, realm: str, status: int, header: str, challenge: str
    ) -> User:
        request = transaction.request
        credentials = _credentials(request, header, realm)
        if credentials is None:
            self._challenge(transaction, realm, status, challenge, False)
            return None
        found = self._credentials.lookup(credentials.username, realm)
        if isinstance(found, Deferred):
            return self._later(found, transaction, credentials, realm, status, challenge)
        return self._judge(found, transaction, credentials, realm, status, challenge)

    def _later(
        self,
        waiting: Deferred[HA1Set | None],
        transaction: ServerTransaction,
        credentials: DigestCredentials,
        realm: str,
        status: int,
        challenge: str,
    ) -> Deferred[str | None]:
        def unavailable(failure: Failure) -> None:
            failure.trap(StoreError)
            _not_now(transaction)

        def judge(found: HA1Set | None) -> str | None:
            return self._judge(found, transaction, credentials, realm, status, challenge)

        return waiting.addCallbacks(judge, unavailable)

    def _judge(
        self,
        found: HA1Set | None,
        transaction: ServerTransaction,
        credentials: DigestCredentials,
        realm: str,
        status: int,
        challenge: str,
    ) -> str | None:
        request = transaction.request
        source = transaction.flow.remote[0]
        verdict: Verdict = self._verifier.verify(
            realm, request.method, credentials, request.body, found, self._wall(), source=source
        )
        if verdict.kind is Kind.OK:
            self.accepted += 1
            user = verdict.user
            return f"{user if user.isalnum() else escape_user(user)}@{realm}"
        if verdict.is_failure:
            self.failures += 1
            self._failed(source, credentials.username)
            if self._in_doubt():
                # It may have been changed; and of a name that nobody could be asked about nothing else is
                # known, so that the status tells no names.
                _not_now(transaction)
                return None
        if verdict.kind is Kind.BAD:
            transaction.respond_stateless(
                respond(request, 400, verdict.reason, to_tag=transaction.stateless_tag)
            )
        else:
            self._challenge(transaction, realm, status, challenge, verdict.stale)
        return None

    def _challenge(
        self, transaction: ServerTransaction, realm: str, status: int, header: str, stale: bool
    ) -> None:
        """Ask, one header a known algorithm (RFC 8760 section 2.3), and keep nothing."""
        self.challenged += 1
        source = transaction.flow.remote[0]
        request = transaction.request
        values = self._verifier.challenges(realm, self._wall(), stale, source)
        if len(values) > 1 and reads_one_challenge(request):
            values = values[:1]
        elif transaction.flow.transport in ("WS", "WSS"):
            # The libraries of browsers (JsSIP, and SIP.js after it) read only the last of several.
            values.reverse()
        headers = [(header, value) for value in values]
        response = respond(request, status, to_tag=transaction.stateless_tag, headers=headers)
        if not transaction.flow.reliable and sum(map(len, request.lines)) < _SMALL:
            # Its source may be forged: nobody shall be flooded by way of us. A phone's REGISTER is larger.
            most = AMPLIFICATION * (len(request.to_bytes()) - _STAMP)
            while len(headers) > 1 and len(response.to_bytes()) > most:
                del headers[-1]
                response = respond(request, status, to_tag=transaction.stateless_tag, headers=headers)
            if len(response.to_bytes()) > most:
                transaction.abandon()
                return
        transaction.respond_stateless(response)


def _not_now(transaction: ServerTransaction) -> None:
    """Nobody can tell now whether the credentials are right."""
    transaction.respond_stateless(
        respond(transaction.request, 503, to_tag=transaction.stateless_tag, headers=(("Retry-After", "5"),))
    )


def reads_one_challenge(request: Request) -> bool:
    """Whether the sender gives up at a challenge of an algorithm that it does not know.

    RFC 7616 section 3.7 has it take the next one. baresip does not, with SHA-512-256 up to 4.9 at least and
    with SHA-256 too before 3.12: the whole registration fails ("Function not implemented").
    """
    return (request.get("user-agent") or "")[:7].lower() == "baresip"


def _credentials(request: Request, header: str, realm: str) -> DigestCredentials | None:
    """The credentials for this realm among all that the request carries, or None."""
    if not request.has(header):
        return None
    for value in request.get_all(header):
        credentials = parse_credentials(value)
        if credentials is not None and credentials.realm == realm:
            return credentials
    return None
