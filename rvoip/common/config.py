"""Strict configuration: one TOML file, overridden by the environment, decoded into structs.

A schema is a `msgspec.Struct` whose fields are tables, each a struct again, all with `forbid_unknown_fields`
and with defaults. Whatever is wrong is one ConfigError and one line: file, key, reason, and what was perhaps
meant.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import inspect

from rvoip.common.errors import ConfigError

__all__ = ["ConfigPath", "ListenURL", "StoreURL", "load_config", "overlay"]

T = TypeVar("T", bound=msgspec.Struct)

ConfigPath = Annotated[str, msgspec.Meta(extra={"place": "path"})]
"""A path; a relative one starts at the configuration file's folder. Empty means none."""

StoreURL = Annotated[str, msgspec.Meta(extra={"place": "store"})]
"""`memory:`, `sqlite:PATH` with a path as in ConfigPath, or the URL of a server."""

ListenURL = Annotated[str, msgspec.Meta(extra={"place": "listen"})]
"""`host:port`, `transport:host:port`, or `unix:PATH` with a path as in ConfigPath."""

PREFIX: Final = "RVOIP_"
SIZE_LIMIT: Final = 16 << 20
"""Bytes of a configuration file."""

_PLACE_PREFIX: Final = {"path": "", "store": "sqlite:", "listen": "unix:"}
_AT: Final = re.compile(r"(.*?)(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_CHOICE: Final = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_TOML_PLACE: Final = re.compile(r"(.*) \(at (line \d+, column \d+|end of document)\)", re.DOTALL)
_TABLE_LINE: Final = re.compile(r"^[ \t]*\[[ \t]*([\w-]+)[ \t]*\]", re.MULTILINE)
_WORDS: Final = {"object": "table", "array": "list", "object | null": "table", "array | null": "list"}


def load_config(
    path: str | None,
    schema: type[T],
    environ: Mapping[str, str],
    *,
    role: str = "",
    overridable: frozenset[str] = frozenset(),
) -> T:
    """Read the TOML file at `path`, or none; apply `RVOIP_TABLE__KEY=value` of `environ`; decode strictly.

    The tables named in `overridable` may stand inside a table of any role, `[NAME.sip]`: those of `role` are
    laid over `[sip]`, those of other roles are only checked. A value from the environment is a TOML value if
    it is one, else a string. Raises ConfigError.
    """
    kind = inspect.type_info(schema)
    if not isinstance(kind, inspect.StructType):
        raise TypeError(f"{schema!r} is no msgspec.Struct")
    loading = _Loading(path, kind, overridable)
    loading.read()
    loading.apply(environ)
    config = loading.decode(schema, role)
    folder = os.path.dirname(os.path.abspath(path)) if path is not None else os.getcwd()
    placed: T = _placed(config, kind, folder)
    return placed


def overlay(base: dict[str, Any], role: str, tables: Iterable[str]) -> dict[str, Any]:
    """Lay `[ROLE.TABLE]` over `[TABLE]` for each of `tables`; a new dict, `base` stays as it is.

    Tables merge key by key; any other value replaces. A `[ROLE]` that held nothing else is gone, so that it
    does not count as configured.
    """
    own = base.get(role)
    if not isinstance(own, dict):
        return dict(base)
    moved = {table: own[table] for table in tables if table in own}
    if not moved:
        return dict(base)
    result = {key: value for key, value in base.items() if key != role}
    rest = {key: value for key, value in own.items() if key not in moved}
    if rest:
        result[role] = rest
    for table, value in moved.items():
        result[table] = _merged(base[table], value) if table in base else value
    return result


def _merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {
        **below,
        **{key: _merged(below[key], value) if key in below else value for key, value in above.items()},
    }


class _Loading:
    """One file on its way to a struct, with what is needed to say where a mistake is."""

    def __init__(self, path: str | None, kind: inspect.StructType, overridable: frozenset[str]) -> None:
        self.path = path
        self.kind = kind
        self.overridable = overridable
        self.raw: dict[str, Any] = {}
        self.common: dict[str, Any] = {}  # what all roles read
        self.overrides: dict[str, dict[str, Any]] = {}  # name of a role: its own tables
        self.declared: set[str] = set()  # tables with a line of their own, which tells [a] from [a.b]
        self.variables: dict[str, str] = {}  # dotted key: the variable that set it

    @property
    def file(self) -> str:
        return self.path if self.path is not None else "defaults"

    # Reading

    def read(self) -> None:
        if self.path is None:
            return
        try:
            with open(self.path, "rb") as file:
                content = file.read(SIZE_LIMIT + 1)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(self.path, "", f"cannot be read: {reason}") from None
        if len(content) > SIZE_LIMIT:
            raise ConfigError(self.path, "", f"is larger than {SIZE_LIMIT >> 20} MiB")
        try:
            text = content.decode("utf-8-sig")
            self.raw = tomllib.loads(text)
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigError(self.path, f"line {line}", "is not UTF-8") from None
        except RecursionError:
            raise ConfigError(self.path, "", "is nested too deeply") from None
        except ValueError as error:  # tomllib.TOMLDecodeError, or an integer of thousands of digits
            match = _TOML_PLACE.fullmatch(str(error))
            place, reason = (match[2], match[1]) if match else ("", str(error))
            lines = text.split("\n")
            if place == "end of document":
                place = f"line {len(lines)}, end of file"
            if reason == "Cannot overwrite a value" and (number := re.match(r"line (\d+)", place)):
                key = lines[int(number[1]) - 1].partition("=")[0].strip()
                raise ConfigError(self.path, place, f"{key} is set twice") from None
            raise ConfigError(self.path, place, f"no valid TOML: {_decapitalized(reason)}") from None
        self.declared = set(_TABLE_LINE.findall(text))
        self._check_numbers(self.raw, "", 0)

    def _check_numbers(self, value: Any, key: str, depth: int) -> None:
        """Refuse nan and inf, which a schema does not always do, and nesting deeper than a decoder goes."""
        if depth > 64:
            raise ConfigError(self.file, key[:80], "is nested too deeply")
        if isinstance(value, dict):
            for name, item in value.items():
                self._check_numbers(item, f"{key}.{name}" if key else name, depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._check_numbers(item, f"{key}[{index}]", depth + 1)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(self.file, key, "must be a finite number")

    # The environment

    def apply(self, environ: Mapping[str, str]) -> None:
        """Set what variables like `RVOIP_REGISTRAR__MIN_EXPIRES` name."""
        for variable in sorted(environ):
            if not variable.startswith(PREFIX):
                continue
            parts = variable[len(PREFIX) :].split("__")
            if len(parts) == 1 and _field_of_variable(self.kind, parts[0]) is None:
                continue  # RVOIP_BIN and the like: another program's, or a tool's
            self._set(variable, *self._find(variable, parts), environ[variable])

    def _find(self, variable: str, parts: list[str]) -> tuple[list[str], inspect.Type]:
        """Return the keys that a variable names and the type of what it sets."""
        kind: inspect.Type = self.kind
        keys: list[str] = []
        for position, part in enumerate(parts):
            struct = _struct(kind)
            field = _field_of_variable(struct, part) if struct is not None else None
            if field is not None:
                keys.append(field.encode_name)
                kind = field.type
            elif (
                position == 1
                and part.lower() in self.overridable
                and (override := _field_of_variable(self.kind, part)) is not None
            ):
                keys.append(override.encode_name)
                kind = override.type
            elif part and isinstance(mapping := _bare(kind), inspect.DictType):
                keys.append(part.lower())
                kind = mapping.value_type
            else:
                raise ConfigError(variable, "", "unknown key", self._near_variable(parts, position, struct))
        return keys, kind

    @staticmethod
    def _near_variable(parts: list[str], position: int, struct: inspect.StructType | None) -> str:
        names = [_variable_part(field.encode_name) for field in struct.fields] if struct is not None else []
        near = difflib.get_close_matches(parts[position], names, n=1)
        return f"did you mean {PREFIX}{'__'.join([*parts[:position], *near])}?" if near else ""

    def _set(self, variable: str, keys: list[str], kind: inspect.Type, text: str) -> None:
        value: Any = text
        try:
            parsed = tomllib.loads(f"value = {text}")
        except (ValueError, RecursionError):
            pass
        else:
            # A line break in the text may have made more than one value of it; and a token that is all digits
            # is a string where a string is wanted.
            if list(parsed) == ["value"] and (isinstance(parsed["value"], str) or not _is_text(kind)):
                value = parsed["value"]
        key = ".".join(keys)
        self._check_variable(variable, key, value)
        table = self.raw
        for name in keys[:-1]:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(variable, key, f"{name} is no table in {self.file}")
        table[keys[-1]] = value
        self.variables[key] = variable

    def _check_variable(self, variable: str, key: str, value: Any) -> None:
        try:
            self._check_numbers(value, key, 0)
        except ConfigError as error:
            raise ConfigError(variable, error.key, error.reason) from None

    # Decoding

    def decode(self, schema: type[T], role: str) -> T:
        """Decode for `role`, after a look at what the file says for other roles."""
        self._split()
        for name in self.overrides:
            if name != role:
                self._convert(schema, name)
        return self._convert(schema, role)

    def _split(self) -> None:
        """Take the `[NAME.TABLE]` that override a `[TABLE]` out of what all roles read."""
        for name, table in self.raw.items():
            moved: dict[str, Any] = {}
            kind = self._field_type(self.kind, name)
            if isinstance(table, dict) and kind is not None:
                moved = {
                    key: value
                    for key, value in table.items()
                    if key in self.overridable and self._field_type(_struct(kind), key) is None
                }
            if moved:
                self.overrides[name] = moved
                table = {key: value for key, value in table.items() if key not in moved}
            if table or not moved or name in self.declared:
                self.common[name] = table

    def _convert(self, schema: type[T], role: str) -> T:
        view = self.common
        if moved := self.overrides.get(role):
            whole = {**view, role: {**view.get(role, {}), **moved}}
            view = {**overlay(whole, role, moved), **({role: view[role]} if role in view else {})}
        try:
            return msgspec.convert(view, schema)
        except msgspec.ValidationError as error:
            raise self._mistake(str(error), role) from None

    def _mistake(self, text: str, role: str) -> ConfigError:
        """Turn what msgspec says into file, key, reason and remedy."""
        match = _AT.fullmatch(text)
        reason, key = (match[1], match[2] or "") if match else (text, "")
        remedy = ""
        if unknown := _UNKNOWN.fullmatch(reason):
            remedy = self._nearest(key, unknown[1])
            key, reason = _joined(key, unknown[1]), "unknown key"
        elif missing := _MISSING.fullmatch(reason):
            key, reason = _joined(key, missing[1]), "is missing"
        elif (choice := _CHOICE.fullmatch(reason)) and (values := _choices(self._type_at(key))):
            reason = f"{choice[1]} is not one of {', '.join(map(_toml, values))}"
            near = difflib.get_close_matches(choice[1].strip("'"), map(str, values), n=1)
            remedy = f"did you mean {_toml(near[0])}?" if near else ""
        else:
            reason = _worded(reason)
        written = key
        table, _, rest = key.partition(".")
        inside = self.overrides.get(role, {}).get(table)
        if inside is not None and (not isinstance(inside, dict) or re.split(r"[.\[]", rest)[0] in inside):
            written = f"{role}.{key}"
        for dotted, variable in self.variables.items():
            if written == dotted or written.startswith((f"{dotted}.", f"{dotted}[")):
                return ConfigError(variable, written, reason, remedy)
        return ConfigError(self.file, written, reason, remedy)

    def _nearest(self, table: str, name: str) -> str:
        """Guess what an unknown key was meant to be: one spelt alike, or one of another table."""
        kind = self._type_at(table)
        struct = _struct(kind) if kind is not None else None
        names = [field.encode_name for field in struct.fields] if struct is not None else []
        if near := difflib.get_close_matches(name, names, n=1):
            return f"did you mean {near[0]}?"
        for field in self.kind.fields:
            inner = _struct(field.type)
            if inner is not None and self._field_type(inner, name) is not None:
                return f"did you mean {field.encode_name}.{name}?"
        if near := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
            return f"did you mean {near[0]}?"  # of t1 and tl, half of the letters are alike
        return f"known here: {', '.join(sorted(names))}" if 0 < len(names) <= 12 else ""

    def _type_at(self, key: str) -> inspect.Type | None:
        kind: inspect.Type | None = self.kind
        for part in re.findall(r"[^.\[\]]+|\[[^\]]*\]", key):
            if kind is None:
                return None
            if part.startswith("["):
                bare = _bare(kind)
                kind = getattr(bare, "item_type", None) or getattr(bare, "value_type", None)
            else:
                kind = self._field_type(_struct(kind), part)
        return kind

    @staticmethod
    def _field_type(struct: inspect.StructType | None, name: str) -> inspect.Type | None:
        if struct is not None:
            for field in struct.fields:
                if field.encode_name == name:
                    return field.type
        return None


def _bare(kind: inspect.Type) -> inspect.Type:
    """Take annotations and `| None` off a type."""
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
            if len(members) != 1:
                return kind
            kind = members[0]
        else:
            return kind


def _struct(kind: inspect.Type) -> inspect.StructType | None:
    bare = _bare(kind)
    return bare if isinstance(bare, inspect.StructType) else None


def _is_text(kind: inspect.Type) -> bool:
    bare = _bare(kind)
    return isinstance(bare, inspect.StrType) or (
        isinstance(bare, inspect.LiteralType) and all(isinstance(value, str) for value in bare.values)
    )


def _choices(kind: inspect.Type | None) -> tuple[Any, ...]:
    bare = _bare(kind) if kind is not None else None
    return tuple(bare.values) if isinstance(bare, inspect.LiteralType) else ()


def _variable_part(name: str) -> str:
    return name.upper().replace("-", "_")


def _field_of_variable(struct: inspect.StructType, part: str) -> inspect.Field | None:
    for field in struct.fields:
        if _variable_part(field.encode_name) == part:
            return field
    return None


def _joined(table: str, name: str) -> str:
    return f"{table}.{name}" if table else name


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _decapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]


def _worded(reason: str) -> str:
    """Say what msgspec says in TOML's words: "Expected `object`, got `int`" is "expected table, got int"."""
    return _decapitalized(
        re.sub(r"`([^`]*)`", lambda match: _WORDS.get(match[1], match[1].removesuffix(" | null")), reason)
    )


def _placed(value: Any, kind: inspect.Type, folder: str) -> Any:
    """Make relative paths inside a decoded value start at `folder`; what has none comes back as it is."""
    if isinstance(kind, inspect.Metadata):
        place = (kind.extra or {}).get("place")
        if place is not None and isinstance(value, str):
            return _place(value, _PLACE_PREFIX[place], folder)
        return _placed(value, kind.type, folder)
    if isinstance(kind, inspect.UnionType):
        for member in kind.types:
            value = _placed(value, member, folder)
        return value
    if isinstance(kind, inspect.StructType):
        if not isinstance(value, kind.cls):
            return value
        changes = {}
        for field in kind.fields:
            old = getattr(value, field.name)
            new = _placed(old, field.type, folder)
            if new is not old:
                changes[field.name] = new
        return msgspec.structs.replace(value, **changes) if changes else value
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        items = [_placed(item, kind.item_type, folder) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(kind, inspect.VarTupleType) and isinstance(value, tuple):
        return tuple(_placed(item, kind.item_type, folder) for item in value)
    if isinstance(kind, inspect.DictType) and isinstance(value, dict):
        return {key: _placed(item, kind.value_type, folder) for key, item in value.items()}
    return value


def _place(value: str, prefix: str, folder: str) -> str:
    path = value[len(prefix) :]
    if not value.startswith(prefix) or not path or os.path.isabs(path):
        return value
    return prefix + os.path.normpath(os.path.join(folder, path))
