"""Peers that ask and never read what they are answered."""

from __future__ import annotations

import ssl
import time

from rvoip.test.hostile.case import ATTACKER
from rvoip.test.hostile.limited import ConnectionCase
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.wire import Stream, request


class NeverReadingTests(ConnectionCase):
    def test_pipelined_options(self) -> None:
        """What is not read is not kept, and the connection ends after 10 s of that, over TCP and TLS."""
        server = self.serve("limited")
        wire = request(
            "OPTIONS", f"sip:{DOMAIN}", "X: " + "x" * 200, transport="TCP", sent_by=f"{ATTACKER}:5060"
        )
        ways = ((server.address, None), (server.tls_address, self.context()))
        for address, context in ways:
            with Stream(ATTACKER, address, context) as warm:
                warm.send(wire * 500)
                self.assertEqual(len([warm.receive(2.0) for _ in range(500)]), 500)
        before = peak = server.pss()
        began = time.monotonic()
        streams = [Stream(ATTACKER, address, context, buffer=4096) for address, context in ways]
        for stream in streams:
            self.addCleanup(stream.socket.close)
            stream.socket.setblocking(False)
        open_still = list(streams)
        # The 10 s begin when all that the kernel takes is full, which a busy server does not fill at once.
        while open_still and time.monotonic() - began < 40.0:
            for stream in list(open_still):
                try:
                    for _ in range(20):
                        stream.socket.send(wire * 30)
                except (BlockingIOError, ssl.SSLWantWriteError):
                    continue
                except OSError:
                    open_still.remove(stream)
            peak = max(peak, server.pss())
            time.sleep(0.05)
        self.assertEqual(open_still, [])
        self.assertGreater(time.monotonic() - began, 5.0)
        self.assertLess(peak - before, len(streams) * (2 << 20))
