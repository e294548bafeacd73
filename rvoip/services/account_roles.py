"""What the roles of accounts allow in the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rvoip.services.callers import (
    BINDINGS_READ,
    BINDINGS_WRITE,
    OPERATIONS_READ,
    OPERATIONS_WRITE,
    TRACES_READ,
    USERS_READ,
)
from rvoip.users.accounts import ADMIN, OPERATOR, USER, VIEWER
from rvoip.users.errors import AccountError

__all__ = ["ROLES", "check_roles", "scopes_of"]

_VIEWER: Final = frozenset((USERS_READ, BINDINGS_READ, OPERATIONS_READ))

ROLES: Final = {
    ADMIN: frozenset("*"),
    OPERATOR: _VIEWER | {BINDINGS_WRITE, OPERATIONS_WRITE, TRACES_READ},
    VIEWER: _VIEWER,
    USER: frozenset[str](),
}
"""Each role with its scopes; `*` is every scope."""


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """What an account with these roles may do; roles that only an application knows allow nothing."""
    return frozenset().union(*(ROLES.get(role, frozenset()) for role in roles))


def check_roles(roles: Iterable[str]) -> frozenset[str]:
    """The roles, or AccountError for one that means nothing here."""
    found = frozenset(roles)
    for role in sorted(found):
        if role not in ROLES:
            raise AccountError(f"{role[:60]!a} is none of the roles {', '.join(ROLES)}")
    return found
