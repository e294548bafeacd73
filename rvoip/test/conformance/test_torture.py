"""Every message of RFC 4475 and RFC 5118, octet for octet, to running roles.

The outcome of each is what its RFC documents for that kind of element; where that leaves a choice, ours.
"""

from __future__ import annotations

from typing import ClassVar

from rvoip.test.conformance import GIVEN, messages, octets
from rvoip.test.conformance.element import ElementCase, Exchange, Peer, Phone, Text, element
from rvoip.test.hostile.server import Server
from rvoip.test.hostile.wire import Stream, request

DOMAINS = (
    "example.com example.net example.org company.com chair-dnrc.example.com services.example.com "
    "registrar.example.com host.example.net 127.0.0.1 2001:db8::10 2001:db8::10:5070 2001:db8::192.0.2.1 "
    "2001:db8:::192.0.2.1 example.test"
).split()
"""Whatever the Request-URIs and Routes of the messages name."""

LIMITS = "[sip.limits]\npartial = 1.0\n"

PROXY = f"{LIMITS}[registrar]\nauthenticate = false\n[proxy]\nauthenticate = false\n"

SERVERS = {
    "proxy": element("proxy", PROXY, DOMAINS, t1=0.02),
    # One of its own: to the other one the same messages would be retransmissions.
    "proxy for TCP": element("proxy", PROXY, DOMAINS, t1=0.02),
    "registrar": element("registrar", f"{LIMITS}[registrar]\nauthenticate = false\n", DOMAINS),
    "authenticating": element("registrar", f"{LIMITS}[registrar]\n", DOMAINS),
}

SILENCE = 0
"""Responses that belong to nothing are dropped (RFC 3261 sections 16.7 and 18.1.2)."""

ANY_ELEMENT = {
    **dict.fromkeys(("unreason", "noreason", "scalarlg", "bigcode", "bcast"), SILENCE),
    **dict.fromkeys(("badinv01", "clerr", "ncl", "scalar02", "quotbal", "insuf", "multi01", "mcl01"), 400),
    **dict.fromkeys(("ltgtruri", "lwsruri", "lwsstart", "trws", "escruri", "baddn", "ipv6-bad"), 400),
    **{"mismatch01": 400, "mismatch02": 501, "badvers": 505},
    **{"unkscm": 416, "novelsc": 416, "unksm2": 400, "bext01": 420},
}
"""What the parser or any element must refuse or drop."""

REGISTERED = (
    "escnull dblreq regbadct regaut01 cparam01 cparam02 regescrt ipv6-good port-ambiguous port-unambiguous"
).split()

FORWARDED = {
    "wsinv": "sip:vivekg@chair-dnrc.example.com",
    "intmeth": "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too."
    "(doesn't-it)@example.com",
    "esc01": "sip:sips%3Auser%40example.com@example.net",
    "semiuri": "sip:user;par=u%40example.net@example.com",
    "mpart01": "sip:kumiko@example.org",
    "badaspec": "sip:user@example.org",
    "inv2543": "sip:UserB@example.com",
    "mult-ip-in-header": "sip:user@host.example.net",
    "ipv6-in-sdp": "sip:user@[2001:db8::10]",
    "mult-ip-in-sdp": "sip:user@[2001:db8::10]",
    "ipv6-bug-abnf-3-colons": "sip:user@[2001:db8:::192.0.2.1]",
    "ipv6-correct-abnf-2-colons": "sip:user@[2001:db8::192.0.2.1]",
    **dict.fromkeys(
        ("lwsdisp", "longreq", "transports", "baddate", "badbranch", "invut", "sdp01", "ipv4-mapped-ipv6"),
        "sip:user@example.com",
    ),
}
"""What a proxy passes on, with the address-of-record that it is for."""

AT_A_PROXY = {
    **ANY_ELEMENT,
    **dict.fromkeys(REGISTERED, 200),
    "zeromf": 483,
    "esc02": 480,
    "via-received-param-no-delim": 200,  # OPTIONS to the proxy itself
    "via-received-param-with-delim": 404,  # BYE to the proxy itself
}

OTHER_METHODS = (
    "wsinv esc01 longreq mpart01 baddate invut sdp01 inv2543 via-received-param-with-delim ipv6-in-sdp "
    "mult-ip-in-header mult-ip-in-sdp ipv4-mapped-ipv6"
).split()
QUESTIONS = (
    "lwsdisp semiuri transports badaspec badbranch zeromf via-received-param-no-delim "
    "ipv6-bug-abnf-3-colons ipv6-correct-abnf-2-colons"
).split()

AT_A_REGISTRAR = {
    **ANY_ELEMENT,
    **dict.fromkeys(REGISTERED, 200),
    **dict.fromkeys(OTHER_METHODS, 405),
    **dict.fromkeys(QUESTIONS, 200),
    **{"intmeth": 501, "esc02": 501},
}
AT_AN_AUTHENTICATING_REGISTRAR = {**AT_A_REGISTRAR, **dict.fromkeys(REGISTERED, 401)}

NOT_FRAMED = {"baddn", "inv2543"}
"""The empty line, or Content-Length, is missing: over a stream these are not complete."""
AGAIN = "ipv6-correct-abnf-2-colons"
"""It has sent-by, branch and method of the message before it, so it would be a retransmission of that one."""
CLOSING = {"ncl", "mcl01"}
"""After these nobody knows where the next message of a stream begins."""


def everything() -> list[tuple[str, bytes]]:
    """Name and octets of every message."""
    return [
        (entry["name"], octets(folder, entry["file"]))
        for folder in ("sip/rfc4475", "sip/rfc5118")
        for entry in messages(folder)
    ]


class TortureTests(ElementCase):
    """All 61, none left out."""

    servers: ClassVar = SERVERS
    timeout = 120

    def check(self, name: str, exchange: Exchange, status: int, peer: Peer, data: bytes, host: str) -> None:
        """The one response that is due."""
        finals = {answer.head for _, answer in exchange.answers if answer.status >= 200}
        self.assertEqual([int(head[8:11]) for head in finals], [status] if status else [], name)
        for port, answer in exchange.answers:
            self.check_answer(peer, data, port, answer, host)
        final = exchange.final
        if final is None:
            return
        if status == 405 or (status == 501 and name != "mismatch02"):
            self.assertEqual(final.get("allow"), "REGISTER, OPTIONS", name)
        elif status == 401:
            self.assertIn('realm="', final.get("www-authenticate"), name)

    def send_all(self, role: str, expected: dict[str, int], transport: str = "UDP") -> None:
        """To an element that forwards nothing."""
        server = self.serve(role)
        sent = 0
        with Peer(server) as peer:
            for name, data in everything():
                status = expected[name]
                if transport == "UDP":
                    exchange = self.exchange_one(peer, data, least=status != SILENCE)
                    self.check(name, exchange, status, peer, data, peer.host)
                elif b"\r\n" in data and name not in NOT_FRAMED:
                    with Stream(peer.host, server.address) as stream:
                        if name == "clerr":
                            status = SILENCE
                        exchange = self.exchange_one(peer, data, stream=stream, least=status != SILENCE)
                        if name == "dblreq":
                            # The second request is one of its own here.
                            self.assertEqual([one.status for one in exchange.others], [405], name)
                        self.check(name, exchange, status, peer, data, peer.host)
                        self.assertEqual(exchange.closed, name in CLOSING, name)
                        if name == "clerr":
                            self.assertTrue(stream.closed(4.0), "a message that never ends is waited for")
                else:
                    continue
                sent += 1
        self.assertEqual(sent, 61 if transport == "UDP" else 47)

    def test_a_registrar(self) -> None:
        """Without credentials, over UDP; and what it keeps."""
        self.send_all("registrar", AT_A_REGISTRAR)
        self.check_bext01(self.serve("registrar"), "nothingSupportsThis, nothingSupportsThisEither")
        self.check_bindings(self.serve("registrar"))

    def test_a_registrar_over_tcp(self) -> None:
        """Without credentials, over TCP."""
        self.send_all("registrar", AT_A_REGISTRAR, "TCP")

    def test_an_authenticating_registrar(self) -> None:
        """With credentials, over UDP: an unknown scheme is no credential (RFC 4475 section 3.3.7)."""
        self.send_all("authenticating", AT_AN_AUTHENTICATING_REGISTRAR)
        status, answer = self.serve("authenticating").api("GET", "/v1/bindings")
        self.assertEqual((status, answer["bindings"]), (200, []))

    def test_a_proxy(self) -> None:
        """Over UDP, callees over UDP."""
        self.through_a_proxy("proxy", "UDP", [entry for entry in everything() if entry[0] != AGAIN])
        self.through_a_proxy("proxy for TCP", "UDP", [entry for entry in everything() if entry[0] == AGAIN])
        self.check_bext01(self.serve("proxy"), "noProxiesSupportThis, norDoAnyProxiesSupportThis")

    def test_a_proxy_over_tcp(self) -> None:
        """Over TCP, callees over UDP."""
        framed = [each for each in everything() if b"\r\n" in each[1] and each[0] not in NOT_FRAMED]
        self.through_a_proxy("proxy for TCP", "TCP", framed)

    def through_a_proxy(self, role: str, transport: str, sending: list[tuple[str, bytes]]) -> None:
        """What is for a callee reaches it as it was, the rest does not."""
        server = self.serve(role)
        with Peer(server) as peer, Phone(server) as phone:
            users = {aor: f"callee{number}" for number, aor in enumerate(dict.fromkeys(FORWARDED.values()))}
            nobody = octets("sip/rfc4475", "intmeth.dat").replace(b"branch=z9hG4bK", b"branch=z9hG4bK1")
            self.check("intmeth", self.exchange_one(peer, nobody), 480, peer, nobody, peer.host)
            for aor, user in users.items():
                phone.register(aor, user)
            for name, data in sending:
                status = SILENCE if (name, transport) == ("clerr", "TCP") else AT_A_PROXY.get(name, SILENCE)
                least = status != SILENCE
                if transport == "UDP":
                    exchange = self.exchange_one(peer, data, phone, least=least)
                else:
                    with Stream(peer.host, server.address) as stream:
                        exchange = self.exchange_one(peer, data, phone, stream, least=least)
                        self.assertEqual(exchange.closed, name in CLOSING, name)
                if name not in FORWARDED:
                    if transport == "TCP" and name == "dblreq":
                        # Nobody of that name: what follows is a request of its own here.
                        self.assertEqual([one.status for one in exchange.others], [480], name)
                    self.assertEqual(exchange.forwarded, [], name)
                    self.check(name, exchange, status, peer, data, peer.host)
                    continue
                self.assertGreaterEqual(len(exchange.forwarded), 1, name)
                got = exchange.forwarded[0]
                contact = f"sip:{users[FORWARDED[name]]}@{phone.sent_by}"
                self.check_forwarded(peer, data, got, contact)
                self.check(name, exchange, 486 if got.method == "INVITE" else 200, peer, data, peer.host)
        self.check_nothing_left(server)

    def check_bext01(self, server: Server, unsupported: str) -> None:
        """RFC 4475 section 3.3.5: what is named as unsupported."""
        with Peer(server) as peer:
            final = self.exchange_one(peer, octets("sip/rfc4475", "bext01.dat")).final
        assert final is not None
        self.assertEqual(final.get("unsupported"), unsupported)

    def bindings(self, server: Server, aor: str) -> list[str]:
        """The Contact values of a fetch, without what counts down."""
        with Peer(server) as peer:
            wire = request("REGISTER", "sip:example.com", to=f"<{aor}>", sent_by=f"{peer.host}:5060")
            final = self.exchange_one(peer, wire).final
        assert final is not None
        self.assertEqual(final.status, 200)
        return [value.partition(";expires=")[0] for value in final.values("contact")]

    def check_bindings(self, server: Server) -> None:
        """RFC 4475 sections 3.1.1.4, 3.1.2.13 and 3.3.12 to 3.3.14: what a later fetch shows."""
        for aor, contacts in (
            (
                "sip:null-%00-null@example.com",
                ["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"],
            ),
            ("sip:watson@example.com", ["<sip:+19725552222@gw1.example.net;unknownparam>"]),
            ("sip:j.user@example.com", ["<sip:j.user@host.example.com>"]),
        ):
            self.assertEqual(self.bindings(server, aor), contacts, aor)
        (escaped,) = (one for one in self.bindings(server, "sip:user@example.com") if "Route" in one)
        self.assertEqual(escaped, "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>")

    def test_cparam01_and_cparam02(self) -> None:
        """Sections 3.3.12 and 3.3.13: a parameter outside of brackets is none of the URI."""
        server = self.serve("registrar")
        shown = []
        with Peer(server) as peer:
            for name in ("cparam01", "cparam02"):
                self.exchange_one(peer, octets("sip/rfc4475", f"{name}.dat"))
                shown.append(self.bindings(server, "sip:watson@example.com"))
        self.assertEqual(
            shown,
            [
                ["<sip:+19725552222@gw1.example.net>;unknownparam"],
                ["<sip:+19725552222@gw1.example.net;unknownparam>"],
            ],
        )

    def test_dblreq_and_its_tail(self) -> None:
        """Section 3.1.1.8: the INVITE behind the REGISTER's end reaches nobody, even where there is one."""
        server = self.serve("proxy")
        data = octets("sip/rfc4475", "dblreq.dat")
        with Peer(server) as peer, Phone(server) as phone:
            phone.register("sip:joe@example.com", "joe")
            exchange = self.exchange_one(peer, data, phone)
            self.assertEqual(exchange.forwarded, [])
            self.assertEqual([answer.status for _, answer in exchange.answers], [200])
            with Stream(peer.host, server.address) as stream:
                stream.send(data)
                # Over a stream it is the next request.
                phone.socket.settimeout(5.0)
                got = Text(phone.socket.recv(65535))
                self.assertEqual((got.method, got.uri), ("INVITE", f"sip:joe@{phone.sent_by}"))
                phone.answer(got, server.address)


if not GIVEN:
    del TortureTests
