"""Calls over a network that loses, doubles and reorders: nobody hears two answers, and nothing stays."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Response
from rvoip.proxy.proxy import ProxySettings
from rvoip.test.proxy.scene import Scene
from rvoip.testing.phone import Call, Phone, answer_after, answer_at_once, busy, reject_with, ring, silent

SEEDS = range(20)


def finals(phone: Phone, call_id: str, cseq: int) -> list[Response]:
    """The final responses to one INVITE, repetitions not counted."""
    return [
        one.message
        for one in phone.messages
        if not one.sent
        and one.new
        and isinstance(one.message, Response)
        and one.message.status >= 200
        and one.message.call_id == call_id
        and (one.message.cseq.method, one.message.cseq.number) == ("INVITE", cseq)
    ]


class Run:
    """Some phones and callers, and what they do by chance of a seed."""

    def __init__(self, seed: int, **network: Any) -> None:
        self.random = Random(f"run {seed}")
        self.scene = Scene(
            ProxySettings(fork=self.random.choice(["parallel", "sequential"])), seed=seed, **network
        )
        self.calls: list[Call] = []
        self.outcomes: list[object] = []
        scripts = {
            "prompt": answer_at_once,
            "later": answer_after(2.5),
            "busy": busy,
            "ringing": ring,
            "silent": silent,
            "declining": reject_with(603),
            "moved": reject_with(302),
        }
        transports = ["UDP", "UDP", "TCP"]
        for user, script in scripts.items():
            self.scene.phone(user, script=script, transport=self.random.choice(transports))
        for device, script in (("f1", ring), ("f2", answer_after(1.0)), ("f3", busy)):
            self.scene.phone("forked", device=device, script=script)
        self.callers = [
            self.scene.phone(f"caller{number}", transport=self.random.choice(transports))
            for number in range(3)
        ]

    def begin(self) -> None:
        users = ["prompt", "later", "busy", "ringing", "silent", "declining", "moved", "forked", "nobody"]
        for user in self.random.sample(users * 2, 12):
            caller = self.random.choice(self.callers)
            caller.after(self.random.uniform(0, 5), partial(self.call, caller, user))

    def call(self, caller: Phone, user: str) -> None:
        call = caller.call(f"sip:{user}@example.test")
        self.calls.append(call)
        Deferred.fromCoroutine(self.follow(call)).addBoth(self.outcomes.append)

    async def follow(self, call: Call) -> str:
        if self.random.random() < 0.3:
            call.phone.after(self.random.uniform(0.0, 3.0), call.cancel)
        else:
            call.phone.after(40.0, call.cancel)  # nobody rings for ever
        await call.until("up", "over", within=300)
        if call.state == "up":
            await call.request("INFO")
            await call.bye()
        return call.why

    def finish(self) -> None:
        """Until all calls are over, and then until everybody has forgotten them."""
        self.scene.network.run_until(lambda: len(self.outcomes) == 12, within=600)
        self.scene.advance(250)


class SimulationTests(SynchronousTestCase):
    def check(self, seed: int, **network: Any) -> Run:
        run = Run(seed, **network)
        run.begin()
        run.finish()
        told = "\n".join(phone.ladder() for phone in run.scene.phones.values())
        context = f"seed {seed}\n{told}"
        self.assertEqual(len(run.outcomes), 12, context)
        for outcome in run.outcomes:
            self.assertIsInstance(outcome, str, context)
        for call in run.calls:
            found = finals(call.phone, call.call_id, 1)
            self.assertEqual(len(found), 1, f"{call!r} {[one.status for one in found]}\n{context}")
        self.assertEqual(run.scene.problems(), [], context)
        self.assertEqual(run.scene.leftovers(), [], context)
        self.assertEqual(run.scene.layer._servers, {})
        self.assertEqual(run.scene.layer._clients, {})
        return run

    def test_a_perfect_network(self) -> None:
        for seed in SEEDS:
            self.check(seed)

    def test_loss_duplication_and_reordering(self) -> None:
        statuses: set[int] = set()
        lost = doubled = reordered = 0
        for seed in SEEDS:
            run = self.check(seed, loss=0.08, duplicate=0.1, reorder=0.15, delay=(0.002, 0.08))
            network = run.scene.network
            lost, doubled, reordered = (
                lost + network.lost,
                doubled + network.duplicated,
                reordered + network.reordered,
            )
            self.assertGreater(run.scene.layer.retransmissions, 0)
            statuses.update(finals(call.phone, call.call_id, 1)[0].status for call in run.calls)
        self.assertGreater(min(lost, doubled, reordered), 100)
        self.assertEqual(statuses, {200, 302, 404, 408, 486, 487, 603})

    def test_the_same_seed_does_the_same(self) -> None:
        seen = []
        for _ in range(2):
            run = self.check(7, loss=0.1, duplicate=0.1, reorder=0.1, delay=(0.0, 0.1))
            seen.append([phone.ladder() for phone in run.scene.phones.values()])
        self.assertEqual(*seen)
