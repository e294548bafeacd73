"""The request as it goes on (RFC 3261 sections 16.3 to 16.6): functions of values."""

from __future__ import annotations

from time import process_time

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request
from rvoip.protocols.sip.reader import parse_message
from rvoip.proxy.forward import (
    breadth,
    consume_credentials,
    drop_routes,
    forwarded,
    loop_mark,
    looped,
    next_hop,
    spent,
    undo_strict_route,
    unknown_extensions,
)
from rvoip.proxy.targets import Refused
from rvoip.test.proxy.scene import sip


def request(*headers: str, method: str = "INVITE", uri: str = "sip:bob@example.test") -> Request:
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1",
        "From: <sip:alice@example.test>;tag=a",
        "To: <sip:bob@example.test>",
        "Call-ID: c",
        f"CSeq: 1 {method}",
        *headers,
    ]
    message = parse_message(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert isinstance(message, Request)
    return message


class MaxForwardsTests(SynchronousTestCase):
    def test_it_goes_down_by_one(self) -> None:
        for before, after in (("70", "69"), ("1", "0"), ("255", "254"), ("007", "6")):
            self.assertEqual(forwarded(request(f"Max-Forwards: {before}"), None).get("max-forwards"), after)

    def test_without_one_it_starts_at_70(self) -> None:
        self.assertEqual(forwarded(request(), None).get("max-forwards"), "70")

    def test_an_absurd_one_counts_as_70(self) -> None:
        """RFC 4475 section 3.1.2.4 sends 300."""
        for value in ("256", "300", "4294967295"):
            self.assertEqual(forwarded(request(f"Max-Forwards: {value}"), None).get("max-forwards"), "70")

    def test_0_is_refused(self) -> None:
        for value in ("0", "00"):
            self.assertTrue(spent(request(f"Max-Forwards: {value}")))
            with self.assertRaises(Refused) as caught:
                forwarded(request(f"Max-Forwards: {value}"), None)
            self.assertEqual(caught.exception.status, 483)
        for other in (request(), request("Max-Forwards: 1"), request("Max-Forwards: 100")):
            self.assertFalse(spent(other))


class ForwardedTests(SynchronousTestCase):
    def test_a_copy_with_another_uri_and_route(self) -> None:
        original = request("Max-Forwards: 70", "Route: <sip:c;lr>", "X-Unknown:  as  it came ")
        before = original.to_bytes()
        copy = forwarded(original, sip("sip:bob@10.0.0.3;x=1?subject=no"), ("<sip:a;lr>", "<sip:b;lr>"))
        self.assertEqual(original.to_bytes(), before)
        self.assertEqual(copy.uri_text, "sip:bob@10.0.0.3;x=1")
        self.assertEqual(copy.get_all("route"), ["<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"])
        self.assertIn("X-Unknown:  as  it came ", copy.lines)

    def test_none_keeps_the_uri_to_the_letter(self) -> None:
        self.assertEqual(
            forwarded(request(uri="SIP:Bob@Example.TEST"), None).uri_text, "SIP:Bob@Example.TEST"
        )


class NextHopTests(SynchronousTestCase):
    def test_without_route_the_request_uri(self) -> None:
        self.assertEqual(str(next_hop(request())), "sip:bob@example.test")

    def test_the_topmost_route(self) -> None:
        one = request("Route: <sip:first;lr>, <sip:second;lr>")
        self.assertEqual(str(next_hop(one)), "sip:first;lr")
        self.assertEqual(one.uri_text, "sip:bob@example.test")

    def test_a_strict_router_gets_the_request_as_it_wants_it(self) -> None:
        """Section 16.6 step 6."""
        one = request("Route: <sip:strict;method=INVITE>, <sip:second;lr>")
        self.assertEqual(next_hop(one).host, "strict")
        self.assertEqual(one.uri_text, "sip:strict")
        self.assertEqual(one.values("route"), ["<sip:second;lr>", "<sip:bob@example.test>"])

    def test_other_schemes_lead_nowhere(self) -> None:
        for one, error in (
            (request(uri="tel:+1"), Refused),
            (request("Route: <tel:+1>"), SIPParseError),
        ):
            with self.assertRaises(error) as caught:
                next_hop(one)
            self.assertEqual(caught.exception.status, 416)


class StrictRouteTests(SynchronousTestCase):
    def test_the_last_route_is_the_real_uri(self) -> None:
        """Section 16.4."""
        one = request("Route: <sip:a;lr>, <sip:b;lr>", "Route: <sip:bob@10.0.0.3:5070;transport=tcp>")
        undo_strict_route(one)
        self.assertEqual(one.uri_text, "sip:bob@10.0.0.3:5070;transport=tcp")
        self.assertEqual(one.values("route"), ["<sip:a;lr>", "<sip:b;lr>"])

    def test_the_only_route(self) -> None:
        one = request("Route: <sip:bob@10.0.0.3>")
        undo_strict_route(one)
        self.assertEqual((one.uri_text, one.has("route")), ("sip:bob@10.0.0.3", False))

    def test_nothing_to_undo(self) -> None:
        one = request()
        undo_strict_route(one)
        self.assertEqual(one.uri_text, "sip:bob@example.test")

    def test_what_is_no_uri_changes_nothing(self) -> None:
        one = request("Route: <sip:a;lr>, <nonsense>")
        before = one.to_bytes()
        self.assertRaises(SIPParseError, undo_strict_route, one)
        self.assertEqual(one.to_bytes(), before)


class DropRoutesTests(SynchronousTestCase):
    def test_from_one_line_or_several(self) -> None:
        values = [f"<sip:r{number};lr>" for number in range(5)]
        for lines in ([", ".join(values)], values, [", ".join(values[:2]), ", ".join(values[2:])]):
            for count in range(6):
                one = request(*[f"Route: {line}" for line in lines])
                drop_routes(one, count)
                self.assertEqual(one.values("route"), values[count:])
                self.assertEqual(one.has("route"), count < 5)

    def test_thousands_take_no_time(self) -> None:
        many = "Route: " + ",".join(["<sip:a;lr>"] * 1300)
        one = request(many, many, many, many, "Route: <sip:other;lr>")
        began = process_time()
        drop_routes(one, 5200)
        self.assertLess(process_time() - began, 0.3)
        self.assertEqual(one.values("route"), ["<sip:other;lr>"])


class LoopTests(SynchronousTestCase):
    def test_the_mark_depends_on_what_routing_depends_on(self) -> None:
        mark = loop_mark(request())
        self.assertEqual(loop_mark(request("Max-Forwards: 3", "X-Other: 1")), mark)
        for other in (
            request(uri="sip:carol@example.test"),
            request("Route: <sip:a;lr>"),
            request("Proxy-Require: x"),
            request(method="MESSAGE"),
        ):
            if other.method == "INVITE":
                self.assertNotEqual(loop_mark(other), mark)
        self.assertRegex(mark, "^[0-9a-f]{12}$")

    def test_a_via_with_the_mark_is_a_loop(self) -> None:
        mark = loop_mark(request())
        ours = f"SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKabc.{mark};rport"
        other = "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKabc.0123456789ab"
        self.assertFalse(looped(request(), mark))
        self.assertFalse(looped(request(f"Via: {other}"), mark))
        self.assertTrue(looped(request(f"Via: {ours}"), mark))
        self.assertTrue(looped(request(f"Via: {other}, {ours}"), mark))
        self.assertTrue(looped(request(f"Via: {ours}", f"Via: {other}"), mark))
        self.assertFalse(looped(request(f"X-Via: {ours}"), mark))

    def test_whatever_else_stands_in_lower_vias(self) -> None:
        self.assertFalse(looped(request('Via: ";;;,,<'), loop_mark(request())))


class BreadthTests(SynchronousTestCase):
    def test_at_most_60(self) -> None:
        for value, expected in (
            (None, 60),
            ("1", 1),
            ("0", 0),
            ("60", 60),
            ("61", 60),
            ("99999999999", 60),
            ("x", 60),
        ):
            headers = [] if value is None else [f"Max-Breadth: {value}"]
            self.assertEqual(breadth(request(*headers)), expected, value)


class ExtensionTests(SynchronousTestCase):
    def test_what_is_not_known(self) -> None:
        self.assertEqual(unknown_extensions(request("Proxy-Require: path, outbound")), [])
        self.assertEqual(
            unknown_extensions(request("Proxy-Require: Path, foo", "Proxy-Require: bar")), ["foo", "bar"]
        )


class CredentialTests(SynchronousTestCase):
    def digest(self, realm: str) -> str:
        return f'Digest username="a", realm="{realm}", nonce="n", uri="sip:b", response="{"0" * 32}"'

    def test_only_ours_are_consumed(self) -> None:
        one = request(*[f"Proxy-Authorization: {self.digest(realm)}" for realm in ("here", "there", "here")])
        consume_credentials(one, "here".__eq__)
        self.assertEqual(one.get_all("proxy-authorization"), [self.digest("there")])

    def test_the_last_one_takes_the_header_with_it(self) -> None:
        one = request(f"Proxy-Authorization: {self.digest('here')}", f"Authorization: {self.digest('here')}")
        consume_credentials(one, "here".__eq__)
        self.assertFalse(one.has("proxy-authorization"))
        self.assertTrue(one.has("authorization"))

    def test_other_schemes_and_realms_stay_to_the_letter(self) -> None:
        one = request(
            "Proxy-Authorization:  Bearer  abc",
            f"Proxy-Authorization: {self.digest('there')}",
            'Proxy-Authorization: Digest realm="here"',
            'Proxy-Authorization: Digest "',
        )
        before = one.to_bytes()
        consume_credentials(one, "here".__eq__)
        self.assertEqual(one.to_bytes(), before)
