"""Call forwarding out of a configuration."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.errors import ConfigError
from rvoip.proxy.interfaces import IForwarding
from rvoip.services.domains import Domains
from rvoip.services.forwarding import ConfiguredForwarding, ForwardTable


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
            ([ForwardTable(user="bob"), ForwardTable(user="bob@example.test")], "proxy.forward[1].user"),
            ([ForwardTable(user="bob", busy="a b")], "proxy.forward[0].busy"),
            ([ForwardTable(user="bob", always="sip:gateway")], "proxy.forward[0].always"),
        ):
            error = self.assertRaises(ConfigError, self.make, *tables)
            self.assertIn(key, str(error))
