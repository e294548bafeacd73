"""What a proxy asks of others; whoever composes it provides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from rvoip.protocols.dialog.server import ServerTransaction
    from rvoip.protocols.sip.uri import SipURI
    from rvoip.proxy.targets import Destination

__all__ = ["IAuthenticator", "IDomains", "ILocation"]


class IDomains(Interface):
    """Which names and addresses are this element's own."""

    def serves(uri: SipURI) -> bool:
        """Whether the `SipURI` is of a domain served here (or of a listening address)."""

    def is_self(uri: SipURI) -> bool:
        """Whether the `SipURI` is a listening address of this element, as Route values name it."""

    def aor(uri: SipURI) -> str:
        """The address-of-record ("user@domain") of a `SipURI` of a domain served here."""


class ILocation(Interface):
    """Where the users of our domains are."""

    def lookup(aor: str) -> list[Destination] | Deferred[list[Destination]]:
        """The `Destination`s of an address-of-record, maybe none; or a Deferred of them."""

    def exists(aor: str) -> bool | Deferred[bool]:
        """Whether there is such a user at all (then 480, else 404); or a Deferred of that."""


class IAuthenticator(Interface):
    """Who sent a request (RFC 3261 section 22.3)."""

    def authenticate(transaction: ServerTransaction) -> Deferred[str | None] | str | None:
        """The AOR that a request's Proxy-Authorization proves, or a Deferred of it.

        None after the transaction was answered instead: 407, 403 or 400.
        """
