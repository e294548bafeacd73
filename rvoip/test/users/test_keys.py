"""API keys: shown once, kept as a hash."""

from __future__ import annotations

import hashlib

from rvoip.test.users.stores import StoreTestCase
from rvoip.users import schema
from rvoip.users.accounts import Account
from rvoip.users.errors import AccountError, UnknownAccount


class KeyTests(StoreTestCase):
    def test_made_found_removed(self) -> None:
        key, record = self.store.add_key("ci", ["users:read", "bindings:*"])
        self.assertTrue(key.startswith(record.prefix + "_"))
        self.assertEqual(len(key), 60)
        self.assertEqual(record.created, 1_000_000.0)
        self.assertEqual(self.store.find_key(key), record)
        self.assertEqual(self.store.list_keys(), (record,))
        self.store.remove_key(record.prefix)
        self.assertIsNone(self.store.find_key(key))
        self.assertRaises(UnknownAccount, self.store.remove_key, record.prefix)

    def test_only_the_hash_is_kept(self) -> None:
        key, record = self.store.add_key("ci")
        ((_, digest, *_),) = self.rows(schema.api_keys)
        self.assertEqual(digest, hashlib.sha256(key.encode()).digest())
        secret = key.removeprefix(f"{record.prefix}_").encode()
        self.assertGreater(len(secret), 30)
        for file in self.folder.iterdir():
            self.assertNotIn(secret, file.read_bytes())

    def test_another_secret_with_the_same_prefix(self) -> None:
        key, _ = self.store.add_key("ci")
        wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
        self.assertIsNone(self.store.find_key(wrong))
        for text in (
            "",
            "x",
            key + "x",
            key[:-1],
            key.upper(),
            key + "\n",
            "rvk_" + "0" * 12 + "_" + "A" * 43,
        ):
            self.assertIsNone(self.store.find_key(text))

    def test_expiry(self) -> None:
        key, record = self.store.add_key("ci", expires=1_000_010.0)
        self.clock.now = 1_000_009.9
        self.assertEqual(self.store.find_key(key), record)
        self.clock.now = 1_000_010.0
        self.assertIsNone(self.store.find_key(key))
        for expires in (1_000_010.0, 1.0, -1.0, float("inf"), float("nan"), 1e300):
            self.assertRaises(AccountError, self.store.add_key, "ci", expires=expires)

    def test_owner(self) -> None:
        self.assertRaises(UnknownAccount, self.store.add_key, "ci", owner="alice@example.test")
        self.assertRaises(AccountError, self.store.add_key, "ci", owner="alice")
        self.store.add(Account("alice", "example.test"), "pw")
        key, record = self.store.add_key("ci", owner="alice@EXAMPLE.test")
        self.clock.now += 1
        _, other = self.store.add_key("other")
        self.assertEqual(record.owner, "alice@example.test")
        self.assertEqual(self.store.list_keys(), (record, other))
        self.assertEqual(self.store.list_keys("alice@example.test"), (record,))
        self.assertEqual(self.store.list_keys(""), (other,))
        self.store.update("alice@example.test", enabled=False)
        self.assertIsNone(self.store.find_key(key))
        self.store.update("alice@example.test", enabled=True)
        self.assertEqual(self.store.find_key(key), record)
        self.store.remove("alice@example.test")
        self.assertIsNone(self.store.find_key(key))

    def test_last_use(self) -> None:
        key, record = self.store.add_key("ci")
        self.clock.now += 100
        self.store.touch_key(record.prefix)
        found = self.store.find_key(key)
        assert found is not None
        self.assertEqual(found.last_used, 1_000_100.0)

    def test_refused(self) -> None:
        self.assertRaises(AccountError, self.store.add_key, "a\nb")
        self.assertRaises(AccountError, self.store.add_key, "x" * 129)
        self.assertRaises(AccountError, self.store.add_key, "ci", ["No Scope"])
        self.assertEqual(self.store.list_keys(), ())
