"""The configuration tables of the manual are those of the schema."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Annotated

import msgspec
from twisted.trial.unittest import TestCase

from rvoip.common.config_table import describe
from rvoip.services.config import Config
from rvoip.test.tools import load


class Inner(msgspec.Struct):
    """`[[outer.inner]]`: many of these."""

    name: str
    """What it is called."""


class Outer(msgspec.Struct):
    """`[outer]`: the one."""

    mode: Annotated[str, msgspec.Meta()] = "a|b"
    """This | that."""
    limit: int | None = None
    """How many."""
    inner: list[Inner] = msgspec.field(default_factory=list)
    """See `[[outer.inner]]`."""


class Schema(msgspec.Struct):
    """A file."""

    outer: Outer = msgspec.field(default_factory=Outer)


PAGE = """\
# Title

<!-- config: outer -->
old
<!-- /config -->
after
"""

WRITTEN = """\
# Title

<!-- config: outer -->

### `[outer]`

The one.

| key | type | default | meaning |
|---|---|---|---|
| `mode` | `str` | `"a\\|b"` | This \\| that. |
| `limit` | `int` | not set | How many. |

### `[[outer.inner]]`

| key | type | default | meaning |
|---|---|---|---|
| `name` | `str` | must be given | What it is called. |

<!-- /config -->
after
"""


class ConfigTableTests(TestCase):
    """tools/config_tables.py."""

    def setUp(self) -> None:
        self.tool = load("config_tables")

    def test_a_page_is_written(self) -> None:
        rows = describe(Schema)
        self.assertEqual(self.tool.render(PAGE, rows), WRITTEN)
        self.assertEqual(self.tool.render(WRITTEN, rows), WRITTEN)

    def test_an_unknown_table(self) -> None:
        with self.assertRaisesRegex(ValueError, r"there is no table \[outer\]"):
            self.tool.render(PAGE, describe(Config))

    def test_check_writes_nothing(self) -> None:
        page = Path(self.mktemp())
        page.write_text(PAGE.replace("outer", "log"), encoding="utf-8")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(self.tool.main(["--check", str(page)]), 1)
        self.assertIn("is out of date", out.getvalue())
        self.assertIn("old", page.read_text(encoding="utf-8"))
        with contextlib.redirect_stdout(out):
            self.assertEqual(self.tool.main([str(page)]), 0)
            self.assertEqual(self.tool.main(["--check", str(page)]), 0)

    def test_the_manual_is_up_to_date(self) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(self.tool.main(["--check"]), 0, out.getvalue())

    def test_the_manual_has_every_key(self) -> None:
        rows = describe(Config)
        pages = {path.stem: path.read_text(encoding="utf-8") for path in self.tool.ROLES.glob("*.md")}
        self.assertEqual(set(pages), {"registrar", "proxy"})
        for row in rows:
            if row.type in ("table", "list of tables"):
                name = row.key.replace("[]", "")
                title = f"### `[[{name}]]`" if row.key.endswith("[]") else f"### `[{name}]`"
                self.assertIn(title, pages["proxy"])
                if name.partition(".")[0] not in ("proxy", "records"):
                    self.assertIn(title, pages["registrar"])
