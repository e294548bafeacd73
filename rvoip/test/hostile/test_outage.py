"""A database that cannot be written while the server runs: locked by somebody, or on a full disk.

Calls go on and are routed by what is in memory; a registration that is not on disk is not acknowledged.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from rvoip.test.hostile.case import ATTACKER
from rvoip.test.hostile.outage import OutageCase
from rvoip.test.hostile.server import DOMAIN
from rvoip.test.hostile.starts import mounted
from rvoip.test.hostile.wire import Callee, Datagrams, Message, by_call, request


class LockedTests(OutageCase):
    SECONDS = 10.0

    def test_ten_seconds(self) -> None:
        server = self.serve()
        with Datagrams(ATTACKER, server.address) as phone, Callee("127.0.71.201", server.address, 200) as bob:
            self.assertEqual(self.register(server, bob, "bob").status, 200)
            bob.answer()
            holder = self.hold(server, "location.db")
            began = time.monotonic()
            count = slowest = 0.0
            while time.monotonic() - began < self.SECONDS:
                self.refused(self.register(server, phone, f"lost{int(count)}"))
                count += 1
                asked = time.monotonic()
                self.assertIsNotNone(server.options(1.0))
                slowest = max(slowest, time.monotonic() - asked)
                # Calls are routed by what is in memory, and who is not there is still not there.
                for user, status in (("bob", 200), ("nobody", 480)):
                    wire = request("MESSAGE", f"sip:{user}@{DOMAIN}", sent_by=phone.sent_by)
                    phone.send(wire)
                    answer = phone.wait(by_call(Message(wire).get("call-id")), 1.0)
                    assert answer is not None, user
                    self.assertEqual(answer.status, status)
                status, health = server.api("GET", "/health")
                time.sleep(0.2)
            self.assertGreater(count, 5)
            self.assertLess(slowest, 1.0)
            self.assertEqual(status, 503, health)
            self.let_go(holder)
            holder.wait()
            ended = time.monotonic()
            while self.register(server, phone, "back").status != 200:
                self.assertLess(time.monotonic() - ended, 5.0)
                time.sleep(0.05)
            self.assertEqual(self.stored(server), {"bob", "back"})
            status, answer_of_api = server.api("GET", "/v1/bindings")
            self.assertEqual(
                {each["aor"] for each in answer_of_api["bindings"]}, {f"bob@{DOMAIN}", f"back@{DOMAIN}"}
            )
        log = server.log()
        self.assertNotIn("Traceback", log)
        self.assertEqual(log.count("Registrations are refused: "), 1)
        self.assertEqual(log.count("are stored in"), 1)


class FullDiskTests(OutageCase):
    def test_full_and_free_again(self) -> None:
        """503 while there is no room; what was stored is served; with room again all is as before."""
        folder = Path(tempfile.mkdtemp(prefix="rvoip-full-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with mounted(folder, "size=2m"):
            server = self.serve(folder)
            with Datagrams(ATTACKER, server.address) as phone:
                self.assertEqual(self.register(server, phone, "first").status, 200)
                ballast = folder / "ballast"
                with ballast.open("wb", buffering=0) as file:
                    try:
                        while True:
                            file.write(b"x" * 4096)
                    except OSError:
                        self.assertGreater(file.tell(), 0)
                acknowledged = {"first"}
                refused = 0
                for number in range(400):
                    answer = self.register(server, phone, f"u{number}" + "x" * 100)
                    if answer.status == 200:
                        acknowledged.add(f"u{number}" + "x" * 100)
                        continue
                    self.refused(answer)
                    refused += 1
                    if refused > 5:
                        break
                self.assertGreater(refused, 5)
                self.assertIsNotNone(server.options(1.0))
                ballast.unlink()
                ended = time.monotonic()
                while self.register(server, phone, "back").status != 200:
                    self.assertLess(time.monotonic() - ended, 5.0)
                    time.sleep(0.05)
                acknowledged.add("back")
                self.assertEqual(self.stored(server), acknowledged)
                server.kill()
                server.start()
                status, answer_of_api = server.api("GET", "/v1/status")
                self.assertEqual((status, answer_of_api["bindings"]), (200, len(acknowledged)))
            self.assertNotIn("Traceback", server.out.read_text("utf-8"))
            server.kill()
        self.assertEqual(os.listdir(folder), [])
