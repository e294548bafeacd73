"""Importing accounts from lines of text."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.users.stores import StoreTestCase
from rvoip.users import schema
from rvoip.users.accounts import Account
from rvoip.users.errors import AccountError
from rvoip.users.importing import parse_line, read_lines
from rvoip.users.passwords import ha1_set
from rvoip.users.records import ImportResult


class LineTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for line, parsed in (
            (b"alice:example.test:s3cret\n", ("alice", "example.test", "s3cret")),
            (b"alice:example.test:s3cret", ("alice", "example.test", "s3cret")),
            (b"alice:example.test:s3cret\r\n", ("alice", "example.test", "s3cret")),
            (b"alice:Example.Test: a:b \n", ("alice", "example.test", " a:b ")),
            (b"alice:[::1]:a:b\n", ("alice", "[::1]", "a:b")),
            ("jäsøn:example.test:пароль".encode(), ("jäsøn", "example.test", "пароль")),
            (b"\n", None),
            (b"  \r\n", None),
            (b"", None),
            (b"# user:domain:password\n", None),
        ):
            self.assertEqual(parse_line(line), parsed)

    def test_refused(self) -> None:
        for line in (
            b"alice",
            b"alice:example.test",
            b"alice:example.test:",
            b":example.test:pw",
            b"alice::pw",
            b"alice:[::1:pw",
            b"alice:[::1]pw",
            b"alice:[::1]",
            b"a b:example.test:pw",
            b"alice:exam ple.test:pw",
            b"alice:example.test:p\rw",
            b"alice:example.test:pw\r\r\n",
            b"alice:example.test:pw\n\n",
            b"alice:example.test:p\0w",
            b"alice:example.test:p\xc2\x85w",
            b"\xff:example.test:pw",
            b"alice:example.test:" + b"x" * 257,
            b"x" * 5000,
        ):
            self.assertRaises(AccountError, parse_line, line)

    def test_the_line_is_named(self) -> None:
        lines = [b"# accounts\n", b"a:b:c\n", b"\n", b"alice\n"]
        error = self.assertRaises(AccountError, list, read_lines(lines))
        self.assertEqual(error.reason, "line 4: is not of the form user:domain:password")

    def test_a_byte_order_mark(self) -> None:
        mark = b"\xef\xbb\xbf"
        self.assertEqual(
            list(read_lines([mark + b"a:b:c\n", b"d:b:c\n"])), [("a", "b", "c"), ("d", "b", "c")]
        )
        self.assertEqual(list(read_lines([mark + b"# accounts\r\n"])), [])
        self.assertRaises(AccountError, list, read_lines([b"a:b:c\n", mark + b"d:b:c\n"]))

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.binary(max_size=60) | st.lists(st.sampled_from(b"a:.[]\n\r# \0\xc3\xa9")).map(bytes))
    def test_only_account_errors_escape(self, line: bytes) -> None:
        try:
            parsed = parse_line(line)
        except AccountError:
            return
        if parsed is not None:
            self.assertEqual(parse_line(":".join(parsed).encode()), parsed)


class ImportTests(StoreTestCase):
    def test_added_changed_unchanged(self) -> None:
        self.store.add(Account("alice", "a.test", display_name="Al"), "pw")
        self.store.add(Account("bob", "a.test"), "pw", realms=["Acme"])
        self.clock.now += 5
        result = self.store.import_many([b"alice:a.test:pw\n", b"bob:a.test:new\n", b"carol:a.test:pw\n"])
        self.assertEqual(result, ImportResult(added=1, changed=1, unchanged=1))
        found = self.store.find_credentials(
            [("alice", "a.test"), ("bob", "a.test"), ("bob", "Acme"), ("carol@a.test", "a.test")]
        )
        self.assertEqual(
            found,
            {
                ("alice", "a.test"): ha1_set("alice", "a.test", "pw"),
                ("bob", "a.test"): ha1_set("bob", "a.test", "new"),
                ("bob", "Acme"): ha1_set("bob", "Acme", "new"),
                ("carol@a.test", "a.test"): ha1_set("carol@a.test", "a.test", "pw"),
            },
        )
        alice, bob, carol = self.store.list().accounts
        self.assertEqual((alice.changed, alice.display_name), (1_000_000.0, "Al"))
        self.assertEqual((bob.created, bob.changed), (1_000_000.0, 1_000_005.0))
        self.assertEqual(carol.created, 1_000_005.0)

    def test_a_bad_line_undoes_all(self) -> None:
        self.store.add(Account("alice", "a.test"), "pw")
        before = self.contents()
        revision = self.store.snapshot(0).revision
        lines = [f"u{n}:a.test:pw".encode() for n in range(1100)] + [b"alice:a.test:new", b"broken"]
        error = self.assertRaises(AccountError, self.store.import_many, lines)
        self.assertTrue(error.reason.startswith("line 1102: "), error.reason)
        self.assertEqual(self.contents(), before)
        self.assertEqual(self.store.changes_since(revision).keys, ())

    def test_an_account_in_two_lines(self) -> None:
        """Refused in one batch and across batches, however the domain is written: one password is wrong."""
        many = [f"u{n}:a.test:pw".encode() for n in range(600)]
        for lines, reason in (
            ([b"a:a.test:1", b"# c", b"a:A.test:2"], "line 3: a@a.test is in line 1 already"),
            ([b"a:a.test:1", *many, b"a:a.test:1"], "line 602: a@a.test is in line 1 already"),
        ):
            error = self.assertRaises(AccountError, self.store.import_many, lines)
            self.assertEqual(error.reason, reason)
            self.assertEqual(self.store.count(), 0)
        self.store.import_many([b"a:a.test:1", b"A:a.test:2", b"a:b.test:3"])
        self.assertEqual(self.store.count(), 3)

    def test_a_file_is_streamed(self) -> None:
        file = self.folder / "accounts.txt"
        file.write_bytes(b"a:a.test:1\nb:a.test:2\r\n\n# c\n")
        with file.open("rb") as lines:
            self.assertEqual(self.store.import_many(lines), ImportResult(2, 0, 0))
        self.assertEqual(self.store.import_many([]), ImportResult(0, 0, 0))

    def test_an_account_without_digest_gets_credentials(self) -> None:
        self.store.add(Account("a", "a.test"), "pw", digest=False)
        self.assertEqual(self.store.import_many([b"a:a.test:new"]), ImportResult(0, 1, 0))
        self.assertEqual(len(self.store.find_credentials([("a", "a.test")])), 1)
        self.assertIsNone(self.store.login("a@a.test", "pw"))
        self.assertIsNotNone(self.store.login("a@a.test", "new"))

    def test_a_username_that_another_account_has(self) -> None:
        self.store.add(Account("a", "a.test"), "pw", realms=["b.test"])
        before = self.contents()
        error = self.assertRaises(AccountError, self.store.import_many, [b"a:b.test:pw"])
        self.assertEqual(error.reason, "a@a.test has the username a in the realm b.test already")
        self.assertEqual(self.contents(), before)

    def test_ten_thousand_in_less_than_three_seconds(self) -> None:
        """No Argon2id in it: 0.35 s of processor time where this was written."""
        begin = time.process_time()
        result = self.store.import_many(f"user{n}:a.test:password{n}\n".encode() for n in range(10_000))
        self.assertLess(time.process_time() - begin, 3.0)
        self.assertEqual(result, ImportResult(10_000, 0, 0))
        self.assertEqual({row[6] for row in self.rows(schema.accounts)}, {None})
