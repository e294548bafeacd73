"""The listings of docs/howto/write-your-own-registrar.md, imported and run."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.trial.unittest import SkipTest, TestCase

import rvoip
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.message import Request, Response
from rvoip.registrar.binding import Binding, Change
from rvoip.registrar.settings import RegistrarSettings
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.test.cli.running import run
from rvoip.test.processes import Twistd
from rvoip.testing.phone import Phone
from rvoip.users.accounts import Account
from rvoip.users.store import UserStore

ROOT = Path(rvoip.__file__).parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "school_registrar"
reactor: Any = global_reactor


class SchoolTestCase(TestCase):
    """The example's folder on the path, as PYTHONPATH puts it there."""

    def setUp(self) -> None:
        if not EXAMPLE.exists():
            raise SkipTest("docs/ is in a checkout only")
        self.patch(sys, "path", [str(EXAMPLE), *sys.path])
        self.addCleanup(sys.modules.pop, "school", None)


class RuleTests(SchoolTestCase):
    """The subclass, with a store in memory."""

    def setUp(self) -> None:
        super().setUp()
        school: ModuleType = importlib.import_module("school")
        self.registrar = school.SchoolRegistrar(RegistrarSettings(), lambda: "tag")
        self.store = MemoryStore()
        self.store.open(0.0, 0.0)
        self.cseq = 0

    def register(self, aor: str, host: str, expires: int = 3600, agent: str = "phone") -> Response:
        self.cseq += 1
        made: Request = request(
            "REGISTER",
            "sip:school.test",
            from_=f"<sip:{aor}>;tag=1",
            to=f"<sip:{aor}>",
            call_id=f"call-of-{host}",
            cseq=self.cseq,
            contact=f"<sip:x@{host}>",
            headers=[("Expires", str(expires)), ("User-Agent", agent)],
        )
        decision = self.registrar.decide(made, aor, self.bindings(aor), 1.0, 1.0)
        if isinstance(decision, Response):
            return decision
        assert isinstance(decision, Change)
        response: Response = self.registrar.answer(made, self.store.apply(decision), 1.0, 1.0)
        return response

    def bindings(self, aor: str) -> tuple[Binding, ...]:
        return self.store.lookup(aor, 1.0)

    def contacts(self, aor: str) -> list[str]:
        return [binding.contact for binding in self.bindings(aor)]

    def test_a_classroom_has_the_phone_that_registered_last(self) -> None:
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.2"):
            self.assertEqual(self.register("room-12@school.test", host).status, 200)
            self.assertEqual(self.contacts("room-12@school.test"), [f"sip:x@{host}"])

    def test_a_phone_that_leaves_a_classroom_leaves_it_empty(self) -> None:
        self.register("room-12@school.test", "192.0.2.1")
        self.assertEqual(self.register("room-12@school.test", "192.0.2.1", expires=0).status, 200)
        self.assertEqual(self.contacts("room-12@school.test"), [])

    def test_others_have_as_many_as_they_want(self) -> None:
        for host in ("192.0.2.1", "192.0.2.2"):
            self.register("teacher@school.test", host)
        self.assertEqual(len(self.contacts("teacher@school.test")), 2)

    def test_a_pupil_has_a_lesson(self) -> None:
        for aor, requested, granted in [
            ("pupil-7@school.test", 3600, 2700),
            ("pupil-8@school.test", 600, 600),
            ("teacher@school.test", 3600, 3600),
        ]:
            self.register(aor, "192.0.2.1", requested)
            self.assertEqual([binding.granted for binding in self.bindings(aor)], [granted])

    def test_fax_machines_stay_out(self) -> None:
        answer = self.register("office@school.test", "192.0.2.1", agent="SuperFAX 3000")
        self.assertEqual((answer.status, answer.reason), (403, "No Fax Machines"))
        self.assertEqual(self.contacts("office@school.test"), [])


class RoleTests(SchoolTestCase):
    """Both ways to run it, as processes."""

    timeout = 60

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
        with UserStore(f"sqlite:{self.folder / 'users.db'}") as store:
            store.add(Account.of("room-12@school.test"), "chalk")

    def test_the_configuration_is_right(self) -> None:
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        self.assertEqual(run("check", "registrar.toml", "--role", "registrar").err, "")

    async def test_named_in_the_configuration(self) -> None:
        text = await self.served("127.21.7.1", "rvoip-registrar")
        self.assertNotIn("no phone any more", text)

    async def test_as_a_command_of_its_own(self) -> None:
        text = await self.served(
            "127.21.7.2", "school-registrar", "room-12@school.test has no phone any more"
        )
        self.assertEqual(text.count("no phone any more"), 1)

    async def served(self, host: str, command: str, awaited: str = "") -> str:
        """Let two phones register in turn, and the second leave; returns what the server logged."""
        environment = {
            "RVOIP_SIP__LISTEN": f'["udp:{host}:5060"]',
            "RVOIP_HTTP__LISTEN": "none",
            "PYTHONPATH": os.pathsep.join((str(self.folder), str(ROOT))),
        }
        server = Twistd(reactor, [command, "--config", "registrar.toml"], self.folder, environment)
        try:
            await server.said(f"listens on udp:{host}:5060")
            for seed in range(2):
                phone = Phone(
                    reactor,
                    "room-12@school.test",
                    host=host,
                    server=(host, 5060),
                    password="chalk",
                    seed=seed,
                ).open()
                self.addCleanup(phone.close)
                answer = await phone.register()
                self.assertEqual((answer.status, len(answer.contacts)), (200, 1))
                self.assertEqual(str(answer.contacts[0].uri), phone.contact)
            self.assertEqual((await phone.unregister()).status, 200)
            await server.said(awaited)
        finally:
            await server.stop()
        return server.text
