"""Which transaction a message belongs to (RFC 3261 sections 17.1.3 and 17.2.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.transactions import server_key
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, octets
from rvoip.test.protocols.dialog.fakes import FakeFlow, Sender, World, request, response


def parsed(text: str) -> Request:
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


def key(text: str) -> str:
    message = parsed(text)
    return server_key(message, "INVITE" if message.method == "ACK" else message.method)


class ServerKeyTests(SynchronousTestCase):
    def test_branch_sent_by_and_method_make_a_transaction(self) -> None:
        one = key(request("OPTIONS"))
        self.assertEqual(key(request("OPTIONS", to_tag="x", cseq=7, call_id="other")), one)
        for other in (
            request("OPTIONS", branch="z9hG4bK-2"),
            request("OPTIONS", sent_by="192.0.2.7:5061"),
            request("OPTIONS", sent_by="192.0.2.8:5060"),
            request("OPTIONS", sent_by="192.0.2.7"),
            request("BYE"),
        ):
            self.assertNotEqual(key(other), one)

    def test_an_ack_belongs_to_its_invite(self) -> None:
        self.assertEqual(key(request("ACK")), key(request("INVITE")))

    def test_the_cookie_counts_in_any_case(self) -> None:
        self.assertEqual(
            key(request("INVITE", branch="Z9HG4BK-1", cseq=1)),
            key(request("INVITE", branch="Z9HG4BK-1", cseq=2)),
        )

    def test_without_a_unique_branch_the_headers_tell(self) -> None:
        """RFC 2543 peers; the cookie alone is no better (RFC 4475 section 3.2.1)."""
        for branch in (None, "1", "z9hG4bK", "z9hG4b-77"):
            one = key(request("INVITE", branch=branch))
            self.assertEqual(key(request("INVITE", branch=branch)), one)
            self.assertEqual(key(request("ACK", branch=branch, to_tag="b1")), one)
            for other in (
                request("INVITE", branch=branch, cseq=2),
                request("INVITE", branch=branch, call_id="call-2"),
                request("INVITE", branch=branch, from_tag="a2"),
                request("INVITE", branch=branch, uri="sip:carol@example.test"),
                request("INVITE", branch=branch, sent_by="192.0.2.7:5070"),
                request("INVITE", branch="2"),
                request("OPTIONS", branch=branch),
            ):
                self.assertNotEqual(key(other), one)

    def test_no_tag_and_no_port(self) -> None:
        self.assertEqual(
            key(request("INVITE", branch=None, from_tag="", sent_by="192.0.2.7")),
            key(request("ACK", branch=None, from_tag="", sent_by="192.0.2.7", to_tag="b1")),
        )


class RFC2543Tests(SynchronousTestCase):
    """A peer from before RFC 3261 calls, gives up, and acknowledges."""

    def setUp(self) -> None:
        self.world = World()

    def test_retransmissions_are_absorbed(self) -> None:
        world = self.world
        for method in ("INVITE", "REGISTER"):
            text = request(method, branch=None, call_id=method)
            world.receive(text)
            world.receive(text)
        self.assertEqual([one.request.method for one in world.user.requests], ["INVITE", "REGISTER"])

    def test_ack_and_cancel_find_the_invite(self) -> None:
        world = self.world
        cancelled: list[Request] = []
        world.receive(request("INVITE", branch=None))
        (server,) = world.user.requests
        server.on_cancel = lambda transaction, cancel: cancelled.append(cancel)
        world.receive(request("CANCEL", branch=None))
        self.assertEqual(world.udp.starts(), ["200 CANCEL"])
        self.assertEqual(len(cancelled), 1)
        server.respond_status(487)
        world.receive(request("ACK", branch=None, to_tag="b1"))
        self.assertEqual(server.state, "Confirmed")

    def test_the_ack_of_a_2xx_reaches_the_user(self) -> None:
        """It matches the INVITE when nothing but its To tag differs, and no transaction when its URI does."""
        world = self.world
        world.receive(request("INVITE", branch=None))
        world.user.requests[0].respond_status(200)
        world.receive(request("ACK", branch=None, to_tag="b1"))
        world.receive(request("ACK", branch=None, to_tag="b1", uri="sip:bob@192.0.2.9"))
        self.assertEqual(len(world.user.acks), 2)

    def test_our_requests_are_answered_by_a_peer_that_knows_no_branch(self) -> None:
        """It copies the Via as it came, so its responses match like all others."""
        world = self.world
        sender = Sender()
        world.layer.request(parsed(request("OPTIONS")), world.udp, sender)  # type: ignore[arg-type]
        (sent,) = world.udp.take()
        world.receive(response(sent, 200))
        self.assertEqual(sender.statuses, [200])


class TortureTests(SynchronousTestCase):
    """RFC 4475 sections 3.2.1 and 3.4: what has no branch of use is still matched."""

    def absorbed(self, name: str) -> None:
        text = octets("sip/rfc4475", name).decode("utf-8", "surrogateescape")
        world = World()
        world.receive(text)
        world.receive(text)
        self.assertEqual(len(world.user.requests), 1)
        self.assertEqual(world.layer.retransmissions, 1)
        other = text.replace("CSeq: ", "CSeq: 1").replace("CSEQ: ", "CSEQ: 1")
        self.assertNotEqual(other, text)
        world.receive(other)
        self.assertEqual(len(world.user.requests), 2)

    def test_badbranch(self) -> None:
        self.absorbed("badbranch.dat")

    def test_inv2543(self) -> None:
        self.absorbed("inv2543.dat")


if not GIVEN:
    del TortureTests


class ResponseMatchingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.sender = Sender()
        self.world.layer.request(parsed(request("INVITE")), self.world.udp, self.sender)  # type: ignore[arg-type]
        (self.sent,) = self.world.udp.take()

    def test_branch_and_method_match(self) -> None:
        self.world.receive(response(self.sent, 180))
        self.assertEqual(self.sender.statuses, [180])

    def test_from_any_flow(self) -> None:
        """A peer may answer from another address than the one that was asked."""
        self.world.receive(response(self.sent, 180), FakeFlow("TCP", ("192.0.2.99", 7777)))
        self.assertEqual(self.sender.statuses, [180])

    def test_all_else_is_a_stray(self) -> None:
        text = response(self.sent, 200)
        branch = str(self.sent.via.branch)
        for other in (
            text.replace(branch, branch + "x"),
            text.replace(branch, branch.upper()),
            text.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
            text.replace(f";branch={branch}", ""),
        ):
            self.assertNotEqual(other, text)
            self.world.receive(other)
        self.assertEqual(self.sender.statuses, [])
        self.assertEqual(len(self.world.user.strays), 4)
        self.assertEqual(self.world.layer.unmatched, 4)

    def test_a_response_of_ours_that_comes_back_is_a_stray(self) -> None:
        ours = respond(parsed(request("OPTIONS")), 200).to_bytes().decode()
        self.world.receive(ours)
        self.assertEqual(len(self.world.user.strays), 1)
