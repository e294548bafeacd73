"""What takes a database away from a running server, and what phones see of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.hostile.case import QUICK
from rvoip.test.hostile.server import DOMAIN, Server, own_host
from rvoip.test.hostile.stored import HOLD
from rvoip.test.hostile.wire import Datagrams, Message, by_call, request

TABLES = '[registrar]\nauthenticate = false\n[location]\nstore = "sqlite:location.db"\n'


class OutageCase(SynchronousTestCase):
    def serve(self, folder: Path | None = None) -> Server:
        server = Server(own_host(), tables=TABLES, sip=QUICK, folder=folder)
        self.addCleanup(server.close)
        server.start()
        return server

    def register(self, server: Server, phone: Datagrams, user: str, patience: float = 5.0) -> Message:
        aor = f"<sip:{user}@{DOMAIN}>"
        wire = request(
            "REGISTER",
            f"sip:{DOMAIN}",
            f"Contact: <sip:{user}@{phone.sent_by}>",
            sent_by=phone.sent_by,
            sender=f"{aor};tag=1",
            to=aor,
        )
        phone.send(wire)
        answer = phone.wait(by_call(Message(wire).get("call-id")), patience)
        assert answer is not None, "no answer to REGISTER"
        return answer

    def stored(self, server: Server) -> set[str]:
        """The users that have a binding on disk."""
        with sqlite3.connect(f"file:{server.folder}/location.db?mode=ro", uri=True) as database:
            return {
                row[0].partition("@")[0]
                for row in database.execute("SELECT aor FROM binding WHERE granted > 0")
            }

    def refused(self, answer: Message) -> None:
        self.assertEqual(answer.status, 503, answer.wire)
        self.assertGreater(int(answer.get("retry-after")), 0)

    def hold(self, server: Server, name: str) -> subprocess.Popen[bytes]:
        """Another process that is in a transaction and stays there."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(server.folder / name)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        self.assertEqual(holder.stdout.readline(), b"held\n")
        self.addCleanup(holder.wait)
        self.addCleanup(self.let_go, holder)
        return holder

    def let_go(self, holder: subprocess.Popen[bytes]) -> None:
        for end in (holder.stdin, holder.stdout):
            if end is not None:
                end.close()
