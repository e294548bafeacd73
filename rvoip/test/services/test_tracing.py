"""What is kept of a call that passes a role."""

from __future__ import annotations

from collections import Counter

from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import HOST, RoleCase
from rvoip.testing.phone import Phone
from rvoip.trace.ladder import draw
from rvoip.trace.ring import LadderMessage, MessageRing


class TracingTests(RoleCase):
    def start(self, text: str = "", transport: str = "UDP") -> SIPRole:
        role = self.run_role(f"[registrar]\n{text}")
        for aor in ("alice@example.test", "bob@example.test"):
            self.add_account(role, aor)
        self.alice = self.phone("alice@example.test", "127.0.64.21", port=5070, transport=transport)
        self.bob = self.phone("bob@example.test", "127.0.64.22", port=5080, transport=transport)
        for phone in (self.alice, self.bob):
            self.assertEqual(self.reactor.result_of(phone.register()).status, 200)
        return role

    def ring(self, role: SIPRole) -> MessageRing:
        assert role.ring is not None
        return role.ring

    def seen_by(self, phone: Phone, call_id: str) -> Counter[tuple[bool, str]]:
        """What a phone sent and received, by direction and start line."""
        return Counter(
            (one.sent, one.message.start_line) for one in phone.messages if one.message.call_id == call_id
        )

    def kept_with(self, messages: list[LadderMessage], phone: Phone) -> Counter[tuple[bool, str]]:
        """What the role says it has received from a phone and sent to it."""
        found: Counter[tuple[bool, str]] = Counter()
        for one in messages:
            peer = one["source"] if one["direction"] == "in" else one["destination"]
            if peer.startswith(f"{phone.wire.host}:"):
                found[one["direction"] == "in", one["text"].partition("\r\n")[0]] += 1
        return found

    def check_call(self, transport: str) -> None:
        role = self.start(transport=transport)
        call = self.talk(self.alice, self.bob)
        messages = self.ring(role).messages(call.call_id)
        for phone in (self.alice, self.bob):
            self.assertEqual(self.kept_with(messages, phone), self.seen_by(phone, call.call_id))
        self.assertEqual({one["transport"] for one in messages}, {transport})
        ours = {one["destination"] if one["direction"] == "in" else one["source"] for one in messages}
        self.assertEqual(ours, {f"{HOST}:5060"})
        (summary,) = self.ring(role).calls()
        self.assertEqual(
            (summary.call_id, summary.from_, summary.to, summary.status, summary.messages),
            (call.call_id, "sip:alice@example.test", "sip:bob@example.test", 200, len(messages)),
        )
        drawn = draw(messages, 100).splitlines()
        self.assertEqual(len(drawn), len(messages) + 3)
        self.assertEqual(drawn[0].split(), ["127.0.64.21", HOST, "127.0.64.22"])

    def test_every_message_of_a_call_over_udp(self) -> None:
        self.check_call("UDP")

    def test_every_message_of_a_call_over_tcp(self) -> None:
        self.check_call("TCP")

    def test_stateless_answers_are_kept_too(self) -> None:
        role = self.start("[proxy]\nauthenticate = true\n")
        call = self.talk(self.alice, self.bob)
        first, second = self.ring(role).messages(call.call_id)[:2]
        self.assertEqual(first["summary"], "INVITE (SDP)")
        self.assertTrue(second["summary"].startswith("407 "), second)
        self.assertEqual(self.ring(role).calls()[0].status, 200)

    def test_no_password_is_shown(self) -> None:
        role = self.start("[proxy]\nauthenticate = true\n")
        call = self.talk(self.alice, self.bob)
        sent = [one.message.get("proxy-authorization") for one in self.alice.messages if one.sent]
        answers = [value.partition('response="')[2].partition('"')[0] for value in sent if value]
        self.assertTrue(answers)
        text = "".join(one["text"] for one in self.ring(role).messages(call.call_id))
        self.assertIn("Proxy-Authorization: [redacted]", text)
        for answer in answers:
            self.assertEqual(len(answer), 32)
            self.assertNotIn(answer, text)

    def test_a_request_that_comes_again_is_marked(self) -> None:
        role = self.start()
        self.reactor.result_of(self.alice.request("MESSAGE", "sip:bob@example.test"))
        sent = next(
            one.message for one in self.alice.messages if one.message.start_line.startswith("MESSAGE")
        )
        self.alice.send_raw(sent.to_bytes())
        self.reactor.advance(0.1)
        messages = self.ring(role).messages(sent.call_id)
        self.assertEqual(
            [one["summary"] for one in messages],
            ["MESSAGE", "MESSAGE", "200 OK (MESSAGE)", "200 OK (MESSAGE)", "MESSAGE", "200 OK (MESSAGE)"],
        )
        self.assertEqual(
            [" again" in line for line in draw(messages).splitlines()[3:]], [False] * 4 + [True] * 2
        )

    def test_registrations_and_pings_are_not_kept(self) -> None:
        role = self.start()
        self.reactor.result_of(self.alice.options())
        self.assertEqual(len(self.ring(role)), 0)

    def test_registrations_are_kept_when_asked_for(self) -> None:
        role = self.start("[trace]\nregistrations = true\n")
        self.reactor.result_of(self.alice.options())
        ring = self.ring(role)
        self.assertEqual(
            [[one["summary"] for one in ring.messages(call.call_id)] for call in reversed(ring.calls())],
            [
                ["REGISTER", "401 Unauthorized (REGISTER)", "REGISTER", "200 OK (REGISTER)"],
                ["REGISTER", "401 Unauthorized (REGISTER)", "REGISTER", "200 OK (REGISTER)"],
                ["OPTIONS", "200 OK (OPTIONS)"],
            ],
        )

    def test_only_so_many_calls_are_kept(self) -> None:
        role = self.start("[trace]\nkeep = 2\n")
        calls = [self.talk(self.alice, self.bob).call_id for _ in range(3)]
        self.assertEqual([call.call_id for call in self.ring(role).calls()], calls[:0:-1])

    def test_it_can_be_off(self) -> None:
        role = self.start("[trace]\nkeep = 0\n")
        self.talk(self.alice, self.bob)
        self.assertIsNone(role.ring)
        self.assertIsNone(role.sip.transport.intake.tap)
        self.assertIsNone(role.sip.transactions.tap)

    def test_what_is_no_sip_is_not_kept(self) -> None:
        role = self.start()
        self.alice.send_raw(b"INVITE sip:bob@example.test SIP/2.0\r\nCall-ID: x\r\n\r\n")
        self.reactor.advance(0.1)
        self.assertEqual(len(self.ring(role)), 0)
