"""What a user store answers with, beside accounts and keys."""

from __future__ import annotations

import attrs

from rvoip.users.accounts import Account
from rvoip.users.passwords import HA1Set

__all__ = ["Changes", "Credential", "ImportResult", "Page", "Snapshot"]


@attrs.frozen
class Page:
    """A stretch of the list of accounts; `next` is the `after` of the following one, "" at the end."""

    accounts: tuple[Account, ...]
    next: str = ""


@attrs.frozen
class ImportResult:
    """How many accounts an import made and how many it gave another password."""

    added: int
    changed: int
    unchanged: int
    domains: frozenset[str] = attrs.field(default=frozenset(), eq=False)
    """Those of all the accounts, in lower case."""


#: (digest username, realm, hashes)
Credential = tuple[str, str, HA1Set]


@attrs.frozen
class Changes:
    """What was written after a revision; `keys` None means that anything may have changed."""

    revision: int
    # (digest username, realm)
    keys: tuple[tuple[str, str], ...] | None


@attrs.frozen
class Snapshot:
    """Every credential at a revision, or None for `credentials` when there are more than were asked for."""

    revision: int
    credentials: tuple[Credential, ...] | None
