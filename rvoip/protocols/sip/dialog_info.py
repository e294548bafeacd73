"""Documents of the dialog event package, from which busy lamps are lit (RFC 4235)."""

from __future__ import annotations

from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.xml import Element, number, parse_xml

__all__ = ["CONTENT_TYPE", "DialogInfo", "DialogState", "Participant", "parse_dialog_info"]

CONTENT_TYPE: Final = "application/dialog-info+xml"
NAMESPACE: Final = "urn:ietf:params:xml:ns:dialog-info"

STATES: Final = ("trying", "proceeding", "early", "confirmed", "terminated")
EVENTS: Final = ("cancelled", "rejected", "replaced", "local-bye", "remote-bye", "error", "timeout")


@attrs.frozen
class Participant:
    """One side of a dialog; ``target`` is its contact URI, ``rendering`` "yes", "no" or ""."""

    identity: str = ""
    display: str = ""
    target: str = ""
    rendering: str = ""


@attrs.frozen
class DialogState:
    """One dialog of the entity. ``state`` is one of `STATES`, ``event`` of `EVENTS` or ""; ``code`` a status.

    ``direction`` is "initiator" or "recipient" and tells who called; ``duration`` is in seconds.
    """

    id: str
    state: str
    call_id: str = ""
    local_tag: str = ""
    remote_tag: str = ""
    direction: str = ""
    event: str = ""
    code: int | None = None
    duration: int | None = None
    local: Participant = Participant()
    remote: Participant = Participant()


@attrs.frozen
class DialogInfo:
    """The dialogs of ``entity``: all of them, or when not ``full`` those that have changed."""

    entity: str
    dialogs: tuple[DialogState, ...] = ()
    version: int = 0
    full: bool = True

    def to_bytes(self) -> bytes:
        """The document."""
        root = Element(
            NAMESPACE,
            "dialog-info",
            {
                "version": str(self.version),
                "state": "full" if self.full else "partial",
                "entity": self.entity,
            },
        )
        root.children = [_dialog_element(each) for each in self.dialogs]
        return root.to_bytes()


def parse_dialog_info(data: bytes) -> DialogInfo:
    """The dialogs in a document; `SIPParseError` when it is none."""
    root = parse_xml(data)
    if (root.namespace, root.name) != (NAMESPACE, "dialog-info"):
        raise SIPParseError("No dialog-info")
    version, state, entity = number(root.get("version")), root.get("state"), root.get("entity").strip()
    if version is None or state not in ("full", "partial") or not entity:
        raise SIPParseError("dialog-info Without Version, State Or Entity")
    dialogs = tuple([_dialog(each) for each in root.all("dialog")])
    if len({each.id for each in dialogs}) != len(dialogs):
        raise SIPParseError("dialog-info With Two Dialogs Of One Id")
    return DialogInfo(entity, dialogs, version, state == "full")


def _dialog(element: Element) -> DialogState:
    id_ = element.get("id").strip()
    state = element.find("state")
    if not id_ or state is None or state.text.strip() not in STATES:
        raise SIPParseError("Bad Dialog In dialog-info")
    event, direction = state.get("event"), element.get("direction")
    return DialogState(
        id_,
        state.text.strip(),
        element.get("call-id"),
        element.get("local-tag"),
        element.get("remote-tag"),
        direction if direction in ("initiator", "recipient") else "",
        event if event in EVENTS else "",
        number(state.get("code")),
        number(element.content("duration")),
        _participant(element.find("local")),
        _participant(element.find("remote")),
    )


def _participant(element: Element | None) -> Participant:
    if element is None:
        return Participant()
    identity, target = element.find("identity"), element.find("target")
    rendering = ""
    if target is not None:
        for param in target.all("param"):
            if param.get("pname") == "+sip.rendering" and param.get("pval") in ("yes", "no"):
                rendering = param.get("pval")
    return Participant(
        "" if identity is None else identity.text.strip(),
        "" if identity is None else identity.get("display"),
        "" if target is None else target.get("uri"),
        rendering,
    )


def _dialog_element(each: DialogState) -> Element:
    names = {
        "call-id": each.call_id,
        "local-tag": each.local_tag,
        "remote-tag": each.remote_tag,
        "direction": each.direction,
    }
    given = {"id": each.id, **{key: value for key, value in names.items() if value}}
    element = Element(NAMESPACE, "dialog", given)
    state = element.add("state", each.state)
    if each.event:
        state.attributes["event"] = each.event
    if each.code is not None:
        state.attributes["code"] = str(each.code)
    if each.duration is not None:
        element.add("duration", str(each.duration))
    for name, side in (("local", each.local), ("remote", each.remote)):
        if side != Participant():
            _add_participant(element.add(name), side)
    return element


def _add_participant(element: Element, side: Participant) -> None:
    if side.identity:
        identity = element.add("identity", side.identity)
        if side.display:
            identity.attributes["display"] = side.display
    if side.target or side.rendering:
        target = element.add("target", uri=side.target)
        if side.rendering:
            target.add("param", pname="+sip.rendering", pval=side.rendering)
