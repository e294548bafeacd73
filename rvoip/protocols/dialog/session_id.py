"""The identifier that a session keeps end to end, whatever becomes of Call-IDs and tags (RFC 7989)."""

from __future__ import annotations

from typing import ClassVar

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message
from rvoip.protocols.sip.session_headers import NIL_UUID, SessionID

__all__ = ["SessionIdentifier", "session_uuid"]


def session_uuid(octets: bytes) -> str:
    """A UUID of version 4 as 32 hex digits, from 16 random octets (RFC 7989 section 4.1)."""
    if len(octets) != 16:
        raise ValueError("a UUID has 16 octets")
    made = bytearray(octets)
    made[6] = made[6] & 0x0F | 0x40
    made[8] = made[8] & 0x3F | 0x80
    return made.hex()


class SessionIdentifier:
    """Both halves as one end of a session knows them.

    `local` stays for the session's whole life, through re-INVITE, redirection and transfer (section 6);
    `remote` is the null value until the peer names its own, and follows it when it changes, as it does when
    somebody else takes the session over.
    """

    __slots__ = ("local", "remote")

    EVENTS: ClassVar[dict[str, str]] = {
        "no Session-ID": "nothing changes: the peer, or what stands between, knows none",
        "the null UUID": "nothing changes: the peer knows none of its own",
        "our own UUID": "nothing changes: a peer of RFC 7329 sends back what it got",
        "another UUID": "it is the remote half from now on",
    }
    """What a message of the peer may bring, and what comes of it."""

    def __init__(self, local: str, remote: str = NIL_UUID) -> None:
        self.local = local
        self.remote = remote

    @property
    def header(self) -> str:
        """The Session-ID value of whatever we send, a CANCEL and its 487 too."""
        return str(SessionID(self.local, self.remote))

    def receive(self, message: Message) -> bool:
        """A message of the peer came; True when the remote half is another now.

        One that cannot be read is ignored: the header never decides over a call.
        """
        try:
            found: SessionID | None = message.typed("session-id")
        except SIPParseError:
            return False
        if found is None or found.local in (NIL_UUID, self.local, self.remote):
            return False
        self.remote = found.local
        return True

    def apply(self, message: Message) -> None:
        """Put the header into a message of ours."""
        message.set("session-id", self.header)

    def continued(self) -> SessionIdentifier:
        """For the INVITE to another target that a 3xx or a REFER asks for: the same local half, and a remote
        one that is to be learnt (section 6).
        """
        return SessionIdentifier(self.local)
