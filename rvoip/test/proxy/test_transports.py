"""Calls over TLS, WebSocket and IPv6."""

from __future__ import annotations

from pathlib import Path

from rvoip.protocols.transport.tls import TLSContexts, TLSSettings
from rvoip.test.proxy.scene import PROXY, Scene
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.testing.certificates import Authority
from rvoip.testing.phone import ring


class TLSTests(Base):
    """Phones connect and register, and are reached by their connections alone."""

    def secure_scene(self) -> tuple[Scene, Authority]:
        authority = Authority()
        folder = Path(self.mktemp())
        folder.mkdir()
        certificate, private_key = authority.issue("example.test", PROXY).write(folder)
        contexts = TLSContexts(TLSSettings(certificate=certificate, private_key=private_key))
        return self.scene(listen=("UDP", "TCP", "TLS", "WS", "WSS"), tls=contexts), authority

    def test_between_these_and_the_others(self) -> None:
        kinds = ("TLS", "WS", "WSS")
        for one, other in [(one, other) for one in kinds for other in ("UDP", "TCP", *kinds)]:
            for caller in ("alice", "bob"):
                scene, authority = self.secure_scene()
                tls = authority.client_options("example.test")
                phones = {
                    name: scene.phone(
                        name, transport=kind, **({"tls": tls, "port": 0} if kind in ("TLS", "WSS") else {})
                    )
                    for name, kind in (("alice", one), ("bob", other))
                }
                callee = "bob" if caller == "alice" else "alice"
                call = phones[caller].call(f"sip:{callee}@example.test")
                scene.result(call.established())
                incoming = scene.result(phones[callee].incoming())
                self.assertEqual(scene.result(call.reinvite(phones[caller].sdp())).status, 200)
                self.assertEqual(scene.result(incoming.request("INFO")).status, 200)
                self.assertEqual(scene.result(incoming.bye()).status, 200)
                self.assertEqual(scene.problems(), [])
                self.assertEqual(len({one.peer[0] for one in phones[caller].messages}), 1)

    def test_a_phone_whose_connection_is_gone(self) -> None:
        for transport in ("TLS", "WS", "WSS"):
            scene, authority = self.secure_scene()
            alice = scene.phone("alice")
            tls = authority.client_options("example.test")
            bob = scene.phone("bob", transport=transport, tls=tls, port=0)
            bob.wire.drop_connections()
            scene.advance(0.1)
            call = alice.call(BOB)
            self.assertEnds(scene, call, "480 Temporarily Unavailable", within=8)

    def test_a_call_that_rings_when_the_connection_breaks(self) -> None:
        scene, authority = self.secure_scene()
        alice = scene.phone("alice")
        bob = scene.phone(
            "bob", transport="TLS", tls=authority.client_options("example.test"), port=0, script=ring
        )
        call = alice.call(BOB)
        scene.result(call.ringing())
        bob.wire.drop_connections()
        self.assertEnds(scene, call, "480 Temporarily Unavailable", within=8)


class IPv6Tests(Base):
    def test_a_call(self) -> None:
        for transport in ("UDP", "TCP"):
            scene = self.scene(address="2001:db8::1")
            alice = scene.phone("alice", address="2001:db8::a", transport=transport)
            bob = scene.phone("bob", address="2001:db8::b", transport=transport)
            call = alice.call(BOB)
            scene.result(call.established())
            incoming = scene.result(bob.incoming())
            self.assertEqual(scene.result(incoming.reinvite(bob.sdp())).status, 200)
            self.assertEqual(scene.result(call.bye()).status, 200)
            self.assertEqual(
                {one.peer for one in bob.messages if transport == "UDP"} - {("2001:db8::1", 5060)}, set()
            )
            self.assertClean(scene)
