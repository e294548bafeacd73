"""Lexical rules of RFC 3261 section 25.1: tokens, quoting, numbers, parameters."""

from __future__ import annotations

import re

from rvoip.protocols.sip.errors import SIPParseError

Params = dict[str, str | None]

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*)|\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9_.\-]+)?\])\Z"
)
_UNQUOTE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[^\x00-\x20\"<>\\,;\x7f]+\Z").match
# A list of parameters in which no value needs a closer look.
_PLAIN_LIST = re.compile(r"[A-Za-z0-9\-.!%*_+`'~;=:\[\]@/]+\Z").match
_HOST_PORT = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.\-]*)(?::([0-9]{1,5}))?\Z").match
_COMMON = {name: name for name in "tag branch rport received expires q transport lr reg-id".split()}
_Q = re.compile(r"(?:0(?:\.[0-9]{0,16})?|1(?:\.0{0,16})?)\Z")

LARGEST_SECONDS = 2**32 - 1
"""The largest delta-seconds (RFC 3261 section 20.19)."""


def is_token(text: str) -> bool:
    """Whether `text` is a token."""
    return _TOKEN.match(text) is not None


def is_plain_value(text: str) -> bool:
    """Whether `text` is a parameter value that needs no quotes: no blank, separator or control in it."""
    return _PLAIN_VALUE(text) is not None


def is_host(text: str) -> bool:
    """Whether `text` is a host name, an IPv4 address or a bracketed IPv6 reference.

    Underscores are let through: real DNS names have them.
    """
    return _HOST.match(text) is not None


def parse_number(text: str, largest: int, what: str) -> int:
    """A decimal number of ASCII digits from 0 to `largest`; anything else is a 400 that names `what`."""
    if len(text) <= 20 and _DIGITS.match(text):
        number = int(text)
        if number <= largest:
            return number
    raise SIPParseError(f"Bad {what}")


def quote(text: str) -> str:
    """`text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """The text of a quoted-string; a text without quotes is returned as it is."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1]
        if "\\" in text:
            return _UNQUOTE.sub(r"\1", text)
    return text


def split_outside(text: str, separator: str) -> list[str]:
    """Split at `separator` where it stands neither in a quoted-string nor between angle brackets.

    Raises `SIPParseError` for a quote or bracket that is never closed.
    """
    if '"' not in text and "<" not in text:
        return text.split(separator)
    pieces: list[str] = []
    start = position = 0
    quoted = angle = False
    length = len(text)
    while position < length:
        char = text[position]
        if quoted:
            if char == "\\":
                position += 1
            elif char == '"':
                quoted = False
        elif char == '"' and not angle:
            quoted = True
        elif char == "<":
            angle = True
        elif char == ">":
            angle = False
        elif char == separator and not angle:
            pieces.append(text[start:position])
            start = position + 1
        position += 1
    if quoted or angle:
        raise SIPParseError("Unterminated quote or bracket")
    pieces.append(text[start:])
    return pieces


def end_of_quoted(text: str, start: int) -> int:
    """Index of the quote that closes the one at `start`; `SIPParseError` when there is none."""
    position = start + 1
    while True:
        close = text.find('"', position)
        if close < 0:
            raise SIPParseError("Unterminated quoted string")
        slashes = 0
        while text[close - 1 - slashes] == "\\" and close - 1 - slashes > start:
            slashes += 1
        if slashes % 2 == 0:
            return close
        position = close + 1


def parse_params(text: str, *, lenient: bool = False) -> Params:
    """The parameters of ``;a=b;c``, from the text after the first semicolon.

    Names are lower-cased, values are kept as written (quotes included). The first of two equal names
    wins. An empty parameter (``;;``) is an error (RFC 4475 section 3.1.2.1) unless `lenient`:
    RFC 5626 section 3.2 prints one in a Contact.
    """
    params: Params = {}
    plain = _PLAIN_LIST(text) is not None
    pieces = text.split(";") if plain or '"' not in text else _split_params(text)
    for piece in pieces:
        name, equals, value = piece.partition("=")
        known = _COMMON.get(name)
        if known is None:
            known = name.strip(" \t")
            if not _TOKEN.match(known):
                if lenient and known == "" and not equals:
                    continue
                raise SIPParseError("Bad parameter")
            known = known.lower()
        if known in params:
            continue
        if not equals:
            params[known] = None
            continue
        if not plain:
            value = value.strip(" \t")
            if not _PLAIN_VALUE(value):
                _check_value(value)
        params[known] = value
    return params


def _split_params(text: str) -> list[str]:
    pieces = text.split(";")
    if all(piece.count('"') in (0, 2) and "\\" not in piece for piece in pieces):
        return pieces
    return split_outside(text, ";")


def _check_value(value: str) -> None:
    """A parameter value that is no plain word: a quoted-string, or empty (lenient: ``;rport=``)."""
    if value == "":
        return
    if value[0] == '"':
        if end_of_quoted(value, 0) != len(value) - 1:
            raise SIPParseError("Text after a quoted parameter value")
        return
    if _PLAIN_VALUE(value.replace("\\", "x")):
        return  # seen in the wild in unquoted opaque values
    raise SIPParseError("Bad parameter value")


def format_params(params: Params) -> str:
    """``;a=b;c`` of the parameters."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params.items()])


def head_and_params(text: str) -> tuple[str, Params]:
    """(value, parameters) of ``value;a=b;c``; the value has no semicolon in it and comes back stripped."""
    head, semicolon, tail = text.partition(";")
    return head.strip(" \t"), parse_params(tail) if semicolon else {}


def take_text(params: Params, name: str) -> str | None:
    """Remove a parameter and return it unquoted: "" for one without a value, None when absent."""
    if name not in params:
        return None
    value = params.pop(name)
    return "" if value is None else unquote(value)


def take_number(params: Params, name: str, largest: int) -> int | None:
    """Remove a parameter that is a number from 0 to `largest` and return it; None when absent."""
    if name not in params:
        return None
    return parse_number(params.pop(name) or "", largest, name)


def token_or_quoted(text: str) -> str:
    """`text` as it is where it is a token, else as a quoted-string."""
    return text if _TOKEN.match(text) else quote(text)


def parse_q(text: str) -> int:
    """A preference ("0.5") as thousandths, 0 to 1000; `SIPParseError` when it is none.

    Leniency: decimals after the third are cut off (RFC 3261 section 25.1, qvalue, allows three).
    """
    if not _Q.match(text):
        raise SIPParseError("Bad q value")
    return 1000 if text[0] == "1" else int(text[2:5].ljust(3, "0"))


def take_q(params: Params) -> int | None:
    """Remove ``q`` and return it as thousandths; None when absent."""
    return parse_q(params.pop("q") or "") if "q" in params else None


def format_q(thousandths: int) -> str:
    """The shortest q value of 0 to 1000 thousandths."""
    return "1" if thousandths >= 1000 else f"0.{thousandths:03d}".rstrip("0").rstrip(".")


def split_host_port(text: str, what: str) -> tuple[str, int | None]:
    """(host, port) of ``host[:port]``; an IPv6 host comes back without its brackets, lower-cased.

    White space around the colon is allowed, as Via does (RFC 3261 section 25.1, COLON).
    """
    port: int | None
    match = _HOST_PORT(text)
    if match is not None:
        host, digits = match.groups()
        if digits is None:
            return host.lower(), None
        port = int(digits)
        if port <= 65535:
            return host.lower(), port
        raise SIPParseError(f"Bad port in {what}")
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host += bracket
        if rest.strip(" \t") == "":
            port = None
        else:
            rest = rest.strip(" \t")
            if rest[0] != ":":
                raise SIPParseError(f"Bad {what}")
            port = parse_number(rest[1:].strip(" \t"), 65535, f"port in {what}")
        if not _HOST.match(host):
            raise SIPParseError(f"Bad host in {what}")
        return host[1:-1].lower(), port
    host, colon, digits = text.partition(":")
    if colon:
        host = host.rstrip(" \t")
        port = parse_number(digits.strip(" \t"), 65535, f"port in {what}")
    else:
        port = None
    if not _HOST.match(host):
        raise SIPParseError(f"Bad host in {what}")
    return host.lower(), port


def format_host(host: str) -> str:
    """The host as it stands in a message: an IPv6 address gets its brackets."""
    return f"[{host}]" if ":" in host else host


def format_host_port(host: str, port: int | None) -> str:
    """``host`` or ``host:port`` as it stands in a message."""
    if ":" in host:
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"
