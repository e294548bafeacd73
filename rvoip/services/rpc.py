"""`POST /v1/rpc`: JSON-RPC 2.0 for tools that know Kamailio, with its method names where they fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rvoip import __version__
from rvoip.common.http import API, JSON_TYPE, Call
from rvoip.common.jsonrpc import RPCError, RPCMethods
from rvoip.common.problem import HTTPError
from rvoip.common.routing import Reply
from rvoip.services.callers import BINDINGS_READ, BINDINGS_WRITE, OPERATIONS_READ, OPERATIONS_WRITE
from rvoip.services.rpc_calls import CallMethods
from rvoip.services.rpc_location import LocationMethods
from rvoip.services.rpc_statistics import StatisticsMethods

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["FORBIDDEN", "RPC", "serve_rpc"]

FORBIDDEN: Final = 403
"""The code of an error for a method that the caller's key does not allow."""


class RPC:
    """The methods of a role, and the scope that each asks of an API key."""

    def __init__(self, role: SIPRole, uptime: Callable[[], tuple[float, float]]) -> None:
        """`uptime` tells the wall time of the start, and the seconds since."""
        self.methods = RPCMethods()
        self._scopes: dict[str, str] = {}
        statistics, location, calls = StatisticsMethods(role), LocationMethods(role), CallMethods(role)

        def version() -> str:
            return f"rvoip {__version__} ({role.role})"

        def up() -> dict[str, float]:
            began, seconds = uptime()
            return {"now": began + seconds, "up_since": began, "uptime": int(seconds)}

        table: list[tuple[str, dict[str, Callable[..., Any]]]] = [
            (
                OPERATIONS_READ,
                {
                    "core.version": version,
                    "core.uptime": up,
                    "tm.stats": statistics.transactions,
                    "stats.get_statistics": statistics.get,
                    "dlg.list": calls.dialogs,
                    "dlg.stats_active": calls.active,
                    "dispatcher.list": calls.gateways,
                    "system.listMethods": lambda: self.methods.names,
                },
            ),
            (
                OPERATIONS_WRITE,
                {
                    "dlg.end_dlg": calls.end,
                    "dispatcher.set_state": calls.set_state,
                    "dispatcher.reload": calls.reload,
                },
            ),
            (BINDINGS_READ, {"ul.dump": location.dump, "ul.lookup": location.lookup}),
            (BINDINGS_WRITE, {"ul.rm": location.remove, "ul.rm_contact": location.remove_contact}),
        ]
        for scope, methods in table:
            for name, function in methods.items():
                self.methods.add(name, function)
                self._scopes[name] = scope

    async def answer(self, call: Call, content: bytes) -> bytes | None:
        """The answer to what a caller sent."""

        def permit(name: str) -> RPCError | None:
            missing = call.principal.missing((self._scopes[name],))
            return RPCError(FORBIDDEN, f"the token lacks the scope {missing[0]}") if missing else None

        return await self.methods.answer(content, permit)


def serve_rpc(api: API, rpc: RPC) -> None:
    """Add `/v1/rpc`."""

    @api.route("POST", "/v1/rpc", content_type=JSON_TYPE)
    async def call_methods(call: Call) -> Reply:
        """Call methods by JSON-RPC 2.0, one or a batch.

        The names are those of Kamailio: core.uptime, core.version, dispatcher.list, dispatcher.reload,
        dispatcher.set_state, dlg.end_dlg, dlg.list, dlg.stats_active, stats.get_statistics,
        system.listMethods, tm.stats, ul.dump, ul.lookup, ul.rm, ul.rm_contact.
        """
        if (call.header("content-type") or "").partition(";")[0].strip(" \t").lower() != JSON_TYPE:
            raise HTTPError(415, f"the body must be {JSON_TYPE}", headers={"Accept": JSON_TYPE})
        body = call.request.content
        content = b""
        if body is not None:
            body.seek(0)
            content = body.read()
        answer = await rpc.answer(call, content)
        return Reply(answer) if answer is not None else Reply(None, status=204)
