"""The complete requests that RFCs print, octet for octet, to running roles."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from rvoip.test.conformance import GIVEN, messages, octets
from rvoip.test.conformance.element import ElementCase, Exchange, Peer, Phone, Text, element, plain_via
from rvoip.test.conformance.names import A, Names, a
from rvoip.test.hostile.server import Server
from rvoip.test.hostile.wire import Stream, authorization, challenges

FOLDER = "sip/rfc-examples"

DOMAINS = (
    "example.com biloxi.example.com atlanta.example.com biloxi.com atlanta.com ss1.a.example.com "
    "a.example.com chicago.example.com ss2.biloxi.example.com home.example.com registrar.examplehome.com "
    "examplehome.com server.example.com registrar.example.com b.example.com ssp.example.com "
    "proxy.example.com registrar.biloxi.com biloxi domain.com chicago.com home1.net example.test"
).split()

OPEN = "[registrar]\nauthenticate = false\n"
SERVICE_ROUTE = ["sip:P2.HOME.EXAMPLE.COM;lr", "sip:HSP.HOME.EXAMPLE.COM;lr"]

MISPRINTED = {
    # " . . ." after an address that the registrar or the proxy has to read.
    **{f"rfc3327/rfc3327-00{number}-REGISTER.sip": 400 for number in (2, 3, 4)},
    **{f"rfc3608/rfc3608-00{number}-REGISTER.sip": 400 for number in (1, 2, 3)},
    **{f"rfc3608/rfc3608-00{number}-INVITE.sip": 400 for number in (7, 8, 9)},
    # A Route without a scheme.
    "rfc3666/rfc3666-040-BYE.sip": 400,
}
REQUIRED = {"rfc6140/rfc6140-001-REGISTER.sip", "rfc6140/rfc6140-004-REGISTER.sip"}
"""They require gin (RFC 6140), which is not offered."""

LATE = "500 CSeq Out Of Order"
"""RFC 3261 section 10.3 step 7: many examples use one Call-ID with any CSeq."""


def requests() -> list[tuple[str, bytes]]:
    """File and octets of every complete request."""
    entries: list[dict[str, Any]] = [
        entry for entry in messages(FOLDER) if entry["complete"] and entry["kind"] == "request"
    ]
    return [(entry["file"], octets(FOLDER, entry["file"])) for entry in entries]


class ExampleTests(ElementCase):
    """All 375, to each kind of element: answered as its kind does, or passed on; nothing breaks."""

    servers: ClassVar = {
        "registrar": element("registrar", OPEN, DOMAINS),
        "authenticating": element("registrar", "[registrar]\n", DOMAINS),
    }
    timeout = 120

    def send_all(
        self, server: Server, check: Callable[[str, Text, Exchange], None], phone: Phone | None = None
    ) -> Counter[str]:
        """Send all; `check` looks at what came of each.

        Of two with the same branch, sent-by and method the second is a retransmission to a proxy, whatever
        else it says (RFC 3261 section 17.2.3): only that it does no harm is looked at.
        """
        counted: Counter[str] = Counter()
        seen: set[tuple[str, str]] = set()
        with Peer(server) as peer:
            for file, data in requests():
                sent = Text(data)
                # A fork waits for contacts that the examples registered and nobody answers at.
                found = self.exchange_one(peer, data, phone, patience=0.2)
                key = sent.method, plain_via(sent.values("via")[0]).partition(" ")[2]
                if phone is not None and key in seen:
                    continue
                seen.add(key)
                if sent.method == "ACK":
                    self.assertEqual((found.answers, found.forwarded), ([], []), file)
                    continue
                for port, answer in found.answers:
                    if port:
                        self.check_answer(peer, data, port, answer)
                    self.assertNotEqual(answer.status // 100, 5, f"{file}: {answer.head}") if (
                        answer.head != f"SIP/2.0 {LATE}"
                    ) else self.assertEqual(sent.method, "REGISTER", file)
                check(file, sent, found)
                final = found.final
                counted[f"{sent.method} {final.status}" if final is not None else sent.method] += 1
        return counted

    def test_a_registrar(self) -> None:
        """REGISTER is its work; the rest is 405, a CANCEL of nothing 481, an ACK nothing."""

        def check(file: str, sent: Text, found: Exchange) -> None:
            final = found.final
            if final is None:
                # Its Via has a port at which nobody listens here.
                self.assertEqual(file, "rfc7118/rfc7118-011-BYE.sip")
            elif sent.method == "REGISTER":
                expected = {MISPRINTED.get(file, 420 if file in REQUIRED else 200)}
                self.assertIn(final.status, expected | {500} if expected == {200} else expected, file)
            else:
                due = {"CANCEL": 481, "OPTIONS": 200}.get(sent.method, 405)
                self.assertEqual(final.status, due, file)

        counted = self.send_all(self.serve("registrar"), check)
        self.assertEqual((counted["REGISTER 200"], counted["REGISTER 500"]), (21, 5))
        self.assertEqual((counted["INVITE 405"], counted["SUBSCRIBE 405"]), (99, 14))

    def test_an_authenticating_registrar(self) -> None:
        """Every REGISTER is challenged, also those with credentials for somebody else's nonce."""

        def check(file: str, sent: Text, found: Exchange) -> None:
            final = found.final
            if sent.method == "REGISTER" and final is not None:
                self.assertIn(final.status, (401, 400), file)
                if final.status == 401:
                    self.assertIn("nonce=", final.get("www-authenticate"), file)

        counted = self.send_all(self.serve("authenticating"), check)
        # 400: three whose Contact is broken off, and credentials without a comma between two directives.
        self.assertEqual((counted["REGISTER 401"], counted["REGISTER 400"]), (30, 4))

    def test_a_proxy(self) -> None:
        """With its registrar. A phone is registered for all of our users that the requests are for, and a
        name server leads every contact that the examples register to the same phone.
        """
        phone = Phone(port=5060)
        with Names(phone.host, lambda name, kind: [a(phone.host)] if kind == A else []) as names:
            sip = f'dns = ["{names.address}"]\n'
            made = element("proxy", f"{OPEN}[proxy]\nauthenticate = false\n", DOMAINS, sip, t1=0.02)
            server = phone.server = made("127.0.71.9")
            self.addCleanup(server.close)
            server.start()
            with phone:
                self.through_a_proxy(server, phone)
            self.check_health(server)

    def through_a_proxy(self, server: Server, phone: Phone) -> None:
        """What is for the phone reaches it as it was, strangers' domains are refused."""
        users: dict[str, str] = {}
        for file, data in requests():
            sent = Text(data)
            found = re.fullmatch(r"sips?:([^@;?]+)@([^:;?]+).*", sent.uri)
            if sent.method != "REGISTER" and found and found[2].lower() in DOMAINS:
                users[file] = f"sip:{found[1]}@{found[2].lower()}"
        numbers = {aor: f"callee{number}" for number, aor in enumerate(dict.fromkeys(users.values()))}
        for aor, user in numbers.items():
            phone.register(aor, user)
        reached: Counter[str] = Counter()

        def check(file: str, sent: Text, found: Exchange) -> None:
            for got in found.forwarded:
                reached[got.method] += 1
                if "callee" in got.uri:
                    contact = f"sip:{numbers[users[file]]}@{phone.sent_by}"
                    self.check_forwarded(found.peer, sent.wire, got, contact)
            final = found.final
            if final is None:
                return
            if file in MISPRINTED:
                self.assertEqual(final.status, MISPRINTED[file], file)
            elif found.forwarded:
                self.assertIn(final.status, (486, 408, 480, 487) if sent.method == "INVITE" else (200,), file)
            elif sent.method == "REGISTER":
                self.assertIn(final.status, (200, 420, 500), file)
            elif sent.method == "CANCEL":
                self.assertIn(final.status, (200, 481), file)
            else:
                self.assertIn(final.status, (403, 404, 480, 486), f"{file}: {final.head}")

        counted = self.send_all(server, check, phone)
        self.assertGreater(counted["BYE 403"], 30)
        for method in ("INVITE", "BYE", "SUBSCRIBE", "REFER", "NOTIFY", "MESSAGE"):
            self.assertGreater(reached[method], 1, reached)


class RegistrationTests(ElementCase):
    """The registrations of RFC 3665, 3327, 3608 and 5626, as far as this registrar is set up as theirs."""

    servers: ClassVar = {
        "fresh registrar": element(
            "registrar",
            f"{OPEN}max_expires = 4294967295\nservice_route = {json.dumps(SERVICE_ROUTE)}\n",
            DOMAINS,
        ),
        "fresh authenticating": element("registrar", "[registrar]\n", DOMAINS),
    }

    def ask(self, name: str, change: Callable[[bytes], bytes] = lambda data: data) -> Text:
        """The answer to an example, without the dots that stand for the rest of it."""
        data = octets(FOLDER, f"{name.partition('-')[0]}/{name}.sip").replace(b"\r\n . . .\r\n", b"\r\n")
        data = change(data)
        with Peer(self.serve("fresh registrar")) as peer:
            found = self.exchange_one(peer, data)
            ((port, answer),) = found.answers
            self.check_answer(peer, data, port, answer)
        return answer

    def printed(self, name: str) -> Text:
        """A response as the RFC prints it."""
        data = octets(FOLDER, f"{name.partition('-')[0]}/{name}.sip").replace(b"\r\n . . .\r\n", b"\r\n")
        return Text(data)

    def check_like(self, answer: Text, printed: str, *names: str) -> None:
        """It has the status of the printed one, and these headers."""
        expected = self.printed(printed)
        self.assertEqual(answer.status, expected.status)
        for name in ("from", "call-id", "cseq", *names):
            self.assertEqual(answer.values(name), expected.values(name), name)

    def test_rfc3665_section_2(self) -> None:
        """Registration, one more contact, a fetch, and a cancellation by the numbers that are printed."""
        answer = self.ask("rfc3665-003-REGISTER")
        self.check_like(answer, "rfc3665-004-200", "contact")
        # The RFC begins each section at CSeq 1, with one Call-ID and one branch.
        self.ask(
            "rfc3665-005-REGISTER",
            lambda data: data.replace(b"\r\nContact:", b"\r\nExpires: 4294967295\r\nContact:"),
        )
        fetched = self.ask("rfc3665-007-REGISTER")
        self.check_like(fetched, "rfc3665-008-200", "contact")
        late = self.ask("rfc3665-009-REGISTER")
        self.assertEqual(late.head, f"SIP/2.0 {LATE}")
        cancelled = self.ask("rfc3665-009-REGISTER", lambda data: data.replace(b"CSeq: 1 ", b"CSeq: 3 "))
        self.assertEqual((cancelled.status, cancelled.all("contact")), (200, []))
        fetched = self.ask("rfc3665-007-REGISTER")
        self.assertEqual((fetched.status, fetched.all("contact")), (200, []))

    def test_rfc3665_sections_2_1_and_2_5(self) -> None:
        """A challenge; credentials that are not the user's, and those that are."""
        server = self.serve("fresh authenticating")
        server.add_user("bob", "secret of bob", "biloxi.example.com")
        with Peer(server) as peer:

            def ask(name: str, change: Callable[[bytes], bytes] = lambda data: data) -> Text:
                data = change(octets(FOLDER, f"rfc3665/rfc3665-{name}-REGISTER.sip"))
                ((port, answer),) = self.exchange_one(peer, data, least=1).answers
                self.check_answer(peer, data, port, answer)
                return answer

            first = ask("001")
            expected = self.printed("rfc3665-002-401")
            self.assertEqual(first.status, 401)
            for name in ("from", "call-id", "cseq"):
                self.assertEqual(first.all(name), expected.all(name))
            challenge = challenges(first)["SHA-256"]
            self.assertEqual(challenge["realm"], "biloxi.example.com")
            uri = "sips:ss2.biloxi.example.com"

            def credentials(password: str) -> Callable[[bytes], bytes]:
                text = authorization(challenge, "bob", password, "REGISTER", uri, cnonce=password[:3])
                return lambda data: re.sub(
                    rb"Authorization: [^\r]*(\r\n [^\r]*)*", b"Authorization: " + text.encode(), data
                )

            self.assertEqual(ask("013", credentials("wrong")).status, 401)
            answer = ask("003", credentials("secret of bob"))
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.values("contact"), ["<sips:bob@client.biloxi.example.com>;expires=3600"])

    def test_rfc3327_section_5_5_1(self) -> None:
        """The Path is stored and comes back in the 200."""
        answer = self.ask("rfc3327-004-REGISTER")
        self.check_like(answer, "rfc3327-005-200", "path")
        self.assertEqual(answer.values("contact"), ["<sip:UA1@192.0.2.4>;expires=3600"])
        server = self.serve("fresh registrar")
        status, shown = server.api("GET", "/v1/bindings/UA1@examplehome.com")
        self.assertEqual(status, 200)
        self.assertEqual(
            shown["bindings"][0]["path"], ["<sip:P3.EXAMPLEHOME.COM;lr>", "<sip:P1.EXAMPLEVISITED.COM;lr>"]
        )

    def test_rfc3608_section_6_4_1(self) -> None:
        """Each 200 names the service route."""
        answer = self.ask("rfc3608-003-REGISTER")
        self.check_like(answer, "rfc3608-004-200", "service-route")

    def test_rfc5626_section_9_2(self) -> None:
        """Two flows of one device; an edge proxy's Path says that it keeps the flow."""

        def through(edge: str, via: str) -> Callable[[bytes], bytes]:
            """As the edge proxy passes it on: without its Route."""
            top = (
                f"Via: SIP/2.0/TCP 192.0.2.15;branch={via}\r\nPath: <sip:flow@{edge};lr;ob>\r\nVia:".encode()
            )
            return lambda data: re.sub(rb"Route: [^\r]*\r\n", b"", data).replace(b"Via:", top, 1)

        answer = self.ask("rfc5626-003-REGISTER", through("ep1.example.com", "z9hG4bK1"))
        self.check_like(answer, "rfc5626-004-200", "require")
        printed = self.printed("rfc5626-004-200").values("supported")
        self.assertEqual(answer.values("supported")[: len(printed)], printed)
        self.assertEqual(answer.values("path"), ["<sip:flow@ep1.example.com;lr;ob>"])
        answer = self.ask("rfc5626-005-REGISTER", through("ep2.example.com", "z9hG4bK2"))
        self.check_like(answer, "rfc5626-006-200", "require")
        instance = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
        contacts = [set(each.split(";")) for each in answer.values("contact") if "line1" not in each]
        self.assertEqual(
            contacts,
            [
                {"<sip:bob@192.0.2.2", "transport=tcp>", f"reg-id={number}", instance, "expires=3600"}
                for number in (1, 2)
            ],
        )

    def test_rfc5626_section_3_2(self) -> None:
        """The first registration of a client, on a flow of its own."""
        with (
            Peer(self.serve("fresh registrar")) as peer,
            Stream(peer.host, self.serve("fresh registrar").address) as stream,
        ):
            data = octets(FOLDER, "rfc5626/rfc5626-001-REGISTER.sip")
            ((_, answer),) = self.exchange_one(peer, data, stream=stream).answers
        self.check_answer(peer, data, 0, answer)
        self.assertEqual((answer.status, answer.get("require")), (200, "outbound"))
        (contact,) = (value for value in answer.values("contact") if "line1" in value)
        self.assertIn("reg-id=1", contact)
        self.assertIn('+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"', contact)


if not GIVEN:
    del ExampleTests, RegistrationTests
