"""The TLS of an HTTP listener: PEM files read with one-line errors, and read again without a restart."""

from __future__ import annotations

import os
from typing import Final

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from rvoip.common.errors import StartError
from rvoip.common.pem import PEMError, identify, trust

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
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(_CIPHERS)
    context.set_session_id(os.urandom(16))
    try:
        identify(context, certificate, private_key)
        if ca:
            trust(context, ca)
    except PEMError as error:
        raise StartError(str(error)) from None
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT if ca else SSL.VERIFY_NONE)
    return context
