"""Requests that come back (RFC 5393): told as loops, in little time, however they fork."""

from __future__ import annotations

from rvoip.proxy.proxy import ProxySettings
from rvoip.test.proxy.scene import PROXY
from rvoip.test.proxy.test_calls import Base


class LoopTests(Base):
    def check(self, bindings: dict[str, list[str]], status: int, most: int, method: str = "INVITE") -> None:
        """One message at Max-Forwards 70: this answer, at most so many requests sent, under 100 ms."""
        scene = self.scene()
        alice = scene.peer("alice")
        for user, contacts in bindings.items():
            scene.places.bind(user, *contacts)
        text = alice.request(method, "sip:a@example.test")
        scene.network.split = False
        alice.send(text)
        answers = [one for one in alice.take() if one.status >= 200]
        self.assertEqual([one.status for one in answers], [status])
        self.assertLessEqual(scene.proxy.forwarded, most)
        scene.advance(60)
        self.assertEqual(scene.leftovers(), [])

    def test_a_user_bound_to_itself(self) -> None:
        self.check({"a": [f"sip:a@{PROXY}"]}, 482, 2)

    def test_two_users_bound_to_each_other(self) -> None:
        for method in ("INVITE", "MESSAGE"):
            self.check({"a": [f"sip:b@{PROXY}"], "b": [f"sip:a@{PROXY}"]}, 482, 3, method)

    def test_two_users_each_bound_to_both(self) -> None:
        """RFC 5393 section 3: without loop detection 2**70 messages."""
        both = [f"sip:a@{PROXY}", f"sip:b@{PROXY}"]
        for method in ("INVITE", "MESSAGE"):
            self.check({"a": both, "b": both}, 482, 10, method)

    def test_three_users_each_bound_to_all(self) -> None:
        every = [f"sip:{user}@{PROXY}" for user in "abc"]
        self.check(dict.fromkeys("abc", every), 482, 60)

    def test_contacts_that_differ_in_a_parameter_only(self) -> None:
        contacts = [f"sip:{user}@{PROXY};x={number}" for user in "ab" for number in range(3)]
        self.check(dict.fromkeys("ab", contacts), 482, 60 * 6)

    def test_the_user_beside_the_loop_is_reached(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.phone("carol")
        scene.places.bind("a", f"sip:b@{PROXY}", "sip:carol@10.0.1.2:5060")
        scene.places.bind("b", f"sip:a@{PROXY}")
        call = alice.call("sip:a@example.test")
        scene.result(call.established())
        scene.result(call.bye())
        self.assertClean(scene)

    def test_a_spiral_is_none(self) -> None:
        """The same user twice on the way, but for another Request-URI each time."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("a", f"sip:b@{PROXY}")
        scene.places.bind("b", f"sip:c@{PROXY}")
        scene.places.bind("c", f"sip:c@{bob.address}")
        alice.send(alice.request(uri="sip:a@example.test"))
        invite = bob.one()
        self.assertEqual((invite.get("max-forwards"), len(invite.vias)), ("67", 4))

    def test_two_proxies_that_point_at_each_other(self) -> None:
        """The other one does not look at what it passes: ours finds the loop when it comes back."""
        scene = self.scene()
        alice, other = scene.peer("alice"), scene.peer("other")
        scene.places.bind("a", f"sip:a@{other.address}")
        alice.send(alice.request(uri="sip:a@example.test"))
        invite = other.one()
        invite.insert("via", f"SIP/2.0/UDP {other.address}:5060;branch=z9hG4bKother")
        invite.set_uri("sip:a@example.test")
        other.send(invite.to_bytes())
        self.assertEqual(other.starts(), ["482 INVITE"])

    def test_max_breadth_ends_what_no_mark_can(self) -> None:
        """Each hop changes the request, so nothing repeats; breadth and Max-Forwards bound it."""
        scene = self.scene()
        alice = scene.peer("alice")
        for number in range(72):
            scene.places.bind(f"u{number}", f"sip:u{number + 1}@{PROXY};a", f"sip:u{number + 1}@{PROXY};b")
        alice.send(alice.request("MESSAGE", "sip:u0@example.test"))
        scene.advance(1)
        self.assertEqual(alice.starts(), ["440 MESSAGE"])
        self.assertLess(scene.proxy.forwarded, 130)
        scene.advance(60)
        self.assertEqual(scene.leftovers(), [])

    def test_sequential_forks_too(self) -> None:
        scene = self.scene(ProxySettings(fork="sequential"))
        alice = scene.peer("alice")
        both = (f"sip:a@{PROXY}", f"sip:b@{PROXY}")
        for user in "ab":
            scene.places.bind(user, *both)
            scene.places.bindings[f"{user}@example.test"][1].q = 500
        alice.send(alice.request(uri="sip:a@example.test"))
        scene.advance(1)
        self.assertEqual(alice.starts()[0], "482 INVITE")
        self.assertLessEqual(scene.proxy.forwarded, 10)

    def test_max_forwards_1_at_a_spiral(self) -> None:
        scene = self.scene()
        alice = scene.peer("alice")
        scene.places.bind("a", f"sip:b@{PROXY}")
        scene.places.bind("b", "sip:b@10.9.9.9")
        alice.send(alice.request(uri="sip:a@example.test", forwards="1"))
        scene.advance(0.01)
        self.assertEqual(alice.starts(), ["483 INVITE"])
