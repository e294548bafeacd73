"""The ng protocol of rtpengine: a cookie, a blank and a bencoded dictionary in each datagram."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rvoip.mediacontrol.bencode import Value, decode, encode
from rvoip.mediacontrol.errors import BencodeError, MediaRefused

__all__ = ["Reply", "read_reply", "result_of", "write_command"]

Reply = Mapping[str, Value]

_COOKIE = re.compile(rb"[\x21-\x7e]{1,64}\Z")


def write_command(cookie: bytes, command: str, arguments: Mapping[str, Value]) -> bytes:
    """The datagram of a command. The same cookie again is the same command, which is not done twice."""
    return cookie + b" " + encode({**arguments, "command": command})


def read_reply(data: bytes) -> tuple[bytes, Reply]:
    """The cookie and the dictionary of an answer. Raises `BencodeError`."""
    cookie, blank, rest = data.partition(b" ")
    if not blank or not _COOKIE.match(cookie):
        raise BencodeError("no cookie")
    value = decode(rest)
    if not isinstance(value, Mapping):
        raise BencodeError("no dictionary")
    return cookie, value


def result_of(reply: Reply) -> Reply:
    """The reply when it says ok or pong; `MediaRefused` with the reason that it gives when it does not."""
    result = reply.get("result")
    if result in (b"ok", b"pong"):
        return reply
    reason = reply.get("error-reason", result)
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else "no result"
    raise MediaRefused("".join(character if character.isprintable() else "?" for character in text[:200]))
