"""Correct requests and responses in one call (RFC 3261 sections 8.1.1 and 8.2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPBuildError, SIPParseError
from rvoip.protocols.sip.grammar import is_token
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.names import KNOWN
from rvoip.protocols.sip.uri import URI, is_one_word

__all__ = [
    "MAGIC",
    "REASONS",
    "ack_for_failure",
    "cancel_for",
    "reason_phrase",
    "request",
    "respond",
    "via_value",
]

MAGIC = "z9hG4bK"
"""How a branch of RFC 3261 begins (section 8.1.1.7)."""

REASONS: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    425: "Bad Alert Message",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    478: "Unresolvable Destination",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""Default reason phrases (RFC 3261 section 21 and the registry)."""

_CLASS_REASONS = ("", "Progress", "OK", "Redirection", "Request Failure", "Server Failure", "Global Failure")

_COPIED = frozenset(("via", "from", "to", "call-id", "cseq"))
_DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "REFER", "NOTIFY"))


def reason_phrase(status: int) -> str:
    """The reason phrase of a status code."""
    return REASONS.get(status) or _CLASS_REASONS[status // 100]


def via_value(transport: str, sent_by: str, branch: str) -> str:
    """A Via value of ours, with rport asked for (RFC 3581 section 3)."""
    return f"SIP/2.0/{transport} {sent_by};branch={branch};rport"


def request(
    method: str,
    uri: URI | str,
    *,
    from_: NameAddr | str,
    to: NameAddr | str,
    call_id: str,
    cseq: int,
    contact: NameAddr | str | None = None,
    routes: Iterable[NameAddr | str] = (),
    headers: Iterable[tuple[str, str]] = (),
    max_forwards: int = 70,
    body: bytes = b"",
    content_type: str | None = None,
) -> Request:
    """A request with every mandatory header but Via, which the transaction layer puts on top.

    `from_` must carry its tag. `headers` are (name, value) pairs with names in any case. Raises
    `SIPBuildError` for what cannot be written, such as a line break in a value.
    """
    if not is_token(method):
        raise SIPBuildError(f"bad method {method!r}")
    uri_text = str(uri)
    if not is_one_word(uri_text):
        raise SIPBuildError(f"bad Request-URI {uri_text!r}")
    if body and content_type is None:
        raise SIPBuildError("a body needs a Content-Type")
    if not 0 <= cseq < 1 << 32:
        raise SIPBuildError(f"bad CSeq {cseq}")
    if not 0 <= max_forwards <= 255:
        raise SIPBuildError(f"bad Max-Forwards {max_forwards}")
    made = Request(method, uri_text, [], [])
    for route in routes:
        made.add("route", str(route))
    made.add("max-forwards", str(max_forwards))
    made.add("from", str(from_))
    made.add("to", str(to))
    made.add("call-id", call_id)
    made.add("cseq", f"{cseq} {method}")
    if contact is not None:
        made.add("contact", str(contact))
    _finish(made, headers, body, content_type)
    return made


def respond(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """The response to `request` (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq are copied.

    `to_tag` is added to a To without one, in every response but 100. Record-Route is copied into
    1xx (but 100) and 2xx responses that may make a dialog (section 12.1.1), Timestamp into a 100. Raises
    `SIPBuildError` for what cannot be written.
    """
    if not 100 <= status <= 699:
        raise SIPBuildError(f"bad status {status}")
    if reason is None:
        reason = REASONS.get(status) or _CLASS_REASONS[status // 100]
    elif "\r" in reason or "\n" in reason:
        raise SIPBuildError("line break in a reason phrase")
    names: list[str] = []
    lines: list[str] = []
    copied = _COPIED
    dialog = 100 < status < 300 and request.method in _DIALOG_METHODS
    for name, line in zip(request.names, request.lines):
        if name in copied:
            if name == "to" and to_tag is not None and status != 100 and not _has_tag(request, line):
                if not (to_tag.isalnum() or is_token(to_tag)):
                    raise SIPBuildError(f"bad tag {to_tag!r}")
                line = f"{line};tag={to_tag}"
        elif name == "record-route":
            if not dialog:
                continue
        elif name != "timestamp" or status != 100:
            continue
        names.append(name)
        lines.append(line)
    made = Response(status, reason, names, lines)
    _finish(made, headers, body, content_type)
    return made


def _has_tag(request: Request, line: str) -> bool:
    if ";" not in line:
        return False
    try:
        return request.to.tag is not None
    except SIPParseError:
        return True  # the answer to a To that is none repeats it as it came


def _finish(made: Message, headers: Iterable[tuple[str, str]], body: bytes, content_type: str | None) -> None:
    for name, value in headers:
        made.add(KNOWN.get(name) or name.lower(), value)
    made.body = body
    if content_type is not None:
        made.add("content-type", content_type)
    made.names.append("content-length")
    made.lines.append(f"Content-Length: {len(body)}")


def ack_for_failure(invite: Request, response: Response) -> Request:
    """The ACK for a 3xx-6xx to `invite` (RFC 3261 section 17.1.1.3), with the INVITE's top Via."""
    return _same_hop(invite, "ACK", response.get("to") or "")


def cancel_for(invite: Request) -> Request:
    """The CANCEL for a request of ours (RFC 3261 section 9.1), with its top Via and Route set."""
    return _same_hop(invite, "CANCEL", invite.get("to") or "")


def _same_hop(invite: Request, method: str, to: str) -> Request:
    made = Request(method, invite.uri_text, [], [])
    via = invite.get("via") or ""
    # Only the top one is ours: what stands below it may be anything.
    made.add("via", str(invite.via) if "," in via else via)
    for route in invite.get_all("route"):
        made.add("route", route)
    made.add("max-forwards", "70")
    made.add("from", invite.get("from") or "")
    made.add("to", to)
    made.add("call-id", invite.call_id)
    made.add("cseq", f"{invite.cseq.number} {method}")
    session_id = invite.get("session-id")
    if session_id is not None:
        made.add("session-id", session_id)  # RFC 7989 section 6
    made.add("content-length", "0")
    return made
