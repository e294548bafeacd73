"""Floods of calls that nobody answers: what is over leaves nothing behind."""

from __future__ import annotations

import time

from rvoip.test.hostile.case import ATTACKER, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Datagrams, request

BURST = 1500


class FloodTests(HostileCase):
    def burst(self, server: Server, client: Datagrams, phone: Datagrams) -> int:
        """Many INVITEs at once for a phone that says nothing; the server's memory when all are over."""
        for number in range(BURST):
            client.send(
                request(
                    "INVITE",
                    f"sip:bob@{DOMAIN}",
                    f"Contact: <sip:mallory@{client.sent_by}>",
                    sent_by=client.sent_by,
                    body=b"v=0\r\n" + b"a=x\r\n" * 100,
                )
            )
            if number % 50 == 49:
                time.sleep(0.02)
                client.drain()
                phone.drain()
        self.wait_for(lambda: not server.transactions(), 20.0)
        # The answers are kept for 64*T1, which are 3.2 s here.
        time.sleep(4.0)
        client.drain()
        phone.drain()
        return server.pss()

    def test_pending_calls(self) -> None:
        """The first burst makes the process larger, the later ones do not."""
        server = self.serve("open")
        with (
            Datagrams(ATTACKER, server.address) as client,
            Datagrams("127.0.71.203", server.address) as phone,
        ):
            register(server, phone, "bob", f"<sip:bob@{phone.sent_by}>")
            first, *later = [self.burst(server, client, phone) for _ in range(3)]
        self.assertLess(max(later) - first, 4 << 20)
