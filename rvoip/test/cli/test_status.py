"""`rvoip status`: what it shows of a server's state, and its exit status."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import FakeServer, Ran, run

STATUS: dict[str, Any] = {
    "role": "proxy",
    "version": "0.1.0",
    "started": 1000.0,
    "uptime": 3723.4,
    "listeners": ["udp:127.0.0.1:5060", "tls:127.0.0.1:5061"],
    "domains": ["example.test"],
    "aors": 2,
    "bindings": 3,
    "transactions": 4,
    "dialogs": 6,
    "gateways": {"active": 2, "inactive": 1, "disabled": 0},
    "connections": 1,
    "calls": 5,
    "lag": 0.00123,
}
READY = {"status": "ready", "checks": {"location": "ok"}}


class StatusTests(TestCase):
    """One look, and many."""

    def setUp(self) -> None:
        self.server = FakeServer("127.21.6.3", {"GET /health": (200, READY), "GET /v1/status": (200, STATUS)})
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def status(self, *arguments: str) -> Ran:
        return run("status", "--url", self.server.url, *arguments)

    def test_text(self) -> None:
        self.assertEqual(
            self.status(),
            (
                0,
                "role          proxy 0.1.0\n"
                "health        ready\n"
                "uptime        1h 2m\n"
                "listening     udp:127.0.0.1:5060, tls:127.0.0.1:5061\n"
                "domains       example.test\n"
                "bindings      3 of 2 addresses-of-record\n"
                "dialogs       6\n"
                "transactions  4\n"
                "gateways      2 active, 1 inactive\n"
                "connections   1\n"
                "traced calls  5\n"
                "lag           1.2 ms\n",
                "",
            ),
        )

    def test_json(self) -> None:
        self.assertEqual(self.status("--json").json, {**STATUS, "health": READY})

    def test_what_is_not_well_is_named_and_is_status_1(self) -> None:
        self.server.answers["GET /health"] = (
            503,
            {"status": "failing", "checks": {"location": "the disk is full", "lag": "ok"}},
        )
        ran = self.status()
        self.assertEqual(ran.status, 1)
        self.assertIn("health        failing\n  location    the disk is full\nuptime", ran.out)
        ran = self.status("--json")
        self.assertEqual((ran.status, ran.json["health"]["status"]), (1, "failing"))

    def test_a_server_of_something_else(self) -> None:
        bodies: list[Any] = [b"hello", [], {"status": "ready"}]
        for body in bodies:
            self.server.answers["GET /health"] = (200, body)
            self.assertEqual(self.status(), (1, "", "the answer to /health is none of rvoip's\n"))

    def test_watch_goes_on_until_it_is_interrupted(self) -> None:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                raise KeyboardInterrupt

        self.patch(time, "sleep", sleep)
        ran = self.status("--watch", "--interval", "0.5")
        self.assertEqual((ran.status, slept), (130, [0.5] * 3))
        self.assertEqual(ran.out.count("role  "), 3)
        self.assertNotIn("\x1b", ran.out)

    def test_watch_clears_a_terminal(self) -> None:
        with mock.patch.object(time, "sleep", side_effect=[None, KeyboardInterrupt]):
            ran = run("status", "--url", self.server.url, "--watch", terminal=True)
        self.assertEqual((ran.status, ran.out.count("\x1b[H\x1b[2Jrole ")), (130, 2))


TRANSACTION = {
    "kind": "server",
    "method": "INVITE",
    "uri": "sip:bob@example.test",
    "call_id": "c1",
    "state": "Proceeding",
    "status": 0,
    "transport": "UDP",
    "peer": "192.0.2.1:5060",
}


class ListTests(TestCase):
    """What the server is at."""

    def setUp(self) -> None:
        self.server = FakeServer(
            "127.21.6.4", {"GET /v1/transactions?limit=1000": (200, {"transactions": [TRANSACTION]})}
        )
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def status(self, *arguments: str) -> Ran:
        return run("status", *arguments, "--url", self.server.url)

    def test_transactions(self) -> None:
        lines = self.status("transactions").out.splitlines()
        self.assertEqual(lines[0].split(), "KIND METHOD STATE STATUS PEER URI CALL-ID".split())
        self.assertEqual(
            lines[1].split(),
            ["server", "INVITE", "Proceeding", "-", "udp:192.0.2.1:5060", "sip:bob@example.test", "c1"],
        )
        self.assertEqual(self.status("transactions", "--json").json, [TRANSACTION])

    def test_others(self) -> None:
        """Each list asks for its own."""
        self.server.answers.update(
            {
                "GET /v1/dialogs?limit=1000": (200, {"dialogs": [], "total": 0}),
                "GET /v1/gateways": (200, {"gateways": []}),
                "GET /v1/bindings?limit=500": (200, {"bindings": [], "next": ""}),
            }
        )
        for what in ("dialogs", "gateways", "bindings"):
            ran = self.status(what)
            self.assertEqual((ran.status, ran.err, len(ran.out.splitlines())), (0, "", 1), what)
        self.assertEqual(self.status("nonsense").status, 2)
