from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.proxy.pattern import LONGEST_TEXT, Pattern, PatternError, expand

LIKE_RE = [
    r"^(.*)$",
    r"^\+44(.*)$",
    r"a|b|cd",
    r"^(\d{2,4})(\d+)$",
    r"[^0-9]+",
    r"x?y??z+?",
    r"(?:ab)+c",
    r"[0-9a-c]+",
    r"(a|ab)(c|bcd)(d*)",
    r"^(0|00|011)([1-9]\d*)$",
    r"(a+)+$",
    r"(a){2,}b?",
    r"\w+\s\S",
    r"[]a-]+",
    r"a{0}b",
    r"^$",
    r"(^a)?b",
    r"^ab*c",
    r"^0{2}1",
    r"^(?:ab|ac)d?",
    r"(^a|b)c",
    r"(a|b|)+c",
]

ENDLESS = "(a*)*" * 60 + "b"


class PatternTests(TestCase):
    @given(st.sampled_from(LIKE_RE), st.text(alphabet="ab cd0123+xyz4-]", max_size=10))
    @settings(derandomize=True, deadline=None, max_examples=600)
    def test_finds_what_re_finds(self, expression: str, text: str) -> None:
        match = re.compile(expression, re.ASCII).search(text)
        expected = None if match is None else (match[0], *match.groups())
        found = Pattern(expression).search(text)
        if expression == r"(a|b|)+c" and found is not None and expected is not None:
            found, expected = found[:1], expected[:1]  # an empty last turn of a group may be told or not
        self.assertEqual(found, expected, (expression, text))

    def test_classes(self) -> None:
        self.assertEqual(Pattern(r"[[:digit:]]+").search("ab12c"), ("12",))
        self.assertEqual(Pattern(r"[[:alpha:]]+").search("12abc"), ("abc",))
        self.assertEqual(Pattern(r"[\d+]+").search("x+49"), ("+49",))
        self.assertEqual(Pattern(r"[^\d]").search("1x"), ("x",))
        self.assertIsNone(Pattern(r"\d").search("٣"), "Arabic digits are no digits")

    def test_case(self) -> None:
        self.assertIsNone(Pattern("Sales").search("sales"))
        self.assertEqual(Pattern("Sales|[X-Z]", ignore_case=True).search("sALES"), ("sALES",))
        self.assertEqual(Pattern("[X-Z]", ignore_case=True).search("y"), ("y",))

    def test_groups_that_took_no_part(self) -> None:
        self.assertEqual(Pattern("(a)|(b)").search("b"), ("b", None, "b"))
        self.assertEqual(Pattern("(a)|(b)").groups, 2)

    def test_refused(self) -> None:
        for expression in (
            "(", ")", "a)", "[", "[a", "*", "+a", "a{", "a{x}", "a{3,2}", "a{1000}", "a{1_0}", "a{٣}",
            "(?=a)", "(?P<n>a)", r"\1", r"\b", "\\", r"[\1]", "[z-a]", "[[:nope:]]", "x" * 2000,
            "(" * 50 + ")" * 50, "|" * 50, "a{200}{200}", "((a{50}){50}){50}",
        ):  # fmt: skip
            self.assertRaises(PatternError, Pattern, expression)

    def test_work_is_bounded(self) -> None:
        """An expression that takes backtracking matchers for ever: counted in steps, not seconds."""
        text = "a" * LONGEST_TEXT
        steps = Steps()
        pattern = Pattern(ENDLESS)
        self.assertIsNone(pattern._run(text, 0, steps))
        self.assertLess(len(steps), len(pattern._program) * (len(text) + 1) + 1)
        self.assertIsNone(pattern.search(text))

    def test_long_texts_match_nothing(self) -> None:
        self.assertIsNotNone(Pattern("a").search("a" * LONGEST_TEXT))
        self.assertIsNone(Pattern("a").search("a" * (LONGEST_TEXT + 1)))

    @given(st.text(alphabet="ab()[]{}*+?|^$\\.,-:012", max_size=30), st.text(alphabet="ab012", max_size=30))
    @settings(derandomize=True, deadline=None, max_examples=1000)
    def test_only_its_own_error(self, expression: str, text: str) -> None:
        try:
            Pattern(expression, ignore_case=True).search(text)
        except PatternError:
            pass


class Steps(set[int]):
    """Fails when the same step is taken twice."""

    def add(self, key: int) -> None:
        assert key not in self
        super().add(key)


class ExpandTests(TestCase):
    def test_groups(self) -> None:
        self.assertEqual(expand(r"sip:\1@x", ["whole", "bob"]), "sip:bob@x")
        self.assertEqual(expand(r"\0-\2", ["w", "a", None]), "w-")
        self.assertEqual(expand(r"a\\1", ["w"]), r"a\1")
        self.assertEqual(expand("plain", []), "plain")

    def test_refused(self) -> None:
        for template in (r"\1", r"\x", "\\", r"\٣"):
            self.assertRaises(PatternError, expand, template, ["w"])
