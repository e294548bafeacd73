"""Bencoding, the notation of the ng protocol: integers, byte strings, lists and dictionaries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rvoip.mediacontrol.errors import BencodeError

__all__ = ["LARGEST", "Value", "decode", "encode"]

Value = int | bytes | str | Sequence["Value"] | Mapping[str, "Value"]
"""What can be encoded; text goes out as UTF-8 and comes back as bytes, keys as text."""

LARGEST = 1 << 20
"""Octets of an encoded value."""
_DEEPEST = 16

_INTEGER = re.compile(rb"i(0|-?[1-9][0-9]{0,18})e")
_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,6}):")


def encode(value: Value) -> bytes:
    """The octets of a value; keys of dictionaries in order. Raises `BencodeError` for what has no form."""
    parts: list[bytes] = []
    _write(value, parts, 0)
    return b"".join(parts)


def _write(value: object, parts: list[bytes], depth: int) -> None:
    if depth > _DEEPEST:
        raise BencodeError("nested too deeply")
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        parts += (b"%d:" % len(value), value)
    elif isinstance(value, int):
        parts.append(b"i%de" % value)
    elif isinstance(value, Mapping):
        parts.append(b"d")
        for key in sorted(value):
            _write(key, parts, depth + 1)
            _write(value[key], parts, depth + 1)
        parts.append(b"e")
    elif isinstance(value, Sequence):
        parts.append(b"l")
        for item in value:
            _write(item, parts, depth + 1)
        parts.append(b"e")
    else:
        raise BencodeError(f"a {type(value).__name__} cannot be bencoded")


def decode(data: bytes) -> Value:
    """The value that octets stand for, all of them. Raises `BencodeError`.

    Keys of dictionaries may come in any order; the last of equal ones counts.
    """
    if len(data) > LARGEST:
        raise BencodeError("too large")
    value, end = _read(data, 0, 0)
    if end != len(data):
        raise BencodeError("there is more after the value")
    return value


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > _DEEPEST:
        raise BencodeError("nested too deeply")
    mark = data[at : at + 1]
    if mark == b"i":
        match = _INTEGER.match(data, at)
        if match is None:
            raise BencodeError("bad integer")
        return int(match[1]), match.end()
    if mark == b"l":
        items: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _read(data, at, depth + 1)
            items.append(item)
        return items, at + 1
    if mark == b"d":
        return _read_dictionary(data, at + 1, depth + 1)
    return _read_string(data, at)


def _read_dictionary(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    pairs: dict[str, Value] = {}
    while data[at : at + 1] != b"e":
        key, at = _read_string(data, at)
        pairs[key.decode("utf-8", "surrogateescape")], at = _read(data, at, depth)
    return pairs, at + 1


def _read_string(data: bytes, at: int) -> tuple[bytes, int]:
    match = _LENGTH.match(data, at)
    if match is None:
        raise BencodeError("bad string")
    begin = match.end()
    end = begin + int(match[1])
    if end > len(data):
        raise BencodeError("ends too early")
    return data[begin:end], end
