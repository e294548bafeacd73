"""A client for tests that talks to an API in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from rvoip.common.http import API
from rvoip.common.http_server import APISite


class Response:
    """One response, read from bytes."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.version, status, self.reason = lines[0].split(" ", 2)
        self.status = int(status)
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection to a site, from some address."""

    def __init__(self, site: APISite, peer: str = "127.0.0.1") -> None:
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8080), peerAddress=IPv4Address("TCP", peer, 40000)
        )
        self.channel = site.buildProtocol(self.transport.getPeer())
        if self.channel is not None:
            self.channel.makeConnection(self.transport)

    @property
    def closing(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def lose(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))

    def responses(self, head: bool = False) -> list[Response]:
        """Take all whole responses that have come; `head` when they answer HEAD."""
        data = self.transport.value()
        self.transport.clear()
        found = []
        while data:
            top, _, data = data.partition(b"\r\n\r\n")
            response = Response(top, b"")
            length = 0 if head else int(response.headers.get("content-length", 0))
            response.body, data = data[:length], data[length:]
            found.append(response)
        return found

    def response(self, head: bool = False) -> Response:
        (only,) = self.responses(head)
        return only


class Client:
    """Sends one request a connection."""

    def __init__(self, api: API, clock: Clock, **settings: int) -> None:
        self.site = APISite(api, clock, **settings)

    def connect(self, peer: str = "127.0.0.1") -> Connection:
        return Connection(self.site, peer)

    def start(self, method: str, target: str, body: object = None, **headers: str | None) -> Connection:
        """Send a request; a `body` that is not bytes goes as JSON. Headers go as `content_type=...`."""
        sent: dict[str, str | None] = {"host": "127.0.0.1:8080"}
        content = b""
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent |= {"content_type": "application/json", "content_length": str(len(content))}
        sent |= headers
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in sent.items() if value is not None]
        connection = self.connect()
        connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        return connection

    def ask(self, method: str, target: str, body: object = None, **headers: str | None) -> Response:
        return self.start(method, target, body, **headers).response(head=method == "HEAD")
