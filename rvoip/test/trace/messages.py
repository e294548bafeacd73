"""Messages of a call, for tests of traces."""

from __future__ import annotations

ALICE = ("127.0.0.2", 5070)
BOB = ("127.0.0.3", 5080)
PROXY = "127.0.0.1:5060"

_HEADERS = (
    "Via: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bK{branch}",
    "From: Alice <sip:alice@example.test>;tag=a",
    "To: <sip:bob@example.test>",
    "Call-ID: {call_id}",
    "CSeq: {number} {method}",
)


def request(method: str, call_id: str = "c1", *more: str, number: int = 1, body: str = "") -> bytes:
    """A request of Alice's to Bob; `more` are header lines."""
    return _message(f"{method} sip:bob@example.test SIP/2.0", method, call_id, number, more, body)


def response(status: str, method: str, call_id: str = "c1", *more: str, number: int = 1) -> bytes:
    """The response to one; `status` is "200 OK"."""
    return _message(f"SIP/2.0 {status}", method, call_id, number, more, "")


def _message(start: str, method: str, call_id: str, number: int, more: tuple[str, ...], body: str) -> bytes:
    lines = [
        line.format(branch=f"{method}{number}", call_id=call_id, number=number, method=method)
        for line in _HEADERS
    ]
    lines = [start, *lines, *more, f"Content-Length: {len(body.encode())}", "", body]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")
