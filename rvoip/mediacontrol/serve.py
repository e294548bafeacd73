"""The API of a media server over HTTP: any `IMediaServer` as routes of an API of the kit in `common`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rvoip.common.problem import HTTPError
from rvoip.common.routing import Route
from rvoip.mediacontrol.errors import MediaError
from rvoip.mediacontrol.operations import OPERATIONS, Operation
from rvoip.mediacontrol.ownership import FENCING_HEADER, FencingToken

if TYPE_CHECKING:
    from rvoip.common.http import API, Call

__all__ = ["MEDIA_READ", "MEDIA_WRITE", "add_routes", "media_routes", "perform"]

MEDIA_READ: Final = "media:read"
MEDIA_WRITE: Final = "media:write"

_HEADERS: Final = (
    (FENCING_HEADER, "OWNER:EPOCH of the caller; 409 for what has seen a later epoch, or another owner's"),
)
_BUSY: Final = (503, 504)


def media_routes(server: Any) -> list[Route]:
    """A route for each operation; they call `server`, an `IMediaServer`."""
    return [
        Route(
            method=each.method,
            path=each.path,
            handler=_handler(server, each),
            name=each.name,
            body=each.body,
            query=each.query,
            response=each.response,
            status=each.status,
            scopes=(MEDIA_READ if each.method == "GET" else MEDIA_WRITE,),
            summary=each.summary,
            headers=() if each.method == "GET" else _HEADERS,
        )
        for each in OPERATIONS
    ]


def add_routes(api: API, server: Any) -> None:
    """Have `api` serve all operations of `server`, an `IMediaServer`."""
    for route in media_routes(server):
        api.add(route)


def _handler(server: Any, what: Operation) -> Callable[..., Awaitable[Any]]:
    async def handle(call: Call, **arguments: Any) -> Any:
        value = arguments.pop("body", None) or arguments.pop("query", None)
        return await perform(server, what, list(arguments.values()), value, call.header(FENCING_HEADER) or "")

    return handle


async def perform(
    server: Any, what: Operation, parameters: list[str], value: msgspec.Struct | None, fence: str
) -> Any:
    """Do it. Raises `HTTPError` with the status and the reason of a `MediaError`."""
    try:
        token = FencingToken.parse(fence) if fence else None
        function = getattr(server, what.function)
        return await function(*what.arguments(parameters, value), fence=token)
    except MediaError as error:
        headers = {"Retry-After": "1"} if error.status in _BUSY else {}
        raise HTTPError(error.status, error.reason, headers=headers) from None
