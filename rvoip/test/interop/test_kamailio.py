"""Kamailio as the next hop and as the previous one: dialogs that both proxies stay in."""

from __future__ import annotations

import re

from rvoip.test.interop.addresses import address
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.kamailio import Kamailio
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

Phone = Baresip | PJSIP


class KamailioCase(InteropTestCase):
    """erin has an account at a Kamailio, which sends what is for our domain to us."""

    def at_kamailio(self, kamailio: Kamailio, user: str, transport: str = "udp") -> Baresip:
        """A baresip that has registered there."""
        phone = Baresip(
            self.folder,
            self.host(),
            f"{user}@{kamailio.address}",
            outbound=kamailio.uri(transport),
            transport=transport,
        )
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def talk(self, caller: Phone, callee: Phone, uri: str, *, callee_hangs_up: bool) -> None:
        """A whole call, with a hold by each side."""
        caller.call(uri)
        callee.rings()
        caller.receives("^SIP/2.0 180")
        callee.answer()
        caller.talks()
        callee.talks()
        caller.hears()
        callee.hears()
        for holder, held in (caller, callee), (callee, caller):
            holder.hold()
            until(lambda: held.received(r"^INVITE [^\0]*^a=sendonly"), "the offer")  # noqa: B023
            until(lambda: holder.received(r"^SIP/2.0 200 [^\0]*^a=recvonly"), "the answer")  # noqa: B023
            holder.resume()
            holder.hears()
            held.hears()
        (callee if callee_hangs_up else caller).hang_up()
        caller.hung_up()
        callee.hung_up()
        refusals = r"^SIP/2.0 ([3-6]\d\d) (?<!407 )[^\0]*^CSeq: \d+ (?!REGISTER)"
        self.assertEqual(callee.received(refusals), [])

    def recorded(self, phone: Phone) -> list[str]:
        """The Record-Route values of the first INVITE that a phone received, top first."""
        lines = phone.received("^INVITE ")[0].split("\n")
        values = [line.partition(": ")[2] for line in lines if line.startswith("Record-Route: ")]
        return [value.strip() for line in values for value in line.split(",")]


class NextHopTests(KamailioCase):
    """A call of our user to one of Kamailio's, a foreign domain to us."""

    def outgoing(self, ours: str, between: str, theirs: str) -> None:
        """It is asked for credentials by us, which go no further; both proxies are in its dialog."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        caller = self.baresip(role, "alice", ours)
        callee = self.at_kamailio(kamailio, "erin", theirs)
        self.talk(caller, callee, kamailio.uri(between, "erin"), callee_hangs_up=True)
        self.assertEqual(len(caller.received("^SIP/2.0 407 ")), 1)
        self.assertIn("request INVITE", kamailio.process.output)
        self.assertNotIn("auth=Digest", kamailio.process.output)
        routes = self.recorded(callee)
        self.assertIn(kamailio.host, routes[0])
        self.assertIn(role.host, routes[-1])
        role.said(f"call sip:alice@{DOMAIN} -> .*erin@.*: 200 ")
        role.said("call hung up by sip:erin@")

    def test_udp(self) -> None:
        self.outgoing("udp", "udp", "udp")

    def test_tcp_between(self) -> None:
        self.outgoing("udp", "tcp", "udp")

    def test_tls_to_tcp(self) -> None:
        """Both proxies change the transport: two Record-Route values of each."""
        self.outgoing("tls", "udp", "tcp")

    def test_cancel(self) -> None:
        """A CANCEL crosses both, and the 487 comes back."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        caller = self.pjsip(role, "alice")
        callee = self.at_kamailio(kamailio, "erin")
        caller.call(kamailio.uri(user="erin"))
        callee.rings()
        caller.wait("call", state="early", status=180)
        caller.hang_up()
        callee.missed()
        caller.failed(487)
        self.assertEqual(len(callee.received("^CANCEL ")), 1)

    def test_refusals(self) -> None:
        """What Kamailio or its phone refuses comes back as it is: 404, 486."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        caller = self.baresip(role, "alice")
        callee = self.at_kamailio(kamailio, "erin")
        caller.call(kamailio.uri(user="nobody"))
        caller.failed(404)
        caller.call(kamailio.uri(user="erin"))
        callee.rings()
        callee.refuse()
        self.assertRegex(caller.wait("CALL_CLOSED", count=2)["param"], "^486 ")

    def test_no_relay_without_an_account(self) -> None:
        """Somebody who knows no password of ours gets nothing through us to another domain."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        callee = self.at_kamailio(kamailio, "erin")
        for password in "wrong", "":
            caller = Baresip(
                self.folder,
                self.host(),
                f"alice@{DOMAIN}",
                outbound=role.uri(),
                password=password or "none",
                account=";regint=0",
                name=f"stranger{password}",
            )
            self.addCleanup(caller.close)
            caller.call(kamailio.uri(user="erin"))
            self.assertRegex(caller.wait("CALL_CLOSED")["param"], "^(401|403|407) |Authentication|Permission")
            self.assertTrue(caller.received("^SIP/2.0 407 "))
        self.assertNotIn("request INVITE", kamailio.process.output)
        self.assertEqual(callee.received("^INVITE "), [])


class PreviousHopTests(KamailioCase):
    """A call of Kamailio's user to ours."""

    def incoming(self, theirs: str, between: str, ours: str, hidden: bool = False) -> None:
        """It needs no credentials; both proxies are in its dialog."""
        role = self.role(tables={"proxy": "topology_hiding = true"} if hidden else None)
        kamailio = self.kamailio(role.uri(between))
        caller = self.at_kamailio(kamailio, "erin", theirs)
        callee = self.pjsip(role, "bob", ours)
        self.talk(caller, callee, f"sip:bob@{DOMAIN}", callee_hangs_up=True)
        self.assertEqual(caller.received("^SIP/2.0 407 "), [])
        routes = self.recorded(callee)
        self.assertIn(role.host, routes[0])
        if hidden:
            invite = callee.received("^INVITE ")[0].partition("\n\n")[0]
            self.assertEqual(len(re.findall("^Via: ", invite, re.M)), 1)
            self.assertNotIn(f"sip:{kamailio.host}", "".join(routes))
            self.assertRegex(invite, f"(?m)^Contact: .*<sip:th\\.[a-z2-7]+@{role.host}")
        else:
            self.assertIn(kamailio.host, routes[-1])
        role.said(f"call sip:erin@.* -> sip:bob@{DOMAIN}.*: 200 ")

    def test_udp(self) -> None:
        self.incoming("udp", "udp", "udp")

    def test_tcp_between(self) -> None:
        self.incoming("udp", "tcp", "udp")

    def test_tcp_to_tls(self) -> None:
        """Both proxies change the transport."""
        self.incoming("tcp", "udp", "tls")

    def test_hidden(self) -> None:
        """Neither phone sees the other's side, and both hold and hang up all the same."""
        self.incoming("udp", "udp", "udp", hidden=True)

    def test_cancel(self) -> None:
        """A CANCEL crosses both, and the 487 comes back."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        caller = self.at_kamailio(kamailio, "erin")
        callee = self.baresip(role, "bob", "tls")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        caller.receives("^SIP/2.0 180")
        caller.hang_up()
        callee.missed()
        caller.receives("^SIP/2.0 487 ")
        self.assertEqual(len(callee.received("^CANCEL ")), 1)

    def test_refusals(self) -> None:
        """480 of ours goes back through it, for strangers also where there is no such user; a third domain is
        refused with 407.
        """
        role = self.role()
        kamailio = self.kamailio(role.uri())
        caller = self.at_kamailio(kamailio, "erin")
        for number, (uri, status) in enumerate(
            [(f"sip:nobody@{DOMAIN}", 480), (f"sip:bob@{DOMAIN}", 480), (f"sip:x@{address(99)}", 407)]
        ):
            caller.call(uri)
            caller.wait("CALL_CLOSED", count=number + 1)
            self.assertTrue(caller.received(f"^SIP/2.0 {status} "), uri)


class EdgeTests(KamailioCase):
    """Kamailio as an edge proxy that our users register through (RFC 3327)."""

    def test_path(self) -> None:
        """The Path that it adds is kept, and calls to the user go through it."""
        role = self.role()
        kamailio = self.kamailio(role.uri())
        callee = PJSIP(self.folder, self.host(), "bob", kamailio.uri("tcp"), transport="tcp")
        self.addCleanup(callee.close)
        callee.registered()
        self.assertIn("path", callee.sent("^REGISTER")[0].split("Supported: ")[1].split("\n")[0])
        (binding,) = role.bindings("bob")
        self.assertEqual(len(binding["path"]), 1, binding)
        self.assertIn(kamailio.host, binding["path"][0])
        caller = self.baresip(role, "alice", "tls")
        self.talk(caller, callee, f"sip:bob@{DOMAIN}", callee_hangs_up=False)
        self.assertIn("request INVITE", kamailio.process.output)
        callee.do("unregister")
        callee.wait("registration", status=200, active=False)
        self.assertEqual(role.bindings("bob"), [])

    def test_phone_without_path(self) -> None:
        """A phone that does not know of Path is told 420 where that is wanted (RFC 3327 section 5.3)."""
        role = self.role(tables={"registrar": "strict_path = true"})
        kamailio = self.kamailio(role.uri())
        phone = PJSIP(self.folder, self.host(), "bob", kamailio.uri())
        self.addCleanup(phone.close)
        phone.wait("registration", status=420)
        self.assertRegex(phone.receives("^SIP/2.0 420 "), "(?m)^Unsupported: path$")
        self.assertEqual(role.bindings("bob"), [])


class HomeTests(KamailioCase):
    """Kamailio as the registrar of a domain that we are an edge for (RFC 3327, RFC 5626)."""

    def edge(self, kamailio: Kamailio) -> Role:
        """A role that leads strangers to Kamailio's domain, and nowhere else."""
        gateways = f'[[proxy.gateway_set]]\nname = "home"\ngateways = ["{kamailio.uri()}"]\nkeep_uri = true\n'
        route = '[[proxy.route]]\ndomain = "kam.test"\nset = "home"\npublic = true\n'
        return self.role(address(3), tables={"proxy": f"\n{gateways}{route}"}, name="edge")

    def test_calls_come_by_the_connection(self) -> None:
        kamailio = self.kamailio(f"sip:{address(99)}")
        role = self.edge(kamailio)
        callee = Baresip(
            self.folder,
            self.host(),
            "erin@kam.test",
            outbound=role.uri("tcp"),
            transport="tcp",
            account=";sipnat=outbound",
            modules=("uuid",),
        )
        self.addCleanup(callee.close)
        callee.registered()
        call_id = callee.sent("^REGISTER ")[0].split("Call-ID: ")[1].split("\n")[0]
        passed = [one["text"] for one in role.ladder(call_id) if one["direction"] == "out"]
        self.assertRegex(passed[0], rf"\nPath: <sip:[\w-]+@{role.host}:\d+;lr;ob;d=[0-9a-f]{{24}}>\r?\n")
        caller = self.at_kamailio(kamailio, "frank")
        self.talk(caller, callee, "sip:erin@kam.test", callee_hangs_up=True)
        invite = callee.received("^INVITE ")[0]
        self.assertIn(f"\nVia: SIP/2.0/TCP {role.address};", invite)
        # Its own calls go out by us as well, without an account here.
        callee.call(kamailio.uri(user="frank").replace(kamailio.address, "kam.test").partition(";")[0])
        caller.rings()
        caller.answer()
        caller.talks()
        caller.hang_up()
