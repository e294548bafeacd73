"""A user agent whose sessions carry one identifier end to end (RFC 7989)."""

from __future__ import annotations

from typing import Any

from rvoip.protocols.dialog.agent import UserAgent
from rvoip.protocols.dialog.dialog import Dialog
from rvoip.protocols.dialog.session_id import SessionIdentifier, session_uuid
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.session_headers import NIL_UUID, SessionID

__all__ = ["IdentifiedAgent"]

_MOST = 20_000
"""Requests outside dialogs whose identifiers are remembered."""

_Key = tuple[str, str, str]
"""Call-ID, the From tag of the request that began it, and our role in it."""


class IdentifiedAgent(UserAgent):
    """Puts a Session-ID into all that it sends, and keeps both halves with each dialog (`identifier`).

    A request of ours that has the header already keeps its local half: give the INVITE that a REFER or a 3xx
    asks for the header of `identifier(dialog).continued()`, and the session stays the same one. Overridden
    message hooks must call these.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        # Of requests outside dialogs, until their transactions are long over: the oldest go first.
        self._identifiers: dict[_Key, SessionIdentifier] = {}

    def identifier(self, dialog: Dialog) -> SessionIdentifier:
        """The identifier of the session in a dialog."""
        found: SessionIdentifier | None = dialog.session_id
        if found is None:
            role = dialog.role
            began = self._began(
                (dialog.call_id, dialog.local_tag if role == "uac" else dialog.remote_tag, role)
            )
            # Each dialog of a fork has a peer of its own.
            found = dialog.session_id = SessionIdentifier(began.local, began.remote)
        return found

    def attach(self, dialog: Dialog, usage: Any) -> None:
        """See `AgentCore`."""
        self.identifier(dialog)
        super().attach(dialog, usage)

    def request_made(self, request: Request, dialog: Dialog | None) -> None:
        """See `AgentCore`."""
        if dialog is None:
            found = self._began(_key(request, "uac"))
            given = _given(request)
            if given is not None:
                found.local = given.local
        else:
            found = self.identifier(dialog)
        found.apply(request)

    def response_made(self, request: Request, response: Response, dialog: Dialog | None) -> None:
        """See `AgentCore`."""
        found = self._began(_key(request, "uas")) if dialog is None else self.identifier(dialog)
        found.apply(response)

    def request_seen(self, request: Request, dialog: Dialog | None) -> None:
        """See `AgentCore`."""
        found = self._began(_key(request, "uas")) if dialog is None else self.identifier(dialog)
        found.receive(request)

    def response_seen(self, response: Response, dialog: Dialog | None) -> None:
        """See `AgentCore`."""
        if dialog is None:
            dialog = self.dialog(response.call_id, response.from_.tag or "", response.to.tag or "")
        found = self._began(_key(response, "uac")) if dialog is None else self.identifier(dialog)
        found.receive(response)

    def _began(self, key: _Key) -> SessionIdentifier:
        """The identifier of a request outside a dialog, and of the dialogs that it makes."""
        identifiers = self._identifiers
        found = identifiers.get(key)
        if found is None:
            token = self.layer.token
            octets = bytes.fromhex(f"{_number(token()):016x}{_number(token()):016x}")
            found = identifiers[key] = SessionIdentifier(session_uuid(octets))
            if len(identifiers) > _MOST:
                del identifiers[next(iter(identifiers))]
        return found


def _number(token: str) -> int:
    """64 bits of a token, whatever its form."""
    return hash(token) & 0xFFFFFFFFFFFFFFFF


def _key(message: Message, role: str) -> _Key:
    return message.call_id, message.from_.tag or "", role


def _given(request: Request) -> SessionID | None:
    """The identifier that the application put into a request; None for none, or one that is no such."""
    try:
        found: SessionID | None = request.typed("session-id")
    except SIPParseError:
        return None
    return None if found is None or found.local == NIL_UUID else found
