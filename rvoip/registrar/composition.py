"""One document from what several devices have published of the same presentity."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from rvoip.protocols.sip.dialog_info import DialogInfo, DialogState, parse_dialog_info
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message_summary import MessageSummary, parse_message_summary
from rvoip.protocols.sip.pidf import DATA_MODEL, Note, Presence, Tuple, parse_pidf
from rvoip.protocols.sip.xml import Element
from rvoip.registrar.publication import StoredPublication

__all__ = ["compose_dialogs", "compose_presence", "compose_summary", "nobody_there"]


def nobody_there(entity: str) -> Presence:
    """What is shown of somebody who has published nothing, or whom the watcher may not see."""
    return Presence(entity, (Tuple("none", "closed"),))


def compose_presence(entity: str, publications: Iterable[StoredPublication]) -> Presence:
    """All tuples and notes, each once, and of the person and of each device what came last.

    Devices choose the ids of their tuples without knowing of each other: one that is taken is changed.
    """
    tuples: dict[str, Tuple] = {}
    notes: dict[Note, None] = {}
    others: dict[tuple[str, str, str], Element] = {}
    for publication in publications:
        try:
            presence = parse_pidf(publication.body)
        except SIPParseError:
            continue  # stored by another version
        for each in presence.tuples:
            id_ = each.id
            while id_ in tuples and tuples[id_] != each:
                id_ += "_"
            tuples[id_] = attrs.evolve(each, id=id_)
        notes.update(dict.fromkeys(presence.notes))
        for element in presence.extensions:
            key = element.content("deviceID") if element.name == "device" else ""
            if element.namespace != DATA_MODEL:
                key = repr(element)
            others[element.namespace, element.name, key] = element
    if not tuples and not notes and not others:
        return nobody_there(entity)
    return Presence(entity, tuple(tuples.values()), tuple(notes), tuple(others.values()))


def compose_dialogs(
    entity: str,
    publications: Iterable[StoredPublication],
    known: Iterable[DialogState] = (),
    version: int = 0,
) -> DialogInfo:
    """The dialogs that are `known` here and those that were published, without what is over there."""
    dialogs = {each.id: each for each in known}
    for publication in publications:
        try:
            info = parse_dialog_info(publication.body)
        except SIPParseError:
            continue
        for each in info.dialogs:
            id_ = each.id
            while id_ in dialogs and dialogs[id_] != each:
                id_ += "_"
            dialogs[id_] = attrs.evolve(each, id=id_)
    return DialogInfo(entity, tuple(dialogs.values()), version)


def compose_summary(
    publications: Iterable[StoredPublication], stored: MessageSummary | None = None
) -> MessageSummary:
    """What was published last, else what is `stored`, else that no messages wait."""
    summary = stored or MessageSummary(False)
    for publication in publications:
        try:
            summary = parse_message_summary(publication.body)
        except SIPParseError:
            continue
    return summary
