"""Client transactions under a clock: what is sent, and what the user is told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.interfaces import IClientUser
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.protocols.dialog.fakes import FakeFlow, Sender, World, request, response


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.sender = Sender()

    def send(self, text: str, flow: FakeFlow | None = None) -> ClientTransaction:
        message = parse_message(text.encode())
        assert isinstance(message, Request)
        message.remove("via")
        self.flow = flow or self.world.udp
        return self.world.layer.request(message, self.flow, self.sender)  # type: ignore[arg-type]

    def first(self) -> Request:
        """What was sent first since the last look."""
        sent = self.flow.take()[0]
        assert isinstance(sent, Request)
        return sent

    def told(self) -> tuple[list[int], list[str]]:
        """What the user heard since the last look."""
        told = self.sender.statuses, self.sender.failures
        self.sender.statuses, self.sender.failures = [], []
        return told

    def assertQuiet(self) -> None:
        self.assertEqual(self.world.leftovers(), [])


class InviteTests(Base):
    def test_interface(self) -> None:
        verifyObject(IClientUser, self.sender)

    def test_our_via_goes_on_top(self) -> None:
        self.send(request("INVITE"))
        via = self.first().via
        self.assertEqual((via.transport, via.sent_by, via.rport), ("UDP", "192.0.2.1:5060", ""))
        self.assertTrue(str(via.branch).startswith("z9hG4bK"))

    def test_sent_seven_times_then_timeout(self) -> None:
        self.send(request("INVITE"))
        self.world.advance(31.9)
        sent = self.world.udp.sent
        self.assertEqual((len(sent), len(set(sent))), (7, 1))
        self.assertEqual(self.told(), ([], []))
        self.world.advance(0.2)
        self.assertEqual(self.told(), ([], ["timeout"]))
        self.assertQuiet()

    def test_sent_once_over_tcp(self) -> None:
        self.send(request("INVITE"), self.world.tcp)
        self.world.advance(32.1)
        self.assertEqual(self.world.tcp.starts(), ["INVITE"])
        self.assertEqual(self.told(), ([], ["timeout"]))
        self.assertQuiet()
        self.assertEqual(self.world.tcp.watchers, [])

    def test_a_failure_is_acknowledged_each_time_and_passed_once(self) -> None:
        client = self.send(request("INVITE", extra="Route: <sip:192.0.2.9;lr>\r\n"))
        sent = self.first()
        self.world.receive(response(sent, 180))
        self.world.receive(response(sent, 486, to_tag="busy"))
        self.world.receive(response(sent, 486, to_tag="busy"))
        self.assertEqual(self.told(), ([180, 486], []))
        acks = self.world.udp.take()
        self.assertEqual([one.cseq.method for one in acks], ["ACK", "ACK"])
        ack = acks[0]
        assert isinstance(ack, Request)
        self.assertEqual(ack.uri_text, sent.uri_text)
        self.assertEqual([str(via) for via in ack.vias], [str(sent.via)])
        self.assertEqual(ack.to.tag, "busy")
        self.assertEqual(ack.get_all("route"), ["<sip:192.0.2.9;lr>"])
        self.assertEqual((ack.call_id, ack.cseq.number, ack.from_.tag), (sent.call_id, 1, "a1"))
        self.assertEqual(client.state, "Completed")
        self.world.advance(32.1)
        self.assertQuiet()

    def test_whatever_stands_below_our_via(self) -> None:
        """A proxy's INVITE carries the Vias of others, which may be broken."""
        message = parse_message(request("INVITE").encode())
        assert isinstance(message, Request)
        message.add("via", 'SIP/2.0/UDP 192.0.2.66;x="')
        client = self.world.layer.request(message, self.world.udp, self.sender)  # type: ignore[arg-type]
        branch = client.request.via.branch
        text = (
            f"SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n"
            "From: <sip:a@b>;tag=a1\r\nTo: <sip:b@c>;tag=1\r\nCall-ID: call-1\r\nCSeq: 1 INVITE\r\n\r\n"
        )
        self.world.receive(text)
        self.assertEqual(self.world.udp.starts(), ["INVITE", "ACK"])
        self.assertEqual(self.told(), ([486], []))

    def test_over_tcp_a_failure_ends_it(self) -> None:
        client = self.send(request("INVITE"), self.world.tcp)
        self.world.receive(response(self.first(), 486), self.world.tcp)
        self.assertEqual(self.world.tcp.starts(), ["ACK"])
        self.assertEqual((client.state, self.told()), ("Terminated", ([486], [])))
        self.assertQuiet()

    def test_each_2xx_is_passed_for_64_t1(self) -> None:
        client = self.send(request("INVITE"))
        sent = self.first()
        self.world.receive(response(sent, 200, to_tag="one"))
        self.world.receive(response(sent, 180, to_tag="two"))
        self.world.advance(20)
        self.world.receive(response(sent, 200, to_tag="two"))
        self.assertEqual(self.told(), ([200, 200], []))
        self.assertEqual((client.state, self.world.udp.starts()), ("Accepted", []))
        self.world.advance(12.1)
        self.assertQuiet()
        self.world.receive(response(sent, 200))
        self.assertEqual((self.told(), len(self.world.user.strays)), (([], []), 1))

    def test_a_ringing_phone_is_waited_for(self) -> None:
        self.send(request("INVITE"))
        self.world.receive(response(self.first(), 180))
        self.world.advance(3000)
        self.assertEqual(self.told(), ([180], []))
        self.assertEqual(self.world.leftovers(), ["INVITE Proceeding"])


class CancelTests(Base):
    def test_at_once_after_a_provisional_response(self) -> None:
        client = self.send(request("INVITE", extra="Route: <sip:192.0.2.9;lr>\r\n"))
        sent = self.first()
        self.world.receive(response(sent, 180))
        client.cancel([("Reason", 'SIP;cause=200;text="Call completed elsewhere"')])
        client.cancel()
        (cancel,) = self.world.udp.take()
        assert isinstance(cancel, Request)
        self.assertEqual(cancel.method, "CANCEL")
        self.assertEqual([str(via) for via in cancel.vias], [str(sent.via)])
        self.assertEqual((cancel.uri_text, cancel.cseq.number), (sent.uri_text, 1))
        self.assertEqual((cancel.to.tag, cancel.get_all("route")), (None, ["<sip:192.0.2.9;lr>"]))
        self.assertEqual(cancel.get("reason"), 'SIP;cause=200;text="Call completed elsewhere"')
        self.world.receive(response(cancel, 200))
        self.world.receive(response(sent, 487))
        self.assertEqual(self.told(), ([180, 487], []))
        self.assertEqual(self.world.udp.starts(), ["ACK"])
        self.world.advance(33)
        self.assertQuiet()

    def test_not_before_a_provisional_response(self) -> None:
        client = self.send(request("INVITE"))
        sent = self.first()
        client.cancel()
        self.world.advance(1)
        self.assertEqual(self.world.udp.starts(), ["INVITE"])
        self.world.receive(response(sent, 100))
        self.assertEqual(self.world.udp.starts(), ["CANCEL"])
        self.world.receive(response(sent, 180))
        self.assertEqual(self.world.udp.starts(), [])

    def test_hushed_it_is_not_sent_again(self) -> None:
        """The CANCEL goes as before, a 2xx is passed, and without either timer B ends it."""
        for status in (180, 200, None):
            self.setUp()
            client = self.send(request("INVITE"))
            sent = self.first()
            client.cancel(hush=True)
            self.world.advance(20)
            self.assertEqual(self.world.udp.starts(), [])
            if status is None:
                self.world.advance(11.9)
                self.assertEqual(self.told(), ([], []))
                self.world.advance(0.2)
                self.assertEqual(self.told(), ([], ["timeout"]))
            else:
                self.world.receive(response(sent, status))
                self.assertEqual(self.told(), ([status], []))
                self.assertEqual(self.world.udp.starts(), ["CANCEL"] if status == 180 else [])
                self.world.advance(65)
            self.assertQuiet()

    def test_it_is_sent_until_it_is_answered(self) -> None:
        client = self.send(request("INVITE"))
        self.world.receive(response(self.first(), 180))
        client.cancel()
        self.world.advance(1.6)
        self.assertEqual(self.world.udp.starts(), ["CANCEL"] * 3)

    def test_not_after_a_final_response(self) -> None:
        for status in (200, 486):
            self.setUp()
            client = self.send(request("INVITE"))
            sent = self.first()
            self.world.receive(response(sent, status))
            self.world.udp.take()
            client.cancel()
            self.world.receive(response(sent, 180))
            self.assertEqual(self.world.udp.starts(), [])

    def test_a_2xx_that_was_faster_is_passed(self) -> None:
        client = self.send(request("INVITE"))
        sent = self.first()
        self.world.receive(response(sent, 180))
        client.cancel()
        self.world.receive(response(sent, 200))
        self.assertEqual(self.told(), ([180, 200], []))
        self.world.advance(33)
        self.assertEqual(self.told(), ([], []))
        self.assertQuiet()

    def test_a_peer_that_ignores_it_has_failed_after_64_t1(self) -> None:
        """RFC 3261 section 9.1."""
        client = self.send(request("INVITE"))
        sent = self.first()
        self.world.receive(response(sent, 180))
        self.world.advance(100)
        client.cancel()
        (cancel,) = self.world.udp.take()
        self.world.receive(response(cancel, 200))
        self.world.advance(31.9)
        self.world.receive(response(sent, 180))
        self.assertEqual(self.told(), ([180, 180], []))
        self.world.advance(0.2)
        self.assertEqual(self.told(), ([], ["timeout"]))
        self.assertQuiet()

    def test_only_an_invite_is_cancelled(self) -> None:
        client = self.send(request("MESSAGE"))
        self.world.receive(response(self.first(), 100))
        client.cancel()
        self.assertEqual(self.world.udp.starts(), [])

    def test_on_a_connection_that_is_gone(self) -> None:
        client = self.send(request("INVITE"), self.world.tcp)
        self.world.receive(response(self.first(), 180), self.world.tcp)
        self.world.tcp.close()
        client.cancel()
        self.assertEqual(self.told(), ([180], ["transport: gone"]))
        self.assertQuiet()


class OtherTests(Base):
    def test_sent_until_answered(self) -> None:
        self.send(request("OPTIONS"))
        self.world.advance(4)
        self.assertEqual(len(self.world.udp.sent), 4)
        sent = self.first()
        self.world.receive(response(sent, 100))
        self.world.receive(response(sent, 200))
        self.world.receive(response(sent, 200))
        self.world.receive(response(sent, 500))
        self.assertEqual(self.told(), ([100, 200], []))
        self.world.advance(5.1)
        self.assertQuiet()

    def test_timeout(self) -> None:
        self.send(request("OPTIONS"))
        self.world.advance(32.1)
        self.assertEqual(len(self.world.udp.take()), 11)
        self.assertEqual(self.told(), ([], ["timeout"]))
        self.assertQuiet()

    def test_over_tcp(self) -> None:
        self.send(request("OPTIONS"), self.world.tcp)
        self.world.receive(response(self.first(), 200), self.world.tcp)
        self.assertEqual(self.told(), ([200], []))
        self.assertQuiet()


class FlowTests(Base):
    def test_closed_from_the_start(self) -> None:
        for method in ("INVITE", "OPTIONS"):
            for flow in (self.world.tcp, self.world.udp):
                flow.closed = True
                self.send(request(method), flow)
                self.assertEqual(self.told(), ([], ["transport: closed"]))
                self.assertQuiet()

    def test_closed_before_an_answer(self) -> None:
        for method in ("INVITE", "OPTIONS"):
            for status in (0, 100):
                flow = FakeFlow("TCP")
                client = self.send(request(method), flow)
                if status:
                    self.world.receive(response(self.first(), status), flow)
                    self.told()
                flow.close("connection lost")
                self.assertEqual(self.told(), ([], ["transport: connection lost"]))
                self.assertEqual(client.state, "Terminated")
                self.assertQuiet()

    def test_closed_after_the_answer(self) -> None:
        client = self.send(request("INVITE"), self.world.tcp)
        self.world.receive(response(self.first(), 200), self.world.tcp)
        self.world.tcp.close()
        self.assertEqual((self.told(), client.state), (([200], []), "Accepted"))
        self.assertEqual(self.world.tcp.watchers, [])

    def test_lost_while_it_retransmits(self) -> None:
        self.send(request("OPTIONS"))
        self.world.udp.closed = True
        self.world.advance(0.6)
        self.assertEqual(self.told(), ([], ["transport: closed"]))
        self.assertQuiet()

    def test_lost_before_the_ack(self) -> None:
        self.send(request("INVITE"))
        sent = self.first()
        self.world.udp.closed = True
        self.world.receive(response(sent, 486))
        self.assertEqual(self.told(), ([486], []))
        self.assertQuiet()

    def test_a_user_that_raises_is_logged(self) -> None:
        class Raising(Sender):
            def response_received(self, transaction: ClientTransaction, response: Response) -> None:
                raise ValueError("no")

        self.sender = Raising()
        self.send(request("OPTIONS"))
        self.world.receive(response(self.first(), 200))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.world.advance(6)
        self.assertQuiet()

    def test_prepared_it_is_known_before_it_is_sent(self) -> None:
        message = parse_message(request("OPTIONS").encode())
        assert isinstance(message, Request)
        client = self.world.layer.prepare(message, self.world.udp, self.sender, "z9hG4bK-mine")  # type: ignore[arg-type]
        self.assertEqual((self.world.udp.sent, self.world.layer.clients), ([], 1))
        client.start()
        self.assertEqual(self.world.udp.take()[0].via.branch, "z9hG4bK-mine")

    def test_without_a_transaction(self) -> None:
        message = parse_message(request("ACK").encode())
        assert isinstance(message, Request)
        self.world.layer.send(message, self.world.udp)  # type: ignore[arg-type]
        self.assertEqual(self.world.udp.starts(), ["ACK"])
        self.assertQuiet()
