"""A server that could not look at its sockets for a while, as one that is swapped out or frozen."""

from __future__ import annotations

import signal
import time

from rvoip.test.hostile.case import ATTACKER, HostileCase
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.wire import Datagrams, Message, request


class StallTests(HostileCase):
    def test_old_requests_are_not_worked_off(self) -> None:
        """What was sent over 2 s ago has been sent again since: only what is fresh is answered."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as client:
            old = [
                request("OPTIONS", f"sip:{DOMAIN}", sent_by=client.sent_by, transport="UDP")
                for _ in range(20)
            ]
            fresh = request("OPTIONS", f"sip:{DOMAIN}", sent_by=client.sent_by, transport="UDP")
            server.signal(signal.SIGSTOP)
            try:
                for wire in old:
                    client.send(wire)
                time.sleep(2.5)
                client.send(fresh)
            finally:
                server.signal(signal.SIGCONT)
            answers = [client.receive(5.0), *client.drain(0.3)]
        self.assertEqual(
            [(one.status, one.get("call-id")) for one in answers if one is not None],
            [(200, Message(fresh).get("call-id"))],
        )
        self.assertIn("waited in a UDP socket", server.log())
