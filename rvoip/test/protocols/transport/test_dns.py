"""The locator against a real DNS server on loopback."""

from __future__ import annotations

import random
import time
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from twisted.names import dns, server
from twisted.names.authority import FileAuthority
from twisted.names.client import Resolver
from twisted.names.error import DNSServerError
from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.uri import parse_uri
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.locate import LocateError, Locator
from rvoip.protocols.transport.resolver import make_resolver

real: Any = reactor


class Zone(FileAuthority):
    """A zone with what the tests look for; "fails.example.test" is a SERVFAIL."""

    soa: Any
    records: Any

    def __init__(self) -> None:
        super().__init__("")

    def loadFile(self, filename: str) -> None:  # noqa: N802
        soa = dns.Record_SOA(b"ns.example.test", b"root.example.test", 1, 3600, 600, 86400, 60, ttl=60)
        self.soa = (b"example.test", soa)
        self.records = {
            b"example.test": [
                soa,
                dns.Record_NAPTR(10, 10, b"s", b"SIPS+D2T", b"", b"_sips._tcp.example.test", ttl=300),
                dns.Record_NAPTR(20, 10, b"s", b"SIP+D2U", b"", b"_sip._udp.example.test", ttl=300),
            ],
            b"_sips._tcp.example.test": [dns.Record_SRV(0, 5, 5061, b"one.example.test", ttl=300)],
            b"_sip._udp.example.test": [
                dns.Record_SRV(0, 5, 5060, b"one.example.test", ttl=300),
                dns.Record_SRV(1, 5, 5070, b"alias.example.test", ttl=300),
            ],
            b"one.example.test": [
                dns.Record_A("192.0.2.1", ttl=300),
                dns.Record_AAAA("2001:db8::1", ttl=300),
            ],
            b"alias.example.test": [dns.Record_CNAME(b"two.example.test", ttl=300)],
            b"two.example.test": [dns.Record_A("192.0.2.2", ttl=300)],
            b"many.example.test": [dns.Record_A(f"10.1.{index}.1", ttl=300) for index in range(100)],
        }

    def _lookup(self, name: bytes, cls: int, type: int, timeout: object = None) -> Any:
        if name.lower().endswith(b"fails.example.test"):
            raise DNSServerError()
        return super()._lookup(name, cls, type, timeout)


class ServFail(server.DNSServerFactory):
    """Twisted's server turns an unknown failure into no answer at all; this one says SERVFAIL."""

    def gotResolverError(self, failure: Any, protocol: Any, message: Any, address: Any) -> None:  # noqa: N802
        if failure.check(DNSServerError):
            self.sendReply(protocol, self._responseFromMessage(message, rCode=dns.ESERVER), address)
        else:
            super().gotResolverError(failure, protocol, message, address)


class RealServerTests(TestCase):
    HOST = "127.0.62.1"

    def setUp(self) -> None:
        self.factory = ServFail(authorities=[Zone()])
        self.factory.noisy = False
        self.udp = real.listenUDP(0, dns.DNSDatagramProtocol(self.factory), interface=self.HOST)
        self.port = self.udp.getHost().port
        self.tcp = real.listenTCP(self.port, self.factory, interface=self.HOST)
        self.resolver = make_resolver(real, [f"{self.HOST}:{self.port}"])
        self.locator = self.build(self.resolver)

    def build(self, resolver: Any, **options: Any) -> Locator:
        return Locator(resolver, cast(IReactorTime, reactor), rng=random.Random(1), **options)

    async def tear_down(self) -> None:
        await self.udp.stopListening()
        await self.tcp.stopListening()
        for connection in [*self.factory.connections, *cast(Resolver, self.resolver).connections]:
            connection.transport.abortConnection()
        await deferLater(real, 0, lambda: None)

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.tear_down())

    def test_naptr_srv_cname_and_addresses(self) -> Deferred[None]:
        async def run() -> None:
            targets = await self.locator.locate(parse_uri("sip:bob@example.test"))
            self.assertEqual(
                targets,
                [
                    Target("TLS", "192.0.2.1", 5061, "example.test"),
                    Target("TLS", "2001:db8::1", 5061, "example.test"),
                    Target("UDP", "192.0.2.1", 5060),
                    Target("UDP", "2001:db8::1", 5060),
                    Target("UDP", "192.0.2.2", 5070),
                ],
            )
            self.assertEqual(self.locator.locate_now(parse_uri("sip:bob@example.test")), targets)

        return Deferred.fromCoroutine(run())

    def test_a_name_that_does_not_exist(self) -> Deferred[None]:
        async def run() -> None:
            try:
                await self.locator.locate(parse_uri("sip:none.example.test:5060"))
            except LocateError as error:
                self.assertIn("none.example.test has no address", error.reason)
            else:
                self.fail("a name that does not exist was found")

        return Deferred.fromCoroutine(run())

    def test_servfail(self) -> Deferred[None]:
        async def run() -> None:
            try:
                await self.locator.locate(parse_uri("sip:fails.example.test"))
            except LocateError as error:
                self.assertEqual(
                    (error.status, error.reason), (503, "DNS has no answer for fails.example.test")
                )
            else:
                self.fail("an answer that is none was taken")

        return Deferred.fromCoroutine(run())

    def test_an_answer_too_large_for_udp(self) -> Deferred[None]:
        async def run() -> None:
            targets = await self.locator.locate(parse_uri("sip:many.example.test:5060"))
            self.assertEqual(len(targets), 64)

        return Deferred.fromCoroutine(run())

    def test_a_black_hole(self) -> Deferred[None]:
        async def run() -> None:
            hole = real.listenUDP(0, DatagramProtocol(), interface=self.HOST)
            resolver = make_resolver(real, [f"{self.HOST}:{hole.getHost().port}"])
            locator = self.build(resolver, timeout=0.2, dns_timeouts=(0.1, 0.2))
            start = time.monotonic()
            try:
                await locator.locate(parse_uri("sip:bob@example.test"))
            except LocateError as error:
                self.assertEqual((error.status, error.reason), (503, "DNS does not answer for example.test"))
            else:
                self.fail("nobody answered and there are targets")
            self.assertTrue(0.15 < time.monotonic() - start < 2.0)
            while locator.dns.in_flight:
                await deferLater(real, 0.05, lambda: None)
            await hole.stopListening()

        return Deferred.fromCoroutine(run())

    def test_the_second_server_serves_when_the_first_is_silent(self) -> Deferred[None]:
        async def run() -> None:
            hole = real.listenUDP(0, DatagramProtocol(), interface=self.HOST)
            servers = [f"{self.HOST}:{hole.getHost().port}", f"{self.HOST}:{self.port}"]
            locator = self.build(make_resolver(real, servers), dns_timeouts=(0.1, 0.2))
            targets = await locator.locate(parse_uri("sip:two.example.test:5060"))
            self.assertEqual(targets, [Target("UDP", "192.0.2.2", 5060)])
            await hole.stopListening()

        return Deferred.fromCoroutine(run())
