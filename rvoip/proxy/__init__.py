"""proxy-core: where requests go, and how their responses come back (RFC 3261 section 16)."""
