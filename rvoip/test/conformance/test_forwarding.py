"""RFC 3261 section 16 and its corrections, seen from outside of a running proxy: what passes, and where."""

from __future__ import annotations

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.element import Text
from rvoip.test.conformance.proxy_case import ProxyCase

METHODS = "INVITE BYE OPTIONS INFO UPDATE PRACK REFER SUBSCRIBE NOTIFY MESSAGE PUBLISH FOO X-!%*_+`'~".split()


class MethodTests(ProxyCase):
    """Any method, any header."""

    def test_every_method(self) -> None:
        """It is passed on as it is, and so is its answer."""
        caller, callee = self.agent(), self.agent("methods")
        for method in METHODS:
            body = f"body of {method}\n".encode()
            wire = caller.request(
                method,
                "sip:methods@example.test",
                "Content-Type: text/plain",
                "X-Unknown:  odd ;; value ",
                "k: 100rel",
                "Unknown-Too: caf\u00e9",
                body=body,
            )
            caller.send(wire)
            got = callee.wait_for(method)
            self.check_forwarded_by(caller, wire, got)
            self.assertEqual(got.uri, f"sip:methods@{callee.sent_by}")
            self.assertIn(b"k: 100rel\r\n", got.wire)
            callee.send(answer_to(got, "299 Fine", "X-Back: yes", tag="t-1", body=b"and back"))
            answer = caller.final(wire)
            self.assertEqual((answer.head, answer.get("x-back")), ("SIP/2.0 299 Fine", "yes"))
            self.assertEqual((answer.body, len(answer.values("via"))), (b"and back", 1))
            self.assertTrue(answer.get("to").endswith(";tag=t-1"))

    def check_forwarded_by(self, caller: Agent, wire: bytes, got: Text) -> None:
        """All but what a proxy must change is there, and in order."""
        sent = Text(wire)
        changed = "via max-forwards record-route max-breadth".split()
        self.assertEqual(got.except_for(*changed), sent.except_for(*changed))
        self.assertEqual(got.body, sent.body)
        self.assertEqual(got.get("max-forwards"), "69")
        self.assertEqual(len(got.values("via")), 2)
        self.assertIn(f";rport={caller.port}", got.values("via")[1])
        self.assertIn(f";received={caller.host}", got.values("via")[1])

    def test_compact_forms(self) -> None:
        """A message of compact forms is read as any other, and stays compact."""
        caller, callee = self.agent(), self.agent("compact")
        lines = [
            "INVITE sip:compact@example.test SIP/2.0",
            f"v: SIP/2.0/UDP {caller.sent_by};branch=z9hG4bKcompact1",
            "f: <sip:a@elsewhere.test>;tag=1",
            "t: <sip:compact@example.test>",
            "i: compact-call",
            f"m: <sip:a@{caller.sent_by}>",
            "c: text/plain",
            "s: hello",
            "CSeq: 1 INVITE",
            "l: 2",
        ]
        wire = "\r\n".join([*lines, "", "hi"]).encode()
        caller.send(wire)
        got = callee.wait_for("INVITE")
        for line in ("f: <sip:a@elsewhere.test>;tag=1", "i: compact-call", "s: hello", "c: text/plain"):
            self.assertIn(f"\r\n{line}\r\n".encode(), got.wire)
        self.assertEqual(got.get("max-forwards"), "70")
        callee.send(answer_to(got, "486 Busy"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 486)
        caller.acknowledge(wire, answer)
        self.assertEqual(caller.nothing(0.3), [])

    def test_nobody(self) -> None:
        """480 for no user, as for one without a phone; in no domain of ours 403."""
        caller = self.agent()
        for method in ("INVITE", "OPTIONS", "FOO"):
            for uri, status in (
                ("sip:nobody@example.test", 480),
                ("sip:nobody@example.org", 480),
                ("sip:nobody@elsewhere.test", 403),
            ):
                wire = caller.request(method, uri)
                caller.send(wire)
                answer = caller.final(wire)
                self.assertEqual(answer.status, status, uri)
                if method == "INVITE":
                    caller.acknowledge(wire, answer)
        self.assertEqual(caller.nothing(0.2), [])
        known = self.agent(name="unset").ask("INVITE", "sip:alice@example.test")
        self.assertEqual(known.status, 480)

    def test_itself(self) -> None:
        """OPTIONS to the domain or the address, on each transport; a Require that nobody knows is 420."""
        here = "{}:{}".format(*self.serve("open").address)
        for agent in (self.agent(), self.stream_agent()):
            for uri in ("sip:example.test", "sip:example.org:5999", f"sip:{here}", f"sip:{here};lr"):
                answer = agent.ask("OPTIONS", uri)
                self.assertEqual(answer.status, 200, uri)
                for method in ("INVITE", "REGISTER", "OPTIONS", "ACK", "CANCEL", "BYE", "MESSAGE"):
                    self.assertIn(method, answer.get("allow").split(", "))
            answer = agent.ask("OPTIONS", f"sip:{here}", "Require: aTag, path")
            self.assertEqual((answer.status, answer.get("unsupported")), (420, "aTag"))
            answer = agent.ask("OPTIONS", f"sip:{here}", f"Route: <sip:{here};lr>", forwards="5")
            self.assertEqual(answer.status, 200)

    def test_a_listening_address_stands_for_the_first_domain(self) -> None:
        """Also when a user is called, but only with its port."""
        server = self.serve("open")
        caller, callee = self.agent(), self.agent("here")
        caller.send(caller.request("MESSAGE", "sip:here@{}:{}".format(*server.address)))
        self.assertEqual(callee.wait_for("MESSAGE").uri, f"sip:here@{callee.sent_by}")
        for uri in (f"sip:here@{server.host}", f"sip:here@{server.host}:1"):
            self.assertEqual(caller.ask("MESSAGE", uri).status, 403)

    def test_max_forwards(self) -> None:
        """0 goes no further (483), 1 goes on as 0; one that is absent is put in."""
        caller, callee = self.agent(), self.agent("hops")
        uri = "sip:hops@example.test"
        for method in ("INVITE", "OPTIONS", "FOO"):
            wire = caller.request(method, uri, forwards="0")
            caller.send(wire)
            answer = caller.final(wire)
            self.assertEqual(answer.status, 483)
            if method == "INVITE":
                caller.acknowledge(wire, answer)
        for before, after in (("1", "0"), ("255", "254"), (None, "70")):
            caller.send(caller.request("MESSAGE", uri, forwards=before))
            self.assertEqual(callee.wait_for("MESSAGE").get("max-forwards"), after)

    def test_proxy_require(self) -> None:
        """420 for what is not known; Require is for the callee."""
        caller, callee = self.agent(), self.agent("tags")
        answer = caller.ask("INVITE", "sip:tags@example.test", "Proxy-Require: Foo, path", "Require: bar")
        self.assertEqual((answer.status, answer.get("unsupported")), (420, "Foo"))
        caller.send(caller.request("MESSAGE", "sip:tags@example.test", "Require: bar"))
        self.assertEqual(callee.wait_for("MESSAGE").get("require"), "bar")

    def test_sips(self) -> None:
        """What is for sips: does not go on in the clear (RFC 5630 section 5.3)."""
        caller, callee = self.agent(), self.agent("clear")
        for method in ("MESSAGE", "INVITE"):
            answer = caller.ask(method, "sips:clear@example.test")
            self.assertEqual((answer.status, answer.get("warning")[:3]), (480, "380"))
        self.assertEqual(callee.nothing(0.05), [])
        self.assertEqual(caller.register("secure", "<sips:a@192.0.2.1>").status, 200)
        self.assertEqual(caller.ask("INVITE", "sip:secure@example.test").status, 480)
        self.assertNotIn("INVITE", [head.split()[0] for head in caller.nothing(0.1)])

    def test_other_schemes(self) -> None:
        """416 for what leads to nobody here."""
        caller = self.agent()
        for uri in ("tel:+15551234", "mailto:a@example.test", "urn:service:sos", "x:y"):
            self.assertEqual(caller.ask("MESSAGE", uri, to="<sip:a@example.test>").status, 416, uri)


class RouteTests(ProxyCase):
    """Path, loose routes, loops."""

    def test_a_path_is_the_way_to_the_phone(self) -> None:
        """Its values are the Route, topmost first, and the contact the Request-URI (RFC 3327 section 5.4)."""
        edge = self.agent()
        path = f"Path: <sip:edge@{edge.sent_by};lr>, <sip:inner.example;lr>"
        registered = self.agent("pathed", headers=(path, "Supported: path"))
        caller = self.agent()
        caller.send(caller.request("INVITE", "sip:pathed@example.test"))
        got = edge.wait_for("INVITE")
        self.assertEqual(got.uri, f"sip:pathed@{registered.sent_by}")
        self.assertEqual(got.values("route"), [f"<sip:edge@{edge.sent_by};lr>", "<sip:inner.example;lr>"])
        edge.send(answer_to(got, "486 Busy Here"))
        self.assertEqual(registered.nothing(0.03), [])

    def test_own_routes_are_taken_away(self) -> None:
        """By address and by domain; then the Request-URI counts."""
        here = "{}:{}".format(*self.serve("open").address)
        caller, callee = self.agent(), self.agent("routed")
        for route in (f"<sip:{here};lr>", "<sip:example.test;lr>", f"<sip:{here};lr>, <sip:example.org;lr>"):
            caller.send(caller.request("MESSAGE", "sip:routed@example.test", f"Route: {route}"))
            self.assertEqual(callee.wait_for("MESSAGE").all("route"), [], route)

    def test_loops(self) -> None:
        """A contact that leads back here is found out: 482, or 483 when it changes each time."""
        caller = self.agent()
        for user, contact in (("loop", "loop"), ("ping", "pong"), ("pong", "ping")):
            self.assertEqual(caller.register(user, f"<sip:{contact}@example.test>").status, 200)
        for user in ("loop", "ping"):
            for method in ("INVITE", "MESSAGE"):
                wire = caller.request(method, f"sip:{user}@example.test")
                caller.send(wire)
                answer = caller.final(wire)
                self.assertEqual(answer.status, 482, user)
                if method == "INVITE":
                    caller.acknowledge(wire, answer)

    def test_max_breadth(self) -> None:
        """RFC 5393 section 5.3: no more branches than it says, and each gets its share."""
        phones = [self.agent("broad"), self.agent("broad")]
        caller = self.agent()
        self.assertEqual(caller.ask("MESSAGE", "sip:broad@example.test", "Max-Breadth: 1").status, 440)
        for phone in phones:
            self.assertEqual(phone.nothing(0.03), [])
        caller.send(caller.request("MESSAGE", "sip:broad@example.test", "Max-Breadth: 5"))
        shares = [int(phone.wait_for("MESSAGE").get("max-breadth")) for phone in phones]
        self.assertLessEqual(sum(shares), 5)
