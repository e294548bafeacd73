"""`rvoip demo`: what it makes and says, and the server that it becomes, with two phones."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography import x509
from twisted.internet import reactor as global_reactor
from twisted.trial.unittest import TestCase

import rvoip
from rvoip.cli import demo
from rvoip.test.cli.running import Ran, run
from rvoip.test.processes import Python
from rvoip.testing.phone import Phone
from rvoip.users.passwords import ha1_set
from rvoip.users.store import UserStore

ROOT = Path(rvoip.__file__).parent.parent
reactor: Any = global_reactor


def own_host(number: int) -> str:
    """An address of this process: the ports of a demo are fixed, and test processes run side by side."""
    return f"127.{100 + number}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"


class PrepareTests(TestCase):
    """Everything before the server starts."""

    host = own_host(1)

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.became: list[list[str]] = []
        addresses = f'["udp:{self.host}:5060", "tcp:{self.host}:5060", "tls:{self.host}:5061"]'
        environment = {"RVOIP_SIP__LISTEN": addresses, "RVOIP_HTTP__LISTEN": f"{self.host}:8080"}
        patcher = mock.patch.dict(os.environ, environment)
        patcher.start()
        self.addCleanup(patcher.stop)
        self.patch(demo, "_become", self._become)

    def _become(self, command: list[str]) -> None:
        self.became.append(command)
        raise SystemExit(0)

    def demo(self) -> Ran:
        return run("demo", "--directory", str(self.folder))

    def test_first_start(self) -> None:
        ran = self.demo()
        self.assertEqual((ran.status, ran.err), (0, ""))
        accounts = dict(re.findall(r"^account (\S+) password (\S+)$", ran.out, re.MULTILINE))
        self.assertEqual(set(accounts), {"alice@localhost", "bob@localhost"})
        self.assertNotEqual(accounts["alice@localhost"], accounts["bob@localhost"])
        with UserStore(f"sqlite:{self.folder / 'users.db'}") as store:
            for aor, password in accounts.items():
                user = aor.partition("@")[0]
                self.assertGreaterEqual(len(password), 16)
                found = store.find_credentials([(user, "localhost")])
                self.assertEqual(found[user, "localhost"], ha1_set(user, "localhost", password))
        for aor, password in accounts.items():
            user = aor.partition("@")[0]
            for transport in ("udp", "tcp", "tls"):
                self.assertIn(
                    f"<sip:{user}@{self.host};transport={transport}>;auth_user={user};auth_pass={password}\n",
                    ran.out,
                )
        self.assertIn(
            f"listening on udp:{self.host}:5060, tcp:{self.host}:5060, tls:{self.host}:5061\n", ran.out
        )
        self.assertIn(f"http://{self.host}:8080", ran.out)
        (command,) = self.became
        file = str(self.folder / "rvoip.toml")
        self.assertEqual(command[0], sys.executable)
        self.assertEqual(command[-5:], ["-n", "--pidfile=", "rvoip-proxy", "--config", file])

    def test_the_folder_is_for_its_owner_alone(self) -> None:
        self.demo()
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.folder / "private_key.pem").stat().st_mode & 0o777, 0o600)
        self.assertEqual(
            {"rvoip.toml", "certificate.pem", "private_key.pem", "users.db"},
            {path.name for path in self.folder.iterdir() if not path.name.startswith("users.db-")},
        )

    def test_the_certificate_is_for_what_phones_call_the_server(self) -> None:
        self.demo()
        certificate = x509.load_pem_x509_certificate((self.folder / "certificate.pem").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])
        addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        self.assertEqual(addresses, ["127.0.0.1", self.host])

    def test_the_configuration_that_it_writes_is_right(self) -> None:
        self.demo()
        self.assertEqual(run("check", str(self.folder / "rvoip.toml")).err, "")

    def test_second_start(self) -> None:
        self.demo()
        before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        ran = self.demo()
        self.assertEqual((ran.status, ran.err), (0, ""))
        self.assertNotIn("password ", ran.out.replace("forgotten password ", ""))
        self.assertIn("2 accounts, as they were left", ran.out)
        self.assertIn("user passwd alice@localhost --password-stdin", ran.out)
        for name in ("rvoip.toml", "certificate.pem", "private_key.pem"):
            self.assertEqual((self.folder / name).read_bytes(), before[name])

    def test_what_the_operator_changed_stays(self) -> None:
        self.folder.mkdir()
        (self.folder / "rvoip.toml").write_text('[sip]\ndomains = ["office.test"]\n', encoding="utf-8")
        ran = run("demo", "--directory", str(self.folder))
        self.assertEqual(ran.status, 1)
        self.assertIn("tls.certificate", ran.err)
        with mock.patch.dict(os.environ, {"RVOIP_SIP__LISTEN": f'["udp:{self.host}:5070"]'}):
            ran = self.demo()
        self.assertEqual((ran.status, ran.err), (0, ""))
        self.assertIn("account alice@office.test password ", ran.out)
        self.assertIn(f"<sip:alice@{self.host}:5070;transport=udp>;", ran.out)
        self.assertNotIn("must trust", ran.out)
        self.assertFalse((self.folder / "certificate.pem").exists())

    def test_a_port_in_use_is_one_line_and_makes_no_account(self) -> None:
        for kind, port, name in [
            (socket.SOCK_DGRAM, 5060, f"udp:{self.host}:5060"),
            (socket.SOCK_STREAM, 5061, f"tls:{self.host}:5061"),
            (socket.SOCK_STREAM, 8080, f"http:{self.host}:8080"),
        ]:
            with socket.socket(socket.AF_INET, kind) as taken:
                taken.bind((self.host, port))
                if kind == socket.SOCK_STREAM:
                    taken.listen()
                ran = self.demo()
            file = self.folder / "rvoip.toml"
            reason = f"the address is in use; stop what has it, or change {file}"
            self.assertEqual(ran, (1, "", f"cannot listen on {name}: {reason}\n"))
        self.assertFalse((self.folder / "users.db").exists())
        self.assertEqual(self.became, [])
        self.assertIn("account alice@localhost password ", self.demo().out)

    def test_a_folder_that_cannot_be_made(self) -> None:
        self.folder.write_text("a file", encoding="utf-8")
        ran = self.demo()
        self.assertEqual((ran.status, ran.out), (1, ""))
        self.assertEqual(ran.err.count("\n"), 1)
        self.assertIn(str(self.folder), ran.err)


class ServerTests(TestCase):
    """The whole of it: a process, two phones, and the command that asks it."""

    host = own_host(2)
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.environment = {
            "RVOIP_SIP__LISTEN": f'["udp:{self.host}:5060", "tcp:{self.host}:5060", "tls:{self.host}:5061"]',
            "RVOIP_HTTP__LISTEN": f"{self.host}:8080",
            "PYTHONPATH": str(ROOT),
        }

    def rvoip(self, *arguments: str) -> Python:
        """`rvoip ARGUMENTS` as a process."""
        return Python(reactor, ["-m", "rvoip.cli.main", *arguments], ROOT, self.environment)

    async def asked(self, *arguments: str) -> str:
        """What `rvoip ARGUMENTS --config FILE` says of the server that runs."""
        asking = self.rvoip(*arguments, "--config", str(self.folder / "rvoip.toml"))
        self.assertEqual(await asking.ended, 0, asking.text)
        return asking.text

    async def test_two_phones(self) -> None:
        server = self.rvoip("demo", "--directory", str(self.folder))
        try:
            await server.said(f"rvoip-proxy listens on tls:{self.host}:5061")
            passwords = dict(
                re.findall(r"^account (\w+)@localhost password (\S+)$", server.text, re.MULTILINE)
            )
            alice = self.phone("alice", "UDP", passwords["alice"])
            bob = self.phone("bob", "TCP", passwords["bob"])
            for phone in (alice, bob):
                self.assertEqual((await phone.register()).status, 200)
            await server.said("registration created: bob@localhost at ")
            call = alice.call("sip:bob@localhost")
            await call.established()
            await call.bye()
            await server.said("call hung up by")
            self.assertEqual(alice.problems + bob.problems, [])
            await self.ask(call.call_id, alice.contact)
        finally:
            status = await server.stop()
        self.assertIsNone(status, server.text)  # a signal, after the drain

    async def ask(self, call_id: str, contact: str) -> None:
        listed = await self.asked("binding", "list")
        aors = [line.split()[0] for line in listed.splitlines()[1:]]
        self.assertEqual(aors, ["alice@localhost", "bob@localhost"])
        self.assertIn(f"  {contact}  ", listed)
        ladder = await self.asked("ladder", "--last", "--width", "120")
        self.assertTrue(ladder.startswith(f"{call_id}\n"))
        for words in ("INVITE", "200 OK", "ACK", "BYE"):
            self.assertIn(words, ladder)
        self.assertIn(call_id, await self.asked("ladder"))
        status = await self.asked("status")
        self.assertIn("health        ready\n", status)
        self.assertIn("bindings      2 of 2 addresses-of-record\n", status)
        self.assertIn(f"tls:{self.host}:5061", status)
        removed = await self.asked("binding", "remove", "alice@localhost", contact)
        self.assertEqual(removed, f"removed {contact} of alice@localhost\n")
        self.assertNotIn("alice@", await self.asked("binding", "list"))
        await self.asked("user", "remove", "bob@localhost")
        self.assertNotIn("bob@", await self.asked("user", "list"))

    def phone(self, user: str, transport: str, password: str) -> Phone:
        phone = Phone(
            reactor,
            f"{user}@localhost",
            host=self.host,
            transport=transport,
            server=(self.host, 5060),
            password=password,
        ).open()
        self.addCleanup(phone.close)
        return phone
