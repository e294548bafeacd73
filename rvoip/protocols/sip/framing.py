"""Messages out of a byte stream (RFC 3261 section 18.3, keep-alive of RFC 5626 section 3.5.1)."""

from __future__ import annotations

import enum
import re

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import DEFAULT_LIMITS, Limits, parse_message

_LENGTH = re.compile(
    rb"\r\n(?:content-length|l)(?:[ \t]|\r\n[ \t])*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE
)
_BLANK = b"\r\n\r\n"


class KeepAlive(enum.Enum):
    """What peers send between messages to keep a connection open."""

    PING = "double CRLF"
    PONG = "CRLF"


class StreamFramer:
    """A machine: octets in, whole messages out, independent of how the octets were cut up.

    On a stream Content-Length is what frames (RFC 3261 section 18.3): a message without one has no
    body. After an error the stream cannot be read further.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._scanned = 0
        self._needed = 0
        self._broken = False

    @property
    def pending(self) -> int:
        """Octets held of a message that is not complete."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take octets; return the messages and keep-alives that they complete, in order.

        Raises `SIPParseError` for what can never become a message; what was complete before it is
        in the error's ``completed`` attribute, and the caller closes the stream.
        """
        if self._broken:
            return []
        buffer = self._buffer
        buffer += data
        found: list[bytes | KeepAlive] = []
        try:
            while buffer:
                if buffer[0] in b"\r\n":
                    if not self._take_blank(found):
                        break
                elif not self._take_message(found):
                    break
        except SIPParseError as error:
            self._broken = True
            raise StreamError(error, found) from None
        return found

    def _take_blank(self, found: list[bytes | KeepAlive]) -> bool:
        """Consume a keep-alive at the front; False when more octets must come first."""
        buffer = self._buffer
        if buffer.startswith(_BLANK):
            found.append(KeepAlive.PING)
            del buffer[:4]
        elif _BLANK.startswith(bytes(buffer[:4])):
            # A lone CRLF answers our ping, or begins a ping: what follows tells, see `take_pong`.
            return False
        elif buffer.startswith(b"\r\n"):
            found.append(KeepAlive.PONG)
            del buffer[:2]
        else:
            raise SIPParseError("Line break that is not CRLF")
        return True

    def take_pong(self) -> bool:
        """Consume a lone CRLF at the end of what has come: the answer to a ping that we sent."""
        if bytes(self._buffer) == b"\r\n":
            self._buffer.clear()
            return True
        return False

    def _take_message(self, found: list[bytes | KeepAlive]) -> bool:
        buffer = self._buffer
        if not self._needed:
            end = buffer.find(_BLANK, max(0, self._scanned - 3), self._limits.message)
            if end < 0:
                self._scanned = len(buffer)
                if len(buffer) >= self._limits.message:
                    raise SIPParseError("Message Too Large", 513)
                return False
            self._needed = end + 4 + self._content_length(bytes(buffer[: end + 2]))
            if self._needed > self._limits.message:
                raise self._refusal(end, "Message Too Large", 413)
        if len(buffer) < self._needed:
            return False
        found.append(bytes(buffer[: self._needed]))
        del buffer[: self._needed]
        self._scanned = self._needed = 0
        return True

    def _content_length(self, head: bytes) -> int:
        values = {value.strip(b" \t\r\n") for value in _LENGTH.findall(head)}
        if not values:
            return 0
        text = values.pop()
        if values:
            raise self._refusal(len(head) - 2, "Different Content-Length values", 400)
        if not text.isdigit() or len(text) > 7:
            status = 413 if text.isdigit() else 400
            raise self._refusal(len(head) - 2, "Bad Content-Length", status)
        return int(text)

    def _refusal(self, end: int, reason: str, status: int) -> SIPParseError:
        """The error with as much of the message as can be read, so that it can be answered."""
        head = bytes(self._buffer[:end])
        message: Request | Response | None = None
        lines = [line for line in head.split(b"\r\n") if not _LENGTH.match(b"\r\n" + line + b"\r\n")]
        try:
            message = parse_message(b"\r\n".join(lines) + _BLANK, self._limits)
        except SIPParseError as error:
            message = error.message if isinstance(error.message, Request | Response) else None
        return SIPParseError(reason, status, message)


class StreamError(SIPParseError):
    """A stream that cannot be read further, with the messages that were complete before."""

    def __init__(self, error: SIPParseError, completed: list[bytes | KeepAlive]) -> None:
        super().__init__(error.reason, error.status, error.message)
        self.completed = completed
