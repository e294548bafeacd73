"""What is answered before it is parsed gets the answer that the general way gives."""

from __future__ import annotations

import random
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import fail, succeed
from twisted.internet.protocol import DatagramProtocol

from rvoip.protocols.sip import digest
from rvoip.protocols.sip.uri import parse_uri
from rvoip.registrar.binding import Binding, Change
from rvoip.registrar.contact import contact_key
from rvoip.registrar.errors import StoreError
from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import SERVER, RoleCase
from rvoip.testing.faulty_store import FaultyStore

START = "REGISTER sip:example.test SIP/2.0"
COMMON = (
    "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1",
    "Max-Forwards: 70",
    'From: "Bob" <sip:bob@example.test>;tag=1',
    "To: <sip:bob@example.test>",
    "Call-ID: 1@192.0.2.9",
    "CSeq: 1 REGISTER",
    "Contact: <sip:bob@127.0.0.9:5090>",
    "User-Agent: phone",
    "Content-Length: 0",
)
OTHER = {
    0: (
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1;rport",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1;rport;alias",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport=1;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1;received=192.0.2.1",
        "v: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bK1;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 127.0.0.9:99999;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP .;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP -;rport;branch=z9hG4bK1",
    ),
    1: (
        "Max-Forwards: 0",
        "Max-Forwards: 999",
        "Max-Forwards: x",
        "Max-Forwards: 7_0",
        "Max-Forwards:",
        "Max-Forwards: 70\r\nMax-Forwards: 70",
        "Subject: no hops",
    ),
    2: (
        "From: sip:bob@example.test;tag=1",
        "f: <sip:bob@example.test>;tag=1",
        "From: <sip:bob@example.test>",
    ),
    3: (
        "To: Bob <sip:bob@example.test>",
        "To: <sip:bob@example.test>;tag=2",
        "To: <sip:bob@EXAMPLE.test>",
        "To: <sip:bob@elsewhere.test>",
        "To: <sip:example.test>",
        "To: <tel:+1>",
        "To: <sip:bob@example.test>\r\nTo: <sip:al@example.test>",
    ),
    4: ("i: 1@192.0.2.9", "Call-ID: 1 2", "Call-ID:", "Call-ID: 1\r\n 2"),
    5: ("CSeq: 1 INVITE", "CSeq: 99999999999 REGISTER", "CSeq: x REGISTER", "cseq: 1 REGISTER"),
    6: (
        'Contact: "Bob" <sip:bob@127.0.0.9:5090>;expires=60;+sip.instance="<urn:uuid:1>";reg-id=1',
        "Contact: *",
        "Contact: ,",
        "Contact: <",
        'Contact: "bob <sip:bob@127.0.0.9>',
        "Contact: bob bob",
        "Contact: <sip:bob@127.0.0.9>, <sip:al@127.0.0.9>",
        "Expires: 60",
        "Expires: 60\r\nExpires: 61",
        "Expires: soon",
        "Date: now\r\nDate: now",
    ),
    7: (
        "no header",
        ": x",
        "User-Agent: \0",
        "User\0Agent: x",
        "User Agent: x",
        "Require: x",
        "Proxy-Require: x",
        "Authorization: Basic x",
        "Supported: path\r\nSupported: outbound",
        "User-Agent: baresip v1",
        "X-Route: a",
        "Route: <sip:example.test;lr>",
        "Content-Encoding: gzip",
    ),
    8: ("Content-Length: 1", "l: 0", "Content-Length: 0\r\nContent-Length: 0", "Subject: x"),
}
messages = st.builds(
    lambda changed, start: "\r\n".join(
        (start, *[changed.get(number, line) for number, line in enumerate(COMMON)], "", "")
    ).encode(),
    st.fixed_dictionaries({}, optional={number: st.sampled_from(lines) for number, lines in OTHER.items()}),
    st.sampled_from(
        (START, START, START, "REGISTER sip:example.test:5060 SIP/2.0", "REGISTER sip:b.test SIP/2.0")
    ),
)
"""REGISTERs that differ from the common form in some lines."""


class Peer(DatagramProtocol):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        self.got.append(datagram)


class ChallengeTests(RoleCase):
    """A registrar with accounts, asked the same both ways."""

    def setUp(self) -> None:
        super().setUp()
        self.role = self.run_role(name="registrar")
        self.peer = Peer()
        self.port = self.reactor.listenUDP(5090, self.peer, interface="127.0.0.9")
        self.early = self.role.sip.transport.intake.early

    def ask(self, data: bytes, early: bool) -> list[bytes]:
        """What the role says to a datagram, by the short way if `early` and it takes it."""
        self.role.sip.transport.intake.early = self.early if early else None
        self.peer.got.clear()
        transport: Any = self.peer.transport
        transport.write(data, SERVER)
        self.reactor.advance(0.01)
        return [comparable(one) for one in self.peer.got]

    def test_is_what_the_general_way_says(self) -> None:
        """Up to the nonce and the tag, which are new each time, and where branch and rport stand."""

        @given(messages)
        @settings(derandomize=True, deadline=None, max_examples=300)
        def check(data: bytes) -> None:
            self.assertEqual(self.ask(data, True), self.ask(data, False), data)

        check()

    def test_takes_the_common_form(self) -> None:
        """It is counted as any other, and its nonce is good."""
        data = "\r\n".join((START, *COMMON, "", "")).encode()
        general = Counting(self.role)
        (answer,) = self.ask(data, True)
        self.assertTrue(answer.startswith(b"SIP/2.0 401 "))
        self.assertEqual(general.received, 0)
        self.assertEqual(self.role.authenticator.challenged, 1)
        self.assertEqual(self.role.sip.transactions.requests["REGISTER"], 1)
        self.assertEqual(self.role.sip.transactions.responses_sent[4], 1)

    def test_a_phone_registers(self) -> None:
        """With the nonce that it is given."""
        self.add_account(self.role, "bob@example.test")
        phone = self.phone("bob@example.test", "127.0.0.8")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 200)

    def test_not_while_draining(self) -> None:
        """Then the general way says 503."""
        self.role.sip.admission.drain()
        data = "\r\n".join((START, *COMMON, "", "")).encode()
        (answer,) = self.ask(data, True)
        self.assertTrue(answer.startswith(b"SIP/2.0 503 "))


AOR = "bob@example.test"
CHANGES: dict[str, tuple[str | None, ...]] = {
    "Via": OTHER[0],
    "From": OTHER[2],
    "To": ("To: <sip:al@example.test>", "To: <sip:bob@example.test>;tag=1", "To: <sip:b%6fb@example.test>"),
    "Call-ID": ("Call-ID: other", "Call-ID: " + "x" * 300, "Call-ID: a b"),
    "CSeq": ("CSeq: 5 REGISTER", "CSeq: 4 REGISTER", "CSeq: 2 INVITE"),
    "Contact": (
        None,
        "Contact: *",
        "Contact: <sip:bob@127.0.0.9:5091>",
        "Contact: <sip:bob@127.0.0.10:5090>",
        "Contact: <sip:bob@127.0.0.9:5090>;q=0.5",
        "Contact: <sip:bob@127.0.0.9:5090>\r\nContact: <sip:bob@127.0.0.9:5091>",
        "Contact: <sip:bob@127.0.0.9:5090;transport=tcp>",
        "Contact: <sip:bob@127.0.0.9:5090;maddr=127.0.0.1>",
        'Contact: <sip:bob@127.0.0.9:5090>;+sip.instance="<urn:uuid:1>";reg-id=1',
    ),
    "Expires": (None, "Expires: 0", "Expires: 10", "Expires: 600", "Expires: 99999999", "Expires: soon"),
    "User-Agent": (None, "User-Agent: other phone"),
    "Supported": ("Supported: path, outbound, gruu", "Require: path", "Path: <sip:edge.test;lr>"),
    "Content-Length": ("Content-Length: 3", "Content-Length: 0\r\nx: y"),
}
WRITTEN = (
    'username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}", '
    'cnonce="{cnonce}", qop=auth, nc={nc}, algorithm=MD5',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc={nc},qop=auth,uri="{uri}",nonce="{nonce}",'
    'response="{response}",algorithm=MD5',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc={nc},qop="auth",uri="{uri}",nonce="{nonce}",'
    'response="{response}",algorithm="MD5",opaque="x"',
    'username="{user}",realm="{realm}",nonce="{nonce}",uri="{uri}",response="{response}"',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc=0,qop=auth,uri="{uri}",nonce="{nonce}",'
    'response="{response}"',
    'username="{user}",realm="elsewhere",cnonce="{cnonce}",nc={nc},qop=auth,uri="{uri}",nonce="{nonce}",'
    'response="{response}"',
    'username="{user}",username="al",realm="{realm}",cnonce="{cnonce}",nc={nc},qop=auth,uri="{uri}",'
    'nonce="{nonce}",response="{response}"',
    'username="{user}",realm="{realm}",cnonce={cnonce},nc={nc},qop=auth,uri="{uri}",nonce="{nonce}",'
    'response="{response}"',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc={nc},qop=auth,uri="a,b",nonce="{nonce}",'
    'response="{response}"',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc={nc},qop=auth,uri="{uri}",nonce="bad",'
    'response="{response}"',
    'username="{user}",realm="{realm}",cnonce="{cnonce}",nc={nc},qop=auth,uri="{uri}",nonce="{nonce}",'
    'response="00"',
)


class RefreshCase(RoleCase):
    """A phone that has registered, and does so again with the right password."""

    text = ""
    credentials = True

    def setUp(self) -> None:
        super().setUp()
        self.role = self.run_role(self.text, name="registrar")
        self.add_account(self.role, AOR, "secret")
        self.peer = Peer()
        self.port = self.reactor.listenUDP(5090, self.peer, interface="127.0.0.9")
        self.early: Any = self.role.sip.transport.intake.early
        self.branch = 0
        # From then on the password is in memory.
        self.outcome(True, {}, WRITTEN[0])

    def send(self, data: bytes) -> list[bytes]:
        """What comes of a datagram."""
        self.peer.got.clear()
        transport: Any = self.peer.transport
        transport.write(data, SERVER)
        self.reactor.advance(0.01)
        return list(self.peer.got)

    def nonce(self) -> str:
        """A new one; none where nobody is asked."""
        if not self.credentials:
            return ""
        (answer,) = self.send("\r\n".join((START, *COMMON[:1], *COMMON[1:], "", "")).encode())
        found = re.search(rb'nonce="([^"]*)"', answer)
        assert found is not None
        return found[1].decode()

    def register(self, changes: dict[str, str | None], written: str, count: int = 1) -> bytes:
        """A REGISTER with these lines in place of the usual ones."""
        self.branch += 1
        nonce, uri, cnonce = self.nonce(), "sip:example.test", "0a4f113b"
        secret = digest.ha1("MD5", "bob", "example.test", "secret")
        hashed = digest.ha2("MD5", "REGISTER", uri, "auth")
        given = digest.response("MD5", secret, nonce, f"{count:08x}", cnonce, "auth", hashed)
        credentials = written.format(
            user="bob",
            realm="example.test",
            nonce=nonce,
            uri=uri,
            response=given,
            cnonce=cnonce,
            nc=f"{count:08x}",
        )
        lines: dict[str, str | None] = {
            "Via": f"Via: SIP/2.0/UDP 127.0.0.9:5090;rport;branch=z9hG4bKr{self.branch}",
            "Max-Forwards": "Max-Forwards: 70",
            "From": "From: <sip:bob@example.test>;tag=1",
            "To": "To: <sip:bob@example.test>",
            "Call-ID": f"Call-ID: call{self.branch}",
            "CSeq": "CSeq: 6 REGISTER",
            "Contact": "Contact: <sip:bob@127.0.0.9:5090>",
            "Expires": "Expires: 300",
            "User-Agent": "User-Agent: phone",
            "Supported": "Supported: path",
            "Authorization": f"Authorization: Digest {credentials}" if self.credentials else None,
            "Content-Length": "Content-Length: 0",
        }
        wire = "\r\n".join([START, *filter(None, (lines | changes).values()), "", ""]).encode()
        # No two have the same: what was removed is remembered for a while.
        wire = re.sub(rb"(Call-ID: (?!call)[^\r]*)", rb"\1other%d" % self.branch, wire)
        return re.sub(rb"branch=z9hG4bK1\b", b"branch=z9hG4bKs%d" % self.branch, wire)

    def reset(self) -> None:
        """The binding as the phone made it first."""
        store: Any = self.role.location.store
        now = self.reactor.seconds()
        for aor in AOR, "al@example.test":
            store.remove(aor, None, now)
        binding = Binding(
            "sip:bob@127.0.0.9:5090",
            contact_key(parse_uri("sip:bob@127.0.0.9:5090")),
            f"call{self.branch + 1}",
            5,
            now + 300,
            300,
            user_agent="phone",
        )
        store.apply(Change(AOR, now, (binding,)))

    def outcome(self, early: bool, changes: dict[str, str | None], written: str) -> tuple[Any, ...]:
        """What is answered, what is bound then, and what was counted."""
        self.reset()
        data = self.register(changes, written)
        role = self.role
        self.role.sip.transport.intake.early = self.early if early else None
        before = self.counted()
        answers = [numberless(one) for one in self.send(data)]
        after = self.counted()
        self.role.sip.transport.intake.early = self.early
        # Once more: it is answered the same, and changes nothing.
        again = [numberless(one) for one in self.send(data)]
        store: Any = role.location.store
        bindings = [
            (
                one.contact,
                one.key,
                one.call_id[:4],
                one.cseq,
                one.granted,
                one.received,
                one.user_agent,
                one.params,
            )
            for one in store.lookup(AOR, self.reactor.seconds())
        ]
        return answers, again, bindings, [b - a for a, b in zip(before, after, strict=True)]

    def counted(self) -> list[int]:
        """The counters that an operator sees."""
        role = self.role
        transactions = role.sip.transactions
        authenticator = role.authenticator
        return [
            transactions.requests["REGISTER"],
            *transactions.responses_sent,
            authenticator.accepted,
            authenticator.challenged,
            authenticator.failures,
            *role.registrations.values(),
        ]

    def check_each_change(self) -> None:
        """Both ways do the same about each change alone."""
        for name, values in CHANGES.items():
            for value in values:
                changes: dict[str, str | None] = {name: value}
                found = self.outcome(True, changes, WRITTEN[0])
                self.assertEqual(found, self.outcome(False, changes, WRITTEN[0]), changes)


class OpenTests(RefreshCase):
    """Where nobody is asked for credentials."""

    text = "[registrar]\nauthenticate = false\n"
    credentials = False

    def test_each_change_alone(self) -> None:
        """It has the same outcome both ways."""
        self.check_each_change()

    def test_takes_the_plain_form(self) -> None:
        """And nothing is kept of it: when it comes again it is answered anew, and the same."""
        self.reset()
        data = self.register({}, WRITTEN[0])
        general = Counting(self.role)
        (answer,) = self.send(data)
        self.assertTrue(answer.startswith(b"SIP/2.0 200 OK\r\n"), answer)
        self.assertEqual(general.received, 0)
        (again,) = self.send(data)
        self.assertEqual(sorted(again.split(b"\r\n")), sorted(answer.split(b"\r\n")))


class RefreshTests(RefreshCase):
    """Where everybody is."""

    def test_is_what_the_general_way_does(self) -> None:
        """Whatever differs from the plain form."""

        @given(
            st.fixed_dictionaries(
                {}, optional={name: st.sampled_from(values) for name, values in CHANGES.items()}
            ),
            st.sampled_from((*WRITTEN[:2], *WRITTEN)),
        )
        @example({}, WRITTEN[0])
        @settings(derandomize=True, deadline=None, max_examples=300)
        def check(changes: dict[str, str | None], written: str) -> None:
            self.assertEqual(
                self.outcome(True, changes, written),
                self.outcome(False, changes, written),
                (changes, written),
            )

        check()

    def test_each_change_alone(self) -> None:
        """And each way to write credentials."""
        self.check_each_change()
        for written in WRITTEN:
            self.assertEqual(self.outcome(True, {}, written), self.outcome(False, {}, written), written)

    def test_a_store_that_has_to_be_waited_for_is_asked_once(self) -> None:
        """By the general way, which deals with its failures: here it fails the third time."""
        self.reset()
        kept = FaultyStore(self.reactor, random.Random(1))
        self.role.registration.store = kept.client(self.reactor)  # type: ignore[union-attr]
        statuses = []
        for number in range(1, 4):
            kept.down = number == 3
            asked = kept.asked
            data = self.register({}, WRITTEN[0])
            (answer,) = self.send(data)
            statuses.append(answer[8:11])
            self.assertLessEqual(kept.asked - asked, 2)  # to look up and to apply
            self.reset()
        self.assertEqual(statuses, [b"200", b"200", b"503"])

    def test_not_what_a_scanner_sends(self) -> None:
        """It is dropped, as it is the general way."""
        self.reset()
        data = self.register({"User-Agent": "User-Agent: friendly-scanner"}, WRITTEN[0])
        self.assertEqual(self.send(data), [])
        self.assertEqual(self.role.screen.scans, 1)

    def test_takes_the_plain_form(self) -> None:
        """Over whichever of the common ways to write credentials; a retransmission is the general way's."""
        for written in WRITTEN[:2]:
            self.reset()
            data = self.register({}, written)
            general = Counting(self.role)
            (answer,) = self.send(data)
            self.assertTrue(answer.startswith(b"SIP/2.0 200 OK\r\n"), answer)
            self.assertEqual(general.received, 0)
            self.assertEqual(self.send(data), [answer])
            self.assertEqual(general.received, 1)

    def test_a_nonce_count_is_used_once(self) -> None:
        """Another request with the same credentials is asked for new ones."""
        self.reset()
        data = self.register({}, WRITTEN[0])
        self.assertTrue(self.send(data)[0].startswith(b"SIP/2.0 200 "))
        other = data.replace(b"branch=z9hG4bKr", b"branch=z9hG4bKq").replace(b"CSeq: 6", b"CSeq: 7")
        (answer,) = self.send(other)
        self.assertTrue(answer.startswith(b"SIP/2.0 401 "), answer)
        self.assertIn(b"stale=true", answer)

    def test_a_store_that_cannot_write(self) -> None:
        """503, as by the general way, and the binding is as it was."""
        store: Any = self.role.location.store

        def refuse(change: Change) -> Any:
            raise StoreError("full")

        def fail_later(change: Change) -> Any:
            return fail(StoreError("full"))

        for refusing in refuse, fail_later:
            self.reset()
            data = self.register({}, WRITTEN[0])
            self.patch(store, "apply", refusing)
            (answer,) = self.send(data)
            self.assertTrue(answer.startswith(b"SIP/2.0 503 "), answer)
            self.assertIn(b"Retry-After: 5", answer)
            del store.apply
            self.assertEqual(store.lookup(AOR, self.reactor.seconds())[0].cseq, 5)
        registration = self.role.registration
        assert registration is not None
        self.assertEqual(registration.unavailable, 2)

    def test_another_request_is_quicker(self) -> None:
        """While the store writes: the answer is the registrar's to what it found."""
        store: Any = self.role.location.store
        self.reset()
        data = self.register({}, WRITTEN[0])
        apply = store.apply

        def later(change: Change) -> Any:
            apply(
                Change(AOR, change.now, (Binding(*vars_of(change.puts[0], cseq=9)),), (), change.call_id, 9)
            )
            return succeed(apply(change))

        self.patch(store, "apply", later)
        (answer,) = self.send(data)
        self.assertTrue(answer.startswith(b"SIP/2.0 500 "), answer)


def numberless(data: bytes) -> bytes:
    """`comparable` in any order, without the number that makes each branch and Call-ID a new one."""
    data = re.sub(rb"\r\nDate: [^\r]*", b"", data)
    first, *lines = re.sub(rb"(z9hG4bK[rs]|call|other)\d+", rb"\1", comparable(data)).split(b"\r\n")
    return b"\r\n".join([first, *sorted(lines)])


def vars_of(binding: Binding, **changed: Any) -> list[Any]:
    """The arguments that make such a binding."""
    names = "contact key call_id cseq deadline granted q params path received user_agent".split()
    return [changed.get(name, getattr(binding, name)) for name in names]


class Counting:
    """Counts what reaches the general way, and hands it on."""

    def __init__(self, role: SIPRole) -> None:
        self.received = 0
        intake = role.sip.transport.intake
        self.receiver: Any = intake.receiver
        intake.receiver = self  # type: ignore[assignment]

    def message_received(self, message: Any, flow: Any) -> Any:
        self.received += 1
        return self.receiver.message_received(message, flow)


def comparable(data: bytes) -> bytes:
    """Without what is new in each answer; a Via says the same in any order."""
    data = re.sub(rb'nonce="[^"]*"', b"", re.sub(rb";tag=[0-9a-f]{16}\r\n", b"\r\n", data))
    return re.sub(
        rb"\r\nVia: ([^\r]*)", lambda via: b"\r\nVia: " + b";".join(sorted(via[1].split(b";"))), data
    )
