"""What the dialog layer raises, and what its hooks may raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvoip.protocols.sip.message import Response

__all__ = ["DialogError", "Gone", "Refused", "RequestFailed", "RequestRefused", "WrongState"]


class DialogError(Exception):
    """Base of the errors of this layer."""


class Refused(DialogError):
    """Raised by a hook: the request that it was called for is answered with this status.

    `headers` are (name, value) pairs for the response.
    """

    def __init__(
        self, status: int, reason: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{status}" if reason is None else f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers


class RequestFailed(DialogError):
    """A request of ours got no final response: "timeout", "cancelled", "ended", or why it was not sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RequestRefused(DialogError):
    """A request of ours got a final response that is not 2xx."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status} {response.reason}")
        self.response = response


class WrongState(DialogError):
    """Ours: what was asked for cannot be done now (a second final answer, a request in an ended dialog)."""


class Gone(WrongState):
    """The peer gave up, or is lost, while we made up our mind: nobody waits for this any more.

    A hook that lets it out is not logged: it happens to everyone who takes time to answer.
    """
