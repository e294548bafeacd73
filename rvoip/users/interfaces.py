"""What the servers ask of a user store and of a cache of digest credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import Interface

if TYPE_CHECKING:
    from rvoip.users.accounts import Account, APIKey
    from rvoip.users.passwords import HA1Set
    from rvoip.users.records import Changes, ImportResult, Page, Snapshot

__all__ = ["IAccountSource", "ICredentialSource", "ICredentials", "IUserStore"]


class ICredentials(Interface):
    """Digest credentials, asked for at each request."""

    def lookup(user: str, realm: str) -> HA1Set | Deferred[HA1Set | None] | None:
        """The HA1s of a digest username in a realm, None when there is no such enabled account.

        At once when they are in memory, else a Deferred, which fails with StoreError (StoreBusy: try later).
        `user` is the digest username as it was sent, "alice" or "alice@example.test".
        """


class ICredentialSource(Interface):
    """Where a cache of credentials reads. Each Deferred fails with StoreError, StoreBusy for a locked store.

    The store numbers its changes: whoever read everything at a revision stays true by asking what was written
    after it.
    """

    def find_credentials(keys: Sequence[tuple[str, str]]) -> Deferred[dict[tuple[str, str], HA1Set]]:
        """The HA1s of each (username, realm) that belongs to an enabled account; the others are missing."""

    def snapshot(limit: int) -> Deferred[Snapshot]:
        """All credentials of usernames without "@", unless they are more than `limit`, and their revision."""

    def changes_since(revision: int) -> Deferred[Changes]:
        """What was written after a revision, by any process."""

    def follow(written: Callable[[], Deferred[None]]) -> None:
        """Have `written` called after each write of this process, before its caller is answered."""


class IAccountSource(Interface):
    """Another system that keeps the accounts of phones, and is asked for one at a time."""

    def find(user: str, realm: str) -> Deferred[HA1Set | None]:
        """The HA1s of a digest username in a realm; None when there is no such enabled account.

        `user` is a name that an account may have, or that with "@" and the realm. Fails with StoreError,
        whose reason is one line for the operator, when the system does not say. It can be cancelled.
        """

    def close() -> None:
        """Close connections; nothing more is asked."""


class IUserStore(Interface):
    """Accounts, roles, API logins and API keys. Each Deferred fails with AccountError or StoreError."""

    def add(
        account: Account, password: str, *, realms: Sequence[str] = (), digest: bool = True
    ) -> Deferred[Account]:
        """Store a new account; fires with it as stored. DuplicateAccount when it exists.

        Its credentials hold in the realm of its domain and in `realms`. With `digest` False there are none:
        the password serves API logins only and is kept as Argon2id alone.
        """

    def set_password(aor: str, password: str) -> Deferred[None]:
        """Give it another password, in each realm that it has. UnknownAccount."""

    def update(
        aor: str,
        *,
        enabled: bool | None = None,
        roles: Iterable[str] | None = None,
        display_name: str | None = None,
    ) -> Deferred[Account]:
        """Change what is not None; fires with the account as stored. UnknownAccount."""

    def remove(aor: str) -> Deferred[None]:
        """Remove the account with its credentials and API keys. UnknownAccount."""

    def get(aor: str) -> Deferred[Account | None]:
        """The account, or None."""

    def list(prefix: str = "", after: str = "", limit: int = 100) -> Deferred[Page]:
        """Up to `limit` accounts whose AOR begins with `prefix`, in order, from behind the AOR `after`."""

    def count() -> Deferred[int]:
        """How many accounts there are."""

    def import_many(lines: Iterable[bytes]) -> Deferred[ImportResult]:
        """Add or change one account a line of ``user:domain:password``: all of them or, on an error, none."""

    def login(aor: str, password: str) -> Deferred[Account | None]:
        """The enabled account whose password this is, or None; the same time for either. StoreBusy."""

    def add_key(
        name: str, scopes: Iterable[str] = (), *, owner: str = "", expires: float = 0.0
    ) -> Deferred[tuple[str, APIKey]]:
        """A new API key: fires with its only showing and its record. UnknownAccount for the owner."""

    def find_key(key: str) -> Deferred[APIKey | None]:
        """The record of a valid, unexpired key whose owner is enabled, or None."""

    def list_keys(owner: str | None = None) -> Deferred[tuple[APIKey, ...]]:
        """All keys, or those of an owner, oldest first."""

    def remove_key(prefix: str) -> Deferred[None]:
        """Revoke a key. UnknownAccount when there is none of that prefix."""
