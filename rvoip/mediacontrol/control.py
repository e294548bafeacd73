"""The frames of the control WebSocket: commands, their answers, and events between them, each a JSON text.

`{id, method, path, body}` is answered by `{id, status, body}`; the id is the client's own and comes back as
it was. `fencing_token` and `idempotency_key` are what HTTP has as headers. An event has `event` and no id.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

__all__ = ["Command", "FrameError", "Incoming", "decode_command", "decode_incoming", "encode"]

LARGEST_COMMAND: Final = 64 << 10
"""Octets of a frame that a server reads."""
LARGEST_ANSWER: Final = 2 << 20
"""Octets of a frame that a client reads."""

FrameId = int | Annotated[str, Meta(max_length=64)]


class FrameError(ValueError):
    """A text that is no frame; `id` is that of the command where it can be told."""

    def __init__(self, reason: str, id_: int | str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.id = id_


class Command(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a client asks. `body` is undecoded when it was read, and any value when it is written."""

    id: FrameId
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: Annotated[str, Meta(max_length=2048)]
    body: Any = None
    fencing_token: Annotated[str, Meta(max_length=128)] = ""
    idempotency_key: Annotated[str, Meta(max_length=255)] = ""


class _ReadCommand(Command, forbid_unknown_fields=True):
    body: Raw = Raw(b"null")


class _Id(Struct):
    id: FrameId


class Incoming(Struct):
    """What a client hears: the answer to a command, or an event when `event` is not empty."""

    id: int | str | None = None
    status: int = 0
    body: Raw = Raw(b"null")
    event: str = ""


encode: Final = msgspec.json.Encoder().encode
_command = msgspec.json.Decoder(_ReadCommand)
_id = msgspec.json.Decoder(_Id)
_incoming = msgspec.json.Decoder(Incoming)


def decode_command(text: bytes | str) -> Command:
    """The command in a frame. Raises `FrameError`."""
    try:
        command: Command = _command.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FrameError(str(error), _id_of(text)) from None
    return command


def _id_of(text: bytes | str) -> int | str | None:
    try:
        found: int | str = _id.decode(text).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found


def decode_incoming(text: bytes | str) -> Incoming:
    """An answer or an event. Raises `FrameError`."""
    try:
        incoming: Incoming = _incoming.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FrameError(str(error)) from None
    return incoming
