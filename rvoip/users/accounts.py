"""Accounts and API keys as values, and the rules that their fields keep."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable

import attrs

from rvoip.users.errors import AccountError

__all__ = [
    "ADMIN",
    "OPERATOR",
    "USER",
    "VIEWER",
    "APIKey",
    "Account",
    "check_domain",
    "check_password",
    "check_realm",
    "check_user",
    "join_aor",
    "split_aor",
]

# The roles that the servers themselves give a meaning to; an application may name others.
ADMIN = "admin"
OPERATOR = "operator"
VIEWER = "viewer"
USER = "user"

MAX_USER = 128  # characters
MAX_PASSWORD = 256  # characters
MAX_ROLES = 16

# What would make `user:realm:password`, `user@domain` or a quoted header parameter ambiguous.
_USER_REFUSED = frozenset(':@"\\<>%')
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ROLE = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_SCOPE = re.compile(r"[a-z*][a-z0-9_.:*-]{0,63}")


def check_user(user: str) -> str:
    """The user part as it is stored: 1 to 128 printable characters in Unicode NFC, case kept.

    It is the unescaped form ("andré", not "andr%C3%A9"). No space, and none of ``: @ " \\ < > %``: digest
    forbids a colon (RFC 7616 section 3.4), the others would make an AOR or a header ambiguous.
    """
    if not user:
        raise AccountError("the user part is empty")
    if len(user) <= MAX_USER:
        user = unicodedata.normalize("NFC", user)
    if len(user) > MAX_USER:
        raise AccountError(f"the user part has {len(user)} characters, more than {MAX_USER}")
    for character in user:
        if character in _USER_REFUSED or character.isspace() or not character.isprintable():
            raise AccountError(f"the user part may not contain {character!a}")
    return user


def check_domain(domain: str) -> str:
    """The domain in lower case: a host name of ASCII labels, an IPv4 address, or an IPv6 one in brackets."""
    lowered = domain.lower() if domain.isascii() else domain
    if not lowered:
        raise AccountError("the domain is empty")
    if lowered.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(lowered[1:-1] if lowered.endswith(']') else '').compressed}]"
        except ValueError:
            raise AccountError(f"{domain!a} is not an IPv6 address in brackets") from None
    labels = lowered.split(".")
    if labels[-1].isdigit():
        try:
            return str(ipaddress.IPv4Address(lowered))
        except ValueError:
            raise AccountError(f"{domain!a} is neither a host name nor an IPv4 address") from None
    if len(lowered) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AccountError(f"{_shown(domain)} is not a domain name (letters, digits, hyphens and dots)")
    return lowered


def check_realm(realm: str) -> str:
    """A digest realm, unchanged: 1 to 253 printable characters."""
    if not realm or len(realm) > 253 or not realm.isprintable():
        raise AccountError(f"{_shown(realm)} is not a realm of 1 to 253 printable characters")
    return realm


def check_password(password: str) -> str:
    """The password in Unicode NFC, as RFC 7616 section 4 hashes it: 1 to 256 characters, no controls."""
    if not password:
        raise AccountError("the password is empty")
    if len(password) <= MAX_PASSWORD:
        password = unicodedata.normalize("NFC", password)
    if len(password) > MAX_PASSWORD:
        raise AccountError(f"the password has more than {MAX_PASSWORD} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise AccountError("the password contains a control character")
    return password


def split_aor(text: str) -> tuple[str, str]:
    """(user, domain) of ``user@domain``, both checked."""
    if text.startswith(("sip:", "sips:")):
        raise AccountError(f"write {_shown(text)} without the scheme, as user@domain")
    user, at, domain = text.partition("@")
    if not at:
        raise AccountError(f"{_shown(text)} is not of the form user@domain")
    return check_user(user), check_domain(domain)


def join_aor(user: str, domain: str) -> str:
    """``user@domain`` of two checked parts."""
    return f"{user}@{domain}"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _roles(roles: Iterable[str]) -> frozenset[str]:
    found = frozenset([roles] if isinstance(roles, str) else roles)
    for role in sorted(found):
        if not _ROLE.fullmatch(role):
            raise AccountError(f"{_shown(role)} is not a role name (a to z, digits, _ . -, at most 32)")
    if len(found) > MAX_ROLES:
        raise AccountError(f"an account has at most {MAX_ROLES} roles, not {len(found)}")
    return found


def _scopes(scopes: Iterable[str]) -> frozenset[str]:
    found = frozenset([scopes] if isinstance(scopes, str) else scopes)
    for scope in sorted(found):
        if not _SCOPE.fullmatch(scope):
            raise AccountError(f"{_shown(scope)} is not a scope (like users:read, at most 64 characters)")
    if len(found) > 64:
        raise AccountError(f"a key has at most 64 scopes, not {len(found)}")
    return found


def _label(text: str) -> str:
    if len(text) > 128 or not (text.isprintable() or not text):
        raise AccountError(f"{_shown(text)} is not a name of at most 128 printable characters")
    return text


@attrs.frozen
class Account:
    """One user of one domain. Building it checks and normalises every field (AccountError).

    `created` and `changed` are wall time in seconds, 0 until the store has written the account.
    """

    user: str = attrs.field(converter=check_user)
    domain: str = attrs.field(converter=check_domain)
    enabled: bool = True
    # What the account may do in the APIs; "user" may do nothing but use its own phone.
    roles: frozenset[str] = attrs.field(default=frozenset({USER}), converter=_roles)
    display_name: str = attrs.field(default="", converter=_label)
    created: float = 0.0
    changed: float = 0.0

    @classmethod
    def of(cls, aor: str, *, enabled: bool = True, roles: Iterable[str] = (USER,)) -> Account:
        """The account of ``user@domain``."""
        user, domain = split_aor(aor)
        return cls(user, domain, enabled, frozenset(roles))

    @property
    def aor(self) -> str:
        """``user@domain``: the name of the account everywhere."""
        return join_aor(self.user, self.domain)


@attrs.frozen
class APIKey:
    """What is known of an API key once it was handed out; the key itself is kept nowhere.

    Times are wall time in seconds; `expires` 0 means never. `last_used` is 0 before the first use and lags
    by up to a minute.
    """

    # The key's public beginning, by which it is found, listed and removed.
    prefix: str
    name: str = attrs.field(converter=_label)
    scopes: frozenset[str] = attrs.field(default=frozenset(), converter=_scopes)
    # The AOR of the account that it belongs to and goes away with, or "".
    owner: str = ""
    created: float = 0.0
    expires: float = 0.0
    last_used: float = 0.0

    def allows(self, scope: str) -> bool:
        """Whether a scope of the key covers `scope`: the same, ``*``, or ``users:*`` for ``users:read``."""
        return (
            scope in self.scopes
            or "*" in self.scopes
            or any(held.endswith(":*") and scope.startswith(held[:-1]) for held in self.scopes)
        )

    def is_expired(self, wall_now: float) -> bool:
        """Whether its time is over."""
        return 0.0 < self.expires <= wall_now
