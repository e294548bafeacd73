from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from rvoip.proxy.peers import Peer, Peers


@attrs.define
class From:
    host: str
    transport: str = "UDP"

    @property
    def remote(self) -> tuple[str, int]:
        return self.host, 5060


def peer(name: str, *networks: str, **rights: Any) -> Peer:
    return Peer(name, [ip_network(one) for one in networks], **rights)


class PeersTests(TestCase):
    def test_the_narrowest_network_decides(self) -> None:
        peers = Peers(
            [
                peer("all", "10.0.0.0/8", call_out=True),
                peer("one", "10.1.2.3", refuse=True, call_out=True, identity=True),
                peer("six", "2001:db8::/32", identity=True),
            ]
        )
        for host, expected in (
            ("10.9.9.9", ("all", True, False, False)),
            ("10.1.2.3", ("one", False, False, True)),
            ("::ffff:10.9.9.9", ("all", True, False, False)),
            ("2001:db8::1", ("six", False, True, False)),
            ("192.0.2.1", ("", False, False, False)),
            ("fe80::1%eth0", ("", False, False, False)),
        ):
            flow: Any = From(host)
            for _ in range(2):
                found = (
                    peers.name_of(flow),
                    peers.may_call_out(flow),
                    peers.asserts_identity(flow),
                    peers.refuses(flow),
                )
                self.assertEqual(found, expected, host)

    def test_transports(self) -> None:
        peers = Peers([peer("trunk", "10.0.0.1", call_out=True, transports=["tls"])])
        self.assertTrue(peers.may_call_out(From("10.0.0.1", "TLS")))  # type: ignore[arg-type]
        self.assertFalse(peers.may_call_out(From("10.0.0.1", "UDP")))  # type: ignore[arg-type]

    def test_replaced(self) -> None:
        peers = Peers([peer("a", "10.0.0.1", call_out=True)])
        flow: Any = From("10.0.0.1")
        self.assertTrue(peers.may_call_out(flow))
        peers.replace([])
        self.assertFalse(peers.may_call_out(flow))
        self.assertEqual(peers.name_of(flow), "")
