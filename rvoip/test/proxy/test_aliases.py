from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.proxy.aliases import AliasError, Aliases, alias_target, read_aliases
from rvoip.proxy.numbers import NumberPlan
from rvoip.test.proxy.scene import sip

PLAN = NumberPlan("49", "00", "0", "+4930")
FILE = """
# name, targets
+49301234567, bob@example.test
sales@Example.Test, bob@example.test, sip:carol@example.test  # both ring
"""


class AliasTests(TestCase):
    def found(self, aliases: Aliases, uri: str) -> list[str]:
        return [str(one) for one in aliases.find(sip(uri), sip(uri).aor)]

    def test_names(self) -> None:
        aliases = Aliases(read_aliases(FILE), PLAN)
        self.assertEqual(len(aliases), 2)
        for uri, expected in (
            ("sip:+49301234567@example.test", ["sip:bob@example.test"]),
            ("sip:0301234567@other.test", ["sip:bob@example.test"]),
            ("sip:1234567@other.test", ["sip:bob@example.test"]),
            ("sip:sales@example.test", ["sip:bob@example.test", "sip:carol@example.test"]),
            ("sip:sales@other.test", []),
            ("sip:bob@example.test", []),
            ("sip:example.test", []),
        ):
            self.assertEqual(self.found(aliases, uri), expected, uri)

    def test_a_whole_address_before_a_bare_name(self) -> None:
        aliases = Aliases({"x": [sip("sip:1@a.test")], "x@a.test": [sip("sip:2@a.test")]}, PLAN)
        self.assertEqual(self.found(aliases, "sip:x@a.test"), ["sip:2@a.test"])
        self.assertEqual(self.found(aliases, "sip:x@b.test"), ["sip:1@a.test"])

    def test_refused(self) -> None:
        for text in ("a", "a,", ",b@c", "a,b", "a,tel:+49", "a,sip:", "x,bob@a b"):
            error = self.assertRaises(AliasError, read_aliases, f"\n{text}")
            self.assertIn("line 2", str(error))
        self.assertEqual(str(alias_target("sips:bob@a.test")), "sips:bob@a.test")
