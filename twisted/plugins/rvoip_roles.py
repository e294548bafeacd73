"""Makes the roles known to twistd by their dotted names; nothing of a server is imported here."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

registrar = ServiceMaker(
    "rvoip registrar", "rvoip.services.registrar", "A SIP registrar (RFC 3261 section 10).", "rvoip-registrar"
)
proxy = ServiceMaker(
    "rvoip proxy",
    "rvoip.services.proxy",
    "A SIP proxy (RFC 3261 section 16), with [registrar] also a registrar.",
    "rvoip-proxy",
)
