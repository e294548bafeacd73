"""Write the tables of docs/reference/media-api.md from the code: `media_api_tables.py [--check] [PAGE]`.

What stands between `<!-- media: operations -->`, `<!-- media: requests -->`, `<!-- media: answers -->` or
`<!-- media: events -->` and `<!-- /media -->` is made from rvoip.mediacontrol. With --check nothing is
written, and the exit status is 1 when the page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import FieldInfo, fields

from rvoip.mediacontrol import events, schema
from rvoip.mediacontrol.operations import OPERATIONS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "media-api.md"

_BLOCK = re.compile(r"(<!-- media: ([a-z]+) -->\n).*?(<!-- /media -->)", re.DOTALL)


def _documented(kind: type[Any]) -> dict[str, tuple[str, str]]:
    """Each field of a struct: its type as written, and the text below it."""
    found: dict[str, tuple[str, str]] = {}
    for one in reversed(kind.__mro__[:-2]):
        if one.__module__.startswith("msgspec"):
            continue
        body = ast.parse(inspect.getsource(one)).body[0]
        assert isinstance(body, ast.ClassDef)
        last = ""
        for node in body.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                last = node.target.id
                found[last] = (_short(ast.unparse(node.annotation)), "")
            elif last and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                found[last] = (found[last][0], " ".join(str(node.value.value).split()))
                last = ""
    return found


def _short(written: str) -> str:
    """A type without its limits, in JSON's words."""
    written = re.sub(r"Annotated\[(.+?), Meta\([^()]*(?:\([^()]*\)[^()]*)*\)\]", r"\1", written)
    for python, json in (
        (r"Literal\[(.*?)\]", lambda match: match[1].replace(", ", " \\| ").replace("'", "")),
        (r"\b(str|Sdp|Identifier|LeaseName|CodecName|Name|Source|Digits)\b", "text"),
        (r"\b(float)\b", "number"),
        (r"\b(int)\b", "integer"),
        (r"\bbool\b", "true \\\\| false"),
        (r"\bCodecs\b", "list[text]"),
        (r"\bDirection\b", "sendrecv \\\\| sendonly \\\\| recvonly \\\\| inactive"),
        (r" \| None", ""),
        (r"list\[(\w+)\]", r"list of \1"),
    ):
        written = re.sub(python, json, written)
    return written


def _limits(kind: type[Any]) -> dict[str, str]:
    """What the schema says of the sizes of each field."""
    described = msgspec.json.schema_components([kind], ref_template="{name}")[1]
    properties: dict[str, Any] = described.get(kind.__name__, {})
    found = {}
    for name, each in properties.get("properties", {}).items():
        for inner in each.get("anyOf", [each]):
            bounds = [
                f"{inner[low]} to {inner[high]}{unit}"
                for low, high, unit in (
                    ("minimum", "maximum", ""),
                    ("minLength", "maxLength", " characters"),
                    ("minItems", "maxItems", " of them"),
                )
                if low in inner and high in inner
            ]
            if bounds:
                found[name] = ", ".join(bounds)
    return found


def _default(field: FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if not callable(field.default_factory) else field.default_factory()
    if value is None or value == "" or value == [] or not isinstance(value, str | int | float | bool):
        return ""
    return f"`{value}`".lower() if isinstance(value, bool) else f"`{value}`"


def _struct(kind: type[Any], title: str) -> list[str]:
    documented, limits = _documented(kind), _limits(kind)
    lines = [f"### {title}", "", " ".join(str(kind.__doc__).split()), ""]
    rows = []
    for field in fields(kind):
        written, meaning = documented.get(field.name, ("", ""))
        said = "; ".join(each for each in (meaning.rstrip("."), limits.get(field.name, "")) if each)
        rows.append(f"| `{field.encode_name}` | {written} | {_default(field)} | {said} |")
    if rows:
        lines += ["| member | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    return lines


def section(name: str) -> list[str]:
    """The lines of one block; KeyError for one that is not known."""
    if name == "operations":
        lines = ["| request | body | answer | what it does |", "|---|---|---|---|"]
        for each in OPERATIONS:
            value = each.body or each.query
            asked = value.__name__ if value is not None else ""
            answered = each.response.__name__ if each.response is not None else ""
            lines.append(
                f"| `{each.method} {each.path}` | {asked} | {each.status} {answered} | {each.summary} |"
            )
        return [*lines, ""]
    if name == "events":
        return [line for each in events.EVENTS for line in _struct(each, f"`{each.__struct_config__.tag}`")]
    base = {"requests": schema.Request, "answers": schema.Reply}[name]
    kinds = [
        value
        for value in vars(schema).values()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    ]
    return [line for kind in kinds for line in _struct(kind, kind.__name__)]


def render(text: str) -> str:
    """The page with its tables as they should be."""
    return _BLOCK.sub(lambda match: "\n".join([match[1], *section(match[2]), match[3]]), text)


def main(arguments: list[str]) -> int:
    """Write, or check; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the tables of the media server's API.")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("page", nargs="?", type=Path, default=PAGE)
    options = parser.parse_args(arguments)
    before = options.page.read_text(encoding="utf-8")
    after = render(before)
    if options.check:
        return int(before != after)
    options.page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
