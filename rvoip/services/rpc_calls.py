"""Calls and gateways in the form of Kamailio's `dlg.*` and `dispatcher.*` methods."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from rvoip.common.jsonrpc import RPCError
from rvoip.common.printable import printable
from rvoip.proxy.calls import Call, Party

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["CallMethods"]

_MOST: Final = 10_000
"""Calls in one list."""

_CONFIRMED: Final = 4
"""Kamailio's number for a dialog whose ACK has come."""

_FLAGS: Final = {"active": "A", "probing": "T", "inactive": "I", "disabled": "D"}
_STATES: Final = {"a": "active", "t": "probing", "i": "inactive", "d": "disabled"}


class CallMethods:
    """Methods on calls that are up, and on gateways."""

    def __init__(self, role: SIPRole) -> None:
        self._role = role

    def dialogs(self) -> list[dict[str, Any]]:
        """`dlg.list`."""
        service = self._role.calls
        if service is None:
            return []
        now = service.now()
        return [self._shown(one, now) for one in islice(service.calls, _MOST)]

    def active(self) -> dict[str, int]:
        """`dlg.stats_active`."""
        count = 0 if self._role.calls is None else len(self._role.calls.calls)
        return {"answering": 0, "connecting": 0, "ongoing": count, "starting": 0, "all": count}

    async def end(self, h_entry: int, h_id: int) -> str:
        """`dlg.end_dlg`: both numbers stand in `dlg.list`."""
        service = self._role.calls
        call = None
        if service is not None and _is_count(h_entry) and _is_count(h_id):
            call = service.calls.find(f"{h_entry:04x}{h_id:012x}")
        if service is None or call is None:
            raise RPCError(404, "Dialog not found")
        caller, callee = await service.end(call)
        return f"Done ({caller} from the caller, {callee} from the callee)"

    def reload(self) -> None:
        """`dispatcher.reload`: the whole configuration, with the lists that it names."""
        done = self._role.reload()
        if done.trouble:
            raise RPCError(500, printable(done.trouble))

    def gateways(self) -> dict[str, Any]:
        """`dispatcher.list`."""
        sets: dict[str, Any] = {}
        for one in self._all():
            latency = one["latency"]
            sets.setdefault(one["set"], []).append(
                {
                    "DEST": {
                        "URI": one["uri"],
                        "FLAGS": _FLAGS[one["state"]] + "P",
                        "PRIORITY": one["priority"],
                        "ATTRS": {
                            "BODY": ";".join(f"{name}={value}" for name, value in one["attrs"].items())
                        },
                        "LATENCY": {"AVG": 0.0 if latency is None else 1000 * latency},
                        "RUNTIME": {"DLGLOAD": one["calls"]},
                    }
                }
            )
        records = [{"SET": {"ID": name, "TARGETS": targets}} for name, targets in sets.items()]
        return {"NRSETS": len(sets), "RECORDS": records}

    def set_state(self, state: str, group: str | int, address: str) -> None:
        """`dispatcher.set_state`: `a` active, `i` inactive, `d` disabled, `t` trying, each also with a `p`.

        `group` is the name of a set, `address` a gateway's URI, or `all`.
        """
        routing = self._role.routing
        wanted = _STATES.get(state.lower().removesuffix("p")) if isinstance(state, str) else None
        if wanted is None:
            raise RPCError(500, "unknown state value")
        found = [one for one in self._all() if one["set"] == str(group) and address in ("all", one["uri"])]
        if routing is None or not found:
            raise RPCError(404, "destination not found")
        for one in found:
            routing.gateways.set_state(one["id"], wanted)

    def _all(self) -> list[dict[str, Any]]:
        routing = self._role.routing
        return [] if routing is None else routing.gateways.gateways()

    def _shown(self, call: Call, now: float) -> dict[str, Any]:
        service = self._role.calls
        assert service is not None
        return {
            "h_entry": int(call.id[:4], 16),
            "h_id": int(call.id[4:], 16),
            "call-id": printable(call.call_id),
            "from_uri": _uri(call.caller),
            "to_uri": _uri(call.callee),
            "state": _CONFIRMED,
            "init_ts": int(service.wall_of(call.began)),
            "start_ts": int(service.wall_of(call.answered)),
            "timeout": int(service.wall_of(call.deadline)),
            "duration": int(now - call.answered),
            "caller": _party(call.caller),
            "callee": _party(call.callee),
        }


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _uri(party: Party) -> str:
    text = party.value.partition("<")[2].partition(">")[0] or party.value.partition(";")[0]
    return printable(text)


def _party(party: Party) -> dict[str, Any]:
    return {
        "tag": printable(party.value.rpartition(";tag=")[2].partition(";")[0]),
        "contact": printable(party.contact),
        "cseq": str(party.cseq),
        "route_set": printable(", ".join(party.routes)),
        "socket": party.address,
    }
