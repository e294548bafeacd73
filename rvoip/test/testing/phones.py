"""Two test phones that call each other without a server between them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.testing.certificates import Authority
from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.phone import Phone

__all__ = ["Pair"]


class Pair(SynchronousTestCase):
    """Two phones that call each other without a server between them."""

    def build(self, transport: str = "UDP", *, six: bool = False, seed: int = 1, **knobs: Any) -> None:
        self.network = SimulatedNetwork(seed=seed, **knobs)
        options: dict[str, Any] = {}
        if transport == "TLS":
            authority = Authority()
            options["tls"] = authority.client_options("example.test")
            options["tls_server"] = authority.issue("example.test").server_options()
        hosts = ("2001:db8::1", "2001:db8::2") if six else ("10.0.0.1", "10.0.0.2")
        self.alice, self.bob = (
            Phone(
                self.network.host(name, host),
                f"{name}@example.test",
                host=host,
                port=5060,
                transport=transport,
                **options,
            ).open()
            for name, host in zip(("alice", "bob"), hosts, strict=True)
        )

    def finish(self) -> None:
        """No phone saw anything wrong, and nothing is left over."""
        for phone in (self.alice, self.bob):
            self.assertEqual(phone.problems, [], phone.ladder())
        self.network.advance(64)
        self.assertEqual(self.network.pending(), [])
        for phone in (self.alice, self.bob):
            self.assertEqual((phone.client_transactions, phone.server_transactions), ({}, {}))
        self.network.result_of(self.alice.close())
        self.network.result_of(self.bob.close())
        self.assertEqual((self.network.hosts["alice"].ports, self.network.hosts["bob"].ports), ([], []))
