"""Digest arithmetic and its header values (RFC 7616, RFC 8760, RFC 3261 section 22.4).

Values only: nonces, replay and passwords belong to whoever verifies or answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import (
    end_of_quoted,
    is_token,
    quote,
    split_outside,
    token_or_quoted,
    unquote,
)

__all__ = [
    "ALGORITHMS",
    "DigestChallenge",
    "DigestCredentials",
    "answer",
    "ha1",
    "ha2",
    "parse_challenge",
    "parse_credentials",
    "response",
]


def _sha512_256(data: bytes) -> str:
    """SHA-512/256 of FIPS 180-4 (RFC 7616 section 3.2 names it; its example is truncated SHA-512)."""
    return hashlib.new("sha512_256", data).hexdigest()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_HASHES: dict[str, Callable[[bytes], str]] = {"MD5": _md5, "SHA-256": _sha256, "SHA-512-256": _sha512_256}

ALGORITHMS: tuple[str, ...] = tuple(_HASHES)
"""The algorithms known here, weakest first; each also with the suffix ``-sess``."""


def _function(algorithm: str) -> Callable[[bytes], str]:
    function = _HASHES.get(algorithm) or _HASHES.get(algorithm.upper().removesuffix("-SESS"))
    if function is None:
        raise SIPParseError(f"Unknown digest algorithm {algorithm[:32]!r}")
    return function


def _hash(algorithm: str, text: str) -> str:
    return _function(algorithm)(text.encode("utf-8", "surrogateescape"))


def ha1(algorithm: str, username: str, realm: str, password: str) -> str:
    """H(username:realm:password) in lower-case hex: what a server stores."""
    return _hash(algorithm, f"{username}:{realm}:{password}")


def ha2(algorithm: str, method: str, uri: str, qop: str | None, body: bytes = b"") -> str:
    """H(method:uri), for ``auth-int`` with the hash of the body (RFC 7616 section 3.4.3)."""
    if qop == "auth-int":
        return _hash(algorithm, f"{method}:{uri}:{_function(algorithm)(body)}")
    return _hash(algorithm, f"{method}:{uri}")


def response(
    algorithm: str, ha1: str, nonce: str, nc: str | None, cnonce: str | None, qop: str | None, ha2: str
) -> str:
    """The ``response`` directive (RFC 7616 section 3.4.1); without qop as in RFC 2069."""
    if algorithm.upper().endswith("-SESS"):
        ha1 = _hash(algorithm, f"{ha1}:{nonce}:{cnonce}")
    if qop:
        return _hash(algorithm, f"{ha1}:{nonce}:{nc}:{cnonce}:{qop}:{ha2}")
    return _hash(algorithm, f"{ha1}:{nonce}:{ha2}")


class DigestCredentials:
    """An Authorization or Proxy-Authorization value of the scheme Digest; values are unquoted.

    ``nc`` is the text as sent, ``algorithm`` "MD5" where none was given, ``qop`` None for RFC 2069.
    """

    __slots__ = (
        "username",
        "realm",
        "nonce",
        "uri",
        "response",
        "algorithm",
        "cnonce",
        "opaque",
        "qop",
        "nc",
    )

    def __init__(
        self,
        username: str,
        realm: str,
        nonce: str,
        uri: str,
        response: str,
        algorithm: str = "MD5",
        cnonce: str | None = None,
        opaque: str | None = None,
        qop: str | None = None,
        nc: str | None = None,
    ) -> None:
        self.username = username
        self.realm = realm
        self.nonce = nonce
        self.uri = uri
        self.response = response
        self.algorithm = algorithm
        self.cnonce = cnonce
        self.opaque = opaque
        self.qop = qop
        self.nc = nc

    def __str__(self) -> str:
        parts = [
            f"username={quote(self.username)}",
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"uri={quote(self.uri)}",
            f"response={quote(self.response)}",
            f"algorithm={token_or_quoted(self.algorithm)}",
        ]
        if self.cnonce is not None:
            parts.append(f"cnonce={quote(self.cnonce)}")
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop is not None:
            parts.append(f"qop={token_or_quoted(self.qop)}")
        if self.nc is not None:
            parts.append(f"nc={token_or_quoted(self.nc)}")
        return "Digest " + ", ".join(parts)


class DigestChallenge:
    """A WWW-Authenticate or Proxy-Authenticate value of the scheme Digest; values are unquoted."""

    __slots__ = ("realm", "nonce", "algorithm", "qop", "stale", "opaque", "domain")

    def __init__(
        self,
        realm: str,
        nonce: str,
        algorithm: str = "MD5",
        qop: tuple[str, ...] = (),
        stale: bool = False,
        opaque: str | None = None,
        domain: str | None = None,
    ) -> None:
        self.realm = realm
        self.nonce = nonce
        self.algorithm = algorithm
        self.qop = qop
        self.stale = stale
        self.opaque = opaque
        self.domain = domain

    def __str__(self) -> str:
        parts = [
            f"realm={quote(self.realm)}",
            f"nonce={quote(self.nonce)}",
            f"algorithm={token_or_quoted(self.algorithm)}",
        ]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.domain is not None:
            parts.append(f"domain={quote(self.domain)}")
        if self.stale:
            parts.append("stale=true")
        if self.qop:
            parts.append(f"qop={quote(','.join(self.qop))}")
        return "Digest " + ", ".join(parts)


def parse_directives(text: str) -> tuple[str, dict[str, str]]:
    """(scheme, directives) of a challenge or credentials; names lower-case, values unquoted.

    The first of two equal names wins. Raises `SIPParseError` for text that is no list of directives.
    """
    scheme, _, rest = text.strip(" \t").partition(" ")
    if not is_token(scheme):
        raise SIPParseError("Bad authentication scheme")
    directives: dict[str, str] = {}
    pieces = rest.split(",")
    if '"' in rest and ("\\" in rest or not all(piece.count('"') in (0, 2) for piece in pieces)):
        pieces = split_outside(rest, ",")
    for piece in pieces:
        name, equals, value = piece.partition("=")
        name = name.strip(" \t").lower()
        if not equals:
            if name:
                raise SIPParseError("Bad authentication parameter")
            continue
        value = value.strip(" \t")
        if value[:1] == '"':
            last = len(value) - 1
            if value.find('"', 1) != last and end_of_quoted(value, 0) != last:
                raise SIPParseError("Bad quoted authentication parameter")
            value = unquote(value) if "\\" in value else value[1:-1]
        elif '"' in value:
            raise SIPParseError("Bad authentication parameter")
        directives.setdefault(name, value)
    return scheme, directives


def _is_digest(text: str) -> bool:
    return text.lstrip(" \t").partition(" ")[0].lower() == "digest"


def parse_credentials(text: str) -> DigestCredentials | None:
    """The Digest credentials in `text`; None for another scheme.

    Raises `SIPParseError` when a directive that Digest needs is missing.
    """
    if not _is_digest(text):
        return None
    found = parse_directives(text)[1]
    try:
        return DigestCredentials(
            found["username"],
            found["realm"],
            found["nonce"],
            found["uri"],
            found["response"].lower(),
            found.get("algorithm", "MD5"),
            found.get("cnonce"),
            found.get("opaque"),
            found.get("qop"),
            found.get("nc"),
        )
    except KeyError as missing:
        raise SIPParseError(f"Digest without {missing.args[0]}") from None


def parse_challenge(text: str) -> DigestChallenge | None:
    """The Digest challenge in `text`; None for another scheme; `SIPParseError` without realm or nonce."""
    if not _is_digest(text):
        return None
    found = parse_directives(text)[1]
    if "realm" not in found or "nonce" not in found:
        raise SIPParseError("Digest challenge without realm or nonce")
    qop = tuple(value.strip(" \t") for value in found.get("qop", "").split(",") if value.strip(" \t"))
    return DigestChallenge(
        found["realm"],
        found["nonce"],
        found.get("algorithm", "MD5"),
        qop,
        found.get("stale", "").lower() == "true",
        found.get("opaque"),
        found.get("domain"),
    )


def answer(
    challenge: DigestChallenge,
    *,
    method: str,
    uri: str,
    username: str,
    password: str,
    cnonce: str,
    nc: int = 1,
    body: bytes = b"",
) -> DigestCredentials | None:
    """Credentials that answer the challenge, or None when its algorithm or qop is not known here.

    ``auth`` is preferred over ``auth-int``. `cnonce` is the caller's randomness, `nc` counts the
    requests sent with this nonce from 1.
    """
    if challenge.algorithm.upper().removesuffix("-SESS") not in _HASHES:
        return None
    qop: str | None = None
    if challenge.qop:
        qop = next((one for one in ("auth", "auth-int") if one in challenge.qop), None)
        if qop is None:
            return None
    count = f"{nc:08x}" if qop else None
    algorithm = challenge.algorithm
    secret = ha1(algorithm, username, challenge.realm, password)
    digest = response(
        algorithm, secret, challenge.nonce, count, cnonce, qop, ha2(algorithm, method, uri, qop, body)
    )
    sess = algorithm.upper().endswith("-SESS")
    return DigestCredentials(
        username,
        challenge.realm,
        challenge.nonce,
        uri,
        digest,
        algorithm,
        cnonce if qop or sess else None,
        challenge.opaque,
        qop,
        count,
    )
