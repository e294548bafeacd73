"""An rtpengine that keeps books instead of ports."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import DatagramProtocol

from rvoip.mediacontrol.bencode import decode, encode

__all__ = ["FakeEngine", "SDP"]

SDP = "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


class FakeEngine(DatagramProtocol):
    """Answers as rtpengine does: a cookie that it has seen gets the same answer, and nothing is done again.

    `commands` are those that it has done, as (command, Call-ID). With `error` it refuses, silent it is with
    `mute`.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.commands: list[tuple[str, str]] = []
        self.arguments: list[dict[str, Any]] = []
        self.calls: set[str] = set()
        self.error = ""
        self.mute = False
        self.received = 0
        self._answers: dict[bytes, bytes] = {}
        self._port = 30000

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.received += 1
        if self.mute:
            return
        cookie, _, rest = datagram.partition(b" ")
        answer = self._answers.get(cookie)
        if answer is None:
            command: Any = decode(rest)
            answer = self._answers[cookie] = cookie + b" " + encode(self._do(command))
        transport: Any = self.transport
        transport.write(answer, addr)

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        name = command["command"].decode()
        call_id = command.get("call-id", b"").decode()
        self.commands.append((name, call_id))
        self.arguments.append(command)
        if self.error:
            return {"result": "error", "error-reason": self.error}
        if name == "ping":
            return {"result": "pong"}
        if name == "delete":
            self.calls.discard(call_id)
            return {"result": "ok"}
        self.calls.add(call_id)
        self._port += 2
        return {"result": "ok", "sdp": SDP.format(host=self.host, port=self._port)}
