"""JSON-RPC 2.0 (jsonrpc.org/specification): requests, notifications, batches and errors; no transport."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from twisted.logger import Logger

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "RPCError",
    "RPCMethods",
]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

BATCH_LIMIT: Final = 100
"""Requests in one batch."""

_MESSAGES: Final = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL_ERROR: "Internal error",
}

_encode: Final = msgspec.json.Encoder().encode
_log = Logger()


class RPCError(Exception):
    """What a method answers with in place of a result; `code` is one of its own, outside -32768 to -32000."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


class RPCMethods:
    """Functions by name, plain or `async`, called with the parameters of a request, by position or by name.

    A function returns what JSON has, or raises `RPCError`. Whatever else it raises is logged, and the caller
    is told no more than that.
    """

    def __init__(self) -> None:
        self._methods: dict[str, tuple[Callable[..., Any], inspect.Signature]] = {}

    @property
    def names(self) -> list[str]:
        """The names, sorted."""
        return sorted(self._methods)

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Have `function` called by `name`; ValueError when there is one of this name."""
        if name in self._methods:
            raise ValueError(f"there is a method {name} already")
        self._methods[name] = (function, inspect.signature(function))

    async def answer(
        self, content: bytes, permit: Callable[[str], RPCError | None] = lambda name: None
    ) -> bytes | None:
        """The answer to a request or a batch, both as JSON; None when nobody wants one.

        `permit` says why a caller may not call a method that exists, or None.
        """
        try:
            asked = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _encode(_failed(None, PARSE_ERROR))
        if not isinstance(asked, list):
            answer = await self._one(asked, permit)
            return None if answer is None else _written(answer)
        if not asked:
            return _encode(_failed(None, INVALID_REQUEST))
        if len(asked) > BATCH_LIMIT:
            return _encode(_failed(None, INVALID_REQUEST, f"more than {BATCH_LIMIT} requests in a batch"))
        answers = [await self._one(one, permit) for one in asked]
        written = [_written(answer) for answer in answers if answer is not None]
        return b"[" + b",".join(written) + b"]" if written else None

    async def _one(self, asked: Any, permit: Callable[[str], RPCError | None]) -> dict[str, Any] | None:
        """The answer to one request; None to a notification, which is one without an id."""
        if not _is_request(asked):
            return _failed(None, INVALID_REQUEST)
        id_, name, params = asked.get("id"), asked["method"], asked.get("params", [])
        try:
            result = await self._call(name, params, permit)
        except RPCError as error:
            answer = _failed(id_, error.code, error.message, error.data)
        except Exception:
            _log.failure("The RPC method {method} failed", method=name)
            answer = _failed(id_, INTERNAL_ERROR)
        else:
            answer = {"jsonrpc": "2.0", "result": result, "id": id_}
        return answer if "id" in asked else None

    async def _call(self, name: str, params: Any, permit: Callable[[str], RPCError | None]) -> Any:
        found = self._methods.get(name)
        if found is None:
            raise RPCError(METHOD_NOT_FOUND, _MESSAGES[METHOD_NOT_FOUND])
        refusal = permit(name)
        if refusal is not None:
            raise refusal
        function, signature = found
        try:
            bound = signature.bind(**params) if isinstance(params, dict) else signature.bind(*params)
        except TypeError as error:
            raise RPCError(INVALID_PARAMS, _MESSAGES[INVALID_PARAMS], str(error)) from None
        result = function(*bound.args, **bound.kwargs)
        return await result if isinstance(result, Awaitable) else result


def _is_request(asked: Any) -> bool:
    """Whether it has the members of a request, each of its type; an id may be text, a number or null."""
    return (
        isinstance(asked, dict)
        and asked.get("jsonrpc") == "2.0"
        and isinstance(asked.get("method"), str)
        and isinstance(asked.get("params", []), list | dict)
        and (asked.get("id") is None or isinstance(asked["id"], str | int | float))
        and not isinstance(asked.get("id"), bool)
    )


def _failed(id_: Any, code: int, message: str = "", data: Any = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message or _MESSAGES.get(code, "Error")}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "error": error, "id": id_}


def _written(answer: dict[str, Any]) -> bytes:
    try:
        return _encode(answer)
    except (TypeError, UnicodeEncodeError, RecursionError):
        # A lone surrogate in what was asked or answered.
        return _encode(_failed(None, INTERNAL_ERROR))
