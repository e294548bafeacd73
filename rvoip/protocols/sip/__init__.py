"""sip-core: SIP messages, URIs, headers and digest arithmetic as values; no I/O (RFC 3261)."""
