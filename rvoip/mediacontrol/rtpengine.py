"""rtpengine as a media relay: a client of its ng protocol over UDP, for one engine or several."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger
from zope.interface import implementer

from rvoip.mediacontrol.bencode import Value
from rvoip.mediacontrol.choice import Choice
from rvoip.mediacontrol.errors import BencodeError, MediaError, MediaRefused, MediaUnavailable
from rvoip.mediacontrol.interfaces import IMediaRelay
from rvoip.mediacontrol.ng import Reply, read_reply, result_of, write_command

__all__ = ["WAITS", "EngineAddress", "RTPEngine", "RTPEngines", "parse_engine"]

WAITS = (0.2, 0.4, 0.8)
"""Seconds after which a command is sent again; after the last it has failed."""
_MOST_WAITING = 10_000
_LARGEST_SDP = 1 << 16

EngineAddress = tuple[str, int]

_log = Logger()


def parse_engine(text: str) -> EngineAddress:
    """ "udp:192.0.2.1:22222" (or with [IPv6]) as host and port. ValueError for what is no numeric address."""
    kind, _, place = text.partition(":")
    host, _, digits = place.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if kind != "udp" or not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65536):
        raise ValueError(f"{text!r} is not udp:ADDRESS:PORT")
    try:
        return str(ipaddress.ip_address(bare)), int(digits)
    except ValueError:
        raise ValueError(f"{text!r} has no numeric address") from None


class _Waiting:
    """A command that is not answered yet."""

    __slots__ = ("data", "done", "timer", "tries")

    def __init__(self, data: bytes, done: Deferred[Reply]) -> None:
        self.data = data
        self.done = done
        self.tries = 0
        self.timer: Any = None


class RTPEngine(DatagramProtocol):
    """One engine. `token` gives random text for cookies."""

    def __init__(
        self,
        reactor: Any,
        address: EngineAddress,
        token: Callable[[], str],
        waits: Sequence[float] = WAITS,
    ) -> None:
        self.address = address
        self.sent = 0
        """Commands, each counted once."""
        self.retried = 0
        """Datagrams that were sent again."""
        self.timeouts = 0
        """Commands that were not answered."""
        self._reactor = reactor
        self._token = token
        self._waits = tuple(waits)
        self._waiting: dict[bytes, _Waiting] = {}
        self._port: Any = None

    def open(self) -> None:
        """Open a socket of our own."""
        if self._port is None:
            interface = "::" if ":" in self.address[0] else ""
            self._port = self._reactor.listenUDP(0, self, interface, 65535)

    def close(self) -> None:
        """Close it; commands under way fail."""
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()
        for cookie in list(self._waiting):
            self._fail(cookie, "is no longer used")

    def command(self, name: str, arguments: Mapping[str, Value]) -> Deferred[Reply]:
        """Fires with the reply, also one that says "error"; fails with `MediaUnavailable`."""
        done: Deferred[Reply] = Deferred()
        if self._port is None or len(self._waiting) >= _MOST_WAITING:
            done.errback(MediaUnavailable("the engine is not to be reached now"))
            return done
        cookie = self._token().encode("ascii")
        waiting = _Waiting(write_command(cookie, name, arguments), done)
        self._waiting[cookie] = waiting
        self.sent += 1
        self._send(cookie, waiting)
        return done

    def _send(self, cookie: bytes, waiting: _Waiting) -> None:
        wait = self._waits[waiting.tries]
        waiting.tries += 1
        waiting.timer = self._reactor.callLater(wait, self._silent, cookie, waiting)
        transport: Any = self.transport
        try:
            transport.write(waiting.data, self.address)
        except OSError:
            pass  # the network may be back before the next try

    def _silent(self, cookie: bytes, waiting: _Waiting) -> None:
        waiting.timer = None
        if waiting.tries < len(self._waits):
            self.retried += 1
            self._send(cookie, waiting)
        else:
            self.timeouts += 1
            self._fail(cookie, "does not answer")

    def _fail(self, cookie: bytes, reason: str) -> None:
        waiting = self._waiting.pop(cookie, None)
        if waiting is not None:
            if waiting.timer is not None:
                waiting.timer.cancel()
            waiting.done.errback(MediaUnavailable(f"rtpengine at {self.address[0]} {reason}"))

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Final. An answer, if it comes from the engine and we wait for it."""
        if tuple(addr[:2]) != self.address:
            return
        try:
            cookie, reply = read_reply(datagram)
        except BencodeError as error:
            _log.warn(
                "rtpengine at {host} sent what is no answer: {reason}", host=addr[0], reason=error.reason
            )
            return
        waiting = self._waiting.pop(cookie, None)
        if waiting is not None:
            if waiting.timer is not None:
                waiting.timer.cancel()
            waiting.done.callback(reply)


@implementer(IMediaRelay)
class RTPEngines:
    """Several engines as one relay: a call is at one of them; a new one goes to one that answers.

    `options` are more arguments of each offer and answer, such as {"ICE": "remove"}.
    """

    def __init__(
        self,
        reactor: Any,
        addresses: Sequence[EngineAddress],
        token: Callable[[], str],
        options: Mapping[str, Value] | None = None,
    ) -> None:
        self._reactor = reactor
        self._token = token
        self._engines: dict[str, RTPEngine] = {}
        self._choice = Choice(())
        self._open = False
        self.options = dict(options or {})
        self.use(addresses)

    @property
    def engines(self) -> list[RTPEngine]:
        """Each of them, for figures."""
        return list(self._engines.values())

    def use(self, addresses: Sequence[EngineAddress]) -> None:
        """Use these from now on; calls at one that is there no more are lost to it."""
        before = self._engines
        self._engines = {}
        for address in addresses:
            name = f"{address[0]} {address[1]}"
            engine = before.pop(name, None) or RTPEngine(self._reactor, address, self._token)
            self._engines[name] = engine
            if self._open:
                engine.open()
        for engine in before.values():
            engine.close()
        self._choice.use(list(self._engines))

    def open(self) -> None:
        """Open the sockets."""
        self._open = True
        for engine in self._engines.values():
            engine.open()

    def close(self) -> None:
        """Close them."""
        self._open = False
        for engine in self._engines.values():
            engine.close()

    async def offer(
        self, call_id: str, from_tag: str, sdp: str, to_tag: str = "", branch: str = "", received: str = ""
    ) -> str:
        """See `IMediaRelay`. An engine that does not answer is passed over, for a new call."""
        arguments = self._arguments(call_id, from_tag, to_tag, branch, sdp, received)
        last: MediaError = MediaUnavailable("there is no media relay")
        names = self._choice.for_new(call_id, self._reactor.seconds())
        if to_tag:
            names = [one for one in names if one == self._choice.of(call_id)]
        for name in names:
            try:
                reply = await self._command(name, "offer", arguments)
            except MediaUnavailable as error:
                last = error
                continue
            self._choice.placed(call_id, name)
            return _sdp(result_of(reply))
        raise last

    async def answer(
        self, call_id: str, from_tag: str, to_tag: str, sdp: str, branch: str = "", received: str = ""
    ) -> str:
        """See `IMediaRelay`."""
        arguments = self._arguments(call_id, from_tag, to_tag, branch, sdp, received)
        return _sdp(result_of(await self._command(self._choice.of(call_id), "answer", arguments)))

    async def delete(self, call_id: str, from_tag: str, to_tag: str = "", branch: str = "") -> None:
        """See `IMediaRelay`."""
        arguments: dict[str, Value] = {"call-id": call_id, "from-tag": from_tag}
        if to_tag:
            arguments["to-tag"] = to_tag
        if branch:
            arguments["via-branch"] = branch
        name = self._choice.of(call_id)
        if not to_tag and not branch:
            self._choice.ended(call_id)
        await self._command(name, "delete", arguments)

    async def ping(self) -> dict[str, bool]:
        """Which engines answer, by their name."""
        found = {}
        for name in list(self._engines):
            try:
                result_of(await self._command(name, "ping", {}))
            except MediaError:
                found[name] = False
            else:
                found[name] = True
        return found

    async def _command(self, name: str | None, command: str, arguments: Mapping[str, Value]) -> Reply:
        engine = self._engines.get(name or "")
        if engine is None or name is None:
            raise MediaUnavailable("there is no media relay")
        try:
            reply = await engine.command(command, arguments)
        except MediaUnavailable:
            self._choice.was_silent(name, self._reactor.seconds())
            raise
        self._choice.answered(name)
        return reply

    def _arguments(
        self, call_id: str, from_tag: str, to_tag: str, branch: str, sdp: str, received: str
    ) -> dict[str, Value]:
        if len(sdp) > _LARGEST_SDP:
            raise MediaRefused("the session description is too large")
        given = self.options.get("flags")
        # Its own mark in a description keeps an engine from being put into a call that comes by twice.
        flags: list[Value] = ["loop-protect", *(given if isinstance(given, list) else ())]
        arguments: dict[str, Value] = {
            "replace": ["origin", "session-connection"],
            **self.options,
            "call-id": call_id,
            "from-tag": from_tag,
            "sdp": sdp,
        }
        if to_tag:
            arguments["to-tag"] = to_tag
        if branch:
            arguments["via-branch"] = branch
        if received:
            arguments["received-from"] = ["IP6" if ":" in received else "IP4", received]
            flags.append("SIP-source-address")
        arguments["flags"] = flags
        return arguments


def _sdp(reply: Reply) -> str:
    sdp = reply.get("sdp")
    if not isinstance(sdp, bytes):
        raise MediaRefused("the answer has no session description")
    return sdp.decode("utf-8", "surrogateescape")
