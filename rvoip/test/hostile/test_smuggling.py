"""Headers past whoever strips them: spellings, line breaks that are none, values that break out.

What arrives at the phone behind the proxy is read as strictly and as laxly as anybody might.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Callee, Datagrams, Message, Stream, by_call, request, response

BOB = f"sip:bob@{DOMAIN}"
CLAIM = "<sip:boss@example.test>"
PAI = "P-Asserted-Identity"

SPELLINGS: tuple[str, ...] = (
    f"{PAI}: {CLAIM}",
    f"p-asserted-identity: {CLAIM}",
    f"P-ASSERTED-IDENTITY: {CLAIM}",
    f"p-aSSERTED-iDENTITY:{CLAIM}",
    f"{PAI}:\t{CLAIM}",
    f"{PAI}:{CLAIM}\t ",
    f"{PAI} : {CLAIM}",
    f"{PAI}\t: {CLAIM}",
    f"{PAI} \t \t: {CLAIM}",
    f"{PAI}:\r\n {CLAIM}",
    f"{PAI}:\r\n\t{CLAIM}",
    f"{PAI}\r\n : {CLAIM}",
    f"{PAI} \r\n\t: {CLAIM}",
    f"{PAI}: {CLAIM}\r\n{PAI}: {CLAIM}",
    f"{PAI}: {CLAIM}, <tel:+15550100>",
    f"{PAI}: {CLAIM}\r\np-asserted-identity : {CLAIM}\r\nP-ASSERTED-IDENTITY\t:{CLAIM}",
    f"{PAI}:",
    f"{PAI}:: {CLAIM}",
    f"{PAI}: : {CLAIM}",
    f' "{PAI}": {CLAIM}',
    f" {PAI}: {CLAIM}",
    f"\t{PAI}: {CLAIM}",
    f"X: y\r\n {PAI}: {CLAIM}",
    f"X: y\r\n{PAI}: {CLAIM}",
    f"X:\r\n {PAI}: {CLAIM}",
    f"X:\r\n{PAI}: {CLAIM}",
    f"X: y\n{PAI}: {CLAIM}",
    f"X: y\r{PAI}: {CLAIM}",
    f"X: y\n\r{PAI}: {CLAIM}",
    f"X: y\r\n\n{PAI}: {CLAIM}",
    f"X: y\r\r\n{PAI}: {CLAIM}",
    f"X: y\r\n\r{PAI}: {CLAIM}",
    f"X: y\x0b{PAI}: {CLAIM}",
    f"X: y\x0c{PAI}: {CLAIM}",
    f"X: y\x1c{PAI}: {CLAIM}",
    f"X: y\x1e{PAI}: {CLAIM}",
    f"X: y\x85{PAI}: {CLAIM}",
    f"X: y\u2028{PAI}: {CLAIM}",
    f"X: y\0{PAI}: {CLAIM}",
    f"\0{PAI}: {CLAIM}",
    f"{PAI}\0: {CLAIM}",
    f"P-Asserted\0-Identity: {CLAIM}",
    f"{PAI}\x0b: {CLAIM}",
    f"{PAI}\x0c: {CLAIM}",
    f"{PAI}\x1c: {CLAIM}",
    f"{PAI}\xa0: {CLAIM}",
    f"{PAI}\x85: {CLAIM}",
    f"{PAI}\u200b: {CLAIM}",
    f"\ufeff{PAI}: {CLAIM}",
    f"\x0b{PAI}: {CLAIM}",
    f"{PAI}\x7f: {CLAIM}",
    f"{PAI}\udcff: {CLAIM}",
    f"P-A\u017f\u017ferted-Identity: {CLAIM}",
    f"P\u2010Asserted\u2010Identity: {CLAIM}",
    f"\uff30-Asserted-Identity: {CLAIM}",
    f'Subject: "\\\r\n{PAI}: {CLAIM}',
    f'Contact: "a\r\n{PAI}: {CLAIM}',
    f"User-Agent: (\r\n{PAI}: {CLAIM}",
)

# What may stand between a value and a header that somebody would like to add.
BREAKS = (
    "\r",
    "\n",
    "\n\r",
    "\r\n ",
    "\r\n\t",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "%0d%0a",
    "%0D%0A",
    "\\r\\n",
    "\udc85",
)


def header_names(wire: bytes) -> Iterator[str]:
    """Names of all headers that anybody might see, as lax as that: a line ends with CR, LF or both."""
    head = re.split(rb"\r\n\r\n|\n\n|\r\r", wire, maxsplit=1)[0]
    for line in re.split(rb"\r\n|\n|\r", head)[1:]:
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].decode("utf-8", "ignore")
            yield re.sub(r"[^!-~]", "", name).lower()


class SmugglingCase(HostileCase):
    """One phone behind the proxy, and what comes to it."""

    numbers = itertools.count()

    def behind(self, server: Server, contact: str = "") -> Callee:
        bob = Callee("127.0.71.201", server.address, 200)
        self.addCleanup(bob.__exit__)
        register(server, bob, "bob", contact or f"<sip:bob@{bob.sent_by};transport=udp>")
        return bob.answer()

    def delivered(self, server: Server, bob: Callee, wire: bytes, transport: str = "UDP") -> list[Message]:
        """What the phone got because of this, after the server has dealt with it."""
        after = f"after-{next(self.numbers)}"
        with (Datagrams if transport == "UDP" else Stream)(ATTACKER, server.address) as attacker:
            attacker.send(wire)
            # What was forwarded arrives before this does, and so do answers.
            attacker.send(
                request("MESSAGE", BOB, call_id=after, transport=transport, sent_by=attacker.sent_by)
            )
            if attacker.wait(by_call(after), 2.0) is None:
                self.assertEqual(transport, "TCP", wire)
                time.sleep(0.05)  # the server has closed: it could not tell where the next message begins
        return [message for message in bob.take() if message.get("call-id") != after]


class AssertedIdentityTests(SmugglingCase):
    """Nobody outside the trusted networks says who somebody is (RFC 3325 section 5)."""

    def check(self, server: Server, bob: Callee, method: str, transport: str) -> int:
        through = 0
        for spelling in SPELLINGS:
            wire = request(method, BOB, spelling, transport=transport, sent_by=f"{ATTACKER}:5060")
            # What a server refuses is answered; what it forwards is answered by the phone.
            for message in self.delivered(server, bob, wire, transport):
                through += 1
                self.assertNotIn(PAI.lower(), list(header_names(message.wire)), (spelling, message.wire))
        return through

    def test_over_udp(self) -> None:
        server = self.serve("proxy")
        through = self.check(server, self.behind(server), "MESSAGE", "UDP")
        self.assertGreater(through, len(SPELLINGS) // 3, "nearly nothing was forwarded")

    def test_over_tcp(self) -> None:
        server = self.serve("proxy")
        through = self.check(server, self.behind(server), "MESSAGE", "TCP")
        self.assertGreater(through, len(SPELLINGS) // 3, "nearly nothing was forwarded")

    def test_without_credentials_anywhere(self) -> None:
        server = self.serve("open")
        self.check(server, self.behind(server), "MESSAGE", "UDP")

    def test_of_other_methods(self) -> None:
        server = self.serve("proxy")
        bob = self.behind(server)
        for method in ("INVITE", "OPTIONS", "SUBSCRIBE", "INFO", "FROB"):
            wire = request(method, BOB, f"{PAI}: {CLAIM}", sent_by=f"{ATTACKER}:5060")
            got = self.delivered(server, bob, wire)
            self.assertEqual([message.method for message in got], [method])
            self.assertNotIn(PAI.lower(), list(header_names(got[0].wire)))

    def test_in_a_response(self) -> None:
        """What the phone claims of itself is no better."""
        server = self.serve("proxy")
        with Callee("127.0.71.201", server.address, 200) as bob, Datagrams(ATTACKER, server.address) as alice:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            bob.headers = (f"{PAI}: {CLAIM}", f"p-asserted-identity : {CLAIM}")
            bob.answer()
            wire = request("INVITE", BOB, sent_by=alice.sent_by)
            alice.send(wire)
            answer = alice.wait(by_call(Message(wire).get("call-id")), 2.0)
            assert answer is not None
            self.assertEqual(answer.status, 200)
            self.assertNotIn(PAI.lower(), list(header_names(answer.wire)))

    def test_in_an_ack_and_in_a_dialog(self) -> None:
        server = self.serve("proxy")
        bob = self.behind(server)
        bob.headers = (f"Contact: <sip:bob@{bob.sent_by}>",)
        with Datagrams(ATTACKER, server.address) as alice:
            invite = request("INVITE", BOB, sent_by=alice.sent_by, call_id="dialog")
            alice.send(invite)
            answer = alice.wait(by_call("dialog"), 2.0)
            assert answer is not None
            routes = [f"Route: {value}" for value in reversed(answer.all("record-route"))]
            self.assertTrue(routes)
            for method in ("ACK", "INFO", "BYE"):
                bob.take()
                alice.send(
                    request(
                        method,
                        f"sip:bob@{bob.sent_by}",
                        *routes,
                        f"{PAI}: {CLAIM}",
                        f"{PAI}\t: {CLAIM}",
                        to=answer.get("to"),
                        call_id="dialog",
                        sent_by=alice.sent_by,
                    )
                )
                self.wait_for(lambda: any(message.method != "INVITE" for message in bob.got))
                got = [message for message in bob.take() if message.method == method]
                self.assertEqual(len(got), 1, method)
                self.assertNotIn(PAI.lower(), list(header_names(got[0].wire)))


class InjectionTests(SmugglingCase):
    """X-Trusted is written into every field that is copied, and never arrives as a header."""

    FIELDS = (
        "From: <sip:a@b>;tag=1{0}",
        'From: "a{0}" <sip:a@b>;tag=1',
        "From: <sip:a{0}@b>;tag=1",
        "To: <sip:bob@example.test>{0}",
        'To: "{0}" <sip:bob@example.test>',
        "Call-ID: {1}{0}",
        "CSeq: 1 MESSAGE{0}",
        "Max-Forwards: 70{0}",
        "Contact: <sip:a@b>{0}",
        "Contact: <sip:a{0}@b>",
        "Via: SIP/2.0/UDP 127.0.71.200:5060;branch=z9hG4bK{1}{0};rport",
        "Via: SIP/2.0/UDP 127.0.71.200:5060;branch=z9hG4bK{1};x={0};rport",
        "Route: <sip:example.test;lr;x={0}>",
        "Record-Route: <sip:example.test;lr>{0}",
        "Subject: {0}",
        "Reason: SIP;cause=1;text={0}",
        "User-Agent: {0}",
        "Expires: 60{0}",
        "Content-Type: text/plain{0}",
        "X-Anything: {0}",
    )

    def test_in_every_field(self) -> None:
        server = self.serve("proxy")
        bob = self.behind(server)
        through = 0
        with Datagrams(ATTACKER, server.address) as attacker:
            for field in self.FIELDS:
                for number, gap in enumerate(BREAKS):
                    unique = f"{self.FIELDS.index(field)}-{number}"
                    line = field.format(f"a{gap}X-Trusted: yes", unique)
                    wire = self.replaced(request("MESSAGE", BOB, sent_by=attacker.sent_by), line)
                    for answer in self.exchange(server, wire):
                        self.assertNotIn("x-trusted", list(header_names(answer.wire)), wire)
                for message in bob.take():
                    through += 1
                    self.assertNotIn("x-trusted", list(header_names(message.wire)), message.wire)
        self.assertGreater(through, len(self.FIELDS) * len(BREAKS) // 3)

    def replaced(self, wire: bytes, line: str) -> bytes:
        """The request with this line in place of its own of that name."""
        name = line.partition(":")[0].encode()
        lines = wire.split(b"\r\n")
        raw = line.encode("utf-8", "surrogateescape")
        for index, each in enumerate(lines):
            if each.startswith(name + b":"):
                lines[index] = raw
                break
        else:
            lines.insert(2, raw)
        return b"\r\n".join(lines)

    def test_in_the_request_uri(self) -> None:
        server = self.serve("proxy")
        bob = self.behind(server)
        for gap in BREAKS:
            for uri in (
                f"sip:bob{gap}X-Trusted:yes@example.test",
                f"sip:bob@example.test;a={gap}X-Trusted:yes",
            ):
                for answer in self.exchange(server, request("MESSAGE", uri, to="<sip:bob@example.test>")):
                    self.assertNotIn("x-trusted", list(header_names(answer.wire)))
        for message in bob.take():
            self.assertNotIn("x-trusted", list(header_names(message.wire)), message.wire)

    def test_in_a_registered_contact(self) -> None:
        """What becomes a Request-URI, a Route, and a line of every later 200."""
        server = self.serve("open")
        with Datagrams(ATTACKER, server.address) as attacker, Callee("127.0.71.201", server.address) as phone:
            phone.answer()
            for number, gap in enumerate(BREAKS):
                user = f"u{number}"
                aor = f"<sip:{user}@{DOMAIN}>"
                for line in (
                    f"Contact: <sip:a{gap}X-Trusted:yes@{phone.sent_by}>",
                    f"Contact: <sip:a@{phone.sent_by};x=a{gap}X-Trusted:yes>",
                    f'Contact: "a{gap}X-Trusted: yes" <sip:a@{phone.sent_by}>',
                    f"Contact: <sip:b@{phone.sent_by}>;x=a{gap}X-Trusted: yes",
                    f'Contact: <sip:b@{phone.sent_by}>;x="a{gap}X-Trusted: yes"',
                ):
                    wire = request("REGISTER", f"sip:{DOMAIN}", line, to=aor, sender=f"{aor};tag=1")
                    for answer in self.exchange(server, wire):
                        self.assertIn(answer.status, (200, 400, 500), wire)
                        self.assertNotIn("x-trusted", list(header_names(answer.wire)), wire)
                path = f"Path: <sip:{phone.sent_by};lr;x=a{gap}X-Trusted:yes>"
                contact = f"Contact: <sip:c@{phone.sent_by}>"
                wire = request(
                    "REGISTER",
                    f"sip:{DOMAIN}",
                    contact,
                    path,
                    "Supported: path",
                    to=aor,
                    sender=f"{aor};tag=1",
                )
                for answer in self.exchange(server, wire):
                    self.assertNotIn("x-trusted", list(header_names(answer.wire)), wire)
                self.exchange(server, request("MESSAGE", f"sip:{user}@{DOMAIN}", sent_by=attacker.sent_by))
            got = phone.take()
            self.assertTrue(got)
            for message in got:
                self.assertNotIn("x-trusted", list(header_names(message.wire)), message.wire)
            status, answer = server.api("GET", "/v1/bindings?limit=500")
            self.assertEqual(status, 200)
            for binding in answer["bindings"]:
                self.assertTrue(binding["contact"].isprintable(), binding)

    def test_reasons_of_a_cancel(self) -> None:
        """The Reason of a CANCEL goes on with the CANCEL that we make."""
        server = self.serve("proxy")
        with Datagrams("127.0.71.201", server.address) as bob, Datagrams(ATTACKER, server.address) as alice:
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            for number, gap in enumerate(BREAKS):
                same = {"branch": f"cancel{number}", "call_id": f"cancel{number}", "sent_by": alice.sent_by}
                alice.send(request("INVITE", BOB, **same))  # type: ignore[arg-type]
                invite = bob.wait(lambda message: message.method == "INVITE", 2.0)
                assert invite is not None
                bob.send(response(invite, 180, "Said"))
                self.assertIsNotNone(alice.wait(lambda message: message.status == 180, 2.0))
                reason = f"Reason: SIP;cause=200;text=a{gap}X-Trusted: yes"
                alice.send(request("CANCEL", BOB, reason, **same))  # type: ignore[arg-type]
                cancel = bob.wait(lambda message: message.method == "CANCEL", 0.3)
                if cancel is not None:
                    self.assertNotIn("x-trusted", list(header_names(cancel.wire)), cancel.wire)
                bob.send(response(invite, 487, "Said"))
                self.assertIsNotNone(alice.wait(lambda message: message.status == 487, 2.0))
                bob.drain()

    def test_in_an_account(self) -> None:
        """An account whose name would break a header is none."""
        server = self.serve("proxy")
        for gap in ("\r\n", *BREAKS):
            document = {"user": f"a{gap}X-Trusted: yes", "domain": DOMAIN, "password": PASSWORDS["bob"]}
            try:
                status, _ = server.api("POST", "/v1/users", document)
            except UnicodeEncodeError:
                continue
            if status == 201:
                self.assertIn("%", gap)
            else:
                self.assertIn(status, (400, 422), repr(gap))
