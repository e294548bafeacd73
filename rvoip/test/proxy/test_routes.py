from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.uri import SipURI, escape_user, parse_uri
from rvoip.proxy.numbers import NumberPlan
from rvoip.proxy.pattern import Pattern
from rvoip.proxy.rewrite import Rewrite, TargetURI
from rvoip.proxy.routes import Route, RouteTable
from rvoip.test.proxy.scene import sip

PLAN = NumberPlan("49", "00", "0", "+4930")


def route(name: str, **options: Any) -> Route:
    if "regex" in options:
        options["regex"] = Pattern(options["regex"])
    return Route(Rewrite(PLAN), set_name="s", name=name, **options)


class RouteTableTests(TestCase):
    def found(self, table: RouteTable, uri: str, own: bool = True, **options: Any) -> list[str]:
        return [one.route.name for one in table.find(sip(uri), own, **options)]

    def test_longest_prefix(self) -> None:
        table = RouteTable(
            [route("+", prefix="+"), route("de", prefix="+49"), route("mobile", prefix="+4917")], PLAN
        )
        for user, expected in (
            ("+4917012345", ["mobile"]),
            ("017012345", ["mobile"]),
            ("+49301234567", ["de"]),
            ("00442079460000", ["+"]),
            ("110", []),
            ("alice", []),
        ):
            self.assertEqual(self.found(table, f"sip:{user}@a.test"), expected, user)

    def test_prefix_as_dialled(self) -> None:
        table = RouteTable([route("out", prefix="9"), route("short", prefix="11")], PLAN)
        self.assertEqual(self.found(table, "sip:9123@a.test"), ["out"])
        self.assertEqual(self.found(table, "sip:110@a.test"), ["short"])
        self.assertEqual(self.found(table, "sip:%39123@a.test"), ["out"], "an escape is the character")

    def test_rank(self) -> None:
        """A regex before a prefix before a domain, whatever their order."""
        table = RouteTable(
            [
                route("domain", domain="a.test"),
                route("prefix", prefix="1"),
                route("second", regex="^12"),
                route("first", regex="^1"),
            ],
            PLAN,
        )
        self.assertEqual(self.found(table, "sip:123@a.test"), ["second"])
        self.assertEqual(self.found(table, "sip:13@a.test"), ["first"])
        self.assertEqual(self.found(table, "sip:x@a.test"), ["domain"])

    def test_regex_and_prefix(self) -> None:
        table = RouteTable([route("both", prefix="+49", regex=r"(\d{3})$")], PLAN)
        (found,) = table.find(sip("sip:030123456789@a.test"), True)
        self.assertEqual(found.groups, ("789", "789"))
        self.assertEqual(self.found(table, "sip:12@a.test"), [])

    def test_domains(self) -> None:
        """Without a domain a route is for those served here alone."""
        table = RouteTable([route("any", prefix="1"), route("b", domain="B.test.", prefix="2")], PLAN)
        self.assertEqual(self.found(table, "sip:1@other.test", own=False), [])
        self.assertEqual(self.found(table, "sip:2@b.test", own=False), ["b"])
        self.assertEqual(self.found(table, "sip:2@a.test"), [])

    def test_cost(self) -> None:
        table = RouteTable(
            [
                route("dear", prefix="1", cost=2.0),
                route("cheap", prefix="1", cost=0.5),
                route("other", prefix="12"),
            ],
            PLAN,
        )
        self.assertEqual(self.found(table, "sip:13@a.test"), ["cheap", "dear"])
        self.assertEqual(self.found(table, "sip:12@a.test"), ["other"])

    def test_peer_and_method(self) -> None:
        table = RouteTable(
            [route("in", prefix="1", peer="carrier"), route("text", prefix="1", methods=("MESSAGE",))], PLAN
        )
        self.assertEqual(table.peers, {"carrier"})
        self.assertEqual(self.found(table, "sip:1@a.test", peer="carrier"), ["in"])
        self.assertEqual(self.found(table, "sip:1@a.test"), [])
        self.assertEqual(self.found(table, "sip:1@a.test", method="MESSAGE"), ["text"])

    def test_a_shorter_prefix_where_the_longer_is_not_for_it(self) -> None:
        table = RouteTable([route("all", prefix="1"), route("peer", prefix="12", peer="p")], PLAN)
        self.assertEqual(self.found(table, "sip:123@a.test"), ["all"])

    @given(
        st.text(alphabet='+0123456789abcA%0d@;:<>&/?*#._- "\\\r\n\u0663\x7f', max_size=30),
        st.sampled_from([("", 0, ""), ("e164", 0, ""), ("national", 1, "9"), ("", 2, "+")]),
    )
    @settings(derandomize=True, deadline=None, max_examples=500)
    def test_what_is_dialled_stays_data(self, dialled: str, how: tuple[str, int, str]) -> None:
        """Whatever a user part holds, what goes out is one URI of the host that the route says."""
        form, strip, add = how
        pattern = Pattern("^(.*)$")
        rewrite = Rewrite(PLAN, form, pattern, r"\1", strip, add)
        target = TargetURI(r"sip:\1@gw.test;line=1", 1)
        for user in (dialled, escape_user(dialled)):
            try:
                uri = parse_uri(f"sip:{user}@a.test")
            except SIPParseError:
                continue
            if not isinstance(uri, SipURI) or uri.host != "a.test":
                continue
            one = Route(rewrite, regex=pattern, to=target)
            for found in RouteTable([one], PLAN).find(uri, True):
                made = found.route.rewrite.uri(uri)
                try:
                    out = target.uri(made, found.groups)
                except SIPParseError:
                    continue  # nothing was dialled
                for result, host in ((made, "a.test"), (out, "gw.test")):
                    text = str(result)
                    again = parse_uri(text)
                    self.assertIsInstance(again, SipURI)
                    assert isinstance(again, SipURI)
                    self.assertEqual((again.host, again.user), (host, result.user), text)
                    self.assertNotRegex(text, r"[\x00-\x20\x7f<>\"]")

    def test_refused(self) -> None:
        self.assertRaises(ValueError, Route, Rewrite(PLAN), set_name="s")
        self.assertRaises(ValueError, Route, Rewrite(PLAN), prefix="1")
