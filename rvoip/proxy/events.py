"""What a proxy tells about the calls that pass it."""

from __future__ import annotations

import attrs

__all__ = ["Answered", "HungUp"]


@attrs.frozen
class Answered:
    """An INVITE that begins a call got its final response; `after` is seconds since it came.

    `uri` is its Request-URI, `user` the address-of-record of ours whose credentials it carried, "" where none
    were asked for, `source` where it came from, `transport:host:port`. `destination` is who refused it, or
    where it was sent in vain; "" when it was accepted or was sent nowhere.
    """

    call_id: str
    caller: str
    callee: str
    status: int
    reason: str
    after: float
    uri: str = ""
    user: str = ""
    source: str = ""
    destination: str = ""


@attrs.frozen
class HungUp:
    """A BYE was answered so that its call is over; `sender` is the From URI of who hung up."""

    call_id: str
    sender: str
    status: int
