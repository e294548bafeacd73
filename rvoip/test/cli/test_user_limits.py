"""`rvoip user limits`: what is special about an account."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import Ran, run
from rvoip.users.limits import AccountLimits
from rvoip.users.store import UserStore

CONFIG = """
[users]
store = "sqlite:accounts.db"
[[proxy.limits.class]]
name = "premium"
prefix = "+49900"
[[proxy.limits.group]]
name = "sales"
"""
ALICE = "alice@example.test"


class UserLimitsTests(TestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.store = f"sqlite:{folder / 'accounts.db'}"
        self.config = str(folder / "rvoip.toml")
        Path(self.config).write_text(CONFIG, encoding="utf-8")
        run("user", "add", ALICE, "--password-stdin", "--config", self.config, stdin=b"secret\n")

    def limits(self, *arguments: str, aor: str = ALICE) -> Ran:
        return run("user", "limits", aor, *arguments, "--config", self.config)

    def kept(self) -> AccountLimits:
        with UserStore(self.store) as store:
            return store.limits.get(ALICE)

    def test_nothing_is_special(self) -> None:
        self.assertEqual(self.limits(), (0, f"{ALICE} has the limits of the configuration\n", ""))
        status, out, _ = self.limits("--json")
        self.assertEqual(status, 0)
        shown = json.loads(out)
        self.assertEqual(shown.pop("aor"), ALICE)
        self.assertEqual(set(shown.values()), {None})

    def test_changes_add_up(self) -> None:
        status, out, _ = self.limits("--calls", "3", "--calls-a-day", "0", "--allow", "premium, other")
        self.assertEqual((status, out), (0, "calls: 3\ncalls_a_day: 0\nallow: other, premium\n"))
        self.limits("--calls", "default", "--group", "sales", "--minutes-a-day", "60")
        expected = AccountLimits(None, None, 0, 60, frozenset({"premium", "other"}), "sales")
        self.assertEqual(self.kept(), expected)
        self.limits("--allow", "", "--group", "default", "--calls-a-minute", "5")
        self.assertEqual(self.kept(), AccountLimits(None, 5, 0, 60, frozenset(), None))
        self.assertIn("allow: none\n", self.limits()[1])
        self.limits("--reset", "--calls", "1")
        self.assertEqual(self.kept(), AccountLimits(calls=1))
        self.limits("--calls", "default")
        self.assertTrue(self.kept().is_empty)

    def test_mistakes_change_nothing(self) -> None:
        for arguments, said in (
            (("--calls", "-1"), "is no number"),
            (("--calls", "many"), "is no number"),
            (("--calls", "\u0663"), "is no number"),
            (("--calls", "9999999"), "is no limit"),
            (("--allow", "mobile"), "there is no class 'mobile'; there are other, premium"),
            (("--allow", "a b"), "is no name"),
            (("--group", "nobody"), "there is no group 'nobody'; there are sales"),
        ):
            status, out, err = self.limits(*arguments)
            self.assertEqual((status, out), (1, ""), arguments)
            self.assertIn(said, err)
            self.assertTrue(self.kept().is_empty)

    def test_no_such_account(self) -> None:
        self.assertEqual(self.limits(aor="bob@example.test")[2], "there is no account bob@example.test\n")
        self.assertEqual(self.limits(aor="bob")[0], 1)

    def test_they_go_with_the_account(self) -> None:
        self.limits("--calls", "1")
        with UserStore(self.store) as store:
            store.remove(ALICE)
            self.assertEqual(store.limits.all(), {})
