"""Calls that their callee has forwarded, and what they say of that (RFC 5806, RFC 7044)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from rvoip.protocols.sip.message import Request
from rvoip.proxy.diversion import Attempt, Step, say_diversions, say_history, wants_history
from rvoip.proxy.forwarding import Forwarding
from rvoip.proxy.interfaces import IForwarding
from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination, Targets
from rvoip.test.proxy.scene import Scene, sip
from rvoip.test.proxy.test_calls import BOB, Base
from rvoip.test.proxy.test_further import Says
from rvoip.testing.phone import answer_at_once, busy, reject_with, ring

CAROL = "sip:carol@example.test"


@implementer(IForwarding)
class Rules:
    """Forwardings by user; with `later` they come in a coroutine."""

    def __init__(self, later: bool = False, **rules: Forwarding) -> None:
        self.rules = {f"{user}@example.test": rule for user, rule in rules.items()}
        self.later = later

    def of(self, aor: str) -> Any:
        return self._later(aor) if self.later else self.rules.get(aor)

    async def _later(self, aor: str) -> Forwarding | None:
        return self.rules.get(aor)


class ForwardingTests(Base):
    def place(self, rule: Forwarding, *, settings: ProxySettings | None = None, **more: Any) -> Scene:
        scene = self.scene(settings)
        scene.phone("alice")
        scene.phone("carol")
        scene.proxy.forwarding = Rules(bob=rule, **more)
        return scene

    def reaches_carol(self, scene: Scene, reason: str) -> None:
        call = scene.phones["alice"].call(BOB)
        scene.result(call.established(within=40), within=40)
        (invite,) = scene.phones["carol"].received("INVITE")
        self.assertIn(f"<{BOB}>;reason={reason};counter=1", str(invite.get("diversion")))
        scene.result(call.bye())
        self.assertClean(scene)

    def test_always(self) -> None:
        for later in (False, True):
            scene = self.place(Forwarding(always=sip(CAROL)), later=later)
            bob = scene.phone("bob")
            self.reaches_carol(scene, "unconditional")
            self.assertEqual(bob.received("INVITE"), [])

    def test_busy(self) -> None:
        scene = self.place(Forwarding(busy=sip(CAROL)))
        scene.phone("bob", script=busy)
        self.reaches_carol(scene, "user-busy")

    def test_no_answer(self) -> None:
        scene = self.place(Forwarding(no_answer=sip(CAROL), after=15))
        bob = scene.phone("bob", script=ring)
        self.reaches_carol(scene, "no-answer")
        self.assertEqual(bob.calls[0].why, "cancelled")
        self.assertGreaterEqual(scene.phones["alice"].calls[0].responses[-1].status, 200)

    def test_unreachable(self) -> None:
        scene = self.place(Forwarding(unreachable=sip(CAROL)))
        scene.places.users.add("bob@example.test")
        self.reaches_carol(scene, "unavailable")

    def test_what_is_not_forwarded(self) -> None:
        for rule, script, ends in (
            (Forwarding(busy=sip(CAROL)), reject_with(603), "603 Decline"),
            (Forwarding(no_answer=sip(CAROL)), busy, "486 Busy Here"),
            (Forwarding(busy=sip("sip:nobody@example.test")), busy, "486 Busy Here"),
            (Forwarding(busy=sip(BOB)), busy, "486 Busy Here"),
        ):
            scene = self.place(rule)
            scene.phone("bob", script=script)
            self.assertEnds(scene, scene.phones["alice"].call(BOB), ends)
            self.assertEqual(scene.phones["carol"].received("INVITE"), [])
            self.assertClean(scene)

    def test_messages_stay(self) -> None:
        scene = self.place(Forwarding(always=sip(CAROL)))
        bob = scene.phone("bob")
        alice = scene.phones["alice"]
        scene.result(alice.request("MESSAGE", BOB, body=b"hi", content_type="text/plain"))
        self.assertEqual(len(bob.received("MESSAGE")), 1)

    def test_one_after_the_other(self) -> None:
        """bob to carol, who is busy, to dave: two Diversions, the last on top, and a history."""
        scene = self.scene()
        alice, dave = scene.peer("alice"), scene.peer("dave")
        scene.phone("carol", script=busy)
        scene.places.bind("dave", f"sip:dave@{dave.address}")
        scene.proxy.forwarding = Rules(
            bob=Forwarding(always=sip(CAROL)), carol=Forwarding(busy=sip("sip:dave@example.test"))
        )
        alice.send(alice.request())
        invite = dave.one()
        self.assertEqual(
            [value.split(";counter")[0] for value in invite.get_all("diversion")],
            [f"<{CAROL}>;reason=user-busy", f"<{BOB}>;reason=unconditional"],
        )
        history = invite.get_all("history-info")
        self.assertEqual(
            [value.split("index=")[1] for value in history],
            ["1", "1.1;mp=1", "1.1.1;rc=1.1", "1.1.2;mp=1.1", "1.1.2.1;rc=1.1.2"],
        )

    def test_loops_end(self) -> None:
        scene = self.scene()
        alice = scene.phone("alice")
        scene.proxy.forwarding = Rules(bob=Forwarding(always=sip(CAROL)), carol=Forwarding(always=sip(BOB)))
        scene.phone("bob", script=answer_at_once)
        scene.phone("carol", script=busy)
        self.assertEnds(scene, alice.call(BOB), "486 Busy Here")

    def test_no_more_than_five(self) -> None:
        scene = self.place(Forwarding(always=sip(CAROL)))
        scene.phone("bob", script=busy)
        alice = scene.peer("stranger")
        alice.send(alice.request(extra="Diversion: <sip:x@y>;reason=unknown\r\n" * 5))
        self.assertEqual(alice.starts(), ["486 INVITE"])

    def test_to_a_foreign_number_for_a_stranger(self) -> None:
        """The user who forwards answers for it; where nobody has an account nothing leaves."""
        for authenticate, leaves in ((None, True), (True, True), (False, False)):
            scene = self.scene(ProxySettings(authenticate=authenticate))
            alice, gateway = scene.peer("alice"), scene.peer("gateway")
            rule = Forwarding(always=sip(f"sip:+49@{gateway.address}"))
            scene.proxy.forwarding = Rules(bob=rule)
            scene.places.users.add("bob@example.test")
            if authenticate:
                scene.proxy.members = lambda flow: True
            alice.send(alice.request())
            self.assertEqual(len(gateway.take()), int(leaves))

    def test_through_a_route_that_is_for_members(self) -> None:
        scene = self.scene()
        alice, gateway = scene.peer("alice"), scene.peer("gateway")

        def routes(request: Request, context: Any) -> Targets | None:
            if not request.uri_text.startswith("sip:+49"):
                return None
            hop = sip(f"sip:{gateway.address}")
            return Targets([[Destination(sip("sip:+49@gw"), next_hop=hop)]], members_only=True)

        router = Says(routes)
        scene.proxy.routers = (router,)
        scene.proxy.forwarding = Rules(bob=Forwarding(always=sip("sip:+49@example.test")))
        alice.send(alice.request())
        self.assertEqual(
            gateway.one().get("diversion"), f"<{BOB}>;reason=unconditional;counter=1;screen=no;privacy=off"
        )
        self.assertEqual(router.asked[-1], ("sip:+49@example.test", "bob@example.test"))

    def test_an_alias_of_a_user_who_forwards(self) -> None:
        scene = self.place(Forwarding(always=sip(CAROL)))
        scene.proxy.routers = (
            Says(lambda request, context: context.default(sip(BOB)) if "4711" in request.uri_text else None),
        )
        call = scene.phones["alice"].call("sip:4711@example.test")
        scene.result(call.established())
        self.assertEqual(len(scene.phones["carol"].received("INVITE")), 1)

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IForwarding, Rules()))


class HistoryTests(SynchronousTestCase):
    def request(self, *headers: tuple[str, str]) -> Request:
        made = Request("INVITE", BOB, [], [])
        for name, value in headers:
            made.add(name, value)
        return made

    def test_who_wants_it(self) -> None:
        self.assertFalse(wants_history(self.request(("supported", "path, 100rel"))))
        self.assertTrue(wants_history(self.request(("supported", "path, HistInfo"))))
        self.assertTrue(wants_history(self.request(("history-info", "<sip:a@b>;index=1"))))

    def test_entries(self) -> None:
        step = Step(sip(BOB), sip(CAROL), "user-busy")
        table: list[tuple[list[str], tuple[Step, ...], str, int, list[str]]] = [
            ([], (), BOB, 0, [f"<{BOB}>;index=1"]),
            ([], (), "sip:bob@1.2.3.4", 1, [f"<{BOB}>;index=1", "<sip:bob@1.2.3.4>;index=1.2;rc=1"]),
            (
                ["<sip:a@b?x=y>;index=1, <sip:c@d>;index=1.1;rc=1"],
                (),
                "sip:bob@1.2.3.4?x=y",
                0,
                ["<sip:a@b?x=y>;index=1", "<sip:c@d>;index=1.1;rc=1", "<sip:bob@1.2.3.4>;index=1.1.1;rc=1.1"],
            ),
            (["<sip:a@b>;index=1"], (), BOB, 0, ["<sip:a@b>;index=1", f"<{BOB}>;index=1.1;np=1"]),
            (["<sip:a@b>;index=x"], (), "sip:b@c", 0, ["<sip:a@b>;index=x", "<sip:b@c>;index=1.1;rc=1"]),
            (
                [],
                (step,),
                "sip:carol@1.2.3.4",
                1,
                [
                    f"<{BOB}?Reason=SIP%3Bcause%3D486>;index=1",
                    f"<{CAROL};cause=486>;index=1.2;mp=1",
                    "<sip:carol@1.2.3.4>;index=1.2.1;rc=1.2",
                ],
            ),
        ]
        for before, trail, after, branch, expected in table:
            made = self.request(*[("history-info", value) for value in before])
            say_history(made, BOB, trail, after, branch)
            self.assertEqual(made.get_all("history-info"), expected)

    def test_history_of_what_was_tried_before(self) -> None:
        """RFC 7044 section 10.1: whoever is tried next reads who was, and how that ended."""
        dave = "sip:dave@example.test"
        no_answer = Step(sip(BOB), sip(CAROL), "no-answer")
        her_line_is_busy = Step(sip(CAROL), sip(dave), "user-busy")
        phone, other, hers = (f"sip:x@192.0.2.{number}" for number in (1, 2, 3))
        table: list[tuple[list[Attempt], tuple[Step, ...], str, int, list[str]]] = [
            (
                [Attempt((), phone, 0, 486)],
                (),
                other,
                1,
                [
                    f"<{BOB}>;index=1",
                    f"<{phone}?Reason=SIP%3Bcause%3D486>;index=1.1;rc=1",
                    f"<{other}>;index=1.2;rc=1",
                ],
            ),
            (
                [Attempt((), phone, 0, 408), Attempt((no_answer,), hers, 1, 486)],
                (no_answer, her_line_is_busy),
                dave,
                2,
                [
                    f"<{BOB}?Reason=SIP%3Bcause%3D408>;index=1",
                    f"<{phone}?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1",
                    f"<{CAROL};cause=408?Reason=SIP%3Bcause%3D486>;index=1.2;mp=1",
                    f"<{hers}?Reason=SIP%3Bcause%3D486>;index=1.2.1;rc=1.2",
                    f"<{dave};cause=486>;index=1.2.2;mp=1.2",
                ],
            ),
        ]
        for failed, trail, after, branch, expected in table:
            made = self.request()
            say_history(made, BOB, trail, after, branch, failed)
            self.assertEqual(made.get_all("history-info"), expected)

    def test_diversions(self) -> None:
        made = self.request(("diversion", "<sip:old@x>;reason=unknown"))
        say_diversions(
            made, (Step(sip(BOB), sip(CAROL), "no-answer"), Step(sip(CAROL), sip("sip:d@x"), "deflection"))
        )
        self.assertEqual(
            [value.split(";")[0] for value in made.get_all("diversion")],
            [f"<{CAROL}>", f"<{BOB}>", "<sip:old@x>"],
        )

    def test_causes(self) -> None:
        for reason, cause in (("unconditional", 302), ("user-busy", 486), ("no-answer", 408), ("else", 404)):
            self.assertEqual(Step(sip(BOB), sip(CAROL), reason).cause, cause)
