"""The routes of an HTTP API, and the way from a request's target to one of them, decoded strictly."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from rvoip.common.problem import HTTPError

__all__ = ["Reply", "Route", "Router", "decode_path", "decode_query"]

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

_TEMPLATE: Final = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}))+", re.ASCII)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


class Route(msgspec.Struct, frozen=True, eq=False):
    """One operation of an API."""

    method: str
    path: str
    """A template: `/v1/users/{aor}`. A parameter is one segment, percent-decoded, never empty."""
    handler: Callable[..., object]
    name: str
    body: Any = None
    """The type of the JSON body, or None for no body."""
    query: type[msgspec.Struct] | None = None
    """A struct whose fields are the parameters of the query string."""
    response: Any = None
    """The type of the answer's JSON body, for the OpenAPI document."""
    status: int = 200
    scopes: tuple[str, ...] = ()
    """What a caller needs, all of it."""
    summary: str = ""
    description: str = ""
    content_type: str = ""
    """Of an answer that is not JSON."""
    is_public: bool = False
    """Whether it is for anyone, even where a token is asked for."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers that it heeds, each with what it means, for the OpenAPI document."""

    @property
    def parameters(self) -> list[str]:
        """Names of the path's parameters, in order."""
        return re.findall(r"\{(\w+)\}", self.path)

    def check(self) -> None:
        """Raise ValueError for a route that could not work, when it is declared and not when it is called."""
        if self.method not in METHODS:
            raise ValueError(f"{self.method} is not one of {', '.join(METHODS)}")
        names = self.parameters
        if not _TEMPLATE.fullmatch(self.path) or len(set(names)) != len(names):
            raise ValueError(f"{self.path} is no path template")
        given = [*names, *(["body"] if self.body is not None else []), *(["query"] if self.query else [])]
        try:
            inspect.signature(self.handler).bind(None, **dict.fromkeys(given))
        except TypeError as error:
            raise ValueError(f"{self.name} cannot be called with call, {', '.join(given)}: {error}") from None


class Reply(msgspec.Struct, frozen=True):
    """An answer that is more than a JSON body: a handler may return one instead of a value."""

    body: Any = None
    """A value for JSON, bytes as they are, or None for none."""
    status: int | None = None
    """None is the route's."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    content_type: str | None = None
    """None is JSON, or for bytes the route's content type."""


class _Node:
    """What may follow in a path: fixed segments, any segment, or the end and its routes."""

    __slots__ = ("fixed", "parameter", "routes")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of a method and path; a fixed segment goes before a parameter."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, route: Route) -> None:
        """Take a route in; a ValueError when there is one for its method and path."""
        route.check()
        node = self._root
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"there is a route for {route.method} {route.path} already")
        node.routes[route.method] = route

    def find(self, method: str, segments: list[str]) -> tuple[Route, dict[str, str]]:
        """Return the route and its parameters, or raise HTTPError: 404, or 405 with Allow."""
        wanted = "GET" if method == "HEAD" else method
        allowed: dict[str, None] = {}
        for node, values in self._walk(self._root, segments, 0, []):
            route = node.routes.get(wanted)
            if route is not None:
                return route, dict(zip(route.parameters, values, strict=True))
            allowed |= dict.fromkeys(node.routes)
        if not allowed:
            raise HTTPError(404, "there is nothing here")
        if "GET" in allowed:
            allowed["HEAD"] = None
        allow = ", ".join([*allowed, "OPTIONS"])
        raise HTTPError(405, f"the methods here are {allow}", headers={"Allow": allow})

    def _walk(
        self, node: _Node, segments: list[str], index: int, values: list[str]
    ) -> Iterator[tuple[_Node, list[str]]]:
        if index == len(segments):
            if node.routes:
                yield node, values
            return
        segment = segments[index]
        if segment in node.fixed:
            yield from self._walk(node.fixed[segment], segments, index + 1, values)
        if node.parameter is not None and segment:
            yield from self._walk(node.parameter, segments, index + 1, [*values, segment])


def decode_path(path: bytes) -> list[str]:
    """Split an absolute path at its slashes and percent-decode each segment; raises HTTPError 400.

    `..` and an escaped slash are text like any other: nothing here is a name of a file.
    """
    if not path.startswith(b"/"):
        raise HTTPError(400, "the path does not begin with a slash")
    return [_decode(segment, "path") for segment in path[1:].split(b"/")]


def _decode(text: bytes, where: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise HTTPError(400, f"the {where} has a % that is no escape")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise HTTPError(400, f"the {where} is not UTF-8") from None
    if _CONTROL.search(decoded):
        raise HTTPError(400, f"the {where} has a control character")
    return decoded


def decode_query(query: bytes, schema: type[msgspec.Struct]) -> msgspec.Struct:
    """Decode a query string into `schema`; a field of a list type takes a parameter more than once.

    Raises HTTPError 400, with the parameter's name in the detail.
    """
    values: dict[str, Any] = {}
    lists = {
        field.encode_name
        for field in msgspec.inspect.type_info(schema).fields  # type: ignore[attr-defined]
        if isinstance(field.type, msgspec.inspect.ListType)
    }
    for part in query.split(b"&"):
        if not part:
            continue
        name_text, _, value_text = part.replace(b"+", b" ").partition(b"=")
        name, value = _decode(name_text, "query"), _decode(value_text, "query")
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise HTTPError(400, f"the query has {name} twice")
        else:
            values[name] = value
    try:
        decoded = msgspec.convert(values, schema, strict=False)
    except msgspec.ValidationError as error:
        raise HTTPError(400, f"query: {error}") from None
    for name, value in _fields(decoded).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise HTTPError(400, f"query: {name} is no number")
    return decoded


def _fields(struct: msgspec.Struct) -> Mapping[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
