"""What a Contact value of a REGISTER says: how long, how preferred, and which binding it is."""

from __future__ import annotations

from functools import lru_cache

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params, unquote
from rvoip.protocols.sip.message import lenient_seconds
from rvoip.protocols.sip.uri import URI, SipURI, equivalent, unescape
from rvoip.registrar.binding import Binding

__all__ = ["contact_key", "find_equivalent", "flow_key", "other_params", "preference", "seconds"]

_NOT_KEPT = frozenset(("expires", "pub-gruu", "temp-gruu"))

LARGEST_REG_ID = 2**31 - 1


@lru_cache(maxsize=1024)
def seconds(text: str | None) -> int:
    """An expires value in seconds; a malformed one counts as 3600 (RFC 3261 sections 20.10 and 20.19).

    Few values are in use, so equal ones share a number.
    """
    if text is not None and len(text) < 10 and text.isascii() and text.isdigit():
        return int(text)
    return lenient_seconds(text or "")


def preference(text: str | None) -> int:
    """A q value in thousandths; `SIPParseError` when it is none from 0 to 1.

    Leniency: the zero before the point may be missing, and decimals after the third are cut off: programs
    in C print "0.500000".
    """
    whole, _, decimals = (text or "").partition(".")
    if len(decimals) <= 10 and whole in ("", "0", "1") and (whole or decimals):
        digits = decimals + "000"[len(decimals) :]
        if digits.isascii() and digits.isdigit() and (whole != "1" or not int(digits)):
            return 1000 if whole == "1" else int(digits[:3])
    raise SIPParseError("Bad q in Contact")


def other_params(params: Params) -> str:
    """A contact's parameters as text for a message, without expires: what the answers give back.

    GRUUs are the registrar's to say (RFC 5627 section 5.1).
    """
    return "".join(
        [
            f";{name}" if value is None else f";{name}={value}"
            for name, value in params.items()
            if name not in _NOT_KEPT
        ]
    )


def flow_key(instance: str | None, reg_id: str | None) -> str:
    """The key of a flow: ``+`` and instance-id, ``;``, reg-id (RFC 5626 section 6); `SIPParseError`.

    Instance-ids are URNs; of a UUID the case does not matter.
    """
    name = unquote(instance or "")
    if not name:
        raise SIPParseError("Bad +sip.instance in Contact")
    digits = reg_id or ""
    if (
        not (digits.isascii() and digits.isdigit())
        or len(digits) > 10
        or not 0 < int(digits) <= LARGEST_REG_ID
    ):
        raise SIPParseError("Bad reg-id in Contact")
    if name[:10].lower() == "<urn:uuid:":
        name = name.lower()
    return f"+{name};{int(digits)}"


def contact_key(uri: URI) -> str:
    """One spelling for equal contact URIs: the key of a binding that is no flow.

    RFC 3261 section 19.1.4 lets a parameter that only one of two URIs has make no difference, so no spelling
    can be right for all: `find_equivalent` finds a binding that has another key and is the same contact.
    """
    if not isinstance(uri, SipURI):
        return str(uri)
    text = str(uri)
    if not uri.params and not uri.headers and uri.password is None and "%" not in text:
        return text  # the common form is its own spelling, so that key and contact are one string
    parts = [uri.scheme, ":", uri.aor]
    if uri.password is not None:
        parts += [":", unescape(uri.password)]
    if uri.port is not None:
        parts += [":", str(uri.port)]
    parts += sorted(
        [f";{unescape(name).lower()}={unescape(value or '').lower()}" for name, value in uri.params]
    )
    parts += sorted([f"?{unescape(name).lower()}={unescape(value or '')}" for name, value in uri.headers])
    return "".join(parts)


def find_equivalent(uri: URI, bindings: tuple[Binding, ...]) -> Binding | None:
    """The binding, other than a flow, whose contact is the same by RFC 3261 section 19.1.4."""
    for binding in bindings:
        if not binding.is_flow:
            try:
                if equivalent(uri, binding.uri):
                    return binding
            except SIPParseError:  # a row that somebody else wrote
                continue
    return None
