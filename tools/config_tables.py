"""Write the configuration tables of the manual from the schema: `config_tables.py [--check] [PAGE...]`.

In a page, what stands between `<!-- config: sip tls -->` and `<!-- /config -->` is a section for each of
these tables of the schema in `rvoip.services.config`, in that order. Without pages: those of docs/roles.
With --check nothing is written, and the exit status is 1 when a page is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from rvoip.common.config_table import Row, describe
from rvoip.services.config import Config

ROLES = Path(__file__).parent.parent / "docs" / "roles"

_BLOCK = re.compile(r"(<!-- config: ([a-z0-9_ ]+) -->\n).*?(<!-- /config -->)", re.DOTALL)
_TABLES = ("table", "list of tables")


def tables(rows: Sequence[Row]) -> dict[str, tuple[Row, list[Row]]]:
    """Each table of the schema by its key, with its own rows; inner tables stand for themselves."""
    found: dict[str, tuple[Row, list[Row]]] = {}
    for row in rows:
        if row.type in _TABLES:
            found[row.key] = (row, [])
        else:
            found[row.key.rpartition(".")[0]][1].append(row)
    return found


def render(text: str, rows: Sequence[Row]) -> str:
    """The page `text` with its tables as they should be; ValueError for a table that is not in the schema."""
    found = tables(rows)

    def section(match: re.Match[str]) -> str:
        parts = [match[1]]
        for name in match[2].split():
            if name not in found:
                raise ValueError(f"there is no table [{name}]")
            for key, (table, inner) in found.items():
                if key == name or key.startswith((f"{name}.", f"{name}[")):
                    parts.append(_section(table, inner))
        return "\n".join([*parts, match[3]])

    return _BLOCK.sub(section, text)


def _section(table: Row, rows: Sequence[Row]) -> str:
    name = table.key.replace("[]", "")
    title = f"[[{name}]]" if table.key.endswith("[]") else f"[{name}]"
    lines = [f"### `{title}`", ""]
    if (doc := _sentence(table.doc)) and not doc.startswith("See "):
        lines += [doc, ""]
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        key = row.key.rpartition(".")[2]
        if row.default:
            default = f"`{_cell(row.default)}`"
        else:
            default = "must be given" if row.required else "not set"
        lines.append(f"| `{key}` | `{_cell(row.type)}` | {default} | {_cell(row.doc)} |")
    return "\n".join([*lines, ""])


def _sentence(doc: str) -> str:
    """What the class says of its table, without the table's name, which is the title already."""
    text = re.sub(r"^`\[.*?\]`: ", "", doc)
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def main(argv: Sequence[str] | None = None) -> int:
    """Bring the pages up to date, or say which are not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("pages", nargs="*", type=Path)
    args = parser.parse_args(argv)
    rows = describe(Config)
    status = 0
    for page in args.pages or sorted(ROLES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        wanted = render(text, rows)
        if wanted == text:
            continue
        if args.check:
            print(f"{page} is out of date: run tools/config_tables.py")
            status = 1
        else:
            page.write_text(wanted, encoding="utf-8")
            print(f"{page} written")
    return status


if __name__ == "__main__":
    sys.exit(main())
