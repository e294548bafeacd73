"""The REGISTER that most are: one known contact, for another while. A short way to the same result.

`refreshed` reads it without the general rules' work, or leaves it to them; `answer` writes its 200 in one
piece. What they do is what `Registrar.decide` and `Registrar.answer` do for the same request, which a test
holds them to.
"""

from __future__ import annotations

from rvoip.protocols.sip.message import Request
from rvoip.registrar.binding import Binding
from rvoip.registrar.settings import RegistrarSettings

__all__ = ["answer", "refreshed"]

_LONGEST_CALL_ID = 256


def refreshed(
    request: Request, bindings: tuple[Binding, ...], now: float, flow: str, settings: RegistrarSettings
) -> Binding | None:
    """The binding as the request refreshes it, or None when this is for the general rules.

    It is a refresh when the AOR has one binding, which is no flow, and the request has one Contact with that
    URI and no parameters, an Expires within the bounds, no Path or Require, the User-Agent that it had, and
    is not out of order.
    """
    if len(bindings) != 1:
        return None
    old = bindings[0]
    names = request.names
    if old.params or old.path or "path" in names or "require" in names or names.count("contact") != 1:
        return None
    lines = request.lines
    line = lines[names.index("contact")]
    if line != f"Contact: <{old.contact}>" or old.received != flow:
        return None
    if "expires" not in names:
        return None
    name, _, text = lines[names.index("expires")].partition(": ")
    if len(name) != 7 or not (text.isascii() and text.isdigit() and len(text) < 8):
        return None
    agent = lines[names.index("user-agent")] if "user-agent" in names else "User-Agent: "
    if agent != f"User-Agent: {old.user_agent}":
        return None
    granted = int(text)
    if not settings.min_expires <= granted <= settings.max_expires or not granted:
        return None
    call_id = request.call_id
    cseq = request.cseq.number
    if call_id == old.call_id:
        if cseq <= old.cseq:
            return None
        call_id = old.call_id
    elif len(call_id) > _LONGEST_CALL_ID or not call_id.isprintable():
        return None
    if old.granted == granted:
        granted = old.granted
    return Binding(
        old.contact,
        old.key,
        call_id,
        cseq,
        now + granted,
        granted,
        old.q,
        "",
        (),
        old.received,
        old.user_agent,
    )


def answer(
    request: Request, bindings: tuple[Binding, ...], now: float, tag: str, date: str, more: str
) -> bytes | None:
    """The 200 to a refresh with all live bindings, or None when the request is not of the common form.

    `date` is the Date line and `more` further header lines, each without and all joined by CRLF.
    """
    names = request.names
    if names.count("via") != 1 or "path" in names:
        return None
    lines = request.lines
    to = lines[names.index("to")]
    if ";" in to:
        return None  # a tag, or parameters: rare, and not worth a look here
    contacts = "\r\n".join(
        [
            f"Contact: <{each.contact}>{each.params};expires={int(each.deadline - now + 0.999)}"
            for each in bindings
        ]
    )
    return (
        f"SIP/2.0 200 OK\r\n{lines[names.index('via')]}\r\n{lines[names.index('from')]}\r\n{to};tag={tag}\r\n"
        f"{lines[names.index('call-id')]}\r\n{lines[names.index('cseq')]}\r\n{contacts}\r\n{date}\r\n{more}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode("utf-8", "surrogateescape")
