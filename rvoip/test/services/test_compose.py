"""Classes of the operator's that take the place of ours."""

from __future__ import annotations

from rvoip.common.errors import ConfigError
from rvoip.proxy.proxy import Proxy
from rvoip.registrar.binding import Binding
from rvoip.registrar.registrar import Registrar
from rvoip.test.services.roles import RoleCase

HERE = __name__


class OurRegistrar(Registrar):
    """Takes nobody for long."""


class OurProxy(Proxy):
    """Like the other one."""


class ClassTests(RoleCase):
    def test_of_a_registrar(self) -> None:
        for table in ("service", "registrar"):
            role = self.make(f'[{table}]\nclass = "{HERE}.OurRegistrar"\n', "registrar")
            assert role.registration is not None
            self.assertIsInstance(role.registration.registrar, OurRegistrar)

    def test_of_both_in_one_process(self) -> None:
        """`[service] class` is the proxy's there."""
        role = self.make(
            f'[service]\nclass = "{HERE}.OurProxy"\n[registrar]\nclass = "{HERE}.OurRegistrar"\n'
        )
        assert role.registration is not None
        self.assertIsInstance(role.registration.registrar, OurRegistrar)
        self.assertIsInstance(role.proxy, OurProxy)
        role = self.make(f'[service]\nclass = "{HERE}.OurProxy"\n[registrar]\n')
        assert role.registration is not None
        self.assertIs(type(role.registration.registrar), Registrar)

    def test_of_another_kind(self) -> None:
        for text, key in (
            (f'[registrar]\nclass = "{HERE}.OurProxy"\n', "registrar.class"),
            ('[registrar]\nclass = "nowhere.Class"\n', "registrar.class"),
            (f'[service]\nclass = "{HERE}.OurRegistrar"\n', "service.class"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(text)
            self.assertEqual(caught.exception.key, key)


class PathTests(RoleCase):
    """`[registrar] strict_path`."""

    def register(self, text: str) -> tuple[int, tuple[Binding, ...]]:
        role = self.run_role(f"[registrar]\nauthenticate = false\n{text}")
        phone = self.phone("bob@example.test", "127.0.64.21")
        answer = self.reactor.result_of(phone.register(headers=(("Path", "<sip:edge.example.test;lr>"),)))
        return answer.status, role.location.store.lookup("bob@example.test", self.reactor.seconds())

    def test_a_phone_that_does_not_say(self) -> None:
        """Behind an edge proxy it registers, and is reached through that."""
        status, bindings = self.register("")
        self.assertEqual(status, 200)
        self.assertEqual([one.path for one in bindings], [("<sip:edge.example.test;lr>",)])

    def test_strict(self) -> None:
        status, bindings = self.register("strict_path = true\n")
        self.assertEqual((status, bindings), (420, ()))


class AbsentUserTests(RoleCase):
    def test_where_anybody_may_register(self) -> None:
        """Who has an account is there, without a phone; who has none is not."""
        role = self.run_role("[registrar]\nauthenticate = false\n")
        self.add_account(role, "carol@example.test")
        alice = self.phone("alice@example.test", "127.0.64.21")
        self.reactor.result_of(alice.register())
        stranger = self.phone("alice@example.test", "127.0.64.22")
        for phone, statuses in ((alice, (480, 404)), (stranger, (480, 480))):
            for user, status in zip(("carol", "nobody"), statuses, strict=True):
                call = phone.call(f"sip:{user}@example.test")
                self.reactor.advance(1)
                self.assertEqual([one.status for one in call.responses if one.status > 100], [status], user)
