"""Who may call the API of a role: the operator's token, and the API keys of the users store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from rvoip.common.http_auth import Guard, Principal
from rvoip.common.http_server import Listen
from rvoip.services.accounts import AccountsService
from rvoip.services.config import HTTP
from rvoip.services.store_errors import store_errors

__all__ = [
    "BINDINGS_READ",
    "BINDINGS_WRITE",
    "KEYS_READ",
    "KEYS_WRITE",
    "OPERATIONS_READ",
    "OPERATIONS_WRITE",
    "PRESENCE_READ",
    "PRESENCE_WRITE",
    "ROLES_WRITE",
    "SCOPES",
    "TRACES_READ",
    "USERS_READ",
    "USERS_WRITE",
    "Callers",
    "is_scope",
]

USERS_READ: Final = "users:read"
USERS_WRITE: Final = "users:write"
ROLES_WRITE: Final = "roles:write"
KEYS_READ: Final = "keys:read"
KEYS_WRITE: Final = "keys:write"
BINDINGS_READ: Final = "bindings:read"
BINDINGS_WRITE: Final = "bindings:write"
OPERATIONS_READ: Final = "operations:read"
OPERATIONS_WRITE: Final = "operations:write"
PRESENCE_READ: Final = "presence:read"
PRESENCE_WRITE: Final = "presence:write"
TRACES_READ: Final = "traces:read"

SCOPES: Final = (
    USERS_READ,
    USERS_WRITE,
    ROLES_WRITE,
    KEYS_READ,
    KEYS_WRITE,
    BINDINGS_READ,
    BINDINGS_WRITE,
    OPERATIONS_READ,
    OPERATIONS_WRITE,
    PRESENCE_READ,
    PRESENCE_WRITE,
    TRACES_READ,
)

_WIDE_SCOPES: Final = frozenset(f"{scope.partition(':')[0]}:*" for scope in SCOPES) | {"*"}


def is_scope(text: str) -> bool:
    """Whether a key may have this scope: one of `SCOPES`, as `users:*` those of one thing, or `*`."""
    return text in SCOPES or text in _WIDE_SCOPES


class Callers:
    """Knows callers by token, API key or an account's password (`login`); `guard` asks it.

    Without a token and as long as there are no keys, the API is open to whoever reaches it, which only
    this machine may: `HTTPService` refuses to start elsewhere. An API that other machines reach stays closed
    once it runs, also when its last key is removed.
    """

    def __init__(
        self,
        accounts: AccountsService,
        table: HTTP,
        listen: str,
        login: Callable[[str, str, str], Awaitable[Principal | None]] | None = None,
    ) -> None:
        self._accounts = accounts
        self._stays_closed = False
        self._is_reached = bool(listen) and not (Listen.parse(listen).is_local or table.ca)
        self.guard = Guard(table.token, self._authenticate, self._has_keys, login)

    def started(self) -> None:
        """Say that the API runs."""
        self._stays_closed = self._is_reached

    def _has_keys(self) -> bool:
        return self._stays_closed or self._accounts.keys > 0

    async def _authenticate(self, key: str) -> Principal | None:
        with store_errors():
            record = await self._accounts.opened.find_key(key)
        if record is None:
            return None
        scopes = record.scopes.union(scope for scope in SCOPES if record.allows(scope))
        return Principal(record.prefix, scopes)
