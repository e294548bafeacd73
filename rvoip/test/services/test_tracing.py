"""What is kept of a call that passes a role."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from rvoip.common.errors import ConfigError
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.test.services.roles import HOST, RoleCase
from rvoip.testing.phone import Phone
from rvoip.trace.hep import HEPPacket
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


class Anybody:
    """Asks nobody for credentials."""

    def authenticate(self, transaction: object) -> str:
        return "core@edge.test"


class CollectorTests(RoleCase):
    """Messages to and from other elements."""

    EDGE = "127.0.64.30"

    def other(self, text: str) -> SIPRole:
        """A proxy without users that sends what it captures to the first role."""
        path = self.folder / "other.toml"
        path.write_text(
            f'[sip]\nlisten = ["udp:{self.EDGE}:5060"]\ndomains = ["edge.test"]\n[http]\nlisten = "none"\n'
            f"[users]\nstore = 'sqlite:other.db'\n{text}"
        )
        return self.begin(
            SIPRole(
                self.reactor, "proxy", load(str(path), "proxy", {}), str(path), registrar=False, proxy=True
            )
        )

    def test_one_ladder(self) -> None:
        """A call through two proxies is in one place, each message once, whichever of them tells of it."""
        text = '[registrar]\nauthenticate = false\n[trace]\nhep_listen = "127.0.0.1:9060"\n'
        role = self.run_role(text)
        trust = f'[guard]\ntrusted = ["{HOST}"]\n'
        edge = self.other(f'{trust}[trace]\nhep = "udp:127.0.0.1:9060"\nhep_id = 7\n')
        self.patch(edge.proxy, "authenticator", Anybody())
        self.reactor.advance(0.1)
        alice = self.phone("alice@example.test", "127.0.64.21")
        bob = self.phone("bob@example.test", "127.0.64.22")
        for phone in (alice, bob):
            self.reactor.result_of(phone.register(headers=(("Path", f"<sip:{self.EDGE};lr>"),)))
        self.talk(alice, bob)
        assert role.ring is not None and edge.ring is not None
        (call_id,) = [one.call_id for one in role.ring.calls()]
        messages = role.ring.messages(call_id)
        hops = [(one["source"], one["destination"]) for one in messages if one["summary"] == "INVITE (SDP)"]
        places = [f"{alice.wire.host}:{alice.wire.port}", f"{HOST}:5060", f"{self.EDGE}:5060"]
        places.append(f"{bob.wire.host}:{bob.wire.port}")
        self.assertEqual(hops, list(pairwise(places)))
        texts = [one["text"] for one in messages]
        self.assertEqual(len(texts), len(set(texts)))
        self.assertEqual({one["direction"] for one in messages}, {"in", "out", "seen"})
        self.assertEqual([one["at"] for one in messages], sorted(one["at"] for one in messages))
        drawn = draw(messages, 140).splitlines()
        self.assertEqual(drawn[0].split(), [place.partition(":")[0] for place in places])
        assert edge.tracing.sender is not None and role.tracing.listener is not None
        self.assertEqual(edge.tracing.sender.sent, role.tracing.listener.received)

    def test_what_is_not_kept(self) -> None:
        role = self.run_role('[trace]\nhep_listen = "127.0.0.1:9060"\n')
        invite = (
            b"INVITE sip:a@b SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nVia: SIP/2.0/TLS h;branch=1\r\n\r\n"
        )
        ends = ("192.0.2.1", 5060), ("192.0.2.2", 5061)
        for payload, kind in (
            (invite, 5),
            (b"nonsense", 1),
            (invite.replace(b"Call-ID: x\r\n", b""), 1),
            (invite.replace(b"INVITE", b"REGISTER"), 1),
        ):
            role.tracing.captured(HEPPacket(1.0, *ends, payload, 6, kind))
        self.assertEqual(len(role.ring or ()), 0)
        role.tracing.captured(HEPPacket(1.0, *ends, invite, 6, 1))
        assert role.ring is not None
        (message,) = role.ring.messages("x")
        self.assertEqual((message["transport"], message["destination"]), ("TLS", "192.0.2.2:5061"))

    def test_addresses_that_are_none(self) -> None:
        for text, key in (
            ('hep = "homer.example.test"', "trace.hep"),
            ('hep = "tls:homer.example.test:9060"', "trace.hep"),
            ('hep = "udp:homer.example.test:99999"', "trace.hep"),
            ('hep = "udp::9060"', "trace.hep"),
            ('hep_listen = "localhost:9060"', "trace.hep_listen"),
            ('hep_listen = "127.0.0.1"', "trace.hep_listen"),
            ('hep_listen = "0.0.0.0:9060"', "trace.hep_listen"),
        ):
            with self.assertRaises(ConfigError) as caught:
                self.make(f"[trace]\n{text}\n")
            self.assertEqual(caught.exception.key, key, text)
        self.make('[trace]\nhep_listen = "[::]:9060"\nhep_key = "k"\n')
