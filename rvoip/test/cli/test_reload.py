"""`rvoip reload`, against a server that gives fixed answers."""

from __future__ import annotations

from rvoip.test.cli.test_dialog import Case


class ReloadTests(Case):
    host = "127.21.6.28"

    def answers(self, status: int, body: object) -> None:
        self.server.answers["POST /v1/reload"] = (status, body)

    def test_it_was_taken(self) -> None:
        self.answers(200, {"file": "rvoip.toml", "restart": []})
        self.assertEqual(self.rvoip("reload"), (0, "rvoip.toml: reloaded\n", ""))

    def test_keys_that_take_a_restart(self) -> None:
        self.answers(200, {"file": "rvoip.toml", "restart": ["sip.listen", "users.store"]})
        ran = self.rvoip("reload")
        self.assertEqual((ran.status, ran.err), (0, ""))
        self.assertIn("in force only after a restart: sip.listen, users.store", ran.out)
        self.assertEqual(self.rvoip("reload", "--json").json["restart"], ["sip.listen", "users.store"])

    def test_a_broken_one(self) -> None:
        self.answers(409, {"title": "Conflict", "status": 409, "detail": "rvoip.toml: sip.port: unknown key"})
        ran = self.rvoip("reload")
        self.assertEqual((ran.status, ran.out), (1, ""))
        self.assertIn("rvoip.toml: sip.port: unknown key", ran.err)
        self.assertEqual(ran.err.count("\n"), 1)
