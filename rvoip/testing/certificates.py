"""
A certificate authority for tests, with the server and client certificates that it issues.

    authority = Authority()
    server = authority.issue("example.test", "127.0.0.1")
    certificate, key = server.write(folder)
    reactor.listenSSL(5061, factory, server.server_options(), interface="127.0.0.1")
    reactor.connectSSL("127.0.0.1", 5061, other, authority.client_options("example.test"))

Keys are P-256, made anew each time: nothing here is for use outside of tests.
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from twisted.internet import ssl

__all__ = ["Authority", "Issued"]

_DAY = datetime.timedelta(days=1)


class Issued:
    """A certificate with its private key."""

    def __init__(self, certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.private_key = private_key

    @property
    def certificate_pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def private_key_pem(self) -> bytes:
        """The key, unencrypted."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def write(self, folder: str | Path, stem: str = "server") -> tuple[str, str]:
        """Write `stem`.pem and `stem`.key (mode 600) into a folder; returns their paths."""
        certificate, key = Path(folder) / f"{stem}.pem", Path(folder) / f"{stem}.key"
        certificate.write_bytes(self.certificate_pem)
        key.touch(mode=0o600)
        key.write_bytes(self.private_key_pem)
        return str(certificate), str(key)

    def private_certificate(self) -> ssl.PrivateCertificate:
        """Both as Twisted holds them."""
        loaded: ssl.PrivateCertificate = ssl.PrivateCertificate.loadPEM(
            self.private_key_pem + self.certificate_pem
        )
        return loaded

    def server_options(self, clients: Authority | None = None) -> Any:
        """A context factory for `listenSSL`; with `clients`, it demands certificates of that authority."""
        return self.private_certificate().options(*([] if clients is None else [clients.trust_root()]))


class Authority(Issued):
    """A self-signed certificate that signs others."""

    def __init__(self, name: str = "rvoip test authority") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3650 * _DAY)
            .not_valid_after(now + 3650 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        super().__init__(certificate, key)

    def issue(
        self,
        *names: str,
        common_name: str | None = None,
        valid_from: datetime.timedelta = -_DAY,
        valid_for: datetime.timedelta = 30 * _DAY,
    ) -> Issued:
        """
        A certificate for server and client use.

        A name is a DNS name, a numeric address, or a URI such as "sip:example.test" (RFC 5922 section 7.1);
        the first one is the common name unless another is given. `valid_from` counts from now: with
        `valid_from=timedelta(days=-9), valid_for=timedelta(days=1)` it has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        start = datetime.datetime.now(datetime.UTC) + valid_from
        title = common_name if common_name is not None else (names[0] if names else "unnamed")
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + valid_for)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.private_key.public_key()),
                critical=False,
            )
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return Issued(builder.sign(self.private_key, hashes.SHA256()), key)

    def revoke(self, *issued: Issued, valid_for: datetime.timedelta = 30 * _DAY) -> bytes:
        """A revocation list, as PEM, that names these certificates."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - 60 * _DAY)
            .next_update(now + valid_for)
        )
        for one in issued:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(one.certificate.serial_number)
                .revocation_date(now - _DAY)
                .build()
            )
        return builder.sign(self.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def trust_root(self) -> ssl.Certificate:
        """What Twisted's `trustRoot` takes."""
        return ssl.Certificate.loadPEM(self.certificate_pem)

    def client_options(self, name: str, certificate: Issued | None = None) -> Any:
        """A connection creator for `connectSSL` that trusts this authority only and asks for `name`."""
        own = None if certificate is None else certificate.private_certificate()
        return ssl.optionsForClientTLS(name, trustRoot=self.trust_root(), clientCertificate=own)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if ":" in name else x509.DNSName(name)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
