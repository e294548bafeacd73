"""Our own Record-Route values: made, and known again when they come back as Route.

Each carries ``d``, a keyed hash of the Call-ID: a Route that names us proves nothing, one with the
right ``d`` shows that the request belongs to a dialog that was set up through here. So nobody can
send through us by writing a Route header. A value for a peer that only its own connection (or NAT
binding) reaches names that flow in its user part (RFC 5626 section 5.2), under the same hash.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from hashlib import blake2s

from rvoip.protocols.sip.uri import SipURI
from rvoip.protocols.transport.flow import Flow

__all__ = ["RecordRoutes", "goes_by_flow"]


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
        return contact.transport == flow.transport.lower() or contact.secure
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

    def use(self, secret: bytes) -> None:
        """Sign with another secret from now on."""
        self._secret = secret

    def _digest(self, call_id: str, token: str = "") -> str:
        text = f"{token}\n{call_id}"  # which holds no line break
        return blake2s(text.encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8).hexdigest()

    def values(
        self, call_id: str, came: Flow, goes: Flow, secure: bool, came_pinned: bool, goes_pinned: bool
    ) -> list[str]:
        """The values for a request that came on one flow and goes out on another, topmost first.

        One when both ends can be reached from the same listener; else two, each with the transport
        and address of its side (RFC 5658 section 5), so that each end talks to what it can reach.
        `secure`: the Request-URI is a sips: one. `came_pinned`: the sender is reached only through the
        flow that its request came on; `goes_pinned`: the receiver only through the one that it goes out on.
        """
        if (
            not came_pinned
            and not goes_pinned
            and came.sent_by == goes.sent_by
            and came.transport == goes.transport
        ):
            return [self._value(call_id, goes, secure, False)]
        return [
            self._value(call_id, goes, secure, goes_pinned),
            self._value(call_id, came, secure, came_pinned),
        ]

    def _value(self, call_id: str, flow: Flow, secure: bool, pinned: bool) -> str:
        token = flow.token if pinned else ""
        user = urlsafe_b64encode(token.encode()).decode().rstrip("=") + "@" if token else ""
        # Whoever came without TLS could not come back by a sips URI of a port that does not speak it.
        scheme = "sips" if secure and flow.secure else "sip"
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        return f"<{scheme}:{user}{flow.sent_by}{transport};lr;d={self._digest(call_id, token)}>"

    def recognise(self, uri: SipURI, call_id: str) -> str | None:
        """None when the URI is no value of ours for this Call-ID; else the flow token in it, or ""."""
        shown = uri.param("d")
        if not shown:
            return None
        token = ""
        if uri.user:
            try:
                token = b64decode(uri.user + "=" * (-len(uri.user) % 4), b"-_", validate=True).decode()
            except ValueError:
                return None
        if hmac.compare_digest(
            shown.encode("utf-8", "surrogateescape"), self._digest(call_id, token).encode()
        ):
            return token
        return None
