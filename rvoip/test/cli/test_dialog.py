"""`rvoip dialog` and `rvoip gateway`, against a server that gives fixed answers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import FakeServer, Ran, run


def dialog(id: str) -> dict[str, Any]:
    return {
        "id": id,
        "call_id": f"{id}@host",
        "uri": "sip:bob@example.test",
        "user": "",
        "started": 1000.0,
        "duration": 65.2,
        "expires": 3600.0,
        "caller": {"name": "Alice <sip:alice@example.test>;tag=a", "address": "udp:192.0.2.1:5060"},
        "callee": {"name": "sip:bob@example.test;tag=b", "address": "tcp:192.0.2.2:5060"},
    }


GATEWAY = {
    "id": "pstn:a",
    "set": "pstn",
    "uri": "sip:192.0.2.9",
    "state": "inactive",
    "since": 12.0,
    "failures": 3,
    "latency": 0.0123,
    "calls": 4,
    "limit": 30,
    "weight": 1,
    "priority": 0,
    "attrs": {},
}


class Case(TestCase):
    host = "127.21.6.5"

    def setUp(self) -> None:
        self.server = FakeServer(self.host, {})
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def rvoip(self, *arguments: str) -> Ran:
        return run(*arguments, "--url", self.server.url)


class DialogTests(Case):
    def setUp(self) -> None:
        super().setUp()
        dialogs = [dialog("aa01"), dialog("aa02"), dialog("bb01")]
        self.server.answers["GET /v1/dialogs?limit=1000"] = (200, {"dialogs": dialogs, "total": 3})
        ended = {"id": "bb01", "caller": 200, "callee": 200}
        self.server.answers["DELETE /v1/dialogs/bb01"] = (200, ended)

    def test_list(self) -> None:
        lines = self.rvoip("dialog", "list").out.splitlines()
        self.assertEqual(
            lines[1].split(),
            "aa01 sip:alice@example.test sip:bob@example.test udp:192.0.2.1:5060 tcp:192.0.2.2:5060"
            " 1m 5s aa01@host".split(),
        )
        self.assertEqual(len(self.rvoip("dialog", "list", "--json").json), 3)

    def test_end(self) -> None:
        for id in ("bb01", "bb"):
            ran = self.rvoip("dialog", "end", id)
            self.assertEqual(ran, (0, "ended bb01: 200 from the caller, 200 from the callee\n", ""))
        self.server.answers["DELETE /v1/dialogs/bb01"] = (200, {"id": "bb01", "caller": 200, "callee": 408})
        ran = self.rvoip("dialog", "end", "bb01", "--json")
        self.assertEqual((ran.status, ran.json["callee"]), (1, 408))

    def test_which(self) -> None:
        self.assertEqual(self.rvoip("dialog", "end", "aa").err, "2 calls begin with aa\n")
        ran = self.rvoip("dialog", "end", "cc")
        self.assertEqual((ran.status, self.server.asked[-1]), (1, "DELETE /v1/dialogs/cc"))


class GatewayTests(Case):
    host = "127.21.6.6"

    def test_list(self) -> None:
        self.server.answers["GET /v1/gateways"] = (
            200,
            {"gateways": [GATEWAY, {**GATEWAY, "limit": 0, "latency": None}]},
        )
        lines = self.rvoip("gateway", "list").out.splitlines()
        self.assertEqual(lines[1].split(), "pstn:a inactive 12s sip:192.0.2.9 4/30 12 ms 3".split())
        self.assertEqual(lines[2].split(), "pstn:a inactive 12s sip:192.0.2.9 4 - 3".split())
        self.assertEqual(self.rvoip("gateway", "list", "--json").json[0], GATEWAY)

    def test_set(self) -> None:
        self.server.answers["PUT /v1/gateways/pstn%3Aa"] = (200, {**GATEWAY, "state": "disabled"})
        self.assertEqual(self.rvoip("gateway", "set", "pstn:a", "disabled"), (0, "pstn:a is disabled\n", ""))
        self.assertEqual(self.server.bodies[-1], b'{"state": "disabled"}')
        self.assertEqual(self.rvoip("gateway", "set", "pstn:a", "gone").status, 2)
        self.assertEqual(self.rvoip("gateway", "set", "nobody", "active").status, 1)
