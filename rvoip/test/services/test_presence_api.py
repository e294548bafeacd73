"""Presence by HTTP: subscriptions, rules, lists and mailboxes, and what is counted of them."""

from __future__ import annotations

from rvoip.test.services.watching import PIDF, WatchingCase, pidf


class PresenceAPITests(WatchingCase):
    def put(self, target: str, body: object) -> int:
        status = self.client.ask("PUT", target, body).status
        self.reactor.advance(2.0)
        return status

    def delete(self, target: str) -> int:
        status = self.client.ask("DELETE", target).status
        self.reactor.advance(2.0)
        return status

    def test_rules(self) -> None:
        self.start("policy = 'confirm'")
        alice, bob = self.phones("alice", "bob")
        self.publish(bob, pidf())
        watched = self.watch(alice)
        self.assertEqual(watched.states, ["pending"])
        (listed,) = self.client.ask("GET", "/v1/subscriptions").json["subscriptions"]
        self.assertEqual(
            [listed[name] for name in ("package", "user", "watcher", "state")],
            ["presence", "bob@example.test", "alice@example.test", "pending"],
        )
        rule = "/v1/presence/bob@example.test/rules/alice@example.test"
        self.assertEqual(self.put(rule, {"decision": "allow"}), 204)
        self.assertEqual(watched.states[-1], "active")
        self.assertIn("open", watched.bodies[-1])
        shown = self.client.ask("GET", "/v1/presence/bob").json
        self.assertEqual(
            shown["rules"], [{"watcher": "alice@example.test", "decision": "allow", "configured": False}]
        )
        self.assertIn("open", shown["publications"][0]["body"])
        self.assertEqual(self.put(rule, {"decision": "deny"}), 204)
        self.assertEqual(watched.states[-1], "terminated;reason=rejected")
        self.assertEqual([self.delete(rule), self.delete(rule)], [204, 404])
        self.assertEqual(self.watch(alice).states, ["pending"])
        self.assertEqual(self.put("/v1/presence/bob/rules/*@example.test", {"decision": "polite"}), 204)
        self.assertEqual(self.put("/v1/presence/bob/rules/*", {"decision": "maybe"}), 400)
        self.assertEqual(self.put("/v1/presence/bob/rules/a%20b", {"decision": "deny"}), 400)
        self.assertEqual(self.put("/v1/presence/bbo/rules/*", {"decision": "deny"}), 404)
        self.assertEqual(self.client.ask("GET", "/v1/presence/bbo").json["rules"], [])
        found = self.client.ask("GET", "/v1/subscriptions?user=carol").json
        self.assertEqual((found["subscriptions"], found["total"]), ([], 1))

    def test_what_the_configuration_says(self) -> None:
        self.start(
            "[[presence.rule]]\nuser = 'bob'\nwatcher = '*'\ndecision = 'deny'\n"
            "[[presence.list]]\nname = 'team'\nowner = 'alice'\nmembers = ['bob']\n"
        )
        rule = "/v1/presence/bob@example.test/rules/*"
        self.assertEqual([self.put(rule, {"decision": "allow"}), self.delete(rule)], [409, 409])
        self.assertTrue(self.client.ask("GET", "/v1/presence/bob").json["rules"][0]["configured"])
        team = "/v1/lists/team@example.test"
        self.assertEqual([self.put(team, {"owner": "bob", "members": []}), self.delete(team)], [409, 409])
        self.assertEqual(self.client.ask("GET", team).json["members"], ["bob@example.test"])

    def test_all_lists(self) -> None:
        self.start("[[presence.list]]\nname = 'team'\nowner = 'alice'\nmembers = ['bob']\n")
        self.assertEqual(self.put("/v1/lists/desk@example.test", {"owner": "bob", "members": ["alice"]}), 204)
        found = self.client.ask("GET", "/v1/lists").json
        shown = [(one["name"], one["owner"], one["configured"]) for one in found["lists"]]
        desk = ("desk@example.test", "bob@example.test", False)
        team = ("team@example.test", "alice@example.test", True)
        self.assertEqual((shown, found["total"]), ([desk, team], 2))
        for query, names in (("?owner=alice", ["team@example.test"]), ("?limit=1", ["desk@example.test"])):
            found = self.client.ask("GET", "/v1/lists" + query).json
            self.assertEqual([one["name"] for one in found["lists"]], names)
        self.assertEqual(self.client.ask("GET", "/v1/lists?owner=%20").status, 400)

    def test_mailboxes(self) -> None:
        store = f"sqlite:{self.folder}/presence.db"
        role = self.start(store=store)
        (alice,) = self.phones("alice")
        watched = self.watch(alice, "sip:alice@example.test", "message-summary")
        self.assertIn("Messages-Waiting: no", watched.bodies[-1])
        box = "/v1/presence/alice@example.test/mailbox"
        self.assertEqual(self.put(box, {"new": 2, "old": 5, "account": "sip:voice@example.test"}), 204)
        self.assertIn("Messages-Waiting: yes\r\n", watched.bodies[-1])
        self.assertIn("Voice-Message: 2/5", watched.bodies[-1])
        self.assertEqual(self.put(box, {"new": -1}), 400)
        self.assertEqual(self.put("/v1/presence/alcie@example.test/mailbox", {"new": 1}), 404)
        self.assertEqual(self.client.ask("GET", "/v1/presence/alcie").json["mailbox"], "")
        self.assertEqual(self.put(box, {"new": 1, "account": "a\r\nb"}), 400)
        self.reactor.result_of(role.stopService())
        self.role = self.run_role(f"[registrar]\n[presence]\nstore = '{store}'\n")
        shown = self.client.ask("GET", "/v1/presence/alice").json
        self.assertIn("Voice-Message: 2/5", shown["mailbox"])
        self.assertEqual(self.delete(box), 204)
        self.assertEqual(self.client.ask("GET", "/v1/presence/alice").json["mailbox"], "")

    def test_lists(self) -> None:
        self.start("max_members = 2")
        alice, _ = self.phones("alice", "bob")
        team = "/v1/lists/team@example.test"
        self.assertEqual(self.put(team, {"owner": "alice", "members": ["bob", "bob", "x@else.test"]}), 400)
        self.assertEqual(self.put(team, {"owner": "alice", "members": ["bob"], "title": "Us"}), 204)
        extended = [
            ("Supported", "eventlist"),
            ("Accept", f"{PIDF}, application/rlmi+xml, multipart/related"),
        ]
        watched = self.watch(alice, "sip:team@example.test", headers=extended)
        self.assertIn("Us", watched.bodies[-1])
        self.assertEqual(self.put(team, {"owner": "alice", "members": ["bob", "carol"]}), 204)
        self.assertIn("carol", watched.bodies[-1])
        self.assertEqual([self.delete(team), self.delete(team)], [204, 404])
        self.assertEqual(watched.states[-1], "terminated;reason=noresource")
        self.assertEqual(self.client.ask("GET", team).status, 404)

    def test_without_presence(self) -> None:
        self.run_role("[registrar]\n")
        self.assertEqual(self.client.ask("GET", "/v1/presence/bob").status, 404)
        self.assertEqual(self.client.ask("GET", "/v1/subscriptions").json["total"], 0)

    def test_metrics_and_health(self) -> None:
        self.start()
        alice, bob = self.phones("alice", "bob")
        self.watch(alice)
        self.publish(bob, pidf())
        text = self.client.ask("GET", "/metrics").body.decode()
        for line in (
            'rvoip_proxy_subscriptions{package="presence",state="active"} 1.0',
            "rvoip_proxy_publications 1.0",
            'rvoip_proxy_publish_responses_total{status="200"} 1.0',
            "rvoip_proxy_notifications_total 2.0",
        ):
            self.assertIn(line, text)
        self.assertIn("presence", self.client.ask("GET", "/health").body.decode())
