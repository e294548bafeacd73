"""URLs of Redis, and which settings of one are refused."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores.redis_address import durability_objection, parse_redis_url
from rvoip.registrar.stores.redis_records import lex_range

DURABLE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}


class URLTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for url, expected in (
            ("redis://h", ("h", 6379, 0, "", "", "rvoip:location", True)),
            ("redis://127.0.0.1:7000/5", ("127.0.0.1", 7000, 5, "", "", "rvoip:location", True)),
            ("redis://[::1]:7000", ("::1", 7000, 0, "", "", "rvoip:location", True)),
            ("redis://:p%40ss@h/1", ("h", 6379, 1, "", "p@ss", "rvoip:location", True)),
            ("redis://me:pw@h", ("h", 6379, 0, "me", "pw", "rvoip:location", True)),
            ("redis://h/0?prefix=a&durable=no", ("h", 6379, 0, "", "", "a", False)),
            ("redis://h?durable=yes", ("h", 6379, 0, "", "", "rvoip:location", True)),
        ):
            self.assertEqual(tuple(parse_redis_url(url)), expected)

    def test_refused(self) -> None:
        for url in (
            "redis://",
            "redis://:hunter2@",
            "redis://:hunter2@h:port",
            "redis://:hunter2@h:99999",
            "redis://:hunter2@h/x",
            "redis://:hunter2@h/1_0",
            "redis://:hunter2@h/\u0661",
            "redis://:hunter2@h/0?durable=maybe",
            "redis://:hunter2@h/0?prefix=",
            "redis://:hunter2@h/0?prefix=%0A",
            "redis://:hunter2@h/0?typo=1",
            "redis://:hunter2@h/0?x",
            "redis://:hunter2@[h",
            "redis://:hunter2@h/0#f",
            "rediss://:hunter2@h/0",
        ):
            error = self.assertRaises(StoreError, parse_redis_url, url)
            self.assertNotIn("hunter2", str(error), url)
            self.assertTrue(str(error).isprintable(), url)

    def test_shown(self) -> None:
        self.assertEqual(parse_redis_url("redis://me:pw@[::1]:7/3").shown, "redis://[::1]:7/3")


class DurabilityTests(SynchronousTestCase):
    def test_durable(self) -> None:
        self.assertEqual(durability_objection(DURABLE), "")
        self.assertEqual(durability_objection({"appendonly": "yes", "appendfsync": "always"}), "")

    def test_not(self) -> None:
        for key, value, part in (
            ("appendonly", "no", "set appendonly yes"),
            ("appendfsync", "everysec", "set appendfsync always"),
            ("appendfsync", "no", "set appendfsync always"),
            ("no-appendfsync-on-rewrite", "yes", "set no-appendfsync-on-rewrite no"),
            ("maxmemory-policy", "allkeys-lru", "set maxmemory-policy noeviction"),
        ):
            self.assertIn(part, durability_objection({**DURABLE, key: value}))

    def test_unknown(self) -> None:
        self.assertIn("CONFIG GET", durability_objection({}))
        self.assertIn("CONFIG GET", durability_objection({"appendonly": "yes"}))


class RangeTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        last = "\U0010ffff"
        for (prefix, after), expected in (
            (("", ""), ("-", "+")),
            (("", "b"), ("(b", "+")),
            (("bo", ""), ("[bo", f"(bo{last}")),
            (("bo", "bob"), ("(bob", f"(bo{last}")),
            (("bo", "a"), ("[bo", f"(bo{last}")),
        ):
            self.assertEqual(lex_range(prefix, after), expected)
