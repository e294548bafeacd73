"""The text of the matrix becomes rules."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest, TestCase

from rvoip.test.tools import TOOLS, load


def page(*lines: str) -> str:
    return "\n".join(
        ["# A page", "", "```{code-block} text", ":name: matrix", "", *lines, "```", "", "More."]
    )


class MatrixTextTests(TestCase):
    """`read_matrix`, which is strict: a rule that is misread is a wall that is not there."""

    def setUp(self) -> None:
        self.matrix = load("matrix")

    def allowed(self, *lines: str) -> dict[str, set[str]]:
        return {name: set(row.allowed) for name, row in self.matrix.read_matrix(page(*lines)).items()}

    def test_a_package_may_import_what_its_packages_may(self) -> None:
        rows = self.allowed("a, b.c -> (nothing)", "", "d  -> b.c   # a remark", "e -> d, a", "f -> e")
        self.assertEqual(
            rows,
            {"a": set(), "b.c": set(), "d": {"b.c"}, "e": {"a", "b.c", "d"}, "f": {"a", "b.c", "d", "e"}},
        )

    def test_words_with_a_meaning(self) -> None:
        rows = self.allowed("a -> anything", "b -> interfaces")
        self.assertEqual(rows, {"a": {"anything"}, "b": {"interfaces"}})

    def test_never(self) -> None:
        rows = self.matrix.read_matrix(page("a -> (nothing)", "b -> a never numpy, scipy", "c -> b"))
        self.assertEqual(rows["b"], ({"a"}, {"numpy", "scipy"}))
        self.assertEqual(rows["c"], ({"a", "b"}, set()))

    def test_lines_that_cannot_be_read(self) -> None:
        cases = [
            ("a", "cannot read the line: a"),
            ("a ->", "cannot read the line: a ->"),
            ("-> a", "cannot read the line: -> a"),
            ("a -> (nothing)\na -> (nothing)", "a has two lines"),
            ("a -> b, c\nb -> (nothing)", "a names c, which has no line"),
        ]
        for line, message in cases:
            with self.subTest(line):
                error = self.assertRaises(self.matrix.MatrixError, self.matrix.read_matrix, page(line))
                self.assertEqual(str(error), message)

    def test_a_page_without_a_matrix(self) -> None:
        text = "```{code-block} text\na -> (nothing)\n```\n"
        self.assertRaises(self.matrix.MatrixError, self.matrix.read_matrix, text)

    def test_the_matrix_of_this_project(self) -> None:
        path = TOOLS.parent / "docs/architecture.md"
        if not path.exists():
            raise SkipTest("docs/ is in a checkout only")
        rows = self.matrix.read_matrix(path.read_text(encoding="utf-8"))
        self.assertEqual(rows["protocols.sip"].allowed, frozenset())
        self.assertEqual(rows["registrar"].allowed, {"protocols.sip", "common"})
        self.assertEqual(
            rows["proxy"].allowed,
            {"protocols." + name for name in ("dialog", "sdp", "sip", "transport")}
            | {"mediacontrol", "common"},
        )
        self.assertEqual(rows["b2bua"].never, {"numpy"})
