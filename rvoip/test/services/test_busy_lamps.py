"""Busy lamps: calls through the proxy as those see them who watch its users."""

from __future__ import annotations

from rvoip.protocols.sip.dialog_info import DialogState
from rvoip.test.services.watching import Subscription, WatchingCase
from rvoip.testing.phone import Phone, busy, ring


def shown(watched: Subscription) -> list[tuple[str, str]]:
    """Direction and state of each dialog in the last document."""
    return [(one.direction, one.state) for one in watched.dialogs.dialogs]


class BusyLampTests(WatchingCase):
    """Carol watches."""

    def setUp(self) -> None:
        super().setUp()
        self.start("notify_interval = 0.0")

    def prepare(self, script: object = ring) -> tuple[Phone, Phone, Subscription, Subscription]:
        alice, carol = self.phones("alice", "carol")
        bob = self.phone("bob@example.test", "127.0.64.36", script=script)
        self.wait(bob.register())
        watched = [self.watch(carol, f"sip:{user}@example.test", "dialog") for user in ("alice", "bob")]
        return alice, bob, watched[0], watched[1]

    def test_a_call(self) -> None:
        alice, bob, caller, callee = self.prepare()
        self.assertEqual((shown(caller), shown(callee)), ([], []))
        call = alice.call("sip:bob@example.test")
        incoming = self.reactor.result_of(bob.incoming())
        self.reactor.advance(1.0)
        self.assertEqual((shown(caller), shown(callee)), ([("initiator", "early")], [("recipient", "early")]))
        (rings,) = callee.dialogs.dialogs
        # What a pickup needs: the dialog as the ringing phone knows it.
        self.assertEqual(
            (rings.call_id, rings.local_tag, rings.remote_tag),
            (call.call_id, incoming.local.tag, incoming.remote.tag),
        )
        self.assertEqual(rings.remote.identity, "sip:alice@example.test")
        incoming.answer()
        self.reactor.result_of(call.established())
        self.reactor.advance(1.0)
        self.assertEqual(
            (shown(caller), shown(callee)), ([("initiator", "confirmed")], [("recipient", "confirmed")])
        )
        self.reactor.result_of(call.bye())
        self.reactor.advance(1.0)
        self.assertEqual((shown(caller), shown(callee)), ([], []))
        self.nothing_left()

    def nothing_left(self) -> None:
        proxy = self.role.proxy
        assert proxy is not None
        self.assertEqual(len(proxy.lamps.lamps), 0)

    def test_refused_and_given_up(self) -> None:
        alice, bob, caller, callee = self.prepare(busy)
        alice.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        self.assertEqual((shown(caller), shown(callee)), ([], []))
        bob.script = ring
        call = alice.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        self.assertEqual(shown(callee), [("recipient", "early")])
        call.cancel()
        self.reactor.advance(1.0)
        self.assertEqual((shown(caller), shown(callee)), ([], []))
        self.nothing_left()

    def test_two_calls(self) -> None:
        alice, bob, caller, callee = self.prepare()
        for _ in range(2):
            alice.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        self.assertEqual(len(callee.dialogs.dialogs), 2)
        self.assertEqual(len(caller.dialogs.dialogs), 2)
        bob.calls[0].answer()
        self.reactor.advance(1.0)
        self.assertEqual(sorted(one.state for one in callee.dialogs.dialogs), ["confirmed", "early"])

    def test_what_a_from_says_lights_no_lamp(self) -> None:
        _, bob, caller, callee = self.prepare()
        forger = self.phone("alice@example.test", "127.0.64.66")
        forger.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        self.assertEqual(shown(caller), [])
        self.assertEqual(shown(callee), [("recipient", "early")])
        self.assertEqual(len(bob.calls), 1)

    def test_private_callers(self) -> None:
        alice, _, _, callee = self.prepare()
        alice.call("sip:bob@example.test", headers=[("Privacy", "id")])
        self.reactor.advance(1.0)
        self.assertEqual(callee.dialogs.dialogs[0].remote.identity, "sip:anonymous@anonymous.invalid")

    def test_who_comes_later(self) -> None:
        alice, _, _, _ = self.prepare()
        alice.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        watched = self.watch(alice, "sip:bob@example.test", "dialog")
        self.assertEqual(shown(watched), [("recipient", "early")])

    def test_published_too(self) -> None:
        """A phone that tells of its own calls is heard beside what the proxy sees."""
        _, bob, _, callee = self.prepare()
        other = DialogState("x1", "confirmed", direction="initiator")
        body = (
            '<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" '
            f'entity="sip:bob@example.test"><dialog id="{other.id}" direction="initiator">'
            "<state>confirmed</state></dialog></dialog-info>"
        ).encode()
        done = self.publish(bob, body, package="dialog", content_type="application/dialog-info+xml")
        self.assertEqual((done.status, shown(callee)), (200, [("initiator", "confirmed")]))

    def test_a_call_whose_end_nobody_will_see(self) -> None:
        """Without the list of calls a lamp flashes, and goes out when the call is answered."""
        assert self.role.calls is not None
        self.role.calls.use(0)
        alice, bob, caller, callee = self.prepare()
        alice.call("sip:bob@example.test")
        self.reactor.advance(1.0)
        self.assertEqual(shown(callee), [("recipient", "early")])
        bob.calls[0].answer()
        self.reactor.advance(1.0)
        self.assertEqual((shown(caller), shown(callee)), ([], []))
        self.nothing_left()
