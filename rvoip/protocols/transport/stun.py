"""The one thing of STUN that a SIP port must know: the keep-alive of UDP flows (RFC 5626 section 3.5.2).

A client that was granted outbound asks "who am I?" by a Binding request, and gives its flow up when nothing
comes back, or another address than before.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

__all__ = ["binding_response"]

_REQUEST: Final = b"\x00\x01"
_SUCCESS: Final = b"\x01\x01"
_COOKIE: Final = b"\x21\x12\xa4\x42"
_XOR_MAPPED_ADDRESS: Final = b"\x00\x20"
_HEADER: Final = 20


def binding_response(datagram: bytes, host: str, port: int) -> bytes | None:
    """The response to a Binding request (RFC 5389) from this numeric address; None for anything else.

    Attributes of the request are not looked at: nobody is asked for credentials here (RFC 5626 section 8).
    """
    if datagram[:2] != _REQUEST or datagram[4:8] != _COOKIE or len(datagram) < _HEADER:
        return None
    length = int.from_bytes(datagram[2:4], "big")
    if length % 4 or len(datagram) != _HEADER + length:
        return None
    address = ip_address(host.partition("%")[0]).packed
    key = datagram[4:_HEADER]  # cookie and transaction id
    family = b"\x00\x01" if len(address) == 4 else b"\x00\x02"
    xored = bytes([one ^ other for one, other in zip(address, key)])
    hidden = (port ^ 0x2112).to_bytes(2, "big")
    value = family + hidden + xored
    attribute = _XOR_MAPPED_ADDRESS + len(value).to_bytes(2, "big") + value
    return _SUCCESS + len(attribute).to_bytes(2, "big") + key + attribute
