"""`rvoip apikey`, on real stores in files."""

from __future__ import annotations

import time
from pathlib import Path

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import Ran, run
from rvoip.users.accounts import Account
from rvoip.users.store import UserStore


class APIKeyTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.config = str(self.folder / "rvoip.toml")
        Path(self.config).write_text('[users]\nstore = "sqlite:accounts.db"\n', encoding="utf-8")
        self.url = f"sqlite:{self.folder / 'accounts.db'}"

    def apikey(self, *arguments: str) -> Ran:
        return run("apikey", *arguments, "--config", self.config)

    def test_add(self) -> None:
        """The first one is told to close the API; each works at once."""
        status, out, err = self.apikey("add", "grafana", "--scope", "operations:read", "--scope", "users:*")
        key, note = out.splitlines()
        self.assertEqual((status, err), (0, ""))
        self.assertIn("the API asks each caller", note)
        second = self.apikey("add", "everything")
        self.assertEqual(len(second.out.splitlines()), 1)
        with UserStore(self.url) as store:
            found, other = store.find_key(key), store.find_key(second.out.strip())
        assert found is not None and other is not None
        self.assertEqual((found.name, sorted(found.scopes)), ("grafana", ["operations:read", "users:*"]))
        self.assertEqual((other.scopes, other.expires), (frozenset("*"), 0.0))

    def test_owner_and_time(self) -> None:
        with UserStore(self.url) as store:
            store.add(Account.of("alice@example.test"), "secret")
        made = self.apikey("add", "x", "--owner", "alice@example.test", "--expires", "30d", "--json").json
        self.assertEqual(made["record"]["owner"], "alice@example.test")
        self.assertTrue(abs(made["record"]["expires"] - time.time() - 30 * 86400) < 60.0)
        self.assertRegex(made["key"], r"^rvk_[0-9a-f]{12}_")
        unknown = self.apikey("add", "x", "--owner", "bob@example.test")
        self.assertEqual((unknown.status, unknown.err), (1, "there is no account bob@example.test\n"))

    def test_list_and_revoke(self) -> None:
        first = self.apikey("add", "one").out.split()[0]
        self.apikey("add", "two", "--expires", "1h", "--scope", "keys:read")
        self.assertEqual([one["name"] for one in self.apikey("list", "--json").json], ["one", "two"])
        lines = self.apikey("list").out.splitlines()
        self.assertEqual(lines[0].split(), "PREFIX NAME SCOPES OWNER CREATED EXPIRES LAST USED".split())
        self.assertRegex(lines[1], r"^rvk_[0-9a-f]{12}  one   \*          -      .*  never +never$")
        self.assertNotIn(first, "".join(lines))
        prefix = first[: len("rvk_") + 12]
        self.assertEqual(self.apikey("revoke", prefix), (0, f"revoked {prefix} (one)\n", ""))
        with UserStore(self.url) as store:
            self.assertIsNone(store.find_key(first))
        self.assertEqual(self.apikey("revoke", prefix), (1, "", f"there is no API key {prefix}\n"))

    def test_mistakes(self) -> None:
        self.assertEqual(self.apikey("list").status, 1)
        for arguments in (
            ("add", "x", "--scope", "everything"),
            ("add", "x", "--expires", "0d"),
            ("add", "x", "--expires", "1_0d"),
            ("add", "x", "--expires", "soon"),
            ("add",),
            ("revoke",),
        ):
            ran = self.apikey(*arguments)
            self.assertEqual((ran.status, ran.err.count("\n")), (2, 1), arguments)
        self.assertEqual(self.apikey("add", "a\nb").status, 1)
