"""Next hops by name (RFC 3263): a name server says where Kamailio is, and where we are."""

from __future__ import annotations

from rvoip.test.interop.addresses import address, free_port
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.kamailio import Kamailio
from rvoip.test.interop.nameserver import NameServer
from rvoip.test.interop.pjsip import PJSIP
from rvoip.test.interop.roles import DOMAIN, Role

_DNS = address(5)
ERIN = "sip:erin@kam.test"


class NameTests(InteropTestCase):
    """Kamailio is kam.test, erin's phone is registered there."""

    def set_up(self, *records: str, sip: str = "") -> tuple[Role, Kamailio, Baresip]:
        """A role that asks a name server with these records; PORT is Kamailio's, DEAD one where nobody is."""
        # The name server wants to know Kamailio's port, and the role that of the name server.
        kamailio = self.kamailio(f"sip:{address(99)}")
        host, _, port = kamailio.address.partition(":")
        dead = str(free_port(host))
        written = [record.replace("PORT", port).replace("DEAD", dead) for record in records]
        names = NameServer(self.folder, _DNS, "kam.test", [*written, f"A('one.kam.test', '{host}', 1)"])
        self.addCleanup(names.close)
        role = self.role(sip=f'dns = ["{names.address}"]\n{sip}')
        erin = Baresip(self.folder, self.host(), f"erin@{kamailio.address}", name="erin")
        self.addCleanup(erin.close)
        erin.registered()
        return role, kamailio, erin

    def call(self, role: Role, caller: PJSIP, callee: Baresip, uri: str = ERIN) -> list[tuple[str, str]]:
        """A call that is answered and hung up; returns transport and destination of each INVITE sent.

        PJSIP calls because baresip adds the transport of its account to every URI.
        """
        calls = len(callee.events("CALL_INCOMING"))
        caller.call(uri)
        call_id = callee.wait("CALL_INCOMING", count=calls + 1)["id"]
        callee.answer()
        caller.wait("call", state="confirmed", count=calls + 1)
        callee.hang_up()
        caller.wait("call", state="disconnected", count=calls + 1)
        return [
            (message["transport"], message["destination"])
            for message in role.ladder(call_id)
            if message["direction"] == "out" and message["summary"].startswith("INVITE")
        ]

    def test_naptr(self) -> None:
        """NAPTR chooses the transport, SRV the port."""
        role, kamailio, erin = self.set_up(
            "NAPTR('kam.test', 10, 10, b's', b'SIP+D2T', b'', '_sip._tcp.kam.test')",
            "NAPTR('kam.test', 20, 10, b's', b'SIP+D2U', b'', '_sip._udp.kam.test')",
            "SRV('_sip._tcp.kam.test', 1, 1, PORT, 'one.kam.test')",
            "SRV('_sip._udp.kam.test', 1, 1, DEAD, 'one.kam.test')",
        )
        caller = self.pjsip(role, "alice", "tls")
        self.assertEqual(self.call(role, caller, erin), [("TCP", kamailio.address)])

    def test_srv(self) -> None:
        """Without NAPTR it is the SRV record of UDP."""
        role, kamailio, erin = self.set_up("SRV('_sip._udp.kam.test', 1, 1, PORT, 'one.kam.test')")
        caller = self.pjsip(role, "alice")
        self.assertEqual(self.call(role, caller, erin), [("UDP", kamailio.address)])

    def test_address(self) -> None:
        """With a port in the URI only the address is looked up."""
        role, kamailio, erin = self.set_up()
        caller = self.pjsip(role, "alice")
        port = kamailio.address.partition(":")[2]
        sent = self.call(role, caller, erin, f"sip:erin@one.kam.test:{port}")
        self.assertEqual(sent, [("UDP", kamailio.address)])

    def test_failover(self) -> None:
        """Nobody is at the first address: the second is tried, and remembered as the better one."""
        role, kamailio, erin = self.set_up(
            "SRV('_sip._tcp.kam.test', 1, 1, DEAD, 'one.kam.test')",
            "SRV('_sip._tcp.kam.test', 2, 1, PORT, 'one.kam.test')",
        )
        caller = self.pjsip(role, "alice", "tls")
        first = self.call(role, caller, erin, f"{ERIN};transport=tcp")
        self.assertEqual(first[-1], ("TCP", kamailio.address))
        self.assertEqual(self.call(role, caller, erin, f"{ERIN};transport=tcp"), [("TCP", kamailio.address)])

    def test_failover_udp(self) -> None:
        """Over UDP it takes 64*T1 to know that nobody is there; T1 is 30 ms here."""
        role, kamailio, erin = self.set_up(
            "SRV('_sip._udp.kam.test', 1, 1, DEAD, 'one.kam.test')",
            "SRV('_sip._udp.kam.test', 2, 1, PORT, 'one.kam.test')",
            sip="t1 = 0.03",
        )
        caller = self.pjsip(role, "alice")
        self.assertIn(("UDP", kamailio.address), self.call(role, caller, erin))
        self.assertEqual(set(self.call(role, caller, erin)), {("UDP", kamailio.address)})

    def test_no_such_name(self) -> None:
        """A domain that does not exist, or has no addresses, is a clean refusal."""
        role, _, _ = self.set_up()
        caller = self.baresip(role, "alice")
        for number, name in enumerate(("nothing.kam.test", "kam.test")):
            caller.call(f"sip:erin@{name}")
            event = caller.wait("CALL_CLOSED", count=number + 1)
            self.assertRegex(event["param"], "^(404|480|500|502|503) ", name)

    def test_phone_finds_us(self) -> None:
        """A phone that knows the domain only finds the server by SRV, and its flow is kept."""
        role = self.role()
        names = NameServer(
            self.folder,
            _DNS,
            DOMAIN,
            [
                f"SRV('_sip._tcp.{DOMAIN}', 1, 1, {role.port}, 'sip.{DOMAIN}')",
                f"A('sip.{DOMAIN}', '{role.host}', 1)",
            ],
        )
        self.addCleanup(names.close)
        phone = Baresip(
            self.folder, self.host(), f"bob@{DOMAIN}", transport="tcp", nameserver=names.address, name="bob"
        )
        self.addCleanup(phone.close)
        phone.registered()
        self.assertEqual(len(role.bindings("bob")), 1)
        caller = self.baresip(role, "alice")
        caller.call(f"sip:bob@{DOMAIN}")
        phone.rings()
        phone.answer()
        caller.talks()
        phone.hang_up()
        caller.hung_up()
