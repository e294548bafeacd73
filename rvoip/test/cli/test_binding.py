"""`rvoip binding`: what it asks of a server and what it shows."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import FakeServer, Ran, run


def binding(aor: str, name: str, contact: str, **more: Any) -> dict[str, Any]:
    return {
        "aor": aor,
        "id": name,
        "contact": contact,
        "expires": 3599,
        "q": 0.5,
        "user_agent": "phone/1",
        **more,
    }


HOME = binding("alice@example.test", "0a", "sip:alice@192.0.2.1:5060")
DESK = binding("alice@example.test", "0b", "sip:alice@192.0.2.2:5060;transport=tcp", user_agent="\x1b[2J")
BOB = binding("bob@example.test", "0c", "sip:bob@192.0.2.3", q=1.0)


class BindingTests(TestCase):
    """Listing and removing."""

    def setUp(self) -> None:
        self.server = FakeServer(
            "127.21.6.2",
            {
                "GET /v1/bindings?limit=500": (200, {"bindings": [HOME, DESK], "next": "alice@example.test"}),
                "GET /v1/bindings?after=alice%40example.test&limit=500": (
                    200,
                    {"bindings": [BOB], "next": ""},
                ),
                "GET /v1/bindings/alice@example.test": (
                    200,
                    {"aor": "alice@example.test", "bindings": [HOME, DESK]},
                ),
                "DELETE /v1/bindings/alice@example.test": (204, b""),
                "DELETE /v1/bindings/alice@example.test/0b": (204, b""),
            },
        )
        serving = self.server.serving()
        serving.__enter__()
        self.addCleanup(serving.__exit__, None, None, None)

    def binding(self, *arguments: str) -> Ran:
        return run("binding", *arguments, "--url", self.server.url)

    def removed(self) -> list[str]:
        return [asked for asked in self.server.asked if asked.startswith("DELETE")]

    def test_list_all(self) -> None:
        self.assertEqual(
            self.binding("list"),
            (
                0,
                "AOR                 CONTACT                                 EXPIRES  Q    ID  USER AGENT\n"
                "alice@example.test  sip:alice@192.0.2.1:5060                59m 59s  0.5  0a  phone/1\n"
                "alice@example.test  sip:alice@192.0.2.2:5060;transport=tcp  59m 59s  0.5  0b  \\x1b[2J\n"
                "bob@example.test    sip:bob@192.0.2.3                       59m 59s  1    0c  phone/1\n",
                "",
            ),
        )

    def test_list_one(self) -> None:
        self.assertEqual(self.binding("list", "alice@example.test", "--json").json, [HOME, DESK])
        self.assertEqual(self.binding("list", "--json").json, [HOME, DESK, BOB])

    def test_nobody_is_no_error(self) -> None:
        self.assertEqual(self.binding("list", "carol@example.test", "--json").json, [])
        self.assertEqual(len(self.binding("list", "carol@example.test").out.splitlines()), 1)

    def test_remove_all(self) -> None:
        ran = self.binding("remove", "alice@example.test")
        self.assertEqual(
            ran,
            (
                0,
                "removed sip:alice@192.0.2.1:5060 of alice@example.test\n"
                "removed sip:alice@192.0.2.2:5060;transport=tcp of alice@example.test\n",
                "",
            ),
        )
        self.assertEqual(self.removed(), ["DELETE /v1/bindings/alice@example.test"])

    def test_remove_one_by_uri_or_id(self) -> None:
        for contact in (DESK["contact"], "0b"):
            self.server.asked.clear()
            ran = self.binding("remove", "alice@example.test", contact, "--json")
            self.assertEqual((ran.status, ran.json), (0, [DESK]))
            self.assertEqual(self.removed(), ["DELETE /v1/bindings/alice@example.test/0b"])

    def test_remove_what_is_not_there(self) -> None:
        self.assertEqual(
            self.binding("remove", "carol@example.test"), (1, "", "carol@example.test has no contacts\n")
        )
        self.assertEqual(
            self.binding("remove", "alice@example.test", "sip:x"),
            (1, "", "alice@example.test has no contact sip:x\n"),
        )
        self.assertEqual(self.removed(), [])
