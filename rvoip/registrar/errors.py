"""What can go wrong with a registration, and whose fault it is."""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.common.printable import printable

__all__ = ["RegistrationRefused", "StoreBusy", "StoreError"]


class RegistrationRefused(Exception):
    """A rule refuses the REGISTER: `status`, `reason` (None for the usual phrase) and headers of the answer.

    `Registrar.decide` turns it into the response, so an overridden method may raise it.
    """

    def __init__(
        self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)


class StoreError(Exception):
    """The store of bindings cannot do what was asked; `reason` is one clear line.

    At start it keeps the role from starting; later the request is answered 503 with Retry-After.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return printable(self.reason)


class StoreBusy(StoreError):
    """Locked by another process, or too much waits or is held already: the same may work later."""
