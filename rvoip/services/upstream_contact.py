"""Contacts under which a front end has its phones registered upstream, and what calls to them mean."""

from __future__ import annotations

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, equivalent, escape_user, unescape
from rvoip.registrar.binding import Binding

__all__ = ["chosen", "contact_uri", "find_contact", "granted", "read_contact"]

_PREFIX = "up"


def contact_uri(aor: str, binding_id: str, first: str, place: str, transport: str) -> str:
    """The URI of a binding of an AOR at `place` (host:port), or of all of them without a `binding_id`.

    A URI that leads to all contacts of a user of the `first` domain needs nothing to say so: that is what
    calls to this element's own address mean.
    """
    user, _, domain = aor.rpartition("@")
    uri = f"sip:{escape_user(unescape(user))}@{place}"
    if transport != "UDP":
        uri += f";transport={transport.lower()}"
    if binding_id or domain != first:
        uri += f";gr={_PREFIX}.{binding_id}.{domain}"
    return uri


def read_contact(uri: SipURI, aor: str) -> tuple[str, str] | None:
    """(AOR, binding id or "") that such a URI means, None for another one; `aor` is what it would be else."""
    prefix, _, rest = (uri.param("gr") or "").partition(".")
    if prefix != _PREFIX or not rest:
        return None
    binding_id, _, domain = rest.partition(".")
    return f"{aor.rpartition('@')[0]}@{domain.lower()}", binding_id


def find_contact(contacts: list[NameAddr], uri: SipURI) -> NameAddr | None:
    """The Contact value with this URI."""
    for one in contacts:
        try:
            if one.uri_text != "*" and equivalent(one.uri, uri):
                return one
        except SIPParseError:
            continue
    return None


def granted(contact: NameAddr | None, header: int | None, asked: int) -> int:
    """Seconds that an answer grants: of the contact, else the Expires header, else what was asked for."""
    text = None if contact is None else contact.param("expires")
    if text is not None and text.isascii() and text.isdigit() and len(text) < 11:
        return min(int(text), asked)
    return asked if header is None else min(header, asked)


def chosen(bindings: tuple[Binding, ...], binding_id: str) -> tuple[Binding, ...]:
    """The binding of this id, or all of them."""
    return tuple([one for one in bindings if one.id == binding_id]) if binding_id else bindings
