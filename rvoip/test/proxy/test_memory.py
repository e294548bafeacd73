"""What is over takes no memory, without waiting for the collector of cycles."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

from rvoip.protocols.dialog.transactions import TransactionLimits
from rvoip.test.proxy.scene import Peer, Scene
from rvoip.test.proxy.test_calls import Base

KINDS = ("Branch", "ClientTransaction", "ResponseContext", "ServerTransaction", "Fork", "InviteServer")


def alive() -> Counter[str]:
    """Objects of requests under way."""
    names = (type(one).__name__ for one in gc.get_objects())
    return Counter(name for name in names if name in KINDS)


class MemoryTests(Base):
    """Each way in which a request ends."""

    def check(self, play: Callable[[Scene, Peer, Peer], None]) -> None:
        scene = self.scene(limits=TransactionLimits())
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        gc.collect()
        self.addCleanup(gc.enable)
        gc.disable()
        before = alive()
        play(scene, alice, bob)
        during = alive()
        self.assertGreater(during["ResponseContext"], before["ResponseContext"], "the request came through")
        alice.take()
        bob.take()
        scene.advance(400)
        self.assertEqual(alive(), before)

    def test_nobody_answers(self) -> None:
        self.check(lambda scene, alice, bob: alice.send(alice.request()))

    def test_busy(self) -> None:
        def play(scene: Scene, alice: Peer, bob: Peer) -> None:
            alice.send(alice.request())
            bob.send(bob.answer(bob.one(), 486))

        self.check(play)

    def test_a_call(self) -> None:
        def play(scene: Scene, alice: Peer, bob: Peer) -> None:
            alice.send(alice.request())
            invite = bob.one()
            bob.send(bob.answer(invite, 180))
            bob.send(bob.answer(invite, 200, contact=f"sip:bob@{bob.address}"))

        self.check(play)

    def test_given_up(self) -> None:
        def play(scene: Scene, alice: Peer, bob: Peer) -> None:
            alice.send(alice.request(branch="z9hG4bKsame"))
            invite = bob.one()
            bob.send(bob.answer(invite, 180))
            alice.send(alice.request("CANCEL", branch="z9hG4bKsame"))
            bob.send(bob.answer(invite, 487))

        self.check(play)

    def test_two_phones_and_one_answers(self) -> None:
        def play(scene: Scene, alice: Peer, bob: Peer) -> None:
            other = scene.peer("other")
            scene.places.bind("bob", f"sip:bob@{bob.address}", f"sip:bob@{other.address}")
            alice.send(alice.request())
            bob.send(bob.answer(bob.one(), 180))
            other.send(other.answer(other.one(), 200, contact=f"sip:bob@{other.address}"))

        self.check(play)

    def test_a_message(self) -> None:
        def play(scene: Scene, alice: Peer, bob: Peer) -> None:
            alice.send(alice.request("MESSAGE"))

        self.check(play)
