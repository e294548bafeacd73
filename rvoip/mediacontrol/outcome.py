"""What a client makes of the status and the body of an answer."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rvoip.mediacontrol.errors import (
    MediaError,
    MediaLost,
    MediaRefused,
    MediaUnavailable,
    MediaUnsupported,
)
from rvoip.mediacontrol.operations import OPERATIONS, Operation

__all__ = ["lost", "outcome"]

_decoders: Final = {
    each.name: msgspec.json.Decoder(each.response) for each in OPERATIONS if each.response is not None
}


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str = ""


_problem: Final = msgspec.json.Decoder(_Problem)


def outcome(what: Operation, status: int, body: Any, is_repeated: bool = False) -> Any:
    """The response of an operation, or None. Raises the `MediaError` that the answer says.

    `is_repeated` says that it was sent before and that answer was lost: what is to be gone and is not there
    has been removed by then.
    """
    if 200 <= status < 300:
        decoder = _decoders.get(what.name)
        if decoder is None:
            return None
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MediaError(f"the media server's answer cannot be read: {error}", 502) from None
    if is_repeated and what.method == "DELETE" and _is_gone(what, status):
        if what.response is None:
            return None
        raise MediaLost(f"{what.name} was done, and what it answered got lost with a connection")
    raise _error(status, _reason(status, body))


def _is_gone(what: Operation, status: int) -> bool:
    return status == 404 or (status == 409 and what.name == "rollback")


def _reason(status: int, body: Any) -> str:
    try:
        problem = _problem.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"the media server answers {status}"
    text = problem.detail or problem.title or f"the media server answers {status}"
    return "".join(each if each.isprintable() else "?" for each in text[:500])


def _error(status: int, reason: str) -> MediaError:
    if status == 503:
        return MediaUnavailable(reason)
    if status == 501:
        return MediaUnsupported(reason)
    if 400 <= status < 500:
        return MediaRefused(reason, status)
    return MediaError(reason, status if 500 <= status < 600 else 502)


def lost(what: Operation, place: str, was_sent: bool, reason: str) -> MediaError:
    """The error of a command that will not be answered any more."""
    if was_sent:
        return MediaLost(f"{place} has not answered {what.name}, which may be done or not: {reason}")
    return MediaUnavailable(f"{place} was never asked for {what.name}: {reason}")
