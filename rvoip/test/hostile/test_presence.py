"""What strangers do to presence: documents that are bombs, floods of subscriptions, forged news."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

from rvoip.protocols.sip.pidf import parse_pidf
from rvoip.test.hostile.case import ATTACKER, CPU_S, PASSWORDS, QUICK, HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.test_bodies import BOMBS, ENTITIES, LARGEST
from rvoip.test.hostile.wire import (
    Callee,
    Datagrams,
    Message,
    Stream,
    authorization,
    by_call,
    challenges,
    request,
)

ALICE = f"sip:alice@{DOMAIN}"
BOB = f"sip:bob@{DOMAIN}"
LIMITS = "publish_rate = 0\nsubscribe_rate = 0\nmax_watchers = 1000\nmax_watched = 1000\n"
OPEN = f"[presence]\nauthenticate = false\n{LIMITS}"


def made(host: str, presence: str) -> Server:
    return Server(host, "proxy", f"[registrar]\n{presence}", sip=QUICK, users=PASSWORDS)


def document(text: str) -> bytes:
    return f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{ALICE}">{text}</presence>'.encode()


NESTED = 4_000
DOCUMENTS: dict[str, bytes] = {
    "entities": ENTITIES,
    "deep": document("<note>" * NESTED + "</note>" * NESTED),
    "deep and short": document("<a>" * 400 + "</a>" * 400),
    "wide": document('<tuple id="t"><status/></tuple>' * 500),
    "attributes": document("<tuple " + " ".join(f'a{n}="1"' for n in range(1500)) + "/>"),
    "name spaces": document("<tuple " + " ".join(f'xmlns:a{n}="urn:{n}"' for n in range(800)) + "/>"),
    "60 KB": document(f"<note>{'x' * (LARGEST - 200)}</note>"),
    "no end": document("")[:-5],
    "nothing": b"\x00" * 500,
}
ODD: tuple[bytes, ...] = (
    document(f"<{'a' * 15_000}/>"),
    document("").decode().encode("utf-16"),
    b'<?xml version="1.0" encoding="utf-7"?>' + document(""),
    document('<tuple id="&#x1F4A3;"><status><basic>open</basic></status></tuple>'),
)


class PresenceTests(HostileCase):
    servers: ClassVar[dict[str, Callable[[str], Server]]] = {
        "presence": lambda host: made(host, "[presence]\n"),
        "open": lambda host: made(host, OPEN),
    }

    def ask(
        self, phone: Datagrams, method: str, uri: str, sender: str, *headers: str, **more: Any
    ) -> Message:
        """Send a request of a user and wait for the final response."""
        wire = request(
            method,
            uri,
            *headers,
            sent_by=phone.sent_by,
            sender=f"<{sender}>;tag={time.monotonic_ns()}",
            **more,
        )
        phone.send(wire)
        answer = phone.wait(by_call(Message(wire).get("call-id")), 5.0)
        assert answer is not None, f"no answer to {method}"
        return answer

    def subscriptions(self, server: Server) -> int:
        total: int = server.api("GET", "/v1/subscriptions")[1]["total"]
        return total

    def known(self, server: Server) -> Any:
        """What the server knows of alice."""
        return server.api("GET", f"/v1/presence/alice@{DOMAIN}")[1]

    def test_who_may(self) -> None:
        """Only who proves to be somebody makes work; nobody speaks for another one."""
        server = self.serve("presence")
        with Datagrams(ATTACKER, server.address) as phone:
            body = document('<tuple id="t"><status><basic>open</basic></status></tuple>')
            for method, uri, more in (
                ("SUBSCRIBE", BOB, (f"Contact: <sip:x@{phone.sent_by}>", "Event: presence", "Accept: */*")),
                ("PUBLISH", ALICE, ("Event: presence", "Content-Type: application/pidf+xml")),
            ):
                said = body if method == "PUBLISH" else b""
                challenge = challenges(self.ask(phone, method, uri, ALICE, *more, body=said))["SHA-256"]
                for user, password, sender, status in (
                    ("alice", "wrong", ALICE, 407),
                    ("mallory", "secret of alice", ALICE, 407),
                    ("bob", PASSWORDS["bob"], ALICE, 403),
                    ("alice", PASSWORDS["alice"], ALICE, 200),
                ):
                    credentials = authorization(challenge, user, password, method, uri, f"{len(user):08x}")
                    proof = f"Proxy-Authorization: {credentials}"
                    with self.subTest(method=method, user=user, password=password):
                        answer = self.ask(phone, method, uri, sender, proof, *more, body=said)
                        self.assertEqual(answer.status, status)
                        challenge = challenges(answer).get("SHA-256", challenge)
            self.assertEqual(self.subscriptions(server), 1)
            self.wait_for(lambda: self.subscriptions(server) == 0, 10.0)

    def publish(self, server: Server, body: bytes) -> Message:
        """A PUBLISH of alice's over TCP, and what it costs."""
        used = server.cpu()
        kind = "Content-Type: application/pidf+xml"
        sender = f"<{ALICE}>;tag=1"
        with Stream(ATTACKER, server.address) as stream:
            stream.send(
                request("PUBLISH", ALICE, "Event: presence", kind, body=body, sender=sender, transport="TCP")
            )
            answer = stream.receive(5.0)
        assert answer is not None, body[:100]
        self.assertLess(server.cpu() - used, CPU_S, body[:100])
        return answer

    def test_documents(self) -> None:
        """Bad ones are refused, at once, and nothing of them is kept."""
        server = self.serve("open")
        for name, body in (*DOCUMENTS.items(), *((one, data) for one, (_, data) in BOMBS.items())):
            answer = self.publish(server, body[:LARGEST])
            with self.subTest(body=name):
                self.assertIn(answer.status, (400, 413, 415))
                self.assertNotIn(b"root:", answer.wire)
        self.assertEqual(self.known(server)["publications"], [])

    def test_odd_documents(self) -> None:
        """What is odd and no worse comes out as a document that can be read."""
        server = self.serve("open")
        for body in ODD:
            self.assertIn(self.publish(server, body).status, (200, 400))
        with Callee(ATTACKER, server.address, 200).answer() as phone:
            headers = (f"Contact: <sip:x@{phone.sent_by}>", "Event: presence", "Expires: 0")
            sender = f"<{BOB}>;tag=odd"
            phone.send(request("SUBSCRIBE", ALICE, *headers, sent_by=phone.sent_by, sender=sender))
            self.wait_for(lambda: any(each.method == "NOTIFY" for each in phone.got))
            (notify,) = [each for each in phone.got if each.method == "NOTIFY"]
        self.assertEqual(parse_pidf(notify.body).entity, ALICE)

    def test_coming_and_going(self) -> None:
        """1,000 subscriptions that end as soon as they have begun leave nothing; each has one last NOTIFY."""
        server = self.serve("open")
        before = self.subscriptions(server)
        with Callee(ATTACKER, server.address, 200).answer() as phone:
            contact = f"Contact: <sip:x@{phone.sent_by}>"
            for number in range(1000):
                expires = f"Expires: {0 if number % 2 else 60}"
                sender = f"<{ALICE}>;tag=s{number}"
                phone.send(
                    request(
                        "SUBSCRIBE",
                        BOB,
                        contact,
                        "Event: presence",
                        expires,
                        sent_by=phone.sent_by,
                        sender=sender,
                        call_id=f"going-{number}",
                    )
                )
                if number % 20 == 19:
                    time.sleep(0.02)
            self.wait_for(lambda: len(self.last(phone)) >= 500, 20.0)
            time.sleep(0.5)
            ended = self.last(phone)
            self.assertEqual(len(ended), len({each.get("call-id") for each in ended}))
            self.assertEqual(self.subscriptions(server), before + 500)
        self.check_nothing_left(server, 10.0)

    def last(self, phone: Callee) -> list[Message]:
        """The NOTIFYs that end subscriptions, each once."""
        found = {
            each.get("via"): each
            for each in phone.got
            if each.method == "NOTIFY" and each.get("subscription-state").startswith("terminated")
        }
        return list(found.values())

    def test_a_flood_without_credentials(self) -> None:
        """It is answered without anything being kept."""
        server = self.serve("presence")
        with Datagrams(ATTACKER, server.address) as phone:
            before = 0
            for _ in range(3):
                for number in range(1500):
                    contact = f"Contact: <sip:x{number}@{phone.sent_by}>"
                    phone.send(request("SUBSCRIBE", BOB, contact, "Event: presence", sent_by=phone.sent_by))
                    if number % 50 == 49:
                        time.sleep(0.01)
                        phone.drain()
                before = before or server.pss()
            self.assertLess(server.pss() - before, 4 << 20)
        self.assertEqual(self.subscriptions(server), 0)

    def test_forged_news(self) -> None:
        """A stranger's NOTIFY, in a dialog that there is not or in none, changes nothing."""
        server = self.serve("presence")
        body = b"Messages-Waiting: yes\r\nVoice-Message: 99/0\r\n"
        headers = (
            "Event: message-summary",
            "Subscription-State: active",
            "Content-Type: application/simple-message-summary",
        )
        for to in (f"<{ALICE}>", f"<{ALICE}>;tag=guessed"):
            self.exchange(server, request("NOTIFY", ALICE, *headers, to=to, body=body))
        self.assertEqual(self.known(server)["mailbox"], "")

    def test_a_victim_s_address(self) -> None:
        """Where nobody is asked for credentials, a Contact elsewhere is not sent to."""
        server = self.serve("open")
        with (
            Callee(ATTACKER, server.address, 200).answer() as phone,
            Datagrams("127.0.71.204", server.address) as victim,
        ):
            wire = request(
                "SUBSCRIBE",
                BOB,
                f"Contact: <sip:v@{victim.sent_by}>",
                "Event: presence",
                "Expires: 60",
                sent_by=phone.sent_by,
                sender=f"<{ALICE}>;tag=v",
            )
            phone.send(wire)
            self.wait_for(lambda: any(each.method == "NOTIFY" for each in phone.got))
            self.assertEqual(victim.drain(0.5), [])
