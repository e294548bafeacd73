"""What a forged source, Via or Contact makes a server send to somebody who asked for nothing."""

from __future__ import annotations

import socket
import time

from rvoip.test.hostile.case import ATTACKER, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Datagrams, Message, Stream, by_call, request

VICTIM = "127.0.71.231"
AMPLIFICATION = 3
"""An answer to somebody whom nobody vouched for is no more than so many times as long as the request."""


class ViaTests(HostileCase):
    """An answer goes to where the packet came from (RFC 3261 section 18.2.2), whatever Via says."""

    def setUp(self) -> None:
        self.victim = Datagrams(VICTIM, ("127.0.0.1", 9))
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(self.victim.address)
        self.listener.listen()
        self.listener.settimeout(0.2)
        self.addCleanup(self.victim.socket.close)
        self.addCleanup(self.listener.close)

    def assert_unharmed(self) -> None:
        """Neither a datagram nor a connection came."""
        self.assertEqual(self.victim.drain(0.2), [])
        self.assertRaises(TimeoutError, self.listener.accept)

    def vias(self, transport: str, own: str) -> list[str]:
        host, port = self.victim.address
        start = f"SIP/2.0/{transport} "
        return [
            f"{start}{host}:{port};branch=z9hG4bK{{0}}",
            f"{start}{host}:{port};branch=z9hG4bK{{0}};rport",
            f"{start}{host}:{port};branch=z9hG4bK{{0}};rport={port}",
            f"{start}{host}:{port};branch=z9hG4bK{{0}};rport={port};received={host}",
            f"{start}{host}:{port};branch=z9hG4bK{{0}};received={host}",
            f"{start}{own};branch=z9hG4bK{{0}};received={host};rport={port}",
            f"{start}{own};branch=z9hG4bK{{0}};maddr={host};rport",
            f"{start}{own};branch=z9hG4bK{{0}};maddr={host};ttl=1",
            f"{start}{own};branch=z9hG4bK{{0}};maddr=239.1.2.3;ttl=255;rport",
            f"{start}{own};branch=z9hG4bK{{0}};maddr=255.255.255.255;rport",
            f"{start}{own};branch=z9hG4bK{{0}};ttl=255;maddr={host};received={host};rport={port}",
            f"SIP/2.0/TCP {host}:{port};branch=z9hG4bK{{0}};rport",
            f"SIP/2.0/TLS {host}:{port};branch=z9hG4bK{{0}}",
            f"{start}{own};branch=z9hG4bK{{0}};rport, {start}{host}:{port};branch=z9hG4bKx;received={host}",
        ]

    def attack(self, server: Server, method: str, uri: str, transport: str) -> int:
        answered = 0
        for number in range(len(self.vias(transport, "x"))):
            if transport == "UDP":
                attacker: Datagrams | Stream = Datagrams(ATTACKER, server.address)
            else:
                attacker = Stream(ATTACKER, server.address)
            with attacker:
                via = self.vias(transport, attacker.sent_by)[number].format(
                    f"{method}{number}{time.monotonic_ns()}"
                )
                wire = request(method, uri, via=via, transport=transport)
                attacker.send(wire)
                attacker.send(request("OPTIONS", f"sip:{DOMAIN}", sent_by=attacker.sent_by, call_id="end"))
                while (message := attacker.receive(1.0)) is not None and message.get("call-id") != "end":
                    answered += 1
        return answered

    def test_answers_of_the_server(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for transport in ("UDP", "TCP"):
                for method in ("OPTIONS", "REGISTER", "INVITE", "FROB"):
                    # Those with rport, and those that name the port of the attacker, come back.
                    self.assertGreater(self.attack(server, method, f"sip:{DOMAIN}", transport), 6)
        self.assert_unharmed()

    def test_answers_that_are_forwarded(self) -> None:
        server = self.serve("proxy")
        self.attack(server, "MESSAGE", "sip:nobody@example.test", "UDP")
        self.attack(server, "INVITE", "sip:alice@example.test", "UDP")
        self.attack(server, "INVITE", "sip:nobody@elsewhere.invalid", "UDP")
        self.attack(server, "INVITE", "sip:alice@example.test", "TCP")
        self.assert_unharmed()

    def test_errors(self) -> None:
        """What cannot be read is answered to the source too, or not at all."""
        server = self.serve("proxy")
        for number, via in enumerate(self.vias("UDP", f"{ATTACKER}:5060")):
            wire = request("OPTIONS", f"sip:{DOMAIN}", via=via.format(f"e{number}"), cseq="1_0 OPTIONS")
            self.exchange(server, wire)
        self.assert_unharmed()

    def test_a_connection_that_is_gone(self) -> None:
        """An answer may be tried at sent-by then (RFC 3261 section 18.2.2), but at the source's address."""
        server = self.serve("proxy")
        host, port = self.victim.address
        with Datagrams("127.0.71.201", server.address) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by};transport=udp>")
            for number in range(5):
                with Stream(ATTACKER, server.address) as attacker:
                    via = f"SIP/2.0/TCP {host}:{port};branch=z9hG4bKgone{number};rport;received={host}"
                    attacker.send(request("INVITE", f"sip:bob@{DOMAIN}", via=via))
                    self.assertIsNotNone(bob.wait(lambda message: message.method == "INVITE", 2.0))
                    attacker.reset()
            time.sleep(0.3)
        self.assert_unharmed()


class ContactTests(HostileCase):
    """Whoever registers an address that is not his own gets what comes for it himself."""

    def test_somebody_elses(self) -> None:
        server = self.serve("open")
        with Datagrams(VICTIM, server.address) as victim, Datagrams(ATTACKER, server.address) as attacker:
            port, own = victim.address[1], attacker.sent_by
            for number, contact in enumerate(
                (
                    f"<sip:x@{VICTIM}:{port}>",
                    f"<sip:{VICTIM}:{port}>",
                    f"sip:x@{VICTIM}:{port}",
                    f"<sip:x@{VICTIM}:{port};transport=udp>",
                    f"<sip:x@{ATTACKER}:{port};maddr={VICTIM}>",
                    f"<sip:x@{ATTACKER}:{port};MADDR={VICTIM};a=b>",
                    f"<sip:x@{ATTACKER}:{port};a=b;maddr={VICTIM}>",
                    f'"@{ATTACKER}:" <sip:x@{VICTIM}:{port}>',
                    f'"<sip:x@{own}>" <sip:x@{VICTIM}:{port}>',
                    f"@{own} <sip:x@{VICTIM}:{port}>",
                    f"<sip:x@{VICTIM}:{port}>;x=@{own}",
                    f'<sip:x@{VICTIM}:{port}>;x="<sip:x@{own}>"',
                    f"<sip:x@{VICTIM}:{port};x=%40{own}>",
                )
            ):
                aor = f"sip:v{number}@{DOMAIN}"
                wire = request("REGISTER", f"sip:{DOMAIN}", f"Contact: {contact}", to=f"<{aor}>", sent_by=own)
                attacker.send(wire)
                answer = attacker.wait(by_call(Message(wire).get("call-id")), 2.0)
                assert answer is not None
                self.assertIn(answer.status, (200, 400), contact)
                if answer.status == 200:
                    attacker.send(request("MESSAGE", aor, call_id=f"to-{number}", sent_by=own))
                    got = attacker.wait(lambda message: message.method == "MESSAGE", 2.0)
                    assert got is not None, contact
            self.assertEqual(victim.drain(0.2), [])


class PortTests(HostileCase):
    """The sent-by port, unless rport asks for that of the packet (RFC 3581 section 4)."""

    def test_sent_by_port(self) -> None:
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as asks, Datagrams(ATTACKER, server.address) as listens:
            for via, hears in (
                (f"SIP/2.0/UDP {listens.sent_by};branch=z9hG4bKp1", listens),
                (f"SIP/2.0/UDP somewhere.invalid:{listens.address[1]};branch=z9hG4bKp2", listens),
                (f"SIP/2.0/UDP {listens.sent_by};branch=z9hG4bKp3;rport", asks),
                (f"SIP/2.0/UDP {asks.sent_by};branch=z9hG4bKp5", asks),
            ):
                wire = request("OPTIONS", f"sip:{DOMAIN}", via=via)
                asks.send(wire)
                call_id = Message(wire).get("call-id")
                self.assertIsNotNone(hears.wait(by_call(call_id), 1.0), via)
                other = listens if hears is asks else asks
                self.assertEqual(other.drain(0.05), [], via)

    def test_ports_that_are_none(self) -> None:
        server = self.serve("proxy")
        for port in ("0", "65536", "-1", "1_0"):
            self.exchange(
                server, request("OPTIONS", f"sip:{DOMAIN}", via=f"SIP/2.0/UDP a:{port};branch=z9hG4bKq")
            )


SMALL = (
    ("OPTIONS", "sip:example.test"),
    ("OPTIONS", "sip:example.test", "Require: a"),
    ("REGISTER", "sip:example.test"),
    ("REGISTER", "sip:x@example.test", "m:*"),
    ("REGISTER", "sip:alice@example.test"),
    ("INVITE", "sip:example.test"),
    ("INVITE", "sip:a@b.invalid"),
    ("MESSAGE", "sip:a@b.invalid"),
    ("MESSAGE", "sip:nobody@example.test"),
    ("SUBSCRIBE", "sip:alice@example.test"),
    ("FROB", "sip:example.test"),
    ("PUBLISH", "sip:example.test"),
    ("OPTIONS", "sip:example.test", "e:gzip"),
    ("OPTIONS", "sip:example.test", "Max-Forwards: x"),
    ("BYE", "sip:example.test"),
    ("CANCEL", "sip:example.test"),
    ("ACK", "sip:example.test"),
)


class AmplificationTests(HostileCase):
    """A forged source gets little out of a small request."""

    def smallest(self, method: str, uri: str, number: int, *headers: str) -> bytes:
        lines = [
            f"{method} {uri} SIP/2.0",
            f"v:SIP/2.0/UDP a;rport;branch=z9hG4bK{number:02}",
            "f:<sip:a>;tag=1",
            f"t:<{uri}>",
            f"i:{number:02}",
            f"CSeq:1 {method}",
            *headers,
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def test_answers(self) -> None:
        """What an unknown address gets, retransmissions aside, for requests as small as can be."""
        worst: dict[str, float] = {}
        for name in self.servers:
            server = self.serve(name)
            for number, (method, uri, *headers) in enumerate(SMALL):
                wire = self.smallest(method, uri, number, *headers)
                answers = self.exchange(server, wire)
                octets = sum(len(message.wire) for message in answers)
                worst[f"{name} {method} {uri} {headers} {answers}"] = octets / len(wire)
        over = {key: round(times, 2) for key, times in worst.items() if times > AMPLIFICATION}
        self.assertEqual(over, {})

    def test_what_is_no_sip(self) -> None:
        """No answer at all to what no phone sends."""
        server = self.serve("proxy")
        with Datagrams(ATTACKER, server.address) as attacker:
            for octets in (
                b"\0" * 4,
                b"GET / HTTP/1.1\r\n\r\n",
                b"x" * 1000,
            ):
                attacker.send(octets)
            attacker.send(request("ACK", f"sip:{DOMAIN}", sent_by=attacker.sent_by))
            attacker.send(request("OPTIONS", f"sip:{DOMAIN}", call_id="end", sent_by=attacker.sent_by))
            answer = attacker.receive(1.0)
            assert answer is not None
            self.assertEqual(answer.get("call-id"), "end")
            self.assertEqual(attacker.drain(0.1), [])
