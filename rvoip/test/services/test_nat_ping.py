from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.errors import FlowError
from rvoip.registrar.binding import Binding, Change, Counts
from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.services.nat_ping import MOST_A_SECOND, NATPing


class FakeFlow:
    sent_by = "10.0.0.1:5060"

    def __init__(self, token: str) -> None:
        self.token = token
        self.transport = token.partition("/")[0].upper()
        self.sent: list[tuple[float, bytes]] = []
        self.broken = False
        self.clock: Any = None

    def send(self, data: bytes) -> None:
        if self.broken:
            raise FlowError("no")
        self.sent.append((self.clock.seconds(), data))


class World:
    """What a ping needs of a role."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.store: Any = MemoryStore()
        self.store.open(0.0, 0.0)
        self.flows: dict[str, FakeFlow] = {}
        self.requests: list[Request] = []
        self.users: list[Any] = []
        self.transport = self
        self.transactions = self
        self._serial = 0

    # of the location
    def counts(self) -> Counts:
        counts = self.store.count()
        return counts if isinstance(counts, Counts) else Counts(10, 10)

    # of the transport
    def flow_by_token(self, token: str) -> FakeFlow | None:
        return self.flows.get(token)

    # of the transactions
    def new_tag(self) -> str:
        return self.token()

    def token(self) -> str:
        self._serial += 1
        return f"t{self._serial}"

    def request(self, made: Request, flow: FakeFlow, user: Any) -> None:
        made.insert("via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1")
        data = made.to_bytes()
        flow.send(data)
        parsed = parse_message(data)
        assert isinstance(parsed, Request)
        self.requests.append(parsed)
        self.users.append(user)

    def bind(self, aor: str, received: str = "", path: tuple[str, ...] = ()) -> None:
        user = aor.partition("@")[0]
        contact = f"sip:{user}@192.168.1.2:5062"
        binding = Binding(contact, contact, "c", 1, 1e9, 3600, received=received, path=path)
        self.store.apply(Change(aor, 0.0, (binding,)))
        if received and received not in self.flows:
            flow = self.flows[received] = FakeFlow(received)
            flow.clock = self.clock


class NATPingTests(TestCase):
    def setUp(self) -> None:
        self.world = World()

    def ping(self, kind: str = "crlf", interval: float = 20.0) -> NATPing:
        world: Any = self.world
        ping = NATPing(world.clock, world, world, kind, interval)
        ping.startService()
        self.addCleanup(self.stop, ping)
        return ping

    def stop(self, ping: NATPing) -> None:
        if ping.running:
            ping.stopService()
        self.assertEqual(len(self.world.wheel), 0, "no timer is left")

    def pass_time(self, seconds: float) -> None:
        self.world.clock.pump([0.1] * round(seconds / 0.1))

    def test_who_is_pinged(self) -> None:
        self.world.bind("nat@a.test", "udp/1/2")
        self.world.bind("open@a.test")
        self.world.bind("edge@a.test", "udp/3/4", ("<sip:edge;lr>",))
        self.world.bind("stream@a.test", "tcp/5/6")
        self.world.bind("gone@a.test", "udp/7/8")
        del self.world.flows["udp/7/8"]
        ping = self.ping()
        self.pass_time(61)
        self.assertEqual([data for _, data in self.world.flows["udp/1/2"].sent], [b"\r\n\r\n"] * 3)
        self.assertEqual(ping.sent, 3)
        for token in ("udp/3/4", "tcp/5/6"):
            self.assertEqual(self.world.flows[token].sent, [])

    def test_options(self) -> None:
        self.world.bind("nat@a.test", "udp/1/2")
        self.world.bind("stream@a.test", "tcp/5/6")
        ping = self.ping("options")
        self.pass_time(20)
        self.assertEqual(sorted(one.uri_text for one in self.world.requests),
                         ["sip:nat@192.168.1.2:5062", "sip:stream@192.168.1.2:5062"])  # fmt: skip
        options = self.world.requests[0]
        self.assertEqual((options.method, options.max_forwards), ("OPTIONS", 1))
        for user in self.world.users:
            user.client_failed(None, "timeout")
        self.assertEqual((ping.sent, ping.answered), (2, 0))
        answer: Any = type("Answer", (), {"status": 100})()
        self.world.users[0].response_received(None, answer)
        answer.status = 404
        self.world.users[0].response_received(None, answer)
        self.assertEqual(ping.answered, 1)

    def test_spread(self) -> None:
        """Each of 500 phones once in an interval, never many at once, in every round."""
        for number in range(500):
            self.world.bind(f"u{number}@a.test", f"udp/1/{number}")
        self.ping(interval=25.0)
        self.pass_time(75)
        times = [when for flow in self.world.flows.values() for when, _ in flow.sent]
        self.assertApproximates(len(times), 1500, 100)
        by_tick: dict[int, int] = {}
        for when in times:
            by_tick[round(when * 10)] = by_tick.get(round(when * 10), 0) + 1
        self.assertLessEqual(max(by_tick.values()), 4)
        for flow in self.world.flows.values():
            gaps = [later[0] - earlier[0] for earlier, later in zip(flow.sent, flow.sent[1:])]
            self.assertTrue(all(20.0 < gap < 30.0 for gap in gaps), gaps)

    def test_bounded(self) -> None:
        for number in range(3000):
            self.world.bind(f"u{number}@a.test", f"udp/1/{number}")
        ping = self.ping(interval=1.0)
        self.pass_time(2)
        self.assertApproximates(ping.sent, 2 * MOST_A_SECOND, 150)

    def test_broken_flows(self) -> None:
        self.world.bind("nat@a.test", "udp/1/2")
        self.world.flows["udp/1/2"].broken = True
        ping = self.ping()
        self.pass_time(30)
        self.assertEqual(ping.sent, 0)

    def test_switched(self) -> None:
        self.world.bind("nat@a.test", "udp/1/2")
        ping = self.ping("none")
        self.pass_time(60)
        self.assertEqual(ping.sent, 0)
        ping.use("crlf", 10.0)
        self.pass_time(30.5)
        self.assertApproximates(ping.sent, 3, 1)
        ping.use("none", 10.0)
        before = ping.sent
        self.pass_time(30)
        self.assertEqual(ping.sent, before)

    def test_a_store_that_takes_time_and_fails(self) -> None:
        """Users are asked for once at a time; after a failure it goes on."""
        self.world.bind("nat@a.test", "udp/1/2")
        memory = self.world.store
        waiting: list[Deferred[Any]] = []

        class Slow:
            def count(self) -> Deferred[Any]:
                return Deferred()

            def aors(self, *asked: Any) -> Deferred[Any]:
                waiting.append(Deferred())
                return waiting[-1]

            def lookup(self, aor: str, now: float) -> Deferred[Any]:
                waiting.append(Deferred())
                return waiting[-1]

        self.world.store = Slow()
        ping = self.ping(interval=10.0)
        self.pass_time(5)
        (asked,) = waiting
        asked.callback(["nat@a.test"])
        waiting[-1].callback(memory.lookup("nat@a.test", 0.0))
        self.assertEqual(ping.sent, 1)
        self.pass_time(5)
        waiting[-1].errback(Failure(StoreError("the store is away")))
        count = len(waiting)
        self.pass_time(1.2)
        self.assertEqual(len(waiting), count + 1)
        waiting[-1].callback(["nat@a.test"])
        waiting[-1].callback(memory.lookup("nat@a.test", 0.0))
        self.assertEqual(ping.sent, 2)
