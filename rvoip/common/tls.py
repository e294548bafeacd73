"""The TLS of an HTTP listener: PEM files read with one-line errors, and read again without a restart."""

from __future__ import annotations

import os
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from rvoip.common.errors import StartError

__all__ = ["ServerTLS"]

# For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has its own list.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """Makes the server side of TLS connections, 1.2 and later.

    `certificate` is a PEM file with ours followed by those of its issuers, `private_key` one with its key.
    With `ca`, a PEM file of authorities, clients must show a certificate of one of them. StartError is one
    line about the file that cannot be used.
    """

    def __init__(self, certificate: str, private_key: str, ca: str = "") -> None:
        self._files = (certificate, private_key, ca)
        self._context = _context(certificate, private_key, ca)

    @property
    def is_mutual(self) -> bool:
        """Whether clients must show a certificate."""
        return bool(self._files[2])

    def reload(self, certificate: str, private_key: str, ca: str = "") -> None:
        """Read these files, for later connections; on a StartError what was read before stays."""
        self._context = _context(certificate, private_key, ca)
        self._files = (certificate, private_key, ca)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Make the connection object of one connection."""
        return SSL.Connection(self._context, None)


def _context(certificate: str, private_key: str, ca: str) -> SSL.Context:
    chain = _certificates(certificate)
    try:
        key: Any = load_pem_private_key(_read(private_key), None)
    except TypeError:
        raise StartError(f"{private_key}: the private key is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise StartError(f"{private_key}: no PEM private key") from None
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.set_session_id(os.urandom(16))
    try:
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, TypeError):
        raise StartError(f"{private_key}: is not the key of {certificate}") from None
    if ca:
        store = context.get_cert_store()
        for authority in _certificates(ca):
            if store is not None:
                store.add_cert(X509.from_cryptography(authority))
            context.add_client_ca(authority)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    else:
        context.set_verify(SSL.VERIFY_NONE)
    return context


def _certificates(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise StartError(f"{path}: no PEM certificate") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StartError(f"{path}: cannot be read: {reason}") from None
