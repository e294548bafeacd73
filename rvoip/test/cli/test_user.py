"""`rvoip user`, on real stores in files."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import TestCase

from rvoip.test.cli.running import Ran, run
from rvoip.users.passwords import ha1_set
from rvoip.users.store import UserStore


class UserTests(TestCase):
    """Each action, with and without what it needs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.config = str(self.folder / "rvoip.toml")
        Path(self.config).write_text('[users]\nstore = "sqlite:accounts.db"\n', encoding="utf-8")

    def user(self, *arguments: str, stdin: bytes = b"") -> Ran:
        return run("user", *arguments, "--config", self.config, stdin=stdin)

    def add(self, aor: str, password: bytes = b"secret\n") -> None:
        self.assertEqual(self.user("add", aor, "--password-stdin", stdin=password)[0], 0)

    def accepts(self, aor: str, password: str) -> bool:
        """Whether a phone with this password may register."""
        user, _, domain = aor.partition("@")
        with UserStore(f"sqlite:{self.folder / 'accounts.db'}") as store:
            found = store.find_credentials([(user, domain)])
        return found.get((user, domain)) == ha1_set(user, domain, password)

    def test_add(self) -> None:
        ran = self.user("add", "alice@Example.TEST", "--password-stdin", stdin=b"pa:ss w\xc3\xb6rd\n")
        self.assertEqual(ran, (0, "added alice@example.test\n", ""))
        self.assertTrue(self.accepts("alice@example.test", "pa:ss wörd"))

    def test_a_domain_that_is_not_served(self) -> None:
        Path(self.config).write_text(
            '[users]\nstore = "sqlite:accounts.db"\n[sip]\ndomains = ["Example.TEST."]\n', encoding="utf-8"
        )
        for aor, said in (
            ("alice@example.test", ""),
            (
                "alice@other.test",
                f"{self.config}: sip.domains does not name other.test, so no phone can use the account yet\n",
            ),
        ):
            ran = self.user("add", aor, "--password-stdin", stdin=b"secret\n")
            self.assertEqual(ran, (0, f"added {aor}\n", said))

    def test_accounts_that_are_elsewhere(self) -> None:
        """No phone can use what is added to the store; whoever adds it hears so."""
        Path(self.config).write_text(
            '[users]\nstore = "sqlite:accounts.db"\nsource = "ldaps://dir.example.test"\n'
            '[users.ldap]\nbase = "ou=x"\nclear_password = "p"\n[sip]\ndomains = ["example.test"]\n',
            encoding="utf-8",
        )
        said = f"{self.config}: users.source has the accounts of phones; those of the store are for the API\n"
        add = ("add", "alice@example.test", "--password-stdin")
        self.assertEqual(self.user(*add, stdin=b"x\n"), (0, "added alice@example.test\n", said))
        self.assertEqual(
            self.user("import", "-", stdin=b"b:example.test:x\n"),
            (0, "1 added, 0 changed, 0 unchanged\n", said),
        )
        for_the_api = ("add", "op@example.test", "--password-stdin", "--no-digest")
        self.assertEqual(self.user(*for_the_api, stdin=b"x\n"), (0, "added op@example.test\n", ""))

    def test_an_import_of_domains_that_are_not_served(self) -> None:
        """A line each."""
        Path(self.config).write_text(
            '[users]\nstore = "sqlite:accounts.db"\n[sip]\ndomains = ["example.test"]\n', encoding="utf-8"
        )
        lines = b"a:example.test:x\nb:Other.test:x\nc:other.test:x\n# d:gone.test:x\ne:a.test:x\n"
        unknown = "".join(
            f"{self.config}: sip.domains does not name {domain}, so no phone can use its accounts yet\n"
            for domain in ("a.test", "other.test")
        )
        for counts in ("4 added, 0 changed, 0 unchanged", "0 added, 0 changed, 4 unchanged"):
            self.assertEqual(self.user("import", "-", stdin=lines), (0, f"{counts}\n", unknown))

    def test_a_password_loses_one_line_end_and_nothing_else(self) -> None:
        for number, (given, kept) in enumerate(
            [(b"x", "x"), (b"x\n", "x"), (b"x\r\n", "x"), (b" x \n", " x ")]
        ):
            self.add(f"u{number}@example.test", given)
            self.assertTrue(self.accepts(f"u{number}@example.test", kept), given)

    def test_passwords_that_are_none(self) -> None:
        for given, reason in [
            (b"", "the password is empty"),
            (b"\n", "the password is empty"),
            (b"one\ntwo\n", "the password contains a control character"),
            (b"\xff\n", "the password is not UTF-8"),
            (b"x" * 5000, "the password has more than 256 characters"),
        ]:
            ran = self.user("add", "alice@example.test", "--password-stdin", stdin=given)
            self.assertEqual(ran, (1, "", f"{reason}\n"))
        self.assertEqual(self.user("list", "--json").json, [])

    def test_without_a_terminal_a_password_must_come_from_standard_input(self) -> None:
        ran = self.user("add", "alice@example.test", stdin=b"secret\n")
        self.assertEqual(ran.status, 1)
        self.assertIn("--password-stdin", ran.err)

    def test_a_terminal_is_asked_twice(self) -> None:
        answers = iter(["secret", "secret", "one", "two"])
        prompts: list[str] = []

        def ask(prompt: str) -> str:
            prompts.append(prompt)
            return next(answers)

        arguments = ("user", "add", "alice@example.test", "--config", self.config)
        with mock.patch("getpass.getpass", ask):
            self.assertEqual(run(*arguments, terminal=True), (0, "added alice@example.test\n", ""))
            self.assertEqual(run(*arguments, terminal=True), (1, "", "the two passwords differ\n"))
        self.assertEqual(prompts, ["Password of alice@example.test: ", "Once more: "] * 2)
        self.assertTrue(self.accepts("alice@example.test", "secret"))

    def test_accounts_that_are_none(self) -> None:
        for aor, reason in [
            ("alice", "'alice' is not of the form user@domain"),
            ("@example.test", "the user part is empty"),
            ("sip:alice@example.test", "write 'sip:alice@example.test' without the scheme, as user@domain"),
            ("alice@exa mple", "'exa mple' is not a domain name (letters, digits, hyphens and dots)"),
        ]:
            for action in ("add", "passwd", "remove"):
                options = () if action == "remove" else ("--password-stdin",)
                ran = self.user(action, aor, *options, stdin=b"secret\n")
                self.assertEqual(ran, (1, "", f"{reason}\n"))

    def test_an_account_is_added_once(self) -> None:
        self.add("alice@example.test")
        ran = self.user("add", "alice@example.test", "--password-stdin", stdin=b"other\n")
        self.assertEqual(ran, (1, "", "alice@example.test exists already\n"))
        self.assertTrue(self.accepts("alice@example.test", "secret"))

    def test_passwd(self) -> None:
        self.add("alice@example.test")
        ran = self.user("passwd", "alice@example.test", "--password-stdin", stdin=b"better\n")
        self.assertEqual(ran, (0, "changed the password of alice@example.test\n", ""))
        self.assertTrue(self.accepts("alice@example.test", "better"))

    def test_remove(self) -> None:
        self.add("alice@example.test")
        self.assertEqual(self.user("remove", "alice@example.test").out, "removed alice@example.test\n")
        self.assertFalse(self.accepts("alice@example.test", "secret"))

    def test_what_is_not_there(self) -> None:
        self.add("alice@example.test")
        for arguments in [("passwd", "bob@example.test", "--password-stdin"), ("remove", "bob@example.test")]:
            ran = self.user(*arguments, stdin=b"secret\n")
            self.assertEqual(ran, (1, "", "there is no account bob@example.test\n"))

    def test_a_database_is_made_by_adding_only(self) -> None:
        for arguments in [("list",), ("remove", "a@b.test"), ("passwd", "a@b.test", "--password-stdin")]:
            ran = self.user(*arguments, stdin=b"secret\n")
            self.assertEqual(ran.status, 1)
            self.assertIn("accounts.db: there is no such database", ran.err)
        self.assertEqual(os.listdir(self.folder), ["rvoip.toml"])

    def test_list_goes_through_all_pages(self) -> None:
        lines = b"".join(b"u%05d:example.test:secret\n" % number for number in range(2345))
        self.assertEqual(self.user("import", "-", stdin=lines).out, "2345 added, 0 changed, 0 unchanged\n")
        self.add("zoe@example.test")
        listed = self.user("list", "--json").json
        self.assertEqual(len(listed), 2346)
        self.assertEqual(listed[0]["aor"], "u00000@example.test")
        self.assertEqual(listed[-1]["aor"], "zoe@example.test")
        self.assertEqual(
            [each["aor"] for each in self.user("list", "zo", "--json").json], ["zoe@example.test"]
        )
        table = self.user("list", "u0000").out.splitlines()
        self.assertEqual(len(table), 11)
        self.assertEqual(table[0].split(), ["ACCOUNT", "ENABLED", "ROLES", "CHANGED"])
        self.assertEqual(table[1].split()[:3], ["u00000@example.test", "yes", "user"])

    def test_json_of_what_changes(self) -> None:
        ran = self.user("add", "alice@example.test", "--password-stdin", "--json", stdin=b"secret\n")
        self.assertEqual(ran.json, {"aor": "alice@example.test", "result": "added"})
        ran = self.user("passwd", "alice@example.test", "--password-stdin", "--json", stdin=b"other\n")
        self.assertEqual(ran.json, {"aor": "alice@example.test", "result": "changed"})
        ran = self.user("remove", "alice@example.test", "--json")
        self.assertEqual(ran.json, {"aor": "alice@example.test", "result": "removed"})
        ran = self.user("import", "-", "--json", stdin=b"bob:example.test:x\n")
        self.assertEqual(ran.json, {"added": 1, "changed": 0, "unchanged": 0})

    def test_import(self) -> None:
        self.add("alice@example.test")
        self.add("bob@example.test")
        file = self.folder / "users.txt"
        file.write_bytes(b"# ours\nalice:example.test:new\nbob:example.test:secret\ncarol:example.test:a:b\n")
        self.assertEqual(self.user("import", str(file)), (0, "1 added, 1 changed, 1 unchanged\n", ""))
        self.assertTrue(self.accepts("alice@example.test", "new"))
        self.assertTrue(self.accepts("carol@example.test", "a:b"))

    def test_an_import_is_all_or_nothing_and_names_the_line(self) -> None:
        file = self.folder / "users.txt"
        file.write_bytes(b"alice:example.test:secret\n\nbob example.test hunter2\n")
        ran = self.user("import", str(file))
        self.assertEqual(
            ran,
            (1, "", f"{file}: line 3: is not of the form user:domain:password; nothing was imported\n"),
        )
        self.assertNotIn("hunter2", ran.err)
        self.assertEqual(self.user("list", "--json").json, [])
        ran = self.user("import", "-", stdin=b"x\n")
        self.assertTrue(ran.err.startswith("standard input: line 1: "))

    def test_an_import_of_what_cannot_be_read(self) -> None:
        for path, reason in [
            (self.folder / "nope", "No such file or directory"),
            (self.folder, "Is a directory"),
        ]:
            self.assertEqual(self.user("import", str(path)), (1, "", f"{path}: {reason}\n"))

    def test_a_broken_configuration_is_one_line(self) -> None:
        Path(self.config).write_text("[user]\n", encoding="utf-8")
        ran = self.user("list")
        self.assertEqual(ran, (1, "", f"{self.config}: user: unknown key; did you mean users?\n"))

    def test_a_damaged_database_is_one_line(self) -> None:
        (self.folder / "accounts.db").write_bytes(b"no database" * 1000)
        ran = self.user("list")
        self.assertEqual((ran.status, ran.err.count("\n")), (1, 1))
        self.assertIn("accounts.db", ran.err)
