"""What the transport asks of whoever takes its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rvoip.protocols.sip.errors import SIPParseError
    from rvoip.protocols.sip.message import Request, Response
    from rvoip.protocols.transport.flow import Flow

__all__ = ["IMessageReceiver"]


class IMessageReceiver(Interface):
    """Whoever takes what arrives: a transaction layer, or a stateless element."""

    def message_received(message: Request | Response, flow: Flow) -> Awaitable[object] | None:
        """Take a well-formed, checked message; a request's top Via is stamped with its source.

        May return an awaitable. When it raises or the awaitable fails, the transport logs it once in 10
        seconds and answers a request 500.
        """

    def parse_failed(error: SIPParseError, flow: Flow) -> None:
        """Answer bytes that are no SIP, or leave it.

        The transport has counted them and logged one line a source in 10 seconds. ``error.message`` is what
        could be read of them; a response is never answered, nor is an ACK.
        """
