"""Who may pass a running proxy, and that it is no open relay."""

from __future__ import annotations

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.element import Text
from rvoip.test.conformance.proxy_case import USERS, ProxyCase
from rvoip.test.hostile.wire import authorization, challenges


class PassageTests(ProxyCase):
    """Who may pass: the three settings of `authenticate`, and the forms of an open relay."""

    def stranger(self) -> Agent:
        """Somebody outside, who must not get anything."""
        stranger = Agent(self.serve("unset"))
        self.addCleanup(stranger.socket.close)
        return stranger

    def passes(
        self, name: str, uri: str, user: str = "", sender: str = "", method: str = "MESSAGE"
    ) -> tuple[int, Text]:
        """The status that a request gets, with credentials where it is challenged; and the last response."""
        caller = self.agent(name=name)
        sender = sender or (f"<sip:{user}@example.test>;tag=1" if user else "")
        answer = caller.ask(method, uri, sender=sender, to="<sip:whoever@example.test>")
        if answer.status == 407 and user:
            offered = challenges(answer)
            self.assertEqual(list(offered), ["MD5", "SHA-256", "SHA-512-256"])
            credentials = authorization(offered["SHA-256"], user, USERS[user], method, uri)
            answer = caller.ask(
                method,
                uri,
                f"Proxy-Authorization: {credentials}",
                sender=sender,
                to="<sip:whoever@example.test>",
                cseq=f"2 {method}",
            )
        return answer.status, answer

    def echo(self, agent: Agent) -> list[str]:
        """What came to an agent."""
        return agent.nothing(0.05)

    def test_to_our_users(self) -> None:
        """Anybody may call them, unless everybody is asked."""
        for name, status in (("unset", 480), ("true", 407), ("false", 480)):
            user = "alice" if name != "false" else "zoe"
            self.assertEqual(self.passes(name, f"sip:{user}@example.test")[0], status, name)
        self.assertEqual(self.passes("true", "sip:alice@example.test", "bob")[0], 480)

    def test_to_foreign_domains(self) -> None:
        """407, 407, 403 for a stranger; a user of ours gets through where he is asked."""
        for name, status in (("unset", 407), ("true", 407), ("false", 403)):
            stranger = self.stranger()
            uri = f"sip:x@{stranger.sent_by}"
            self.assertEqual(self.passes(name, uri)[0], status, name)
            self.assertEqual(self.echo(stranger), [])
        for name in ("unset", "true"):
            self.server = name
            stranger = self.stranger()
            caller = self.agent(name=name)
            uri = f"sip:x@{stranger.sent_by}"
            sender = "<sip:bob@example.test>;tag=1"
            offered = challenges(caller.ask("MESSAGE", uri, sender=sender))
            credentials = authorization(offered["MD5"], "bob", USERS["bob"], "MESSAGE", uri)
            caller.send(caller.request("MESSAGE", uri, f"Proxy-Authorization: {credentials}", sender=sender))
            got = stranger.wait_for("MESSAGE")
            self.assertEqual((got.uri, got.all("proxy-authorization")), (uri, []))

    def test_as_somebody_else(self) -> None:
        """Credentials are good for their own user's From only."""
        stranger = self.stranger()
        uri = f"sip:x@{stranger.sent_by}"
        for sender in ("<sip:alice@example.test>;tag=1", "<sip:bob@example.org>;tag=1"):
            status, _ = self.passes("unset", uri, "bob", sender)
            self.assertEqual(status, 403 if "example.test" in sender else 407, sender)
        self.assertEqual(self.echo(stranger), [])

    def test_no_open_relay(self) -> None:
        """However a stranger puts it, nothing leaves."""
        for name in ("unset", "true", "false"):
            server = self.serve(name)
            here = "{}:{}".format(*server.address)
            stranger = self.stranger()
            there = stranger.sent_by
            caller = self.agent(name=name)
            to_tag = {"to": f"<sip:x@{there}>;tag=made-up"}
            forms: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
                (f"sip:x@{there}", (), {}),
                (f"sip:x@{there}", (), to_tag),
                (f"sip:x@{there};lr", (f"Route: <sip:{here};lr>",), {}),
                (f"sip:x@{there}", (f"Route: <sip:{here};lr>",), to_tag),
                (f"sip:x@{there}", ("Route: <sip:example.test;lr>",), to_tag),
                (f"sip:x@{there}", (f"Route: <sip:{there};lr>",), to_tag),
                ("sip:alice@example.test", (f"Route: <sip:{there};lr>",), {}),
                ("sip:alice@example.test", (f"Route: <sip:{here};lr>, <sip:{there};lr>",), {}),
                ("sip:alice@example.test", (f"Route: <sip:{here};lr>", f"Route: <sip:{there};lr>"), to_tag),
                ("sip:alice@example.test", (f"Route: <sip:{there}>",), to_tag),
                (f"sip:alice@{here}", (f"Route: <sip:{there};lr>",), {}),
                (f"sip:{here};lr", (f"Route: <sip:x@{there}>",), to_tag),
                (f"sip:{here};lr;d=0123456789abcdef", (f"Route: <sip:x@{there}>",), to_tag),
                (f"sip:x@{there}", (f"Route: <sip:{here};lr;d=0123456789abcdef>",), to_tag),
                ("sip:example.test", (f"Route: <sip:{there};lr>",), {}),
                (f"sip:alice@example.test;maddr={stranger.host}", (), {}),
                (f"sip:alice@example.test;maddr={stranger.host};transport=udp", (), to_tag),
                (f"sip:x@{stranger.host}:{stranger.port};maddr=example.test", (), {}),
                (f"sip:x@example.test@{there}", (), {}),
                (f"sip:example.test@{there}", (), {}),
                (f"sips:x@{there}", (), {}),
                (f"tel:+1;phone-context={there}", (), {}),
                (f"sip:+1555@{there};user=phone", (), {}),
                (f"sip:x@{there}?Route=%3Csip:{there}%3E", (), {}),
                (f"sip:x@[::ffff:{stranger.host}]:{stranger.port}", (), {}),
            ]
            for uri, headers, more in forms:
                for method in ("MESSAGE", "INVITE", "OPTIONS", "BYE", "REGISTER", "FOO", "ACK", "CANCEL"):
                    caller.send(caller.request(method, uri, *headers, **{"to": "<sip:a@b>", **more}))
            # What is answered at once comes before the answer to this.
            self.assertEqual(caller.ask("OPTIONS", "sip:example.test").status, 200)
            self.assertEqual(self.echo(stranger), [], name)
            self.check_nothing_left(server)

    def test_a_route_of_another_call(self) -> None:
        """A Record-Route value of ours opens the way for its own call only."""
        self.server = "unset"
        callee = self.agent("bob", name="unset")
        caller = self.agent(name="unset")
        wire = caller.request("INVITE", "sip:bob@example.test", f"Contact: {caller.contact('a')}")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('bob')}", tag="t"))
        answer = caller.final(wire)
        caller.send(caller.in_dialog("ACK", wire, answer, 1))
        stranger = self.stranger()
        routes = [f"Route: {value}" for value in answer.values("record-route")]
        for method in ("MESSAGE", "INVITE", "ACK"):
            caller.send(caller.request(method, f"sip:x@{stranger.sent_by}", *routes, to="<sip:x@y>;tag=1"))
        self.assertEqual(caller.ask("OPTIONS", "sip:example.test").status, 200)
        self.assertEqual(self.echo(stranger), [])

    def test_identities(self) -> None:
        """What a stranger asserts is taken away; what he prefers goes on."""
        caller, callee = self.agent(name="open"), self.agent("told", name="open")
        caller.send(
            caller.request(
                "MESSAGE",
                "sip:told@example.test",
                "P-Asserted-Identity: <sip:president@example.test>",
                "P-ASSERTED-identity : <tel:+1>",
                "P-Preferred-Identity: <sip:me@elsewhere.test>",
            )
        )
        got = callee.wait_for("MESSAGE")
        self.assertEqual(got.all("p-asserted-identity"), [])
        self.assertEqual(got.get("p-preferred-identity"), "<sip:me@elsewhere.test>")
