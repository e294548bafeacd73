"""What is broken on purpose is found: each invariant fails when it should."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.simulation.ends import PhoneEnd
from rvoip.test.simulation.invariants import report, violations
from rvoip.test.simulation.world import World
from rvoip.testing.network import Datagram


class Hoarder:
    """Shown the responses, keeps what they belong to."""

    def __init__(self) -> None:
        self.kept: list[object] = []

    def responded(self, context: object, response: object) -> None:
        self.kept.append(context)


class BrokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(44, kind="pair", weather="clear", faults=())  # callers are test phones

    def found(self) -> str:
        self.world.run()
        found = violations(self.world)
        self.flushLoggedErrors()
        return "\n".join(found)

    def test_nothing_is(self) -> None:
        self.assertEqual(self.found(), "")
        self.assertTrue(self.world.strict)

    def test_a_call_is_up_at_one_end(self) -> None:
        self.world.network.lose_if(lambda one: one.data.startswith(b"BYE"))
        found = self.found()
        self.assertRegex(found, r"call \w+ is up at \[")
        self.assertIn(f"--seed {self.world.seed} --ladder", report(self.world, found.splitlines()))

    def test_an_invite_is_answered_twice(self) -> None:
        callers = {
            end.phone.wire.host: end.reactor
            for end in self.world.ends[-3:]
            if isinstance(end, PhoneEnd)  # all of them, with this seed
        }

        def again(now: float, datagram: Datagram) -> None:
            message = parse_message(datagram.data)
            reactor = callers.get(datagram.destination[0])
            if reactor is not None and isinstance(message, Response) and message.status in (404, 480, 486):
                other = datagram._replace(data=datagram.data.replace(b"SIP/2.0 4", b"SIP/2.0 5", 1))
                reactor.callLater(0.1, reactor.datagram_arrived, *other)

        self.world.network.watch(again)
        self.assertRegex(self.found(), r"caller\d: INVITE \d of \w+ got \[\(\d+, '\w+'\), \(\d+, '\w+'\)\]")

    def test_a_caller_hears_nothing(self) -> None:
        self.world.network.lose_if(
            lambda one: b"INVITE\r\n" in one.data and one.destination[0] == "10.0.1.13"
        )
        self.assertRegex(self.found(), r"call \w+ from caller2 to \w+: \['timeout'\] was never answered")

    def test_a_binding_is_gone(self) -> None:
        def lose() -> None:
            for end in self.world.ends:
                self.world.kept.kept.remove(end.aor, None, self.world.clock.seconds())

        self.world.clock.callLater(12.0, lose)
        found = self.found()
        self.assertRegex(found, r"was promised from [\d.]+ to [\d.]+ s, and is gone at 15")
        self.assertRegex(found, r"\d+ bindings were made, \d+ went, and 0 are there")

    def test_something_is_left(self) -> None:
        element = self.world.places[0].element
        assert element is not None
        element.sip.wheel.schedule(5000.0, print)
        element.sip.transactions._invites += 1
        found = self.found()
        self.assertIn("home is left with timer of print", found)
        self.assertIn("home is left with 1 and 0 INVITEs counted", found)

    def test_something_keeps_a_context(self) -> None:
        element = self.world.places[0].element
        assert element is not None and element.proxy is not None
        element.proxy.lamps = Hoarder()
        self.assertIn("something keeps a ResponseContext", self.found())

    def test_something_is_logged(self) -> None:
        self.world.clock.callLater(3.0, lambda: 1 / 0)
        self.world.clock.callLater(4.0, lambda: fail(KeyError("nobody waits")) and None)
        found = self.found()
        self.assertIn("ZeroDivisionError", found)

    def test_a_datagram_is_unaccounted_for(self) -> None:
        self.world.network.lost += 1
        self.assertIn("datagrams were sent", self.found())

    def test_a_message_grows(self) -> None:
        self.world.run()
        grown = self.world.ladder.passed[20]
        self.world.ladder.passed.append(grown._replace(size=grown.size + 500))
        self.assertIn(f"grew from {grown.size} to", "\n".join(violations(self.world)))
