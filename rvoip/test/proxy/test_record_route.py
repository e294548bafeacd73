"""Our Record-Route values: made, known again, and not to be forged."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.address import parse_name_addr
from rvoip.protocols.sip.uri import SipURI, parse_uri
from rvoip.proxy.record_route import End, RecordRoutes, address_key, goes_by_flow
from rvoip.test.protocols.dialog.fakes import FakeFlow
from rvoip.test.proxy.scene import sip

SECRET = b"0123456789abcdef"

ALICE = End("alice's tag", "", "alice@10.0.1.2:5060")


def flow(
    transport: str = "UDP", remote: tuple[str, int] = ("10.0.1.2", 5060), sent_by: str = "10.0.0.1:5060"
) -> FakeFlow:
    made = FakeFlow(transport, remote)
    made.sent_by = sent_by
    made.secure = transport in ("TLS", "WSS")
    return made


def uri(value: str) -> SipURI:
    return parse_name_addr(value).sip_uri


class ValueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.routes = RecordRoutes(SECRET)

    def values(
        self,
        came: FakeFlow,
        goes: FakeFlow,
        *,
        secure: bool = False,
        came_pinned: bool = False,
        goes_pinned: bool = False,
    ) -> list[str]:
        made = self.routes.values("call", came, goes, secure, came_pinned, goes_pinned, ALICE)  # type: ignore[arg-type]
        for value, shown, token in made:
            self.assertEqual(self.routes.sign("call", token, ALICE), shown)
            self.assertIn(f";d={shown}>", value)
        return [value for value, _, _ in made]

    def token(self, value: str, call_id: str = "call") -> str | None:
        """The flow token in a value of ours; None when it is none."""
        found = self.routes.recognise(uri(value), call_id, ALICE)
        return found.token if found is not None and found.exact else None

    def test_one_value_where_both_sides_are_the_same(self) -> None:
        for transport, param in (("UDP", ""), ("TCP", ";transport=tcp")):
            (value,) = self.values(flow(transport), flow(transport))
            self.assertRegex(value, rf"^<sip:10\.0\.0\.1:5060{param};lr;d=[0-9a-f]{{24}}>$")
            self.assertEqual(self.token(value), "")

    def test_two_values_across_transports(self) -> None:
        """RFC 5658 section 5: topmost the one for where it goes."""
        goes, came = self.values(flow("UDP"), flow("TLS", sent_by="10.0.0.1:5061"))
        self.assertIn("10.0.0.1:5061;transport=tls;lr", goes)
        self.assertIn("10.0.0.1:5060;lr", came)

    def test_two_values_across_addresses(self) -> None:
        goes, came = self.values(flow(), flow(sent_by="192.168.0.1:5060"))
        self.assertIn("192.168.0.1:5060", goes)
        self.assertIn("10.0.0.1:5060", came)

    def test_a_pinned_side_names_its_flow(self) -> None:
        came, goes = flow("TCP", ("10.0.1.2", 40001)), flow("UDP", ("10.0.1.9", 6000))
        for came_pinned, goes_pinned in ((True, False), (False, True), (True, True)):
            first, second = self.values(came, goes, came_pinned=came_pinned, goes_pinned=goes_pinned)
            self.assertEqual(self.token(first), goes.token if goes_pinned else "")
            self.assertEqual(self.token(second), came.token if came_pinned else "")

    def test_sips(self) -> None:
        (value,) = self.values(flow("TLS"), flow("TLS"), secure=True)
        self.assertTrue(value.startswith("<sips:10.0.0.1:5060;transport=tls;lr;d="))
        goes, came = self.values(flow("UDP"), flow("TLS"), secure=True)
        self.assertTrue(goes.startswith("<sips:") and came.startswith("<sip:10.0.0.1:5060;lr"), (goes, came))

    def test_ipv6(self) -> None:
        (value,) = self.values(flow(sent_by="[2001:db8::1]:5060"), flow(sent_by="[2001:db8::1]:5060"))
        self.assertEqual(uri(value).host, "2001:db8::1")

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
    def test_any_token_and_call_id_come_back(self, token: str, call_id: str) -> None:
        routes = RecordRoutes(SECRET)
        one = flow()
        one.token = token
        (_, (value, _, _)) = routes.values(call_id, one, flow("TCP"), False, True, False, ALICE)  # type: ignore[arg-type]
        self.assertEqual(routes.recognise(uri(value), call_id, ALICE), (token, True))
        self.assertIsNone(routes.recognise(uri(value), call_id + "x", ALICE))


class ForgeryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.routes = RecordRoutes(SECRET)
        came = flow("TCP", ("10.0.1.2", 40001))
        self.pinned = uri(self.routes.values("call", came, flow(), False, True, False, ALICE)[1][0])  # type: ignore[arg-type]
        self.plain = uri(self.routes.values("call", flow(), flow(), False, False, False, ALICE)[0][0])  # type: ignore[arg-type]

    def test_the_real_ones(self) -> None:
        self.assertEqual(self.routes.recognise(self.plain, "call", ALICE), ("", True))
        self.assertEqual(self.routes.recognise(self.pinned, "call", ALICE), ("tcp/10.0.1.2:40001", True))

    def test_no_other_end(self) -> None:
        for one in (self.plain, self.pinned):
            for end in (ALICE._replace(tag="x"), ALICE._replace(tag=""), ALICE._replace(hop="k:5060")):
                self.assertIsNone(self.routes.recognise(one, "call", end))
            found = self.routes.recognise(one, "call", ALICE._replace(target="victim@10.0.9.9:5060"))
            assert found is not None
            self.assertFalse(found.exact)

    def test_no_other_call_no_other_secret_no_other_flow(self) -> None:
        for one in (self.plain, self.pinned):
            self.assertIsNone(self.routes.recognise(one, "other", ALICE))
            self.assertIsNone(RecordRoutes(SECRET[::-1]).recognise(one, "call", ALICE))
        there: Any = flow("TCP", ("10.0.1.3", 1))
        here: Any = flow()
        other = uri(self.routes.values("call", there, here, False, True, False, ALICE)[1][0])
        self.assertIsNone(self.routes.recognise(self.pinned.replace(user=other.user), "call", ALICE))
        self.assertIsNone(self.routes.recognise(self.plain.replace(user=self.pinned.user), "call", ALICE))

    def test_what_is_none(self) -> None:
        shown = self.plain.param("d")
        assert shown is not None
        for text in (
            "sip:10.0.0.1;lr",
            "sip:10.0.0.1;lr;d",
            "sip:10.0.0.1;lr;d=",
            f"sip:10.0.0.1;lr;d={shown[:-1]}",
            f"sip:10.0.0.1;lr;d={shown}0",
            f"sip:10.0.0.1;lr;d={shown.upper()}x",
            f"sip:!!!@10.0.0.1;lr;d={shown}",
            f"sip:a@10.0.0.1;lr;d={shown}",
            f"sip:%C3%A9@10.0.0.1;lr;d={shown}",
            f"sip:\u00e9@10.0.0.1;lr;d={shown}",
            f"sip:_w@10.0.0.1;lr;d={shown}",
        ):
            self.assertIsNone(self.routes.recognise(sip(text), "call", ALICE), text)

    def test_the_secret_must_be_one(self) -> None:
        for secret in (b"", b"short", b"x" * 33):
            self.assertRaises(ValueError, RecordRoutes, secret)


class AddressKeyTests(SynchronousTestCase):
    def test_what_counts(self) -> None:
        for same in (
            ("sip:b@10.0.1.2", "sip:b@10.0.1.2:5060", "sip:b@10.0.1.2;transport=tcp", "sip:%62@10.0.1.2"),
            ("sip:10.0.1.2", "sip:10.0.1.2:5060;lr"),
            ("sips:b@H.test", "sips:b@h.test:5061", "sip:b@h.test;transport=tls"),
            ("sip:[2001:db8::1]", "sip:[2001:db8::1]:5060"),
        ):
            self.assertEqual(len({address_key(parse_uri(one)) for one in same}), 1, same)
        different = ("sip:b@h", "sip:c@h", "sip:h", "sip:b@i", "sip:b@h:5061", "sip:B@h", "tel:+1", "tel:+2")
        self.assertEqual(len({address_key(parse_uri(one)) for one in different}), len(different))


class GoesByFlowTests(SynchronousTestCase):
    def test_table(self) -> None:
        udp, tcp, tls, ws, wss = flow(), flow("TCP"), flow("TLS"), flow("WS"), flow("WSS")
        table: list[tuple[str, FakeFlow, bool]] = [
            ("sip:b@10.0.1.2", udp, False),
            ("sip:b@10.0.1.2:7000", udp, False),
            ("sip:b@192.168.1.2", udp, True),
            ("sip:b@[2001:db8::7]", udp, True),
            ("sip:b@phone.example.test", udp, False),
            ("sip:b@10.0.1.2;maddr=10.0.1.2", udp, False),
            ("sip:b@10.0.1.2;maddr=192.0.2.9", udp, True),
            ("sip:b@phone.example.test;maddr=192.0.2.9", udp, True),
            ("sip:b@abc.invalid", udp, True),
            ("sip:b@abc.invalid;transport=ws", ws, True),
            ("sip:b@10.0.1.2;transport=ws", ws, True),
            ("sip:b@10.0.1.2;transport=ws", wss, True),
            ("sip:b@10.0.1.2;transport=tcp", wss, False),
            ("sips:b@10.0.1.2;transport=ws", wss, True),
            ("sips:b@abc.invalid;transport=ws", ws, False),
            ("sip:b@10.0.1.2;transport=tcp", tcp, True),
            ("sip:b@10.0.1.2;transport=TCP", tcp, True),
            ("sip:b@10.0.1.2", tcp, False),
            ("sip:b@10.0.1.2;transport=udp", tcp, False),
            ("sip:b@10.0.1.2;transport=tls", tls, True),
            ("sips:b@10.0.1.2", tls, True),
            ("sip:b@abc.invalid;transport=ws", tcp, True),
        ]
        for text, one, expected in table:
            self.assertEqual(goes_by_flow(sip(text), one), expected, text)  # type: ignore[arg-type]

    def test_every_contact_is_a_uri(self) -> None:
        self.assertIsInstance(parse_uri("sip:b@10.0.1.2"), SipURI)
