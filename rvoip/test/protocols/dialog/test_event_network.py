"""Subscriptions, transfers and publications over a bad network, by hostile peers, and as RFCs print them."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.refer_server import ReferServer
from rvoip.protocols.dialog.subscription import TERMINATED, Notifier, Subscriber
from rvoip.protocols.dialog.subscription_server import EventServer
from rvoip.protocols.dialog.timers import Timers
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, messages, octets
from rvoip.test.protocols.dialog.agents import Peer, Stage
from rvoip.test.protocols.dialog.subscriptions import TEXT, Watching, Weather
from rvoip.test.protocols.dialog.test_refers import Referring


class LossyTests(SynchronousTestCase):
    """What the network does shows in no state for long: watchers know the last state, and nothing is left."""

    def run_watchers(self, seed: int, **knobs: Any) -> None:
        random = Random(seed)
        stage = Stage(seed=seed, delay=(0.01, 0.2), **knobs)
        server = EventServer(stage.bob.agent)
        weather = Weather()
        server.add(weather)
        watchers = []
        for number in range(6):
            watching = Watching(
                stage.alice.agent,
                stage.bob.uri,
                "weather",
                from_=f"<{stage.alice.uri}>",
                accept=(TEXT,),
                expires=random.choice((120, 600, 3600)),
            )
            watchers.append(watching)
            stage.alice.reactor.callLater(random.uniform(0, 20), watching.start)
            if number % 3 == 2:
                stage.alice.reactor.callLater(random.uniform(0, 300), watching.stop)
        for number in range(40):
            stage.advance(random.uniform(1, 20))
            weather.now[stage.bob.uri] = f"{number}"
            server.changed("weather", stage.bob.uri)
            found = list(server)
            if found and random.random() < 0.1:
                random.choice(found).terminate(random.choice(("deactivated", "probation")), 5)
            if random.random() < 0.05:
                stage.network.partition(["alice"], ["bob"])
                stage.advance(random.uniform(5, 60))
                stage.network.heal()
        # A while without changes, on a network that is whole again: each one that watches knows the last.
        stage.network.link("alice", "bob", loss=0.0)
        stage.advance(4000)
        for watching in watchers:
            if not watching._stopped:
                self.assertEqual((watching.state, watching.events[-1]), ("Active", "active 39"), seed)
            watching.stop()
        self.assertEqual(stage.leftovers(), [], seed)
        self.assertEqual(len(server), 0)

    def test_seeds(self) -> None:
        for seed in range(6):
            self.run_watchers(seed, loss=0.1, duplicate=0.05, reorder=0.05)

    def test_a_very_bad_network(self) -> None:
        self.run_watchers(100, loss=0.35)


LINES = st.sampled_from(
    [
        "Event: weather",
        "Event: weather;id=1",
        "Event: weather;max-rate=0.5",
        "Event: presence",
        "Event: refer",
        "Event: refer;id=1",
        "Event: ;",
        "Expires: 0",
        "Expires: 1",
        "Expires: 600",
        "Expires: 4294967296",
        "Expires: x",
        "Accept: text/plain",
        "Accept: text/html;q=0.5",
        "Accept: , ,",
        "Subscription-State: active;expires=5",
        "Subscription-State: active;expires=0",
        "Subscription-State: pending",
        "Subscription-State: terminated;reason=deactivated",
        "Subscription-State: terminated;reason=probation;retry-after=1",
        "Subscription-State: terminated;reason=\\x00",
        "Subscription-State: ?",
        "Refer-To: <sip:c@10.0.0.9>",
        "Refer-To: <sip:c@10.0.0.9?Replaces=1>",
        "Refer-To: <sip:c@10.0.0.9?Route=%3Csip:x%3E>",
        "Refer-Sub: false",
        "Target-Dialog: 1;local-tag=1;remote-tag=1",
        "Require: norefersub",
        "Content-Type: text/plain",
    ]
)
REQUESTS = st.tuples(
    st.sampled_from(["SUBSCRIBE", "NOTIFY", "REFER", "NOTIFY", "NOTIFY"]),
    st.lists(LINES, max_size=4, unique=True),
    st.integers(0, 3),
    st.integers(0, 40),
)


class HostileTests(SynchronousTestCase):
    """A peer that sends what it likes: each request is answered once, and all of it ends."""

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(REQUESTS, max_size=12), st.booleans())
    def test_any_requests(self, steps: list[tuple[str, list[str], int, int]], answers: bool) -> None:
        stage = Stage()
        peer = Peer(stage)
        agent = stage.alice.agent
        server = EventServer(agent)
        server.add(Weather())
        ReferServer(agent, lambda refer: refer.accept())
        watching = Watching(agent, peer.uri, "weather", from_=f"<{stage.alice.uri}>", again=False)
        watching.start()
        refer = Referring(agent, "sip:c@10.0.0.9")
        refer.send_to(peer.uri, from_=f"<{stage.alice.uri}>")
        stage.advance(0.1)
        ours = {one.method: one for one in peer.take()}
        if answers:
            for one in ours.values():
                peer.answer(one, 202, extra="Expires: 600\r\n")
        wanted: Counter[str] = Counter()
        given_: Counter[str] = Counter()

        def listen() -> None:
            for one in peer.take():
                if isinstance(one, Response):
                    given_[one.via.branch or ""] += 1
                elif answers and one.method == "NOTIFY":
                    peer.answer(one, 200)

        for number, (method, lines, where, seconds) in enumerate(steps):
            asked = list(ours.values())[where % 2]
            dialogs = list(agent.dialogs)
            extra = "".join(f"{line}\r\n" for line in lines)
            branch = f"z9hG4bK-h{number}"
            wanted[branch] += 1
            if where >= 2 or (method == "SUBSCRIBE" and not dialogs):
                peer.request(method, branch=branch, extra=extra)
            elif where == 1 and dialogs:
                dialog = dialogs[seconds % len(dialogs)]
                peer.within(dialog, method, number + 2, branch=branch, extra=extra)
            else:
                peer.request(
                    method,
                    to_tag=asked.from_.tag or "",
                    call_id=asked.call_id,
                    tag=f"t{seconds % 3}",
                    cseq=number + 1,
                    branch=branch,
                    extra=extra,
                )
            listen()
            stage.advance(seconds)
            listen()
        watching.stop()
        for _ in range(8):
            stage.advance(100)
            listen()
        stage.advance(4000)
        self.assertEqual(given_, wanted)
        self.assertEqual(len(watching.ends), 1)
        self.assertIn(refer.events[-1].split()[0], OUTCOMES)
        server.close()
        self.assertEqual(stage.leftovers(), [])
        self.assertEqual(len(server), 0)
        self.assertEqual(self.flushLoggedErrors(), [])


OUTCOMES = ("succeeded", "failed", "refused", "unknown")


class ExampleTests(SynchronousTestCase):
    """The subscriptions that RFCs print, followed by the machines of both ends."""

    rfcs = (3515, 3680, 3842, 3856, 3857, 3903, 4662, 5057, 5359, 5589, 7463)

    def test_both_ends_agree(self) -> None:
        seen: Counter[str] = Counter()
        for rfc in self.rfcs:
            subscriptions: dict[tuple[str, str], tuple[Subscriber, Notifier | None]] = {}
            for entry in messages("sip/rfc-examples"):
                if entry["rfc"] != rfc:
                    continue
                data = octets("sip/rfc-examples", entry["file"])
                try:
                    message = parse_message(re.sub(rb"Content-Length: *[^\r]*\r\n", b"", data))
                    self.follow(message, (entry["section"], message.call_id), subscriptions, seen)
                except SIPParseError:
                    continue  # words or dots where a value belongs
        self.assertGreaterEqual(seen["SUBSCRIBE"], 12, seen)
        self.assertGreaterEqual(seen["accepted"], 10, seen)
        self.assertGreaterEqual(seen["NOTIFY"], 12, seen)

    def follow(
        self,
        message: Request | Response,
        key: tuple[str, str],
        subscriptions: dict[tuple[str, str], tuple[Subscriber, Notifier | None]],
        seen: Counter[str],
    ) -> None:
        expires = message.expires
        method = message.cseq.method
        if isinstance(message, Request) and method == "SUBSCRIBE":
            if key in subscriptions:
                subscriptions[key][0].subscribed(3600 if expires is None else expires, 1.0)
            else:
                asked = 3600 if expires is None else expires
                subscriptions[key] = (Subscriber(Timers(), asked, 0.0), None)
            seen["SUBSCRIBE"] += 1
        elif isinstance(message, Response) and method == "SUBSCRIBE" and key in subscriptions:
            subscriber, notifier = subscriptions[key]
            if message.status >= 300:
                self.assertNotEqual(subscriber.refused(message.status, 1.0), "")
                return
            granted = subscriber.expires if expires is None else expires
            subscriber.accepted(granted, 1.0)
            if notifier is None:
                subscriptions[key] = (subscriber, Notifier(granted, 1.0))
            else:
                notifier.subscribed(granted, 1.0)
            seen["accepted"] += 1
        elif isinstance(message, Request) and method == "NOTIFY" and key in subscriptions:
            subscriber, notifier = subscriptions[key]
            state = message.typed("subscription-state")
            if state is None or subscriber.state == TERMINATED:
                return
            subscriber.notified(state, 1.0)
            self.assertEqual(subscriber.state.lower(), state.state)
            if notifier is not None and state.state == "active" and notifier.state == "Active":
                notifier.changed(1.0)
                self.assertTrue(notifier.poll(1.0))
                self.assertEqual(notifier.header(1.0).state, state.state)
                notifier.answered(200, 1.0)
            seen["NOTIFY"] += 1


if not GIVEN:
    del ExampleTests
