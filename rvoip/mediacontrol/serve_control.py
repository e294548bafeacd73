"""The WebSockets of a media server's API: commands with their answers and events, and events alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from rvoip.common.http import API
from rvoip.common.idempotency import Answer as KeptAnswer
from rvoip.common.idempotency import IdempotencyKeys
from rvoip.common.problem import HTTPError
from rvoip.common.routing import Router, decode_path, decode_query
from rvoip.mediacontrol.control import LARGEST_COMMAND, Command, FrameError, decode_command, encode
from rvoip.mediacontrol.errors import MediaUnavailable
from rvoip.mediacontrol.events import AnyEvent
from rvoip.mediacontrol.operations import CONTROL_PATH, EVENTS_PATH, OPERATIONS, Operation
from rvoip.mediacontrol.serve import MEDIA_READ, MEDIA_WRITE, media_routes, perform
from rvoip.mediacontrol.websocket import POLICY, ServerTexts

__all__ = ["ControlCommands", "add_websockets"]

MOST_AT_WORK: Final = 1000
"""Commands of one connection that are not answered yet; one more is refused with 503."""
MOST_UNREAD: Final = 8 << 20
"""Octets that are kept for a client that does not read; beyond, it is cut off."""
SILENT: Final = 90.0
"""Seconds after which a client that has sent nothing, not even a ping, is cut off."""
MOST_KEYS: Final = 20_000

_log = Logger()


class ControlCommands:
    """Answers commands, from all WebSockets: `server` is an `IMediaServer`."""

    def __init__(self, server: Any, clock: IReactorTime) -> None:
        self._server = server
        self._clock = clock
        self._keys = IdempotencyKeys(max_entries=MOST_KEYS)
        self._router = Router()
        self._operations: dict[str, Operation] = {each.name: each for each in OPERATIONS}
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {}
        for route in media_routes(server):
            self._router.add(route)
            if route.body is not None:
                self._decoders[route.name] = msgspec.json.Decoder(route.body)

    async def answer(self, command: Command) -> bytes:
        """The frame that answers a command."""
        try:
            status, body = await self._answer(command)
        except HTTPError as error:
            status, body = error.status, encode(error.problem)
        except Exception:
            _log.failure("{method} {path} failed", method=command.method, path=command.path)
            status, body = 500, encode(HTTPError(500, "the server failed").problem)
        return encode({"id": command.id, "status": status, "body": msgspec.Raw(body)})

    async def _answer(self, command: Command) -> tuple[int, bytes]:
        key = command.idempotency_key if command.method == "POST" else ""
        if not key:
            return await self._perform(command)
        now = self._clock.seconds
        fingerprint = hashlib.sha256(f"{command.path}\0".encode() + bytes(command.body)).digest()
        kept = self._keys.begin("", key, fingerprint, now())
        if kept is not None:
            return kept.status, kept.body
        try:
            status, body = await self._perform(command)
        except HTTPError as error:
            self._keys.finish("", key, KeptAnswer(error.status, {}, encode(error.problem)), now())
            raise
        except BaseException:
            self._keys.forget("", key)
            raise
        self._keys.finish("", key, KeptAnswer(status, {}, body), now())
        return status, body

    async def _perform(self, command: Command) -> tuple[int, bytes]:
        try:
            path, _, query = command.path.encode("ascii").partition(b"?")
        except UnicodeEncodeError:
            raise HTTPError(400, "the path is not ASCII") from None
        route, parameters = self._router.find(command.method, decode_path(path))
        value: Any = None
        if route.body is not None:
            try:
                value = self._decoders[route.name].decode(command.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise HTTPError(400, str(error)) from None
        elif route.query is not None:
            value = decode_query(query, route.query)
        what = self._operations[route.name]
        result = await perform(self._server, what, list(parameters.values()), value, command.fencing_token)
        return route.status, b"null" if result is None else encode(result)


class _Socket(Protocol):
    """One WebSocket: commands, where there is somebody to answer them, and events."""

    def __init__(
        self, clock: IReactorTime, texts: ServerTexts, server: Any, commands: ControlCommands | None
    ) -> None:
        self._clock = clock
        self._texts = texts
        self._server = server
        self._commands = commands
        self._at_work = 0
        self._unread = 0
        self._paused = False
        self._heard = clock.seconds()
        self._silence: Any = None
        self._unsubscribe: Callable[[], None] | None = None

    def connectionMade(self) -> None:
        self._unsubscribe = self._server.subscribe(self._event)
        self._silence = self._clock.callLater(SILENT, self._check_silence)
        self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._texts.ended = self._texts.ended or "the connection is lost"
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        for text in self._texts.receive(data):
            if self._commands is not None:
                self._command(text)
        self._flush()
        if self._texts.ended and self.transport is not None:
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        """The client does not read at present."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It has read all."""
        self._paused = False
        self._unread = 0

    def stopProducing(self) -> None:
        """It is gone."""

    def _command(self, text: str) -> None:
        assert self._commands is not None
        try:
            command = decode_command(text)
        except FrameError as error:
            self._say(_refusal(error.id, HTTPError(400, error.reason)))
            return
        if self._at_work >= MOST_AT_WORK:
            refusal = HTTPError(503, f"{MOST_AT_WORK} commands of this connection are at work")
            self._say(_refusal(command.id, refusal))
            return
        self._at_work += 1
        Deferred.fromCoroutine(self._commands.answer(command)).addCallback(self._answered).addErrback(
            lambda failure: _log.failure("A command could not be answered", failure)
        )

    def _answered(self, frame: bytes) -> None:
        self._at_work -= 1
        self._say(frame)

    def _event(self, event: AnyEvent) -> None:
        self._say(encode(event))

    def _say(self, frame: bytes) -> None:
        if self._texts.ended:
            return
        self._texts.output += self._texts.text(frame.decode())
        self._flush()

    def _flush(self) -> None:
        output = self._texts.output
        if output and self.transport is not None:
            if self._paused:
                self._unread += len(output)
                if self._unread > MOST_UNREAD:
                    self._cut("it does not read")
                    return
            self.transport.write(bytes(output))
            output.clear()

    def _check_silence(self) -> None:
        left = self._heard + SILENT - self._clock.seconds()
        if left > 0:
            self._silence = self._clock.callLater(left, self._check_silence)
        else:
            self._cut("it is silent")

    def _cut(self, reason: str) -> None:
        _log.warn("A client of the media server is cut off: {reason}", reason=reason)
        self._texts.close(POLICY, reason)
        transport: Any = self.transport
        transport.abortConnection()


def _refusal(id_: int | str | None, error: HTTPError) -> bytes:
    return encode({"id": id_, "status": error.status, "body": error.problem})


@implementer(IResource)
class _WebSocketResource:
    """Makes a WebSocket of a request that asks for one."""

    isLeaf = True

    def __init__(self, clock: IReactorTime, server: Any, commands: ControlCommands | None) -> None:
        self._clock = clock
        self._server = server
        self._commands = commands

    def render(self, request: Request) -> int:
        """Answer 101, or 400."""
        headers = [
            (name.lower(), value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
        ]
        try:
            texts = ServerTexts(LARGEST_COMMAND, headers, request.path)
        except MediaUnavailable as error:
            body = encode(HTTPError(error.status, error.reason).problem)
            request.setResponseCode(error.status)
            request.setHeader(b"Content-Type", b"application/problem+json")
            request.setHeader(b"Content-Length", b"%d" % len(body))
            request.write(body)
            request.finish()
            return NOT_DONE_YET
        channel: Any = request.channel
        channel.upgrade(_Socket(self._clock, texts, self._server, self._commands))
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """Return itself."""
        return cast(IResource, self)

    def putChild(self, path: bytes, child: IResource) -> None:
        """Refuse: a WebSocket has no children."""
        raise TypeError("a WebSocket has no children")


def add_websockets(api: API, server: Any, clock: IReactorTime) -> None:
    """Have `api` serve the WebSockets of `server`, an `IMediaServer`."""
    commands = ControlCommands(server, clock)
    control = _WebSocketResource(clock, server, commands)
    events = _WebSocketResource(clock, server, None)
    api.mount(CONTROL_PATH, cast(IResource, control), scopes=(MEDIA_WRITE,), summary="Commands and events")
    api.mount(EVENTS_PATH, cast(IResource, events), scopes=(MEDIA_READ,), summary="Events")
