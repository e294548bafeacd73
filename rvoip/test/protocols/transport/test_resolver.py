"""Which DNS servers are asked, and how."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase, TestCase

from rvoip.protocols.sip.uri import parse_uri
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.locate import Locator
from rvoip.protocols.transport.resolver import CHECK_EVERY, PAYLOAD, make_resolver
from rvoip.testing.memory_reactor import MemoryReactor

real: Any = reactor
HOST = "127.0.62.2"


class Answering(DatagramProtocol):
    """A name server over UDP alone: 20 SRV records and an address of each, about 1,100 octets.

    Without EDNS it cuts answers at 512 octets, as RFC 1035 wants it; `refuses` makes it one that takes EDNS
    for an error.
    """

    noisy = False

    def __init__(self, refuses: int = dns.OK) -> None:
        self.refuses = refuses
        self.offers: list[int | None] = []
        self.longest = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        question = dns.Message()
        question.fromStr(datagram)
        options = [one for one in question.additional if one.type == 41]
        offer = options[0].cls if options else None
        self.offers.append(offer)
        if options and self.refuses:
            answer = dns.Message(question.id, answer=1, rCode=self.refuses)
        else:
            answer = dns.Message(question.id, answer=1, recAv=1, maxSize=0)
            answer.queries = question.queries
            (query,) = question.queries
            for number in range(20 if query.type == dns.SRV else 1):
                payload: Any = dns.Record_A("192.0.2.1")
                if query.type == dns.SRV:
                    payload = dns.Record_SRV(0, 5, 5060, b"server-%02d.example.test" % number)
                answer.answers.append(dns.RRHeader(query.name.name, query.type, dns.IN, 60, payload))
        data = answer.toStr()
        if len(data) > (offer or 512):
            cut = dns.Message(question.id, answer=1, trunc=1)
            cut.queries = question.queries
            data = cut.toStr()
        self.longest = max(self.longest, len(data))
        transport: Any = self.transport
        transport.write(data, addr)


class LongAnswerTests(TestCase):
    """Answers of more than 512 octets, where TCP does not get through."""

    def locator(self, server: Answering) -> Locator:
        listening = real.listenUDP(0, server, interface=HOST, maxPacketSize=4096)
        self.addCleanup(listening.stopListening)
        resolver = make_resolver(real, [f"{HOST}:{listening.getHost().port}"])
        return Locator(resolver, cast(IReactorTime, real), families=(4,))

    async def test_over_udp(self) -> None:
        server = Answering()
        targets = await self.locator(server).locate(parse_uri("sip:example.test;transport=udp"))
        self.assertEqual(targets, [Target("UDP", "192.0.2.1", 5060)])
        self.assertEqual(set(server.offers), {PAYLOAD})
        self.assertGreater(server.longest, 700)

    async def test_a_server_without_edns(self) -> None:
        """It is asked again in the old way, and from then on at once."""
        for refusal in (dns.EFORMAT, dns.ENOTIMP):
            server = Answering(refusal)
            locator = self.locator(server)
            for _ in range(2):
                locator.forget()
                targets = await locator.locate(parse_uri("sip:one.example.test:5070"))
                self.assertEqual(targets, [Target("UDP", "192.0.2.1", 5070)])
            self.assertEqual(server.offers, [PAYLOAD, None, None])


class MakeResolverTests(SynchronousTestCase):
    def test_servers(self) -> None:
        for text, expected in (
            ("192.0.2.53", ("192.0.2.53", 53)),
            ("127.0.0.1:5353", ("127.0.0.1", 5353)),
            ("2001:db8::53", ("2001:db8::53", 53)),
            ("[::1]:5353", ("::1", 5353)),
        ):
            resolver: Any = make_resolver(MemoryReactor(), [text])
            self.assertEqual(resolver.servers, [expected])

    def test_what_is_no_server(self) -> None:
        for text in (
            "dns.example.test",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "127.0.0.1:x",
            "",
            "[::1",
            "1.2.3.4:5:6",
        ):
            with self.subTest(text=text):
                error = self.assertRaises(ValueError, make_resolver, MemoryReactor(), [text])
                self.assertIn(repr(text), str(error))

    def test_the_system_s(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "resolv.conf").write_text(
            "search example.test\nnameserver 192.0.2.53\nnameserver\nnameserver bad\nnameserver ::1\n"
        )
        (folder / "hosts").write_text("127.0.0.1 localhost\n192.0.2.44 phone.example.test phone\n")
        memory = MemoryReactor()
        resolver: Any = make_resolver(
            memory, resolv_conf=str(folder / "resolv.conf"), hosts_file=str(folder / "hosts")
        )
        self.assertEqual(resolver.resolvers[1].servers, [("192.0.2.53", 53), ("::1", 53)])
        locator = Locator(resolver, memory, families=(4,))
        self.assertEqual(
            memory.result_of(locator.locate(parse_uri("sip:phone.example.test:5060"))),
            [Target("UDP", "192.0.2.44", 5060)],
        )

    def test_without_any(self) -> None:
        resolver: Any = make_resolver(MemoryReactor(), resolv_conf="/nonexistent/resolv.conf")
        self.assertEqual(resolver.resolvers[1].servers, [("127.0.0.1", 53)])

    def test_the_system_s_change(self) -> None:
        """The file is looked at every few seconds; one that is gone for a moment changes nothing."""
        path = Path(self.mktemp())
        memory = MemoryReactor()
        path.write_text("nameserver 192.0.2.53\n")
        resolver: Any = make_resolver(memory, resolv_conf=str(path), hosts_file="/nonexistent/hosts")
        asking = resolver.resolvers[1]

        def servers() -> list[tuple[str, int]]:
            resolver.lookupAddress(b"example.test").addErrback(lambda failure: None)
            found: list[tuple[str, int]] = asking.servers
            return found

        old, new = [("192.0.2.53", 53)], [("192.0.2.54", 53)]
        self.assertEqual(servers(), old)
        other = path.with_suffix(".new")
        other.write_text("nameserver 192.0.2.54\n")
        os.replace(other, path)
        self.assertEqual(servers(), old, "it was looked at a moment ago")
        memory.advance(CHECK_EVERY)
        self.assertEqual(servers(), new)
        path.unlink()
        memory.advance(CHECK_EVERY)
        self.assertEqual(servers(), new)
        path.write_text("nameserver 192.0.2.53\n")
        memory.advance(CHECK_EVERY)
        self.assertEqual(servers(), old)
