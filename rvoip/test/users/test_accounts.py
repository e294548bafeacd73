"""Accounts and API keys keep the rules of their fields."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.users.accounts import (
    ADMIN,
    OPERATOR,
    USER,
    Account,
    APIKey,
    check_domain,
    check_password,
    check_realm,
    check_user,
    split_aor,
)
from rvoip.users.errors import AccountError

TEXT = st.text(st.characters(codec=None, categories=None), max_size=40)


class UserTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for user in (
            "alice",
            "+15551234",
            "alice.smith",
            "*98",
            "a;b",
            "#1",
            "100",
            "Alice",
            "jäsøn",
            "x" * 128,
        ):
            self.assertEqual(check_user(user), user)

    def test_normalised(self) -> None:
        """What looks the same is the same: NFC."""
        self.assertEqual(check_user("andre\u0301"), "andr\u00e9")

    def test_refused(self) -> None:
        for user, words in (
            ("", "empty"),
            ("x" * 129, "129 characters"),
            ("a b", "' '"),
            ("a@b", "'@'"),
            ("a:b", "':'"),
            ('a"b', "'\"'"),
            ("a%20b", "'%'"),
            ("a\0", "x00"),
            ("a\nb", "n"),
            ("a\u00a0b", "xa0"),
            ("a\u2028b", "u2028"),
            ("a\ud800", "ud800"),
            ("a\u200bb", "u200b"),
        ):
            reason = self.assertRaises(AccountError, check_user, user).reason
            self.assertIn(words, reason)
            self.assertTrue(reason.isprintable() and reason.isascii())


class DomainTests(SynchronousTestCase):
    def test_accepted(self) -> None:
        for given_, stored in (
            ("example.test", "example.test"),
            ("Example.TEST", "example.test"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("3com.test", "3com.test"),
        ):
            self.assertEqual(check_domain(given_), stored)

    def test_refused(self) -> None:
        for domain in (
            "",
            ".",
            "a..b",
            "-a.test",
            "a-.test",
            "a_b.test",
            "bücher.example",
            "example.test:5060",
            "1.2.3",
            "1.2.3.256",
            "1.2.3.٤",
            "[::1",
            "::1",
            "[::1%lo]x",
            "[]",
            "a b",
            "a\n",
            "x" * 64 + ".test",
            ".".join(["x" * 60] * 5),
        ):
            self.assertRaises(AccountError, check_domain, domain)


class PasswordAndRealmTests(SynchronousTestCase):
    def test_passwords(self) -> None:
        for password in ("x", "Circle Of Life", "a:b", 'q"\\', "пароль", "x" * 256, " "):
            self.assertEqual(check_password(password), password)
        self.assertEqual(check_password("e\u0301"), "\u00e9")
        for password in ("", "x" * 257, "a\r\nb", "a\0", "\ud800", "a\x85"):
            self.assertRaises(AccountError, check_password, password)

    def test_an_error_never_shows_the_password(self) -> None:
        error = self.assertRaises(AccountError, check_password, "hunter2\0")
        self.assertNotIn("hunter2", str(error))

    def test_realms(self) -> None:
        self.assertEqual(check_realm("Acme PBX"), "Acme PBX")
        for realm in ("", "a\nb", "x" * 254):
            self.assertRaises(AccountError, check_realm, realm)


class AccountTests(SynchronousTestCase):
    def test_fields(self) -> None:
        account = Account("alice", "Example.TEST", roles=frozenset({OPERATOR}), display_name="Alice Ä")
        self.assertEqual(account.aor, "alice@example.test")
        self.assertTrue(account.enabled)
        self.assertEqual(account.roles, {OPERATOR})
        self.assertEqual(Account.of("a@b", roles=[ADMIN, OPERATOR]).roles, {ADMIN, OPERATOR})
        self.assertEqual(Account.of("a@b"), Account("a", "b", True, frozenset({USER})))

    def test_refused(self) -> None:
        self.assertRaises(AccountError, Account, "a", "b", True, frozenset({"Admin!"}))
        self.assertRaises(AccountError, Account, "a", "b", True, frozenset(f"r{n}" for n in range(17)))
        self.assertRaises(AccountError, Account, "a", "b", display_name="a\nb")
        self.assertRaises(AccountError, Account, "a", "b", display_name="x" * 129)
        for aor in ("alice", "@", "a@", "@b", "a@b@c", "sip:a@b", ""):
            self.assertRaises(AccountError, Account.of, aor)

    def test_the_scheme_is_named(self) -> None:
        self.assertIn("without the scheme", self.assertRaises(AccountError, split_aor, "sip:a@b").reason)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(TEXT)
    def test_only_account_errors_escape(self, text: str) -> None:
        """Whatever the text, each check passes it or raises AccountError, and what passes passes again."""
        for check in (check_user, check_domain, check_password, check_realm):
            try:
                passed = check(text)
            except AccountError as error:
                self.assertTrue(error.reason.isascii())
            else:
                self.assertEqual(check(passed), passed)
        try:
            user, domain = split_aor(text)
        except AccountError:
            return
        self.assertEqual(split_aor(f"{user}@{domain}"), (user, domain))


class APIKeyTests(SynchronousTestCase):
    def test_scopes(self) -> None:
        key = APIKey("rvk_0", "ci", frozenset({"users:*", "bindings:read"}))
        for scope, allowed in (
            ("users:read", True),
            ("users:write", True),
            ("users", False),
            ("bindings:read", True),
            ("bindings:write", False),
            ("usersx:read", False),
        ):
            self.assertEqual(key.allows(scope), allowed, scope)
        self.assertTrue(APIKey("rvk_0", "ci", frozenset({"*"})).allows("anything"))
        self.assertFalse(APIKey("rvk_0", "ci").allows("users:read"))

    def test_refused_scopes(self) -> None:
        for scope in ("", "Users", "a b", "a" * 65, "'; DROP TABLE accounts"):
            self.assertRaises(AccountError, APIKey, "rvk_0", "ci", frozenset({scope}))

    def test_expiry(self) -> None:
        key = APIKey("rvk_0", "ci", expires=100.0)
        self.assertFalse(key.is_expired(99.9))
        self.assertTrue(key.is_expired(100.0))
        self.assertFalse(APIKey("rvk_0", "ci").is_expired(1e12))
