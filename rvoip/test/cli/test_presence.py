"""`rvoip presence`, against a server that gives fixed answers."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import FakeServer, Ran, run

WATCHER = {
    "id": "x",
    "package": "dialog",
    "user": "bob@example.test",
    "watcher": "alice@example.test",
    "state": "active",
    "expires": 65,
}
BOB = {
    "user": "bob@example.test",
    "calls": 1,
    "rules": [
        {"watcher": "*", "decision": "deny", "configured": True},
        {"watcher": "alice@example.test", "decision": "allow", "configured": False},
    ],
    "mailbox": "Messages-Waiting: yes\r\nVoice-Message: 2/5\r\n",
    "publications": [
        {
            "package": "presence",
            "content_type": "",
            "body": "",
            "expires": 59,
            "publisher": "bob@example.test",
        }
    ],
}


class PresenceTests(TestCase):
    def setUp(self) -> None:
        self.server = FakeServer("127.21.6.9", {})
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def rvoip(self, *arguments: str) -> Ran:
        return run("presence", *arguments, "--url", self.server.url)

    def test_lists(self) -> None:
        team = {"name": "team@x", "owner": "a@x", "members": ["b@x", "c@x"], "title": "", "configured": True}
        for owner, query in (("", "limit=1000"), ("a@x", "owner=a%40x&limit=1000")):
            self.server.answers[f"GET /v1/lists?{query}"] = (200, {"lists": [team], "total": 1})
            lines = self.rvoip("lists", *filter(None, [owner])).out.splitlines()
            self.assertEqual(lines[1].split(), "team@x a@x b@x c@x configuration".split())
        self.assertEqual(self.rvoip("lists", "--json").json, [team])
        self.server.answers["PUT /v1/lists/team@x"] = (204, None)
        self.server.answers["DELETE /v1/lists/team@x"] = (204, None)
        self.assertEqual(self.rvoip("list", "team@x", "a@x", "b@x", "c@x"), (0, "team@x: b@x c@x\n", ""))
        self.assertEqual(self.rvoip("unlist", "team@x"), (0, "team@x: no list\n", ""))
        self.assertEqual(self.rvoip("list", "team@x", "a@x").status, 2)

    def test_watchers(self) -> None:
        for user, query in (("", "limit=1000"), ("bob@example.test", "user=bob%40example.test&limit=1000")):
            self.server.answers[f"GET /v1/subscriptions?{query}"] = (
                200,
                {"subscriptions": [WATCHER], "total": 1},
            )
            lines = self.rvoip("watchers", *filter(None, [user])).out.splitlines()
            self.assertEqual(
                lines[1].split(), "alice@example.test bob@example.test dialog active 1m 5s".split()
            )
        self.assertEqual(self.rvoip("watchers", "--json").json, [WATCHER])

    def test_show(self) -> None:
        self.server.answers["GET /v1/presence/bob@example.test"] = (200, BOB)
        self.assertEqual(
            self.rvoip("show", "bob@example.test").out.splitlines(),
            [
                "calls: 1",
                "rule: * deny (configuration)",
                "rule: alice@example.test allow",
                "mailbox: Messages-Waiting: yes",
                "mailbox: Voice-Message: 2/5",
                "published: presence by bob@example.test, 59s left",
            ],
        )
        self.assertEqual(self.rvoip("show", "bob@example.test", "--json").json, BOB)
        self.assertEqual(self.rvoip("show", "carol@example.test").status, 1)

    def test_rules(self) -> None:
        place = "/v1/presence/bob@example.test/rules/%2A@example.test"
        self.server.answers[f"PUT {place}"] = self.server.answers[f"DELETE {place}"] = (204, b"")
        who = ("bob@example.test", "*@example.test")
        self.assertEqual(self.rvoip("rule", *who, "polite"), (0, "*@example.test: polite\n", ""))
        self.assertEqual(json.loads(self.server.bodies[-1]), {"decision": "polite"})
        self.assertEqual(self.rvoip("unrule", *who), (0, "*@example.test: no rule\n", ""))
        self.assertEqual(self.server.asked[-1], f"DELETE {place}")
        self.assertEqual(self.rvoip("rule", *who, "perhaps").status, 2)

    def test_mailbox(self) -> None:
        self.server.answers["PUT /v1/presence/bob@example.test/mailbox"] = (204, b"")
        ran = self.rvoip("mailbox", "bob@example.test", "2")
        self.assertEqual(ran, (0, "bob@example.test: 2 new, 0 old\n", ""))
        self.assertEqual(json.loads(self.server.bodies[-1]), {"new": 2, "old": 0})
        self.assertEqual(self.rvoip("mailbox", "bob@example.test", "2", "3", "--json").json, {})
