"""The REGISTER that most are: one known contact, for another while. A short way to the same result.

`refreshed` reads it without the general rules' work, or leaves it to them; `answer` writes its 200 in one
piece. What they do is what `Registrar.decide` and `Registrar.answer` do for the same request, which a test
holds them to.
"""

from __future__ import annotations

from rvoip.protocols.sip.message import Request
from rvoip.registrar.binding import Binding
from rvoip.registrar.settings import RegistrarSettings

__all__ = ["answer", "contact_lines", "refreshed", "refreshed_binding"]

_LONGEST_CALL_ID = 256


def refreshed(
    request: Request, bindings: tuple[Binding, ...], now: float, flow: str, settings: RegistrarSettings
) -> Binding | None:
    """The binding as the request refreshes it, or None when this is for the general rules.

    It is a refresh when the AOR has one binding and the request is for it as `refreshed_binding` asks, with
    one Contact and no Path or Require.
    """
    if len(bindings) != 1:
        return None
    names = request.names
    if "path" in names or "require" in names or names.count("contact") != 1 or "expires" not in names:
        return None
    lines = request.lines
    contact = lines[names.index("contact")]
    expires = lines[names.index("expires")]
    agent = lines[names.index("user-agent")] if "user-agent" in names else "User-Agent: "
    if contact[:9] != "Contact: " or expires[:9] != "Expires: " or agent[:12] != "User-Agent: ":
        return None
    return refreshed_binding(
        bindings[0],
        contact[9:],
        expires[9:],
        agent[12:],
        request.call_id,
        request.cseq.number,
        now,
        flow,
        settings,
    )


def refreshed_binding(
    old: Binding,
    contact: str,
    expires: str,
    user_agent: str,
    call_id: str,
    cseq: int,
    now: float,
    flow: str,
    settings: RegistrarSettings,
) -> Binding | None:
    """`old` for another while, or None when the request does not just ask for that.

    It does when the binding is no flow, the Contact value is its URI without parameters, the Expires value is
    within the bounds, the User-Agent value is the one that it had, and the request is not out of order.
    """
    if old.params or old.path or old.received != flow or old.user_agent != user_agent:
        return None
    if contact != f"<{old.contact}>" or not (expires.isascii() and expires.isdigit() and len(expires) < 8):
        return None
    granted = int(expires)
    if not settings.min_expires <= granted <= settings.max_expires or not granted:
        return None
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


def contact_lines(bindings: tuple[Binding, ...], now: float) -> str:
    """The Contact lines of a 200 with these live bindings, joined by CRLF."""
    if len(bindings) == 1:
        (one,) = bindings
        return f"Contact: <{one.contact}>{one.params};expires={int(one.deadline - now + 0.999)}"
    return "\r\n".join(
        [
            f"Contact: <{each.contact}>{each.params};expires={int(each.deadline - now + 0.999)}"
            for each in bindings
        ]
    )


def answer(
    request: Request, bindings: tuple[Binding, ...], now: float, tag: str, last_lines: str
) -> bytes | None:
    """The 200 to a refresh with all live bindings, or None when the request is not of the common form.

    `last_lines` are the Date line and further header lines, joined by CRLF.
    """
    names = request.names
    if names.count("via") != 1 or "path" in names:
        return None
    lines = request.lines
    to = lines[names.index("to")]
    if ";" in to:
        return None  # a tag, or parameters: rare, and not worth a look here
    contacts = contact_lines(bindings, now)
    return (
        f"SIP/2.0 200 OK\r\n{lines[names.index('via')]}\r\n{lines[names.index('from')]}\r\n{to};tag={tag}\r\n"
        f"{lines[names.index('call-id')]}\r\n{lines[names.index('cseq')]}\r\n{contacts}\r\n{last_lines}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode("utf-8", "surrogateescape")
