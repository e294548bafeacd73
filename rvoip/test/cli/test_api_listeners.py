"""How the command reaches each kind of listener that a server has: Unix socket, TLS, mutual TLS."""

from __future__ import annotations

import argparse
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from rvoip.cli import api
from rvoip.cli.errors import CommandError
from rvoip.cli.selfsigned import write_certificate
from rvoip.common.http import API, Call
from rvoip.common.http_server import HTTPService
from rvoip.testing.certificates import Authority

HOST = "127.21.6.5"
reactor: Any = global_reactor


class ListenerTests(TestCase):
    """A real server in this process; the command's calls block, so they are made in a thread."""

    def setUp(self) -> None:
        # The path of a Unix socket has 107 bytes at most, and trial's folders may be deeper than that.
        self.folder = Path(mkdtemp())
        self.addCleanup(rmtree, self.folder)
        write_certificate(str(self.folder / "a.pem"), str(self.folder / "a.key"), ["sip.example.test"])

    def listen(self, listen: str, **files: str) -> str:
        """Start a server; returns where it listens, with the port that it got."""
        made = API("test", "1", reactor)

        @made.route("GET", "/v1/x", response=str)
        def get(call: Call) -> str:
            """Give something."""
            return "reached"

        paths: Any = {name: str(self.folder / file) for name, file in files.items()}
        service = HTTPService(reactor, listen, made, **paths)
        service.startService()
        self.addCleanup(service.stopService)
        address: Any = service.address
        return listen if listen.startswith("unix:") else f"{HOST}:{address.port}"

    async def ask(self, http: str = "", **given: str) -> str:
        """What the server says to a command that has a configuration with this `[http]`, or a URL."""
        if http:
            file = self.folder / "rvoip.toml"
            file.write_text(f"[http]\n{http}\n", encoding="utf-8")
            given["config"] = str(file)
        names = ("config", "url", "token", "ca", "certificate", "private_key")
        options = argparse.Namespace(role="proxy", **{name: given.get(name) for name in names})
        try:
            said = await deferToThread(lambda: api.connect(options).get("/v1/x"))
        except CommandError as error:
            return str(error)
        return str(said)

    async def test_a_unix_socket(self) -> None:
        self.listen(f"unix:{self.folder}/s")
        self.assertEqual(await self.ask('listen = "unix:s"'), "reached")
        self.assertEqual(await self.ask(url=f"unix:{self.folder}/s"), "reached")

    async def test_the_certificate_that_the_configuration_names_is_enough(self) -> None:
        listen = self.listen(f"{HOST}:0", certificate="a.pem", private_key="a.key")
        table = f'listen = "{listen}"\ncertificate = "a.pem"\nprivate_key = "a.key"'
        self.assertEqual(await self.ask(table), "reached")

    async def test_another_certificate_is_not(self) -> None:
        listen = self.listen(f"{HOST}:0", certificate="a.pem", private_key="a.key")
        write_certificate(str(self.folder / "b.pem"), str(self.folder / "b.key"), ["sip.example.test"])
        table = f'listen = "{listen}"\ncertificate = "b.pem"\nprivate_key = "b.key"'
        said = await self.ask(table)
        self.assertEqual(said, f"{listen} shows another certificate than {self.folder}/b.pem")

    async def test_a_url_is_trusted_by_an_authority_only(self) -> None:
        authority = Authority()
        authority.issue(HOST).write(self.folder, "server")
        authority.write(self.folder, "authority")
        listen = self.listen(f"{HOST}:0", certificate="server.pem", private_key="server.key")
        ca = str(self.folder / "authority.pem")
        self.assertEqual(await self.ask(url=f"https://{listen}", ca=ca), "reached")
        self.assertIn("unable to get local issuer", await self.ask(url=f"https://{listen}"))
        table = f'listen = "{listen}"\ncertificate = "server.pem"\nprivate_key = "server.key"'
        self.assertEqual(await self.ask(table, ca=ca), "reached")

    async def test_mutual_tls(self) -> None:
        authority = Authority()
        authority.issue(HOST).write(self.folder, "server")
        authority.issue("operator").write(self.folder, "operator")
        authority.write(self.folder, "authority")
        listen = self.listen(
            f"{HOST}:0", certificate="server.pem", private_key="server.key", ca="authority.pem"
        )
        files = 'certificate = "server.pem"\nprivate_key = "server.key"\nca = "authority.pem"'
        table = f'listen = "{listen}"\n{files}'
        own = {
            "certificate": str(self.folder / "operator.pem"),
            "private_key": str(self.folder / "operator.key"),
        }
        self.assertEqual(await self.ask(table, **own), "reached")
        reason = "the server asks for a certificate: use --certificate and --private-key"
        self.assertEqual(await self.ask(table), f"https://{listen}: TLS failed: {reason}")
