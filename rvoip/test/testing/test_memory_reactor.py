from __future__ import annotations

from typing import Any

from twisted.internet import interfaces
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint
from twisted.internet.error import CannotListenError, DNSLookupError, ReactorAlreadyRunning, ReactorNotRunning
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.testing.memory_reactor import MemoryReactor


class InterfaceTests(SynchronousTestCase):
    def test_it_provides_what_it_says(self) -> None:
        reactor = MemoryReactor()
        for interface in (
            interfaces.IReactorCore,
            interfaces.IReactorPluggableNameResolver,
            interfaces.IReactorSSL,
            interfaces.IReactorTCP,
            interfaces.IReactorThreads,
            interfaces.IReactorTime,
            interfaces.IReactorUDP,
        ):
            self.assertTrue(verifyObject(interface, reactor), interface)
        self.assertTrue(verifyObject(interfaces.IHostnameResolver, reactor.nameResolver))


class TimeTests(SynchronousTestCase):
    def test_timers_are_those_of_the_user_only(self) -> None:
        reactor = MemoryReactor()
        seen: list[float] = []
        timer = reactor.callLater(5, lambda: seen.append(reactor.seconds()))
        reactor.connectTCP("127.0.0.1", 9, ClientFactory.forProtocol(Protocol))
        self.assertEqual(list(reactor.getDelayedCalls()), [timer])
        reactor.advance(6)
        self.assertEqual((seen, list(reactor.getDelayedCalls())), ([5.0], []))

    def test_many_timers_do_not_pile_up(self) -> None:
        reactor = MemoryReactor()
        for _ in range(1000):
            reactor.callLater(1, lambda: None).cancel()
        self.assertLess(len(reactor._timers), 200)

    def test_it_takes_twisteds_clock_too(self) -> None:
        clock = Clock()
        reactor = MemoryReactor(clock)
        seen: list[int] = []
        reactor.callFromThread(seen.append, 1)
        clock.advance(1)
        self.assertEqual((seen, reactor.seconds()), ([1], 1.0))
        self.assertRaises(TypeError, reactor.run_until, lambda: True)


class BindTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor(addresses=["192.0.2.1", "2001:db8:0::1"], name="host")

    def listen(self, port: int, interface: str = "") -> Any:
        return self.reactor.listenTCP(port, Factory.forProtocol(Protocol), interface=interface)

    def test_port_zero_is_a_free_one(self) -> None:
        first, second = self.listen(0, "192.0.2.1"), self.listen(0, "192.0.2.1")
        self.assertEqual((first.getHost().port, second.getHost().port), (49152, 49153))

    def test_conflicts(self) -> None:
        for taken, wanted in (
            ("192.0.2.1", "192.0.2.1"),
            ("", "192.0.2.1"),
            ("192.0.2.1", "0.0.0.0"),
            ("::", "::1"),
        ):
            port = self.listen(5060, taken)
            error = self.assertRaises(CannotListenError, self.listen, 5060, wanted)
            self.assertIn("Address already in use", str(error))
            port.stopListening()
            self.reactor.advance()

    def test_no_conflict(self) -> None:
        for address in ("192.0.2.1", "127.0.0.1", "127.0.0.2", "2001:db8::1", "::1"):
            self.listen(5060, address)
        self.assertEqual(len(self.reactor.ports), 5)

    def test_only_addresses_of_the_host(self) -> None:
        error = self.assertRaises(CannotListenError, self.listen, 5060, "192.0.2.9")
        self.assertIn("assign", str(error))

    def test_a_port_is_free_again_in_the_next_turn(self) -> None:
        port = self.listen(5060, "192.0.2.1")
        stopped = port.stopListening()
        self.assertRaises(CannotListenError, self.listen, 5060, "192.0.2.1")
        self.assertNoResult(stopped)
        self.reactor.advance()
        self.successResultOf(stopped)
        self.listen(5060, "192.0.2.1")
        self.assertIsNone(port.stopListening())

    def test_out_of_range(self) -> None:
        self.assertRaises(OverflowError, self.listen, 65536)


class CoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.seen: list[str] = []

    def test_call_when_running(self) -> None:
        self.reactor.callWhenRunning(self.seen.append, "now")
        self.assertEqual(self.seen, ["now"])
        self.reactor.crash()
        self.reactor.callWhenRunning(self.seen.append, "later")
        self.assertEqual(self.seen, ["now"])
        self.reactor.run()
        self.assertEqual(self.seen, ["now", "later"])
        self.assertRaises(ReactorAlreadyRunning, self.reactor.run)

    def test_shutdown_in_three_phases(self) -> None:
        gate: Deferred[None] = Deferred()

        def slow() -> Deferred[None]:
            self.seen.append("before")
            return gate

        self.reactor.addSystemEventTrigger("after", "shutdown", self.seen.append, "after")
        self.reactor.addSystemEventTrigger("during", "shutdown", self.seen.append, "during")
        self.reactor.addSystemEventTrigger("before", "shutdown", slow)
        removed = self.reactor.addSystemEventTrigger("before", "shutdown", self.seen.append, "removed")
        self.reactor.removeSystemEventTrigger(removed)
        self.reactor.stop()
        self.assertEqual(self.seen, ["before"])
        gate.callback(None)
        self.assertEqual(self.seen, ["before", "during", "after"])
        self.assertRaises(ReactorNotRunning, self.reactor.stop)

    def test_a_trigger_that_fails_is_logged(self) -> None:
        self.reactor.addSystemEventTrigger("before", "shutdown", lambda: 1 / 0)
        self.reactor.addSystemEventTrigger("during", "shutdown", self.seen.append, "during")
        self.reactor.stop()
        self.assertEqual((self.seen, len(self.flushLoggedErrors(ZeroDivisionError))), (["during"], 1))
        self.assertRaises(KeyError, self.reactor.addSystemEventTrigger, "behind", "shutdown", lambda: None)

    def test_an_endpoint_finds_a_name(self) -> None:
        self.reactor.names["a.example"] = ["::1", "127.0.0.1"]
        for address in ("::1", "127.0.0.1"):
            self.reactor.listenTCP(80, Factory.forProtocol(Protocol), interface=address)
        connected = HostnameEndpoint(self.reactor, "a.example", 80).connect(Factory.forProtocol(Protocol))
        self.assertIsInstance(self.reactor.result_of(connected), Protocol)
        failing = HostnameEndpoint(self.reactor, "b.example", 80).connect(Factory.forProtocol(Protocol))
        self.assertRaises(DNSLookupError, self.reactor.result_of, failing)

    def test_names(self) -> None:
        self.reactor.names["a.example"] = ["2001:db8::5", "192.0.2.5"]
        self.assertEqual(self.successResultOf(self.reactor.resolve("A.example")), "2001:db8::5")
        self.assertEqual(self.successResultOf(self.reactor.resolve("192.0.2.7")), "192.0.2.7")
        self.failureResultOf(self.reactor.resolve("b.example"), DNSLookupError)


class ThreadTests(SynchronousTestCase):
    def test_defer_to_thread_pool(self) -> None:
        reactor = MemoryReactor()
        result = deferToThreadPool(reactor, reactor.getThreadPool(), divmod, 7, 2)
        self.assertNoResult(result)
        reactor.advance()
        self.assertEqual(self.successResultOf(result), (3, 1))
        failing = deferToThreadPool(reactor, reactor.getThreadPool(), divmod, 7, 0)
        reactor.advance()
        self.failureResultOf(failing, ZeroDivisionError)

    def test_call_in_thread_and_back(self) -> None:
        reactor = MemoryReactor()
        seen: list[int] = []
        reactor.suggestThreadPoolSize(3)
        reactor.callInThread(reactor.callFromThread, seen.append, 1)
        self.assertEqual(seen, [])
        reactor.advance()
        self.assertEqual(seen, [1])

    def test_what_work_raises_is_logged(self) -> None:
        reactor = MemoryReactor()
        reactor.callInThread(lambda: 1 / 0)
        reactor.getThreadPool().callInThreadWithCallback(None, lambda: 1 / 0)
        reactor.advance()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class KillTests(SynchronousTestCase):
    def test_timers_are_forgotten_and_addresses_free(self) -> None:
        reactor = MemoryReactor()
        seen: list[str] = []

        class Server(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                seen.append("server")

        class Client(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                seen.append("client")

        reactor.listenTCP(5060, Factory.forProtocol(Server), interface="127.0.0.1")
        reactor.addSystemEventTrigger("before", "shutdown", seen.append, "shutdown")
        reactor.callLater(1, seen.append, "timer")
        connected = TCP4ClientEndpoint(reactor, "127.0.0.1", 5060).connect(Factory.forProtocol(Client))
        self.assertIsInstance(reactor.result_of(connected), Client)
        self.assertEqual(len(reactor.connections), 2)
        reactor.kill()
        reactor.advance(5)
        self.assertEqual((seen, reactor.connections, reactor.ports), ([], [], []))
        reactor.listenTCP(5060, Factory.forProtocol(Server), interface="127.0.0.1")
        reactor.stop()
        self.assertEqual(seen, [])


class ResultTests(SynchronousTestCase):
    def test_result_of(self) -> None:
        self.assertEqual(MemoryReactor().result_of(succeed(5)), 5)
