"""Who may call an HTTP API: tokens, scopes, and the checks that keep a web page from driving it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from rvoip.common.problem import HTTPError

__all__ = ["ANYONE", "Guard", "Principal", "check_browser", "is_bearer", "is_loopback"]

TOKEN_LIMIT: Final = 4096
"""Characters of the header that a token comes in; JSON Web Tokens are longer than keys."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=:-]+", re.ASCII)
_BEARER: Final = re.compile(rf"bearer +({_TOKEN.pattern}) *", re.ASCII | re.IGNORECASE)
_BASIC: Final = re.compile(r"basic +([A-Za-z0-9+/]+={0,2}) *", re.ASCII | re.IGNORECASE)


class Principal(msgspec.Struct, frozen=True):
    """Who calls, and what that caller may do."""

    name: str
    scopes: frozenset[str] = frozenset()
    """`*` is every scope."""

    def missing(self, scopes: Iterable[str]) -> list[str]:
        """Return those of `scopes` that this caller does not have."""
        return [] if "*" in self.scopes else [scope for scope in scopes if scope not in self.scopes]


ANYONE: Final = Principal("anyone", frozenset({"*"}))
"""The caller of an API that asks for no token."""

Authenticate = Callable[[str], "Principal | Awaitable[Principal | None] | None"]
Login = Callable[[str, str, str], "Awaitable[Principal | None]"]


class Guard:
    """Decides who a caller is.

    `token` is the operator's own, for everything. `authenticate` knows API keys and bearer tokens; it returns
    None for what it does not know, or an awaitable of the same. `login` does so for a name, a password and
    the caller's address, of HTTP's Basic scheme (RFC 7617); no challenge offers that, so that no browser asks
    for a password and sends it along with what other pages want. As long as there is no token and `has_keys`
    says that there are no keys, the API is open to whoever reaches it, so it must be reached from this
    machine only.
    """

    def __init__(
        self,
        token: str = "",
        authenticate: Authenticate | None = None,
        has_keys: Callable[[], bool] | None = None,
        login: Login | None = None,
    ) -> None:
        self._token: bytes | None = None
        self._authenticate = authenticate
        self._has_keys = has_keys
        self._login = login
        self.use(token)

    def use(self, token: str) -> None:
        """Take this token as the operator's own from now on, or none."""
        self._token = _digest(token) if token else None

    @property
    def is_open(self) -> bool:
        """Whether anyone may call who reaches the API."""
        if self._token is not None:
            return False
        return self._authenticate is None or (self._has_keys is not None and not self._has_keys())

    async def identify(self, authorization: list[str], api_key: list[str], peer: str = "") -> Principal:
        """Return the caller by the values of the headers Authorization and X-API-Key, or raise a 401.

        `peer` is the caller's address.
        """
        if self.is_open:
            return ANYONE
        named = _name_and_password(authorization, api_key)
        if named is not None and self._login is not None:
            who = await self._login(*named, peer)
            if who is None:
                raise HTTPError(401, "wrong account or password", headers={"WWW-Authenticate": "Bearer"})
            return who
        token = _token(authorization, api_key)
        if token is None:
            raise HTTPError(401, "a token is needed", headers={"WWW-Authenticate": "Bearer"})
        if self._token is not None and hmac.compare_digest(self._token, _digest(token)):
            return Principal("operator", ANYONE.scopes)
        if self._authenticate is not None:
            found = self._authenticate(token)
            if isinstance(found, Awaitable):
                found = await found
            if found is not None:
                return found
        raise HTTPError(
            401, "the token is not valid", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
        )

    @staticmethod
    def check_scopes(principal: Principal, scopes: Iterable[str]) -> None:
        """Raise a 403 when the caller lacks a scope."""
        if missing := principal.missing(scopes):
            challenge = f'Bearer error="insufficient_scope", scope="{" ".join(missing)}"'
            raise HTTPError(
                403, f"the token lacks the scope {' '.join(missing)}", headers={"WWW-Authenticate": challenge}
            )


def _digest(token: str) -> bytes:
    """Hash a token: comparing digests takes the same time for a token of any length."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _token(authorization: list[str], api_key: list[str]) -> str | None:
    """Find the token: of several, none, because another party may have read another one."""
    values = authorization + api_key
    if len(values) != 1 or len(values[0]) > TOKEN_LIMIT:
        return None
    if api_key:
        return api_key[0].strip(" \t") or None
    match = _BEARER.fullmatch(authorization[0])
    return match[1] if match else None


def _name_and_password(authorization: list[str], api_key: list[str]) -> tuple[str, str] | None:
    """Read Basic credentials in UTF-8 (RFC 7617). The name, `user@domain`, may have colons in brackets."""
    if api_key or len(authorization) != 1 or len(authorization[0]) > TOKEN_LIMIT:
        return None
    match = _BASIC.fullmatch(authorization[0])
    if match is None:
        return None
    try:
        text = base64.b64decode(match[1], validate=True).decode()
    except ValueError:
        return None
    end = text.find("]:", text.find("@[")) + 1 if "@[" in text.partition(":")[0] else text.find(":")
    return (text[:end], text[end + 1 :]) if end > 0 else None


def is_bearer(token: str) -> bool:
    """Tell whether a caller can send this token behind `Bearer `."""
    return len("Bearer ") + len(token) <= TOKEN_LIMIT and _TOKEN.fullmatch(token) is not None


def is_loopback(host: str) -> bool:
    """Tell whether an address, `localhost`, or either in brackets is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def check_browser(hosts: list[str], origins: list[str], names: frozenset[str], any_host: bool) -> None:
    """Refuse what a page of another site makes a browser send, with a 403 or a 400.

    `hosts` and `origins` are the values of these headers, `names` the host names, in lower case, that are
    ours besides loopback. A browser that was told that `evil.test` is 127.0.0.1 sends `Host: evil.test` (DNS
    rebinding), so on a loopback listener a Host must be known; with `any_host` it may be any. An Origin must
    be the host that the request itself went to, by HTTP or, through a proxy that ends TLS, by HTTPS.
    """
    if len(hosts) > 1 or len(origins) > 1:
        raise HTTPError(400, "more than one Host or Origin")
    host = hosts[0].lower() if hosts else ""
    match = _HOST.fullmatch(host)
    if host and match is None:
        raise HTTPError(400, "the Host is not valid")
    name = match[1] if match else ""
    if name and not any_host and not is_loopback(name) and name not in names:
        raise HTTPError(403, "the Host is not one of this server")
    if origins and not (host and origins[0].lower() in (f"http://{host}", f"https://{host}")):
        raise HTTPError(403, "the Origin is not this server")
