"""Accounts, credentials and logins in a database."""

from __future__ import annotations

from typing import Any

from rvoip.test.users.stores import FAST, StoreTestCase
from rvoip.users import schema, store
from rvoip.users.accounts import ADMIN, USER, Account
from rvoip.users.errors import AccountError, DuplicateAccount, UnknownAccount
from rvoip.users.passwords import PasswordHash, ha1_set
from rvoip.users.records import Page

ALICE = Account("alice", "example.test")


class AccountTests(StoreTestCase):
    def test_add_and_get(self) -> None:
        stored = self.store.add(Account("alice", "example.test", roles=frozenset({"b", "a"})), "pw")
        self.assertEqual(stored.created, 1_000_000.0)
        self.assertEqual(stored.changed, 1_000_000.0)
        self.assertEqual(stored.roles, {"a", "b"})
        self.assertEqual(self.store.get("alice@example.test"), stored)
        self.assertEqual(self.store.get("alice@EXAMPLE.test"), stored)
        self.assertIsNone(self.store.get("Alice@example.test"))
        self.assertRaises(AccountError, self.store.get, "alice")

    def test_it_is_there_after_a_restart(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.close()
        other = self.make_store().open()
        self.assertEqual(other.count(), 1)
        self.assertIn(("alice", "example.test"), other.find_credentials([("alice", "example.test")]))

    def test_duplicate(self) -> None:
        self.store.add(ALICE, "pw")
        before = self.contents()
        error = self.assertRaises(DuplicateAccount, self.store.add, ALICE, "other")
        self.assertEqual(error.reason, "alice@example.test exists already")
        self.assertEqual(self.contents(), before)

    def test_update(self) -> None:
        self.store.add(ALICE, "pw")
        self.clock.now += 10
        changed = self.store.update(
            "alice@example.test", enabled=False, roles=[ADMIN, USER], display_name="Al"
        )
        self.assertEqual(changed, self.store.get("alice@example.test"))
        self.assertEqual(
            changed,
            Account("alice", "example.test", False, frozenset({ADMIN, USER}), "Al", 1_000_000.0, 1_000_010.0),
        )
        same = self.store.update("alice@example.test")
        self.assertEqual(same, changed)
        self.assertRaises(UnknownAccount, self.store.update, "bob@example.test", enabled=True)
        self.assertRaises(AccountError, self.store.update, "alice@example.test", roles=["No Role"])
        self.assertEqual(self.store.get("alice@example.test"), changed)

    def test_remove(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.add_key("ci", owner="alice@example.test")
        self.store.remove("alice@example.test")
        self.assertEqual(
            {name: rows for name, rows in self.contents().items() if rows}, {}, "nothing may be left behind"
        )
        self.assertRaises(UnknownAccount, self.store.remove, "alice@example.test")

    def test_pages(self) -> None:
        names = ["a", "al", "alice", "alice2", "Bob", "zoë"]
        for name in names:
            self.store.add(Account(name, "example.test"), "pw")
        aors = sorted(f"{name}@example.test" for name in names)
        self.assertEqual([account.aor for account in self.store.list().accounts], aors)
        self.assertEqual(self.store.count(), 6)
        page = self.store.list(limit=4)
        self.assertEqual(([account.aor for account in page.accounts], page.next), (aors[:4], aors[3]))
        page = self.store.list(after=page.next, limit=4)
        self.assertEqual(([account.aor for account in page.accounts], page.next), (aors[4:], ""))
        page = self.store.list("al")
        self.assertEqual([account.user for account in page.accounts], ["al", "alice2", "alice"])
        self.assertEqual(self.store.list("alice@").accounts[0].user, "alice")
        self.assertEqual(self.store.list("zo\u00eb@example.test").accounts[0].user, "zo\u00eb")
        for prefix in ("%", "_", "*", "x", "al%"):
            self.assertEqual(self.store.list(prefix), Page(()))
        for limit, count in ((0, 1), (-5, 1), (10**30, 6)):
            self.assertEqual(len(self.store.list(limit=limit).accounts), count)
        for bad in ("a\0", "\ud800", "a\n"):
            self.assertRaises(AccountError, self.store.list, bad)
            self.assertRaises(AccountError, self.store.list, "", bad)


class CredentialTests(StoreTestCase):
    def find(self, username: str, realm: str = "example.test") -> Any:
        return self.store.find_credentials([(username, realm)]).get((username, realm))

    def test_both_usernames(self) -> None:
        """A phone hashes the username that it sends, so each has its own HA1s."""
        self.store.add(ALICE, "pw")
        self.assertEqual(self.find("alice"), ha1_set("alice", "example.test", "pw"))
        self.assertEqual(self.find("alice@example.test"), ha1_set("alice@example.test", "example.test", "pw"))
        for username in ("Alice", "bob", "alice@other.test", "", "a\0", "\ud800", "alice'"):
            self.assertIsNone(self.find(username))
        self.assertIsNone(self.find("alice", "other.test"))

    def test_more_realms(self) -> None:
        self.store.add(ALICE, "pw", realms=["Acme PBX", "Acme PBX"])
        self.assertEqual(self.find("alice", "Acme PBX"), ha1_set("alice", "Acme PBX", "pw"))
        self.assertIsNone(self.find("alice@example.test", "Acme PBX"))
        self.store.set_password("alice@example.test", "new")
        self.assertEqual(self.find("alice", "Acme PBX"), ha1_set("alice", "Acme PBX", "new"))
        self.assertEqual(self.find("alice"), ha1_set("alice", "example.test", "new"))
        before = self.contents()
        error = self.assertRaises(
            DuplicateAccount, self.store.add, Account("alice", "b.test"), "pw", realms=["Acme PBX"]
        )
        self.assertEqual(
            error.reason, "alice@example.test has the username alice in the realm Acme PBX already"
        )
        self.assertEqual(self.contents(), before)
        self.assertRaises(
            AccountError, self.store.add, Account("bob", "b.test"), "pw", realms=[f"r{n}" for n in range(16)]
        )
        self.assertRaises(AccountError, self.store.add, Account("bob", "b.test"), "pw", realms=["a\nb"])

    def test_new_password(self) -> None:
        self.store.add(ALICE, "pw")
        self.clock.now += 1
        self.store.set_password("alice@example.test", "new")
        self.assertEqual(self.find("alice"), ha1_set("alice", "example.test", "new"))
        self.assertEqual(
            self.find("alice@example.test"), ha1_set("alice@example.test", "example.test", "new")
        )
        account = self.store.get("alice@example.test")
        assert account is not None
        self.assertEqual((account.created, account.changed), (1_000_000.0, 1_000_001.0))
        self.assertRaises(UnknownAccount, self.store.set_password, "bob@example.test", "pw")
        self.assertRaises(AccountError, self.store.set_password, "alice@example.test", "")

    def test_a_disabled_account_has_none(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.update("alice@example.test", enabled=False)
        self.assertIsNone(self.find("alice"))
        self.assertEqual(self.store.snapshot(10).credentials, ())
        self.store.update("alice@example.test", enabled=True)
        self.assertEqual(self.find("alice"), ha1_set("alice", "example.test", "pw"))

    def test_many_at_once(self) -> None:
        self.store.import_many(f"u{n}:a.test:p{n}".encode() for n in range(1200))
        self.store.import_many(f"u{n}:b.test:q{n}".encode() for n in range(3))
        keys = [(f"u{n}", "a.test") for n in range(0, 1300)] + [("u1", "b.test"), ("u3", "b.test")]
        found = self.store.find_credentials(keys)
        self.assertEqual(len(found), 1201)
        self.assertEqual(found["u1199", "a.test"], ha1_set("u1199", "a.test", "p1199"))
        self.assertEqual(found["u1", "b.test"], ha1_set("u1", "b.test", "q1"))
        self.assertEqual(self.store.find_credentials([]), {})

    def test_who_is_not_there_costs_a_row_as_well(self) -> None:
        """The database does for an unknown name what it does for a known one (security row 19)."""
        self.store.add(ALICE, "pw")
        with self.store._database.reading() as connection:
            values = {"realm": "example.test", "names": '["alice", "mallory"]'}
            rows = connection.execute(store._LOOKUP, values).all()
        self.assertEqual([(row.asked, row.exists) for row in rows], [("alice", 1), ("mallory", 0)])
        self.assertEqual([len(row.md5 + row.sha256 + row.sha512_256) for row in rows], [80, 80])

    def test_lookups_use_the_primary_key(self) -> None:
        with self.store._database.reading() as connection:
            compiled = store._LOOKUP.compile(dialect=connection.dialect)
            values = {**compiled.params, "realm": "r", "names": '["a", "b"]'}
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {compiled}", tuple(values[name] for name in compiled.positiontup or ())
            ).all()
        details = [row[3] for row in plan]
        self.assertTrue(details[0].startswith("SCAN"), "of the names that are asked for")
        searched = [detail for detail in details if "credentials" in detail or "accounts" in detail]
        self.assertEqual(
            [detail.removesuffix(" LEFT-JOIN") for detail in searched],
            [
                "SEARCH credentials USING PRIMARY KEY (realm=? AND username=?)",
                "SEARCH accounts USING PRIMARY KEY (aor=?)",
            ],
        )


class SnapshotAndChangesTests(StoreTestCase):
    def test_snapshot(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.add(Account("bob", "b.test"), "pw", realms=["x"])
        snapshot = self.store.snapshot(3)
        assert snapshot.credentials is not None
        self.assertEqual(
            sorted(snapshot.credentials),
            [
                ("alice", "example.test", ha1_set("alice", "example.test", "pw")),
                ("bob", "b.test", ha1_set("bob", "b.test", "pw")),
                ("bob", "x", ha1_set("bob", "x", "pw")),
            ],
        )
        for limit in (1, 2):
            self.assertIsNone(self.store.snapshot(limit).credentials)
        self.assertEqual(self.store.snapshot(1).revision, snapshot.revision)

    def test_each_write_is_seen(self) -> None:
        both = {("alice", "example.test"), ("alice@example.test", "example.test")}
        revision = self.store.snapshot(0).revision
        self.assertEqual(self.store.changes_since(revision).keys, ())
        for write in (
            lambda: self.store.add(ALICE, "pw"),
            lambda: self.store.set_password("alice@example.test", "new"),
            lambda: self.store.update("alice@example.test", enabled=False),
            lambda: self.store.update("alice@example.test", enabled=True),
            lambda: self.store.remove("alice@example.test"),
        ):
            write()
            changes = self.store.changes_since(revision)
            self.assertEqual(set(changes.keys or ()), both)
            revision = changes.revision
            self.assertEqual(self.store.changes_since(revision).keys, ())

    def test_what_changes_no_credentials_is_not_seen(self) -> None:
        self.store.add(ALICE, "pw")
        revision = self.store.snapshot(0).revision
        self.store.update("alice@example.test", roles=[ADMIN])
        self.store.add_key("ci")
        self.store.login("alice@example.test", "pw")
        self.store.import_many([b"alice:example.test:pw"])
        self.assertEqual(self.store.changes_since(revision).keys, ())

    def test_an_import_may_have_changed_anything(self) -> None:
        revision = self.store.snapshot(0).revision
        self.store.import_many([b"a:b:c"])
        changes = self.store.changes_since(revision)
        self.assertIsNone(changes.keys)
        self.assertEqual(self.store.changes_since(changes.revision).keys, ())

    def test_who_is_far_behind_is_told_so(self) -> None:
        self.patch(__import__("rvoip.users.store", fromlist=["x"]), "_KEPT_CHANGES", 4)
        self.store.add(ALICE, "0")
        start = self.store.snapshot(0).revision
        for number in range(1, 4):
            self.store.set_password("alice@example.test", str(number))
        self.assertEqual(len(self.rows(schema.changes)), 4)
        behind = self.store.changes_since(start)
        self.assertIsNone(behind.keys)
        self.assertEqual(behind.revision, start + 6)
        self.assertEqual(len(self.store.changes_since(start + 2).keys or ()), 4)
        self.assertIsNone(self.store.changes_since(0).keys)


class LoginTests(StoreTestCase):
    def login_hash(self) -> Any:
        ((value,),) = [(row[6],) for row in self.rows(schema.accounts)]
        return value

    def test_the_hash_is_made_at_the_first_login(self) -> None:
        stored = self.store.add(ALICE, "pw")
        self.assertIsNone(self.login_hash())
        self.assertIsNone(self.store.login("alice@example.test", "wrong"))
        self.assertIsNone(self.login_hash())
        self.assertEqual(self.store.login("alice@example.test", "pw"), stored)
        hashed = self.login_hash()
        self.assertTrue(hashed.startswith("$argon2id$"))
        self.assertEqual(self.store.login("alice@EXAMPLE.test", "pw"), stored)
        self.assertIsNone(self.store.login("alice@example.test", "wrong"))
        self.assertEqual(self.login_hash(), hashed)

    def test_a_new_password_counts_at_once(self) -> None:
        self.store.add(ALICE, "pw")
        self.store.login("alice@example.test", "pw")
        self.store.set_password("alice@example.test", "new")
        self.assertIsNone(self.login_hash())
        self.assertIsNone(self.store.login("alice@example.test", "pw"))
        self.assertIsNotNone(self.store.login("alice@example.test", "new"))
        self.store.import_many([b"alice:example.test:newer"])
        self.assertIsNone(self.store.login("alice@example.test", "new"))
        self.assertIsNotNone(self.store.login("alice@example.test", "newer"))

    def test_without_digest(self) -> None:
        """An administrator's password is kept as Argon2id alone, also when it is changed."""
        self.store.add(Account("root", "example.test", roles=frozenset({ADMIN})), "pw", digest=False)
        self.assertEqual(self.rows(schema.credentials), [])
        self.assertIsNotNone(self.store.login("root@example.test", "pw"))
        self.assertIsNone(self.store.login("root@example.test", "wrong"))
        self.store.set_password("root@example.test", "new")
        self.assertEqual(self.rows(schema.credentials), [])
        self.assertIsNone(self.store.login("root@example.test", "pw"))
        self.assertIsNotNone(self.store.login("root@example.test", "new"))

    def test_nobody(self) -> None:
        self.store.add(ALICE, "pw")
        for aor in ("bob@example.test", "alice", "", "a@b@c", "alice@example.test'--"):
            self.assertIsNone(self.store.login(aor, "pw"))
        for password in ("", "a\0", "x" * 1000):
            self.assertIsNone(self.store.login("alice@example.test", password))
        self.store.update("alice@example.test", enabled=False)
        self.assertIsNone(self.store.login("alice@example.test", "pw"))

    def test_each_login_takes_one_argon2(self) -> None:
        """Right, wrong, unknown, without a hash yet: the time does not tell which."""
        calls: list[str] = []

        class Counting(PasswordHash):
            def hash(self, password: str) -> str:
                calls.append("hash")
                return FAST.hash(password)

            def verify(self, hashed: str | None, password: str) -> bool:
                calls.append("verify")
                return FAST.verify(hashed, password)

            def is_outdated(self, hashed: str) -> bool:
                return FAST.is_outdated(hashed)

        store = self.make_store(password_hash=Counting()).open()
        self.store.add(ALICE, "pw")
        for aor, password, expected in (
            ("bob@example.test", "pw", ["verify"]),
            ("not an aor", "pw", ["verify"]),
            ("alice@example.test", "wrong", ["verify"]),
            ("alice@example.test", "", ["verify"]),
            ("alice@example.test", "pw", ["hash"]),
            ("alice@example.test", "pw", ["verify"]),
            ("alice@example.test", "wrong", ["verify"]),
        ):
            calls.clear()
            store.login(aor, password)
            self.assertEqual(calls, expected, (aor, password))

    def test_an_old_hash_is_made_anew(self) -> None:
        self.store.add(ALICE, "pw", digest=False)
        old = self.login_hash()
        stronger = self.make_store(
            password_hash=PasswordHash(time_cost=2, memory_kib=8, parallelism=1)
        ).open()
        self.assertIsNone(stronger.login("alice@example.test", "wrong"))
        self.assertEqual(self.login_hash(), old)
        self.assertIsNotNone(stronger.login("alice@example.test", "pw"))
        new = self.login_hash()
        self.assertNotEqual(new, old)
        self.assertIn("t=2", new)

    def test_a_password_changed_during_the_login(self) -> None:
        """The hash of the old password is not stored over the new one."""
        test = self

        class Slow(PasswordHash):
            def hash(self, password: str) -> str:
                test.store.set_password("alice@example.test", "new")
                return FAST.hash(password)

        self.store.add(ALICE, "pw")
        self.assertIsNotNone(self.make_store(password_hash=Slow()).open().login("alice@example.test", "pw"))
        self.assertIsNone(self.login_hash())
        self.assertIsNone(self.store.login("alice@example.test", "pw"))


class InjectionTests(StoreTestCase):
    """Text is data: whatever stands in a field, the tables stay as they are (security row 20)."""

    STRINGS = (
        "' OR '1'='1",
        "'; DROP TABLE accounts; --",
        '" OR ""="',
        "alice'/*",
        "a\\' OR 1=1 --",
        "x' UNION SELECT aor, login_hash FROM accounts --",
        "%",
        "_",
        "{0.__class__}",
        "%s%n",
        ":aor",
        "?",
        "\u02bc OR 1=1",
    )

    def test_reads(self) -> None:
        self.store.add(ALICE, "pw")
        key, _ = self.store.add_key("ci")
        before = self.contents()
        for text in self.STRINGS:
            self.assertEqual(self.store.find_credentials([(text, "example.test"), ("alice", text)]), {})
            self.assertEqual(self.store.list(text), Page(()))
            self.assertEqual(len(self.store.list(after=text).accounts) in (0, 1), True)
            self.assertIsNone(self.store.login(text, text))
            self.assertIsNone(self.store.login("alice@example.test", text))
            self.assertIsNone(self.store.login(f"{text}@example.test", "pw"))
            self.assertIsNone(self.store.find_key(text))
            self.assertIsNone(self.store.find_key(key[:17] + text))
            self.assertRaises(UnknownAccount, self.store.remove_key, text)
            for call in (self.store.get, self.store.remove):
                for aor in (text, f"{text}@example.test", f"alice@{text}"):
                    try:
                        self.assertIsNone(call(aor))
                    except AccountError:
                        continue
                    self.assertIs(call.__name__, "get")
        self.assertEqual(self.contents(), before)

    def test_writes(self) -> None:
        self.store.add(ALICE, "pw")
        alice = self.rows(schema.credentials)
        for number, text in enumerate(self.STRINGS):
            user = f"u{number}"
            self.store.add(Account(user, "example.test", display_name=text), text, realms=[text])
            stored = self.store.get(f"{user}@example.test")
            assert stored is not None
            self.assertEqual(stored.display_name, text)
            self.assertEqual(
                self.store.find_credentials([(user, text)]), {(user, text): ha1_set(user, text, text)}
            )
            self.store.add_key(text)
            self.store.import_many([f"v{number}:example.test:{text}".encode()])
        self.assertEqual(self.store.count(), 1 + 2 * len(self.STRINGS))
        self.assertEqual({key.name for key in self.store.list_keys()}, set(self.STRINGS))
        self.assertEqual([row for row in self.rows(schema.credentials) if row[2] == ALICE.aor], alice)

    def test_a_user_part_with_a_quote(self) -> None:
        """A quote is a legal character of a SIP user."""
        stored = self.store.add(Account("o'brien", "example.test"), "pw")
        self.assertEqual(self.store.get("o'brien@example.test"), stored)
        self.store.remove("o'brien@example.test")
        self.assertEqual(self.store.count(), 0)
