"""Who may open a WebSocket for SIP, and what everybody else is told (RFC 6455 section 4.2, RFC 7118)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

__all__ = ["PATHS", "SUBPROTOCOL", "Refusal", "WebSocketRules", "response"]

SUBPROTOCOL: Final = "sip"

PATHS: Final = ("/", "/sip", "/ws")
"""Where there is a WebSocket; SIP itself names no path."""

_VERSION: Final = "13"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==\Z").match

_SHOWN: Final = 100
"""Characters of what a client sent that a line shows."""

Headers = Sequence[tuple[bytes, bytes]]


class Refusal(NamedTuple):
    """Why a handshake fails: the status and text of the answer, and headers of its own."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()

    def to_bytes(self) -> bytes:
        """The whole answer, after which the connection is closed."""
        body = f"{self.reason}\n".encode()
        headers = (
            *self.headers,
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        )
        return response(self.status, headers) + body


_PHRASES = {
    101: "Switching Protocols",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    505: "HTTP Version Not Supported",
}


def response(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of an HTTP response."""
    lines = [
        f"HTTP/1.1 {status} {_PHRASES.get(status, 'Error')}",
        *(f"{name}: {text}" for name, text in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class WebSocketRules:
    """Judges handshakes. `origins` may be changed at any time.

    A browser names the site whose script opens the WebSocket in Origin, and no script can change that: only
    the sites in `origins` get in, all with "*". What sends no Origin is no browser, and gets in.
    """

    def __init__(self, origins: Iterable[str] = (), paths: Iterable[str] = PATHS) -> None:
        self.origins = origins
        self._paths = frozenset(paths)

    @property
    def origins(self) -> frozenset[str]:
        """The sites that get in, as ``https://app.example.test`` or ``http://localhost:8080``, lower case."""
        return self._origins

    @origins.setter
    def origins(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def judge(self, method: bytes, target: bytes, headers: Headers) -> Refusal | None:
        """Why this request opens no WebSocket for SIP; None when it does. Header names are in lower case."""
        if method != b"GET":
            return Refusal(405, "a WebSocket is opened with GET", (("Allow", "GET"),))
        if target.partition(b"?")[0].decode("latin-1") not in self._paths:
            return Refusal(404, "there is no WebSocket at this path")
        upgrade = ("Upgrade", "websocket"), ("Sec-WebSocket-Version", _VERSION)
        if not _has_token(headers, b"upgrade", "websocket") or not _has_token(
            headers, b"connection", "upgrade"
        ):
            return Refusal(426, "this port speaks SIP over WebSocket", upgrade)
        if _values(headers, b"sec-websocket-version") != [_VERSION]:
            return Refusal(426, f"the WebSocket version must be {_VERSION}", upgrade)
        keys = _values(headers, b"sec-websocket-key")
        if len(keys) != 1 or not _KEY(keys[0]):
            return Refusal(400, "Sec-WebSocket-Key is missing or malformed")
        origins = _values(headers, b"origin")
        if origins and "*" not in self._origins and not self._origins.issuperset(map(str.lower, origins)):
            return Refusal(403, f"scripts of {_shown(origins)} are not let in: see ws_origins")
        if not _has_token(headers, b"sec-websocket-protocol", SUBPROTOCOL):
            return Refusal(400, f"the subprotocol must be {SUBPROTOCOL}")
        return None


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip(" \t") for found, value in headers if found == name]


def _shown(values: Sequence[str]) -> str:
    """What a client sent, for a line of ours."""
    return ascii(", ".join(values)[:_SHOWN])[1:-1]


def _has_token(headers: Headers, name: bytes, token: str) -> bool:
    """Whether one of the comma-separated values of a header is this token, in any case."""
    return any(
        part.strip(" \t").lower() == token for value in _values(headers, name) for part in value.split(",")
    )
