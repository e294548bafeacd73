"""The accounts' database is locked while the server runs."""

from __future__ import annotations

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, QUICK
from rvoip.test.hostile.case import register as registered
from rvoip.test.hostile.outage import OutageCase
from rvoip.test.hostile.server import DOMAIN, Server, own_host
from rvoip.test.hostile.wire import Datagrams


class LockedTests(OutageCase):
    def test_users(self) -> None:
        """Credentials are in memory: who has an account goes on, and nobody gets one meanwhile."""
        server = Server(own_host(), sip=QUICK, users=PASSWORDS)
        self.addCleanup(server.close)
        server.start()
        server.add_users()
        with Datagrams(ATTACKER, server.address) as phone:
            registered(server, phone, "alice", f"<sip:alice@{phone.sent_by}>")
            holder = self.hold(server, "users.db")
            for _ in range(5):
                registered(server, phone, "alice", f"<sip:alice@{phone.sent_by}>")
            document = {"user": "carol", "domain": DOMAIN, "password": "secret of carol"}
            self.assertEqual(server.api("POST", "/v1/users", document)[0], 503)
            self.assertIsNotNone(server.options(1.0))
            self.let_go(holder)
            holder.wait()
            self.assertEqual(server.api("POST", "/v1/users", document)[0], 201)
        self.assertNotIn("Traceback", server.log())
