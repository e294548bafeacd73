"""A configuration that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

from rvoip.test.hostile.server import run_role
from rvoip.test.hostile.starts import Case, StartCase, listening


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
                bad_listen("sctp:127.0.0.1:5060", "it must be udp:, tcp:, tls:, ws: or wss:"),
                Case("udp:192.0.2.1:5060: this machine has no such address", listening("udp:192.0.2.1:5060")),
                Case("rvoip.toml: http.listen: ", listening(http="somewhere"), early=True),
                Case("it needs a token, an API key or a ca", listening(http="0.0.0.0:0")),
            ]
        )
