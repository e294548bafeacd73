"""A configuration that cannot be used, and addresses and certificates that it names in vain."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from rvoip.test.hostile.server import free_port, run_role
from rvoip.test.hostile.starts import HOST, Case, StartCase, listening
from rvoip.testing.certificates import Authority

TLS = listening(f"tls:{HOST}:0", http="none")


def bad_listen(text: str, words: str) -> Case:
    return Case(words, f'[sip]\nlisten = ["{text}"]\n', early=True)


class ConfigTests(StartCase):
    def test_keys_and_values(self) -> None:
        """The nearest key is named, and what was expected of a value."""
        self.check(
            Case(f"rvoip.toml: {words}", config, role=role, early=True)
            for words, config, role in (
                (
                    "registrar.min_expire: unknown key; did you mean min_expires?",
                    "[registrar]\nmin_expire = 3\n",
                    "proxy",
                ),
                ("registrr: unknown key; did you mean registrar?", "[registrr]\n", "registrar"),
                (
                    "sip.limits.conections: unknown key; did you mean connections?",
                    "[sip.limits]\nconections = 3\n",
                    "registrar",
                ),
                ("sip.t1: expected float, got str", '[sip]\nt1 = "fast"\n', "proxy"),
                ("registrar.min_expires: ", "[registrar]\nmin_expires = 100000\n", "proxy"),
                ("auth.algorithms", '[auth]\nalgorithms = ["SHA1"]\n', "registrar"),
                ("guard.trusted[0]: ", '[guard]\ntrusted = ["everybody"]\n', "proxy"),
            )
        )

    def test_files(self) -> None:
        """No TOML, with the line; no file; a folder."""

        def folder(where: Path) -> None:
            (where / "rvoip.toml").mkdir()

        def octets(where: Path) -> None:
            (where / "rvoip.toml").write_bytes(b"[sip]\n# \xff\xfe\n")

        self.check(
            [
                Case("rvoip.toml: line 3, column 8: ", "[sip]\n\nlisten [", early=True),
                Case("rvoip.toml: line 2: is not UTF-8", None, octets, early=True),
                Case("rvoip.toml: cannot be read: No such file or directory", None, early=True),
                Case("rvoip.toml: cannot be read: Is a directory", None, folder, early=True),
            ]
        )

    def test_environment(self) -> None:
        """A variable is named as a file would be."""
        name = "RVOIP_REGISTRAR__MIN_EXPIRES"
        config = listening() + "[registrar]\n"
        end = run_role("proxy", self.folder(), config, env={**os.environ, name: "soon"})
        self.check_end(Case(name, config, early=True), end)

    def test_listening_addresses(self) -> None:
        self.check(
            [
                bad_listen("udp:127.0.0.1", "rvoip.toml: sip.listen[0]: 'udp:127.0.0.1' has no port"),
                bad_listen("udp:nohost:5060", "'nohost' is not an IP address"),
                bad_listen("udp:127.0.0.1:5_060", "the port must be a number from 0 to 65535"),
                bad_listen("sctp:127.0.0.1:5060", "it must be udp:, tcp: or tls:"),
                Case("udp:192.0.2.1:5060: this machine has no such address", listening("udp:192.0.2.1:5060")),
                Case("rvoip.toml: http.listen: ", listening(http="somewhere"), early=True),
                Case("it needs a token, an API key or a ca", listening(http="0.0.0.0:0")),
            ]
        )


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
                Case("rvoip.toml: tls.certificate: a tls: address needs a certificate", TLS, two, early=True),
                Case("none.pem: no such file or directory", tls("none.pem", "one.key"), two),
                Case("two.key: is not the key of", tls("one.pem", "two.key"), two),
                Case("text.pem: no PEM certificate", tls("text.pem", "one.key"), two),
                Case(
                    "none.pem: no such file or directory", tls("one.pem", "one.key", 'ca = "none.pem"\n'), two
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
