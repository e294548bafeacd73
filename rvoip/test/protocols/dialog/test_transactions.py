"""The transaction layer as a whole: limits and shedding, bad messages, what the operator sees."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.transactions import TransactionLimits
from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.protocols.dialog.fakes import FakeFlow, Sender, World, request, response


def numbered(method: str, number: int, to_tag: str = "") -> str:
    return request(method, branch=f"z9hG4bK-{number}", call_id=f"call-{number}", to_tag=to_tag)


class LimitTests(SynchronousTestCase):
    def refused(self, world: World) -> int:
        """The Retry-After of the one answer, a 503 that left no state."""
        (answer,) = world.udp.take()
        self.assertEqual(answer.start_line, "SIP/2.0 503 Service Unavailable")
        seconds = int(answer.get("retry-after") or 0)
        self.assertTrue(5 <= seconds <= 30, seconds)
        return seconds

    def test_invites_over_the_limit_are_refused_in_dialog_ones_later(self) -> None:
        world = World(TransactionLimits(invite=8, other=8))
        for number in range(8):
            world.receive(numbered("INVITE", number))
        world.receive(numbered("INVITE", 8))
        self.refused(world)
        self.assertEqual(world.layer.servers, 8)
        for number in (9, 10):
            world.receive(numbered("INVITE", number, to_tag="b"))
        self.assertEqual((world.udp.starts(), world.layer.servers), ([], 10))
        world.receive(numbered("INVITE", 11, to_tag="b"))
        self.refused(world)
        self.assertEqual(world.layer.shed, 2)
        world.receive(numbered("OPTIONS", 12))
        self.assertEqual((world.udp.starts(), len(world.user.requests)), ([], 11))

    def test_others_over_the_limit(self) -> None:
        world = World(TransactionLimits(invite=8, other=4))
        for number in range(4):
            world.receive(numbered("MESSAGE", number))
        world.receive(numbered("MESSAGE", 4))
        self.refused(world)
        world.receive(numbered("BYE", 5, to_tag="b"))
        self.assertEqual(world.udp.starts(), [])
        world.receive(numbered("BYE", 6, to_tag="b"))
        self.refused(world)
        world.user.requests[0].respond_status(200)
        world.user.requests[1].respond_status(200)
        world.udp.take()
        world.receive(numbered("MESSAGE", 7))
        self.assertEqual(world.udp.starts(), [])

    def test_client_transactions_count_too(self) -> None:
        world = World(TransactionLimits(client=4))
        for number in range(4):
            message = parse_message(numbered("OPTIONS", number).encode())
            assert isinstance(message, Request)
            world.layer.request(message, world.udp, Sender())  # type: ignore[arg-type]
        world.udp.take()
        world.receive(numbered("INVITE", 5))
        self.refused(world)
        world.receive(numbered("BYE", 6, to_tag="b"))
        self.assertEqual((world.udp.starts(), world.layer.servers), ([], 1))

    def test_accepted_calls_weigh_nothing(self) -> None:
        """They are kept for 64*T1 each: otherwise the limit would be one on calls a second."""
        world = World(TransactionLimits(invite=2))
        world.user.answer = lambda transaction: transaction.respond_status(200)
        for number in range(10):
            world.receive(numbered("INVITE", number))
        self.assertEqual(world.udp.starts(), ["200 INVITE"] * 10)
        world.advance(33)
        self.assertEqual(world.leftovers(), [])

    def test_refused_invites_that_nobody_acknowledges_do(self) -> None:
        world = World(TransactionLimits(invite=2))
        world.user.answer = lambda transaction: transaction.respond_status(486)
        for number in range(2):
            world.receive(numbered("INVITE", number))
        world.udp.take()
        world.receive(numbered("INVITE", 3))
        self.refused(world)
        world.advance(33)
        self.assertEqual(world.leftovers(), [])
        world.udp.take()
        world.receive(numbered("INVITE", 4))
        self.assertEqual(world.udp.starts(), ["486 INVITE"])

    def test_retry_after_is_spread(self) -> None:
        world = World(TransactionLimits(invite=0))
        seen = set()
        for number in range(300):
            world.receive(numbered("INVITE", number))
            seen.add(self.refused(world))
        self.assertGreater(len(seen), 15)

    def test_admission_is_asked_for_new_work_only(self) -> None:
        asked: list[str] = []

        def admit(request: Request) -> int | None:
            asked.append(request.method)
            return 17 if request.method == "INVITE" else None

        world = World(admit=admit)
        world.receive(numbered("INVITE", 1))
        self.assertEqual(self.refused(world), 17)
        world.receive(numbered("OPTIONS", 2))
        world.receive(numbered("BYE", 3, to_tag="b"))
        world.receive(numbered("INVITE", 4, to_tag="b"))
        world.receive(numbered("CANCEL", 5))
        world.receive(numbered("ACK", 6))
        self.assertEqual(asked, ["INVITE", "OPTIONS"])
        self.assertEqual(len(world.user.requests), 3)

    def test_the_ack_of_a_503_is_absorbed(self) -> None:
        world = World(TransactionLimits(invite=0))
        world.receive(numbered("INVITE", 1))
        (answer,) = world.udp.take()
        world.receive(numbered("ACK", 1, to_tag=str(answer.to.tag)))
        self.assertEqual((world.user.acks, world.leftovers()), ([], []))

    def test_what_is_under_way_is_not_shed(self) -> None:
        world = World(TransactionLimits(invite=1))
        world.receive(numbered("INVITE", 1))
        world.receive(numbered("INVITE", 1))
        world.receive(numbered("CANCEL", 1))
        self.assertEqual(world.udp.starts(), ["200 CANCEL"])


class BadMessageTests(SynchronousTestCase):
    def fail(self, text: str, flow: FakeFlow | None = None) -> World:  # type: ignore[override]
        world = World()
        with self.assertRaises(SIPParseError) as caught:
            check(parse_message(text.encode()))
        world.layer.parse_failed(caught.exception, flow or world.udp)  # type: ignore[arg-type]
        return world

    def test_a_request_is_answered_and_forgotten(self) -> None:
        world = self.fail(request("INVITE", cseq_method="BYE"))
        self.assertEqual(world.udp.starts(), ["400 BYE"])
        self.assertEqual(world.leftovers(), [])

    def test_never_an_ack_nor_a_response(self) -> None:
        self.assertEqual(self.fail(request("ACK", cseq_method="BYE")).udp.starts(), [])
        answer = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n"
        self.assertEqual(self.fail(answer).udp.starts(), [])

    def test_without_a_via_only_over_a_stream(self) -> None:
        text = "OPTIONS sip:example.test SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        self.assertEqual(self.fail(text).udp.sent, [])
        stream = FakeFlow("TCP")
        self.fail(text, stream)
        self.assertEqual([data.split(b"\r\n")[0] for data in stream.sent], [b"SIP/2.0 400 Missing Via"])

    def test_whoever_asked_may_be_gone(self) -> None:
        gone = FakeFlow("TCP")
        gone.close()
        self.assertEqual(self.fail(request("INVITE", cseq_method="BYE"), gone).layer.unsent, 1)

    def test_what_has_a_line_break_in_its_reason(self) -> None:
        world = World()
        message = parse_message(request("OPTIONS").encode())
        world.layer.parse_failed(SIPParseError("a\r\nX-Injected: 1", 400, message), world.udp)  # type: ignore[arg-type]
        (answer,) = world.udp.take()
        self.assertFalse(answer.has("x-injected"))


class OperatorTests(SynchronousTestCase):
    def test_quiet_and_counts(self) -> None:
        world = World()
        layer = world.layer
        self.assertTrue(layer.quiet)
        world.receive(request("INVITE"))
        self.assertEqual((layer.quiet, layer.servers, layer.clients), (False, 1, 0))
        world.user.requests[0].respond_status(486)
        self.assertEqual((layer.quiet, layer.servers), (True, 1))
        message = parse_message(request("OPTIONS").encode())
        assert isinstance(message, Request)
        client = layer.request(message, world.udp, Sender())  # type: ignore[arg-type]
        self.assertEqual((layer.quiet, layer.clients), (False, 1))
        self.assertEqual(set(layer), {client, world.user.requests[0]})
        world.receive(response(client.request, 200))
        self.assertTrue(layer.quiet)

    def test_without_a_user_nothing_breaks(self) -> None:
        world = World()
        world.layer.user = None
        world.receive(request("ACK", to_tag="b"))
        world.receive("SIP/2.0 200 OK\r\n" + request("OPTIONS").partition("\r\n")[2])
        self.assertEqual((world.layer.unmatched, world.udp.sent), (1, []))

    def test_a_thousand_transactions_leave_nothing(self) -> None:
        world = World()
        world.user.answer = lambda transaction: transaction.respond_status(
            200 if transaction.request.cseq.number % 2 else 404
        )
        for number in range(500):
            for method in ("INVITE", "REGISTER"):
                text = request(method, branch=f"z9hG4bK-{method}{number}", call_id=f"{number}", cseq=number)
                world.receive(text)
                world.receive(text)
            world.advance(0.01)
        self.assertEqual(len(world.user.requests), 1000)
        world.advance(45)
        self.assertEqual(world.leftovers(), [])
        self.assertEqual((world.layer._servers, world.layer._clients), ({}, {}))
        self.assertIsNone(world.layer._answered.deadline)
        self.assertEqual(world.clock.getDelayedCalls(), [])
