"""Sources that guess passwords or send too much, and those that are trusted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from rvoip.test.hostile.case import ATTACKER, PASSWORDS, QUICK, HostileCase, register
from rvoip.test.hostile.server import DOMAIN, Server
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

URI = f"sip:{DOMAIN}"
TRUSTED = "127.0.71.203"
BAN_S = 1.5


def make_guarded(host: str) -> Server:
    """Bans after five failures, and trusts one address."""
    tables = f'[registrar]\n[guard]\nban_after = 5\nban_time = {BAN_S}\ntrusted = ["{TRUSTED}"]\n'
    return Server(host, tables=tables, sip=QUICK, users=PASSWORDS)


def make_limited(host: str) -> Server:
    """Ten messages a second from one address."""
    return Server(host, tables="[registrar]\n[guard]\nrate = 10\n", sip=QUICK)


class GuardTests(HostileCase):
    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"guarded": make_guarded, "rate": make_limited}

    def guess(self, phone: Datagrams, user: str = "alice", password: str = "wrong") -> Message | None:
        """A REGISTER with this password; None when it is not answered."""
        aor = f"<sip:{user}@{DOMAIN}>"
        parts = {"sent_by": phone.sent_by, "to": aor, "sender": f"{aor};tag=1"}
        wire = request("REGISTER", URI, **parts)  # type: ignore[arg-type]
        phone.send(wire)
        asked = phone.wait(by_call(Message(wire).get("call-id")), 0.5)
        if asked is None:
            return None
        credentials = authorization(challenges(asked)["SHA-256"], user, password, "REGISTER", URI)
        wire = request("REGISTER", URI, f"Authorization: {credentials}", **parts)  # type: ignore[arg-type]
        phone.send(wire)
        return phone.wait(by_call(Message(wire).get("call-id")), 0.5)

    def test_ban(self) -> None:
        """After five wrong passwords nothing is heard of an address, by any transport, until the ban ends."""
        server = self.serve("guarded")
        with Datagrams(ATTACKER, server.address) as phone, Datagrams("127.0.71.202", server.address) as other:
            for number in range(5):
                answer = self.guess(phone, ("alice", "nobody")[number % 2])
                assert answer is not None
                self.assertEqual(answer.status, 401)
            banned = time.monotonic()
            self.assertIsNone(self.guess(phone, "alice", PASSWORDS["alice"]))
            with Stream(ATTACKER, server.address) as stream:
                stream.send(request("OPTIONS", URI, transport="TCP"))
                self.assertTrue(stream.closed(0.5))
            answer = self.guess(other, "alice", PASSWORDS["alice"])
            assert answer is not None
            self.assertEqual(answer.status, 200)
            time.sleep(max(0.0, banned + BAN_S + 0.2 - time.monotonic()))
            answer = self.guess(phone, "alice", PASSWORDS["alice"])
            assert answer is not None
            self.assertEqual(answer.status, 200)

    def test_who_only_asks_is_not_banned(self) -> None:
        """Requests without credentials, or with stale or bad ones, can be forged: they ban nobody."""
        server = self.serve("guarded")
        with Datagrams(ATTACKER, server.address) as phone:
            for _ in range(20):
                (answer,) = self.exchange(server, request("REGISTER", URI, to=f"<sip:alice@{DOMAIN}>"))
                self.assertEqual(answer.status, 401)
            answer_to_right = self.guess(phone, "alice", PASSWORDS["alice"])
            assert answer_to_right is not None
            self.assertEqual(answer_to_right.status, 200)

    def test_trusted(self) -> None:
        """A trusted address is never banned, still needs the password, and may say who calls."""
        server = self.serve("guarded")
        with Datagrams(TRUSTED, server.address) as phone, Callee("127.0.71.201", server.address, 200) as bob:
            for _ in range(12):
                answer = self.guess(phone)
                assert answer is not None
                self.assertEqual(answer.status, 401)
            register(server, bob, "bob", f"<sip:bob@{bob.sent_by}>")
            bob.answer()
            claim = "<sip:boss@example.test>"
            for source, claims in ((phone, [claim]), (None, [])):
                with Datagrams(ATTACKER, server.address) as stranger:
                    sender = stranger if source is None else source
                    wire = request(
                        "MESSAGE",
                        f"sip:bob@{DOMAIN}",
                        f"P-Asserted-Identity: {claim}",
                        sent_by=sender.sent_by,
                    )
                    sender.send(wire)
                    self.assertIsNotNone(sender.wait(by_call(Message(wire).get("call-id")), 2.0))
                    (got,) = bob.take()
                    self.assertEqual(got.all("p-asserted-identity"), claims)

    def test_rate(self) -> None:
        """Whoever sends more than he may is not heard for the rest; others are."""
        server = self.serve("rate")
        with Datagrams(ATTACKER, server.address) as flood:
            for number in range(500):
                flood.send(request("OPTIONS", URI, sent_by=flood.sent_by, call_id=f"f{number}"))
            self.assertIsNotNone(server.options(1.0))
            answers = flood.drain(0.2)
            self.assertTrue(10 <= len(answers) <= 60, len(answers))
