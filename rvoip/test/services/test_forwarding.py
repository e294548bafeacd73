"""Call forwarding out of a configuration."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.proxy.interfaces import IForwarding
from rvoip.services.domains import Domains
from rvoip.services.forwarding import ConfiguredForwarding, ForwardTable
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import ring


class ForwardingTests(SynchronousTestCase):
    """What the tables say, and what is wrong in them."""

    def make(self, *tables: ForwardTable) -> ConfiguredForwarding:
        domains = Domains(["example.test", "b.test"], [("127.0.0.1", 5060)])
        return ConfiguredForwarding(tables, domains, "f.toml")

    def test_uris(self) -> None:
        """Names and numbers are of the user's domain."""
        made = self.make(
            ForwardTable(user="bob@b.test", always="alice", busy="+49 30".replace(" ", ""), after=5),
            ForwardTable(user="sip:carol@127.0.0.1", no_answer="x@elsewhere.test", unreachable="sips:y@z"),
        )
        self.assertTrue(verifyObject(IForwarding, made))
        bob, carol = made.of("bob@b.test"), made.of("carol@example.test")
        assert bob is not None and carol is not None
        self.assertEqual([str(bob.always), str(bob.busy)], ["sip:alice@b.test", "sip:+4930@b.test"])
        self.assertEqual([str(carol.no_answer), str(carol.unreachable)], ["sip:x@elsewhere.test", "sips:y@z"])
        self.assertEqual((bob.no_answer, bob.after, carol.after, len(made)), (None, 5, 20, 2))
        self.assertIsNone(made.of("bob@example.test"))

    def test_mistakes(self) -> None:
        """One line each, with the key."""
        for tables, key in (
            ([ForwardTable(user="bob@foreign.test")], "proxy.forward[0].user"),
            ([ForwardTable(user="sip:example.test")], "proxy.forward[0].user"),
            (
                [ForwardTable(user="bob", busy="a"), ForwardTable(user="bob@example.test")],
                "proxy.forward[1].user",
            ),
            ([ForwardTable(user="bob", busy="a b")], "proxy.forward[0].busy"),
            ([ForwardTable(user="bob")], "proxy.forward[0]: forwards nothing"),
            ([ForwardTable(user="bob", always="sip:gateway")], "proxy.forward[0].always"),
        ):
            error = self.assertRaises(ConfigError, self.make, *tables)
            self.assertIn(key, str(error))


class RunningTests(RoleCase):
    """In a role that runs."""

    def test_it_follows_the_configuration(self) -> None:
        """Before, after and without it; a mistake changes nothing."""
        role = self.run_role("[proxy]\nlate_fork = true\n[registrar]\nauthenticate = false\n")
        proxy = role.proxy
        assert proxy is not None
        self.assertIsNone(proxy.forwarding)
        caller = self.phone("alice@example.test", "127.0.64.21")
        callee = self.phone("carol@example.test", "127.0.64.22")
        for phone in (caller, callee):
            self.reactor.result_of(phone.register())
        path = self.folder / "role.toml"
        before = path.read_text(encoding="utf-8")
        forward = '[[proxy.forward]]\nuser = "bob"\nalways = "carol"\n'
        path.write_text(before + forward, encoding="utf-8")
        role.reload()
        call = caller.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        self.reactor.result_of(call.bye())
        (invite,) = callee.received("INVITE")
        self.assertTrue(
            str(invite.get("diversion")).startswith("<sip:bob@example.test>;reason=unconditional")
        )
        path.write_text(before + forward + forward, encoding="utf-8")
        role.reload()
        self.assertIsNotNone(proxy.forwarding)
        path.write_text(before, encoding="utf-8")
        role.reload()
        self.assertIsNone(proxy.forwarding)

    def test_a_phone_that_registers_while_it_is_called(self) -> None:
        """By a REGISTER that the registrar of the role takes."""
        role = self.run_role("[registrar]\nauthenticate = false\n")
        caller = self.phone("alice@example.test", "127.0.64.21")
        desk = self.phone("bob@example.test", "127.0.64.22", script=ring)
        for phone in (caller, desk):
            self.reactor.result_of(phone.register())
        call = caller.call("sip:bob@example.test")
        self.reactor.result_of(call.ringing())
        mobile = self.phone("bob@example.test", "127.0.64.23")
        self.reactor.result_of(mobile.register())
        self.reactor.result_of(call.established())
        self.assertEqual(len(mobile.received("INVITE")), 1)
        self.reactor.result_of(call.bye())
        assert role.proxy is not None
        self.assertEqual(len(role.proxy.ringing), 0)
