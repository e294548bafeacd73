"""Credentials, challenges and what they agree on (RFC 3261 section 22, RFC 7616, RFC 3329).

Those of the scheme Digest are the values of `rvoip.protocols.sip.digest`.
"""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.digest import (
    DigestChallenge,
    DigestCredentials,
    parse_challenge,
    parse_credentials,
    parse_directives,
)
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    Params,
    format_params,
    format_q,
    head_and_params,
    is_token,
    quote,
    take_q,
    unquote,
)

__all__ = [
    "AuthenticationInfo",
    "OtherAuthentication",
    "SecurityMechanism",
    "parse_authentication_info",
    "parse_authorization",
    "parse_authenticate",
    "parse_security_mechanism",
]


@attrs.frozen
class OtherAuthentication:
    """Credentials or a challenge of a scheme other than Digest: ``rest`` as written after the scheme."""

    scheme: str
    rest: str = ""

    def __str__(self) -> str:
        return f"{self.scheme} {self.rest}" if self.rest else self.scheme


def parse_authorization(text: str) -> DigestCredentials | OtherAuthentication:
    """An Authorization or Proxy-Authorization value; `SIPParseError` for Digest without what it needs."""
    return _other(text) or parse_credentials(text) or OtherAuthentication("Digest")


def parse_authenticate(text: str) -> DigestChallenge | OtherAuthentication:
    """A WWW-Authenticate or Proxy-Authenticate value; `SIPParseError` for Digest without what it needs."""
    return _other(text) or parse_challenge(text) or OtherAuthentication("Digest")


def _other(text: str) -> OtherAuthentication | None:
    scheme, _, rest = text.partition(" ")
    if scheme.lower() == "digest":
        return None
    if not is_token(scheme):
        raise SIPParseError("Bad authentication scheme")
    return OtherAuthentication(scheme, rest.strip(" \t"))


@attrs.frozen
class AuthenticationInfo:
    """An Authentication-Info value (RFC 7616 section 3.5), unquoted; ``nc`` is the text as sent."""

    nextnonce: str | None = None
    rspauth: str | None = None
    qop: str | None = None
    cnonce: str | None = None
    nc: str | None = None

    def __str__(self) -> str:
        parts = [
            f"{name}={quote(value)}"
            for name, value in (
                ("nextnonce", self.nextnonce),
                ("rspauth", self.rspauth),
                ("cnonce", self.cnonce),
            )
            if value is not None
        ]
        parts += [
            f"{name}={value}" for name, value in (("qop", self.qop), ("nc", self.nc)) if value is not None
        ]
        return ", ".join(parts)


def parse_authentication_info(text: str) -> AuthenticationInfo:
    """An Authentication-Info value; directives that are not known are dropped."""
    found = parse_directives(f"Digest {text}")[1]
    for name in ("qop", "nc"):
        if name in found and not is_token(found[name]):
            raise SIPParseError(f"Bad {name} in Authentication-Info")
    return AuthenticationInfo(
        found.get("nextnonce"), found.get("rspauth"), found.get("qop"), found.get("cnonce"), found.get("nc")
    )


@attrs.frozen
class SecurityMechanism:
    """A Security-Client, -Server or -Verify value (RFC 3329 section 2.2).

    ``mechanism`` is lower-case ("digest", "tls", "ipsec-3gpp"), ``q`` in thousandths or None;
    ``params`` hold values as written, quotes included.
    """

    mechanism: str
    q: int | None = None
    params: Params = attrs.field(factory=dict)

    def param(self, name: str) -> str | None:
        """A parameter such as ``d-alg``, unquoted; "" for one without a value, None when absent."""
        if name not in self.params:
            return None
        return unquote(self.params[name] or "")

    def __str__(self) -> str:
        q = "" if self.q is None else f";q={format_q(self.q)}"
        return f"{self.mechanism}{q}{format_params(self.params)}"


def parse_security_mechanism(text: str) -> SecurityMechanism:
    """One Security-Client, -Server or -Verify value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad security mechanism")
    return SecurityMechanism(head.lower(), take_q(params), params)
