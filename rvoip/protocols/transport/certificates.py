"""Whom a certificate speaks for (RFC 5922 section 7)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from cryptography import x509
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    CertificatePattern,
    DNSPattern,
    IPAddress_ID,
    IPAddressPattern,
    ServiceID,
    verify_service_identity,
)

__all__ = ["mismatch", "names_of"]


def names_of(certificate: x509.Certificate | None) -> tuple[str, ...]:
    """The SIP domains that a certificate speaks for, in lower case, and addresses as text.

    They are the "sip:" URIs of its subjectAltName, and when there are none its DNS names and addresses (RFC
    5922 section 7.1). The subject's common name does not count. Whether to believe the certificate is told by
    its chain, which is verified in the handshake.
    """
    if certificate is None:
        return ()
    names = []
    for pattern in _patterns(certificate):
        if isinstance(pattern, DNSPattern):
            names.append(pattern.pattern.decode("ascii", "replace"))
        elif isinstance(pattern, IPAddressPattern):
            names.append(str(pattern.pattern))
    return tuple(names)


def mismatch(certificate: x509.Certificate | None, name: str) -> str | None:
    """Why a certificate does not speak for a domain or numeric address; None when it does.

    `name` is the domain of the URI that is being resolved, before NAPTR and SRV (RFC 5922 section 7.3).
    """
    if certificate is None:
        return "the peer has shown no certificate"
    wanted: ServiceID
    try:
        wanted = IPAddress_ID(ipaddress.ip_address(name)) if _is_address(name) else DNS_ID(name)
        verify_service_identity(_patterns(certificate), [wanted], [])
    except (CertificateError, VerificationError, ValueError):
        shown = ", ".join(names_of(certificate)) or "no name"
        return f"the peer's certificate is for {shown}, not for {name}"
    return None


def _patterns(certificate: x509.Certificate) -> Sequence[CertificatePattern]:
    """What a subjectAltName holds that can be matched.

    The "sip:" URIs are taken as the names in them. service_identity's own extraction gives up on a
    certificate with one entry that it does not know, such as "urn:uuid:...".
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    domains = [domain for domain in map(_sip_domain, uris) if domain]
    if domains:
        return _matchable(domains)
    addresses = [
        IPAddressPattern(found)
        for found in names.get_values_for_type(x509.IPAddress)
        if isinstance(found, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]
    return [*_matchable(names.get_values_for_type(x509.DNSName)), *addresses]


def _sip_domain(uri: str) -> str | None:
    """The domain of a "sip:" URI without a user; one with a user is a person, not a domain (section 7.1)."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() != "sip" or "@" in rest:
        return None
    return rest.partition(";")[0].partition("?")[0].strip("[]") or None


def _matchable(texts: Iterable[str]) -> list[CertificatePattern]:
    """Patterns for names and addresses; no wildcards (RFC 5922 section 7.2)."""
    patterns: list[CertificatePattern] = []
    for text in texts:
        if "*" in text:
            continue
        try:
            if _is_address(text):
                patterns.append(IPAddressPattern(ipaddress.ip_address(text)))
            else:
                patterns.append(DNSPattern.from_bytes(text.encode("ascii")))
        except (CertificateError, ValueError):
            continue
    return patterns


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
