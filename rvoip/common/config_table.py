"""What a configuration schema has to offer, as rows for a table in the docs and as a file of defaults."""

from __future__ import annotations

import ast
import inspect as source
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

__all__ = ["Row", "defaults_file", "describe"]


class Row(msgspec.Struct, frozen=True):
    """One key of a schema, or one of its tables."""

    key: str
    """Dotted, `[]` after the name of a list of tables: `proxy.route[].to`."""
    type: str
    """For a reader: `int, 1 to 10`, `"text" | "json"`, `list of str`, `table`."""
    default: str
    """As TOML; empty for a table, for what must be given, and for what is not set by default."""
    doc: str
    """The text under the field in the schema, or under the class for a table, on one line."""
    required: bool
    """Whether there must be a value."""


def describe(schema: type[msgspec.Struct]) -> list[Row]:
    """List all keys of `schema`, each table before its keys, in the order of the schema."""
    kind = inspect.type_info(schema)
    if not isinstance(kind, inspect.StructType):
        raise TypeError(f"{schema!r} is no msgspec.Struct")
    return list(_rows(kind, "", ()))


def _rows(struct: inspect.StructType, prefix: str, above: tuple[type, ...]) -> Iterator[Row]:
    docs = _field_docs(struct.cls)
    for field in struct.fields:
        key = prefix + field.encode_name
        inner, listed = _inner(field.type)
        doc = _description(field.type) or docs.get(field.name, "")
        if inner is None:
            yield Row(key, _type_text(field.type), _default_text(field), doc, field.required)
        elif inner.cls not in above:
            key += "[]" if listed else ""
            doc = doc or _one_line((inner.cls.__doc__ or "").partition("\n\n")[0])
            yield Row(key, "list of tables" if listed else "table", "", doc, field.required)
            yield from _rows(inner, f"{key}.", (*above, inner.cls))


def defaults_file(schema: type[msgspec.Struct]) -> str:
    """Write a TOML file that sets each key of `schema` to its default, with the docs as comments.

    What has no default, and what stands in a table that is absent by default, is commented out.
    """
    kind = inspect.type_info(schema)
    assert isinstance(kind, inspect.StructType)
    absent = {
        field.encode_name
        for field in kind.fields
        if _inner(field.type)[0] is not None and not field.required and _default(field) is None
    }
    lines: list[str] = []
    for row in _keys_before_tables(describe(schema)):
        off = "# " if "[]" in row.key or row.key.partition(".")[0] in absent else ""
        if row.type in ("table", "list of tables"):
            name = row.key.replace("[]", "")
            lines += [
                "",
                *_comment(row.doc),
                off + (f"[[{name}]]" if row.key.endswith("[]") else f"[{name}]"),
            ]
        else:
            name = row.key.rpartition(".")[2]
            lines += _comment(row.doc)
            lines.append(f"{off}{name} = {row.default}" if row.default else f"# {name} =   ({row.type})")
    return "\n".join(lines).strip("\n") + "\n"


def _keys_before_tables(rows: list[Row]) -> list[Row]:
    """Move each table's own keys before its inner tables, where TOML wants them."""
    tables = {row.key for row in rows if row.type in ("table", "list of tables")}
    groups: dict[str, list[Row]] = {"": []}
    for row in rows:
        if row.key in tables:
            groups[row.key] = [row]
        else:
            groups[row.key.rpartition(".")[0]].append(row)
    return [row for group in groups.values() for row in group]


def _comment(doc: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(doc, 100)]


def _inner(kind: inspect.Type) -> tuple[inspect.StructType | None, bool]:
    """Return the struct that a type is, or is a list of, and whether it is a list."""
    if isinstance(kind, inspect.Metadata):
        return _inner(kind.type)
    if isinstance(kind, inspect.StructType):
        return kind, False
    if isinstance(kind, inspect.UnionType):
        for member in kind.types:
            found, listed = _inner(member)
            if found is not None:
                return found, listed
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return _inner(kind.item_type)[0], True
    return None, False


def _description(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.Metadata):
        return _one_line((kind.extra_json_schema or {}).get("description", "")) or _description(kind.type)
    return ""


_PLACES = {"path": "path", "store": "store URL", "listen": "address"}


def _type_text(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata():
            return _PLACES.get((kind.extra or {}).get("place", ""), "") or _type_text(kind.type)
        case inspect.UnionType():
            return " | ".join(_type_text(one) for one in kind.types if not isinstance(one, inspect.NoneType))
        case inspect.LiteralType():
            return " | ".join(_toml(value) for value in kind.values)
        case inspect.ListType() | inspect.VarTupleType():
            return f"list of {_type_text(kind.item_type)}"
        case inspect.DictType():
            return f"table of {_type_text(kind.value_type)}"
        case inspect.IntType() | inspect.FloatType():
            return ("int" if isinstance(kind, inspect.IntType) else "float") + _range_text(kind)
        case inspect.StructType():
            return "table"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _range_text(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f", {kind.ge} to {kind.le}"
    bounds = [("at least ", kind.ge), ("above ", kind.gt), ("at most ", kind.le), ("below ", kind.lt)]
    return "".join(f", {word}{bound}" for word, bound in bounds if bound is not None)


def _default(field: inspect.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return None if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _default_text(field: inspect.Field) -> str:
    value = None if field.required else _default(field)
    return "" if value is None else _toml(value)


def _toml(value: object) -> str:
    """Write a plain value as TOML, which is JSON but for tables, DEL, and what a set or a tuple is."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return (
            "["
            + ", ".join(
                _toml(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)
            )
            + "]"
        )
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def _field_docs(cls: type) -> dict[str, str]:
    """Read the string under each field of a class and of its bases; empty where there is no source."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not (issubclass(base, msgspec.Struct) and base is not msgspec.Struct):
            continue
        try:
            tree = ast.parse(textwrap.dedent(source.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue
        (body,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                docs[field.target.id] = _one_line(text.value.value)
    return docs
