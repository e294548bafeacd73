"""What signalling asks of whoever carries the media of its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["IMediaRelay"]


class IMediaRelay(Interface):
    """Puts itself between the two ends of a call, by rewriting where their descriptions say media goes.

    A call is its Call-ID; an end is its tag. All fail with a `MediaError`.
    """

    def offer(
        call_id: str, from_tag: str, sdp: str, to_tag: str = "", branch: str = "", received: str = ""
    ) -> Awaitable[str]:
        """The offer of the end `from_tag` as the other end is to see it.

        `to_tag` names the other end once it is known. `branch` tells the branches of a fork apart. `received`
        is the address that the message came from, where that is to be believed rather than what it says.
        """

    def answer(
        call_id: str, from_tag: str, to_tag: str, sdp: str, branch: str = "", received: str = ""
    ) -> Awaitable[str]:
        """The answer of the end `to_tag` to an offer of the end `from_tag`, as that one is to see it."""

    def delete(call_id: str, from_tag: str, to_tag: str = "", branch: str = "") -> Awaitable[None]:
        """The call, or with `to_tag` or `branch` that part of it, is over. Harmless when it was already."""
