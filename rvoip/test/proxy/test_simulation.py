"""Calls over a network that loses, doubles and reorders: nobody hears two answers, and nothing stays."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Response
from rvoip.proxy.forwarding import Forwarding
from rvoip.proxy.proxy import ProxySettings
from rvoip.test.proxy.scene import Scene, sip
from rvoip.test.proxy.test_forwarding import Rules
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

    def __init__(self, seed: int, rich: bool = False, **network: Any) -> None:
        """`rich`: with all that the proxy can do to a call."""
        self.random = Random(f"run {seed}")
        fork = self.random.choice(["parallel", "sequential"])
        settings = ProxySettings(fork=fork)
        if rich:
            settings = ProxySettings(fork=fork, ring=2.0, recurse=True, topology_hiding=True, timer_c=30.0)
        self.scene = Scene(settings, seed=seed, **network)
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
        if rich:
            self.enrich()
        self.callers = [
            self.scene.phone(f"caller{number}", transport=self.random.choice(transports))
            for number in range(3)
        ]

    def enrich(self) -> None:
        """Forward the calls of some users, and let a phone come and go while they are called."""

        def moved(call: Call) -> None:
            call.reject(302, [("Contact", "<sip:prompt@example.test>, <sip:busy@example.test>;q=0.1")])

        self.scene.phone("moved", device="moves", script=moved)
        self.scene.proxy.forwarding = Rules(
            busy=Forwarding(busy=sip("sip:later@example.test")),
            silent=Forwarding(no_answer=sip("sip:busy@example.test"), after=3.0),
            declining=Forwarding(always=sip("sip:moved@example.test")),
            nobody=Forwarding(unreachable=sip("sip:forked@example.test")),
        )
        late = self.scene.phone("ringing", device="late", script=answer_at_once, register=False)

        def come() -> None:
            Deferred.fromCoroutine(late.register()).addErrback(lambda failure: None)
            for delay in (0.5, 2.0, 8.0):
                late.after(delay, partial(self.scene.proxy.registered, "ringing@example.test"))

        late.after(self.random.uniform(1.0, 6.0), come)

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
    def test_all_that_a_proxy_can_do(self) -> None:
        """Forks by q and time, forwardings, redirections, late phones, hidden topology."""
        statuses: set[int] = set()
        for seed in SEEDS[:8]:
            run = self.check(seed, rich=True, loss=0.08, duplicate=0.1, reorder=0.15, delay=(0.002, 0.08))
            self.assertEqual(len(run.scene.proxy.ringing), 0)
            statuses.update(finals(call.phone, call.call_id, 1)[0].status for call in run.calls)
        self.assertIn(200, statuses)
        self.assertIn(487, statuses)
        self.assertNotIn(500, statuses)

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
