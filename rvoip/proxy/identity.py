"""Who calls, as the network says it (RFC 3325): asserted where it is known, kept from those it is not for."""

from __future__ import annotations

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.identity_headers import RemotePartyID
from rvoip.protocols.sip.message import Message, Request
from rvoip.protocols.sip.session_headers import SessionID
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.interfaces import IDomains

__all__ = ["answered_session", "assert_identity", "hide_identity", "wants_privacy"]


def wants_privacy(message: Message) -> bool:
    """Whether its sender wants to stay unnamed outside (``Privacy: id``, RFC 3325 section 9.3)."""
    if not message.has("privacy"):
        return False
    return any(
        word.strip(" \t").lower() == "id"
        for value in message.get_all("privacy")
        for word in value.replace(",", ";").split(";")
    )


def hide_identity(message: Message, trusted: bool) -> None:
    """Take the asserted identity out of what goes to whoever is not `trusted`, if its owner wants that.

    Remote-Party-ID says so by itself as well (draft-ietf-sip-privacy-04 section 5).
    """
    if trusted:
        return
    if message.has("p-asserted-identity") and wants_privacy(message):
        message.remove("p-asserted-identity")
    if message.has("remote-party-id") and (wants_privacy(message) or _is_private(message)):
        message.remove("remote-party-id")


def _is_private(message: Message) -> bool:
    """Whether a Remote-Party-ID is for trusted networks alone; one that cannot be read is."""
    try:
        values: list[RemotePartyID] = message.typed("remote-party-id")
    except SIPParseError:
        return True
    return any(one.privacy != "off" for one in values)


def assert_identity(request: Request, user: str | None, domains: IDomains) -> None:
    """Name the user who has shown credentials (an AOR), with the display name that he prefers.

    What he prefers is for us alone (RFC 3325 section 9.2), and believed only of himself.
    """
    display = ""
    if request.has("p-preferred-identity"):
        if user is not None:
            display = _preferred(request, user, domains)
        request.remove("p-preferred-identity")
    if user is None or request.has("p-asserted-identity"):
        return
    uri = parse_uri(f"sip:{user}")
    request.add("p-asserted-identity", f"{display}<{uri}>")


def _preferred(request: Request, user: str, domains: IDomains) -> str:
    """The display name of the preferred identity that is this user's own, quoted, with a blank; or ""."""
    try:
        for one in request.addresses("p-preferred-identity"):
            uri = one.uri
            if isinstance(uri, SipURI) and domains.serves(uri) and domains.aor(uri) == user and one.display:
                escaped = one.display.replace("\\", "\\\\").replace('"', '\\"')
                return f'"{escaped}" '
    except SIPParseError:
        return ""
    return ""


def answered_session(request: Request) -> tuple[tuple[str, str], ...]:
    """The Session-ID of an answer of our own: as the far end would give it, whose half is null until the
    sender knows it (RFC 7989 section 7); the older form has one half, which goes back. Nothing where the
    request has none, or one that cannot be read.
    """
    if not request.has("session-id"):
        return ()
    try:
        found: SessionID = request.typed("session-id")
    except SIPParseError:
        return ()
    answer = SessionID(found.local) if found.remote is None else SessionID(found.remote, found.local)
    return (("Session-ID", str(answer)),)
