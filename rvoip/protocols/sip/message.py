"""Requests and responses, parsed lazily (RFC 3261 section 7).

`rvoip.protocols.sip.reader` makes them of octets, decoded once and split into lines. A header's typed value
is built when first asked for and kept; lines that nobody changes are written back byte for byte. Nothing
here does I/O, and the module is written so that mypyc can compile it.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from mypy_extensions import mypyc_attr

from rvoip.protocols.sip.address import CSeq, NameAddr, Via, parse_cseq, parse_name_addr, parse_via
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.grammar import format_params, is_token, parse_number, split_outside
from rvoip.protocols.sip.headers import parse_header
from rvoip.protocols.sip.names import DISPLAY, LISTS, display_name
from rvoip.protocols.sip.uri import URI, is_one_word, parse_uri

__all__ = ["Message", "Request", "Response", "lenient_seconds"]

LARGEST_SECONDS = 2**32 - 1


@mypyc_attr(allow_interpreted_subclasses=True)
class Message:
    """What requests and responses share: an ordered list of header fields and a body.

    ``names`` holds the canonical (lower-case, long) name of each line in ``lines``. Use the methods to
    change either; both stay aligned.
    """

    __slots__ = ("names", "lines", "body", "_typed")

    def __init__(self, names: list[str], lines: list[str], body: bytes = b"") -> None:
        self.names = names
        self.lines = lines
        self.body = body
        self._typed: dict[str, Any] = {}

    # Text of headers.

    def get(self, name: str) -> str | None:
        """The first value of the header (canonical name), stripped; None when absent."""
        names = self.names
        if name not in names:
            return None
        line = self.lines[names.index(name)]
        return line[line.index(":") + 1 :].strip(" \t")

    def has(self, name: str) -> bool:
        """Whether the header is there."""
        return name in self.names

    def get_all(self, name: str) -> list[str]:
        """The values of the header, one a line, in order."""
        return [
            line[line.index(":") + 1 :].strip(" \t")
            for found, line in zip(self.names, self.lines)
            if found == name
        ]

    def values(self, name: str) -> list[str]:
        """The values of the header, those of one line split at their commas, in order.

        Raises `SIPParseError` for a quote that is never closed or an empty value.
        """
        values = self.get_all(name)
        if name not in LISTS:
            return values
        for value in values:
            if "," in value:
                break
        else:
            return values if "" not in values else [value for value in values if value]
        split: list[str] = []
        for value in values:
            if not value:
                continue
            for piece in split_outside(value, ","):
                piece = piece.strip(" \t")
                if not piece:
                    raise SIPParseError(f"Empty value in {display_name(name)}")
                split.append(piece)
        return split

    # Changes.

    def set(self, name: str, value: str) -> None:
        """Give the header this one value, in the place of its first line or, when absent, at the end."""
        names = self.names
        line = _line(name, value)
        self._typed.pop(name, None)
        if name not in names:
            names.append(name)
            self.lines.append(line)
            return
        index = names.index(name)
        self.lines[index] = line
        if names.count(name) > 1:
            self._delete(name, index + 1)

    def add(self, name: str, value: str) -> None:
        """Append a line for the header."""
        self.lines.append(_line(name, value))
        self.names.append(name)
        self._typed.pop(name, None)

    def insert(self, name: str, value: str) -> None:
        """Put a line before the first one of the same name, or else at the top."""
        index = self.names.index(name) if name in self.names else 0
        self.lines.insert(index, _line(name, value))
        self.names.insert(index, name)
        self._typed.pop(name, None)

    def remove(self, name: str) -> None:
        """Delete all lines of the header; no error when there are none."""
        if name in self.names:
            self._delete(name, 0)
            self._typed.pop(name, None)

    def remove_first_value(self, name: str) -> None:
        """Delete the topmost value (not line) of a header that may hold several."""
        names = self.names
        if name not in names:
            return
        self._typed.pop(name, None)
        index = names.index(name)
        line = self.lines[index]
        if "," in line:
            pieces = split_outside(line[line.index(":") + 1 :], ",")
            if len(pieces) > 1:
                self.lines[index] = _line(name, ",".join(pieces[1:]).strip(" \t"))
                return
        del names[index]
        del self.lines[index]

    def replace_in(self, name: str, old: str, new: str) -> None:
        """Write `new` for each `old` in all lines of the header, names as they are."""
        _line(name, new)  # holds no line break
        names, lines = self.names, self.lines
        for index, found in enumerate(names):
            if found == name and old in lines[index]:
                before, _, value = lines[index].partition(":")
                lines[index] = f"{before}:{value.replace(old, new)}"
        self._typed.pop(name, None)

    def _delete(self, name: str, start: int) -> None:
        names, lines = self.names, self.lines
        for index in range(len(names) - 1, start - 1, -1):
            if names[index] == name:
                del names[index]
                del lines[index]

    def set_body(self, body: bytes, content_type: str | None) -> None:
        """Give the message this body, with Content-Type (removed when None) and Content-Length."""
        self.body = body
        if content_type is None:
            self.remove("content-type")
        else:
            self.set("content-type", content_type)
        self.set("content-length", str(len(body)))

    # Typed values.

    def typed(self, name: str) -> Any:
        """The parsed value of any header: see `rvoip.protocols.sip.headers` for its type.

        A list for headers that may hold several values, else one value or None. Cached until the
        header changes. Raises `SIPParseError`.
        """
        if name == "via":
            return self.vias  # the cache holds the topmost alone
        typed = self._typed
        if name in typed:
            return typed[name]
        value = typed[name] = parse_header(self, name)
        return value

    @property
    def via(self) -> Via:
        """The topmost Via; `SIPParseError` when there is none or it is malformed."""
        via: Via | None = self._typed.get("via")
        if via is None:
            text = self.get("via")
            if text is None:
                raise SIPParseError("Missing Via")
            if "," in text:
                text = split_outside(text, ",")[0].strip(" \t")
            via = self._typed["via"] = parse_via(text)
        return via

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first."""
        return [parse_via(value) for value in self.values("via")]

    @property
    def from_(self) -> NameAddr:
        """The From value; `SIPParseError` when absent or malformed."""
        return self._address("from")

    @property
    def to(self) -> NameAddr:
        """The To value; `SIPParseError` when absent or malformed."""
        return self._address("to")

    def _address(self, name: str) -> NameAddr:
        value: NameAddr | None = self._typed.get(name)
        if value is None:
            text = self.get(name)
            if text is None:
                raise SIPParseError(f"Missing {DISPLAY[name]}")
            value = self._typed[name] = parse_name_addr(text)
        return value

    @property
    def call_id(self) -> str:
        """The Call-ID; `SIPParseError` when absent."""
        text: str | None = self._typed.get("call-id")
        if text is None:
            text = self.get("call-id")
            if not text:
                raise SIPParseError("Missing Call-ID")
            self._typed["call-id"] = text
        return text

    @property
    def cseq(self) -> CSeq:
        """The CSeq value; `SIPParseError` when absent or malformed."""
        value: CSeq | None = self._typed.get("cseq")
        if value is None:
            text = self.get("cseq")
            if text is None:
                raise SIPParseError("Missing CSeq")
            value = self._typed["cseq"] = parse_cseq(text)
        return value

    def addresses(self, name: str) -> list[NameAddr]:
        """All values of a header that holds name-addrs (Contact, Route, Record-Route, Path ...)."""
        value: list[NameAddr] | None = self._typed.get(name)
        if value is None:
            names = self.names
            if name not in names:
                return []
            line = self.lines[names.index(name)]
            if "," in line or names.count(name) > 1:
                value = [parse_name_addr(text) for text in self.values(name)]
            else:
                text = line[line.index(":") + 1 :].strip(" \t")
                value = [parse_name_addr(text)] if text else []
            self._typed[name] = value
        return value

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contact values; ``Contact: *`` is a `NameAddr` with ``uri_text`` "*"."""
        return self.addresses("contact")

    @property
    def routes(self) -> list[NameAddr]:
        """All Route values, topmost first."""
        return self.addresses("route")

    @property
    def record_routes(self) -> list[NameAddr]:
        """All Record-Route values, topmost first."""
        return self.addresses("record-route")

    def number(self, name: str, largest: int = LARGEST_SECONDS) -> int | None:
        """A header that is one number, or None when absent; `SIPParseError` when it is none."""
        text = self.get(name)
        if text is None:
            return None
        return parse_number(text, largest, DISPLAY.get(name, name))

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255, or None (RFC 3261 section 20.22)."""
        return self.number("max-forwards", 255)

    @property
    def expires(self) -> int | None:
        """Expires in seconds, or None; a value over 2**32 - 1 or malformed counts as 3600.

        RFC 3261 section 20.19: "malformed values SHOULD be treated as equivalent to 3600".
        """
        text = self.get("expires")
        if text is None:
            return None
        return lenient_seconds(text)

    @property
    def content_length(self) -> int | None:
        """Content-Length in octets, or None."""
        return self.number("content-length", 9_999_999)

    @property
    def content_type(self) -> str | None:
        """The media type in lower case without parameters, or None."""
        text = self.get("content-type")
        return None if text is None else text.partition(";")[0].strip(" \t").lower()

    def option_tags(self, name: str) -> list[str]:
        """The option tags of Require, Supported, Proxy-Require or Unsupported, lower-cased."""
        return [value.lower() for value in self.values(name)] if name in self.names else []

    def other_tags(self, name: str, known: Container[str]) -> list[str]:
        """The option tags of Require or Proxy-Require that are not among these lower-case ones, as written:
        what goes into the Unsupported of a 420.
        """
        return (
            [value for value in self.values(name) if value.lower() not in known] if name in self.names else []
        )

    def forget_typed(self) -> None:
        """Drop the typed values that were read: they take more memory than the text, and are read again when
        asked for.
        """
        self._typed = {}

    # Writing.

    @property
    def start_line(self) -> str:
        """The request line or status line."""
        raise SIPBuildError("a message is a request or a response")

    def to_bytes(self) -> bytes:
        """The message as it goes on the wire."""
        lines = self.lines
        text = "\r\n".join([self.start_line, *lines, "\r\n"])
        return text.encode("utf-8", "surrogateescape") + self.body

    def __str__(self) -> str:
        return self.to_bytes().decode("utf-8", "replace")


class Request(Message):
    """A request: ``method`` and ``uri_text`` as in its request line."""

    __slots__ = ("method", "uri_text", "_uri")

    def __init__(
        self, method: str, uri_text: str, names: list[str], lines: list[str], body: bytes = b""
    ) -> None:
        self.names = names  # not by way of super(): this runs for every datagram
        self.lines = lines
        self.body = body
        self._typed = {}
        self.method = method
        self.uri_text = uri_text
        self._uri: URI | None = None

    @property
    def start_line(self) -> str:
        """The request line."""
        return f"{self.method} {self.uri_text} SIP/2.0"

    @property
    def uri(self) -> URI:
        """The Request-URI; `SIPParseError` when the text is none."""
        uri = self._uri
        if uri is None:
            uri = self._uri = parse_uri(self.uri_text)
        return uri

    def set_uri(self, uri: URI | str) -> None:
        """Give the request another Request-URI; `SIPBuildError` for a text with a blank or line break."""
        text = str(uri)
        if not is_one_word(text):
            raise SIPBuildError(f"bad Request-URI {text!r}")
        self.uri_text = text
        self._uri = None if isinstance(uri, str) else uri

    def copy(self) -> Request:
        """A request that can be changed without changing this one."""
        copied = Request(self.method, self.uri_text, self.names[:], self.lines[:], self.body)
        copied._uri = self._uri
        return copied

    def stamp_via(self, host: str, port: int) -> None:
        """Note the packet's source in the topmost Via (RFC 3261 section 18.2.1, RFC 3581 section 4).

        `host` is the numeric source address (IPv6 without brackets), `port` the source port.
        """
        via = self.via
        params = via.params
        asked = "rport" in params
        if not asked and via.host == host and "received" not in params:
            return
        # What a client says of itself is never believed.
        params.pop("received", None)
        index = self.names.index("via")
        line = self.lines[index]
        if asked:
            plain = params["rport"] is None and not ("received" in line or "," in line or '"' in line)
            params["rport"] = str(port)
            params["received"] = host
            if plain and ";rport;" in line:
                self.lines[index] = line.replace(";rport;", f";rport={port};received={host};", 1)
                return
        elif via.host != host:
            params["received"] = host
        value = line[line.index(":") + 1 :]
        first, *rest = split_outside(value, ",") if "," in value else [value]
        # The sent-by stays as it was written: its owner may compare it octet for octet.
        text = first.partition(";")[0].strip(" \t") + format_params(params)
        if rest:
            text = ", ".join([text, *[piece.strip(" \t") for piece in rest]])
        self.lines[index] = "Via: " + text


class Response(Message):
    """A response: ``status`` and ``reason`` as in its status line."""

    __slots__ = ("status", "reason")

    def __init__(
        self, status: int, reason: str, names: list[str], lines: list[str], body: bytes = b""
    ) -> None:
        super().__init__(names, lines, body)
        self.status = status
        self.reason = reason

    @property
    def start_line(self) -> str:
        """The status line."""
        return f"SIP/2.0 {self.status} {self.reason}"

    def copy(self) -> Response:
        """A response that can be changed without changing this one."""
        return Response(self.status, self.reason, self.names[:], self.lines[:], self.body)


def lenient_seconds(text: str) -> int:
    """Delta-seconds where RFC 3261 section 20.19 asks for 3600 in place of a malformed value."""
    try:
        return parse_number(text, LARGEST_SECONDS, "number")
    except SIPParseError:
        return 3600


def _line(name: str, value: str) -> str:
    if "\r" in value or "\n" in value:
        raise SIPBuildError(f"line break in the value of {name}")
    shown = DISPLAY.get(name)
    if shown is None:
        if not is_token(name):
            raise SIPBuildError(f"bad header name {name!r}")
        shown = display_name(name)
    return f"{shown}: {value}"
