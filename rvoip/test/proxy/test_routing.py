"""Routes within a dialog: loose and strict, across transports, to phones behind NAT, by flows and Paths."""

from __future__ import annotations

from time import process_time
from typing import Any

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.proxy.targets import Destination
from rvoip.test.proxy.scene import PROXY, Peer, Scene, sip
from rvoip.test.proxy.test_calls import BOB, Base


class RoutingBase(Base):
    def call(self, scene: Scene, alice: Peer, bob: Peer, **more: Any) -> tuple[Any, Any]:
        """(the INVITE at bob, the 200 at alice) of a call that bob takes."""
        more.setdefault("call_id", "call")
        self.ends = (alice, bob)
        alice.send(alice.request(**more))
        invite = bob.one()
        bob.send(bob.answer(invite, 200))
        accepted = alice.one()
        self.assertEqual(accepted.status, 200)
        return invite, accepted

    def within(
        self,
        sender: Peer,
        method: str,
        uri: str,
        routes: list[str],
        cseq: int = 2,
        extra: str = "",
        *,
        to: Peer | None = None,
        **more: Any,
    ) -> str:
        """A request in the dialog of the last `call`, by default to its other end."""
        lines = "".join(f"Route: {route}\r\n" for route in routes)
        alice, bob = self.ends
        if to is None:
            to = alice if sender is bob else bob
        more.setdefault("to_tag", f"from-{alice.address}" if to is alice else f"to-{bob.address}")
        return sender.request(method, uri, call_id="call", cseq=cseq, extra=lines + extra, **more)

    def both_ways(self, scene: Scene, alice: Peer, bob: Peer, invite: Any, accepted: Any) -> None:
        """ACK and requests of both ends arrive at the other one, without the Routes that were ours."""
        route_set = [str(route) for route in reversed(accepted.record_routes)]
        target = accepted.contacts[0].uri_text
        alice.send(self.within(alice, "ACK", target, route_set, 1))
        alice.send(self.within(alice, "INFO", target, route_set))
        ack, info = bob.take()
        self.assertEqual((ack.method, info.method), ("ACK", "INFO"))
        for one in (ack, info):
            self.assertFalse(one.has("route"))
            self.assertEqual(one.uri_text, target)
        bob.send(bob.answer(info, 200))
        self.assertEqual(alice.starts(), ["200 INFO"])
        route_set = [str(route) for route in invite.record_routes]
        target = invite.contacts[0].uri_text
        bob.send(self.within(bob, "BYE", target, route_set))
        bye = alice.one()
        self.assertEqual((bye.method, bye.uri_text, bye.has("route")), ("BYE", target, False))
        alice.send(alice.answer(bye, 200))
        self.assertEqual(bob.starts(), ["200 BYE"])
        scene.advance(50)
        self.assertEqual(scene.leftovers(), [])


class RecordRouteTests(RoutingBase):
    def test_one_value_between_udp_phones(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        invite, accepted = self.call(scene, alice, bob)
        self.assertEqual(len(invite.record_routes), 1)
        uri = invite.record_routes[0].sip_uri
        self.assertEqual((uri.host, uri.port, uri.loose, uri.user), (PROXY, 5060, True, None))
        self.both_ways(scene, alice, bob, invite, accepted)

    def test_ours_goes_above_that_of_proxies_before(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        invite, _ = self.call(scene, alice, bob, extra="Record-Route: <sip:before;lr>, <sip:first;lr>\r\n")
        self.assertEqual([one.sip_uri.host for one in invite.record_routes], [PROXY, "before", "first"])

    def test_only_where_a_dialog_may_begin(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        for method, expected in (
            ("INVITE", True),
            ("SUBSCRIBE", True),
            ("REFER", True),
            ("NOTIFY", True),
            ("OPTIONS", False),
            ("MESSAGE", False),
            ("PUBLISH", False),
            ("INFO", False),
        ):
            alice.send(alice.request(method))
            self.assertEqual(bob.one().has("record-route"), expected, method)

    def test_two_values_across_transports(self) -> None:
        """RFC 5658: each end is told the address and transport of its own side."""
        for here, there in (("UDP", "TCP"), ("TCP", "UDP")):
            scene = self.scene()
            alice, bob = scene.peer("alice", here), scene.peer("bob", there)
            scene.places.bind("bob", f"sip:bob@{bob.address};transport={there.lower()}")
            invite, accepted = self.call(scene, alice, bob)
            first, second = [one.sip_uri for one in invite.record_routes]
            self.assertEqual(first.transport or "udp", there.lower())
            self.assertEqual(second.transport or "udp", here.lower())
            self.both_ways(scene, alice, bob, invite, accepted)

    def test_a_spiral_through_the_proxy(self) -> None:
        """bob's only contact is carol's address of record: all of the call passes here twice."""
        scene = self.scene()
        alice, carol = scene.peer("alice"), scene.peer("carol", "TCP")
        carol.send(
            carol.request(
                "REGISTER",
                "sip:example.test",
                to="sip:carol@example.test",
                contact=f"sip:carol@{carol.address};transport=tcp",
            )
        )
        carol.take()
        scene.places.bind("bob", f"sip:carol@{PROXY}")
        invite, accepted = self.call(scene, alice, carol)
        self.assertEqual(len(invite.vias), 3)
        self.assertEqual(invite.get("max-forwards"), "68")
        self.assertEqual(len(invite.record_routes), 3)
        self.both_ways(scene, alice, carol, invite, accepted)


class StrictTests(RoutingBase):
    """RFC 2543 elements on either side (sections 16.4 and 16.6 step 6)."""

    def test_a_caller_that_routes_strictly(self) -> None:
        for here in ("UDP", "TCP"):
            scene = self.scene()
            alice, bob = scene.peer("alice", here), scene.peer("bob")
            scene.places.bind("bob", f"sip:bob@{bob.address}")
            _, accepted = self.call(scene, alice, bob)
            routes = [one.uri_text for one in reversed(accepted.record_routes)]
            target = accepted.contacts[0].uri_text
            rest = [f"<{one}>" for one in [*routes[1:], target]]
            for method in ("ACK", "INFO", "BYE"):
                alice.send(self.within(alice, method, routes[0], rest, 1 if method == "ACK" else 2))
                one = bob.one()
                self.assertEqual((one.method, one.uri_text, one.has("route")), (method, target, False))

    def test_a_strict_router_between_us_and_the_caller(self) -> None:
        scene = self.scene()
        strict, bob = scene.peer("strict"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        extra = "Record-Route: <sip:10.0.2.1>\r\n"
        invite, _ = self.call(scene, strict, bob, extra=extra, contact="sip:alice@10.0.9.9")
        *ours, theirs = [str(one) for one in invite.record_routes]
        self.assertEqual(theirs, "<sip:10.0.2.1>")
        bob.send(self.within(bob, "BYE", "sip:alice@10.0.9.9", [*ours, theirs]))
        bye = strict.one()
        self.assertEqual(bye.uri_text, "sip:10.0.2.1")
        self.assertEqual(bye.values("route"), ["<sip:alice@10.0.9.9>"])

    def test_a_strict_request_of_another_call_is_none(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        _, accepted = self.call(scene, alice, bob)
        ours = accepted.record_routes[0].uri_text
        text = alice.request(
            "BYE", ours, to_tag="x", call_id="other", extra=f"Route: <sip:bob@{bob.address}>\r\n"
        )
        alice.send(text)
        self.assertEqual((alice.starts(), bob.take()), (["407 BYE"], []))


class OwnRouteTests(RoutingBase):
    def test_a_route_that_names_us_70_times(self) -> None:
        """Row 13: all are taken off at once; the request is forwarded once."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        own = f"<sip:{PROXY};lr>"
        for extra in (
            "Route: " + ", ".join([own] * 70) + "\r\n",
            f"Route: {own}, {own}, {own}\r\n" * 23,
            f"Route: {own}\r\n" * 30,
        ):
            alice.send(alice.request(extra=extra))
            self.assertFalse(bob.one().has("route"))
            self.assertEqual(scene.proxy.forwarded, 1)
            scene.proxy.forwarded = 0

    def test_thousands_of_them_cost_milliseconds(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        for value, count in ((f"<sip:{PROXY}>", 1000), (f"<sip:{PROXY};lr;d=0123456789abcdef>", 400)):
            line = "Route: " + ",".join([value] * count) + "\r\n"
            text = alice.request(extra=line * 3)
            began = process_time()
            alice.send(text)
            self.assertLess(process_time() - began, 0.3)
            self.assertEqual(len(bob.take()) + len(alice.take()), 1)

    def test_own_routes_before_a_foreign_one(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        self.ends = (alice, bob)
        alice.send(alice.request(call_id="call"))
        behind = ["<sip:c;lr>", f"<sip:{bob.address};lr>"]
        text = bob.answer(bob.one(), 200, contact="sip:bob@10.9.9.9")
        bob.send(text.replace("Record-Route: ", f"Record-Route: {', '.join(behind)}, "))
        accepted = alice.one()
        routes = [str(one) for one in reversed(accepted.record_routes)]
        self.assertEqual(routes[1:], behind[::-1])
        alice.send(self.within(alice, "INFO", "sip:bob@10.9.9.9", routes))
        info = bob.one()
        self.assertEqual(info.values("route"), behind[::-1])
        self.assertEqual(info.uri_text, "sip:bob@10.9.9.9")


class NATTests(RoutingBase):
    """Phones whose Contact is not where they are: only the flow that they opened reaches them."""

    def register(self, peer: Peer, user: str, contact: str, params: str = "") -> None:
        peer.send(
            peer.request(
                "REGISTER",
                "sip:example.test",
                to=f"sip:{user}@example.test",
                contact=contact,
                contact_params=params,
            )
        )
        self.assertEqual(peer.starts(), ["200 REGISTER"])

    def test_a_caller_behind_nat(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        invite, accepted = self.call(scene, alice, bob, contact="sip:alice@192.168.1.5:5060")
        self.assertEqual(len(invite.record_routes), 2)
        self.both_ways(scene, alice, bob, invite, accepted)

    def test_a_callee_behind_nat(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        self.register(bob, "bob", "sip:bob@192.168.1.6:5060")
        self.ends = (alice, bob)
        alice.send(alice.request(call_id="call"))
        invite = bob.one()
        self.assertEqual(invite.uri_text, "sip:bob@192.168.1.6:5060")
        bob.send(bob.answer(invite, 200, contact="sip:bob@192.168.1.6:5060"))
        self.both_ways(scene, alice, bob, invite, alice.one())

    def test_both_behind_nat(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        self.register(bob, "bob", "sip:bob@192.168.1.6")
        self.ends = (alice, bob)
        alice.send(alice.request(call_id="call", contact="sip:alice@192.168.1.6"))
        invite = bob.one()
        bob.send(bob.answer(invite, 200, contact="sip:bob@192.168.1.6"))
        self.both_ways(scene, alice, bob, invite, alice.one())

    def test_a_caller_whose_nat_gave_it_another_port(self) -> None:
        """What it sends from the new port still goes to the other end, and not to its old port."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        _, accepted = self.call(scene, alice, bob, contact="sip:alice@192.168.1.5")
        other = scene.peer("rebound")
        routes = [str(one) for one in reversed(accepted.record_routes)]
        other.send(self.within(other, "BYE", accepted.contacts[0].uri_text, routes))
        self.assertEqual((bob.starts(), alice.starts()), (["BYE"], []))

    def test_a_request_that_came_through_a_proxy_pins_nobody(self) -> None:
        """That proxy did not record its route, so it wants no more of this call."""
        scene = self.scene()
        edge, alice, bob = scene.peer("edge"), scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        self.ends = (edge, bob)
        edge.send(
            edge.request(
                call_id="call",
                contact=f"sip:alice@{alice.address}",
                extra=f"Via: SIP/2.0/UDP {alice.address};branch=z9hG4bKa\r\n",
            )
        )
        invite = bob.one()
        self.assertEqual(len(invite.record_routes), 1)
        bob.send(bob.answer(invite, 200))
        edge.take()
        bob.send(self.within(bob, "BYE", f"sip:alice@{alice.address}", [str(invite.record_routes[0])]))
        self.assertEqual((alice.starts(), edge.starts()), (["BYE"], []))

    def test_a_tcp_phone_is_reached_by_its_connection(self) -> None:
        """It listens on nothing, as most do."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob", "TCP")
        bob.wire._listening.stopListening()
        scene.advance(0.001)
        self.register(bob, "bob", f"sip:bob@{bob.address};transport=tcp")
        invite, accepted = self.call(scene, alice, bob)
        self.assertEqual(scene.transport.connections, 1)
        self.both_ways(scene, alice, bob, invite, accepted)

    def test_a_tcp_caller_that_listens_on_nothing(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice", "TCP"), scene.peer("bob")
        alice.wire._listening.stopListening()
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        invite, accepted = self.call(scene, alice, bob)
        self.both_ways(scene, alice, bob, invite, accepted)

    def test_a_contact_that_is_no_uri_reaches_nobody_but_does_no_harm(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        for contact in ("sip:", "nonsense", "sip:a@[::1", "tel:+1"):
            alice.send(alice.request(contact=contact))
            self.assertEqual(bob.starts(), ["INVITE"], contact)


class GoneTests(NATTests):
    """Connections that are no more."""

    def test_a_call_to_a_gone_connection_is_refused_quickly(self) -> None:
        for params in ("", ';reg-id=1;+sip.instance="<urn:uuid:1>"'):
            scene = self.scene()
            alice, bob = scene.peer("alice"), scene.peer("bob", "TCP")
            bob.wire._listening.stopListening()
            self.register(bob, "bob", f"sip:bob@{bob.address};transport=tcp", params)
            bob.wire.drop_connections()
            scene.advance(0.01)
            alice.send(alice.request())
            scene.advance(8)
            self.assertEqual(set(alice.starts()) - {"100 INVITE"}, {"480 INVITE"})

    def test_a_connection_that_is_lost_before_it_answers(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob", "TCP")
        self.register(bob, "bob", f"sip:bob@{bob.address};transport=tcp")
        alice.send(alice.request())
        self.assertEqual(bob.starts(), ["INVITE"])
        bob.wire.drop_connections()
        scene.advance(0.01)
        self.assertEqual(alice.starts(), ["480 INVITE"])

    def test_within_a_dialog_the_contact_is_tried_then(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob", "TCP")
        self.register(bob, "bob", f"sip:bob@{bob.address}:5060;transport=tcp")
        _, accepted = self.call(scene, alice, bob)
        bob.wire.drop_connections()
        scene.advance(0.01)
        routes = [str(one) for one in reversed(accepted.record_routes)]
        alice.send(self.within(alice, "BYE", f"sip:bob@{bob.address}:5060;transport=tcp", routes))
        self.assertEqual(bob.starts(), ["BYE"])

    def test_a_caller_that_comes_back_on_another_connection(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice", "TCP"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        invite, accepted = self.call(scene, alice, bob)
        alice.wire.drop_connections()
        scene.advance(0.01)
        routes = [str(one) for one in reversed(accepted.record_routes)]
        alice.send(self.within(alice, "INFO", accepted.contacts[0].uri_text, routes))
        bob.send(bob.answer(bob.one(), 200))
        self.assertEqual(alice.starts(), ["200 INFO"])
        bob.send(
            self.within(bob, "BYE", invite.contacts[0].uri_text, [str(one) for one in invite.record_routes])
        )
        self.assertEqual(alice.starts(), ["BYE"])

    def test_a_caller_that_is_gone_when_the_callee_answers(self) -> None:
        """RFC 3261 section 18.2.2: the response goes to the sent-by address."""
        scene = self.scene()
        alice, bob = scene.peer("alice", "TCP"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        alice.send(alice.request())
        invite = bob.one()
        alice.wire.drop_connections()
        scene.advance(0.01)
        bob.send(bob.answer(invite, 200))
        scene.advance(0.01)
        self.assertEqual(alice.starts(), ["200 INVITE"])


class PathTests(RoutingBase):
    def test_the_path_is_the_route(self) -> None:
        """RFC 3327 section 5.4: also to a phone that registered on a flow of the edge proxy's."""
        scene = self.scene()
        alice, edge = scene.peer("alice"), scene.peer("edge")
        path = (f"<sip:token@{edge.address};lr;ob>", "<sip:inner.invalid;lr>")
        scene.places.bind(
            "bob", Destination(sip("sip:bob@192.168.7.7"), path, "udp/10.0.0.1:5060/10.9.9.9:1")
        )
        alice.send(alice.request())
        invite = edge.one()
        self.assertEqual(invite.uri_text, "sip:bob@192.168.7.7")
        self.assertEqual(invite.values("route"), list(path))

    def test_a_strict_path(self) -> None:
        scene = self.scene()
        alice, edge = scene.peer("alice"), scene.peer("edge")
        scene.places.bind("bob", Destination(sip("sip:bob@192.168.7.7"), (f"<sip:{edge.address}>",)))
        alice.send(alice.request())
        invite = edge.one()
        self.assertEqual(invite.uri_text, f"sip:{edge.address}")
        self.assertEqual(invite.values("route"), ["<sip:bob@192.168.7.7>"])

    def test_a_path_that_cannot_be_read(self) -> None:
        scene = self.scene()
        alice = scene.peer("alice")
        for path in ("<tel:+1>", "<sip:a", "<>"):
            scene.places.bind("bob", Destination(sip("sip:bob@192.168.7.7"), (path,)))
            alice.send(alice.request())
            self.assertTrue(400 <= alice.one().status < 600)


class RegisteredTests(NATTests):
    def test_the_phones_real_address_is_used(self) -> None:
        """A REGISTER from behind NAT, and a call to it: to the source of the REGISTER."""
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        self.register(bob, "bob", "sip:bob@172.16.0.1:9999")
        alice.send(alice.request(uri=BOB))
        self.assertEqual(bob.one().uri_text, "sip:bob@172.16.0.1:9999")

    def test_values_can_be_read(self) -> None:
        scene = self.scene()
        alice, bob = scene.peer("alice"), scene.peer("bob")
        self.register(bob, "bob", "sip:bob@192.168.1.6")
        invite, _ = self.call(scene, alice, bob, contact="sip:alice@192.168.1.7")
        for value in invite.values("record-route"):
            self.assertTrue(parse_name_addr(value).sip_uri.loose)
