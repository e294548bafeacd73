"""How a registrar behaves, as its configuration says."""

from __future__ import annotations

import attrs

__all__ = ["RegistrarSettings"]


@attrs.frozen
class RegistrarSettings:
    """How a registrar behaves; all times are seconds."""

    # For a contact without an interval.
    default_expires: int = 3600
    # A shorter interval is answered 423, unless it is an hour or more (RFC 3261 section 10.3 step 7).
    min_expires: int = 60
    # A longer interval is cut to this.
    max_expires: int = 86400
    # Contacts of one AOR.
    max_contacts: int = 10
    # URIs of the Service-Route in a 200, topmost first, with or without brackets (RFC 3608).
    service_route: tuple[str, ...] = ()
    # What a phone is told to keep its flows alive in, 0 for nothing (RFC 5626 section 4.4).
    flow_timer: int = 0
    # Whether a Path that the phone does not support is refused with 420 (RFC 3327 section 5.3). Phones seldom
    # say so, and it is an edge proxy that adds the Path.
    strict_path: bool = False
    # Whether GRUUs are given out to those who ask (RFC 5627).
    gruu: bool = False
    # The lines that a 200 ends with because of the settings; computed.
    answer_lines: tuple[str, ...] = attrs.field(init=False)

    @answer_lines.default
    def _answer_lines(self) -> tuple[str, ...]:
        supported = "Supported: path, outbound" + (", gruu" if self.gruu else "")
        if not self.service_route:
            return (supported,)
        values = [route if route.startswith("<") else f"<{route}>" for route in self.service_route]
        return (supported, "Service-Route: " + ", ".join(values))
