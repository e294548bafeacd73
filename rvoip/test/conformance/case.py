"""What the tests with user agents have in common."""

from __future__ import annotations

import socket
import ssl
from typing import ClassVar

from rvoip.test.conformance.agent import Agent, StreamAgent
from rvoip.test.conformance.element import ElementCase, element, own_address
from rvoip.test.hostile.wire import Stream

__all__ = ["OPEN", "AgentCase"]

OPEN = "[registrar]\nauthenticate = false\n"


class AgentCase(ElementCase):
    """User agents at running elements, `plain` being a proxy that is the registrar of its domain."""

    servers: ClassVar = {
        "plain": element("proxy", OPEN),
    }

    def agent(self, name: str = "plain", host: str = "", port: int = 0) -> Agent:
        """A user agent of its own."""
        agent = Agent(self.serve(name), host, port)
        self.addCleanup(agent.socket.close)
        return agent

    def stream(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext | None = None,
        name: str | None = None,
    ) -> StreamAgent:
        """A connection from an address of its own."""
        host, (one,) = own_address(30, (0,))
        one.close()
        agent = StreamAgent(Stream(host, address, context, name))
        self.addCleanup(agent.stream.socket.close)
        return agent

    def listener(self, host: str, port: int) -> socket.socket:
        """A TCP listener of a phone."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.addCleanup(listening.close)
        listening.bind((host, port))
        listening.listen(5)
        listening.settimeout(5.0)
        return listening

    def accepted(self, listening: socket.socket) -> StreamAgent:
        """The agent of a connection that the server opened."""
        connection, _ = listening.accept()
        return self.accepted_by(connection)

    def accepted_by(self, connection: socket.socket) -> StreamAgent:
        """The agent of a connection."""
        stream = Stream.__new__(Stream)
        stream.transport = "TLS" if isinstance(connection, ssl.SSLSocket) else "TCP"
        stream.socket, stream.held = connection, b""
        stream.address = connection.getsockname()
        self.addCleanup(connection.close)
        return StreamAgent(stream)
