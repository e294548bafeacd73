"""Callers that are gone before they are answered: by RST, over TCP and TLS."""

from __future__ import annotations

import socket
import ssl

from rvoip.test.hostile.case import ATTACKER, register
from rvoip.test.hostile.limited import ConnectionCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Callee, Datagrams, Stream, request


class ResetTests(ConnectionCase):
    def burst(self, server: Server, address: tuple[str, int], context: ssl.SSLContext | None) -> None:
        with Callee("127.0.71.201", server.address, 486) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by};transport=udp>")
            bob.answer()
            with Stream(ATTACKER, address, context) as stream:
                one = [
                    request("INVITE", f"sip:bob@{DOMAIN}", transport=stream.transport, sent_by=stream.sent_by)
                    for _ in range(1000)
                ]
                stream.socket.settimeout(10.0)
                stream.send(b"".join(one))
                if context is None:
                    stream.reset()
                else:
                    raw = socket.socket(fileno=stream.socket.detach())
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    raw.close()
            # 64*T1 is 3.2 s here.
            self.check_nothing_left(server, 15.0)
        self.wait_for(lambda: self.connections(server) == 0, 10.0)

    def test_tcp(self) -> None:
        server = self.serve("limited")
        self.burst(server, server.address, None)

    def test_tls(self) -> None:
        server = self.serve("limited")
        self.burst(server, server.tls_address, self.context())

    def test_nobody_answers(self) -> None:
        """The phone is silent, the caller is gone: 64*T1 later nothing is left."""
        server = self.serve("limited")
        with Datagrams("127.0.71.201", server.address) as bob, Stream(ATTACKER, server.address) as stream:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by};transport=udp>")
            for _ in range(300):
                stream.send(request("INVITE", f"sip:bob@{DOMAIN}", transport="TCP", sent_by=stream.sent_by))
            self.wait_for(lambda: server.transactions())
            stream.reset()
            self.check_nothing_left(server, 12.0)
