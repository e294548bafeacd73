from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern, PatternError
from rvoip.proxy.rewrite import Rewrite, TargetURI, dialled
from rvoip.test.proxy.scene import sip

PLAN = NumberPlan("49", "00", "0", "+4930")


class DialledTests(TestCase):
    def test_user_parts(self) -> None:
        for text, expected in (
            ("sip:bob@a.test", "bob"),
            ("sip:%2b49301@a.test", "+49301"),
            ("sip:+4930-12;phone-context=x@a.test", "+4930-12"),
            ("sip:b;c@a.test", "b;c"),
            ("sip:a.test", ""),
            ("sip:%0d%0ax@a.test", "\r\nx"),
        ):
            self.assertEqual(dialled(sip(text)), expected)


class RewriteTests(TestCase):
    def uri(self, text: str, **options: object) -> str:
        return str(Rewrite(PLAN, **options).uri(sip(text)))  # type: ignore[arg-type]

    def test_nothing_to_do(self) -> None:
        uri = sip("sip:0301234567@a.test;x=1")
        self.assertIs(Rewrite(PLAN).uri(uri), uri)

    def test_forms(self) -> None:
        self.assertEqual(
            self.uri("sip:0301234567@a.test:5070;x=1", form="e164"), "sip:+49301234567@a.test:5070;x=1"
        )
        self.assertEqual(self.uri("sip:+49301234567@a.test", form="national"), "sip:0301234567@a.test")
        self.assertEqual(self.uri("sip:alice@a.test", form="e164"), "sip:alice@a.test")
        self.assertEqual(self.uri("sip:1-1-0@a.test", form="e164"), "sip:110@a.test")

    def test_strip_and_add(self) -> None:
        self.assertEqual(self.uri("sip:9123@a.test", strip=1, add="#"), "sip:#123@a.test")
        self.assertEqual(self.uri("sip:123@a.test", strip=3), "sip:123@a.test", "nothing would be left")
        self.assertEqual(self.uri("sip:00491@a.test", strip=2, add="+"), "sip:+491@a.test")

    def test_replace(self) -> None:
        pattern = Pattern(r"^0([1-9]\d+)$")
        self.assertEqual(self.uri("sip:0301@a.test", pattern=pattern, replace=r"+49\1"), "sip:+49301@a.test")
        self.assertEqual(self.uri("sip:x@a.test", pattern=pattern, replace=r"+49\1"), "sip:x@a.test")

    def test_escapes_what_needs_it(self) -> None:
        pattern = Pattern(r"^(.*)$")
        made = self.uri("sip:a%0d%0aX-Evil%3a1%40b@a.test", pattern=pattern, replace=r"\1.")
        self.assertEqual(made, "sip:a%0D%0AX-Evil%3A1%40b.@a.test")

    def test_refused(self) -> None:
        self.assertRaises(PatternError, Rewrite, PLAN, replace="x")
        self.assertRaises(PatternError, Rewrite, PLAN, pattern=Pattern("(a)"), replace=r"\2")


class TargetTests(TestCase):
    def test_keeps_the_user(self) -> None:
        target = TargetURI("sip:gw.test:5070;transport=tcp")
        self.assertTrue(target.keeps_user)
        self.assertEqual(str(target.uri(sip("sip:12@a.test"))), "sip:12@gw.test:5070;transport=tcp")

    def test_groups(self) -> None:
        target = TargetURI(r"sip:\1@b.test", 1)
        self.assertEqual(str(target.uri(sip("sip:x@a.test"), ("w", "12"))), "sip:12@b.test")
        self.assertEqual(
            str(target.uri(sip("sip:x@a.test"), ("w", "1@evil.test;x"))), "sip:1%40evil.test;x@b.test"
        )

    def test_refused(self) -> None:
        self.assertRaises(PatternError, TargetURI, r"sip:\2@b.test", 1)
        for text in ("tel:+49", "b.test", "sip:"):
            self.assertRaises(SIPParseError, TargetURI, text)
