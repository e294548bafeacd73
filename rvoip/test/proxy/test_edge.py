"""The proxy as the edge of somebody else's registrar: Path, and requests that come back by it (RFC 5626)."""

from __future__ import annotations

from typing import Any

from rvoip.proxy.proxy import ProxySettings
from rvoip.proxy.targets import Destination, Targets
from rvoip.test.proxy.scene import PROXY, Peer, Scene, sip
from rvoip.test.proxy.test_further import Says
from rvoip.test.proxy.test_routing import RoutingBase

HOME = "home.test"


class EdgeTests(RoutingBase):
    def place(self, path: str = "supported", transport: str = "TCP") -> tuple[Scene, Peer, Peer]:
        """A client that listens on nothing, and the registrar and proxy of its domain."""
        scene = self.scene(ProxySettings(path=path))
        client, home = scene.peer("client", transport), scene.peer("home")
        if transport == "TCP":
            client.wire._listening.stopListening()
            scene.advance(0.001)

        def routes(request: Any, context: Any) -> Targets | None:
            if not request.uri_text.endswith(HOME):
                return None
            hop = sip(f"sip:{home.address}")
            return Targets([[Destination(request.uri, next_hop=hop)]], public=True)

        scene.proxy.routers = (Says(routes),)
        return scene, client, home

    def register(self, client: Peer, supported: str = "path, outbound", params: str = ";reg-id=1") -> str:
        return client.request(
            "REGISTER",
            f"sip:{HOME}",
            from_=f"sip:bob@{HOME}",
            to=f"sip:bob@{HOME}",
            contact_params=f'{params};+sip.instance="<urn:uuid:1>"',
            extra=f"Supported: {supported}\r\n" if supported else "",
        )

    def registered(self, client: Peer, home: Peer, **more: Any) -> str | None:
        """The Path that the registrar sees."""
        client.send(self.register(client, **more))
        request = home.one()
        self.assertEqual(request.uri_text, f"sip:{HOME}")
        path: str | None = request.get("path")
        home.send(home.answer(request, 200, contact=request.contacts[0].uri_text))
        self.assertEqual(client.starts(), ["200 REGISTER"])
        return path

    def to_client(self, home: Peer, path: str, client: Peer, method: str = "INVITE", **more: Any) -> str:
        more.setdefault("extra", f"Route: {path}\r\n")
        return home.request(method, f"sip:bob@{client.address}:5060;transport=tcp", **more)

    def test_who_gets_a_path(self) -> None:
        for setting, supported, params, expected in (
            ("supported", "path, outbound", ";reg-id=1", r";lr;ob;d="),
            ("supported", "path, outbound", "", r";lr;d="),
            ("supported", "path", ";reg-id=1", r";lr;d="),
            ("supported", "", "", None),
            ("always", "", "", r";lr;d="),
            ("never", "path, outbound", ";reg-id=1", None),
        ):
            _, client, home = self.place(setting)
            path = self.registered(client, home, supported=supported, params=params)
            if expected is None:
                self.assertIsNone(path)
            else:
                self.assertRegex(str(path), rf"^<sip:[\w-]+@{PROXY}:5060{expected}[0-9a-f]{{24}}>$")

    def test_one_that_came_through_another_proxy(self) -> None:
        _, client, home = self.place("always")
        text = self.register(client).replace(
            "Max-Forwards", "Via: SIP/2.0/TCP 10.9.9.9;branch=z9hG4bKf\r\nMax-Forwards"
        )
        client.send(text)
        self.assertFalse(home.one().has("path"))

    def test_calls_come_back_by_the_connection(self) -> None:
        for transport in ("TCP", "UDP"):
            scene, client, home = self.place(transport=transport)
            path = str(self.registered(client, home))
            self.ends = (home, client)
            home.send(self.to_client(home, path, client, call_id="call"))
            invite = client.one()
            self.assertFalse(invite.has("route"))
            client.send(client.answer(invite, 200))
            self.both_ways(scene, home, client, invite, home.one())
            if transport == "TCP":
                self.assertEqual(scene.transport.connections, 1)

    def test_a_lost_flow_is_430(self) -> None:
        scene, client, home = self.place()
        path = str(self.registered(client, home))
        client.wire.drop_connections()
        scene.advance(0.01)
        home.send(self.to_client(home, path, client, "MESSAGE"))
        self.assertEqual(home.starts(), ["430 MESSAGE"])
        home.send(self.to_client(home, path, client, "NOTIFY", to_tag="x"))
        self.assertEqual(home.starts(), ["430 NOTIFY"])

    def test_nobody_else_gets_through(self) -> None:
        """A made-up flow, one of another's, and the client's own as a way to the world."""
        scene, client, home = self.place()
        path = str(self.registered(client, home))
        victim = scene.peer("victim")
        foreign = f"sip:victim@{victim.address}"
        for forged in (
            path.replace(";d=", ";d=0"),
            path.replace("sip:", "sip:A"),
            path.partition("@")[0] + f"@{PROXY};lr>",
        ):
            home.send(home.request("MESSAGE", foreign, extra=f"Route: {forged}\r\n"))
            self.assertIn(home.one().status, (400, 407), forged)
        for method, tag in (("MESSAGE", ""), ("INVITE", ""), ("INVITE", "x")):
            client.send(client.request(method, foreign, to_tag=tag, extra=f"Route: {path}\r\n"))
            self.assertEqual(client.starts(), [f"407 {method}"])
        # By somebody else it leads to the client, whatever the Request-URI is.
        home.send(home.request("MESSAGE", foreign, extra=f"Route: {path}\r\n"))
        self.assertEqual(client.starts(), ["MESSAGE"])
        self.assertEqual(victim.take(), [])

    def test_its_own_calls_go_out(self) -> None:
        _, client, home = self.place()
        path = str(self.registered(client, home))
        client.send(client.request(uri=f"sip:carol@{HOME}", extra=f"Route: {path}\r\n"))
        self.assertEqual(home.starts(), ["INVITE"])
