"""SIP, SIPS and tel URIs (RFC 3261 section 19.1, RFC 3966), and other schemes as opaque text."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import format_host_port, parse_number, split_host_port

__all__ = [
    "URI",
    "OpaqueURI",
    "SipURI",
    "TelURI",
    "equivalent",
    "escape_user",
    "is_one_word",
    "parse_uri",
    "unescape",
]

Pairs = tuple[tuple[str, str | None], ...]

# Leniency: phones dial "#" and other marks unescaped; what must never pass is white space, controls
# and what could end a bracketed or quoted address.
_USER = re.compile(r"[^\x00-\x20<>\"\\@\x7f]*\Z")
_TAIL = re.compile(r"[^\x00-\x20<>\"\\\x7f]*\Z")
_WORD = re.compile(r"[^\x00-\x20\x7f]+\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_ESCAPED_OCTET = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NEEDS_ESCAPE = re.compile(rb"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]")
_TEL = re.compile(r"(?:\+[0-9\-.()]+|[0-9A-Fa-f*#\-.()]+)\Z")
_SEPARATORS = str.maketrans("", "", "-.()")
# RFC 2396: equal to their escapes. The rest of what a user part may hold unescaped is "reserved" there.
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()")
# What an address-of-record shows unescaped; "#" because phones send it both ways.
_PLAIN = _UNRESERVED | frozenset(b"&=+$,;?/#")

_CACHE_SIZE = 4096
_LONGEST_CACHED = 160


def unescape(text: str) -> str:
    """`text` with its %HH escapes resolved, once (RFC 4475 section 3.1.1.3)."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    plain = _ESCAPED_OCTET.sub(lambda match: bytes((int(match[1], 16),)), raw)
    return plain.decode("utf-8", "surrogateescape")


def escape_user(text: str) -> str:
    """`text` as the user part of a SIP URI, with what needs it escaped."""
    raw = text.encode("utf-8", "surrogateescape")
    return _NEEDS_ESCAPE.sub(lambda match: b"%%%02X" % match[0][0], raw).decode("ascii")


def _canonical_user(user: str, plain: frozenset[int] = _PLAIN) -> str:
    """One spelling for equal user parts: escapes of `plain` octets resolved, the others upper-case."""
    if "%" not in user:
        return user

    def once(match: re.Match[str]) -> str:
        code = int(match[1], 16)
        return chr(code) if code in plain else f"%{code:02X}"

    return _ESCAPE.sub(once, user)


def is_one_word(text: str) -> bool:
    """Whether `text` may stand as the URI of a request line: not empty, without blanks and controls."""
    return _WORD.match(text) is not None


class SipURI:
    """A sip: or sips: URI. Immutable; ``user`` is as written (escaped), ``host`` lower-case, IPv6 bare."""

    __slots__ = ("scheme", "user", "password", "host", "port", "params", "headers", "_text", "_aor")

    def __init__(
        self,
        scheme: str,
        user: str | None,
        host: str,
        port: int | None = None,
        params: Pairs = (),
        headers: Pairs = (),
        password: str | None = None,
    ) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params = params
        self.headers = headers
        self._text: str | None = None
        self._aor: str | None = None

    def __str__(self) -> str:
        text = self._text
        if text is None:
            text = self._text = self._format()
        return text

    def __repr__(self) -> str:
        return f"<{self}>"

    def _format(self) -> str:
        parts = [self.scheme, ":"]
        if self.user is not None:
            parts.append(self.user)
            if self.password is not None:
                parts += (":", self.password)
            parts.append("@")
        parts.append(format_host_port(self.host, self.port))
        parts += [f";{name}" if value is None else f";{name}={value}" for name, value in self.params]
        if self.headers:
            parts.append("?")
            parts.append("&".join(f"{name}={value or ''}" for name, value in self.headers))
        return "".join(parts)

    def __eq__(self, other: object) -> bool:
        """Equality of the text; for the comparison of RFC 3261 section 19.1.4 see `equivalent`."""
        return isinstance(other, SipURI) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def secure(self) -> bool:
        """Whether this is a sips: URI."""
        return self.scheme == "sips"

    @property
    def user_unescaped(self) -> str | None:
        """The user part with its escapes resolved once, or None."""
        return None if self.user is None else unescape(self.user)

    @property
    def aor(self) -> str:
        """``user@host``, the canonical address-of-record (RFC 3261 section 10.3 step 5).

        Parameters, headers, password and port are gone, unneeded escapes resolved, host lower-case.
        """
        aor = self._aor
        if aor is None:
            host, user = self.host, self.user
            if ":" in host:
                host = f"[{host}]"
            aor = host if user is None else f"{_canonical_user(user) if '%' in user else user}@{host}"
            self._aor = aor
        return aor

    def param(self, name: str) -> str | None:
        """The value of a URI parameter: "" for one without a value, None when absent."""
        for key, value in self.params:
            if key == name or key.lower() == name:
                return "" if value is None else value
        return None

    def has_param(self, name: str) -> bool:
        """Whether the URI parameter is there, with a value or without."""
        return self.param(name) is not None

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case, or None."""
        value = self.param("transport")
        return value.lower() if value else None

    @property
    def loose(self) -> bool:
        """Whether the URI carries ``lr`` (RFC 3261 section 19.1.1)."""
        return self.param("lr") is not None

    def with_params(self, **params: str | None) -> SipURI:
        """A copy with these parameters set; a value of "" writes the bare name, None removes it."""
        names = {name.replace("_", "-") for name in params}
        kept = tuple(pair for pair in self.params if pair[0].lower() not in names)
        added = tuple(
            (name.replace("_", "-"), value or None) for name, value in params.items() if value is not None
        )
        return self.replace(params=kept + added)

    def without_params(self, *names: str) -> SipURI:
        """A copy without the named parameters."""
        return self.replace(params=tuple(pair for pair in self.params if pair[0].lower() not in names))

    def replace(
        self,
        *,
        scheme: str | None = None,
        user: str | None = None,
        host: str | None = None,
        port: int | None = None,
        params: Pairs | None = None,
        headers: Pairs | None = None,
    ) -> SipURI:
        """A copy with the given parts in place of its own (None keeps a part)."""
        return SipURI(
            self.scheme if scheme is None else scheme,
            self.user if user is None else user,
            self.host if host is None else host,
            self.port if port is None else port,
            self.params if params is None else params,
            self.headers if headers is None else headers,
            self.password,
        )

    def for_request_line(self) -> SipURI:
        """A copy that may be a Request-URI: no headers, no ``method`` (RFC 3261 section 19.1.1, table 1)."""
        if not self.headers and self.param("method") is None:
            return self
        return self.replace(headers=()).without_params("method")


class TelURI:
    """A tel: URI (RFC 3966): ``number`` as written, visual separators included."""

    __slots__ = ("number", "params", "_text")

    scheme = "tel"

    def __init__(self, number: str, params: Pairs = ()) -> None:
        self.number = number
        self.params = params
        self._text = f"tel:{number}" + "".join(
            f";{name}" if value is None else f";{name}={value}" for name, value in params
        )

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TelURI) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def is_global(self) -> bool:
        """Whether the number is a global one, with a leading plus."""
        return self.number.startswith("+")

    @property
    def digits(self) -> str:
        """The number without visual separators."""
        return self.number.translate(_SEPARATORS)

    def param(self, name: str) -> str | None:
        """The value of a parameter: "" for one without a value, None when absent."""
        for key, value in self.params:
            if key.lower() == name:
                return "" if value is None else value
        return None

    @property
    def aor(self) -> str:
        """The number without separators: what names the resource."""
        return self.digits.lower()


class OpaqueURI:
    """A URI of any other scheme: kept as written, never routed on."""

    __slots__ = ("scheme", "rest")

    def __init__(self, scheme: str, rest: str) -> None:
        self.scheme = scheme
        self.rest = rest

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpaqueURI) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def aor(self) -> str:
        """The whole text: nothing is known of this scheme's equality."""
        return str(self)


URI = SipURI | TelURI | OpaqueURI

_cache: dict[str, URI] = {}


def parse_uri(text: str) -> URI:
    """The URI that `text` is; `SIPParseError` (400) when it is none.

    Values repeat, so results are kept by their text; URIs are immutable.
    """
    found = _cache.get(text)
    if found is not None:
        return found
    uri = _parse(text)
    if len(text) <= _LONGEST_CACHED:
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        _cache[text] = uri
    return uri


# "sip:user@host:port", the common form, in which nothing needs a closer look.
_TYPICAL = re.compile(
    r"(sips?):(?:([A-Za-z0-9_.+\-]+)@)?([A-Za-z0-9][A-Za-z0-9.\-]*)(?::([0-9]{1,5}))?"
    r"((?:;[A-Za-z0-9\-]+(?:=[A-Za-z0-9.\-]+)?)*)\Z"
).match


def _parse(text: str) -> URI:
    match = _TYPICAL(text)
    if match is not None:
        scheme, user, host, digits, tail = match.groups()
        port = int(digits) if digits is not None else None
        if port is None or port <= 65535:
            params: Pairs = ()
            if tail:
                pieces = [piece.partition("=") for piece in tail[1:].split(";")]
                params = tuple([(name, value if equals else None) for name, equals, value in pieces])
            return SipURI(scheme, user, host.lower(), port, params)
    scheme, colon, rest = text.partition(":")
    lowered = scheme.lower()
    if not colon or not rest:
        raise SIPParseError("Bad URI")
    if lowered == "sip" or lowered == "sips":
        return _parse_sip(lowered, rest)
    if not _SCHEME.match(scheme) or not _TAIL.match(rest):
        raise SIPParseError("Bad URI")
    if lowered == "tel":
        number, _, tail = rest.partition(";")
        if not _TEL.match(number) or number.translate(_SEPARATORS) in ("", "+"):
            raise SIPParseError("Bad telephone number")
        return TelURI(number, _parse_pairs(tail, ";") if tail else ())
    return OpaqueURI(scheme, rest)


def _parse_sip(scheme: str, rest: str) -> SipURI:
    user: str | None = None
    password: str | None = None
    before, at, after = rest.partition("@")
    if at:
        user, colon, secret = before.partition(":")
        if colon:
            password = secret
        if not user or not _USER.match(before):
            raise SIPParseError("Bad user part in URI")
        if "%" in before and _BAD_ESCAPE.search(before):
            raise SIPParseError("Bad escape in URI")
        rest = after
    params: Pairs = ()
    headers: Pairs = ()
    if "?" in rest:
        rest, _, tail = rest.partition("?")
        headers = _parse_pairs(tail, "&")
    if ";" in rest:
        rest, _, tail = rest.partition(";")
        params = _parse_pairs(tail, ";")
    if " " in rest or "\t" in rest:
        raise SIPParseError("White space in URI")
    host, port = _host_port(rest)
    return SipURI(scheme, user, host, port, params, headers, password)


def _host_port(text: str) -> tuple[str, int | None]:
    if text.startswith("[") or ":" not in text:
        return split_host_port(text, "URI")
    host, _, digits = text.partition(":")
    return split_host_port(host, "URI")[0], parse_number(digits, 65535, "port in URI")


def _parse_pairs(text: str, separator: str) -> Pairs:
    if not _TAIL.match(text) or ("%" in text and _BAD_ESCAPE.search(text)):
        raise SIPParseError("Bad parameter in URI")
    pairs: list[tuple[str, str | None]] = []
    for piece in text.split(separator):
        name, equals, value = piece.partition("=")
        if not name:
            raise SIPParseError("Bad parameter in URI")
        pairs.append((name, value if equals else None))
    return tuple(pairs)


def equivalent(a: URI, b: URI) -> bool:
    """Whether two URIs are equal by RFC 3261 section 19.1.4 and RFC 5954 (tel: by RFC 3966 section 4)."""
    if isinstance(a, SipURI) and isinstance(b, SipURI):
        return _sip_equivalent(a, b)
    if isinstance(a, TelURI) and isinstance(b, TelURI):
        return a.digits.lower() == b.digits.lower() and _tel_params(a) == _tel_params(b)
    return type(a) is type(b) and str(a) == str(b)


# A parameter that one side has and the other has not makes them differ only if it is one of these.
_DECISIVE = ("user", "ttl", "method", "maddr", "transport")


def _sip_equivalent(a: SipURI, b: SipURI) -> bool:
    if a.scheme != b.scheme or a.port != b.port or (a.host != b.host and not _same_ipv6(a.host, b.host)):
        return False
    if not _same_user(a.user, b.user) or not _same_user(a.password, b.password):
        return False
    if a.params or b.params:
        left, right = _lower_pairs(a.params), _lower_pairs(b.params)
        for name in left.keys() & right.keys():
            if left[name] != right[name]:
                return False
        for name in left.keys() ^ right.keys():
            if name in _DECISIVE:
                return False
    if a.headers or b.headers:
        return _headers_of(a) == _headers_of(b)
    return True


def _same_user(a: str | None, b: str | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b or _canonical_user(a, _UNRESERVED) == _canonical_user(b, _UNRESERVED)


def _same_ipv6(a: str, b: str) -> bool:
    """Whether both are spellings of one IPv6 address (RFC 5954 section 4.2)."""
    try:
        return IPv6Address(a) == IPv6Address(b)
    except ValueError:
        return False


def _tel_params(uri: TelURI) -> dict[str, str]:
    params = _lower_pairs(uri.params)
    for name in ("ext", "phone-context"):
        value = params.get(name, "")
        if value and (name == "ext" or value.startswith("+")):
            params[name] = value.translate(_SEPARATORS)
    return params


def _lower_pairs(pairs: Pairs) -> dict[str, str]:
    return {unescape(name).lower(): unescape(value or "").lower() for name, value in pairs}


def _headers_of(uri: SipURI) -> list[tuple[str, str]]:
    return sorted((unescape(name).lower(), unescape(value or "")) for name, value in uri.headers)
