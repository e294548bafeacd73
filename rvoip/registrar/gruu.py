"""GRUUs: URIs that lead to one device of a user, wherever it is called from (RFC 5627).

A public one is the address-of-record with the device's instance-id. A temporary one hides both: its user
part is sealed, so that nothing has to be remembered of it; it is good as long as the registration that it was
given out for goes on (section 3.2: another Call-ID, or a removal, ends it).
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from hashlib import blake2b
from typing import NamedTuple

from rvoip.common.sealer import Sealer
from rvoip.protocols.sip.uri import SipURI, unescape
from rvoip.registrar.binding import Binding

__all__ = ["Device", "Gruus", "public_gruu"]

_PREFIX = "tgruu."

# RFC 3261 section 25.1: what a parameter may hold unescaped.
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()[]/:&+$")


class Device(NamedTuple):
    """What a GRUU names."""

    aor: str
    instance: str
    """The instance-id, without angle brackets and in lower case."""
    registration: bytes
    """`Gruus.registration` of the Call-ID that it was given out for; empty for any."""


def _bare(instance: str) -> str:
    """An instance-id as GRUUs name it; URNs of UUIDs are compared without case."""
    return instance.strip("<>").lower()


def public_gruu(aor: str, instance: str) -> str:
    """The public GRUU of a device, as text; `instance` as in +sip.instance."""
    raw = instance.strip("<>").encode("utf-8", "surrogateescape")
    shown = "".join([chr(octet) if octet in _PLAIN else f"%{octet:02X}" for octet in raw])
    return f"sip:{aor};gr={shown}"


class Gruus:
    """Makes temporary GRUUs and reads both kinds; `secret` is known to whoever routes for the domain."""

    def __init__(self, secret: bytes) -> None:
        self.use(secret)

    def use(self, secret: bytes) -> None:
        """Seal with another secret from now on."""
        self._sealer = Sealer(secret, "gruu")

    @staticmethod
    def registration(call_id: str) -> bytes:
        """What stands for a registration in a temporary GRUU."""
        return blake2b(call_id.encode("utf-8", "surrogateescape"), digest_size=6).digest()

    def temporary(self, aor: str, instance: str, call_id: str, serial: int) -> str:
        """A temporary GRUU of a device, as text; another one for each `serial` (below 2**64)."""
        head = serial.to_bytes(8, "big") + self.registration(call_id)
        text = f"{aor}\n{_bare(instance)}".encode("utf-8", "surrogateescape")
        sealed = b32encode(self._sealer.seal(head + text)).decode().rstrip("=").lower()
        return f"sip:{_PREFIX}{sealed}@{aor.rpartition('@')[2]};gr"

    def read(self, uri: SipURI, aor: str) -> Device | None:
        """The device that a URI names, None when it is no GRUU of ours; `aor` is the user of the URI."""
        shown = uri.param("gr")
        if shown is None:
            return None
        if shown:
            return Device(aor, _bare(unescape(shown)), b"")
        return self._open(aor)

    def _open(self, aor: str) -> Device | None:
        user, _, domain = aor.rpartition("@")
        if not user.startswith(_PREFIX):
            return None
        text = user[len(_PREFIX) :].upper()
        try:
            plain = self._sealer.open(b32decode(text + "=" * (-len(text) % 8)))
        except ValueError:
            return None
        if plain is None:
            return None
        name, _, instance = plain[14:].decode("utf-8", "surrogateescape").partition("\n")
        return Device(name, instance, plain[8:14]) if name.endswith(f"@{domain}") else None

    def of(self, device: Device, bindings: tuple[Binding, ...]) -> list[Binding]:
        """The bindings of a device, the latest first."""
        found = [
            one
            for one in bindings
            if one.instance
            and _bare(one.instance) == device.instance
            and (not device.registration or self.registration(one.call_id) == device.registration)
        ]
        return sorted(found, key=lambda one: -one.updated)
