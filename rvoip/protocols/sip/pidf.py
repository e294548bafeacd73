"""Presence documents: PIDF (RFC 3863), with the person and devices of the data model (RFC 4479).

Rich presence (RPID, RFC 4480) stands in elements that are kept as they came, in tuples as in persons; its
notes are among those that `Presence.all_notes` gives.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.xml import XML, Element, parse_xml

__all__ = ["CONTENT_TYPE", "Note", "Presence", "Tuple", "parse_pidf"]

CONTENT_TYPE: Final = "application/pidf+xml"
PIDF: Final = "urn:ietf:params:xml:ns:pidf"
DATA_MODEL: Final = "urn:ietf:params:xml:ns:pidf:data-model"
RPID: Final = "urn:ietf:params:xml:ns:pidf:rpid"

_PREFIXES: Final = {DATA_MODEL: "dm", RPID: "rpid", "urn:ietf:params:xml:ns:pidf:cipid": "c"}
_MUST: Final = f"{{{PIDF}}}mustUnderstand"
_LANGUAGE: Final = f"{{{XML}}}lang"
_PRIORITY = re.compile(r"\s*(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*\Z", re.ASCII)


@attrs.frozen
class Note:
    """A text for people, and its language ("" when it does not say)."""

    text: str
    language: str = ""


@attrs.frozen
class Tuple:
    """One way to reach somebody. ``basic`` is "open", "closed" or ""; ``priority`` is in thousandths.

    ``status_extensions`` are what the status holds beside basic, ``extensions`` what the tuple does.
    """

    id: str
    basic: str = ""
    contact: str = ""
    priority: int | None = None
    notes: tuple[Note, ...] = ()
    timestamp: str = ""
    status_extensions: tuple[Element, ...] = ()
    extensions: tuple[Element, ...] = ()


@attrs.frozen
class Presence:
    """What is known of the presence of ``entity``: tuples, notes, and persons, devices and the like."""

    entity: str
    tuples: tuple[Tuple, ...] = ()
    notes: tuple[Note, ...] = ()
    extensions: tuple[Element, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether there is an open way."""
        return any(each.basic == "open" for each in self.tuples)

    @property
    def persons(self) -> tuple[Element, ...]:
        """The persons of the data model."""
        return tuple(
            [each for each in self.extensions if (each.namespace, each.name) == (DATA_MODEL, "person")]
        )

    @property
    def all_notes(self) -> tuple[Note, ...]:
        """The notes of the document, its persons and its tuples, each once."""
        found = list(self.notes)
        for person in self.persons:
            found += [_note(each) for each in person.all("note")]
            for activity in person.all("activities", RPID):
                found += [_note(each) for each in activity.all("note")]
        for each in self.tuples:
            found += each.notes
        return tuple(dict.fromkeys(found))

    def to_bytes(self) -> bytes:
        """The document."""
        root = Element(PIDF, "presence", {"entity": self.entity})
        for each in self.tuples:
            root.children.append(_tuple_element(each))
        for note in self.notes:
            root.children.append(_note_element(note))
        root.children += self.extensions
        return root.to_bytes(_PREFIXES)


def parse_pidf(data: bytes) -> Presence:
    """The presence in a document; `SIPParseError` when it is none (RFC 3863 section 4.4)."""
    root = parse_xml(data)
    if (root.namespace, root.name) != (PIDF, "presence"):
        raise SIPParseError("No PIDF")
    entity = root.get("entity").strip()
    if not entity:
        raise SIPParseError("PIDF Without Entity")
    tuples = tuple([_tuple(each) for each in root.all("tuple")])
    if len({each.id for each in tuples}) != len(tuples):
        raise SIPParseError("PIDF With Two Tuples Of One Id")
    others = tuple([each for each in root.children if each.namespace != PIDF])
    for each in root.children:
        if each.namespace != PIDF and each.get(_MUST) in ("1", "true"):
            raise SIPParseError("PIDF With What Must Be Understood")
    return Presence(entity, tuples, tuple([_note(each) for each in root.all("note")]), others)


def _tuple(element: Element) -> Tuple:
    id_ = element.get("id").strip()
    status = element.find("status")
    if not id_ or status is None:
        raise SIPParseError("PIDF Tuple Without Id Or Status")
    basic = status.content("basic")
    if basic not in ("", "open", "closed"):
        raise SIPParseError("Bad PIDF Basic Status")
    contact = element.find("contact")
    priority = None
    if contact is not None and "priority" in contact.attributes:
        text = contact.get("priority")
        if not _PRIORITY.match(text):
            raise SIPParseError("Bad PIDF Priority")
        whole, _, decimals = text.strip().partition(".")
        priority = int(whole) * 1000 + int(f"{decimals}000"[:3])
    known = ("status", "contact", "note", "timestamp")
    return Tuple(
        id_,
        basic,
        "" if contact is None else contact.text.strip(),
        priority,
        tuple([_note(each) for each in element.all("note")]),
        element.content("timestamp"),
        tuple([each for each in status.children if (each.namespace, each.name) != (PIDF, "basic")]),
        tuple([each for each in element.children if each.namespace != PIDF or each.name not in known]),
    )


def _note(element: Element) -> Note:
    return Note(element.text.strip(), element.get(_LANGUAGE))


def _tuple_element(each: Tuple) -> Element:
    """In the order that the schema has: status, extensions, contact, note, timestamp."""
    element = Element(PIDF, "tuple", {"id": each.id})
    status = element.add("status")
    if each.basic:
        status.add("basic", each.basic)
    status.children += each.status_extensions
    element.children += each.extensions
    if each.contact:
        contact = element.add("contact", each.contact)
        if each.priority is not None:
            contact.attributes["priority"] = f"{each.priority / 1000:g}"
    element.children += [_note_element(note) for note in each.notes]
    if each.timestamp:
        element.add("timestamp", each.timestamp)
    return element


def _note_element(note: Note) -> Element:
    return Element(PIDF, "note", {_LANGUAGE: note.language} if note.language else {}, note.text)
