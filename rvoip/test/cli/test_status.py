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
                "transactions  4\n"
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
