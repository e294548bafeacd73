"""The counters of a role under the names that Kamailio gives them: `tm.stats`, `stats.get_statistics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvoip.common.jsonrpc import RPCError

if TYPE_CHECKING:
    from rvoip.services.compose import SIPRole

__all__ = ["StatisticsMethods"]


class StatisticsMethods:
    """Methods that count; numbers of what Kamailio counts and we do not are left out."""

    def __init__(self, role: SIPRole) -> None:
        self._role = role

    def transactions(self) -> dict[str, int]:
        """`tm.stats`."""
        layer = self._role.sip.transactions
        answers = {f"{index}xx": layer.responses_sent[index] for index in range(2, 7)}
        return {
            "current": layer.servers + layer.clients,
            "waiting": layer.servers,
            "total": sum(layer.requests.values()),
            "total_local": layer.clients,
            "rpl_received": sum(layer.responses_received),
            "rpl_sent": sum(layer.responses_sent),
            "retransmissions": layer.retransmissions,
            **answers,
        }

    def get(self, *names: str) -> list[str]:
        """`stats.get_statistics`: of `all`, of a group (`core:`) or of single names."""
        known = self._numbers()
        found: list[str] = []
        for name in names or ("all",):
            if not isinstance(name, str):
                raise RPCError(-32602, "Invalid params", "names are strings")
            chosen = [
                key
                for key in known
                if name == "all" or key == name or (name.endswith(":") and key.startswith(name))
            ]
            if not chosen:
                raise RPCError(404, f"statistic {name} not found")
            found += [f"{key} = {known[key]}" for key in chosen]
        return found

    def _numbers(self) -> dict[str, int]:
        role = self._role
        layer, counters = role.sip.transactions, role.sip.transport.intake.counters
        counts = role.location.counts()
        numbers = {"core:rcv_requests": sum(layer.requests.values())}
        for method, count in layer.requests.items():
            numbers[f"core:rcv_requests_{method.lower()}"] = count
        numbers["core:rcv_replies"] = sum(layer.responses_received)
        for index in range(1, 7):
            numbers[f"core:rcv_replies_{index}xx"] = layer.responses_received[index]
        numbers["core:drop_requests"] = sum(counters.dropped.values())
        for index in range(2, 7):
            numbers[f"sl:{index}xx_replies"] = layer.responses_sent[index]
        numbers["tmx:inuse_transactions"] = layer.servers + layer.clients
        numbers["tmx:UAS_transactions"] = layer.servers
        numbers["tmx:UAC_transactions"] = layer.clients
        numbers["usrloc:registered_users"] = counts.aors
        numbers["usrloc:location-contacts"] = counts.bindings
        numbers["usrloc:location-expires"] = role.registrations["expired"]
        numbers["registrar:accepted_regs"] = role.registrations["created"] + role.registrations["refreshed"]
        if role.proxy is not None:
            numbers["core:fwd_requests"] = role.proxy.forwarded
        if role.calls is not None:
            numbers["dialog:active_dialogs"] = len(role.calls.calls)
            numbers["dialog:processed_dialogs"] = role.calls.calls.total
        return numbers
