"""Server transactions under a clock: what goes back to the peer, and when."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.dialog.interfaces import ITransactionUser
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request
from rvoip.protocols.transport.flow import Target
from rvoip.protocols.transport.interfaces import IMessageReceiver
from rvoip.test.protocols.dialog.fakes import PEER, FakeFlow, World, request


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def begin(self, text: str, tcp: bool = False) -> ServerTransaction:
        self.world.receive(text, self.world.tcp if tcp else None)
        return self.world.user.requests[-1]

    def assertQuiet(self) -> None:
        self.assertEqual(self.world.leftovers(), [])


class InterfaceTests(Base):
    def test_interfaces(self) -> None:
        verifyObject(IMessageReceiver, self.world.layer)
        verifyObject(ITransactionUser, self.world.user)


class InviteTests(Base):
    def test_100_after_200_ms_unless_the_user_was_faster(self) -> None:
        self.begin(request("INVITE"))
        self.world.advance(0.19)
        self.assertEqual(self.world.udp.starts(), [])
        self.world.advance(0.02)
        self.assertEqual(self.world.udp.starts(), ["100 INVITE"])
        ringing = self.begin(request("INVITE", branch="z9hG4bK-2"))
        ringing.respond_status(180)
        self.world.advance(1)
        self.assertEqual(self.world.udp.starts(), ["180 INVITE"])

    def test_a_retransmission_gets_the_last_provisional_response(self) -> None:
        server = self.begin(request("INVITE"))
        self.world.receive(request("INVITE"))
        self.assertEqual(self.world.udp.starts(), [])
        server.respond_status(180)
        server.respond_status(183)
        self.world.udp.take()
        self.world.receive(request("INVITE"))
        self.assertEqual(self.world.udp.starts(), ["183 INVITE"])
        self.assertEqual(self.world.layer.retransmissions, 2)

    def test_a_duplicate_within_200_ms_does_not_cost_the_100(self) -> None:
        self.begin(request("INVITE"))
        self.world.advance(0.05)
        self.world.receive(request("INVITE"))
        self.world.advance(0.2)
        self.assertEqual(self.world.udp.starts(), ["100 INVITE"])
        self.world.receive(request("INVITE"))
        self.assertEqual(self.world.udp.starts(), ["100 INVITE"])

    def test_a_failure_response_is_sent_until_it_is_acknowledged(self) -> None:
        ends: list[str] = []
        server = self.begin(request("INVITE"))
        server.on_end = lambda transaction, reason: ends.append(reason)
        server.respond_status(486)
        self.assertEqual(self.world.udp.starts(), ["486 INVITE"])
        self.world.advance(1.6)
        self.assertEqual(self.world.udp.starts(), ["486 INVITE"] * 2)
        self.world.receive(request("INVITE"))
        self.assertEqual(self.world.udp.starts(), ["486 INVITE"])
        self.world.receive(request("ACK"))
        self.assertEqual(server.state, "Confirmed")
        self.world.receive(request("ACK"))
        self.world.advance(4.9)
        self.assertEqual((self.world.udp.starts(), ends), ([], []))
        self.world.advance(0.2)
        self.assertEqual((ends, self.world.user.acks), ([""], []))
        self.assertQuiet()

    def test_a_failure_that_is_never_acknowledged_times_out(self) -> None:
        ends: list[str] = []
        server = self.begin(request("INVITE"))
        server.on_end = lambda transaction, reason: ends.append(reason)
        server.respond_status(486)
        self.world.advance(32.1)
        self.assertEqual(len(self.world.udp.take()), 11)
        self.assertEqual((ends, server.state), (["timeout"], "Terminated"))
        self.assertQuiet()

    def test_over_tcp_nothing_is_sent_twice_and_the_ack_ends_it(self) -> None:
        server = self.begin(request("INVITE", transport="TCP"), tcp=True)
        server.respond_status(486)
        self.world.advance(20)
        self.assertEqual(self.world.tcp.starts(), ["486 INVITE"])
        self.world.receive(request("ACK", transport="TCP"), self.world.tcp)
        self.assertEqual(server.state, "Terminated")
        self.assertQuiet()

    def test_2xx_are_the_users_to_repeat(self) -> None:
        """RFC 6026: an INVITE that comes again is absorbed, each 2xx of the user is sent, ACKs are passed."""
        server = self.begin(request("INVITE"))
        server.respond_status(200)
        self.world.receive(request("INVITE"))
        self.world.advance(5)
        self.assertEqual(self.world.udp.starts(), ["200 INVITE"])
        server.respond_status(200)
        self.assertEqual(self.world.udp.starts(), ["200 INVITE"])
        self.world.receive(request("ACK", branch="z9hG4bK-2"))
        self.assertEqual(len(self.world.user.acks), 1)
        self.world.advance(26.9)
        self.assertEqual(server.state, "Accepted")
        self.world.advance(0.2)
        self.assertEqual(server.state, "Terminated")
        self.assertQuiet()

    def test_one_final_response_and_no_more(self) -> None:
        for first, others in ((486, (100, 180, 200, 404)), (200, (100, 180, 404))):
            self.setUp()
            server = self.begin(request("INVITE"))
            server.respond_status(first)
            self.world.udp.take()
            for status in others:
                server.respond_status(status)
            self.assertEqual(self.world.udp.starts(), [])
            self.assertEqual(server.status, first)

    def test_nothing_is_answered_after_the_end(self) -> None:
        """A user that is late does not bring the transaction back to life."""
        server = self.begin(request("INVITE", transport="TCP"), tcp=True)
        server.respond_status(487)
        self.world.receive(request("ACK", transport="TCP"), self.world.tcp)
        self.world.tcp.take()
        server.respond_status(404)
        server.respond_status(200)
        server.respond_stateless(respond(server.request, 407))
        server.wait()
        self.assertEqual(self.world.tcp.starts(), [])
        self.assertQuiet()


class StatelessTests(Base):
    def refuse(self, server: ServerTransaction) -> None:
        server.respond_stateless(respond(server.request, 407, to_tag=server.stateless_tag))

    def test_nothing_stays_and_the_ack_is_known(self) -> None:
        self.world.user.answer = self.refuse
        tags = set()
        for _ in range(2):
            self.world.receive(request("INVITE"))
            (answer,) = self.world.udp.take()
            tags.add(answer.to.tag)
        self.assertEqual(len(tags), 1)
        self.assertQuiet()
        self.world.receive(request("ACK", to_tag=str(tags.pop())))
        self.assertEqual(self.world.user.acks, [])
        self.assertEqual(len(self.world.user.requests), 2)

    def test_each_request_has_a_tag_of_its_own(self) -> None:
        one = self.begin(request("INVITE")).stateless_tag
        self.assertNotEqual(self.begin(request("INVITE", branch="z9hG4bK-2")).stateless_tag, one)
        self.assertNotEqual(self.begin(request("INVITE", branch="z9hG4bK-3", call_id="2")).stateless_tag, one)

    def test_the_ack_of_a_2xx_is_the_users(self) -> None:
        self.world.receive(request("ACK", to_tag="b1", branch="z9hG4bK-9"))
        self.assertEqual(len(self.world.user.acks), 1)

    def test_after_a_100_a_refusal_is_sent_until_it_is_acknowledged(self) -> None:
        """The client sends its INVITE no more, so the answer must not be lost."""
        server = self.begin(request("INVITE"))
        self.world.advance(0.25)
        self.refuse(server)
        self.world.advance(1.6)
        self.assertEqual(self.world.udp.starts(), ["100 INVITE", "407 INVITE", "407 INVITE", "407 INVITE"])
        self.world.receive(request("ACK", to_tag=server.stateless_tag))
        self.assertEqual(server.state, "Confirmed")
        self.world.advance(10)
        self.assertQuiet()

    def test_within_200_ms_it_leaves_nothing(self) -> None:
        server = self.begin(request("INVITE"))
        self.world.advance(0.1)
        self.refuse(server)
        self.assertQuiet()
        self.world.advance(10)
        self.assertEqual(self.world.udp.starts(), ["407 INVITE"])


class OtherTests(Base):
    def test_answered_at_once_it_is_absorbed_for_64_t1(self) -> None:
        self.world.user.answer = lambda transaction: transaction.respond_status(200)
        for method in ("REGISTER", "BYE"):
            text = request(method, branch=f"z9hG4bK-{method}")
            self.world.receive(text)
            self.assertEqual(self.world.layer.servers, 0)
            for _ in range(4):
                self.world.advance(7.9)
                self.world.receive(text)
            sent = self.world.udp.take()
            self.assertEqual(len({one.to_bytes() for one in sent}), 1)
            self.assertEqual(len(sent), 5)
        self.assertEqual(len(self.world.user.requests), 2)
        self.world.advance(45)
        self.assertQuiet()
        self.world.receive(request("BYE", branch="z9hG4bK-BYE"))
        self.assertEqual(len(self.world.user.requests), 3)

    def test_answered_later_it_is_absorbed_as_well(self) -> None:
        server = self.begin(request("BYE"))
        self.world.receive(request("BYE"))
        self.world.advance(1)
        server.respond_status(200)
        self.world.receive(request("BYE"))
        self.assertEqual(self.world.udp.starts(), ["200 BYE"] * 2)
        self.assertEqual(len(self.world.user.requests), 1)
        server.respond_status(481)
        self.assertEqual(self.world.udp.starts(), [])
        self.world.advance(45)
        self.assertQuiet()

    def test_over_tcp_nothing_is_kept(self) -> None:
        server = self.begin(request("BYE", transport="TCP"), tcp=True)
        server.respond_status(200)
        self.assertEqual(self.world.tcp.starts(), ["200 BYE"])
        self.assertQuiet()

    def test_a_100_when_timer_e_has_slowed_down(self) -> None:
        """RFC 4320 section 4.1: at 3.5 s, and no other provisional response."""
        server = self.begin(request("BYE"))
        server.respond(respond(server.request, 183))
        server.respond(respond(server.request, 100))
        self.world.advance(3.4)
        self.world.receive(request("BYE"))
        self.assertEqual(self.world.udp.starts(), [])
        self.world.advance(0.2)
        self.assertEqual(self.world.udp.starts(), ["100 BYE"])
        self.world.receive(request("BYE"))
        self.assertEqual(self.world.udp.starts(), ["100 BYE"])
        server.respond_stateless(respond(server.request, 200, to_tag="b"))
        self.world.receive(request("BYE"))
        self.assertEqual(self.world.udp.starts(), ["200 BYE"] * 2)

    def test_never_answered_it_ends_without_a_word(self) -> None:
        """RFC 4320 section 4.2: no 408, and nothing late."""
        ends: list[str] = []
        server = self.begin(request("BYE"))
        server.on_end = lambda transaction, reason: ends.append(reason)
        self.world.advance(33)
        self.assertEqual((self.world.udp.starts(), ends, server.answered), (["100 BYE"], ["timeout"], True))
        server.respond_status(200)
        self.assertEqual(self.world.udp.starts(), [])
        self.assertQuiet()

    def test_abandoned_it_is_gone(self) -> None:
        ends: list[str] = []

        def give_up(transaction: ServerTransaction) -> None:
            transaction.on_end = lambda transaction, reason: ends.append(reason)
            transaction.abandon()

        self.world.user.answer = give_up
        server = self.begin(request("BYE"))
        self.assertEqual((ends, server.state), ([""], "Terminated"))
        server.respond_status(200)
        self.assertEqual(self.world.udp.starts(), [])
        self.assertQuiet()

    def test_states_have_their_names(self) -> None:
        states: list[str] = []
        self.world.user.answer = lambda transaction: states.append(transaction.state)
        server = self.begin(request("BYE"))
        invite = self.begin(request("INVITE"))
        states += [server.state, invite.state]
        self.world.advance(4)
        states.append(server.state)
        self.assertEqual(states, ["Trying", "Proceeding", "Trying", "Proceeding", "Proceeding"])


class CancelTests(Base):
    def setUp(self) -> None:
        super().setUp()
        self.cancelled: list[Request] = []

    def invite(self) -> ServerTransaction:
        server = self.begin(request("INVITE"))
        server.on_cancel = lambda transaction, cancel: self.cancelled.append(cancel)
        return server

    def test_before_and_after_a_provisional_response(self) -> None:
        for ringing in (False, True):
            self.setUp()
            server = self.invite()
            if ringing:
                server.respond_status(180)
                self.world.udp.take()
            self.world.receive(request("CANCEL"))
            self.assertEqual(self.world.udp.starts(), ["200 CANCEL"])
            self.assertEqual(len(self.cancelled), 1)
            server.respond_status(487)
            self.assertEqual(self.world.udp.starts(), ["487 INVITE"])

    def test_a_retransmission_is_answered_but_not_passed(self) -> None:
        self.invite()
        self.world.receive(request("CANCEL"))
        self.world.receive(request("CANCEL"))
        first, second = self.world.udp.take()
        self.assertEqual(first.to_bytes(), second.to_bytes())
        self.assertEqual(len(self.cancelled), 1)

    def test_after_a_final_response_it_has_no_effect(self) -> None:
        for status in (200, 486):
            self.setUp()
            self.invite().respond_status(status)
            self.world.udp.take()
            self.world.receive(request("CANCEL"))
            self.assertEqual(self.world.udp.starts(), ["200 CANCEL"])
            self.assertEqual(self.cancelled, [])

    def test_unknown_is_481(self) -> None:
        self.invite()
        self.world.receive(request("CANCEL", branch="z9hG4bK-2"))
        self.world.receive(request("CANCEL", sent_by="192.0.2.8:5060"))
        self.assertEqual(self.world.udp.starts(), ["481 CANCEL"] * 2)
        self.assertEqual(self.cancelled, [])

    def test_of_another_method_it_has_no_effect(self) -> None:
        """It is answered 200 "regardless of the method of the original request" (section 9.2)."""
        server = self.begin(request("OPTIONS", branch="z9hG4bK-3"))
        server.on_cancel = lambda transaction, cancel: self.cancelled.append(cancel)
        self.world.receive(request("CANCEL", branch="z9hG4bK-3"))
        self.assertEqual(self.world.udp.starts(), ["200 CANCEL"])
        self.assertEqual((self.cancelled, server.answered), ([], False))

    def test_over_tcp(self) -> None:
        server = self.begin(request("INVITE", transport="TCP"), tcp=True)
        server.on_cancel = lambda transaction, cancel: self.cancelled.append(cancel)
        self.world.receive(request("CANCEL", transport="TCP"), self.world.tcp)
        self.assertEqual(self.world.tcp.starts(), ["200 CANCEL"])
        self.assertEqual(len(self.cancelled), 1)

    def test_a_user_that_does_not_care(self) -> None:
        self.begin(request("INVITE"))
        self.world.receive(request("CANCEL"))
        self.assertEqual(self.world.udp.starts(), ["200 CANCEL"])

    def test_a_user_that_raises_is_logged(self) -> None:
        server = self.begin(request("INVITE"))
        server.on_cancel = lambda transaction, cancel: 1 / 0  # type: ignore[assignment]
        self.world.receive(request("CANCEL"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.world.udp.starts(), ["200 CANCEL"])


class FailingUserTests(Base):
    def test_raising_is_500(self) -> None:
        def fail(transaction: ServerTransaction) -> None:
            raise ValueError("no")

        self.world.user.answer = fail
        for method in ("INVITE", "OPTIONS"):
            self.world.receive(request(method, branch=f"z9hG4bK-{method}"))
            self.assertEqual(self.world.udp.starts(), [f"500 {method}"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)
        self.world.receive(request("ACK", branch="z9hG4bK-INVITE"))
        self.world.advance(45)
        self.assertQuiet()

    def test_raising_after_an_answer_is_logged_only(self) -> None:
        def fail(transaction: ServerTransaction) -> None:
            transaction.respond_status(202)
            raise ValueError("no")

        self.world.user.answer = fail
        self.world.receive(request("MESSAGE"))
        self.assertEqual(self.world.udp.starts(), ["202 MESSAGE"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_async_users_are_awaited(self) -> None:
        waiting: Deferred[int] = Deferred()

        async def answer(transaction: ServerTransaction) -> None:
            transaction.respond_status(await waiting)

        self.world.user.answer = answer
        server = self.begin(request("INVITE"))
        self.world.advance(0.3)
        waiting.callback(404)
        self.assertEqual(self.world.udp.starts(), ["100 INVITE", "404 INVITE"])
        self.assertEqual(server.state, "Completed")

    def test_async_failure_is_500(self) -> None:
        waiting: Deferred[int] = Deferred()

        async def answer(transaction: ServerTransaction) -> None:
            await waiting

        self.world.user.answer = answer
        self.begin(request("BYE"))
        waiting.errback(ValueError("no"))
        self.assertEqual(self.world.udp.starts(), ["500 BYE"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_deferred_will_do(self) -> None:
        waiting: Deferred[None] = Deferred()
        self.world.user.answer = lambda transaction: waiting
        self.begin(request("BYE"))
        waiting.errback(ValueError("no"))
        self.assertEqual(self.world.udp.starts(), ["500 BYE"])
        self.flushLoggedErrors(ValueError)


class WayBackTests(Base):
    def test_udp_goes_to_the_source_address_at_the_sent_by_port(self) -> None:
        server = self.begin(request("OPTIONS", sent_by="phone.example:7777"))
        server.respond_status(200)
        flow = self.world.transport.flow_to(Target("UDP", PEER[0], 7777))
        self.assertEqual(flow.starts(), ["200 OPTIONS"])

    def test_with_rport_to_the_source_port(self) -> None:
        server = self.begin(request("OPTIONS", sent_by="phone.example:7777;rport"))
        server.respond_status(200)
        (answer,) = self.world.udp.take()
        self.assertEqual((answer.via.received, answer.via.rport), (PEER[0], str(PEER[1])))

    def test_a_broken_connection_is_replaced_by_one_to_the_sent_by_port(self) -> None:
        """RFC 3261 section 18.2.2."""
        server = self.begin(request("INVITE", transport="TCP", sent_by="phone.example:7777"), tcp=True)
        server.respond_status(180)
        self.world.tcp.close()
        server.respond_status(183)
        server.respond_status(200)
        flow = self.world.transport.flow_to(Target("TCP", PEER[0], 7777))
        self.assertEqual(flow.starts(), ["183 INVITE", "200 INVITE"])
        self.assertEqual(self.world.layer.unsent, 0)

    def test_over_tls_it_must_be_who_the_via_names(self) -> None:
        """An address in the Via is compared with the certificate as such (RFC 5922 section 7.3)."""
        for sent_by, name in (("phone.example", "phone.example"), (PEER[0], ""), ("[2001:db8::1]", "")):
            self.setUp()
            tls = FakeFlow("TLS", PEER, self.world.transport)
            tls.secure = True
            self.world.receive(request("INVITE", transport="TLS", sent_by=sent_by), tls)
            tls.close()
            self.world.user.requests[-1].respond_status(180)
            self.assertEqual(self.world.transport.asked[-1], Target("TLS", PEER[0], 5061, name))

    def test_a_peer_that_cannot_be_reached_changes_nothing(self) -> None:
        """RFC 6026 section 8.8: the transaction remains in its state."""
        self.world.transport.reachable = False
        server = self.begin(request("INVITE", transport="TCP"), tcp=True)
        self.world.tcp.close()
        server.respond_status(180)
        self.assertEqual((server.state, server.status), ("Proceeding", 180))
        cancelled: list[Request] = []
        server.on_cancel = lambda transaction, cancel: cancelled.append(cancel)
        self.world.transport.reachable = True
        new = self.world.transport.flow_to(Target("TCP", PEER[0], 41000))
        self.world.receive(request("CANCEL", transport="TCP"), new)
        self.assertEqual((new.starts(), len(cancelled)), (["200 CANCEL"], 1))
        self.assertEqual(self.world.layer.unsent, 1)
        server.respond_status(487)
        self.world.advance(33)
        self.assertQuiet()

    def test_a_datagram_that_cannot_be_sent_is_tried_again(self) -> None:
        server = self.begin(request("INVITE"))
        self.world.udp.closed = True
        server.respond_status(486)
        self.world.udp.closed = False
        self.world.advance(0.6)
        self.assertEqual(self.world.udp.starts(), ["486 INVITE"])
        self.assertEqual(self.world.layer.unsent, 1)
