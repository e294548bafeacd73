"""`[users] source`: what may be configured, and what an API and a directory may answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from ldaptor._encoder import to_bytes
from ldaptor.ldapfilter import parseFilter
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.services.account_http import HTTPAccounts, is_template, read_account
from rvoip.services.account_ldap import DirectorySettings, escaped, filled, read_entry
from rvoip.services.account_source import limits_of, make_source
from rvoip.services.users_table import HTTPSource, LDAPSource, Users
from rvoip.users.errors import UnusableAccount
from rvoip.users.interfaces import IAccountSource
from rvoip.users.passwords import ha1_set

URL = "https://accounts.example.test/sip?user={user}&realm={realm}"
ALICE = ha1_set("alice", "example.test", "pw")
HASHES = {"MD5": ALICE.md5, "SHA-256": ALICE.sha256, "SHA-512-256": ALICE.sha512_256}


def zeros(size: int) -> bytes:
    """In place of random bytes."""
    return bytes(size)


class ConfigTests(SynchronousTestCase):
    """Each mistake is one line that names its key."""

    def refused(self, key: str, table: Users) -> None:
        """Which key the mistake is in."""
        error = self.assertRaises(ConfigError, make_source, Clock(), table, "file")
        self.assertIn(f" {key}", f" {error}", str(error))
        self.assertNotIn("\n", str(error))

    def test_none(self) -> None:
        self.assertIsNone(make_source(Clock(), Users(), "file"))

    def test_providers(self) -> None:
        ldap = LDAPSource(base="dc=test", md5="sipHa1")
        for table in Users(source=URL), Users(source="ldaps://dir.test", ldap=ldap):
            source = make_source(Clock(), table, "file")
            verifyObject(IAccountSource, source)

    def test_urls(self) -> None:
        for url in (
            "accounts",
            "https://",
            "https://u:p@h/{user}",
            "https://h/{user}#f",
            "https://h:0/{user}",
            "https://h:x/{user}",
            "https://h/{user} ",
            "https://h/é{user}",
            "https://h/accounts",
            "https://{user}.test/x",
            "ftp://h/{user}",
            "http://accounts.example.test/{user}",
            "http://127.0.0.1.example.test/{user}",
            "ldap://dir.example.test",
            "ldaps://dir.test/dc=test",
        ):
            self.refused("users.source", Users(source=url, ldap=LDAPSource(md5="a")))
        for url in "http://127.0.0.1:8000/{user}", "http://localhost/{user}", "http://[::1]/{user}":
            self.assertIsNotNone(make_source(Clock(), Users(source=url), "file"))

    def test_tokens(self) -> None:
        path = Path(self.mktemp())
        path.write_text("s3cret\n")
        table = Users(source=URL, http=HTTPSource(token_file=str(path)))
        source: Any = make_source(Clock(), table, "file")
        self.assertEqual(source._headers.getRawHeaders("Authorization"), ["Bearer s3cret"])
        both = HTTPSource(token="a", token_file=str(path))
        self.refused("users.http.token", Users(source=URL, http=both))
        self.refused("users.http.token", Users(source=URL, http=HTTPSource(token="a b")))
        for content in b"", b"\n", b"a\nb", b"\xff", b"x" * 5000:
            path.write_bytes(content)
            self.refused("users.http.token_file", Users(source=URL, http=HTTPSource(token_file=str(path))))
        gone = HTTPSource(token_file=str(path) + "-gone")
        self.refused("users.http.token_file", Users(source=URL, http=gone))

    def test_authorities(self) -> None:
        path = Path(self.mktemp())
        path.write_text("no certificate")
        self.refused("users.http.ca", Users(source=URL, http=HTTPSource(ca=str(path))))

    def test_directories(self) -> None:
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("users.ldap.md5", {}),
            ("users.ldap.filter", {"md5": "a", "filter": "(uid=alice)"}),
            ("users.ldap.filter", {"md5": "a", "filter": "uid={user})("}),
            ("users.ldap.bind_dn", {"md5": "a", "bind_dn": "cn=x"}),
            ("users.ldap.bind_dn", {"md5": "a", "password": "x"}),
            ("users.ldap.start_tls", {"md5": "a", "start_tls": True}),
        )
        for key, options in cases:
            self.refused(key, Users(source="ldaps://dir.test", ldap=LDAPSource(**options)))

    def test_limits(self) -> None:
        limits = limits_of(
            Users(timeout=1.5, ttl=9, negative_ttl=8, stale=7, entries=6, in_flight=5, waiting=4)
        )
        self.assertEqual(tuple(limits), (1.5, 9, 8, 7, 6, 5, 4))


class HTTPTests(SynchronousTestCase):
    """Answers, and the places of a template."""

    def test_accounts(self) -> None:
        found = read_account(json.dumps({"ha1": HASHES, "more": [1]}).encode(), zeros)
        self.assertEqual(found, ALICE)
        some = read_account(json.dumps({"ha1": {"MD5": ALICE.md5.upper(), "X": ""}}).encode(), zeros)
        assert some is not None
        self.assertEqual((some.md5, some.sha256), (ALICE.md5, "00" * 32))

    def test_disabled(self) -> None:
        self.assertIsNone(read_account(json.dumps({"ha1": HASHES, "enabled": False}).encode(), zeros))

    def test_what_is_none(self) -> None:
        for body in (
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"ha1": null}',
            b'{"ha1": {}}',
            b'{"ha1": {"md5": "00"}}',
            b'{"ha1": {"MD5": 5}}',
            b'{"ha1": {"MD5": "00"}}',
            b'{"ha1": {"MD5": "' + b"0" * 31 + b' "}}',
            b'{"ha1": {"MD5": "' + b"\xd9\xa0" * 32 + b'"}}',
            b'{"ha1": {"MD5": "\xff"}}',
            b"[" * 100_000,
        ):
            error = self.assertRaises(UnusableAccount, read_account, body, zeros)
            self.assertNotIn("\n", error.reason)

    @given(st.binary())
    @settings(derandomize=True, deadline=None, max_examples=200)
    def test_nothing_else_escapes(self, body: bytes) -> None:
        self.assertRaises(UnusableAccount, read_account, body, zeros)

    def test_places(self) -> None:
        source = HTTPAccounts(Clock(), "https://h/{realm}/{user}?u={user}", "", 2.0, 1, None)
        self.assertEqual(source.url("alice", "r.test"), b"https://h/r.test/alice?u=alice")
        self.assertEqual(
            source.url("{realm}/../?&#é", "r"),
            b"https://h/r/%7Brealm%7D%2F..%2F%3F%26%23%C3%A9?u=%7Brealm%7D%2F..%2F%3F%26%23%C3%A9",
        )
        for user in ".", "..":
            self.assertIsNone(self.successResultOf(source.find(user, "r")))

    def test_templates(self) -> None:
        self.assertTrue(is_template("https://h/x?u={user}"))
        for url in "https://h/x", "https://{user}/x", "https://h{realm}/{user}":
            self.assertFalse(is_template(url), url)


class LDAPTests(SynchronousTestCase):
    """Filters and entries."""

    directory = DirectorySettings(
        "h", 636, "ldaps", "dc=test", "(uid={user})", "", "", {"MD5": "sipMd5", "SHA-256": "sip256"}, "", 2.0
    )

    def test_escapes(self) -> None:
        for text, shown in (
            ("alice", "alice"),
            ("*", "\\2a"),
            ("a)(uid=*", "a\\29\\28uid\\3d\\2a"),
            ("\\", "\\5c"),
            ("é\0", "é\\00"),
        ):
            self.assertEqual(escaped(text), shown)
        self.assertEqual(filled("(&(u={user})(r={realm}))", "{realm}", "r"), "(&(u=\\7brealm\\7d)(r=r))")

    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
    @settings(derandomize=True, deadline=None, max_examples=200)
    def test_a_value_stays_one(self, text: str) -> None:
        found = parseFilter(filled("(uid={user})", text, "r"))
        self.assertEqual(type(found).__name__, "LDAPFilter_equalityMatch")
        self.assertEqual(to_bytes(found.assertionValue.value), text.encode())

    def test_entries(self) -> None:
        entry = {"sipmd5": [ALICE.md5.encode()], "sip256": [ALICE.sha256.encode() + b" "], "uid": [b"alice"]}
        found = read_entry(entry, self.directory, "alice", "example.test", zeros)
        assert found is not None
        self.assertEqual((found.md5, found.sha256, found.sha512_256), (ALICE.md5, ALICE.sha256, "00" * 32))
        self.assertIsNone(read_entry({"uid": [b"x"]}, self.directory, "x", "r", zeros))
        self.assertIsNone(read_entry({"sipmd5": [b"0" * 32] * 2}, self.directory, "x", "r", zeros))
        for value in b"", b"00", b"\xff" * 32, b"z" * 32:
            bad = {"sipmd5": [value]}
            self.assertRaises(UnusableAccount, read_entry, bad, self.directory, "x", "r", zeros)

    def test_clear_passwords(self) -> None:
        clear = attrs.evolve(self.directory, clear_password="userPassword")
        found = read_entry({"userpassword": [b"pw"]}, clear, "alice", "example.test", zeros)
        self.assertEqual(found, ALICE)
        for value in b"", b"\xff", b"x" * 300:
            self.assertRaises(UnusableAccount, read_entry, {"userpassword": [value]}, clear, "x", "r", zeros)

    def test_no_password_is_shown(self) -> None:
        self.assertNotIn("hush", repr(attrs.evolve(self.directory, password="hush")))
