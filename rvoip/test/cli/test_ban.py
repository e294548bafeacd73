"""`rvoip ban`, against a server that gives fixed answers."""

from __future__ import annotations

from rvoip.test.cli.test_dialog import Case

BANS = [{"source": "192.0.2.66", "left": 61.2}, {"source": "2001:db8::/64", "left": 600.0}]


class BanTests(Case):
    host = "127.21.6.27"

    def test_list(self) -> None:
        self.server.answers["GET /v1/bans"] = (200, {"bans": BANS})
        self.assertEqual(
            self.rvoip("ban", "list"),
            (0, "SOURCE         LEFT\n192.0.2.66     1m 1s\n2001:db8::/64  10m 0s\n", ""),
        )
        self.assertEqual(self.rvoip("ban", "list", "--json").json, BANS)

    def test_remove(self) -> None:
        self.server.answers["DELETE /v1/bans/192.0.2.66"] = (204, None)
        self.server.answers["DELETE /v1/bans/2001%3Adb8%3A%3A%2F64"] = (204, None)
        self.assertEqual(self.rvoip("ban", "remove", "192.0.2.66"), (0, "192.0.2.66 is heard again\n", ""))
        self.assertEqual(self.rvoip("ban", "remove", "2001:db8::/64").status, 0)
        ran = self.rvoip("ban", "remove", "192.0.2.66", "--json")
        self.assertEqual(ran.json, {"source": "192.0.2.66", "result": "removed"})

    def test_what_the_server_refuses(self) -> None:
        problem = {"title": "Not Found", "status": 404, "detail": "192.0.2.67 is not banned"}
        self.server.answers["DELETE /v1/bans/192.0.2.67"] = (404, problem)
        ran = self.rvoip("ban", "remove", "192.0.2.67")
        self.assertEqual((ran.status, ran.out), (1, ""))
        self.assertIn("192.0.2.67 is not banned", ran.err)
