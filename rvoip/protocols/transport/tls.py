"""TLS contexts: certificates by server name, mutual TLS, reload without touching connections.

TLS 1.2 and later. A server shows the certificate of the name that the client asks for (SNI); a client
believes a certificate of a known authority only, and only for the name that it meant to reach (RFC 5922, RFC
8446).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509StoreFlags
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from rvoip.common.pem import PEMError, identify, load_revocations, trust
from rvoip.protocols.transport.addresses import canonical_host
from rvoip.protocols.transport.errors import TLSFileError

__all__ = ["TLSContexts", "TLSFactory", "TLSName", "TLSSettings"]

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!MD5:!SHA1:!DSS:!RC4:!3DES"
"""For TLS 1.2: forward secrecy only. TLS 1.3 has its own list."""


@dataclass(frozen=True, slots=True)
class TLSName:
    """The certificate shown to clients that ask for one server name."""

    name: str
    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """Paths of PEM files."""

    certificate: str | None = None
    """Our certificate, followed by those of its issuers; shown as a client too."""
    private_key: str | None = None
    ca: str | None = None
    """Certificates of the authorities that we believe; by default those of the system."""
    verify_client: bool = False
    """Whether clients must show a certificate of one of them."""
    names: Sequence[TLSName] = field(default=())
    crl: str | None = None
    """Revocation lists of these authorities. A client whose authority has no valid list here is refused; a
    server that we connect to only when a list names its certificate."""


class _Contexts:
    """What was read from the files at one time."""

    def __init__(self, settings: TLSSettings) -> None:
        self.not_after: datetime | None = None
        self.crl_until: datetime | None = None
        self._revoked = self._revocations(settings.crl)
        self.client = self._context(settings.ca, verify=True)
        self._refuse_revoked(self.client, _unless_unlisted)
        self.server: SSL.Context | None = None
        self.names: dict[bytes, SSL.Context] = {}
        if settings.certificate is None and settings.private_key is None:
            if settings.names:
                raise TLSFileError("", "[[tls.name]] needs a certificate in [tls] for all other names")
            return
        if settings.verify_client and settings.ca is None:
            raise TLSFileError("", "verify_client needs ca: the authorities whose clients are let in")
        if settings.certificate is None or settings.private_key is None:
            raise TLSFileError("", "certificate and private_key go together")
        self._identify(self.client, settings.certificate, settings.private_key)
        self.server = self._server(settings, settings.certificate, settings.private_key)
        for entry in settings.names:
            context = self._server(settings, entry.certificate, entry.private_key)
            name = _server_name(entry.name)
            if name is None:
                raise TLSFileError("", f"[[tls.name]] {entry.name!r} is not a host name")
            self.names[name] = context
        self.server.set_tlsext_servername_callback(self._choose)

    def _server(self, settings: TLSSettings, certificate: str, private_key: str) -> SSL.Context:
        context = self._context(settings.ca if settings.verify_client else None, settings.verify_client)
        if settings.verify_client:
            self._refuse_revoked(context, None)
        self._identify(context, certificate, private_key)
        context.set_session_id(os.urandom(16))
        return context

    def _context(self, ca: str | None, verify: bool) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
        # An idle connection gives its 34 KiB of buffers back.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_cipher_list(_CIPHERS)
        if not verify:
            context.set_verify(SSL.VERIFY_NONE)
            return context
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        if ca is None:
            context.set_default_verify_paths()
            return context
        try:
            trust(context, ca)
        except PEMError as error:
            raise TLSFileError(error.path, error.reason) from None
        return context

    def _revocations(self, path: str | None) -> list[x509.CertificateRevocationList]:
        if path is None:
            return []
        try:
            lists = load_revocations(path)
        except PEMError as error:
            raise TLSFileError(error.path, error.reason) from None
        self.crl_until = min((one.next_update_utc for one in lists if one.next_update_utc), default=None)
        return lists

    def _refuse_revoked(self, context: SSL.Context, judge: Any) -> None:
        """Look a peer's certificate up in the revocation lists, where there are any."""
        store = context.get_cert_store()
        if not self._revoked or store is None:
            return
        for one in self._revoked:
            store.add_crl(one)
        store.set_flags(X509StoreFlags.CRL_CHECK)
        if judge is not None:
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, judge)

    def _identify(self, context: SSL.Context, certificate: str, private_key: str) -> None:
        try:
            shown = identify(context, certificate, private_key)
        except PEMError as error:
            raise TLSFileError(error.path, error.reason) from None
        ends = shown.not_valid_after_utc
        if self.not_after is None or ends < self.not_after:
            self.not_after = ends

    def _choose(self, connection: SSL.Connection) -> None:
        """Show the certificate of the name that the client asks for (RFC 6066 section 3)."""
        name = connection.get_servername()
        context = self.names.get(name.lower()) if name else None
        if context is not None:
            connection.set_context(context)


def _server_name(text: str) -> bytes | None:
    """A host name as SNI has it; None for what is none, such as an address (RFC 6066 section 3)."""
    if not text or len(text) > 253 or canonical_host(text) is not None:
        return None
    try:
        return text.lower().removesuffix(".").encode("idna")
    except UnicodeError:
        return None


_UNABLE_TO_GET_CRL: Final = 3  # X509_V_ERR_UNABLE_TO_GET_CRL


def _unless_unlisted(connection: object, certificate: object, error: int, depth: int, good: int) -> bool:
    """Whether to believe a server: most authorities give their lists out in some other way than by file."""
    return bool(good) or error == _UNABLE_TO_GET_CRL


class TLSContexts:
    """What the TLS connections of a layer are made with.

    Files are read here and by `reload`; `TLSFileError` is one line about the first that cannot be used.
    """

    def __init__(self, settings: TLSSettings) -> None:
        self.settings = settings
        self._contexts = _Contexts(settings)

    def reload(self, settings: TLSSettings | None = None) -> None:
        """Read the files anew, for connections that begin from now on.

        When one cannot be used, `TLSFileError` is raised and all stays as it was.
        """
        wanted = self.settings if settings is None else settings
        self._contexts = _Contexts(wanted)
        self.settings = wanted

    @property
    def can_listen(self) -> bool:
        """Whether there is a certificate of ours."""
        return self._contexts.server is not None

    @property
    def not_after(self) -> datetime | None:
        """When the first of our certificates expires; None without one."""
        return self._contexts.not_after

    @property
    def crl_until(self) -> datetime | None:
        """Until when all revocation lists are valid; None without one."""
        return self._contexts.crl_until

    def server(self) -> IOpenSSLServerConnectionCreator:
        """What makes the TLS side of connections that peers open, always with the latest files."""
        creator: IOpenSSLServerConnectionCreator = _ServerCreator(self)
        return creator

    def client(self, server_name: str) -> IOpenSSLClientConnectionCreator:
        """What makes the TLS side of connections that we open to a domain (or to an address: no SNI)."""
        creator: IOpenSSLClientConnectionCreator = _ClientCreator(self, server_name)
        return creator

    def new_connection(self, server: bool) -> SSL.Connection:
        """One connection's TLS state."""
        contexts = self._contexts
        context = contexts.server if server else contexts.client
        if context is None:
            raise TLSFileError("", "there is no certificate to listen with")
        return SSL.Connection(context, None)


@implementer(IOpenSSLServerConnectionCreator)
class _ServerCreator:
    def __init__(self, contexts: TLSContexts) -> None:
        self._contexts = contexts

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return self._contexts.new_connection(server=True)


@implementer(IOpenSSLClientConnectionCreator)
class _ClientCreator:
    def __init__(self, contexts: TLSContexts, server_name: str) -> None:
        self._contexts = contexts
        self._server_name = server_name

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._contexts.new_connection(server=False)
        name = _server_name(self._server_name)
        if name is not None:
            connection.set_tlsext_host_name(name)
        return connection


class TLSFactory(TLSMemoryBIOFactory):
    """TLS around the protocols of a factory, which may refuse a connection as it can without TLS."""

    def __init__(
        self, creator: Any, is_client: bool, wrapped: ServerFactory | ClientFactory, clock: IReactorTime
    ) -> None:
        super().__init__(creator, is_client, wrapped, clock)

    def buildProtocol(self, addr: Any) -> Any:
        """A protocol for a new connection; None closes it."""
        inner: IProtocol | None = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)
