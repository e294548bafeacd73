"""What does not pass, and what it is answered (RFC 3261 section 16.3, security of relays)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed

from rvoip.protocols.sip.message import Request, Response
from rvoip.proxy.proxy import Proxy, ProxySettings
from rvoip.proxy.targets import Refused, Targets
from rvoip.test.proxy.scene import PROXY, Peer, Scene
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.testing.phone import ring

FOREIGN = "sip:victim@10.0.2.9"


class RefusalBase(Base):
    def refused(self, scene: Scene, alice: Peer, text: str, status: int) -> Any:
        """The one answer, which leaves no state; its ACK is absorbed."""
        before = scene.proxy.forwarded
        alice.send(text)
        answer = alice.one()
        self.assertEqual(answer.status, status, text)
        self.assertIsNotNone(answer.to.tag)
        self.assertEqual(scene.leftovers(), [])
        self.assertEqual(scene.proxy.forwarded, before)
        if answer.cseq.method == "INVITE":
            branch, call_id = str(answer.via.branch), answer.call_id
            alice.send(alice.request("ACK", branch=branch, call_id=call_id, to_tag=str(answer.to.tag)))
            self.assertEqual((alice.take(), scene.leftovers()), ([], []))
        return answer


class FormTests(RefusalBase):
    def setUp(self) -> None:
        self.scene_ = self.scene()
        self.alice = self.scene_.peer("alice")
        self.bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{self.bob.address}")

    def check(self, status: int, method: str = "INVITE", **more: Any) -> Any:
        answer = self.refused(self.scene_, self.alice, self.alice.request(method, **more), status)
        self.assertEqual(self.bob.take(), [])
        return answer

    def test_max_forwards_0(self) -> None:
        for method in ("INVITE", "OPTIONS", "BYE", "MESSAGE"):
            for value in ("0", "00"):
                self.check(483, method, forwards=value)

    def test_max_forwards_1_arrives_with_0(self) -> None:
        self.alice.send(self.alice.request(forwards="1"))
        self.assertEqual(self.bob.one().get("max-forwards"), "0")

    def test_proxy_require(self) -> None:
        answer = self.check(420, extra="Proxy-Require: foo, path\r\nProxy-Require: BAR\r\n")
        self.assertEqual(answer.get("unsupported"), "foo, BAR")

    def test_require_is_nothing_to_a_proxy(self) -> None:
        self.alice.send(self.alice.request(extra="Require: foo\r\n"))
        self.assertEqual(self.bob.one().get("require"), "foo")

    def test_other_schemes(self) -> None:
        for uri in ("tel:+15551234", "http://example.test/", "urn:service:sos", "mailto:bob@example.test"):
            self.check(416, uri=uri, to=BOB)

    def test_a_malformed_uri(self) -> None:
        for uri in ("sip:", "sip:bob@", "sip:bob@exa mple", "sip:bob@[::1", "sip:b%zz@example.test"):
            self.alice.send(self.alice.request(uri=uri, to=BOB))
            self.assertIn(self.alice.one().status, (400, 416))
        self.assertEqual((self.bob.take(), self.scene_.leftovers()), ([], []))

    def test_unknown_methods_pass(self) -> None:
        self.alice.send(self.alice.request("NEWMETHOD"))
        self.assertEqual(self.bob.starts(), ["NEWMETHOD"])

    def test_malformed_routes(self) -> None:
        for value in ("<sip:a", '"', "<>", ",", "<tel:+1>", "x y", "<sip:a>,,<sip:b>"):
            self.alice.send(self.alice.request(extra=f"Route: {value}\r\n"))
            answer = self.alice.one()
            self.assertTrue(400 <= answer.status < 500, (value, answer.status))
        self.assertEqual((self.bob.take(), self.scene_.proxy.forwarded), ([], 0))

    def test_an_empty_route_is_none(self) -> None:
        for extra in ("Route:\r\n", "Route: \r\nRoute: \t\r\n"):
            self.alice.send(self.alice.request(extra=extra))
            self.assertFalse(self.bob.one().has("route"))


class ForeignTests(RefusalBase):
    """The three settings of `authenticate`, for requests to foreign domains and to our users."""

    def start(self, authenticate: bool | None) -> None:
        self.scene_ = self.scene(ProxySettings(authenticate=authenticate))
        self.alice = self.scene_.peer("alice")
        self.bob = self.scene_.peer("bob")
        self.victim = self.scene_.peer("victim")
        self.foreign = f"sip:victim@{self.victim.address}"
        self.scene_.places.bind("bob", f"sip:bob@{self.bob.address}")

    def test_unset_foreign_needs_credentials_and_own_does_not(self) -> None:
        self.start(None)
        for method in ("INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE", "BYE", "REGISTER", "NEW"):
            if method == "REGISTER":
                continue
            answer = self.refused(self.scene_, self.alice, self.alice.request(method, self.foreign), 407)
            self.assertEqual(len(answer.get_all("proxy-authenticate")), 3)
        self.assertEqual(self.victim.take(), [])
        self.alice.send(self.alice.request())
        self.assertEqual(self.bob.starts(), ["INVITE"])

    def test_true_asks_everyone(self) -> None:
        self.start(True)
        self.refused(self.scene_, self.alice, self.alice.request(), 407)
        self.refused(self.scene_, self.alice, self.alice.request(uri=self.foreign), 407)
        self.assertEqual((self.bob.take(), self.victim.take()), ([], []))

    def test_false_relays_nothing(self) -> None:
        self.start(False)
        answer = self.refused(self.scene_, self.alice, self.alice.request(uri=self.foreign), 403)
        self.assertEqual(answer.reason, "No relay for foreign domains")
        made_up = 'Proxy-Authorization: Digest username="a", realm="b", nonce="c", uri="d", response="e"\r\n'
        self.refused(self.scene_, self.alice, self.alice.request(uri=self.foreign, extra=made_up), 403)
        self.assertEqual(self.victim.take(), [])
        self.alice.send(self.alice.request())
        self.assertEqual(self.bob.starts(), ["INVITE"])

    def test_with_credentials_it_passes_and_they_stay_here(self) -> None:
        for authenticate in (None, True):
            self.start(authenticate)
            phone = self.scene_.phone("carol", register=False)
            call = phone.call(self.foreign)
            self.scene_.advance(0.01)
            invite = self.victim.one()
            self.assertFalse(invite.has("proxy-authorization"))
            self.victim.send(self.victim.answer(invite, 486))
            self.assertEnds(self.scene_, call, "486 Answered")
            self.assertClean(self.scene_)

    def test_nobody_calls_as_somebody_else(self) -> None:
        """Row 15: user A with From B is 403."""
        self.start(True)
        phone = self.scene_.phone("carol", register=False)
        phone.aor = "alice@example.test"
        call = phone.call(BOB)
        self.assertEnds(self.scene_, call, "403 From does not belong to these credentials")
        self.assertEqual(self.bob.take(), [])
        self.assertClean(self.scene_)

    def test_a_refusal_comes_again_where_credentials_were_shown(self) -> None:
        """Their nonce count is used: a request that comes again is answered, and not looked at once more."""
        self.start(True)
        for delay in (None, 0.3):
            self.scene_.places.delay = delay
            for method, uri, forge, status in (
                ("INVITE", "sip:nobody@example.test", "", 404),
                ("MESSAGE", "sip:nobody@example.test", "", 404),
                ("INVITE", BOB, "alice", 403),
                ("MESSAGE", BOB, "alice", 403),
                ("MESSAGE", "sips:bob@example.test", "", 480),
            ):
                carol = self.scene_.phone("carol", register=False, device=f"{delay}{method}{uri}{status}")
                if forge:
                    carol.aor = f"{forge}@example.test"
                if method == "INVITE":
                    self.scene_.result(carol.call(uri).ended())
                else:
                    self.scene_.result(carol.request(method, uri))
                sent = carol.sent(method)[-1]
                for _ in range(2):
                    carol.send_raw(sent.to_bytes())
                    self.scene_.advance(1.0)
                answers = [
                    one.status
                    for one in (each.message for each in carol.messages if not each.sent)
                    if isinstance(one, Response) and one.status > 100 and one.via.branch == sent.via.branch
                ]
                # Of an INVITE that is acknowledged the repetition is dropped.
                self.assertEqual(answers, [status] * (1 if method == "INVITE" else 3), (method, uri))
        self.assertEqual(self.bob.take(), [])
        self.assertClean(self.scene_)

    def test_own_addresses_are_own(self) -> None:
        self.start(None)
        for uri in (
            f"sip:bob@{PROXY}",
            f"sip:bob@{PROXY}:5060",
            "sip:bob@example.test:9999",
            "sip:bob@EXAMPLE.test",
        ):
            self.alice.send(self.alice.request(uri=uri))
            self.assertEqual(self.bob.starts(), ["INVITE"], uri)
        self.scene_.advance(70)
        self.alice.take()
        for uri in (f"sip:bob@{PROXY}:5070", "sip:bob@sub.example.test", "sip:bob@example.test.evil"):
            self.refused(self.scene_, self.alice, self.alice.request(uri=uri), 407)

    def test_a_preloaded_route_leads_elsewhere_whatever_the_uri(self) -> None:
        self.start(None)
        text = self.alice.request(extra=f"Route: <sip:{self.victim.address};lr>\r\n")
        self.refused(self.scene_, self.alice, text, 407)
        text = self.alice.request(extra=f"Route: <sip:{PROXY};lr>, <sip:{self.victim.address};lr>\r\n")
        self.refused(self.scene_, self.alice, text, 407)
        self.assertEqual(self.victim.take(), [])

    def test_a_route_that_names_us_is_taken_off(self) -> None:
        self.start(None)
        for route in (f"<sip:{PROXY};lr>", f"<sip:{PROXY}:5060;transport=tcp;lr>", "<sip:example.test;lr>"):
            self.alice.send(self.alice.request(extra=f"Route: {route}\r\n"))
            invite = self.bob.one()
            self.assertFalse(invite.has("route"), route)

    def test_a_route_to_a_user_of_ours_is_no_address_of_ours(self) -> None:
        self.start(None)
        text = self.alice.request(uri=self.foreign, extra="Route: <sip:bob@example.test;lr>\r\n")
        self.refused(self.scene_, self.alice, text, 407)


class ForgedDialogTests(RefusalBase):
    """A To tag and a Route that names us make no dialog: that takes what only we can have written."""

    def setUp(self) -> None:
        self.scene_ = self.scene()
        self.alice = self.scene_.peer("alice")
        self.bob = self.scene_.peer("bob")
        self.victim = self.scene_.peer("victim")
        self.foreign = f"sip:victim@{self.victim.address}"
        self.scene_.places.bind("bob", f"sip:bob@{self.bob.address}")

    def recorded(self, call_id: str) -> str:
        """The Record-Route value of a real call."""
        self.alice.send(self.alice.request(call_id=call_id))
        value = self.bob.one().get("record-route")
        self.alice.take()
        return str(value)

    def test_forged(self) -> None:
        real = self.recorded("real")
        self.scene_.advance(300)  # nobody answered: the call is over
        self.bob.take()
        self.alice.take()
        for method in ("INVITE", "BYE", "MESSAGE", "OPTIONS", "REFER"):
            for route in (
                f"<sip:{PROXY};lr>",
                f"<sip:{PROXY};lr;d=0123456789abcdef>",
                f"<sip:{PROXY};lr;d=>",
                "<sip:example.test;lr>",
                real,
            ):
                text = self.alice.request(
                    method, self.foreign, to_tag="x", call_id="another", extra=f"Route: {route}\r\n"
                )
                self.refused(self.scene_, self.alice, text, 407)
        self.assertEqual(self.victim.take(), [])

    def test_a_real_value_without_a_to_tag(self) -> None:
        real = self.recorded("real")
        self.scene_.advance(300)
        self.bob.take()
        self.alice.take()
        text = self.alice.request("MESSAGE", self.foreign, call_id="real", extra=f"Route: {real}\r\n")
        self.refused(self.scene_, self.alice, text, 407)
        self.assertEqual(self.victim.take(), [])

    def test_no_ack_leaves_without_a_dialog(self) -> None:
        for route in ("", f"Route: <sip:{PROXY};lr>\r\n", f"Route: <sip:{self.victim.address};lr>\r\n"):
            for tag in ("", "x"):
                self.alice.send(self.alice.request("ACK", self.foreign, to_tag=tag, extra=route))
                self.alice.send(self.alice.request("ACK", to_tag=tag, extra=route))
        self.assertEqual((self.victim.take(), self.bob.take(), self.alice.take()), ([], [], []))
        self.assertEqual(self.scene_.leftovers(), [])

    def test_no_response_leaves_without_a_request(self) -> None:
        """RFC 6026 section 8.9: what matches nothing is dropped."""
        via = f"SIP/2.0/UDP {PROXY}:5060;branch=z9hG4bKx, SIP/2.0/UDP {self.victim.address};branch=z9hG4bKy"
        self.alice.send(
            f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
            "Call-ID: 1\r\nCSeq: 1 INVITE\r\n\r\n"
        )
        self.assertEqual(self.victim.take(), [])
        self.assertEqual(self.scene_.layer.unmatched, 1)

    def test_no_cancel_leaves_without_an_invite(self) -> None:
        self.alice.send(self.alice.request("CANCEL", self.foreign))
        self.assertEqual((self.alice.starts(), self.victim.take()), (["481 CANCEL"], []))


class DecisionTests(RefusalBase):
    """Subclasses decide."""

    def test_route_and_authorize_may_refuse(self) -> None:
        class Strict(Proxy):
            def route(self, request: Request) -> Any:
                if request.has("x-late"):
                    return self.later(request)
                if request.has("x-stateful"):
                    raise Refused(603, "Not Today", [("X-Why", "policy")])
                return super().route(request)

            async def later(self, request: Request) -> Targets:
                await succeed(None)
                raise Refused(606)

            def authorize(self, request: Request, user: str | None, own: bool) -> None:
                if request.has("x-no"):
                    raise Refused(403, stateless=True)
                super().authorize(request, user, own)

        scene = self.scene(proxy_class=Strict)
        alice, bob = scene.peer("alice"), scene.phone("bob", script=ring)
        scene.advance(45)
        self.refused(scene, alice, alice.request(extra="X-No: 1\r\n"), 403)
        alice.send(alice.request("MESSAGE", extra="X-Late: 1\r\n"))
        self.assertEqual(alice.one().status, 606)
        alice.send(alice.request(branch="z9hG4bKs", extra="X-Stateful: 1\r\n"))
        answer = alice.one()
        self.assertEqual((answer.status, answer.reason, answer.get("x-why")), (603, "Not Today", "policy"))
        scene.advance(0.6)
        self.assertEqual(alice.starts(), ["603 INVITE"])
        self.assertEqual(bob.received("INVITE"), [])
        self.assertClean(scene)

    def test_a_router_that_fails_is_500(self) -> None:
        class Broken(Proxy):
            def route(self, request: Request) -> Any:
                return self.later() if request.method == "INVITE" else 1 / 0

            async def later(self) -> Targets:
                raise ValueError("no")

        scene = self.scene(proxy_class=Broken)
        alice = scene.peer("alice")
        for method in ("INVITE", "MESSAGE"):
            alice.send(alice.request(method))
            self.assertEqual(alice.starts(), [f"500 {method}"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, ZeroDivisionError)), 2)
        self.assertClean(scene)

    def test_a_preparation_that_fails_is_500(self) -> None:
        async def broken(uri: Any) -> Any:
            raise ValueError("no")

        scene = self.scene()
        scene.locator.delay = 1.0
        self.patch(scene.locator, "locate", broken)
        scene.places.bind("bob", "sip:bob@phone.test")
        alice = scene.peer("alice")
        alice.send(alice.request())
        self.assertEqual(alice.starts(), ["500 INVITE"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertClean(scene)

    def test_no_target_is_404(self) -> None:
        class Nowhere(Proxy):
            def route(self, request: Request) -> Any:
                return Targets(())

        scene = self.scene(proxy_class=Nowhere)
        alice = scene.peer("alice")
        self.refused(scene, alice, alice.request(), 404)
