"""A restart while phones register: the service manager keeps the sockets, and nobody is told no."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.hostile.server import command, free_port, own_host
from rvoip.test.hostile.wire import request
from rvoip.testing.certificates import Authority

# Puts the sockets where a service manager would, and becomes the role.
_EXEC = """
import os, sys
sockets, rest = sys.argv[1].split(","), sys.argv[2:]
for index, number in enumerate([os.dup(int(one)) for one in sockets]):
    os.dup2(number, 3 + index) if number != 3 + index else None
    os.set_inheritable(3 + index, True)
count = str(len(sockets))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=count, LISTEN_FDNAMES="udp:tcp:tls:http")
os.execv(rest[0], rest)
"""


class HandoverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.host = own_host()
        sip, tls, http = (free_port(self.host) for _ in range(3))
        self.sip, self.http = (self.host, sip), (self.host, http)
        certificate, key = Authority().issue("example.test").write(self.folder)
        self.config = self.folder / "role.toml"
        self.config.write_text(
            f'[sip]\nlisten = ["udp:{self.host}:{sip}", "tcp:{self.host}:{sip}", "tls:{self.host}:{tls}"]\n'
            f'domains = ["example.test"]\n[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n'
            f'[http]\nlisten = "{self.host}:{http}"\n[users]\nstore = "sqlite:users.db"\n'
            '[location]\nstore = "sqlite:location.db"\n[registrar]\nauthenticate = false\n'
            "[service]\ndrain_max = 20\n"
        )
        self.sockets = []
        for kind, port in (
            (socket.SOCK_DGRAM, sip),
            (socket.SOCK_STREAM, sip),
            (socket.SOCK_STREAM, tls),
            (socket.SOCK_STREAM, http),
        ):
            opened = socket.socket(socket.AF_INET, kind)
            self.addCleanup(opened.close)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((self.host, port))
            if kind == socket.SOCK_STREAM:
                opened.listen(128)
            self.sockets.append(opened)
        self.log = self.folder / "log"

    def start(self) -> subprocess.Popen[bytes]:
        numbers = [one.fileno() for one in self.sockets]
        role = command("proxy", "--config", str(self.config))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _EXEC, ",".join(map(str, numbers)), *role],
                pass_fds=numbers,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

        def end() -> None:
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def ready(self, count: int) -> None:
        ends = time.monotonic() + 20.0
        while self.log.read_text().count("listens on tls:") < count:
            self.assertLess(time.monotonic(), ends, self.log.read_text())
            time.sleep(0.02)

    def register(self, phone: socket.socket, number: int) -> bytes:
        host, port = phone.getsockname()
        wire = request(
            "REGISTER",
            "sip:example.test",
            f"Contact: <sip:u{number}@{host}:{port}>",
            to=f"<sip:u{number}@example.test>",
            sender=f"<sip:u{number}@example.test>;tag=t",
            call_id=f"c{number}",
            sent_by=f"{host}:{port}",
        )
        phone.sendto(wire, self.sip)
        return wire

    def test_nobody_notices(self) -> None:
        """100 REGISTERs a second over a restart: each is answered 200, if need be when it is sent again."""
        first = self.start()
        self.ready(1)
        phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(phone.close)
        phone.bind(("127.0.67.9", 0))
        phone.setblocking(False)
        sent: dict[str, tuple[float, bytes, int]] = {}
        statuses: dict[str, int] = {}
        began = time.monotonic()
        second: subprocess.Popen[bytes] | None = None
        number, again, refused = 0, 0, 0
        while True:
            now = time.monotonic() - began
            if number < 400 and now >= number / 100:
                sent[f"c{number}"] = (now, self.register(phone, number), 0)
                number += 1
            if number == 100 and first.poll() is None and second is None:
                first.send_signal(signal.SIGTERM)
            if second is None and first.poll() is not None:
                second = self.start()
            try:
                while True:
                    answer = phone.recv(65535).decode()
                    call_id = answer.split("Call-ID: ")[1].split("\r\n")[0]
                    statuses[call_id] = int(answer.split()[1])
                    sent.pop(call_id, None)
            except BlockingIOError:
                pass
            except ConnectionRefusedError:
                refused += 1
            for call_id, (at, wire, tries) in list(sent.items()):
                # Timer E: 0.5 s, then twice as long each time.
                if now - at >= 0.5 * 2**tries:
                    sent[call_id] = (at, wire, tries + 1)
                    again += 1
                    phone.sendto(wire, self.sip)
            if number == 400 and not sent:
                break
            self.assertLess(now, 30.0, f"{len(sent)} have no answer; {self.log.read_text()[-2000:]}")
            time.sleep(0.001)
        self.assertEqual((set(statuses.values()), len(statuses), refused), ({200}, 400, 0))
        self.assertEqual(first.wait(), -signal.SIGTERM)
        self.assertGreater(again, 0)
        with urllib.request.urlopen(f"http://{self.http[0]}:{self.http[1]}/v1/status") as answer:
            self.assertEqual(json.load(answer)["bindings"], 400)
        assert second is not None
        self.assertIsNone(second.poll())
        self.assertIn("Draining: the next process takes over", self.log.read_text())
        self.assertNotIn("Traceback", self.log.read_text())
        self.assertNotIn("Nothing listens on", self.log.read_text())

    def test_streams(self) -> None:
        """Who connects between the two waits, and is served."""
        first = self.start()
        self.ready(1)
        first.send_signal(signal.SIGTERM)
        self.assertEqual(first.wait(), -signal.SIGTERM)
        with socket.create_connection(self.sip, timeout=20.0) as connection:
            connection.sendall(request("OPTIONS", "sip:example.test", transport="TCP", sent_by="127.0.0.1:9"))
            self.start()
            self.assertTrue(connection.recv(4096).startswith(b"SIP/2.0 200 "))
        self.assertNotIn(b"Traceback", self.log.read_bytes())
