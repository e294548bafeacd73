"""Accounts and API keys by HTTP: `/v1/users` and `/v1/keys`."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta

from rvoip.common.http import API, Call, Reply
from rvoip.common.problem import HTTPError
from rvoip.services.account_roles import check_roles, scopes_of
from rvoip.services.accounts import AccountsService
from rvoip.services.callers import (
    KEYS_READ,
    KEYS_WRITE,
    ROLES_WRITE,
    SCOPES,
    USERS_READ,
    USERS_WRITE,
    is_scope,
)
from rvoip.services.store_errors import store_errors
from rvoip.users.accounts import USER, Account, APIKey, join_aor, split_aor
from rvoip.users.errors import AccountError

__all__ = ["serve_keys", "serve_users"]

_Password = Annotated[str, Meta(extra_json_schema={"format": "password", "writeOnly": True})]


class User(msgspec.Struct, frozen=True):
    """An account; its password is not shown to anyone."""

    aor: str
    user: str
    domain: str
    display_name: str
    enabled: bool
    roles: list[str]
    created: float
    """Wall time, seconds since 1970, and so `changed`."""
    changed: float


class NewUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to be made."""

    user: str
    """The user part, not percent-encoded."""
    domain: str
    password: _Password
    display_name: str = ""
    enabled: bool = True
    roles: list[str] | None = None
    """What it may do in the API: admin, operator, viewer, user; left out only "user", which is nothing."""
    digest: bool = True
    """Whether phones can use it. Without, its password is kept as an Argon2id hash alone, for the API."""


class UserChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different about an account."""

    display_name: str | None = None
    enabled: bool | None = None
    roles: list[str] | None = None


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another password for an account."""

    password: _Password


class UserPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which accounts to list."""

    prefix: str = ""
    """How their AORs begin."""
    after: str = ""
    """`next` of the page before."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class UserList(msgspec.Struct, frozen=True):
    """A page of accounts, by AOR."""

    users: list[User]
    next: str
    """`after` of the following page; empty on the last one."""


class Key(msgspec.Struct, frozen=True):
    """An API key, as far as it is kept."""

    prefix: str
    """How the key begins; its name in this API."""
    name: str
    scopes: list[str]
    owner: str
    """AOR of the account that it goes away with, or empty."""
    created: float
    """Wall time, seconds since 1970, and so the other times."""
    expires: float
    """0 is never."""
    last_used: float
    """0 is never; it lags by up to a minute."""


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An API key to be made."""

    name: str
    scopes: list[str]
    """What it allows, as `users:read`, `users:*` or `*`; no more than its maker may."""
    owner: str = ""
    expires: float = 0.0


class MadeKey(msgspec.Struct, frozen=True):
    """The only showing of a key."""

    key: str
    record: Key


class KeyList(msgspec.Struct, frozen=True):
    """All API keys, oldest first."""

    keys: list[Key]


def serve_users(api: API, accounts: AccountsService) -> None:
    """Add the routes of accounts."""

    @api.route("GET", "/v1/users", query=UserPage, response=UserList, scopes=(USERS_READ,))
    async def list_users(call: Call, query: UserPage) -> UserList:
        """List accounts by AOR."""
        with store_errors():
            page = await accounts.opened.list(query.prefix, query.after, query.limit)
        return UserList([_user(account) for account in page.accounts], page.next)

    @api.route("POST", "/v1/users", body=NewUser, response=User, status=201, scopes=(USERS_WRITE,))
    async def add_user(call: Call, body: NewUser) -> Reply:
        """Make an account: its phone can register at once."""
        _check_roles(call, body.roles)
        with store_errors():
            roles = frozenset((USER,) if body.roles is None else body.roles)
            account = Account(body.user, body.domain, body.enabled, roles, body.display_name)
            stored = await accounts.opened.add(account, body.password, digest=body.digest)
        return Reply(_user(stored), headers={"Location": f"/v1/users/{quote(stored.aor, safe='@')}"})

    @api.route("GET", "/v1/users/{aor}", response=User, scopes=(USERS_READ,))
    async def get_user(call: Call, aor: str) -> User:
        """Show an account."""
        name = _known_form(aor)
        with store_errors():
            account = await accounts.opened.get(name)
        if account is None:
            raise HTTPError(404, f"there is no account {name}")
        return _user(account)

    @api.route("PATCH", "/v1/users/{aor}", body=UserChange, response=User, scopes=(USERS_WRITE,))
    async def change_user(call: Call, aor: str, body: UserChange) -> User:
        """Change an account: what is left out, or null, stays as it is."""
        _check_roles(call, body.roles)
        name = await _within_reach(call, aor)
        with store_errors():
            return _user(
                await accounts.opened.update(
                    name, enabled=body.enabled, roles=body.roles, display_name=body.display_name
                )
            )

    @api.route("PUT", "/v1/users/{aor}/password", body=NewPassword, scopes=(USERS_WRITE,))
    async def set_password(call: Call, aor: str, body: NewPassword) -> None:
        """Give an account another password; it holds from the next request on."""
        name = await _within_reach(call, aor)
        with store_errors():
            await accounts.opened.set_password(name, body.password)

    @api.route("DELETE", "/v1/users/{aor}", scopes=(USERS_WRITE,))
    async def remove_user(call: Call, aor: str) -> None:
        """Remove an account, its credentials and its API keys.

        What it has registered stays until it expires or is removed.
        """
        name = await _within_reach(call, aor)
        with store_errors():
            await accounts.opened.remove(name)

    async def _within_reach(call: Call, aor: str) -> str:
        """The AOR of an account that may do no more than the caller: with its password he would be it."""
        name = _known_form(aor)
        with store_errors():
            account = await accounts.opened.get(name)
        if account is not None and (missing := call.principal.missing(sorted(scopes_of(account.roles)))):
            raise HTTPError(403, f"the account may do more than the caller, who lacks {' '.join(missing)}")
        return name


def serve_keys(api: API, accounts: AccountsService) -> None:
    """Add the routes of API keys."""

    @api.route("GET", "/v1/keys", response=KeyList, scopes=(KEYS_READ,))
    async def list_keys(call: Call) -> KeyList:
        """List the API keys."""
        with store_errors():
            records = await accounts.opened.list_keys()
        return KeyList([_key(record) for record in records])

    @api.route("POST", "/v1/keys", body=NewKey, response=MadeKey, status=201, scopes=(KEYS_WRITE,))
    async def add_key(call: Call, body: NewKey) -> Reply:
        """Make an API key, which is shown this once.

        The first one closes an API that was open: from then on each call needs a key, or the token of the
        configuration. It has to allow `keys:write`, or there would be no way back.
        """
        _check_grant(call, body.scopes)
        if api.guard.is_open and not {"*", "keys:*", KEYS_WRITE}.intersection(body.scopes):
            raise HTTPError(400, f"the first key closes the API, so it has to allow {KEYS_WRITE}")
        with store_errors():
            key, record = await accounts.opened.add_key(
                body.name, body.scopes, owner=body.owner, expires=body.expires
            )
        return Reply(MadeKey(key, _key(record)), headers={"Location": f"/v1/keys/{record.prefix}"})

    @api.route("DELETE", "/v1/keys/{prefix}", scopes=(KEYS_WRITE,))
    async def remove_key(call: Call, prefix: str) -> None:
        """Revoke an API key; the next call with it is refused."""
        with store_errors():
            await accounts.opened.remove_key(prefix)


def _check_grant(call: Call, scopes: list[str]) -> None:
    """Raise a 400 for scopes that there are not, a 403 for what a caller may not do itself."""
    if unknown := [scope for scope in scopes if not is_scope(scope)]:
        raise HTTPError(400, f"{unknown[0][:64]!a} is none of the scopes {', '.join(SCOPES)}, users:* or *")
    if missing := call.principal.missing(scopes):
        raise HTTPError(403, f"the token lacks the scope {' '.join(missing)}, so it cannot give it")


def _check_roles(call: Call, roles: list[str] | None) -> None:
    """Roles decide what an account may do in the APIs: to give them takes more than to make accounts."""
    if roles is None:
        return
    if call.principal.missing((ROLES_WRITE,)):
        raise HTTPError(403, f"the token lacks the scope {ROLES_WRITE}")
    with store_errors():
        allowed = scopes_of(check_roles(roles))
    if missing := call.principal.missing(sorted(allowed)):
        raise HTTPError(403, f"the token lacks the scope {' '.join(missing)}, so it cannot give it")


def _known_form(aor: str) -> str:
    """The AOR of a path in the form that accounts have; what has no such form names nothing: 404."""
    try:
        return join_aor(*split_aor(aor))
    except AccountError as error:
        raise HTTPError(404, error.reason) from None


def _user(account: Account) -> User:
    return User(
        aor=account.aor,
        user=account.user,
        domain=account.domain,
        display_name=account.display_name,
        enabled=account.enabled,
        roles=sorted(account.roles),
        created=account.created,
        changed=account.changed,
    )


def _key(record: APIKey) -> Key:
    return Key(
        prefix=record.prefix,
        name=record.name,
        scopes=sorted(record.scopes),
        owner=record.owner,
        created=record.created,
        expires=record.expires,
        last_used=record.last_used,
    )
