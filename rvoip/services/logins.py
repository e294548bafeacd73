"""Callers of the API who name themselves by account and password, and what keeps them from guessing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rvoip.common.http_auth import Principal, is_loopback
from rvoip.common.problem import HTTPError
from rvoip.protocols.transport.addresses import source_key
from rvoip.protocols.transport.bounded import Recent
from rvoip.services.account_roles import scopes_of
from rvoip.services.accounts import AccountsService
from rvoip.services.store_errors import store_errors
from rvoip.users.accounts import join_aor, split_aor
from rvoip.users.errors import AccountError

__all__ = ["Attempts", "Logins"]

PER_ACCOUNT: Final = 10
"""Wrong passwords of an account within a window."""
PER_SOURCE: Final = 30
"""Wrong passwords, of any account, from one address within a window."""
WINDOW: Final = 60.0
"""Seconds."""
_NAMES: Final = 10_000
"""Accounts or addresses that are remembered."""


class Attempts:
    """How often somebody may be wrong: `most` times in `window` seconds, counted from the first one.

    What is under way counts as wrong, so that guesses side by side are no way around. Memory is bounded,
    whatever names an attacker makes up.
    """

    def __init__(self, most: int, window: float = WINDOW, names: int = _NAMES) -> None:
        self._most = most
        self._window = window
        self._counts: Recent[str, list[float]] = Recent(names)  # name: [when it began, how many]

    def wait(self, name: str, now: float) -> float:
        """Seconds until the next attempt is allowed; 0.0 is now."""
        count = self._counts.get(name)
        if count is None or count[1] < self._most:
            return 0.0
        return max(0.0, count[0] + self._window - now)

    def begin(self, name: str, now: float) -> None:
        """Count an attempt."""
        count = self._counts.get(name)
        if count is None or now >= count[0] + self._window:
            count = [now, 0]
            self._counts.put(name, count)
        count[1] += 1

    def right(self, name: str) -> None:
        """An attempt was no wrong one: it does not count."""
        count = self._counts.get(name)
        if count is not None and count[1] > 0:
            count[1] -= 1


class Logins:
    """Knows callers by the AOR and the password of an account, and lets them do what its roles allow.

    `now` is monotonic seconds. Unless the listener `is_secure`, which means HTTPS, passwords are taken from
    this machine only.
    """

    def __init__(self, accounts: AccountsService, now: Callable[[], float], is_secure: bool) -> None:
        self._accounts = accounts
        self._now = now
        self.is_secure = is_secure
        self._by_account = Attempts(PER_ACCOUNT)
        self._by_source = Attempts(PER_SOURCE)

    async def __call__(self, aor: str, password: str, peer: str) -> Principal | None:
        """The caller, or None for a wrong account or password; `peer` is an address, "unix" for a socket.

        Raises HTTPError: 403 over plain HTTP, 429 after too many wrong passwords, 503 when the store is busy.
        """
        try:
            account_name = join_aor(*split_aor(aor))
        except AccountError:
            return None
        is_near = peer == "unix" or is_loopback(peer)
        if not (self.is_secure or is_near):
            raise HTTPError(403, "passwords are taken over HTTPS only")
        # A server in front of ours may stand for all of its callers, so this machine has no limit of its own.
        counted = [(self._by_account, account_name)]
        if not is_near:
            counted.append((self._by_source, source_key(peer)))
        now = self._now()
        seconds = max(attempts.wait(name, now) for attempts, name in counted)
        if seconds > 0:
            raise HTTPError(429, "too many wrong passwords", headers={"Retry-After": str(int(seconds) + 1)})
        for attempts, name in counted:
            attempts.begin(name, now)
        with store_errors():
            try:
                account = await self._accounts.opened.login(account_name, password)
            except BaseException:
                self._right(counted)  # nobody knows
                raise
        if account is None:
            return None
        self._right(counted)
        return Principal(account.aor, scopes_of(account.roles))

    @staticmethod
    def _right(counted: list[tuple[Attempts, str]]) -> None:
        for attempts, name in counted:
            attempts.right(name)
