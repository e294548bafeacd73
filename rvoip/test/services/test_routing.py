"""The routing tables of `[proxy]`, in a role in memory."""

from __future__ import annotations

import sqlite3
from typing import Any

from zope.interface import implementer

from rvoip.common.errors import ConfigError
from rvoip.protocols.sip.message import Request
from rvoip.proxy.interfaces import IRouter
from rvoip.services.compose import SIPRole
from rvoip.services.routing import Routing
from rvoip.test.proxy.scene import sip
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import CallFailed

PEER = '[[proxy.peer]]\nname = "p"\nnetworks = ["127.0.64.0/24"]\ncall_out = true\n'


@implementer(IRouter)
class OwnRouter:
    """A router of an operator's own."""

    made = 0

    def __init__(self, reactor: Any) -> None:
        OwnRouter.made += 1

    def route(self, request: Any, context: Any) -> None:
        return None


class NoRouter:
    def __init__(self, reactor: Any) -> None:
        pass


def routing(role: SIPRole) -> Routing:
    assert role.routing is not None
    return role.routing


class ConfigTests(RoleCase):
    def refused(self, text: str) -> str:
        with self.assertRaises(ConfigError) as caught:
            self.make(text)
        return str(caught.exception).partition("role.toml: ")[2]

    def test_mistakes(self) -> None:
        unweighted = self.folder / "unweighted.list"
        unweighted.write_text("1 sip:a.test 0 0 weight=0\n1 sip:b.test 0 0 weight=0\n")
        """Each is one line that names the key."""
        a_set = '[[proxy.gateway_set]]\nname = "s"\ngateways = ["sip:a.test"]\n'
        for text, said in (
            ('[[proxy.route]]\nprefix = "1"\nset = "s"', "proxy.route[0].set: there is no gateway set 's'"),
            (
                '[[proxy.route]]\nprefix = "1"',
                "proxy.route[0]: a route leads to a URI or to a set, one of both",
            ),
            (
                '[[proxy.route]]\nto = "sip:a.test"',
                "proxy.route[0]: a route needs a domain, a prefix or a regex",
            ),
            ('[[proxy.route]]\nregex = "("\nto = "sip:a.test"', "proxy.route[0].regex: unbalanced ("),
            ('[[proxy.route]]\nprefix = "1"\nto = "tel:1"', "proxy.route[0].to: 'tel:1' is no SIP URI"),
            (
                "[[proxy.route]]\nregex = \"(1)\"\nto = 'sip:\\2@a.test'",
                "proxy.route[0].to: \\2 names no group",
            ),
            (
                '[[proxy.route]]\nprefix = "1"\nreplace = "x"\nto = "sip:a.test"',
                "proxy.route[0].replace: replace needs a regex",
            ),
            (
                '[[proxy.route]]\nprefix = "1"\nto = "sip:a.test"\npeer = "p"',
                "proxy.route[0].peer: there is no peer 'p'",
            ),
            (
                '[[proxy.route]]\nprefix = "1"\nto = "sip:a.test"\nheaders = {Via = "x"}',
                "proxy.route[0].headers: Via is not for a route to set",
            ),
            (
                '[[proxy.route]]\nprefix = "1"\nto = "sip:a.test"\nheaders = {"X-A" = "b\\r\\nX-B: c"}',
                "proxy.route[0].headers: 'X-A' cannot be written as a header",
            ),
            (a_set + a_set, "proxy.gateway_set[1].name: 's' is there twice"),
            (a_set + "failover = ['5x']", "proxy.gateway_set[0].failover: '5x' is no status code"),
            ('[[proxy.gateway_set]]\nname = "s"', "proxy.gateway_set[0]: 's' has no gateways"),
            (a_set + 'algorithm = "latency"', "proxy.gateway_set[0].algorithm: latency needs probe"),
            (
                '[[proxy.peer]]\nname = "p"\nnetworks = ["10.0.0.0/8"]\n'
                '[[proxy.peer]]\nname = "q"\nnetworks = ["10.0.0.1/8"]\ntransports = ["tls"]',
                "proxy.peer[1].networks[0]: 10.0.0.0/8 is another peer's too",
            ),
            (
                '[[proxy.peer]]\nname = "p"\nnetworks = ["10.0.0.0/8"]\nrefuse = true\ncall_out = true',
                "proxy.peer[0].refuse: leaves no rights",
            ),
            (
                "[proxy]\nrecord_route = false\ntopology_hiding = true",
                "proxy.topology_hiding: needs record_route",
            ),
            ("[proxy]\nring = 5.0", 'proxy.ring: needs fork = "sequential"'),
            ('[proxy]\nenum = ["e164.arpa", "a b"]', "proxy.enum[1]: 'a b' is no domain"),
            (
                '[[proxy.gateway_set]]\nname = "s"\ngateways = ["sip:a.test", "a.test"]',
                "proxy.gateway_set[0].gateways[1]: 'a.test' is no SIP URI",
            ),
            (
                '[[proxy.gateway_set]]\nname = "s"\ngateways = ["sip:a.test", "sip:a.test"]',
                "proxy.gateway_set[0]: s:a.test is there twice; give it a name",
            ),
            (
                '[[proxy.gateway_set]]\nname = "s"\ngateways = [{uri = "sip:a.test", weight = 0}]',
                "proxy.gateway_set[0].gateways: every weight is 0; give one of them a weight above 0",
            ),
            (
                f'[[proxy.gateway_set]]\nname = "s"\nalgorithm = "weight"\nfile = "{unweighted}"',
                "proxy.gateway_set[0].file: every weight is 0",
            ),
            (a_set + 'file = "x"', "proxy.gateway_set[0].file: and gateways are both there"),
            ('[[proxy.gateway_set]]\nname = "s"\nfile = "no.list"', "proxy.gateway_set[0].file: "),
            (
                '[[proxy.peer]]\nname = "p"\nnetworks = ["10.0.0.0/33"]',
                "proxy.peer[0].networks[0]: '10.0.0.0/33'",
            ),
            ('[[proxy.alias]]\nname = "x"\nto = ["b@a.test", "nobody"]', "proxy.alias[0].to: 'nobody' is no"),
            ('[proxy]\nalias_file = "none.csv"', "proxy.alias_file: "),
            ('[proxy]\nalias_store = "sqlite:none.db"', "proxy.alias_store: "),
            ('[proxy]\nalias_store = "mysql:x"', "proxy.alias_store: 'mysql' is not sqlite:PATH"),
            ('[proxy.numbers]\ncountry = "+49"', "proxy.numbers: country '+49' is not made of digits"),
            ('[proxy]\nrouter = "no.such.Router"', "proxy.router: 'no.such.Router' cannot be imported"),
            (f'[proxy]\nrouter = "{__name__}.NoRouter"', "does not implement IRouter"),
        ):
            self.assertIn(said, self.refused(text), text)

    def test_nothing_configured(self) -> None:
        """The proxy asks nobody then, which would cost each call something."""
        role = self.make()
        assert role.proxy is not None
        self.assertEqual(role.proxy.routers, ())

    def test_own_router_is_asked_first(self) -> None:
        before = OwnRouter.made
        role = self.make(
            f'[proxy]\nrouter = "{__name__}.OwnRouter"\n[[proxy.alias]]\nname = "x"\nto = "b@example.test"\n'
        )
        assert role.proxy is not None
        first, second = role.proxy.routers
        self.assertIsInstance(first, OwnRouter)
        self.assertIs(second, routing(role).router)
        routing(role).use(routing(role).prepare(role.config.proxy, "role.toml"))
        self.assertEqual(OwnRouter.made, before + 1, "a reload keeps it")

    def test_dispatcher_list_states(self) -> None:
        (self.folder / "d.list").write_text(
            "\ufeff1 sip:a.test 1\r\n1 sip:b.test 4\n1 sip:c.test 8\n1 sip:d.test\n2 sip:e.test\n"
        )
        text = '[[proxy.gateway_set]]\nname = "s"\nfile = "d.list"\nsetid = 1\nprobe = true\n'
        gateways = routing(self.make(text)).gateways
        self.assertEqual(
            {one["id"]: one["state"] for one in gateways.gateways()},
            {"s:a.test": "inactive", "s:b.test": "disabled", "s:c.test": "probing", "s:d.test": "active"},
        )
        self.assertEqual(gateways.sets["s"].rules.probe, 30.0)

    def test_a_dispatcher_list_in_another_encoding(self) -> None:
        """One line that says where, and what to do."""
        text = '[[proxy.gateway_set]]\nname = "s"\nfile = "d.list"\n'
        for head in (b"", b"\xef\xbb\xbf"):
            (self.folder / "d.list").write_bytes(head + b"1 sip:a.test\n1 sip:b.test # M\xfcnchen\n")
            error = self.assertRaises(ConfigError, self.make, text)
            self.assertTrue(
                str(error).endswith("d.list, line 2: is not UTF-8; save the file as UTF-8"), error
            )

    def test_weights_of_0(self) -> None:
        """One gateway may have none; in a file all, where none is asked for."""
        (self.folder / "d.list").write_text("1 sip:a.test 0 0 weight=0\n1 sip:b.test 0 0 weight=0\n")
        for text in (
            'name = "s"\nfile = "d.list"\n',
            'name = "s"\nalgorithm = "weight"\n'
            'gateways = [{uri = "sip:a.test", weight = 0}, {uri = "sip:b.test", weight = 2}]\n',
        ):
            gateways = routing(self.make(f"[[proxy.gateway_set]]\n{text}")).gateways
            self.assertEqual(len(gateways.gateways()), 2)

    def test_a_file_of_rates(self) -> None:
        a_set = '[[proxy.gateway_set]]\nname = "s"\ngateways = ["sip:a.test"]\n'
        text = f'[proxy]\nroute_file = "rates.csv"\n{a_set}'
        path = self.folder / "rates.csv"
        path.write_text("# prefix, where, cost\n+49, s, 0.8\n+49,sip:cheap.test,0.5\n+4917,s # mobile\n")
        table = routing(self.make(text)).router.rules.routes
        found = {
            number: [
                one.route.set_name or str(one.route.to) for one in table.find(sip(f"sip:{number}@x"), True)
            ]
            for number in ("+4930123", "+4917123", "+1")
        }
        self.assertEqual(
            found, {"+4930123": ["<TargetURI sip:cheap.test>", "s"], "+4917123": ["s"], "+1": []}
        )
        for line, said in (
            ("+49", "expected PREFIX,SET,COST"),
            (",s,1", "expected PREFIX,SET,COST"),
            ("+49,s,dear", "expected PREFIX,SET,COST"),
            ("+49,s,1_0", "expected PREFIX,SET,COST"),
            ("+49,s,1,2", "expected PREFIX,SET,COST"),
            ("+49,t,1", "there is no gateway set 't'"),
            ("+49,sip:,1", "'sip:' is no SIP URI"),
        ):
            path.write_text(f"\n{line}\n")
            refused = self.refused(text)
            self.assertIn("rates.csv, line 2: ", refused)
            self.assertIn(said, refused)

    def test_aliases_from_everywhere(self) -> None:
        (self.folder / "a.csv").write_text("one,bob@example.test\n")
        database = sqlite3.connect(self.folder / "a.db")
        database.execute("CREATE TABLE aliases (name TEXT, target TEXT)")
        database.executemany(
            "INSERT INTO aliases VALUES (?, ?)",
            [("two", "bob@example.test"), ("two", "carol@example.test"), ("one", "dave@example.test")],
        )
        database.commit()
        database.close()
        role = self.make(
            '[proxy]\nalias_file = "a.csv"\nalias_store = "sqlite:a.db"\n'
            '[[proxy.alias]]\nname = "three"\nto = "sip:eve@example.test"\n'
        )
        targets = routing(role).router.rules.aliases._targets
        self.assertEqual(
            {name: [str(one) for one in uris] for name, uris in targets.items()},
            {
                "one": ["sip:bob@example.test"],
                "two": ["sip:bob@example.test", "sip:carol@example.test"],
                "three": ["sip:eve@example.test"],
            },
        )


class RunningTests(RoleCase):
    def test_a_peer_calls_by_a_route(self) -> None:
        role = self.run_role(
            PEER + '[[proxy.route]]\nprefix = "0"\nto = "sip:127.0.64.31:5060"\n[registrar]\n'
        )
        gateway = self.phone("gw@example.test", "127.0.64.31", port=5060)
        caller = self.phone("peer@elsewhere.test", "127.0.64.32")
        call = caller.call("sip:0301@example.test")
        self.reactor.result_of(call.established())
        (invite,) = gateway.received("INVITE")
        assert isinstance(invite, Request)
        self.assertEqual(invite.uri_text, "sip:0301@127.0.64.31:5060")
        self.assertEqual(role.screen.refused, 0)

    def test_whose_word_counts(self) -> None:
        """P-Asserted-Identity is believed of a peer with `identity`; to call out is another right."""
        self.run_role(
            '[[proxy.peer]]\nname = "believed"\nnetworks = ["127.0.64.32"]\nidentity = true\n'
            '[[proxy.peer]]\nname = "caller"\nnetworks = ["127.0.64.33"]\ncall_out = true\n'
            '[[proxy.route]]\nprefix = "0"\nto = "sip:127.0.64.31:5060"\n'
            "[registrar]\nauthenticate = false\n"
        )
        bob = self.phone("bob@example.test", "127.0.64.31", port=5060)
        self.reactor.result_of(bob.register())
        identity = ("P-Asserted-Identity", "<sip:+49301@trunk.test>")
        for host, believed, calls_out in (
            ("127.0.64.32", True, False),
            ("127.0.64.33", False, True),
            ("127.0.64.34", False, False),
        ):
            peer = self.phone("peer@elsewhere.test", host)
            call = peer.call("sip:bob@example.test", headers=[identity])
            self.reactor.result_of(call.established())
            invite = bob.received("INVITE")[-1]
            self.assertEqual(invite.has("p-asserted-identity"), believed, host)
            self.reactor.result_of(call.bye())
            call = peer.call("sip:0301@example.test")
            if calls_out:
                self.reactor.result_of(call.established())
                self.reactor.result_of(call.bye())
            else:
                failure = self.failureResultOf(self.wait(call), CallFailed)
                self.assertIn("403", str(failure.value), host)

    def wait(self, call: Any) -> Any:
        """Fires with what became of a call, after a second."""
        established = call.established()
        self.reactor.advance(1.0)
        return established

    def test_a_refused_peer(self) -> None:
        role = self.run_role(
            '[[proxy.peer]]\nname = "p"\nnetworks = ["127.0.64.32"]\nrefuse = true\n[registrar]\n'
        )
        caller = self.phone("peer@elsewhere.test", "127.0.64.32")
        response = self.reactor.result_of(caller.request("OPTIONS", "sip:example.test"))
        self.assertEqual(response.status, 403)
        self.assertEqual(role.screen.refused, 1)

    def test_reload(self) -> None:
        role = self.run_role('[[proxy.gateway_set]]\nname = "s"\ngateways = ["sip:a.test"]\n')
        path = self.folder / "role.toml"
        text = path.read_text()
        path.write_text(text + "probe = 1.0\nalive = ['nonsense']\n")
        role.reload()
        self.assertEqual(routing(role).gateways.sets["s"].rules.probe, 0.0, "a broken file changes nothing")
        path.write_text(text + "probe = 1.0\n[[proxy.alias]]\nname = 'x'\nto = 'b@example.test'\n")
        role.reload()
        self.assertEqual(routing(role).gateways.sets["s"].rules.probe, 1.0)
        assert role.proxy is not None
        self.assertEqual(len(role.proxy.routers), 1)


SCAN = (
    "{method} sip:100@example.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.64.40:5060;branch=z9hG4bK-{n}\r\n"
    "From: <sip:100@example.test>;tag=1\r\nTo: <sip:100@example.test>\r\nCall-ID: scan-{n}\r\n"
    "CSeq: 1 {method}\r\nContact: <sip:100@127.0.64.40>\r\nUser-Agent: {agent}\r\nMax-Forwards: 70\r\n"
    "Content-Length: 0\r\n\r\n"
)


class ScannerTests(RoleCase):
    def test_dropped(self) -> None:
        """Whatever they send, and however they write their name; others are answered."""
        role = self.run_role("[registrar]\n")
        stranger = self.phone("x@elsewhere.test", "127.0.64.40")
        serial = 0
        for method in ("OPTIONS", "REGISTER", "INVITE"):
            for agent, answered in (
                ("friendly-scanner", False),
                ("Friendly-Scanner/1.0", False),
                ("VaxSIPUserAgent/3.5", False),
                ("a phone", True),
            ):
                serial += 1
                before = sum(role.sip.transactions.responses_sent)
                scans = role.screen.scans
                stranger.send_raw(SCAN.format(method=method, n=serial, agent=agent).encode())
                self.reactor.advance(0.05)
                came = sum(role.sip.transactions.responses_sent) > before
                self.assertEqual(
                    (came, role.screen.scans - scans), (answered, 0 if answered else 1), (method, agent)
                )
        self.reactor.advance(40)

    def test_allowed(self) -> None:
        role = self.run_role("[guard]\nscanners = []\n[registrar]\n")
        stranger = self.phone("x@elsewhere.test", "127.0.64.40")
        stranger.send_raw(SCAN.format(method="OPTIONS", n=1, agent="friendly-scanner").encode())
        self.reactor.advance(0.05)
        self.assertEqual(role.screen.scans, 0)
        self.assertEqual(sum(role.sip.transactions.responses_sent), 1)
