"""Topology hiding: neither side sees where the other is, nor by way of whom (RFC 5853 section 3.1).

What is hidden is sealed into what stays, our own Record-Route value and a Contact of ours, so that nothing
has to be remembered and calls outlive a restart. Via is put back from the transaction.
"""

from __future__ import annotations

from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow
from rvoip.proxy.interfaces import IDomains
from rvoip.proxy.record_route import RecordRoutes

__all__ = ["Topology"]

_PREFIX = "th."


class Topology:
    """Hides on the way out, and reveals what comes back to the ends of a call."""

    def __init__(self, domains: IDomains, routes: RecordRoutes) -> None:
        self._domains = domains
        self._routes = routes

    # On the way out.

    def hide_request(self, request: Request, goes: Flow) -> str:
        """Take out of a request who sent it by way of whom; our Via is not in it yet.

        Returns what is to stand in our own Record-Route value as its parameter "h".
        """
        request.remove("via")
        recorded = _values(request)
        request.remove("record-route")
        if request.method != "REGISTER":
            self._hide_contact(request, goes)
        return self._seal_routes(recorded)

    def hide_response(self, response: Response, asked: Request, came: Flow, ours: Iterable[str]) -> None:
        """Take out of a response who answered by way of whom, and put the Vias of the request back.

        `came` is the flow of the request; `ours` the ``d`` of our Record-Route values in the response.
        """
        response.remove("via")
        for value in reversed(asked.get_all("via")):
            response.insert("via", value)
        if response.status < 300:
            self._hide_contact(response, came)
        if not response.has("record-route"):
            return
        values = _values(response)
        shown = tuple(ours)
        mine = [one for one in values if any(d in one for d in shown)]
        above = []
        for one in values:
            if one in mine:
                break
            above.append(one)
        # What the request had of others was hidden from the callee, so it is put back for the caller.
        below = _values(asked)
        sealed = self._seal_routes(above[::-1])
        kept = [_with_hidden(one, sealed) for one in mine]
        response.remove("record-route")
        for one in [*kept, *below]:
            response.add("record-route", one)

    def _seal_routes(self, values: list[str]) -> str:
        if not values:
            return ""
        sealed = self._routes.sealer.seal("\n".join(values).encode("utf-8", "surrogateescape"))
        return urlsafe_b64encode(sealed).decode().rstrip("=")

    def _hide_contact(self, message: Message, flow: Flow) -> None:
        try:
            contacts = message.contacts
            if len(contacts) != 1:
                return
            (contact,) = contacts
            uri = contact.uri
            if not isinstance(uri, SipURI):
                return
            if self._domains.serves(uri) and not (uri.user or "").startswith(_PREFIX):
                return  # it shows no more than the domain
        except SIPParseError:
            return
        sealed = self._routes.sealer.seal(contact.uri_text.encode("utf-8", "surrogateescape"))
        user = _PREFIX + b32encode(sealed).decode().rstrip("=").lower()
        scheme = "sips" if uri.secure and flow.secure else "sip"
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        masked = f"{scheme}:{user}@{flow.sent_by}{transport}"
        message.set("contact", str(NameAddr(masked, contact.display, contact.params)))

    # On the way back.

    def reveal_uri(self, request: Request) -> bool:
        """Put the real Contact in the place of one of ours that is the Request-URI; whether it was one."""
        uri = request.uri
        if not isinstance(uri, SipURI) or not (uri.user or "").startswith(_PREFIX):
            return False
        if not self._domains.is_self(uri):
            return False
        text = str(uri.user)[len(_PREFIX) :].upper()
        try:
            opened = self._routes.sealer.open(b32decode(text + "=" * (-len(text) % 8)))
        except ValueError:
            return False
        if opened is None:
            return False
        request.set_uri(opened.decode("utf-8", "surrogateescape"))
        return True

    def hidden_routes(self, ours: SipURI) -> list[str]:
        """The Route values that lead on from a value of ours."""
        shown = ours.param("h")
        if not shown:
            return []
        try:
            opened = self._routes.sealer.open(urlsafe_b64decode(shown + "=" * (-len(shown) % 4)))
        except ValueError:
            return []
        return [] if opened is None else opened.decode("utf-8", "surrogateescape").split("\n")


def _values(message: Message) -> list[str]:
    """The Record-Route values; none where they cannot be read: nobody could follow them."""
    try:
        return message.values("record-route")
    except SIPParseError:
        return []


def _with_hidden(value: str, sealed: str) -> str:
    """A Record-Route value of ours with what it hides now, in place of what it hid from the other side."""
    uri, closing, rest = value.rpartition(">")
    kept = ";".join([part for part in uri.split(";") if not part.startswith("h=")])
    return f"{kept};h={sealed}{closing}{rest}" if sealed else f"{kept}{closing}{rest}"
