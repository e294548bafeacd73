"""Start lines, headers, URIs and numbers that are none, to all roles over UDP and TCP.

Each is answered with a 4xx or not at all, costs little and leaves nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rvoip.test.hostile.case import ATTACKER, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Callee, Message, request

VIA = f"SIP/2.0/UDP {ATTACKER}:5060;branch=z9hG4bKx;rport"
LONG = "a" * 20_000


def _rest(method: str = "OPTIONS") -> bytes:
    return request(method, "sip:example.test").partition(b"\r\n")[2]


def start_lines() -> Iterator[bytes]:
    """First lines that no request or response has, over headers that are well."""
    for line in (
        "",
        " ",
        "OPTIONS",
        "OPTIONS sip:example.test",
        "OPTIONS  sip:example.test SIP/2.0",
        "OPTIONS sip:example.test  SIP/2.0",
        "OPTIONS sip:example.test SIP/2.0 ",
        " OPTIONS sip:example.test SIP/2.0",
        "OPTIONS\tsip:example.test\tSIP/2.0",
        "OPTIONS sip:example.test SIP/3.0",
        "OPTIONS sip:example.test SIP/2",
        "OPTIONS sip:example.test SIP/2.0.0",
        "OPTIONS sip:example.test SIP/\uff12.\uff10",
        "OPTIONS sip:example.test HTTP/1.1",
        "OPT\0IONS sip:example.test SIP/2.0",
        "OPTIONS sip:exa\0mple.test SIP/2.0",
        "OPTIONS sip:example.test\x0b SIP/2.0",
        "OPTIONS <sip:example.test> SIP/2.0",
        "OPTIONS sip: SIP/2.0",
        "OPTIONS :x SIP/2.0",
        "OPTIONS x SIP/2.0",
        "OPTIONS sip:@ SIP/2.0",
        "OPTIONS sip:@example.test SIP/2.0",
        "OPTIONS sip:example.test:0 SIP/2.0",
        "OPTIONS sip:example.test:65536 SIP/2.0",
        "OPTIONS sip:example.test:5_060 SIP/2.0",
        "OPTIONS sip:example.test:\u0665\u0660\u0666\u0660 SIP/2.0",
        f"OPTIONS sip:example.test:{'9' * 5000} SIP/2.0",
        "OPTIONS sip:[::1 SIP/2.0",
        "OPTIONS sip:[:::1] SIP/2.0",
        "OPTIONS sip:[::1%eth0] SIP/2.0",
        "OPTIONS sip:exam ple.test SIP/2.0",
        "OPTIONS sip:a:b:c@example.test SIP/2.0",
        "OPTIONS sip:%@example.test SIP/2.0",
        "OPTIONS sip:%zz@example.test SIP/2.0",
        "OPTIONS sip:%00@example.test SIP/2.0",
        "OPTIONS sip:example.test;=x SIP/2.0",
        "OPTIONS sip:example.test;;; SIP/2.0",
        "OPTIONS sip:example.test?Route=%3csip:x%3e SIP/2.0",
        "OPTIONS sip:example.test?? SIP/2.0",
        "OPTIONS tel: SIP/2.0",
        "OPTIONS tel:+++ SIP/2.0",
        "OPTIONS urn:service:sos SIP/2.0",
        "INV@TE sip:example.test SIP/2.0",
        f"{'M' * 10_000} sip:example.test SIP/2.0",
        f"OPTIONS sip:{'u' * 20_000}@example.test SIP/2.0",
        f"OPTIONS sip:example.test{';p' * 5000} SIP/2.0",
        "SIP/2.0",
        "SIP/2.0 ",
        "SIP/2.0 200",
        "SIP/2.0 20 OK",
        "SIP/2.0 2000 OK",
        "SIP/2.0 099 OK",
        "SIP/2.0 700 OK",
        "SIP/2.0 -20 OK",
        "SIP/2.0 2_0 OK",
        "SIP/2.0 \uff12\uff10\uff10 OK",
        f"SIP/2.0 {'9' * 5000} OK",
        "SIP/2.0 200 \x1b[2J\x07",
        "SIP/1.0 200 OK",
    ):
        yield line.encode() + b"\r\n" + _rest()
    yield b"OPTIONS sip:\xff\xfe@example.test SIP/2.0\r\n" + _rest()
    yield b"\xff" * 300
    yield b"A" * 65_000
    yield b"OPTIONS sip:example.test SIP/2.0\r\n\r\n"
    yield b"OPTIONS sip:example.test SIP/2.0\r\n" + _rest().replace(b"\r\n", b"\n")
    yield b"OPTIONS sip:example.test SIP/2.0\r\n" + _rest().replace(b"\r\n", b"\r")
    yield b"OPTIONS sip:example.test SIP/2.0\r\n" + _rest().replace(b"\r\n", b"\n\r")


def whole_heads() -> Iterator[bytes]:
    """Heads that are wrong as a whole: too much of something, or without something."""
    uri = "sip:example.test"
    for name in ("sender", "call_id", "cseq"):
        yield request("OPTIONS", uri, **{name: None})  # type: ignore[arg-type]
    good = request("OPTIONS", uri)
    for header in (b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Max-Forwards"):
        lines = good.split(b"\r\n")
        own = next(line for line in lines if line.startswith(header + b":"))
        yield good.replace(own + b"\r\n", b"")
        yield good.replace(own, own + b"\r\n" + own)
        yield good.replace(own, header + b":")
        yield good.replace(own, header)
        yield good.replace(own, own.replace(b":", b"\0:"))
        yield good.replace(own, b" " + own)
    yield request("OPTIONS", uri, *["Accept: a/b"] * 60)
    yield request("OPTIONS", uri, *["Accept: a/b"] * 300)
    yield request("OPTIONS", uri, *[f"X-{number}: y" for number in range(3000)])
    yield request("OPTIONS", uri, "Accept: " + ", ".join(["a/b"] * 12_000))
    yield request("OPTIONS", uri, "X: " + LONG)
    yield request("OPTIONS", uri, "X" * 20_000 + ": y")
    yield request("OPTIONS", uri, *[f"Via: {VIA}"] * 80)
    yield request(
        "OPTIONS", uri, "Via: " + ", ".join([f"SIP/2.0/UDP h{number};branch=b" for number in range(400)])
    )
    yield request("OPTIONS", uri, *["Route: <sip:a.test;lr>"] * 60)
    yield request("OPTIONS", uri, "Route: " + ",".join(["<sip:a.test;lr>"] * 1000))
    yield request("OPTIONS", uri, "Contact: " + ",".join(["<sip:a@b>"] * 1600))
    yield request("OPTIONS", uri, "Require: " + ",".join(["a"] * 8000))
    yield request("OPTIONS", uri, "Subject: " + "\r\n " * 5000 + "x")
    yield request("OPTIONS", uri, "Subject:" + "\r\n\t" * 20_000)
    yield request("OPTIONS", uri, ":", ": x", "\0\0\0: x", "a b: x", "a\xa0: x", "\u2028: x")


HEADERS = """
    Via From To Call-ID CSeq Max-Forwards Contact Route Record-Route Path Expires Min-Expires Require
    Supported Proxy-Require Unsupported Allow Accept Accept-Encoding Content-Type Content-Disposition
    Content-Encoding Authorization Proxy-Authorization WWW-Authenticate Proxy-Authenticate
    Authentication-Info P-Asserted-Identity P-Preferred-Identity Privacy Diversion History-Info Reason
    Refer-To Referred-By Replaces Event Subscription-State Session-Expires Min-SE RAck RSeq SIP-ETag
    SIP-If-Match Date Timestamp Retry-After Warning User-Agent Identity Session-ID Max-Breadth Target-
    Dialog Join Geolocation
""".split()

VALUES = (
    "",
    ",",
    ",,,,;;;;====",
    "*",
    '"',
    '"\\',
    '"' + "\\" * 3001,
    "<",
    "<>",
    ">",
    "<<<<<<<<sip:a@b",
    '"a" <sip:b',
    "<sip:a@b>;tag=",
    '<sip:a@b>;tag="',
    "<sip:a@b>;;;;;;x",
    "<sip:a@b>;expires=1_0;q=0_1;expires=-1",
    "<sip:a@b>;q=" + "9" * 5000,
    "sip:",
    "sip:[::",
    "sip:a@b:\u0665",
    "-1",
    "1_0",
    "\uff11\uff12\uff13",
    "0x10",
    "1e9",
    "99999999999",
    "9" * 5000,
    "4294967296 OPTIONS",
    "1_0 OPTIONS",
    "\u0661 OPTIONS",
    "1",
    "Digest",
    "Digest ,,,",
    "Digest username",
    'Digest username="',
    'Digest username="a", realm="example.test", nonce="\0", uri="sip:a", response="x", nc=1_000_00, qop=auth',
    'Digest username="a", realm="example.test", nonce="' + "n" * 8000 + '", uri="sip:a", response="\u0663"',
    "Digest " + ",".join(["a=b"] * 3000),
    "Basic dXNlcjpwYXNz",
    "SIP/2.0/UDP",
    "SIP/2.0/UDP ;branch=",
    "SIP/2.0/UDP a:99999;branch=z9hG4bK",
    "SIP / 2.0 / UDP [::;received=1.2.3.4;rport=x",
    "a;" * 4000,
    "(" * 8000,
    "{0.__class__.__init__} %s %n {}",
    "\x00\x01\x1b[31m\x7f",
    "\x85\x0b\x0c\x1c\x1d\x1e\u2028X-Trusted: yes",
    "\udcff\udcfe",
)
"""Text that a value may not be; the file is read by eyes that know which trap each is for."""


def requests(method: str, uri: str, extra: tuple[str, ...] = ()) -> Iterator[bytes]:
    """A request with each header in turn given each of the values, in place of its own if it has one."""
    for name, value in itertools.product(HEADERS, VALUES):
        base = request(method, uri, *extra)
        line = f"{name}: {value}".encode("utf-8", "surrogateescape")
        lines = base.split(b"\r\n")
        own = [index for index, each in enumerate(lines) if each.startswith(name.encode() + b":")]
        if own:
            lines[own[0]] = line
        else:
            lines.insert(1, line)
        yield b"\r\n".join(lines)


class MalformedCase(HostileCase):
    """What such messages may be answered."""

    def check_answers(self, server: Server, answers: list[Message]) -> None:
        for answer in answers:
            self.assertTrue(
                answer.status in (200, 202, 100)
                or 300 <= answer.status < 500
                or answer.status in (501, 503, 505, 513),
                answer.wire,
            )

    def in_batches(self, server: Server, messages: list[bytes], transport: str, size: int = 20) -> None:
        for start in range(0, len(messages), size):
            self.check_answers(server, self.exchange(server, messages[start : start + size], transport))


class StartLineTests(MalformedCase):
    def test_over_udp(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for wire in start_lines():
                self.check_answers(server, self.exchange(server, wire))

    def test_over_tcp(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for wire in start_lines():
                if wire.endswith(b"\r\n\r\n"):  # else what follows is still part of it
                    self.check_answers(server, self.exchange(server, wire, "TCP"))


class HeadTests(MalformedCase):
    def test_over_udp(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for wire in whole_heads():
                if len(wire) < 65_500:
                    self.check_answers(server, self.exchange(server, wire))

    def test_over_tcp(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            for wire in whole_heads():
                self.check_answers(server, self.exchange(server, wire, "TCP"))


class HeaderTests(MalformedCase):
    """Every header with every value, to each part that looks at it."""

    def test_to_the_server_itself(self) -> None:
        for name in self.servers:
            server = self.serve(name)
            messages = list(requests("OPTIONS", f"sip:{DOMAIN}"))
            self.in_batches(server, messages, "UDP")

    def test_to_a_registrar_that_asks(self) -> None:
        server = self.serve("proxy")
        messages = [
            wire.replace(f"To: <sip:{DOMAIN}>".encode(), f"To: <sip:alice@{DOMAIN}>".encode(), 1)
            for wire in requests("REGISTER", f"sip:{DOMAIN}", ("Contact: <sip:alice@127.0.71.200>",))
        ]
        self.in_batches(server, messages, "UDP")

    def test_to_the_registrar(self) -> None:
        server = self.serve("open")
        contact = ("Contact: <sip:carol@127.0.71.201>",)
        messages = list(requests("REGISTER", f"sip:{DOMAIN}", contact))
        self.in_batches(server, messages, "UDP")

    def test_short_ways_are_no_others(self) -> None:
        """A REGISTER without credentials is answered alike in its usual form and in an odd one."""
        server = self.serve("registrar")
        plain = [
            wire.replace(f"To: <sip:{DOMAIN}>".encode(), f"To: <sip:alice@{DOMAIN}>".encode(), 1)
            for wire in requests("REGISTER", f"sip:{DOMAIN}", ("Contact: <sip:alice@127.0.71.200>",))
        ]
        # The same request with a folded line, which no short way takes.
        folded = [wire.replace(b"\r\n", b"\r\nSubject: a\r\n b\r\n", 1) for wire in plain]
        for start in range(0, len(plain), 20):
            by_call: dict[str, list[int]] = {}
            for wires in (plain, folded):
                for answer in self.exchange(server, wires[start : start + 20]):
                    by_call.setdefault(answer.get("call-id"), []).append(answer.status)
            for call_id, statuses in by_call.items():
                self.assertEqual(len(statuses) % 2, 0, (call_id, statuses))
                self.assertEqual(statuses[: len(statuses) // 2], statuses[len(statuses) // 2 :], call_id)

    def test_through_the_proxy(self) -> None:
        server = self.serve("proxy")
        with Callee("127.0.71.201", server.address) as bob:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            bob.answer()
            for method in ("MESSAGE", "INVITE"):
                messages = list(requests(method, f"sip:bob@{DOMAIN}"))
                for start in range(0, len(messages), 20):
                    self.exchange(server, messages[start : start + 20])
                self.assertGreater(len(bob.take()), len(messages) // 8)
        self.check_nothing_left(server)
