from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import parse_via
from rvoip.protocols.transport.errors import FlowError
from rvoip.protocols.transport.flow import Flow, RefusedFlow, Target, UDPFlow
from rvoip.protocols.transport.streamflow import TCPFlow

HERE, THERE = ("192.0.2.1", 5060), ("198.51.100.2", 40000)


class UDPFlowTests(SynchronousTestCase):
    def flow(self, force_rport: bool = False, remote: tuple[str, int] = THERE) -> UDPFlow:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

        def transmit(data: bytes, address: tuple[str, int]) -> None:
            self.sent.append((data, address))

        def sibling(address: tuple[str, int]) -> Flow:
            return self.flow(force_rport, address)

        return UDPFlow(HERE, remote, "192.0.2.1:5060", transmit, sibling, force_rport)

    def test_send(self) -> None:
        flow = self.flow()
        flow.send(b"one")
        self.assertEqual(self.sent, [(b"one", THERE)])

    def test_token(self) -> None:
        self.assertEqual(self.flow().token, "udp/192.0.2.1:5060/198.51.100.2:40000")
        self.assertEqual(
            self.flow(remote=("2001:db8::1", 5060)).token, "udp/192.0.2.1:5060/[2001:db8::1]:5060"
        )

    def test_where_responses_go(self) -> None:
        """The source address always; the source port only when rport asks (RFC 3581 section 4)."""
        for via, force, port in (
            ("SIP/2.0/UDP 198.51.100.2:5070;branch=x", False, 5070),
            ("SIP/2.0/UDP 198.51.100.2;branch=x", False, 5060),
            ("SIP/2.0/UDP phone.example:5070;branch=x;rport", False, 40000),
            ("SIP/2.0/UDP phone.example:5070;branch=x;rport=1", False, 40000),
            ("SIP/2.0/UDP phone.example:5070;branch=x", True, 40000),
            ("SIP/2.0/UDP phone.example:40000;branch=x", False, 40000),
            ("SIP/2.0/UDP 203.0.113.9:5070;branch=x;received=203.0.113.9", False, 5070),
            ("SIP/2.0/UDP 203.0.113.9:5070;branch=x;maddr=224.0.0.1;ttl=9", False, 5070),
            ("SIP/2.0/UDP 203.0.113.9:5070;branch=x;maddr=203.0.113.9;received=203.0.113.8", False, 5070),
        ):
            reply = self.flow(force).reply_flow(parse_via(via))
            self.assertEqual(reply.remote, ("198.51.100.2", port), via)

    def test_closed(self) -> None:
        flow = self.flow()
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.close()
        flow.close()
        self.assertEqual(told, ["closed"])
        self.assertEqual(str(self.assertRaises(FlowError, flow.send, b"x")), "closed")
        self.assertEqual(self.sent, [])

    def test_watchers(self) -> None:
        flow = self.flow()
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append("first"))
        cancel = flow.when_closed(lambda closed, reason: told.append("never"))
        flow.when_closed(lambda closed, reason: 1 // 0)
        flow.when_closed(lambda closed, reason: told.append("last"))
        cancel()
        cancel()
        flow.fail("no route")
        self.assertEqual(told, ["first", "last"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        flow.when_closed(lambda closed, reason: told.append(reason))
        self.assertEqual(told[-1], "no route")

    def test_a_watcher_may_cancel_another(self) -> None:
        flow = self.flow()
        told: list[str] = []
        flow.when_closed(lambda closed, reason: cancel())
        cancel = flow.when_closed(lambda closed, reason: told.append("never"))
        flow.close()
        self.assertEqual(told, [])


class RefusedFlowTests(SynchronousTestCase):
    def test_says_why(self) -> None:
        flow = RefusedFlow(Target("TLS", "224.0.0.1", 5061), "that is multicast")
        self.assertTrue(flow.closed and flow.reliable and flow.secure)
        self.assertEqual(flow.transport, "TLS")
        self.assertEqual(self.assertRaises(FlowError, flow.send, b"x").reason, "that is multicast")
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.close()
        self.assertEqual(told, ["that is multicast"])
        self.assertFalse(RefusedFlow(Target("UDP", "::", 1), "").reliable)


class ConnectingFlowTests(SynchronousTestCase):
    def flow(self, limit: int = 100) -> TCPFlow:
        return TCPFlow("tcp/x-1", HERE, THERE, "192.0.2.1:5060", backlog_limit=limit)

    def test_queue_is_bounded(self) -> None:
        flow = self.flow()
        for _ in range(10):
            flow.send(b"0123456789")
        self.assertIn("not open yet", str(self.assertRaises(FlowError, flow.send, b"x")))

    def test_given_up(self) -> None:
        flow = self.flow()
        given_up: list[str] = []
        told: list[str] = []
        flow.connecting_by(lambda: given_up.append("now"))
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.close()
        flow.close()
        self.assertEqual((given_up, told, flow.closed), (["now"], [], True))
        flow.lost("given up")
        self.assertEqual(told, ["closed by us"])

    def test_failed(self) -> None:
        flow = self.flow()
        told: list[str] = []
        flow.when_closed(lambda closed, reason: told.append(reason))
        flow.send(b"x")
        flow.lost("connection refused")
        self.assertEqual(told, ["connection refused"])
        self.assertEqual(str(self.assertRaises(FlowError, flow.send, b"x")), "connection refused")
