"""What the transport raises."""

from __future__ import annotations

__all__ = ["FlowError", "ListenError", "TLSFileError", "TransportError"]


class TransportError(Exception):
    """Base of all errors of this package; `reason` is one line of plain text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FlowError(TransportError):
    """Nothing can be sent on a flow: it is closed, its peer does not read, or its address is unusable."""


class ListenError(TransportError):
    """An address cannot be listened on; the text names the address and why."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address


class TLSFileError(TransportError):
    """A certificate, key or CA file cannot be used; the text names the file and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
