"""Nonces know their own age and origin."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.auth.nonce import Freshness, NonceIssuer

SECRET = b"0123456789abcdef"
NOW = 1_800_000_000.25
FORGED = (Freshness.FORGED, -1)


class NonceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.issuer = NonceIssuer(SECRET, ttl=300.0)

    def test_form(self) -> None:
        """Short, and legal in a quoted string and in a URL."""
        for _ in range(100):
            self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]{32}", self.issuer.issue(NOW)))

    def test_never_the_same(self) -> None:
        made = [self.issuer.issue(NOW) for _ in range(1000)]
        self.assertEqual(len(set(made)), 1000)
        self.assertEqual([self.issuer.check(nonce, NOW)[1] for nonce in made], list(range(1, 1001)))

    def test_age(self) -> None:
        nonce = self.issuer.issue(NOW)
        for age, expected in (
            (0.0, Freshness.FRESH),
            (299.9, Freshness.FRESH),
            (300.1, Freshness.STALE),
            (86400.0, Freshness.STALE),
            # The clock was set back: a little is no matter, an hour makes every nonce stale.
            (-4.9, Freshness.FRESH),
            (-5.1, Freshness.STALE),
            (-3600.0, Freshness.STALE),
        ):
            self.assertEqual(self.issuer.check(nonce, NOW + age), (expected, 1), age)

    def test_another_secret(self) -> None:
        nonce = self.issuer.issue(NOW)
        self.assertEqual(NonceIssuer(SECRET + b"x").check(nonce, NOW), FORGED)
        self.assertEqual(NonceIssuer(SECRET).check(nonce, NOW), (Freshness.FRESH, 1))

    def test_another_source(self) -> None:
        nonce = self.issuer.issue(NOW, "192.0.2.1")
        self.assertEqual(self.issuer.check(nonce, NOW, "192.0.2.1"), (Freshness.FRESH, 1))
        for source in ("192.0.2.2", "", "192.0.2.10"):
            self.assertEqual(self.issuer.check(nonce, NOW, source), FORGED)
        self.assertEqual(self.issuer.check(self.issuer.issue(NOW), NOW, "192.0.2.1"), FORGED)

    def test_every_changed_character_is_seen(self) -> None:
        nonce = self.issuer.issue(NOW)
        for index in range(len(nonce)):
            for other in "A_-9":
                if other != nonce[index]:
                    changed = nonce[:index] + other + nonce[index + 1 :]
                    self.assertEqual(self.issuer.check(changed, NOW), FORGED)

    def test_rubbish(self) -> None:
        for text in (
            "",
            "x",
            "A" * 31,
            "A" * 32,
            "A" * 33,
            "=" * 32,
            "A" * 31 + "=",
            " " * 32,
            "\u0660" * 32,
        ):
            self.assertEqual(self.issuer.check(text, NOW), FORGED, text)
        self.assertEqual(self.issuer.check("\ud800" * 32, NOW), FORGED)
        self.assertEqual(self.issuer.check(self.issuer.issue(NOW)[:-1] + "\n", NOW), FORGED)

    def test_one_spelling(self) -> None:
        """What decodes to the same bytes in the other alphabet is not taken: 200 nonces hold both - and _."""
        seen = 0
        for _ in range(200):
            nonce = self.issuer.issue(NOW)
            other = nonce.replace("-", "+").replace("_", "/")
            if other != nonce:
                seen += 1
                self.assertEqual(self.issuer.check(other, NOW), FORGED)
        self.assertGreater(seen, 50)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(st.characters(codec=None), max_size=40) | st.text("AZaz09-_=+/", min_size=32, max_size=32))
    def test_nothing_escapes(self, text: str) -> None:
        self.assertEqual(self.issuer.check(text, NOW), FORGED)

    def test_short_secrets_are_refused(self) -> None:
        self.assertRaises(ValueError, NonceIssuer, b"0123456789abcde")
