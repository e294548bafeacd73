"""From octets to a message (RFC 3261 section 7): what is one, and how large it may be.

As `rvoip.protocols.sip.message`, the module is written so that mypyc can compile it.
"""

from __future__ import annotations

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import is_token, parse_number
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.names import COMPACT, KNOWN

__all__ = ["DEFAULT_LIMITS", "KNOWN_METHODS", "Limits", "parse_message"]


class Limits:
    """How large a message may be: octets of the whole and of a header, number of header fields."""

    __slots__ = ("message", "header", "headers", "vias", "routes")

    def __init__(
        self,
        message: int = 65535,
        header: int = 16384,
        headers: int = 256,
        vias: int = 70,
        routes: int = 30,
    ) -> None:
        self.message = message
        self.header = header
        self.headers = headers
        self.vias = vias
        self.routes = routes


DEFAULT_LIMITS = Limits()

KNOWN_METHODS = frozenset(
    """
    INVITE ACK BYE CANCEL REGISTER OPTIONS INFO UPDATE PRACK REFER SUBSCRIBE NOTIFY MESSAGE PUBLISH
    """.split()
)
"""The methods of RFC 3261, 3262, 3311, 3428, 3515, 3903, 6086 and 6665."""


def parse_message(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Request | Response:
    """The one message in `data`, a datagram or a framed part of a stream.

    Octets after Content-Length are ignored (RFC 3261 section 18.3); fewer than it promises are an
    error. Without Content-Length the body is the rest. Only the form is checked here, see
    `rvoip.protocols.sip.check`. Raises `SIPParseError`; its ``message`` is set when the start line and
    headers could be read.
    """
    if len(data) > limits.message:
        raise SIPParseError("Message Too Large", 513)
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        head, blank, body = _end_of_headers(data)
    text = head.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
        raise SIPParseError("Line break that is not CRLF")
    if "\n " in text or "\n\t" in text:
        lines = _unfold(lines)
    start = lines[0]
    del lines[0]
    known = KNOWN
    names = [known.get(line.partition(":")[0], "") if ":" in line else "" for line in lines]
    problem = None
    if "" in names:
        problem = _name_others(names, lines)
    message = _parse_start_line(start, names, lines, body)
    if problem is not None:
        raise SIPParseError(problem, 400, message)
    if len(lines) > limits.headers or (len(head) > limits.header and _longest(lines) > limits.header):
        raise SIPParseError("Too many or too large headers", 400, message)
    if not blank and body == b"" and not lines:
        raise SIPParseError("No headers", 400, message)
    if "content-length" in names and (body or lines[names.index("content-length")] != "Content-Length: 0"):
        _cut_body(message, body, b"\r" not in data)
    return message


def _end_of_headers(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a datagram that has no CRLF CRLF.

    Two leniencies: it may end after its last header line, and it may use LF alone, if everywhere
    (the messages of RFC 5118 are stored so). A mixture is refused by the caller: it is how headers
    are smuggled past whoever reads the other line break.
    """
    if b"\r" in data:
        return data.removesuffix(b"\r\n"), b"", b""
    head, blank, body = data.partition(b"\n\n")
    return head.removesuffix(b"\n").replace(b"\n", b"\r\n"), blank, body


def _longest(lines: list[str]) -> int:
    return max([len(line) for line in lines], default=0)


def _unfold(lines: list[str]) -> list[str]:
    """Join continuation lines: the line break and blanks around it count as one blank (section 7.3.1)."""
    joined: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and line and joined:
            joined[-1] = joined[-1].rstrip(" \t") + " " + line.lstrip(" \t")
        else:
            joined.append(line)
    return joined


def _name_others(names: list[str], lines: list[str]) -> str | None:
    """Name the lines whose spelling is not a common one; returns what is wrong with one, or None.

    Blanks before the colon are dropped here once, so that no later look at a name can differ from
    what goes out on the wire.
    """
    problem = None
    for index, name in enumerate(names):
        if name:
            continue
        raw, colon, value = lines[index].partition(":")
        spelled = raw.rstrip(" \t")
        if not colon or not is_token(spelled):
            problem = "Bad header line"
            names[index] = "-"
            continue
        lowered = spelled.lower()
        names[index] = COMPACT.get(lowered, lowered)
        if spelled != raw:
            lines[index] = f"{spelled}:{value}"
    return problem


def _parse_start_line(start: str, names: list[str], lines: list[str], body: bytes) -> Request | Response:
    parts = start.split(" ")
    if len(parts) == 3 and parts[2] == "SIP/2.0":
        method = parts[0]
        if parts[1] and (method in KNOWN_METHODS or is_token(method)):
            return Request(method, parts[1], names, lines, body)
    elif start.startswith("SIP/2.0 "):
        return _parse_status_line(start, names, lines, body)
    if start[:4].lower() == "sip/":
        if start[:8].lower() == "sip/2.0 ":
            return _parse_status_line(start, names, lines, body)
        raise SIPParseError("Bad status line")
    # Not a well-formed request line; read what an answer needs.
    method = parts[0]
    uri_text = parts[1] if len(parts) > 1 else ""
    request = Request(method, uri_text, names, lines, body) if is_token(method) else None
    version = parts[-1]
    if len(parts) == 3 and parts[1] and version[:4].lower() == "sip/":
        if version.lower() == "sip/2.0" and request is not None:
            return request
        if request is not None:
            raise SIPParseError("Version Not Supported", 505, request)
    raise SIPParseError("Bad request line", 400, request)


def _parse_status_line(start: str, names: list[str], lines: list[str], body: bytes) -> Response:
    digits = start[8:11]
    if len(digits) != 3 or start[11:12] not in ("", " "):
        raise SIPParseError("Bad status code")
    status = parse_number(digits, 699, "status code")
    if status < 100:
        raise SIPParseError("Bad status code")
    return Response(status, start[12:], names, lines, body)


def _cut_body(message: Request | Response, body: bytes, bare: bool) -> None:
    """Keep as much of the body as Content-Length says; `bare` when the lines end with LF alone."""
    names = message.names
    text = message.get("content-length") or ""
    try:
        length = parse_number(text, 9_999_999, "Content-Length")
    except SIPParseError as error:
        raise SIPParseError(error.reason, 400, message) from None
    if names.count("content-length") > 1:
        for other in message.get_all("content-length"):
            if other != text:
                raise SIPParseError("Different Content-Length values", 400, message)
    if bare and len(body) < length:
        body = message.body = body.replace(b"\n", b"\r\n")
        if len(body) != length:
            # Nobody counted these octets as they came (RFC 5118 section 4.6): what is there is the body.
            length = len(body)
            message.set("content-length", str(length))
    held = len(body)
    if held > length:
        message.body = body[:length]
    elif held < length:
        raise SIPParseError("Body shorter than Content-Length", 400, message)
