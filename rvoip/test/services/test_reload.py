"""Tests of what a running role takes from a changed configuration."""

from __future__ import annotations

import io
from typing import cast

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from rvoip.common.log import TextObserver
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.services.reloading import restart_keys
from rvoip.test.services.roles import RoleCase

OPEN = "[registrar]\nauthenticate = false\n"


class ReloadTests(RoleCase):
    def change(self, role: SIPRole, text: str) -> list[str]:
        """Add to the configuration and have it read again; what the role says of it."""
        lines: list[str] = []
        self.shown = TextObserver(io.StringIO())

        def note(event: LogEvent) -> None:
            if event.get("log_namespace") == "rvoip.services.role":
                # As it stands in the log: fields that look like secrets are not shown there.
                lines.append((self.shown.line(event) or "").partition("rvoip.services.role: ")[2].rstrip())

        observer = cast(ILogObserver, note)
        globalLogPublisher.addObserver(observer)
        path = self.folder / "role.toml"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        role.reload()
        globalLogPublisher.removeObserver(observer)
        return lines

    def test_rules_of_registration(self) -> None:
        """Both the answer to a new registration and that to a refresh follow the new Service-Route."""
        role = self.run_role(OPEN, "registrar")
        phone = self.phone("bob@example.test", "127.0.0.8")
        first = self.reactor.result_of(phone.register())
        self.change(role, 'service_route = ["sip:edge.example.test;lr"]\n')
        refresh = self.reactor.result_of(phone.register())
        other = self.reactor.result_of(self.phone("al@example.test", "127.0.0.7").register())
        route = ["<sip:edge.example.test;lr>"]
        self.assertEqual([one.values("service-route") for one in (first, refresh, other)], [[], route, route])

    def test_token(self) -> None:
        """The API's token changes with the next call."""
        role = self.run_role()
        self.assertEqual(self.client.ask("GET", "/v1/status").status, 200)
        (line,) = self.change(role, '[http]\ntoken = "long-and-random"\n')
        self.assertIn("Configuration reloaded", line)
        self.assertEqual(self.client.ask("GET", "/v1/status").status, 401)
        header = {"authorization": "Bearer long-and-random"}
        self.assertEqual(self.client.ask("GET", "/v1/status", **header).status, 200)

    def test_by_the_api(self) -> None:
        """Whoever asks for it hears what came of it; a broken file changes nothing."""
        role = self.run_role("[proxy]\ntimer_c = 200.0\n")
        path = self.folder / "role.toml"
        good = path.read_text(encoding="utf-8")
        path.write_text(good + "lag = 1\n", encoding="utf-8")
        answer = self.client.ask("POST", "/v1/reload", {})
        self.assertEqual((answer.status, answer.json["title"]), (409, "Conflict"))
        self.assertIn("proxy.lag: unknown key", answer.json["detail"])
        path.write_text(good.replace("timer_c = 200.0", "timer_c = 300.0"), encoding="utf-8")
        answer = self.client.ask("POST", "/v1/reload", {})
        self.assertEqual((answer.status, answer.json), (200, {"file": str(path), "restart": []}))
        self.assertEqual(role.config.proxy.timer_c, 300.0)
        path.write_text(good + '[records]\ncsv = "x.csv"\n', encoding="utf-8")
        self.assertEqual(self.client.ask("POST", "/v1/reload", {}).json["restart"], ["records.csv"])
        self.assertEqual(self.client.ask("GET", "/v1/reload").status, 405)

    def test_by_json_rpc(self) -> None:
        """`dispatcher.reload`, as Kamailio's tools ask for it."""
        self.run_role("[proxy]\n")
        path = self.folder / "role.toml"
        request = {"jsonrpc": "2.0", "method": "dispatcher.reload", "id": 1}
        self.assertEqual(
            self.client.ask("POST", "/v1/rpc", request).json, {"jsonrpc": "2.0", "result": None, "id": 1}
        )
        path.write_text(path.read_text(encoding="utf-8") + "lag = 1\n", encoding="utf-8")
        error = self.client.ask("POST", "/v1/rpc", request).json["error"]
        self.assertEqual(error["code"], 500)
        self.assertIn("proxy.lag: unknown key", error["message"])

    def test_trace(self) -> None:
        """Ladders come, shrink, and go."""
        role = self.run_role(f"{OPEN}[trace]\nkeep = 0\n")
        alice, bob = (
            self.phone("alice@example.test", "127.0.64.21"),
            self.phone("bob@example.test", "127.0.64.22"),
        )
        for phone in (alice, bob):
            self.reactor.result_of(phone.register())
        self.talk(alice, bob)
        self.assertEqual(self.client.ask("GET", "/v1/ladders").status, 404)
        self.set_keep(role, 0, 5)
        for _ in range(2):
            self.talk(alice, bob)
        self.assertEqual(self.kept_calls(), 2)
        self.set_keep(role, 5, 1)
        self.assertEqual(self.kept_calls(), 1)
        self.set_keep(role, 1, 0)
        self.talk(alice, bob)
        self.assertEqual(self.client.ask("GET", "/v1/ladders").status, 404)

    def set_keep(self, role: SIPRole, before: int, after: int) -> None:
        path = self.folder / "role.toml"
        path.write_text(path.read_text().replace(f"keep = {before}", f"keep = {after}"))
        self.change(role, "")

    def kept_calls(self) -> int:
        return len(self.client.ask("GET", "/v1/ladders").json["calls"])

    def test_what_needs_a_restart(self) -> None:
        """It is said by name, without the values."""
        role = self.run_role()
        lines = self.change(
            role, "[auth]\nnonce_ttl = 7\n[sip.limits]\nidle = 9\n[registrar]\n[trace]\nkeep = 7\n"
        )
        self.assertEqual(
            lines[1:], ["Changed, but in force only after a restart: sip.limits, auth.nonce_ttl, registrar"]
        )
        self.assertEqual(len(self.change(role, "")), 1)

    def test_a_broken_file(self) -> None:
        """Nothing of it is taken over, not even the log."""
        role = self.run_role()
        right = (self.folder / "role.toml").read_text(encoding="utf-8")
        (line,) = self.change(role, '[http]\ntoken = "x"\n[guard]\ntrusted = ["nonsense"]\n')
        self.assertIn("Configuration not reloaded: ", line)
        self.assertEqual(line.count("nonsense"), 1)
        self.assertEqual(self.client.ask("GET", "/v1/status").status, 200)
        self.assertIn(b"\nrvoip_proxy_reload_refused 1.0\n", self.client.ask("GET", "/metrics").body)
        (self.folder / "role.toml").write_text(right, encoding="utf-8")
        self.change(role, "")
        self.assertIn(b"\nrvoip_proxy_reload_refused 0.0\n", self.client.ask("GET", "/metrics").body)


class RestartKeysTests(RoleCase):
    """Which keys of two files a running role cannot bring into line."""

    def keys(self, before: str, after: str) -> list[str]:
        configs = []
        for text in (before, after):
            path = self.folder / "keys.toml"
            path.write_text(text)
            configs.append(load(str(path), "proxy", {}))
        return restart_keys(*configs)

    def test_table(self) -> None:
        for before, after, keys in (
            ("", "", []),
            ("", '[sip]\ndomains = ["a.test"]', ["sip.domains"]),
            ("", '[http]\ntoken = "t"', []),
            ("", '[http]\nlisten = "127.0.0.1:1"', ["http.listen"]),
            ("", '[http]\ncertificate = "a"\nprivate_key = "b"', ["http.certificate"]),
            ('[http]\ncertificate = "a"', '[http]\ncertificate = "b"', []),
            ("", "[registrar]", ["registrar"]),
            ("[registrar]", "[registrar]\nauthenticate = false\nmin_expires = 7", ["registrar.authenticate"]),
            ("", '[proxy]\nsecret_file = "k"\nfork = "sequential"', ["proxy.secret_file"]),
            ("", "[service]\ndrain_max = 7", []),
            ("", '[service]\nclass = "a.B"', ["service.class"]),
            ("", '[users]\nstore = "sqlite:other.db"', ["users.store"]),
            ("", "[guard]\nrate = 3\nban_time = 4\nscanners = []", ["guard.ban_time"]),
            ("", '[proxy]\nrtpengine = "udp:127.0.0.1:1"\n[[proxy.alias]]\nname = "a"\nto = "b@c"', []),
        ):
            self.assertEqual(self.keys(before, after), keys, (before, after))
