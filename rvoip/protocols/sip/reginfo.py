"""Documents of the reg event package: who is registered, and where (RFC 3680)."""

from __future__ import annotations

from typing import Final

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.xml import Element, number, parse_xml

__all__ = ["CONTENT_TYPE", "RegInfo", "RegisteredContact", "Registration", "parse_reginfo"]

CONTENT_TYPE: Final = "application/reginfo+xml"
NAMESPACE: Final = "urn:ietf:params:xml:ns:reginfo"

REGISTRATION_STATES: Final = ("init", "active", "terminated")
CONTACT_STATES: Final = ("active", "terminated")
EVENTS: Final = (
    "registered",
    "created",
    "refreshed",
    "shortened",
    "expired",
    "deactivated",
    "probation",
    "unregistered",
    "rejected",
)


@attrs.frozen
class RegisteredContact:
    """One contact. ``expires`` and ``duration`` (since when) are seconds, ``q`` thousandths."""

    id: str
    uri: str
    state: str = "active"
    event: str = "registered"
    expires: int | None = None
    duration: int | None = None
    q: int | None = None
    call_id: str = ""
    cseq: int | None = None
    display_name: str = ""
    params: tuple[tuple[str, str], ...] = ()
    """Other parameters of the Contact value, such as +sip.instance."""


@attrs.frozen
class Registration:
    """The contacts of one address-of-record, whose ``id`` stays the same in all documents."""

    aor: str
    id: str
    state: str
    contacts: tuple[RegisteredContact, ...] = ()


@attrs.frozen
class RegInfo:
    """Registrations: all of them, or when not ``full`` those that have changed."""

    registrations: tuple[Registration, ...]
    version: int = 0
    full: bool = True

    def to_bytes(self) -> bytes:
        """The document."""
        state = "full" if self.full else "partial"
        root = Element(NAMESPACE, "reginfo", {"version": str(self.version), "state": state})
        for each in self.registrations:
            element = root.add("registration", aor=each.aor, id=each.id, state=each.state)
            element.children = [_contact_element(contact) for contact in each.contacts]
        return root.to_bytes()


def parse_reginfo(data: bytes) -> RegInfo:
    """The registrations in a document; `SIPParseError` when it is none."""
    root = parse_xml(data)
    if (root.namespace, root.name) != (NAMESPACE, "reginfo"):
        raise SIPParseError("No reginfo")
    version, state = number(root.get("version")), root.get("state")
    if version is None or state not in ("full", "partial"):
        raise SIPParseError("reginfo Without Version Or State")
    return RegInfo(
        tuple([_registration(each) for each in root.all("registration")]), version, state == "full"
    )


def _registration(element: Element) -> Registration:
    aor, id_, state = (element.get(key).strip() for key in ("aor", "id", "state"))
    if not aor or not id_ or state not in REGISTRATION_STATES:
        raise SIPParseError("Bad Registration In reginfo")
    return Registration(aor, id_, state, tuple([_contact(each) for each in element.all("contact")]))


def _contact(element: Element) -> RegisteredContact:
    id_, uri, state, event = (
        element.get("id"),
        element.content("uri"),
        element.get("state"),
        element.get("event"),
    )
    if not id_ or not uri or state not in CONTACT_STATES or event not in EVENTS:
        raise SIPParseError("Bad Contact In reginfo")
    q = element.get("q").strip()
    thousandths = None
    if q:
        whole, _, decimals = q.partition(".")
        if whole not in ("0", "1") or not (decimals or "0").isascii() or not (decimals or "0").isdigit():
            raise SIPParseError("Bad q In reginfo")
        thousandths = min(1000, int(whole) * 1000 + int(f"{decimals}000"[:3]))
    return RegisteredContact(
        id_,
        uri,
        state,
        event,
        number(element.get("expires")),
        number(element.get("duration-registered")),
        thousandths,
        element.get("callid"),
        number(element.get("cseq")),
        element.content("display-name"),
        tuple([(each.get("name"), each.text.strip()) for each in element.all("unknown-param")]),
    )


def _contact_element(each: RegisteredContact) -> Element:
    given = {"id": each.id, "state": each.state, "event": each.event}
    for key, value in (
        ("expires", each.expires),
        ("duration-registered", each.duration),
        ("cseq", each.cseq),
    ):
        if value is not None:
            given[key] = str(value)
    if each.q is not None:
        given["q"] = f"{each.q / 1000:g}"
    if each.call_id:
        given["callid"] = each.call_id
    element = Element(NAMESPACE, "contact", given)
    element.add("uri", each.uri)
    if each.display_name:
        element.add("display-name", each.display_name)
    for name, text in each.params:
        element.add("unknown-param", text, name=name)
    return element
