"""dialog-core: transactions, and the layers that stand on them (RFC 3261 sections 9, 12 and 17)."""
