"""One REGISTER on its way to bindings: what its Contact values share is read once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.uri import SipURI
from rvoip.registrar.binding import Binding
from rvoip.registrar.contact import (
    contact_key,
    find_equivalent,
    flow_key,
    other_params,
    preference,
    seconds,
)
from rvoip.registrar.errors import RegistrationRefused
from rvoip.registrar.settings import RegistrarSettings

__all__ = ["MAX_BINDING", "MAX_USER_AGENT", "Reading"]

MAX_BINDING: Final = 4096
"""Characters of a contact with its parameters, Path and Call-ID; more are 400."""

MAX_USER_AGENT: Final = 128
"""Characters of a User-Agent that are kept."""


class Reading:
    """Turns Contact values into bindings; what is wrong with one is raised.

    `bindings` are those that the AOR has: a refreshed one lends its key and its strings, so that a binding
    takes no more memory after a thousand refreshes than after one.
    """

    __slots__ = (
        "_aor",
        "_bindings",
        "_expires",
        "_flow",
        "_grant",
        "_now",
        "_path",
        "_request",
        "_settings",
        "_user_agent",
        "call_id",
        "flows",
        "outbound",
    )

    def __init__(
        self,
        request: Request,
        aor: str,
        bindings: tuple[Binding, ...],
        now: float,
        flow: str,
        grant: Callable[[str, NameAddr, int], int],
        settings: RegistrarSettings,
    ) -> None:
        self._request = request
        self._aor = aor
        self._bindings = bindings
        self._now = now
        self._flow = flow
        self._grant = grant
        self._settings = settings
        self._expires: int | None = None
        self._path: tuple[str, ...] | None = None
        self._user_agent: str | None = None
        self.call_id = request.call_id
        if not self.call_id.isprintable():
            raise SIPParseError("Bad Call-ID")
        self.flows = 0
        """Contacts so far that are flows to keep (RFC 5626)."""
        self.outbound = False
        """Whether the answer has to say that outbound was used."""

    def header_expires(self) -> int | None:
        """The Expires header in seconds, None without one."""
        if self._expires is None and "expires" in self._request.names:
            self._expires = seconds(self._request.get("expires"))
        return self._expires

    def binding(self, contact: NameAddr) -> Binding:
        """The binding that a Contact value asks for; its ``granted`` is 0 when it is to be removed."""
        params = contact.params
        uri_text = contact.uri_text
        if "expires" in params:
            requested = seconds(params["expires"])
            other = len(params) > 1
        else:
            header = self.header_expires()
            requested = self._settings.default_expires if header is None else header
            other = bool(params)
        granted = self._grant(self._aor, contact, requested)
        shown = key = ""
        q = 1000
        if other:
            shown = other_params(params)
            if "q" in params:
                q = preference(params["q"])
            if "reg-id" in params and "+sip.instance" in params:
                key = self._flow_key(params, granted)
        old = self._find(key, contact)
        key = old.key if old is not None else key or contact_key(contact.uri)
        if not granted:
            return Binding(uri_text, key, self.call_id, 0, self._now, 0)
        call_id = self.call_id
        path = self._path if self._path is not None else self._read_path()
        user_agent = self._user_agent if self._user_agent is not None else self._read_user_agent()
        received = self._flow
        if old is not None:
            if old.contact == uri_text:
                uri_text = old.contact
            if old.call_id == call_id:
                call_id = old.call_id
            if old.params == shown:
                shown = old.params
            if old.received == received:
                received = old.received
        elif key == uri_text:
            key = uri_text
        if old is None or old.contact is not uri_text or old.params is not shown or old.path is not path:
            self._check(contact, shown, path)
        return Binding(
            uri_text,
            key,
            call_id,
            self._request.cseq.number,
            self._now + granted,
            granted,
            q,
            shown,
            path,
            received,
            user_agent,
        )

    def _find(self, key: str, contact: NameAddr) -> Binding | None:
        """The binding that the contact refreshes; `key` is that of a flow or ""."""
        bindings = self._bindings
        if key:
            for binding in bindings:
                if binding.key == key:
                    return binding
            return None
        uri_text = contact.uri_text
        for binding in bindings:
            if binding.contact == uri_text and not binding.is_flow:
                return binding
        return find_equivalent(contact.uri, bindings) if bindings else None

    def _check(self, contact: NameAddr, shown: str, path: tuple[str, ...]) -> None:
        """Refuse what could not be stored, or given back in an answer, as it came."""
        uri = contact.uri  # raises when it is none
        if isinstance(uri, SipURI) and uri.port == 0 and (not self._flow or uri.transport in (None, "udp")):
            # Over a stream the port says nothing, and some write none there.
            raise SIPParseError("Port 0 In Contact")
        if not (contact.uri_text.isprintable() and shown.isprintable()):
            raise SIPParseError("Bad Contact")
        size = len(contact.uri_text) + len(shown) + len(self.call_id) + sum([len(each) for each in path])
        if size > MAX_BINDING:
            raise SIPParseError("Contact Too Large")

    # -- what the Contact values share

    def _read_user_agent(self) -> str:
        text = (self._request.get("user-agent") or "")[:MAX_USER_AGENT]
        # Phones of one model and version are many: they share one string.
        self._user_agent = user_agent = sys.intern(text) if text.isprintable() else ""
        return user_agent

    def _read_path(self) -> tuple[str, ...]:
        """The Path values, topmost first (RFC 3327 section 5.3)."""
        path: tuple[str, ...] = ()
        request = self._request
        if "path" in request.names:
            if self._settings.strict_path and not self._supports("path"):
                raise RegistrationRefused(420, headers=[("unsupported", "path")])
            for address in request.addresses("path"):
                address.sip_uri  # noqa: B018  raises when it is none
            path = tuple(request.values("path"))
            if not all(value.isprintable() for value in path):
                raise SIPParseError("Bad Path")
            for old in self._bindings:
                if old.path == path:
                    path = old.path
                    break
        self._path = path
        return path

    def _supports(self, tag: str) -> bool:
        request = self._request
        return tag in request.option_tags("supported") or tag in request.option_tags("require")

    def _flow_key(self, params: Params, granted: int) -> str:
        """The key of the flow, or "" where reg-id is to be ignored (RFC 5626 section 6)."""
        supported = self._supports("outbound")
        if not self._first_hop_supports_outbound():
            if supported:
                raise RegistrationRefused(439)
            return ""
        if granted:
            self.flows += 1
        if supported:
            self.outbound = True
        return flow_key(params["+sip.instance"], params["reg-id"])

    def _first_hop_supports_outbound(self) -> bool:
        """Whether the UA is connected to us, or to an edge proxy that keeps its flow.

        Only an edge proxy puts ``ob`` into its Path value, so a value with it is that of the first hop,
        wherever it stands.
        """
        request = self._request
        return len(request.values("via")) == 1 or any(
            address.sip_uri.has_param("ob") for address in request.addresses("path")
        )
