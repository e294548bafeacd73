"""`rvoip ladder`: which call is meant, and what is shown of it."""

from __future__ import annotations

import os
import time
from typing import Any
from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import FakeServer, Ran, run
from rvoip.trace.ladder import draw
from rvoip.trace.ring import LadderMessage

ALICE, PROXY, BOB = "192.0.2.1:5060", "192.0.2.10:5060", "192.0.2.2:5060"


def message(at: float, source: str, destination: str, summary: str, text: str = "") -> LadderMessage:
    return LadderMessage(
        at=at,
        direction="in" if destination == PROXY else "out",
        transport="UDP",
        source=source,
        destination=destination,
        size=len(text or summary),
        summary=summary,
        text=text or f"{summary}\r\n\r\n",
    )


MESSAGES = [
    message(
        1000.0, ALICE, PROXY, "INVITE", "INVITE sip:bob@example.test SIP/2.0\r\nSubject: \x1b[2J\r\n\r\nv=0"
    ),
    message(1000.1, PROXY, BOB, "INVITE"),
    message(1000.2, BOB, PROXY, "200 OK (INVITE)"),
]


def call(call_id: str, started: float = 1000.0) -> dict[str, Any]:
    return {
        "call_id": call_id,
        "from": "sip:alice@example.test",
        "to": "sip:bob@example.test",
        "started": started,
        "messages": 3,
        "status": 200,
    }


class LadderTests(TestCase):
    """Listing, choosing, drawing."""

    def setUp(self) -> None:
        calls = [call("abc1@x", 2000.0), call("abc2@x"), call("def/1")]
        self.server = FakeServer(
            "127.21.6.4",
            {
                "GET /v1/ladders?limit=20": (200, {"calls": calls}),
                "GET /v1/ladders?limit=1": (200, {"calls": calls[:1]}),
                "GET /v1/ladders?limit=1000": (200, {"calls": calls}),
                **{
                    f"GET /v1/ladders/{name}": (
                        200,
                        {"call_id": name.replace("%2F", "/"), "messages": MESSAGES, "left_out": 0},
                    )
                    for name in ("abc1@x", "abc2@x", "def%2F1")
                },
            },
        )
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def ladder(self, *arguments: str) -> Ran:
        with mock.patch.dict(os.environ, {"COLUMNS": "100"}):
            return run("ladder", *arguments, "--url", self.server.url)

    def test_list(self) -> None:
        status, out, err = self.ladder()
        self.assertEqual((status, err), (0, ""))
        listed, _, drawn = out.partition("\n\n")
        header, first, *rest = listed.splitlines()
        self.assertEqual(header.split(), ["CALL-ID", "FROM", "TO", "STATUS", "MESSAGES", "STARTED"])
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(2000))
        self.assertEqual(
            first.split(),
            ["abc1@x", "sip:alice@example.test", "sip:bob@example.test", "200", "3", *started.split()],
        )
        self.assertEqual(len(rest), 2)
        self.assertEqual(drawn, f"abc1@x\n\n{draw(MESSAGES, 100)}")
        self.assertEqual(
            [each["call_id"] for each in self.ladder("--json").json], ["abc1@x", "abc2@x", "def/1"]
        )
        self.assertEqual([each["call_id"] for each in self.ladder("--json", "--limit", "1").json], ["abc1@x"])

    def test_draw(self) -> None:
        ran = self.ladder("abc2@x", "--width", "80")
        self.assertEqual(ran, (0, "abc2@x\n\n" + draw(MESSAGES, 80), ""))
        for words in ("INVITE", "200 OK", "192.0.2.1", "192.0.2.10", "192.0.2.2"):
            self.assertIn(words, ran.out)

    def test_the_last_one(self) -> None:
        self.assertTrue(self.ladder("--last").out.startswith("abc1@x\n"))
        self.server.answers["GET /v1/ladders?limit=1000"] = (200, {"calls": []})
        self.assertEqual(self.ladder("--last"), (1, "", "the server has seen no call yet\n"))

    def test_no_calls_are_an_empty_list(self) -> None:
        self.server.answers["GET /v1/ladders?limit=20"] = (200, {"calls": []})
        self.assertEqual(self.ladder(), (0, "CALL-ID  FROM  TO  STATUS  MESSAGES  STARTED\n", ""))
        self.assertEqual(self.ladder("--json").json, [])

    def test_a_call_id_may_be_cut_short(self) -> None:
        self.assertTrue(self.ladder("de").out.startswith("def/1\n"))
        self.assertEqual(self.ladder("abc"), (1, "", "2 Call-IDs begin with abc\n"))
        self.server.answers["GET /v1/ladders?limit=1000"] = (
            200,
            {"calls": [call("abc1@x"), call("abc1@xy")]},
        )
        self.assertTrue(self.ladder("abc1@x").out.startswith("abc1@x\n"))

    def test_an_unknown_call(self) -> None:
        ran = self.ladder("ghi\x1b")
        self.assertEqual((ran.status, ran.out), (1, ""))
        self.assertIn("nothing at /v1/ladders/ghi%1B (404)", ran.err)

    def test_json(self) -> None:
        self.assertEqual(self.ladder("--last", "--json").json["messages"], MESSAGES)

    def test_full_prints_the_messages_and_nothing_that_drives_a_terminal(self) -> None:
        out = self.ladder("--last", "--full").out
        self.assertIn(
            f"UDP {ALICE} -> {PROXY}\nINVITE sip:bob@example.test SIP/2.0\nSubject: \\x1b[2J\n\nv=0\n", out
        )
        self.assertEqual(out.count("\n--- "), 3)

    def test_what_is_missing_is_said(self) -> None:
        self.server.answers["GET /v1/ladders/abc1@x"] = (
            200,
            {"call_id": "abc1@x", "messages": MESSAGES, "left_out": 12},
        )
        self.assertTrue(self.ladder("--last").out.endswith("12 messages in the middle were not kept\n"))

    def test_numbers(self) -> None:
        for option, value in [
            ("--limit", "0"),
            ("--limit", "1001"),
            ("--limit", "\u0661"),
            ("--width", "39"),
        ]:
            ran = self.ladder(option, value)
            self.assertEqual(ran.status, 2)
            self.assertIn(f"argument {option}: {value} is no number from ", ran.err)
