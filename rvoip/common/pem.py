"""PEM files, with one line of reason for one that cannot be used."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509

__all__ = ["PEMError", "identify", "load_certificates", "load_private_key", "load_revocations", "trust"]


class PEMError(Exception):
    """A file cannot be used; `path` names it, `reason` is a few words without it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def load_certificates(path: str) -> list[x509.Certificate]:
    """The certificates of a file, at least one."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise PEMError(path, "no PEM certificate") from None


def load_private_key(path: str) -> Any:
    """The key of a file, which must not be encrypted."""
    try:
        return load_pem_private_key(_read(path), None)
    except TypeError:
        raise PEMError(path, "the private key is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PEMError(path, "no PEM private key") from None


_BEGIN = b"-----BEGIN X509 CRL-----"


def load_revocations(path: str) -> list[x509.CertificateRevocationList]:
    """The revocation lists of a file, at least one."""
    _, *blocks = _read(path).split(_BEGIN)
    try:
        lists = [x509.load_pem_x509_crl(_BEGIN + block) for block in blocks]
    except ValueError:
        lists = []
    if not lists:
        raise PEMError(path, "no PEM certificate revocation list")
    return lists


def identify(context: SSL.Context, certificate: str, private_key: str) -> x509.Certificate:
    """Have connections of a context show the certificate of a file, with those of its issuers after it.

    Returns the certificate.
    """
    chain = load_certificates(certificate)
    key = load_private_key(private_key)
    try:
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, TypeError):
        raise PEMError(private_key, f"is not the key of {certificate}") from None
    return chain[0]


def trust(context: SSL.Context, ca: str) -> list[x509.Certificate]:
    """Have a context believe in the authorities of a file, and name them to clients; returns them."""
    authorities = load_certificates(ca)
    store = context.get_cert_store()
    for authority in authorities:
        if store is not None:
            store.add_cert(X509.from_cryptography(authority))
        context.add_client_ca(authority)
    return authorities


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PEMError(path, f"cannot be read: {said}") from None
