"""Registered contacts in the form of Kamailio's `ul.*` methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from rvoip.common.jsonrpc import RPCError
from rvoip.common.printable import printable
from rvoip.common.problem import HTTPError
from rvoip.registrar.binding import Binding
from rvoip.services.store_errors import store_errors

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["LocationMethods"]

_PAGE = 1000
_MOST = 100_000
"""AORs in one dump: `/v1/bindings` has pages for more."""


class LocationMethods:
    """Methods on bindings. There is one table, `location`."""

    def __init__(self, role: SIPRole) -> None:
        self._role = role

    async def dump(self, brief: str = "") -> dict[str, Any]:
        """`ul.dump`: all contacts, with `brief` the AORs alone."""
        aors: list[dict[str, Any]] = []
        after = ""
        store, now = self._role.location.store, self._now()
        while len(aors) < _MOST:
            page = await self._asked(store.aors("", after, _PAGE, now))
            for aor in page:
                if brief:
                    aors.append({"Info": {"AoR": printable(aor)}})
                else:
                    found = await self._asked(store.lookup(aor, now))
                    aors.append({"Info": {"AoR": printable(aor), "Contacts": self._contacts(found)}})
            if len(page) < _PAGE:
                break
            after = page[-1]
        records = self._role.location.counts().aors
        domain = {"Domain": "location", "AoRs": aors, "Stats": {"Records": records}}
        return {"Domains": [{"Domain": domain}]}

    async def lookup(self, table: str, aor: str) -> dict[str, Any]:
        """`ul.lookup`: the contacts of one AOR."""
        found = await self._find(table, aor)
        return {"AoR": printable(aor), "Contacts": self._contacts(found)}

    async def remove(self, table: str, aor: str) -> None:
        """`ul.rm`: take all contacts of an AOR away."""
        await self._find(table, aor)
        await self._take(aor, None)

    async def remove_contact(self, table: str, aor: str, contact: str) -> None:
        """`ul.rm_contact`: take one away, by its URI or its id (`Ruid`)."""
        found = await self._find(table, aor)
        if not any(contact in (one.contact, one.id) for one in found):
            raise RPCError(404, "Contact not found")
        await self._take(aor, contact)

    async def _find(self, table: str, aor: str) -> Sequence[Binding]:
        if table != "location":
            raise RPCError(500, "Domain not found")
        if not isinstance(aor, str):
            raise RPCError(-32602, "Invalid params", "an AOR is a string")
        found: Sequence[Binding] = await self._asked(self._role.location.store.lookup(aor, self._now()))
        if not found:
            raise RPCError(404, "AOR not found in location table")
        return found

    async def _take(self, aor: str, which: str | None) -> None:
        removed = await self._asked(self._role.location.store.remove(aor, which, self._now()))
        registration = self._role.registration
        if registration is not None:
            registration.registrar.removed(removed)

    @staticmethod
    async def _asked(value: Any) -> Any:
        """What a store gave at once, or gives later; its failure is an error of ours."""
        try:
            with store_errors():
                return await value if isinstance(value, Deferred) else value
        except HTTPError as error:
            raise RPCError(error.status, error.detail or error.problem.title) from None

    def _now(self) -> float:
        seconds: float = self._role.http.now()
        return seconds

    def _contacts(self, found: Sequence[Binding]) -> list[dict[str, Any]]:
        now = self._now()
        wall = self._role.http.wall_of(0.0)
        return [
            {
                "Contact": {
                    "Address": printable(one.contact),
                    "Expires": one.remaining(now),
                    "Q": one.q / 1000,
                    "Call-ID": printable(one.call_id),
                    "CSeq": one.cseq,
                    "User-Agent": printable(one.user_agent),
                    "Received": one.received or "[not set]",
                    "Path": ", ".join(printable(value) for value in one.path) or "[not set]",
                    "Ruid": one.id,
                    "Instance": printable(one.instance) or "[not set]",
                    "Reg-Id": one.reg_id,
                    "Last-Modified": int(wall + one.updated),
                }
            }
            for one in found
        ]
