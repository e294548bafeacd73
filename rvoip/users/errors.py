"""What can go wrong with accounts, and whose fault it is."""

from __future__ import annotations

__all__ = ["AccountError", "DuplicateAccount", "StoreBusy", "StoreError", "UnknownAccount", "UnusableAccount"]


class AccountError(ValueError):
    """The caller's account, password, key or import line is not acceptable; `reason` is one clear line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DuplicateAccount(AccountError):
    """An account of that AOR exists already."""


class UnknownAccount(AccountError):
    """There is no account or API key of that name."""


class StoreError(Exception):
    """The database cannot do what was asked (missing, damaged, full, too new); `reason` is one clear line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StoreBusy(StoreError):
    """The database is locked by another process, or too much work waits for it: the same may work later."""


class UnusableAccount(StoreError):
    """A source of accounts answers, but what it has of this account is of no use; others may be fine."""
