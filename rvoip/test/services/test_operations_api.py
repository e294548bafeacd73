"""Status, transactions and ladders by HTTP."""

from __future__ import annotations

import time
from urllib.parse import quote

from rvoip import __version__
from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import HOST, RoleCase
from rvoip.testing.phone import Phone, ring
from rvoip.trace.ladder import draw


class OperationsCase(RoleCase):
    def begin_with_phones(self, text: str = "") -> SIPRole:
        role = self.run_role(f"[registrar]\nauthenticate = false\n{text}")
        self.alice = self.phone("alice@example.test", "127.0.64.21", port=5070)
        self.bob = self.phone("bob@example.test", "127.0.64.22", port=5080, transport="TCP")
        for phone in (self.alice, self.bob):
            self.reactor.result_of(phone.register())
        return role


class StatusTests(OperationsCase):
    def test_status(self) -> None:
        self.begin_with_phones()
        self.talk(self.alice, self.bob)
        self.reactor.advance(5)
        status = self.client.ask("GET", "/v1/status").json
        self.assertLess(abs(status.pop("started") - time.time()), 60)
        self.assertGreater(status.pop("uptime"), 5)
        self.assertEqual(
            status,
            {
                "role": "proxy",
                "version": __version__,
                "listeners": [f"udp:{HOST}:5060", f"tcp:{HOST}:5060"],
                "domains": ["example.test"],
                "aors": 2,
                "bindings": 2,
                # The 200 to the INVITE may come again (RFC 6026).
                "transactions": 2,
                "dialogs": 0,
                "gateways": {},
                "connections": 1,
                "calls": 1,
                "lag": 0.0,
            },
        )


class TransactionsTests(OperationsCase):
    def test_a_call_that_rings(self) -> None:
        self.begin_with_phones()
        self.bob.script = ring
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.ringing())
        answer = self.client.ask("GET", "/v1/transactions").json
        self.assertEqual((answer["servers"], answer["clients"]), (1, 1))
        server, client = answer["transactions"]
        self.assertEqual(
            server,
            {
                "kind": "server",
                "method": "INVITE",
                "uri": "sip:bob@example.test",
                "call_id": call.call_id,
                "state": "Proceeding",
                "status": 180,
                "transport": "UDP",
                "peer": "127.0.64.21:5070",
            },
        )
        self.assertEqual(client["kind"], "client")
        self.assertEqual(client["uri"], "sip:bob@127.0.64.22:5080;transport=tcp")
        self.assertEqual((client["state"], client["status"], client["transport"]), ("Proceeding", 180, "TCP"))
        limited = self.client.ask("GET", "/v1/transactions?limit=1").json
        self.assertEqual(len(limited["transactions"]), 1)
        self.assertEqual((limited["servers"], limited["clients"]), (1, 1))
        call.cancel()
        self.reactor.result_of(call.ended())
        self.reactor.advance(64)
        empty = {"transactions": [], "servers": 0, "clients": 0}
        self.assertEqual(self.client.ask("GET", "/v1/transactions").json, empty)

    def test_what_a_stranger_wrote_is_shown_without_harm(self) -> None:
        self.begin_with_phones()
        self.bob.script = ring
        self.alice.send_raw(invite(self.alice, "caf\udce9\u202e"))
        self.reactor.advance(0.1)
        (server, _) = self.client.ask("GET", "/v1/transactions").json["transactions"]
        self.assertEqual(server["call_id"], "caf\\udce9\\u202e")


def invite(phone: Phone, call_id: str, more: str = "") -> bytes:
    return (
        f"INVITE sip:bob@example.test SIP/2.0\r\nVia: SIP/2.0/UDP {phone.sent_by};branch=z9hG4bKx;rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:alice@example.test>;tag=a\r\nTo: <sip:bob@example.test>\r\n"
        f"Call-ID: {call_id}\r\nCSeq: 1 INVITE\r\nContact: <{phone.contact}>\r\n{more}"
        "Content-Length: 0\r\n\r\n"
    ).encode("utf-8", "surrogateescape")


class LaddersTests(OperationsCase):
    def test_a_call(self) -> None:
        self.begin_with_phones()
        first = self.talk(self.alice, self.bob)
        second = self.talk(self.alice, self.bob)
        calls = self.client.ask("GET", "/v1/ladders").json["calls"]
        self.assertEqual([call["call_id"] for call in calls], [second.call_id, first.call_id])
        self.assertLess(abs(calls[0].pop("started") - time.time()), 60)
        self.assertEqual(
            calls[0],
            {
                "call_id": second.call_id,
                "from": "sip:alice@example.test",
                "to": "sip:bob@example.test",
                "messages": 12,
                "status": 200,
            },
        )
        self.assertEqual(len(self.client.ask("GET", "/v1/ladders?limit=1").json["calls"]), 1)
        ladder = self.client.ask("GET", f"/v1/ladders/{first.call_id}").json
        self.assertEqual((ladder["call_id"], ladder["left_out"]), (first.call_id, 0))
        message = ladder["messages"][0]
        self.assertLess(abs(message.pop("at") - time.time()), 60)
        self.assertTrue(message["text"].startswith("INVITE sip:bob@example.test SIP/2.0\r\nVia: "))
        size = len(message.pop("text"))
        self.assertEqual(
            message,
            {
                "direction": "in",
                "transport": "UDP",
                "source": "127.0.64.21:5070",
                "destination": f"{HOST}:5060",
                "size": size,
                "summary": "INVITE (SDP)",
            },
        )
        labels = [
            one["summary"] for one in self.client.ask("GET", f"/v1/ladders/{second.call_id}").json["messages"]
        ]
        self.assertEqual(labels[-2:], ["200 OK (BYE)", "200 OK (BYE)"])
        drawn = draw(self.client.ask("GET", f"/v1/ladders/{second.call_id}").json["messages"], 100)
        self.assertEqual(drawn.count("INVITE (SDP)"), 2)

    def test_a_call_id_with_anything_in_it(self) -> None:
        self.begin_with_phones()
        for call_id in ("a/b@[::1]?x=%41&y#z", 'q"uote<>\\', "caf\u00e9", "caf\udce9"):
            self.alice.send_raw(invite(self.alice, call_id))
            self.reactor.advance(0.1)
            shown = self.client.ask("GET", "/v1/ladders?limit=1").json["calls"][0]["call_id"]
            answer = self.client.ask("GET", f"/v1/ladders/{quote(shown, safe='')}")
            self.assertEqual(answer.status, 200, call_id)
            self.assertEqual(answer.json["call_id"], shown)
            self.assertTrue(answer.json["messages"])

    def test_secrets_stay_here(self) -> None:
        self.begin_with_phones()
        more = 'Authorization: Digest username="a", response="0123456789abcdef0123456789abcdef"\r\n'
        self.alice.send_raw(invite(self.alice, "c1", more))
        self.reactor.advance(0.1)
        self.assertNotIn(b"0123456789abcdef", self.client.ask("GET", "/v1/ladders/c1").body)

    def test_an_unknown_call(self) -> None:
        self.begin_with_phones()
        self.assertEqual(self.client.ask("GET", "/v1/ladders/nobody").status, 404)
        self.assertEqual(self.client.ask("GET", "/v1/ladders").json, {"calls": []})

    def test_nothing_is_kept(self) -> None:
        self.begin_with_phones("[trace]\nkeep = 0\n")
        for target in ("/v1/ladders", "/v1/ladders/x"):
            answer = self.client.ask("GET", target)
            self.assertEqual(answer.status, 404)
            self.assertIn("keep is 0", answer.json["detail"])
        self.assertEqual(self.client.ask("GET", "/v1/status").json["calls"], 0)
