"""The answering machine on a network that loses, doubles, reorders and breaks."""

from __future__ import annotations

from machine import Machine, start
from twisted.trial.unittest import SynchronousTestCase

from rvoip.testing.network import SimulatedNetwork
from rvoip.testing.network_ladder import NetworkLadder
from rvoip.testing.phone import Call, Phone

MACHINE = "10.0.0.1"


class MachineTests(SynchronousTestCase):
    """A phone calls it."""

    def network(self, seed: int, **knobs: object) -> tuple[SimulatedNetwork, NetworkLadder, Machine, Phone]:
        network = SimulatedNetwork(seed=seed, **knobs)  # type: ignore[arg-type]
        ladder = NetworkLadder(network)
        machine = start(network.host("machine", MACHINE), MACHINE)
        phone = Phone(network.host("phone", "10.0.0.2"), host="10.0.0.2", server=(MACHINE, 5060), seed=seed)
        return network, ladder, machine, phone.open()

    def nothing_is_left(self, machine: Machine) -> bool:
        return not (list(machine.layer) or list(machine.dialogs) or len(machine.layer.wheel))

    def test_calls_over_a_bad_network(self) -> None:
        """Each is answered and hung up once, and then all is forgotten."""
        for seed in range(20):
            network, ladder, machine, phone = self.network(
                seed, loss=0.1, duplicate=0.1, reorder=0.2, delay=(0.01, 0.2)
            )
            calls: list[Call] = []
            for _ in range(5):
                calls.append(phone.call("sip:machine@10.0.0.1"))
                network.advance(1.5)
            network.advance(200)
            told = f"seed {seed}\n{ladder.draw()}"
            self.assertEqual([call.why for call in calls], ["BYE received"] * 5, told)
            self.assertEqual(phone.problems, [], told)
            self.assertTrue(self.nothing_is_left(machine), told)

    def test_the_network_breaks_in_the_middle_of_a_call(self) -> None:
        """The machine hangs up, and nobody hears it: it forgets the call all the same."""
        network, ladder, machine, phone = self.network(1)
        call = phone.call("sip:machine@10.0.0.1")
        network.result_of(call.established())
        network.partition(["machine"], ["phone"])
        network.advance(100)
        self.assertEqual(len(machine), 0, ladder.draw())
        self.assertTrue(self.nothing_is_left(machine), ladder.draw())
        network.heal()
        self.assertEqual(network.result_of(call.bye()).status, 481)
