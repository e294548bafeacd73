"""The request as it goes on: RFC 3261 section 16.6, steps 1 to 6, as functions of values."""

from __future__ import annotations

from collections.abc import Callable

from rvoip.protocols.sip.digest import parse_credentials
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.targets import Refused

__all__ = [
    "DEFAULT_MAX_BREADTH",
    "breadth",
    "consume_credentials",
    "drop_routes",
    "forwarded",
    "loop_mark",
    "looped",
    "next_hop",
    "spent",
    "undo_strict_route",
    "unknown_extensions",
]

DEFAULT_MAX_BREADTH = 60
"""What a request without Max-Breadth may fan out to (RFC 5393 section 5.3.3.1)."""


def spent(request: Request) -> bool:
    """Whether Max-Forwards is 0: the request goes no further (section 16.3 step 3)."""
    text = request.get("max-forwards")
    return text is not None and not text.strip("0")


def forwarded(request: Request, uri: SipURI | None, route: tuple[str, ...] = ()) -> Request:
    """A copy with Max-Forwards lowered, this Request-URI (None keeps it), and Route values put on top.

    Raises `Refused` 483 when Max-Forwards is used up. A Max-Forwards above 255 or malformed counts as
    70 (RFC 4475 section 3.1.2.4 tolerates it).
    """
    copy = request.copy()
    text = copy.get("max-forwards")
    if text is None:
        copy.set("max-forwards", "70")
    else:
        try:
            left = copy.number("max-forwards", 255)
        except SIPParseError:
            left = 71
        if not left:
            raise Refused(483, stateless=True)
        copy.set("max-forwards", str(left - 1))
    if uri is not None:
        copy.set_uri(uri.for_request_line())
    for value in reversed(route):
        copy.insert("route", value)
    return copy


def next_hop(request: Request) -> SipURI:
    """The URI to resolve: the topmost Route, else the Request-URI (section 16.6 step 7).

    A strict router as next hop gets the request as it wants it (step 6): its URI becomes the
    Request-URI, ours the last Route.
    """
    routes = request.routes
    if routes:
        first = routes[0].sip_uri
        if not first.loose:
            request.add("route", f"<{request.uri_text}>")
            request.remove_first_value("route")
            request.set_uri(first.for_request_line())
        return first
    uri = request.uri
    if not isinstance(uri, SipURI):
        raise Refused(416)
    return uri


def loop_mark(request: Request) -> str:
    """What tells a loop from a spiral: a hash of all that routing depends on (RFC 5393 section 4.2.2)."""
    from_, to = request.from_, request.to
    decided_by = (
        request.uri_text,
        tuple(request.get_all("route")) if request.has("route") else (),
        from_.tag,
        to.tag,
        request.call_id,
        request.cseq.number,
        request.get("proxy-require"),
    )
    return f"{hash(decided_by) & 0xFFFFFFFFFFFF:012x}"


def looped(request: Request, mark: str) -> bool:
    """Whether the request was here before in just this form: a Via with this mark.

    Nobody else makes such a mark: hashes are keyed anew in each process.
    """
    marked = "." + mark
    names, lines = request.names, request.lines
    if names.count("via") == 1:
        return marked in lines[names.index("via")]
    return any(name == "via" and marked in line for name, line in zip(names, lines))


def breadth(request: Request) -> int:
    """Max-Breadth as it came, at most 60; a malformed one counts as 60 (RFC 5393 section 5.3)."""
    text = request.get("max-breadth")
    if text is None:
        return DEFAULT_MAX_BREADTH
    try:
        return min(request.number("max-breadth", 2**31) or 0, DEFAULT_MAX_BREADTH)
    except SIPParseError:
        return DEFAULT_MAX_BREADTH


def unknown_extensions(request: Request) -> list[str]:
    """The option tags of Proxy-Require that a proxy here does not know (section 16.3 step 5)."""
    return request.other_tags("proxy-require", _SUPPORTED)


_SUPPORTED = frozenset(("path", "outbound"))


def undo_strict_route(request: Request) -> None:
    """Undo what a strict router did (section 16.4): the real Request-URI is the last Route."""
    if not request.has("route"):
        return
    values = request.values("route")
    last = request.routes[-1].uri_text
    parse_uri(last)
    request.remove("route")
    for value in values[:-1]:
        request.add("route", value)
    request.set_uri(last)


def drop_routes(request: Request, count: int) -> None:
    """Remove the topmost `count` Route values."""
    if count < 3:
        for _ in range(count):
            request.remove_first_value("route")
        return
    left = request.values("route")[count:]
    request.remove("route")
    for value in left:
        request.add("route", value)


def consume_credentials(request: Request, is_ours: Callable[[str], bool]) -> None:
    """Remove the Proxy-Authorization values for realms of ours: whoever is next must not get to see them.

    Those for other realms go on (section 22.3), and so does what cannot be read.
    """
    values = request.get_all("proxy-authorization")
    others = []
    for value in values:
        try:
            found = parse_credentials(value)
        except SIPParseError:
            found = None
        if found is None or not is_ours(found.realm):
            others.append(value)
    if len(others) < len(values):
        request.remove("proxy-authorization")
        for value in others:
            request.add("proxy-authorization", value)
