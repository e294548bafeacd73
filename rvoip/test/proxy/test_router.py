"""The router of the configuration, in a proxy on a simulated network."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed

from rvoip.protocols.transport.dns_records import NAPTR, Answer, Outcome, Question
from rvoip.proxy.aliases import Aliases, read_aliases
from rvoip.proxy.enum_lookup import MOST_LOOKUPS, EnumLookup
from rvoip.proxy.gateways import Gateway, Gateways, GatewaySet, SetRules
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern
from rvoip.proxy.peers import Peers
from rvoip.proxy.rewrite import Rewrite, TargetURI
from rvoip.proxy.router import Router, RoutingRules
from rvoip.proxy.routes import Route, RouteTable
from rvoip.test.proxy.scene import Peer, Scene, sip
from rvoip.test.proxy.test_calls import Base

PLAN = NumberPlan("49", "00", "0", "+4930")


def route(to: str = "", set_name: str = "", regex: str = "", **options: Any) -> Route:
    pattern = Pattern(regex) if regex else None
    rewrite = Rewrite(
        PLAN, options.pop("form", ""), pattern, options.pop("replace", ""), options.pop("strip", 0)
    )
    target = TargetURI(to, pattern.groups if pattern else 0) if to else None
    return Route(rewrite, regex=pattern, to=target, set_name=set_name, **options)


class Naptrs:
    """DNS: the records of names; of those that are not here it never hears."""

    def __init__(self, **records: list[NAPTR]) -> None:
        self.records = records
        self.asked: list[Question] = []
        self.silent = False
        self.in_flight = 0

    def ask(self, question: Question) -> Deferred[Answer]:
        self.asked.append(question)
        if self.silent:
            return Deferred()
        found = self.records.get(question.name.partition(".")[0])
        if found is None:
            return succeed(Answer(Outcome.NONE))
        return succeed(Answer(Outcome.FOUND, tuple(found)))


class RouterBase(Base):
    def make(
        self,
        *routes: Route,
        aliases: str = "",
        sets: tuple[GatewaySet, ...] = (),
        dns: Naptrs | None = None,
        known: bool = True,
    ) -> Scene:
        """A scene whose proxy goes by these rules; `known`: whoever sends may call out."""
        scene = Scene()
        enum = EnumLookup(dns, ("e164.test",), scene.reactor) if dns is not None else None  # type: ignore[arg-type]
        self.gateways = Gateways(scene.reactor.seconds, Random(1).random)
        self.gateways.replace(sets)
        rules = RoutingRules(RouteTable(routes, PLAN), Aliases(read_aliases(aliases), PLAN), PLAN, enum)
        self.router = Router(rules, self.gateways, Peers())
        scene.proxy.routers = (self.router,)
        self.proxy = scene.proxy
        scene.proxy.members = lambda flow: known
        self.alice = scene.peer("alice")
        self.gw = scene.peer("gw")
        self.gw2 = scene.peer("gw2")
        return scene

    def made_known(self) -> None:
        """From now on senders may call out."""
        self.proxy.members = lambda flow: True

    def call(self, uri: str, method: str = "INVITE", **more: Any) -> None:
        self.alice.send(self.alice.request(method, uri, from_="sip:alice@elsewhere.test", **more))

    def refused(self) -> int:
        """The status that alice gets, whose ACK goes back, without a 100 before it."""
        *_, final = self.alice.take()
        return int(final.status)

    def arrived(self, where: Peer) -> str:
        """The Request-URI of what arrived there."""
        return str(where.one().uri_text)

    def group(self, *peers: Peer | str, **rules: Any) -> GatewaySet:
        hosts = [one if isinstance(one, str) else one.address for one in peers]
        return GatewaySet("s", SetRules(**rules), [Gateway("s", host, sip(f"sip:{host}")) for host in hosts])


class RoutesTests(RouterBase):
    def test_to_a_uri(self) -> None:
        self.make(route("sip:10.0.2.2;transport=udp", prefix="+49", form="e164"))
        self.call("sip:030-1234567@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:+49301234567@10.0.2.2;transport=udp")

    def test_what_is_dialled_is_data(self) -> None:
        """What goes to a gateway becomes part of a dial string there."""
        self.make(route("sip:10.0.2.2", prefix="3"), route("sip:10.0.2.3", domain="other.test"))
        for user, sent in (
            ("300", "300"),
            ("300*21#", "300*21%23"),
            ("%33%30%30", "300"),
            ("3(030)12-34", "30301234"),
            ("300;isub=12;phone-context=example.test", "300;isub=12;phone-context=example.test"),
            ("300x-ray_1.A", "300x-ray_1.A"),
        ):
            self.call(f"sip:{user}@example.test")
            self.assertEqual(self.arrived(self.gw), f"sip:{sent}@10.0.2.2")
        for user in (
            "300&Zap/1",
            "300%0d%0aX:1",
            "3%40evil.test",
            "3'--",
            "3%00",
            "300;isub=1&x",
            "3,0",
            "3$(x)",
            "3%c3%a9",
        ):
            self.call(f"sip:{user}@example.test")
            self.assertEqual(self.refused(), 484, user)
        self.call("sip:o'neill&son@other.test")
        self.assertEqual(self.arrived(self.gw2), "sip:o'neill&son@10.0.2.3")

    def test_a_user_comes_first(self) -> None:
        scene = self.make(route("sip:10.0.2.2", prefix="1"))
        scene.places.bind("110", f"sip:110@{self.gw2.address}")
        self.call("sip:110@example.test")
        self.assertEqual(self.arrived(self.gw2), f"sip:110@{self.gw2.address}")
        scene.places.bind("110")
        self.call("sip:110@example.test")
        self.assertEqual(self.refused(), 480, "also one who is not there")
        self.call("sip:112@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:112@10.0.2.2")

    def test_a_slow_store(self) -> None:
        scene = self.make(route("sip:10.0.2.2", prefix="1"))
        scene.places.delay = 0.1
        scene.places.bind("110", f"sip:110@{self.gw2.address}")
        self.call("sip:110@example.test")
        self.call("sip:112@example.test", branch="z9hG4bKx")
        scene.advance(0.4)
        self.assertEqual(self.arrived(self.gw2), f"sip:110@{self.gw2.address}")
        self.assertEqual(self.arrived(self.gw), "sip:112@10.0.2.2")

    def test_regex(self) -> None:
        self.make(route(r"sip:\2@10.0.2.2;line=\1", regex=r"^9(\d)(\d+)$"))
        self.call("sip:9123@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:23@10.0.2.2;line=1")

    def test_did_to_a_user(self) -> None:
        """A number from outside becomes the extension, which is one of our users; strangers may call it."""
        scene = self.make(route(r"sip:u\1@example.test", regex=r"^\+493012345(\d\d)$"), known=False)
        scene.places.bind("u17", f"sip:u17@{self.gw.address}")
        self.call("sip:+49301234517@example.test")
        self.assertEqual(self.arrived(self.gw), f"sip:u17@{self.gw.address}")
        self.call("sip:+49301234518@example.test", branch="z9hG4bKy")
        self.assertEqual(self.refused(), 480)

    def test_domain(self) -> None:
        self.make(route("sip:10.0.2.2", domain="other.test"))
        self.call("sip:x@other.test")
        self.assertEqual(self.arrived(self.gw), "sip:x@10.0.2.2")

    def test_a_foreign_domain(self) -> None:
        self.make(route("sip:10.0.2.2", domain="other.test"), known=False)
        self.call("sip:x@other.test")
        self.assertEqual(self.refused(), 407)

    def test_a_public_domain(self) -> None:
        self.make(route("sip:10.0.2.2", domain="other.test", public=True), known=False)
        self.call("sip:x@other.test")
        self.assertEqual(self.arrived(self.gw), "sip:x@10.0.2.2")

    def test_a_telephone_number(self) -> None:
        self.make(route("sip:10.0.2.2", prefix="+49", form="e164"))
        self.call("tel:+49-30-1234567")
        self.assertEqual(self.arrived(self.gw), "sip:+49301234567@10.0.2.2")
        self.call("tel:+1-30-1234567")
        self.assertEqual(self.refused(), 416)

    def test_strangers_are_asked_who_they_are(self) -> None:
        self.make(route("sip:10.0.2.2", prefix="0"), known=False)
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.refused(), 407)
        self.assertEqual(self.gw.take(), [])

    def test_a_public_route(self) -> None:
        self.make(route("sip:10.0.2.2", prefix="0", public=True), known=False)
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:0301234567@10.0.2.2")

    def test_headers(self) -> None:
        self.make(route("sip:10.0.2.2", prefix="0", headers=[("X-Trunk", "a")]))
        self.call("sip:030@example.test", extra="X-Trunk: mine\r\n")
        self.assertEqual(self.gw.one().get_all("x-trunk"), ["a"])

    def test_no_route(self) -> None:
        self.make(route("sip:10.0.2.2", prefix="0"))
        self.call("sip:nobody@example.test")
        self.assertEqual(self.refused(), 404)

    def test_a_route_back_to_itself(self) -> None:
        self.make(route("sip:example.test", prefix="0"))
        self.call("sip:030@example.test")
        self.assertEqual(self.refused(), 482)

    def test_what_a_rule_cannot_write(self) -> None:
        self.make(route(r"sip:\1@10.0.2.2", regex="^9(.*)$"))
        self.call("sip:9@example.test")
        self.assertEqual(self.refused(), 484)


class SetTests(RouterBase):
    def test_failover(self) -> None:
        scene = self.make(route(set_name="s", prefix="0"))
        self.gateways.replace([self.group(self.gw, self.gw2, algorithm="hash_to")])
        self.call("sip:030@example.test")
        first, second = (self.gw, self.gw2) if self.gw.inbox else (self.gw2, self.gw)
        first.send(first.answer(first.one(), 503))
        self.assertEqual(first.starts(), ["ACK"])
        invite = second.one()
        self.assertEqual(invite.uri_text, f"sip:030@{second.address}")
        second.send(second.answer(invite, 200))
        self.assertEqual(self.alice.starts()[-1], "200 INVITE")
        self.assertEqual([one["calls"] for one in self.gateways.gateways() if one["calls"]], [1])
        scene.advance(40)

    def test_a_busy_callee_is_busy_everywhere(self) -> None:
        self.make(route(set_name="s", prefix="0"))
        self.gateways.replace([self.group(self.gw, self.gw2)])
        self.call("sip:030@example.test")
        self.gw.send(self.gw.answer(self.gw.one(), 486))
        self.assertEqual(self.refused(), 486)
        self.assertEqual(self.gw2.take(), [])

    def test_a_dead_gateway(self) -> None:
        """Nothing comes back: the next one has the call soon, and after two such calls at once."""
        scene = self.make(route(set_name="s", prefix="0"))
        self.gateways.replace(
            [self.group("10.0.9.9", self.gw, fail_after=2, patience=2.0, algorithm="priority")]
        )
        next(iter(self.gateways)).priority = 9
        for number in range(2):
            self.call("sip:030@example.test", call_id=f"c{number}")
            self.assertEqual(self.gw.inbox, [])
            scene.advance(2.1)
            self.gw.send(self.gw.answer(self.gw.one(), 200))
            self.assertEqual(self.alice.starts()[-1], "200 INVITE")
            self.gw.take()
        self.call("sip:030@example.test", call_id="c2")
        self.assertEqual(self.gw.starts(), ["INVITE"])
        states = {one["id"]: one["state"] for one in self.gateways.gateways()}
        self.assertEqual(states, {"s:10.0.9.9": "inactive", f"s:{self.gw.address}": "active"})

    def test_strangers_take_no_room(self) -> None:
        """Calls that never began count for no gateway."""
        self.make(route(set_name="s", prefix="0"), known=False)
        group = self.group(self.gw)
        group.gateways[0].limit = 1
        self.gateways.replace([group])
        for number in range(5):
            self.call("sip:030@example.test", call_id=f"c{number}")
            self.assertEqual(self.refused(), 407)
        self.made_known()
        self.call("sip:030@example.test", call_id="mine")
        self.assertEqual(self.gw.starts(), ["INVITE"])
        self.call("sip:030@example.test", call_id="one too many")
        self.assertEqual(self.refused(), 503)

    def test_parallel(self) -> None:
        self.make(route(set_name="s", prefix="0"))
        self.gateways.replace([self.group(self.gw, self.gw2, algorithm="parallel")])
        self.call("sip:030@example.test")
        self.assertEqual(self.gw.starts() + self.gw2.starts(), ["INVITE", "INVITE"])

    def test_the_cheaper_route_first(self) -> None:
        scene = self.make(
            route("sip:10.0.2.2", prefix="0", cost=0.1), route("sip:10.0.2.3", prefix="0", cost=0.2)
        )
        self.call("sip:030@example.test")
        self.gw.send(self.gw.answer(self.gw.one(), 500))
        self.assertEqual(self.arrived(self.gw2), "sip:030@10.0.2.3")
        scene.advance(1)

    def test_a_gateway_behind_which_nobody_answers(self) -> None:
        """It rang: the gateway is well."""
        scene = self.make(route(set_name="s", prefix="0"))
        self.gateways.replace([self.group(self.gw, self.gw2, fail_after=1, ring=5.0)])
        self.call("sip:030@example.test")
        self.gw.send(self.gw.answer(self.gw.one(), 180))
        scene.advance(5.1)
        self.assertEqual(self.gw2.starts()[0], "INVITE")
        self.assertEqual({one["state"] for one in self.gateways.gateways()}, {"active"})

    def test_a_set_that_is_taken_away_meanwhile(self) -> None:
        """SIGHUP removes the second set while the call tries the first one: its own failure goes back."""
        scene = self.make(route("sip:10.0.2.2", prefix="0"), route(set_name="s", prefix="0", cost=1.0))
        self.gateways.replace([self.group(self.gw2)])
        self.call("sip:030@example.test")
        self.router.rules.routes = RouteTable([], PLAN)
        self.gateways.replace([])
        self.gw.send(self.gw.answer(self.gw.one(), 504))
        scene.advance(0.1)
        self.assertEqual(self.refused(), 504)

    def test_all_out_of_order(self) -> None:
        self.make(route(set_name="s", prefix="0"), route("sip:10.0.2.3", prefix="0", cost=1.0))
        self.gateways.replace([self.group(self.gw)])
        self.gateways.set_state(f"s:{self.gw.address}", "disabled")
        self.call("sip:030@example.test")
        self.assertEqual(self.arrived(self.gw2), "sip:030@10.0.2.3", "the next route")
        self.router.rules.routes = RouteTable([route(set_name="s", prefix="0")], PLAN)
        self.call("sip:030@example.test", branch="z9hG4bKz", call_id="z")
        self.assertEqual(self.refused(), 503)


class AliasRoutingTests(RouterBase):
    def test_one(self) -> None:
        scene = self.make(aliases="+49301234567,bob@example.test", known=False)
        scene.places.bind("bob", f"sip:bob@{self.gw.address}")
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.arrived(self.gw), f"sip:bob@{self.gw.address}")

    def test_several_ring(self) -> None:
        scene = self.make(aliases="sales,bob@example.test,carol@example.test,dave@example.test", known=False)
        scene.places.bind("bob", f"sip:bob@{self.gw.address}")
        scene.places.bind("carol", f"sip:carol@{self.gw2.address}")
        self.call("sip:sales@example.test")
        self.assertEqual(self.arrived(self.gw), f"sip:bob@{self.gw.address}")
        self.assertEqual(self.arrived(self.gw2), f"sip:carol@{self.gw2.address}")

    def test_nobody_there(self) -> None:
        scene = self.make(aliases="sales,bob@example.test,carol@example.test")
        scene.places.bind("bob")
        self.call("sip:sales@example.test")
        self.assertEqual(self.refused(), 480)

    def test_a_number_outside(self) -> None:
        """An alias for a number goes by its route, for strangers too; itself they may not dial."""
        for known in (True, False):
            self.make(
                route("sip:10.0.2.2", prefix="+49"), aliases="support,+49301234567@example.test", known=known
            )
            self.call("sip:support@example.test")
            self.assertEqual(self.arrived(self.gw), "sip:+49301234567@10.0.2.2")
            self.call("sip:+49301234567@example.test", call_id="direct")
            self.assertEqual(bool(self.gw.take()), known)

    def test_a_user_and_a_number(self) -> None:
        scene = self.make(
            route("sip:10.0.2.3", prefix="+49"),
            aliases="sales,bob@example.test,+49301234567@example.test",
            known=False,
        )
        scene.places.bind("bob", f"sip:bob@{self.gw.address}")
        scene.places.delay = 0.01
        self.call("sip:sales@example.test")
        scene.advance(0.1)
        self.assertEqual(self.arrived(self.gw), f"sip:bob@{self.gw.address}")
        self.assertEqual(self.arrived(self.gw2), "sip:+49301234567@10.0.2.3")


class EnumTests(RouterBase):
    DOMAIN = "7.6.5.4.3.2.1.0.3.9.4.e164.test"

    def records(self, *uris: str) -> Naptrs:
        return Naptrs(
            **{
                "7": [
                    NAPTR(10, number, "U", "E2U+SIP", "", f"!^.*$!{uri}!") for number, uri in enumerate(uris)
                ]
            }
        )

    def test_found(self) -> None:
        dns = self.records("sip:first@10.0.2.2", "sip:second@10.0.2.3")
        self.make(route("sip:10.0.9.9", prefix="+"), dns=dns)
        self.call("sip:0301234567@example.test")
        self.assertEqual(dns.asked, [Question(self.DOMAIN, "NAPTR")])
        invite = self.gw.one()
        self.assertEqual(invite.uri_text, "sip:first@10.0.2.2")
        self.gw.send(self.gw.answer(invite, 404))
        self.assertEqual(self.arrived(self.gw2), "sip:second@10.0.2.3")

    def test_strangers_do_not_call_out(self) -> None:
        self.make(dns=self.records("sip:first@10.0.2.2"), known=False)
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.refused(), 407)

    def test_one_of_our_users(self) -> None:
        """Strangers may call him, by his number too."""
        scene = self.make(dns=self.records("sip:bob@example.test"), known=False)
        scene.places.bind("bob", f"sip:bob@{self.gw.address}")
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.arrived(self.gw), f"sip:bob@{self.gw.address}")

    def test_no_loop(self) -> None:
        """The number that stands for itself goes by a route."""
        self.make(route("sip:10.0.2.2", prefix="+"), dns=self.records("sip:+49301234567@example.test"))
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:0301234567@10.0.2.2")

    def test_names_that_lead_in_a_circle(self) -> None:
        dns = Naptrs(**{"7": [NAPTR(1, 1, "", "", "a.test")], "a": [NAPTR(1, 1, "", "", self.DOMAIN)]})
        self.make(route("sip:10.0.2.2", prefix="+"), dns=dns)
        self.call("sip:0301234567@example.test")
        self.assertEqual(len(dns.asked), 2)
        self.assertEqual(self.arrived(self.gw), "sip:0301234567@10.0.2.2")

    def test_a_silent_name_server(self) -> None:
        dns = Naptrs()
        dns.silent = True
        scene = self.make(route("sip:10.0.2.2", prefix="+"), dns=dns)
        self.call("sip:0301234567@example.test")
        scene.advance(1.9)
        self.assertEqual(self.gw.take(), [])
        scene.advance(0.2)
        self.assertEqual(self.arrived(self.gw), "sip:0301234567@10.0.2.2")

    def test_too_many_lookups(self) -> None:
        """Whoever dials at random does not flood DNS."""
        dns = self.records("sip:first@10.0.2.3")
        dns.in_flight = MOST_LOOKUPS
        self.make(route("sip:10.0.2.2", prefix="+"), dns=dns)
        self.call("sip:0301234567@example.test")
        self.assertEqual(self.arrived(self.gw), "sip:0301234567@10.0.2.2")
        self.assertEqual(dns.asked, [])

    def test_not_for_names(self) -> None:
        dns = self.records("sip:first@10.0.2.2")
        self.make(dns=dns)
        self.call("sip:alice2@example.test")
        self.assertEqual((self.refused(), dns.asked), (404, []))
