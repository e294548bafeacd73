"""The gate: what passes, what waits, and what is refused just as the general way would."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.wheel import TimerWheel
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.dialog.transactions import TransactionLayer
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.protocols.transport.intake import Intake
from rvoip.protocols.transport.udp import SIPDatagramProtocol
from rvoip.services.gate import REST, Gate
from rvoip.services.waiting_room import Kind

SOURCE = ("192.0.2.9", 5090)
START = "INVITE sip:bob@example.test SIP/2.0"
LINES = (
    "Via: SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK1;rport",
    "Max-Forwards: 70",
    'From: "Al" <sip:al@example.test>;tag=1',
    "To: <sip:bob@example.test>",
    "Call-ID: 1@192.0.2.9",
    "CSeq: 1 INVITE",
    "Contact: <sip:al@192.0.2.9:5090>",
    "Content-Length: 0",
)
OTHER = {
    0: (
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP phone.example.test:5070;branch=z9hG4bK1;alias",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport=7;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;branch=z9hG4bK1;rport;received=192.0.2.1",
        "v: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=1",
        "Via: SIP/2.0/UDP [2001:db8::9]:5090;rport;branch=z9hG4bK1",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;branch=z9hG4bK1\r\nv: SIP/2.0/UDP b;branch=z9hG4bK2",
        "Via: SIP/2.0/UDP 192.0.2.9:5090;rport;\r\n branch=z9hG4bK1",
        "Via: nothing",
    ),
    2: ("f: <sip:al@example.test>;tag=1", "From: <sip:al@example.test>\r\n ;tag=1", "FROM: <sip:al@a>;tag=2"),
    3: ("t: <sip:bob@example.test>", 'To: "Bob; B" <sip:bob@example.test>', "To: sip:bob@example.test"),
    4: ("i: 1@192.0.2.9", "Call-ID:1@192.0.2.9", "Call-ID: \u00fc"),
    5: ("cseq: 1 INVITE", "CSeq: x INVITE", "CSeq: 1  INVITE"),
}
messages = st.builds(
    lambda changed: "\r\n".join(
        (START, *[changed.get(number, line) for number, line in enumerate(LINES)], "", "")
    ).encode(),
    st.fixed_dictionaries({}, optional={number: st.sampled_from(lines) for number, lines in OTHER.items()}),
)
"""INVITEs that differ from the common form in some lines."""


def request(method: str = "INVITE", branch: str = "z9hG4bK1", to: str = "", more: str = "") -> bytes:
    """One of the common form."""
    text = "\r\n".join((START, *LINES, "", "")).replace("INVITE", method).replace("z9hG4bK1", branch)
    text = text.replace("To: <sip:bob@example.test>", f"To: <sip:bob@example.test>{to}")
    return text.replace("Max-Forwards: 70", f"Max-Forwards: 70{more}").encode()


class Wire:
    """Stands in for a UDP port."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Any]] = []

    def getHost(self) -> Any:
        return type("Host", (), {"host": "192.0.2.1", "port": 5060})

    def write(self, data: bytes, address: Any) -> None:
        self.sent.append((data, address))


class User:
    """A transaction user that keeps what it gets."""

    def __init__(self) -> None:
        self.requests: list[ServerTransaction] = []
        self.acks: list[Request] = []
        self.failing = False

    def request_received(self, transaction: ServerTransaction) -> None:
        self.requests.append(transaction)
        if self.failing:
            raise ValueError("a bug")

    def ack_received(self, message: Request, flow: Any) -> None:
        self.acks.append(message)

    def response_unmatched(self, response: Response, flow: Any) -> None:
        """None of these is of interest."""


class Side:
    """A transport, a transaction layer and a gate, without sockets."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.user = User()
        serial = iter(range(10**9))
        self.layer = TransactionLayer(
            None, TimerWheel(self.clock), self.clock.seconds, lambda: f"{next(serial):016x}", user=self.user
        )
        self.intake = Intake(self.clock, self.layer)
        self.protocol = SIPDatagramProtocol(self.clock, intake=self.intake)
        self.wire = Wire()
        wire: Any = self.wire
        self.protocol.makeConnection(wire)
        self.gate = Gate(self.clock, self.intake, self.layer, nullcontext, lambda: 0.5)
        self.intake.behind = self.gate.behind

    def receive(self, data: bytes) -> list[tuple[bytes, Any]]:
        """What is sent while a datagram is taken in."""
        mark = len(self.wire.sent)
        self.protocol.datagramReceived(data, SOURCE)
        return self.wire.sent[mark:]

    def fill(self) -> None:
        """Have the next new requests refused."""
        self.protocol.datagrams_wait()
        room = self.gate._room
        room.worked(1, self.clock.seconds() + 9.0)
        for number in range(10):
            waiting = (request("OPTIONS", f"z9hG4bKfill{number}"), SOURCE, self.flow, self.protocol)
            room.offer(Kind.LAST, waiting, self.clock.seconds())

    @property
    def flow(self) -> Any:
        """The flow to the source."""
        return self.protocol.flow_to(SOURCE)


class GateTests(SynchronousTestCase):
    """One gate, as the transport sees it."""

    def setUp(self) -> None:
        self.side = Side()

    def test_without_overload_there_is_none(self) -> None:
        self.assertIsNone(self.side.intake.door)
        self.side.receive(request())
        self.assertEqual(len(self.side.user.requests), 1)

    def test_new_requests_have_their_turn_after_what_is_under_way(self) -> None:
        side = self.side
        side.protocol.datagrams_wait()
        side.receive(request())
        side.receive(request("BYE", "z9hG4bK2", ";tag=b"))
        self.assertEqual([one.request.method for one in side.user.requests], ["BYE"])
        side.clock.advance(0)
        self.assertEqual([one.request.method for one in side.user.requests], ["BYE", "INVITE"])
        self.assertEqual(side.gate.waiting, 0)

    def test_what_belongs_to_something_passes(self) -> None:
        side = self.side
        side.fill()
        for number, (method, to) in enumerate(
            (
                ("INVITE", ";tag=b"),
                ("BYE", ";tag=b"),
                ("PRACK", ";tag=b"),
                ("INFO", ""),
                ("NOTIFY", " ; TAG=b"),
            )
        ):
            side.receive(request(method, f"z9hG4bKp{number}", to))
        self.assertEqual(len(side.user.requests), 5)
        side.receive(request("ACK", "z9hG4bKack", ";tag=b"))
        self.assertEqual(len(side.user.acks), 1)

    def test_an_emergency_call_passes(self) -> None:
        self.side.fill()
        self.side.receive(request().replace(b"sip:bob@example.test SIP", b"urn:service:sos.fire SIP"))
        self.assertEqual(len(self.side.user.requests), 1)

    def test_a_request_that_was_taken_is_not_refused_when_it_comes_again(self) -> None:
        side = self.side
        side.receive(request())
        side.user.requests[0].respond_status(180)
        side.fill()
        ((answer, _),) = side.receive(request())
        self.assertTrue(answer.startswith(b"SIP/2.0 180 "))
        self.assertEqual((side.gate.refused, len(side.user.requests)), (0, 1))

    def test_one_that_was_answered_is_answered_again(self) -> None:
        side = self.side
        side.receive(request("MESSAGE"))
        side.user.requests[0].respond_status(202)
        side.fill()
        ((answer, _),) = side.receive(request("MESSAGE"))
        self.assertTrue(answer.startswith(b"SIP/2.0 202 "))

    def test_a_cancel_does_not_overtake_its_invite(self) -> None:
        side = self.side
        side.protocol.datagrams_wait()
        side.receive(request())
        self.assertEqual(side.receive(request("CANCEL")), [])
        side.clock.advance(0)
        self.assertEqual(len(side.user.requests), 1)
        self.assertTrue(side.wire.sent[-1][0].startswith(b"SIP/2.0 200 "))

    def test_what_answers_a_challenge_may_wait_longer(self) -> None:
        side = self.side
        side.protocol.datagrams_wait()
        room = side.gate._room
        room.worked(100, side.clock.seconds() + 1.0)
        for number in range(15):  # 150 ms
            room.offer(
                Kind.LAST, (request("OPTIONS", f"z9hG4bKf{number}"), SOURCE, side.flow, side.protocol), 0
            )
        self.assertEqual(len(side.receive(request("REGISTER"))), 1)
        credentials = "\r\nAuthorization: Digest x"
        self.assertEqual(side.receive(request("REGISTER", "z9hG4bK2", more=credentials)), [])
        self.assertEqual(side.receive(request("OPTIONS", "z9hG4bK3")), [])
        self.assertEqual(side.gate.refused, 1)

    def test_the_ack_of_a_refusal_ends_there(self) -> None:
        side = self.side
        side.fill()
        ((answer, _),) = side.receive(request())
        response = parse_message(answer)
        assert isinstance(response, Response)
        self.assertEqual((response.status, response.get("retry-after")), (503, "18"))
        before = side.layer.requests["ACK"]
        side.receive(request("ACK", to=f";tag={response.to.tag}"))
        self.assertEqual((side.user.acks, side.layer.requests["ACK"]), ([], before + 1))
        self.assertEqual(side.layer.servers, 0)

    def test_a_scanner_is_not_told_that_somebody_is_there(self) -> None:
        side = self.side
        side.gate.passes = lambda agent, flow: "scan" not in agent
        side.fill()
        self.assertEqual(side.receive(request(more="\r\nUser-Agent: sip-scan")), [])
        self.assertEqual((side.gate.refused, side.intake.counters.dropped), (0, {"screened": 1}))
        self.assertEqual(len(side.receive(request(branch="z9hG4bK2", more="\r\nUser-Agent: phone"))), 1)

    def test_it_opens_when_nothing_had_to_wait_for_a_while(self) -> None:
        side = self.side
        side.protocol.datagrams_wait()
        side.clock.advance(REST)
        self.assertTrue(side.gate.closed)
        side.clock.advance(REST)
        self.assertFalse(side.gate.closed)
        self.assertIsNone(side.intake.door)
        self.assertEqual(side.clock.getDelayedCalls(), [])

    def test_a_stop_loses_nobody_who_waits(self) -> None:
        side = self.side
        side.protocol.datagrams_wait()
        side.receive(request("MESSAGE"))
        side.gate.stop()
        self.assertEqual(len(side.user.requests), 1)
        self.assertEqual(side.gate.waiting, 0)

    def test_a_failure_does_not_keep_out_the_next(self) -> None:
        side = self.side
        side.user.failing = True
        side.protocol.datagrams_wait()
        side.receive(request("MESSAGE", "z9hG4bK2"))
        side.receive(request("MESSAGE", "z9hG4bK3"))
        side.clock.advance(0)
        self.assertEqual(len(side.user.requests), 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(data=messages)
    def test_a_refusal_is_what_the_general_way_writes(self, data: bytes) -> None:
        general, early = Side(), Side()
        general.layer.admit = lambda _: 18
        early.fill()
        expected = [(parse_message(answer), address) for answer, address in general.receive(data)]
        given_ = [(parse_message(answer), address) for answer, address in early.receive(data)]
        self.assertEqual(len(given_), len(expected))
        for (ours, to), (theirs, address) in zip(given_, expected, strict=True):
            assert isinstance(ours, Response)
            assert isinstance(theirs, Response)
            self.assertEqual(to, address)
            # What is malformed is not worth the parser's time to hear so.
            self.assertIn(ours.status, (503, theirs.status))
            if theirs.status == 503:
                for name in ("from", "call-id", "cseq", "retry-after"):
                    self.assertEqual(ours.get(name), theirs.get(name), data)
                self.assertEqual(_vias(ours), _vias(theirs))
                self.assertEqual((ours.to.uri, ours.to.tag), (theirs.to.uri, theirs.to.tag))


def _vias(response: Response) -> list[Any]:
    return [(via.transport, via.host, via.port, sorted(via.params.items())) for via in response.vias]
