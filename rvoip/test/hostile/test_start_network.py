"""Addresses that somebody has, and certificates that are none: a role that names them does not start."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

from rvoip.test.hostile.server import free_port, run_role
from rvoip.test.hostile.starts import HOST, Case, StartCase, listening
from rvoip.test.hostile.wire import Datagrams, request
from rvoip.testing.certificates import Authority

TLS = listening(f"tls:{HOST}:0", http="none")


class InUseTests(StartCase):
    def test_ports(self) -> None:
        """Whoever has the port keeps it."""
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for taken in (datagrams, stream):
            taken.bind((HOST, 0))
            self.addCleanup(taken.close)
        stream.listen()
        udp, tcp = datagrams.getsockname()[1], stream.getsockname()[1]
        authority = Authority()

        def certificate(folder: Path) -> None:
            authority.issue("example.test").write(folder, "tls")

        tls = '[tls]\ncertificate = "tls.pem"\nprivate_key = "tls.key"\n'
        twice = free_port(HOST)
        self.check(
            [
                Case(f"udp:{HOST}:{udp}: the address is in use", listening(f"udp:{HOST}:{udp}")),
                Case(
                    f"tcp:{HOST}:{tcp}: the address is in use",
                    listening(f"tcp:{HOST}:{tcp}"),
                    role="registrar",
                ),
                Case(
                    f"tls:{HOST}:{tcp}: the address is in use",
                    listening(f"tls:{HOST}:{tcp}") + tls,
                    certificate,
                ),
                Case(f"{HOST}:{tcp}: the address is in use", listening(http=f"{HOST}:{tcp}")),
                Case("the address is in use", listening(f"udp:{HOST}:{twice}", f"udp:{HOST}:{twice}")),
            ]
        )

    def test_unix_sockets(self) -> None:
        """A socket that somebody listens on, and a file that is none, are left alone."""
        folder = self.folder()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(listener.close)
        path = folder / "live.sock"
        listener.bind(str(path))
        listener.listen()

        def file(where: Path) -> None:
            (where / "http.sock").write_bytes(b"somebody's file")

        self.check(
            [
                Case("live.sock: ", listening(http=f"unix:{path}")),
                Case("http.sock: the file is no socket", listening(), file),
            ]
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))


class DaemonTests(StartCase):
    def test_in_the_background(self) -> None:
        """Whoever called is told in one line, as the log is, and is not left waiting."""
        folder = self.folder()
        end = run_role("proxy", folder, listening("udp:192.0.2.1:5060"), daemon=True)
        said = "udp:192.0.2.1:5060: this machine has no such address"
        self.assertEqual((end.status, end.out, end.err), (1, "", f"{said}\n"))
        self.assertFalse((folder / "twistd.pid").exists())
        log = (folder / "twistd.log").read_text(encoding="utf-8")
        self.assertEqual(log.splitlines()[-1].partition("Not started: ")[2], said, log)
        self.assertNotIn("Traceback", log)

    def test_one_that_starts(self) -> None:
        """It answers, and its process is the one that the pid file names."""
        folder = self.folder()
        port = free_port(HOST)
        end = run_role("proxy", folder, listening(f"udp:{HOST}:{port}", http="none"), daemon=True)
        self.assertEqual((end.status, end.err), (0, ""))
        process = int((folder / "twistd.pid").read_text(encoding="ascii"))
        self.addCleanup(self.end, process)
        with Datagrams("127.0.71.200", (HOST, port)) as client:
            client.send(request("OPTIONS", "sip:example.test", sent_by=client.sent_by))
            self.assertIsNotNone(client.receive(5.0))
        os.kill(process, signal.SIGTERM)
        ends = time.monotonic() + 5.0
        while (folder / "twistd.pid").exists():
            self.assertLess(time.monotonic(), ends)
            time.sleep(0.02)

    def end(self, process: int) -> None:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            return


class CertificateTests(StartCase):
    def test_certificates(self) -> None:
        """Missing, of another key, no PEM: the file is named."""
        authority = Authority()

        def two(folder: Path) -> None:
            authority.issue("one.test").write(folder, "one")
            authority.issue("two.test").write(folder, "two")
            (folder / "text.pem").write_text("hello", encoding="utf-8")

        def tls(certificate: str, key: str, more: str = "") -> str:
            return f'{TLS}[tls]\ncertificate = "{certificate}"\nprivate_key = "{key}"\n{more}'

        named = '[[tls.name]]\nname = "{}"\ncertificate = "{}"\nprivate_key = "{}"\n'
        http = f'certificate = "{{}}"\nprivate_key = "{{}}"\n[sip]\nlisten = ["udp:{HOST}:0"]\n'
        http = f'[http]\nlisten = "{HOST}:0"\n{http}'
        self.check(
            [
                Case(
                    "rvoip.toml: tls.certificate: a tls: or wss: address needs a certificate",
                    TLS,
                    two,
                    early=True,
                ),
                Case("none.pem: cannot be read: No such file or directory", tls("none.pem", "one.key"), two),
                Case("two.key: is not the key of", tls("one.pem", "two.key"), two),
                Case("text.pem: no PEM certificate", tls("text.pem", "one.key"), two),
                Case(
                    "none.pem: cannot be read: No such file or directory",
                    tls("one.pem", "one.key", 'ca = "none.pem"\n'),
                    two,
                ),
                Case("verify_client needs ca", tls("one.pem", "one.key", "verify_client = true\n"), two),
                Case(
                    "two.key: is not the key of",
                    tls("one.pem", "one.key", named.format("x.test", "one.pem", "two.key")),
                    two,
                ),
                Case(
                    "is not a host name",
                    tls("one.pem", "one.key", named.format("", "one.pem", "one.key")),
                    two,
                ),
                Case("none.pem: cannot be read", http.format("none.pem", "one.key"), two),
                Case("two.key", http.format("one.pem", "two.key"), two),
            ]
        )
