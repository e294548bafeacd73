"""Calls that are up and gateways, by HTTP and by JSON-RPC."""

from __future__ import annotations

from typing import Any

from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import Call
from rvoip.users.store import UserStore

OPEN = "[registrar]\nauthenticate = false\n"

GATEWAYS = """
[[proxy.gateway_set]]
name = "pstn"
gateways = ["sip:10.9.9.1", "sip:10.9.9.2"]

[[proxy.route]]
prefix = "+"
set = "pstn"
"""


class OperatingCase(RoleCase):
    def start(self, text: str = "", name: str = "proxy") -> SIPRole:
        role = self.run_role(f"{OPEN}{text}", name)
        self.alice = self.phone("alice@example.test", "127.0.64.21")
        self.bob = self.phone("bob@example.test", "127.0.64.22")
        for phone in (self.alice, self.bob):
            self.reactor.result_of(phone.register())
        return role

    def call(self) -> tuple[Call, Call]:
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        incoming = self.bob.calls[-1]
        self.reactor.result_of(incoming.established())
        return call, incoming

    def rpc(self, method: str, *params: Any, **headers: str | None) -> Any:
        body = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}
        answer = self.client.ask("POST", "/v1/rpc", body, **headers)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        return answer.json.get("result", answer.json.get("error"))


class DialogTests(OperatingCase):
    def test_list_and_show(self) -> None:
        self.start()
        call, _ = self.call()
        self.reactor.advance(65.0)
        listed = self.client.ask("GET", "/v1/dialogs").json
        (dialog,) = listed["dialogs"]
        self.assertEqual((listed["total"], dialog["call_id"]), (1, call.call_id))
        self.assertEqual(dialog["uri"], "sip:bob@example.test")
        self.assertTrue(65.0 <= dialog["duration"] < 70.0)
        self.assertEqual(dialog["caller"]["address"], f"udp:127.0.64.21:{self.alice.wire.port}")
        self.assertIn("tag=", dialog["callee"]["name"])
        self.assertEqual(self.client.ask("GET", f"/v1/dialogs/{dialog['id']}").json["call_id"], call.call_id)
        self.assertEqual(self.client.ask("GET", "/v1/status").json["dialogs"], 1)
        self.assertTrue(b"rvoip_proxy_dialogs 1.0" in self.client.ask("GET", "/metrics").body)
        self.reactor.result_of(call.bye())
        self.assertEqual(self.client.ask("GET", "/v1/dialogs").json, {"dialogs": [], "total": 0})

    def test_end(self) -> None:
        self.start()
        call, incoming = self.call()
        (dialog,) = self.client.ask("GET", "/v1/dialogs").json["dialogs"]
        ended = self.client.ask("DELETE", f"/v1/dialogs/{dialog['id']}")
        self.assertEqual(ended.json, {"id": dialog["id"], "caller": 200, "callee": 200})
        self.assertEqual((call.state, incoming.state), ("over", "over"))
        self.assertEqual(self.client.ask("DELETE", f"/v1/dialogs/{dialog['id']}").status, 404)

    def test_limits(self) -> None:
        """As many as the configuration says, also after it changed."""
        role = self.start("[proxy]\ndialogs = 0\n")
        self.call()
        self.assertEqual(self.client.ask("GET", "/v1/dialogs").json["total"], 0)
        path = self.folder / "role.toml"
        path.write_text(path.read_text().replace("dialogs = 0", "dialogs = 1"))
        role.reload()
        for _ in range(2):
            self.call()
        self.assertEqual(self.client.ask("GET", "/v1/dialogs").json["total"], 1)

    def test_a_registrar_has_none(self) -> None:
        self.run_role(OPEN, "registrar")
        self.assertEqual(self.client.ask("GET", "/v1/dialogs").json, {"dialogs": [], "total": 0})
        self.assertEqual(self.client.ask("DELETE", "/v1/dialogs/x").status, 404)
        self.assertEqual(self.client.ask("GET", "/v1/gateways").json, {"gateways": []})
        self.assertEqual(self.client.ask("PUT", "/v1/gateways/x", {"state": "active"}).status, 404)
        self.assertEqual(self.rpc("dlg.list"), [])
        self.assertEqual(self.rpc("dispatcher.list"), {"NRSETS": 0, "RECORDS": []})
        self.assertEqual(self.rpc("dlg.end_dlg", 1, 1)["code"], 404)


class GatewayTests(OperatingCase):
    def test_states(self) -> None:
        self.start(GATEWAYS)
        gateways = self.client.ask("GET", "/v1/gateways").json["gateways"]
        self.assertEqual([(one["set"], one["state"]) for one in gateways], [("pstn", "active")] * 2)
        name = gateways[0]["id"]
        changed = self.client.ask("PUT", f"/v1/gateways/{name}", {"state": "disabled"})
        self.assertEqual((changed.status, changed.json["state"]), (200, "disabled"))
        self.assertEqual(self.client.ask("GET", f"/v1/gateways/{name}").json["state"], "disabled")
        self.assertEqual(self.client.ask("GET", "/v1/status").json["gateways"], {"active": 1, "disabled": 1})
        self.assertEqual(self.client.ask("PUT", f"/v1/gateways/{name}", {"state": "gone"}).status, 400)
        self.assertEqual(self.client.ask("PUT", "/v1/gateways/nobody", {"state": "active"}).status, 404)
        metrics = self.client.ask("GET", "/metrics").body
        self.assertTrue(b'rvoip_proxy_gateways{state="disabled"} 1.0' in metrics)


class RPCTests(OperatingCase):
    def test_core(self) -> None:
        self.start()
        self.assertRegex(self.rpc("core.version"), r"^rvoip .* \(proxy\)$")
        up = self.rpc("core.uptime")
        self.assertEqual(set(up), {"now", "up_since", "uptime"})
        self.assertIn("ul.dump", self.rpc("system.listMethods"))
        self.assertEqual(self.rpc("htable.get", "x", "y")["code"], -32601)

    def test_statistics(self) -> None:
        self.start()
        self.talk(self.alice, self.bob)
        stats = self.rpc("tm.stats")
        self.assertGreaterEqual(stats["total"], 4)
        lines = self.rpc("stats.get_statistics", "all")
        self.assertIn("core:rcv_requests_invite = 1", lines)
        self.assertIn("usrloc:location-contacts = 2", lines)
        self.assertIn("dialog:processed_dialogs = 1", lines)
        self.assertEqual(
            self.rpc("stats.get_statistics", "dialog:active_dialogs"), ["dialog:active_dialogs = 0"]
        )
        group = self.rpc("stats.get_statistics", "usrloc:")
        self.assertTrue(group and all(line.startswith("usrloc:") for line in group))
        self.assertEqual(self.rpc("stats.get_statistics", "nonsense")["code"], 404)
        self.assertEqual(self.rpc("stats.get_statistics", 5)["code"], -32602)

    def test_location(self) -> None:
        role = self.start()
        (domain,) = self.rpc("ul.dump")["Domains"]
        aors = domain["Domain"]["AoRs"]
        self.assertEqual([one["Info"]["AoR"] for one in aors], ["alice@example.test", "bob@example.test"])
        contact = aors[1]["Info"]["Contacts"][0]["Contact"]
        self.assertEqual(contact["Address"], self.bob.contact)
        self.assertTrue(3500 < contact["Expires"] <= 3600)
        brief = self.rpc("ul.dump", "brief")["Domains"][0]["Domain"]["AoRs"]
        self.assertEqual(brief[0], {"Info": {"AoR": "alice@example.test"}})
        found = self.rpc("ul.lookup", "location", "bob@example.test")
        self.assertEqual(found["Contacts"][0]["Contact"]["Ruid"], contact["Ruid"])
        self.assertEqual(self.rpc("ul.lookup", "location", "nobody@example.test")["code"], 404)
        self.assertEqual(self.rpc("ul.lookup", "elsewhere", "bob@example.test")["code"], 500)
        self.assertEqual(self.rpc("ul.lookup", "location", 5)["code"], -32602)
        self.assertEqual(self.rpc("ul.rm_contact", "location", "bob@example.test", "x")["code"], 404)
        self.assertIsNone(self.rpc("ul.rm_contact", "location", "bob@example.test", contact["Ruid"]))
        self.assertIsNone(self.rpc("ul.rm", "location", "alice@example.test"))
        self.assertEqual(role.location.store.count().aors, 0)
        self.assertEqual(role.registrations["removed"], 2)

    def test_calls(self) -> None:
        self.start()
        call, incoming = self.call()
        (dialog,) = self.rpc("dlg.list")
        self.assertEqual(
            (dialog["call-id"], dialog["from_uri"], dialog["to_uri"], dialog["state"]),
            (call.call_id, "sip:alice@example.test", "sip:bob@example.test", 4),
        )
        self.assertEqual(self.rpc("dlg.stats_active")["all"], 1)
        for numbers in ((1, 2), ("x", "y"), (-1, 5), (True, 1), (1 << 60, 1)):
            self.assertEqual(self.rpc("dlg.end_dlg", *numbers)["code"], 404)
        done = self.rpc("dlg.end_dlg", dialog["h_entry"], dialog["h_id"])
        self.assertEqual(done, "Done (200 from the caller, 200 from the callee)")
        self.assertEqual((call.state, incoming.state), ("over", "over"))

    def test_gateways(self) -> None:
        self.start(GATEWAYS)
        listed = self.rpc("dispatcher.list")
        self.assertEqual((listed["NRSETS"], listed["RECORDS"][0]["SET"]["ID"]), (1, "pstn"))
        uri = listed["RECORDS"][0]["SET"]["TARGETS"][0]["DEST"]["URI"]
        self.assertIsNone(self.rpc("dispatcher.set_state", "ip", "pstn", uri))
        flags = [one["DEST"]["FLAGS"] for one in self.rpc("dispatcher.list")["RECORDS"][0]["SET"]["TARGETS"]]
        self.assertEqual(flags, ["IP", "AP"])
        self.assertIsNone(self.rpc("dispatcher.set_state", "d", "pstn", "all"))
        for state, group, address in (("x", "pstn", uri), (5, "pstn", uri)):
            self.assertEqual(self.rpc("dispatcher.set_state", state, group, address)["code"], 500)
        for unknown, address in (("none", uri), ("pstn", "sip:other"), (7, "all")):
            self.assertEqual(self.rpc("dispatcher.set_state", "a", unknown, address)["code"], 404)

    def test_scopes(self) -> None:
        """A key for one method does not open the others."""
        self.start()
        with UserStore(f"sqlite:{self.folder}/users.db") as store:
            key, _ = store.add_key("reader", ["operations:read"])
        self.reactor.advance(1.1)
        self.assertIn("uptime", self.rpc("core.uptime", x_api_key=key))
        for method, params in (("ul.dump", ()), ("dlg.end_dlg", (1, 1)), ("ul.rm", ("location", "x"))):
            self.assertEqual(self.rpc(method, *params, x_api_key=key)["code"], 403)
        self.assertEqual(self.client.ask("POST", "/v1/rpc", {}).status, 401)

    def test_transport(self) -> None:
        self.start()
        notification = {"jsonrpc": "2.0", "method": "core.uptime"}
        answer = self.client.ask("POST", "/v1/rpc", notification)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.client.ask("POST", "/v1/rpc", b"{}", content_type="text/plain").status, 415)
        broken = self.client.ask("POST", "/v1/rpc", b"{", content_type="application/json")
        self.assertEqual((broken.status, broken.json["error"]["code"]), (200, -32700))
