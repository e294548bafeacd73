"""Our own Record-Route values: made, and known again when they come back as Route.

A Route that names us proves nothing: anybody can write one. So each value carries ``d``, two keyed hashes:
of the dialog's end that it leads to (Call-ID, that end's tag, the next hop), and of that end's address.
Whoever holds a value can send requests of this call to that one end through us, and nothing else. A value
for a peer that only its own connection (or NAT binding) reaches names that flow in its user part (RFC 5626
section 5.2), under the same hash.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from hashlib import blake2s
from typing import NamedTuple

from rvoip.common.sealer import Sealer
from rvoip.protocols.sip.uri import URI, SipURI
from rvoip.protocols.transport.flow import Flow

__all__ = ["End", "Leads", "RecordRoutes", "address_key", "flow_token", "goes_by_flow"]


def address_key(uri: URI) -> str:
    """What counts of a URI as an address: user, host and port (the default one written out)."""
    if not isinstance(uri, SipURI):
        return str(uri)
    port = uri.port
    if port is None:
        port = 5061 if uri.secure or uri.transport == "tls" else 5060
    return f"{uri.aor}:{port}"


class End(NamedTuple):
    """The end of a dialog that a value leads to."""

    tag: str
    """Its tag, which is the To tag of what is sent to it."""
    hop: str
    """`address_key` of the next proxy on the way to it, "" for none."""
    target: str
    """`address_key` of its Contact; "" leads nowhere."""


class Leads(NamedTuple):
    """What a value of ours says: see `RecordRoutes.recognise`."""

    token: str
    """The flow that the end is reached by, or ""."""
    exact: bool
    """Whether the address is the one that the end had when the value was made."""


def goes_by_flow(contact: SipURI, flow: Flow) -> bool:
    """Whether a Contact that came on `flow` is to be reached by that flow rather than by its address.

    A stream when the contact asks for its transport, since the client may listen on nothing; UDP when
    the contact shows another IP address than the packet, in `maddr` too: there is a NAT between then, or
    somebody else is to get what was meant for the sender. A host under ``.invalid`` cannot be reached
    otherwise (RFC 7118 section 5). A sips contact is never reached in the clear.
    """
    host = contact.host
    if contact.secure and not flow.secure:
        return False
    if host.endswith(".invalid"):
        return True
    if flow.reliable:
        return contact.transport == flow.uri_transport or contact.secure
    maddr = contact.param("maddr")
    if maddr and maddr.strip("[]") != flow.remote[0]:
        return True
    if host == flow.remote[0]:
        return False
    return ":" in host or host.replace(".", "").isdigit()


class RecordRoutes:
    """Makes and recognises our Record-Route values; `secret` is 16 to 32 octets that nobody else knows."""

    def __init__(self, secret: bytes) -> None:
        if not 16 <= len(secret) <= 32:
            raise ValueError(f"the secret must be 16 to 32 octets, not {len(secret)}")
        self._secret = secret
        self.sealer = Sealer(secret, "topology")
        """For what only we are to read when it comes back."""

    def use(self, secret: bytes) -> None:
        """Sign with another secret from now on."""
        self._secret = secret
        self.sealer = Sealer(secret, "topology")

    def sign(self, call_id: str, token: str, end: End) -> str:
        """The ``d`` of a value: 24 hex digits."""
        tag, hop, target = end
        text = f"{token}\n{call_id}\n{tag}\n{hop}"  # none of which holds a line break
        dialog = self._hash(text)
        return dialog + self._hash(f"{dialog}\n{target}")

    def mac(self, text: str) -> str:
        """16 octets in hexadecimal that nobody else can make of a text."""
        data = f"mac\n{text}".encode("utf-8", "surrogateescape")
        return blake2s(data, key=self._secret, digest_size=16).hexdigest()

    def _hash(self, text: str) -> str:
        return blake2s(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=6).hexdigest()

    def values(
        self,
        call_id: str,
        came: Flow,
        goes: Flow,
        secure: bool,
        came_pinned: bool,
        goes_pinned: bool,
        end: End,
    ) -> list[tuple[str, str, str]]:
        """The values for a request that came on one flow and goes out on another, topmost first.

        Each with its ``d`` and its flow token, for `sign` to make that of the response. One value when both
        ends can be reached from the same listener; else two, each with the transport and address of its side
        (RFC 5658 section 5), so that each end talks to what it can reach. `secure`: the Request-URI is a
        sips: one. `came_pinned`: the sender is reached only through the flow that its request came on;
        `goes_pinned`: the receiver only through the one that it goes out on. `end`: the sender.
        """
        if (
            not came_pinned
            and not goes_pinned
            and came.sent_by == goes.sent_by
            and came.transport == goes.transport
        ):
            return [self._value(call_id, goes, secure, False, end)]
        return [
            self._value(call_id, goes, secure, goes_pinned, end),
            self._value(call_id, came, secure, came_pinned, end),
        ]

    def _value(self, call_id: str, flow: Flow, secure: bool, pinned: bool, end: End) -> tuple[str, str, str]:
        token = flow.token if pinned else ""
        user = f"{_user(token)}@" if token else ""
        # Whoever came without TLS could not come back by a sips URI of a port that does not speak it.
        scheme = "sips" if secure and flow.secure else "sip"
        transport = "" if flow.transport == "UDP" else f";transport={flow.uri_transport}"
        shown = self.sign(call_id, token, end)
        return f"<{scheme}:{user}{flow.sent_by}{transport};lr;d={shown}>", shown, token

    def path(self, client: Flow, goes: Flow, outbound: bool, end: End) -> str:
        """A value that leads to a client by its flow, whatever the call; `goes` is where it is shown."""
        token = client.token
        transport = "" if goes.transport == "UDP" else f";transport={goes.transport.lower()}"
        ob = ";ob" if outbound else ""
        return f"<sip:{_user(token)}@{goes.sent_by}{transport};lr{ob};d={self.sign('', token, end)}>"

    def recognise(self, uri: SipURI, call_id: str, end: End) -> Leads | None:
        """What the value says when it is ours and leads to this end of this call, else None."""
        shown = uri.param("d")
        if not shown:
            return None
        token = flow_token(uri)
        if token is None:
            return None
        given = shown.encode("utf-8", "surrogateescape")
        made = self.sign(call_id, token, end).encode()
        if len(given) != len(made) or not hmac.compare_digest(given[:12], made[:12]):
            return None
        return Leads(token, hmac.compare_digest(given, made))


def _user(token: str) -> str:
    """A flow token as a user part."""
    return urlsafe_b64encode(token.encode()).decode().rstrip("=")


def flow_token(uri: SipURI) -> str | None:
    """The flow token in the user part of a value, "" where there is none; None for what is no token."""
    if not uri.user:
        return ""
    try:
        return b64decode(uri.user + "=" * (-len(uri.user) % 4), b"-_", validate=True).decode()
    except ValueError:
        return None
