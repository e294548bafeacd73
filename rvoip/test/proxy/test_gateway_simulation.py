"""Calls by way of gateways that die, refuse and come back, over a network that loses and reorders."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.events import EventBus
from rvoip.proxy.algorithms import ALGORITHMS
from rvoip.proxy.aliases import Aliases
from rvoip.proxy.events import HungUp
from rvoip.proxy.gateways import Gateway, Gateways, GatewaySet, SetRules
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.peers import Peers
from rvoip.proxy.probe import Prober
from rvoip.proxy.rewrite import Rewrite
from rvoip.proxy.router import Router, RoutingRules
from rvoip.proxy.routes import Route, RouteTable
from rvoip.test.proxy.scene import Scene, sip
from rvoip.test.proxy.test_simulation import Run, finals
from rvoip.testing.phone import Call, answer_after, answer_at_once, busy, reject_with, silent

SEEDS = range(22)
PLAN = NumberPlan()


class GatewayRun(Run):
    """Three gateways, each as the seed has it, and one that nobody ever was at."""

    def __init__(self, seed: int, **network: Any) -> None:
        self.random = Random(f"gateways {seed}")
        self.scene = Scene(seed=seed, **network)
        self.calls = []
        self.outcomes = []
        scene = self.scene
        scripts = [answer_at_once, answer_after(1.5), busy, reject_with(503), reject_with(500), silent]
        hosts = ["10.0.9.9"]
        for number in range(3):
            address = f"10.0.3.{number + 1}"
            scene.phone(f"gw{number}", script=self.random.choice(scripts), register=False, address=address)
            hosts.append(address)
        self.random.shuffle(hosts)
        self.algorithm = ALGORITHMS[seed % len(ALGORITHMS)]
        rules = SetRules(
            self.algorithm,
            probe=self.random.choice([0.0, 3.0]),
            fail_after=self.random.choice([1, 3]),
            rest=10.0,
            ring=self.random.choice([0.0, 8.0]),
        )
        self.gateways = Gateways(scene.reactor.seconds, self.random.random)
        listed = [
            Gateway("s", host, sip(f"sip:{host}"), weight=1 + place) for place, host in enumerate(hosts)
        ]
        self.gateways.replace([GatewaySet("s", rules, listed)])
        table = RouteTable([Route(Rewrite(PLAN), prefix="0", set_name="s")], PLAN)
        scene.proxy.routers = (Router(RoutingRules(table, Aliases({}, PLAN), PLAN), self.gateways, Peers()),)
        scene.proxy.members = lambda flow: True
        scene.proxy.events = EventBus(scene.reactor)
        scene.proxy.events.subscribe(HungUp, lambda event: self.gateways.loads.ended(event.call_id))
        self.prober = Prober(
            self.gateways, scene.layer, scene.transport, scene.locator, lambda: "sip:10.0.0.1"
        )
        self.prober.start()
        self.callers = [scene.phone(f"caller{number}", register=False) for number in range(3)]

    def begin(self) -> None:
        for number in range(12):
            caller = self.random.choice(self.callers)
            caller.after(self.random.uniform(0, 30), partial(self.call, caller, f"0{number}"))
        # One of them is away for a while: what it had to say is lost.
        away = self.random.choice(["gw0", "gw1", "gw2"])
        network = self.scene.network
        self.callers[0].after(8.0, lambda: network.partition([away], ["proxy"]))
        self.callers[0].after(20.0, network.heal)

    def finish(self) -> None:
        self.scene.network.run_until(lambda: len(self.outcomes) == 12, within=600)
        self.prober.stop()
        self.scene.advance(250)


def is_concluded(call: Call) -> bool:
    """Whether the INVITE got one final response.

    Two gateways may both accept a call, each in time (RFC 3261 section 16.7 step 5). A call that is cancelled
    while a gateway says nothing ends when that is given up, for which the caller may not wait.
    """
    found = finals(call.phone, call.call_id, 1)
    if not found:
        return call.why == "nothing came after CANCEL"
    tags = {one.to.tag for one in found}
    return len(found) == 1 or (all(one.status == 200 for one in found) and len(tags) == len(found))


class GatewaySimulationTests(SynchronousTestCase):
    def check(self, seed: int, **network: Any) -> GatewayRun:
        run = GatewayRun(seed, **network)
        run.begin()
        run.finish()
        told = "\n".join(phone.ladder() for phone in run.scene.phones.values())
        context = f"seed {seed} {run.algorithm}\n{told}"
        self.assertEqual(len(run.outcomes), 12, context)
        for outcome in run.outcomes:
            self.assertIsInstance(outcome, str, context)
        for call in run.calls:
            self.assertTrue(is_concluded(call), f"{call!r} {context}")
        self.assertEqual(run.scene.leftovers(), [], context)
        self.assertEqual(run.scene.layer._clients, {}, context)
        self.assertEqual(len(run.gateways.loads), 0, context)
        return run

    def test_a_perfect_network(self) -> None:
        whys: set[str] = set()
        for seed in SEEDS:
            whys.update(str(one) for one in self.check(seed).outcomes)
        self.assertGreater(len(whys), 2, whys)

    def test_loss_duplication_and_reordering(self) -> None:
        for seed in SEEDS:
            self.check(seed, loss=0.05, duplicate=0.05, reorder=0.1, delay=(0.002, 0.08))
