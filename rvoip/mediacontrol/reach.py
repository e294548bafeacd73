"""How a media server is reached: an endpoint of Twisted for its place, with TLS and certificates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from rvoip.mediacontrol.place import Place

__all__ = ["Credentials", "endpoint_for"]

CONNECT_TIMEOUT = 2.0
"""Seconds."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class Credentials:
    """What a client shows and whom it believes.

    `token` is the server's `[http] token` or an API key. `ca` is a PEM file of the authorities that a
    server's certificate may be of, those of the system when empty; `certificate` and `private_key` are PEM
    files of ours, for mutual TLS. OSError and `OpenSSL.SSL.Error` for files that cannot be used.
    """

    def __init__(
        self, token: str = "", *, ca: str = "", certificate: str = "", private_key: str = ""
    ) -> None:
        self.token = token
        self._trust: Any = None
        self._own: Any = None
        if ca:
            found = [ssl.Certificate.loadPEM(each) for each in _CERTIFICATE.findall(Path(ca).read_bytes())]
            if not found:
                raise OSError(f"{ca} has no certificate")
            self._trust = ssl.trustRootFromCertificates(found)
        if certificate:
            pem = Path(certificate).read_bytes() + b"\n" + Path(private_key or certificate).read_bytes()
            self._own = ssl.PrivateCertificate.loadPEM(pem)

    def options(self, host: str) -> Any:
        """What Twisted needs to open TLS to a host."""
        return ssl.optionsForClientTLS(host, self._trust, self._own)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a request has of it."""
        return [(b"Authorization", b"Bearer " + self.token.encode("ascii"))] if self.token else []


def endpoint_for(reactor: Any, place: Place, credentials: Credentials) -> IStreamClientEndpoint:
    """The endpoint to connect to."""
    if place.path:
        return UNIXClientEndpoint(reactor, place.path, timeout=CONNECT_TIMEOUT)
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        reactor, place.host, place.port, timeout=CONNECT_TIMEOUT
    )
    return wrapClientTLS(credentials.options(place.host), endpoint) if place.is_tls else endpoint
