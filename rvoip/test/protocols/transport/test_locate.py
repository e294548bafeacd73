"""The locator under a clock, with a resolver that says what the test wants, when it wants."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.names import dns
from twisted.names.error import (
    AuthoritativeDomainError,
    DNSNameError,
    DNSNotImplementedError,
    DNSQueryTimeoutError,
    DNSServerError,
    DomainError,
)
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.uri import parse_uri
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.locate import LocateError, Locator
from rvoip.testing.memory_clock import MemoryClock

Sections = tuple[Sequence[Any], Sequence[Any], Sequence[Any]]


def record(name: str, payload: Any, ttl: int = 300) -> dns.RRHeader:
    return dns.RRHeader(name.encode(), payload.TYPE, dns.IN, ttl, payload)


class FakeResolver:
    """Answers from `zone`; what `failing` holds fails; what `held` holds waits for the test."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[dns.RRHeader]] = {}
        self.failing: dict[tuple[str, str], Exception] = {}
        self.held: dict[tuple[str, str], Deferred[Sections]] = {}
        self.asked: list[tuple[str, str]] = []
        self.timeouts: set[object] = set()

    def add(self, name: str, payload: Any, ttl: int = 300) -> None:
        kind = dns.QUERY_TYPES[payload.TYPE]
        asked = ("A", "AAAA", "SRV", "NAPTR") if kind == "CNAME" else (kind,)
        for one in asked:
            self.zone.setdefault((name, one), []).append(record(name, payload, ttl))

    def answer(self, kind: str, name: bytes, timeout: object) -> Deferred[Sections]:
        key = (name.decode(), kind)
        self.asked.append(key)
        self.timeouts.add(timeout)
        if key in self.failing:
            return fail(self.failing[key])
        if key in self.held:
            return self.held[key]
        if key in self.zone:
            return succeed((self.zone[key], [], []))
        soa = record("test", dns.Record_SOA(minimum=60), 3600)
        return succeed(([], [soa], []))

    def lookupAddress(self, name: bytes, timeout: object) -> Deferred[Sections]:  # noqa: N802
        return self.answer("A", name, timeout)

    def lookupIPV6Address(self, name: bytes, timeout: object) -> Deferred[Sections]:  # noqa: N802
        return self.answer("AAAA", name, timeout)

    def lookupService(self, name: bytes, timeout: object) -> Deferred[Sections]:  # noqa: N802
        return self.answer("SRV", name, timeout)

    def lookupNamingAuthorityPointer(self, name: bytes, timeout: object) -> Deferred[Sections]:  # noqa: N802
        return self.answer("NAPTR", name, timeout)


class LocatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryClock()
        self.resolver = FakeResolver()
        self.locator = self.build()
        add = self.resolver.add
        add("a.test", dns.Record_NAPTR(10, 10, b"s", b"SIP+D2U", b"", b"_sip._udp.a.test"))
        add("_sip._udp.a.test", dns.Record_SRV(1, 0, 5060, b"one.a.test"))
        add("_sip._udp.a.test", dns.Record_SRV(2, 0, 5062, b"two.a.test"))
        add("one.a.test", dns.Record_A("192.0.2.1"))
        add("one.a.test", dns.Record_AAAA("2001:db8::1"))
        add("two.a.test", dns.Record_A("192.0.2.2"))

    def build(self, **options: Any) -> Locator:
        resolver: Any = self.resolver
        return Locator(resolver, self.clock, rng=random.Random(1), **options)

    def locate(self, uri: str, within: float = 64.0) -> list[str]:
        return [str(target) for target in self.clock.result_of(self.locator.locate(parse_uri(uri)), within)]

    def error(self, uri: str) -> LocateError:
        error: LocateError = self.assertRaises(LocateError, self.locate, uri)
        return error


ALL_OF_A = ["udp:192.0.2.1:5060", "udp:[2001:db8::1]:5060", "udp:192.0.2.2:5062"]


class LookupTests(LocatorTests):
    def test_naptr_srv_and_addresses(self) -> None:
        self.assertIsNone(self.locator.locate_now(parse_uri("sip:bob@a.test")))
        self.assertEqual(self.locate("sip:bob@a.test"), ALL_OF_A)
        self.assertEqual(
            self.resolver.asked,
            [
                ("a.test", "NAPTR"),
                ("_sip._udp.a.test", "SRV"),
                ("one.a.test", "A"),
                ("one.a.test", "AAAA"),
                ("two.a.test", "A"),
                ("two.a.test", "AAAA"),
            ],
        )
        self.assertEqual(self.resolver.timeouts, {(1.0, 2.0)})
        self.assertEqual(self.clock.seconds(), 0.0)

    def test_numeric_hosts_need_no_dns(self) -> None:
        for _ in range(2):
            self.assertEqual(
                self.locator.locate_now(parse_uri("sip:bob@192.0.2.9:5070;transport=tcp")),
                [Target("TCP", "192.0.2.9", 5070)],
            )
        self.assertRaises(LocateError, self.locator.locate_now, parse_uri("sip:0.0.0.0"))
        self.assertRaises(LocateError, self.locator.locate_now, parse_uri("tel:+1555"))
        self.assertEqual(self.resolver.asked, [])

    def test_localhost_needs_no_dns(self) -> None:
        expected = ["udp:127.0.0.1:5060", "udp:[::1]:5060"]
        for uri in ("sip:localhost", "sip:LOCALHOST", "sip:my.localhost"):
            self.assertEqual(self.locate(uri), expected)
            self.assertIsNotNone(self.locator.locate_now(parse_uri(uri)))
        self.assertEqual(self.resolver.asked, [])

    def test_names_of_browsers_need_no_dns(self) -> None:
        """RFC 6761 section 6.4: they lead nowhere."""
        for uri in ("sip:abc.invalid", "sip:abc.INVALID:5060", "sip:invalid.invalid;transport=tcp"):
            self.assertRaises(LocateError, self.locate, uri)
            self.assertRaises(LocateError, self.locator.locate_now, parse_uri(uri))
        self.assertEqual(self.resolver.asked, [])

    def test_aliases(self) -> None:
        add = self.resolver.add
        add("alias.test", dns.Record_CNAME(b"b.test"), 20)
        add("b.test", dns.Record_CNAME(b"c.test"), 10)
        add("c.test", dns.Record_A("192.0.2.3"), 300)
        self.assertEqual(self.locate("sip:alias.test:5060"), ["udp:192.0.2.3:5060"])
        uri = parse_uri("sip:alias.test:5060")
        self.clock.advance(9)
        self.assertIsNotNone(self.locator.locate_now(uri))
        self.clock.advance(1)
        self.assertIsNone(self.locator.locate_now(uri), "the shortest TTL of the chain counts")

    def test_aliases_in_a_circle(self) -> None:
        self.resolver.add("a1.test", dns.Record_CNAME(b"a2.test"))
        self.resolver.add("a2.test", dns.Record_CNAME(b"a1.test"))
        self.assertEqual(self.error("sip:a1.test:5060").reason, "DNS has no answer for a1.test")
        self.assertLess(len(self.resolver.asked), 20)

    def test_an_endless_chain_of_aliases(self) -> None:
        for index in range(100):
            self.resolver.add(f"n{index}.test", dns.Record_CNAME(b"n%d.test" % (index + 1)))
        self.assertEqual(self.error("sip:n0.test:5060").status, 503)
        self.assertLess(len(self.resolver.asked), 20)

    def test_kinds_nobody_asked_for_are_ignored(self) -> None:
        self.resolver.zone["t.test", "A"] = [
            record("t.test", dns.Record_TXT(b"x")),
            record("t.test", dns.Record_A("192.0.2.7")),
        ]
        self.assertEqual(self.locate("sip:t.test:5060"), ["udp:192.0.2.7:5060"])

    def test_concurrent_lookups_of_one_name_are_shared(self) -> None:
        self.resolver.held["a.test", "NAPTR"] = Deferred()
        waiting = [
            Deferred.fromCoroutine(self.locator.locate(parse_uri(f"sip:u{n}@a.test"))) for n in range(50)
        ]
        self.assertEqual(self.resolver.asked, [("a.test", "NAPTR")])
        self.resolver.held["a.test", "NAPTR"].callback((self.resolver.zone["a.test", "NAPTR"], [], []))
        for deferred in waiting:
            self.assertEqual([str(target) for target in self.successResultOf(deferred)], ALL_OF_A)
        self.assertEqual(len(self.resolver.asked), 6)

    def test_the_number_under_way_is_bounded(self) -> None:
        self.locator = self.build(max_in_flight=3)
        waiting = []
        for index in range(5):
            self.resolver.held[f"h{index}.test", "A"] = Deferred()
            uri = parse_uri(f"sip:h{index}.test:5060")
            self.locator.families = (4,)
            waiting.append(Deferred.fromCoroutine(self.locator.locate(uri)))
        self.assertEqual(len(self.resolver.asked), 3)
        for deferred in waiting[3:]:
            self.assertEqual(self.failureResultOf(deferred, LocateError).value.status, 503)
        self.resolver.held["h0.test", "A"].callback(([record("h0.test", dns.Record_A("192.0.2.1"))], [], []))
        self.assertEqual(len(self.successResultOf(waiting[0])), 1)
        self.assertEqual(self.locator.dns.in_flight, 2)
        for index in (1, 2):
            self.resolver.held[f"h{index}.test", "A"].errback(TimeoutError())
            self.failureResultOf(waiting[index], LocateError)

    def test_a_caller_that_goes_away_leaves_no_timer(self) -> None:
        self.resolver.held["a.test", "NAPTR"] = Deferred()
        waiting = Deferred.fromCoroutine(self.locator.locate(parse_uri("sip:a.test")))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])
        self.resolver.held["a.test", "NAPTR"].callback(([], [], []))


class CacheTests(LocatorTests):
    def test_it_is_cached_for_the_shortest_ttl(self) -> None:
        self.resolver.zone["two.a.test", "A"][0].ttl = 30
        self.locate("sip:a.test")
        asked = len(self.resolver.asked)
        # The test zone says 60 s for "there is none", and two.a.test has no AAAA.
        self.clock.advance(29)
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        self.assertEqual(self.locate("sip:other@a.test;transport=udp"), ALL_OF_A)
        self.assertEqual(len(self.resolver.asked), asked)
        self.clock.advance(1)
        self.assertIsNone(self.locator.locate_now(parse_uri("sip:a.test")))
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        self.assertEqual(self.resolver.asked[asked:], [("two.a.test", "A")])

    def test_that_there_is_none_is_cached(self) -> None:
        self.error("sip:none.test")
        asked = len(self.resolver.asked)
        self.clock.advance(59)
        error = self.assertRaises(LocateError, self.locator.locate_now, parse_uri("sip:none.test"))
        self.assertEqual(error.reason, "none.test has no address for SIP over UDP or TCP or TLS")
        self.assertEqual(len(self.resolver.asked), asked)
        self.clock.advance(1)
        self.assertIsNone(self.locator.locate_now(parse_uri("sip:none.test")))

    def test_a_name_that_does_not_exist(self) -> None:
        message = dns.Message()
        message.authority = [record("test", dns.Record_SOA(minimum=20), 3600)]
        for index, error in enumerate(
            (DNSNameError(message), DNSNameError(), DomainError("x"), AuthoritativeDomainError("x"))
        ):
            name = f"x{index}.test"
            for kind in ("A", "AAAA"):
                self.resolver.failing[name, kind] = error
            self.assertIn("has no address", self.error(f"sip:{name}:5060").reason)
        self.clock.advance(25)
        self.assertIsNone(self.locator.locate_now(parse_uri("sip:x0.test:5060")), "the SOA says 20 s")
        self.assertRaises(LocateError, self.locator.locate_now, parse_uri("sip:x1.test:5060"))

    def test_forget(self) -> None:
        self.locate("sip:a.test")
        self.locator.forget()
        self.assertIsNone(self.locator.locate_now(parse_uri("sip:a.test")))

    def test_weights_hold_for_what_is_cached(self) -> None:
        self.resolver.add("_sip._tcp.w.test", dns.Record_SRV(0, 1, 5060, b"one.a.test"))
        self.resolver.add("_sip._tcp.w.test", dns.Record_SRV(0, 3, 5060, b"two.a.test"))
        self.locator.families = (4,)
        uri = parse_uri("sip:w.test;transport=tcp")
        self.locate(str(uri))
        firsts = [(self.locator.locate_now(uri) or [])[0].host for _ in range(2000)]
        self.assertTrue(0.6 < firsts.count("192.0.2.2") / 2000 < 0.8)


class OutageTests(LocatorTests):
    def test_servers_that_cannot_answer(self) -> None:
        for index, error in enumerate(
            (
                DNSServerError(),
                DNSNotImplementedError(),
                OSError("no route"),
                CannotListenError("", 1, OSError("x")),
            )
        ):
            name = f"f{index}.test"
            for kind in ("A", "AAAA"):
                self.resolver.failing[name, kind] = error
            found = self.error(f"sip:{name}:5060")
            self.assertEqual((found.status, found.reason), (503, f"DNS has no answer for {name}"))

    def test_a_failure_is_not_repeated_at_once(self) -> None:
        self.resolver.failing["f.test", "A"] = self.resolver.failing["f.test", "AAAA"] = DNSServerError()
        self.error("sip:f.test:5060")
        self.error("sip:f.test:5060")
        self.assertEqual(len(self.resolver.asked), 2)
        self.clock.advance(5)
        self.error("sip:f.test:5060")
        self.assertEqual(len(self.resolver.asked), 4)

    def test_servers_that_time_out(self) -> None:
        for index, error in enumerate((TimeoutError(), DNSQueryTimeoutError(1))):
            self.resolver.failing[f"t{index}.test", "A"] = error
            self.locator.families = (4,)
            self.assertEqual(
                self.error(f"sip:t{index}.test:5060").reason, f"DNS does not answer for t{index}.test"
            )

    def test_a_bug_in_a_resolver_is_logged_and_a_failure(self) -> None:
        self.resolver.failing["f.test", "A"] = self.resolver.failing["f.test", "AAAA"] = ZeroDivisionError()
        self.assertEqual(self.error("sip:f.test:5060").status, 503)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_silence_ends_within_four_seconds(self) -> None:
        for key in (
            ("s.test", "NAPTR"),
            *((f"{p}.s.test", "SRV") for p in ("_sip._udp", "_sip._tcp", "_sips._tcp")),
        ):
            self.resolver.held[key] = Deferred()
        self.assertEqual(self.error("sip:s.test").reason, "DNS does not answer for s.test")
        self.assertEqual(self.clock.seconds(), 4.0)
        self.assertEqual(list(self.clock.getDelayedCalls()), [])

    def test_one_silent_question_does_not_cost_the_call(self) -> None:
        self.resolver.held["_sips._tcp.plain.test", "SRV"] = Deferred()
        self.resolver.add("_sip._tcp.plain.test", dns.Record_SRV(0, 0, 5060, b"one.a.test"))
        self.assertEqual(self.locate("sip:plain.test"), ["tcp:192.0.2.1:5060", "tcp:[2001:db8::1]:5060"])
        self.assertEqual(self.clock.seconds(), 2.0)

    def test_a_late_answer_is_kept(self) -> None:
        self.resolver.held["late.test", "A"] = Deferred()
        self.error("sip:late.test:5060")
        self.assertEqual(self.clock.seconds(), 4.0)
        self.clock.advance(1)
        self.resolver.held["late.test", "A"].callback(
            ([record("late.test", dns.Record_A("192.0.2.8"))], [], [])
        )
        self.assertEqual(self.locate("sip:late.test:5060"), ["udp:192.0.2.8:5060"])
        self.assertEqual(self.clock.seconds(), 5.0)

    def test_old_answers_serve_when_dns_is_down(self) -> None:
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        self.clock.advance(600)
        for key in list(self.resolver.zone):
            self.resolver.failing[key] = DNSServerError()
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        asked = len(self.resolver.asked)
        self.clock.advance(29)
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        self.assertEqual(len(self.resolver.asked), asked, "renewal is not tried at each request")
        self.clock.advance(3600)
        self.assertEqual(self.error("sip:a.test").status, 503)

    def test_old_answers_serve_soon_when_dns_is_silent(self) -> None:
        self.locate("sip:a.test")
        self.clock.advance(600)
        for key in list(self.resolver.zone):
            self.resolver.held[key] = Deferred()
        start = self.clock.seconds()
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)
        self.assertLessEqual(self.clock.seconds() - start, 4.0)

    def test_a_renewal_in_time_is_used(self) -> None:
        self.locate("sip:a.test")
        self.clock.advance(600)
        held: Deferred[Sections] = Deferred()
        self.resolver.held["a.test", "NAPTR"] = held
        self.clock.callLater(
            1.0,
            held.callback,
            ([record("a.test", dns.Record_NAPTR(1, 1, b"s", b"SIP+D2T", b"", b"_sip._tcp.a.test"))], [], []),
        )
        self.resolver.add("_sip._tcp.a.test", dns.Record_SRV(1, 0, 5060, b"two.a.test"))
        self.assertEqual(self.locate("sip:a.test"), ["tcp:192.0.2.2:5060"])


class BlacklistTests(LocatorTests):
    def test_failed_targets_come_last(self) -> None:
        self.locate("sip:a.test")
        self.locator.failed(Target("UDP", "192.0.2.1", 5060))
        moved = [ALL_OF_A[1], ALL_OF_A[2], ALL_OF_A[0]]
        self.assertEqual(self.locate("sip:a.test"), moved)
        self.clock.advance(29)
        self.assertEqual(self.locate("sip:a.test"), moved)
        self.assertTrue(self.locator.avoids(Target("UDP", "192.0.2.1", 5060)))
        self.assertFalse(self.locator.avoids(Target("TCP", "192.0.2.1", 5060)))
        self.clock.advance(1)
        self.assertFalse(self.locator.avoids(Target("UDP", "192.0.2.1", 5060)))
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)

    def test_success_and_retry_after(self) -> None:
        self.locate("sip:a.test")
        target = Target("UDP", "192.0.2.1", 5060)
        self.locator.failed(target, 100.0)
        self.clock.advance(50)
        self.assertEqual(self.locate("sip:a.test")[-1], str(target))
        self.locator.succeeded(target)
        self.assertEqual(self.locate("sip:a.test"), ALL_OF_A)

    def test_the_only_one_stays(self) -> None:
        target = Target("UDP", "192.0.2.9", 5060)
        self.locator.failed(target)
        self.assertEqual(self.locator.locate_now(parse_uri("sip:192.0.2.9")), [target])
