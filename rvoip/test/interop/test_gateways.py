"""Calls by way of gateways, which sipp plays."""

from __future__ import annotations

import json
import socket
import urllib.parse
import urllib.request
from typing import Any

from rvoip.test.interop.addresses import NETWORK, address, free_port
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import HOST, InteropTestCase
from rvoip.test.interop.nameserver import NameServer
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role
from rvoip.test.interop.sipp import SIPp

_TRUNKS = f"{NETWORK}.0/24"


class GatewayTests(InteropTestCase):
    def gateway(self, name: str) -> SIPp:
        """A gateway that takes calls and answers OPTIONS."""
        return self.sipp("gateway", name=name, calls=1000, patience=60)

    def start(self, *gateways: str, routing: str = "", rules: str = "", sip: str = "") -> Role:
        """A proxy with the set "carriers" of these (host:port) for numbers of +49."""
        listed = ", ".join(
            f'{{uri = "sip:{one}", priority = {-place}}}' for place, one in enumerate(gateways)
        )
        return self.role(
            sip=sip,
            tables={
                "proxy": routing,
                "proxy.numbers": 'country = "49"',
                "[proxy.peer]": f'name = "tests"\nnetworks = ["{_TRUNKS}"]\ncall_out = true',
                "[proxy.route]": 'prefix = "+49"\nset = "carriers"\nnumber = "e164"',
                "[proxy.gateway_set]": f'name = "carriers"\ngateways = [{listed}]\n{rules}',
            },
        )

    def dial(self, role: Role, number: str = "0301234567", name: str = "caller") -> SIPp:
        """A call to a number, to its end."""
        call = self.sipp("dials", role.address, name=name, keys={"number": number})
        call.succeed()
        return call

    def states(self, role: Role) -> dict[str, str]:
        return {one["id"]: one["state"] for one in role.get("/v1/gateways")["gateways"]}

    def test_one_of_two_is_dead(self) -> None:
        """The call is set up within the patience that is left for the dead one, and later ones at once."""
        dead = f"{self.host()}:{free_port(HOST)}"
        alive = self.gateway("alive")
        role = self.start(dead, alive.contact, rules="fail_after = 1\npatience = 0.5")
        self.dial(role)
        (invite,) = alive.received("^INVITE")
        self.assertTrue(invite.startswith(f"INVITE sip:+49301234567@{alive.contact} SIP/2.0"), invite)
        self.assertEqual(
            self.states(role), {f"carriers:{dead}": "inactive", f"carriers:{alive.contact}": "active"}
        )
        second = self.dial(role, "+4930555", "second")
        call_id = second.sent("^INVITE")[0].partition("Call-ID: ")[2].partition("\n")[0]
        sent = [
            one
            for one in role.ladder(call_id)
            if one["direction"] == "out" and one["text"].startswith("INVITE")
        ]
        self.assertEqual([one["destination"] for one in sent], [alive.contact])

    def test_probing(self) -> None:
        """A gateway that does not answer OPTIONS gets no calls; once it does it has them again."""
        host = self.host()
        port = free_port(host)
        late = f"{host}:{port}"
        alive = self.gateway("alive")
        role = self.start(late, alive.contact, rules="probe = 0.5\nfail_after = 1")
        until(lambda: self.states(role)[f"carriers:{late}"] == "inactive", "the dead gateway to be noticed")
        self.assertEqual(self.states(role)[f"carriers:{alive.contact}"], "active")
        self.dial(role)
        self.assertEqual(len(alive.received("^INVITE")), 1)
        self.assertTrue(alive.received("^OPTIONS"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as woken:
            woken.bind((host, port))
            woken.settimeout(5)
            question, source = woken.recvfrom(4096)
            first_line, rest = question.split(b"\r\n", 1)
            self.assertTrue(first_line.startswith(b"OPTIONS "))
            woken.sendto(b"SIP/2.0 404 Not Found\r\n" + rest, source)
            until(lambda: self.states(role)[f"carriers:{late}"] == "active", "it to be back")

    def test_switched_off(self) -> None:
        """By the operator, over the API; SIGHUP does not switch it on again."""
        one, two = self.gateway("one"), self.gateway("two")
        role = self.start(one.contact, two.contact)
        self.dial(role)
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (1, 0))
        self.put(role, f"carriers:{one.contact}", "disabled")
        role.reload()
        self.dial(role, name="second")
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (1, 1))
        self.put(role, f"carriers:{one.contact}", "active")
        self.dial(role, name="third")
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (2, 1))

    def put(self, role: Role, id: str, state: str) -> None:
        request = urllib.request.Request(
            f"{role.api}/v1/gateways/{urllib.parse.quote(id, safe='')}",
            json.dumps({"state": state}).encode(),
            {"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["state"] == state

    def test_a_dispatcher_list(self) -> None:
        """Kamailio's file, read again with SIGHUP."""
        one, two = self.gateway("one"), self.gateway("two")
        listed = self.folder / "dispatcher.list"
        listed.write_text(f"# gateways\n1 sip:{one.contact} 0 0 duid=first\n2 sip:{two.contact}\n")
        role = self.role(
            tables={
                "[proxy.peer]": f'name = "tests"\nnetworks = ["{_TRUNKS}"]\ncall_out = true',
                "[proxy.route]": 'prefix = "0"\nset = "1"',
                "[proxy.gateway_set]": f'name = "1"\nfile = "{listed}"',
            }
        )
        self.assertEqual(self.states(role), {"1:first": "active"})
        self.dial(role)
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (1, 0))
        listed.write_text(f"1 sip:{two.contact}\n")
        role.reload()
        self.dial(role, name="second")
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (1, 1))
        listed.write_text("1 nonsense\n")
        mark = role.process.mark
        role.expected.append("Configuration not reloaded")
        role.hang_up()
        role.process.wait_for("not reloaded: .*dispatcher.list, line 1", after=mark)
        self.dial(role, name="third")

    def test_strangers_do_not_call_out(self) -> None:
        gateway = self.gateway("gateway")
        role = self.role(
            tables={
                "[proxy.route]": 'prefix = "0"\nset = "s"',
                "[proxy.gateway_set]": f'name = "s"\ngateways = ["sip:{gateway.contact}"]',
            }
        )
        call = self.sipp("dials", role.address, keys={"number": "0301"}, patience=5)
        call.process.wait(20)
        self.assertTrue(call.received("^SIP/2.0 407"))
        self.assertEqual(gateway.received("^INVITE"), [])

    def test_enum(self) -> None:
        """A number whose address a name server knows goes there, and not by the route."""
        gateway, other = self.gateway("gateway"), self.gateway("other")
        regexp = f"rb'!^\\+49(.*)$!sip:0\\1@{other.contact}!'"
        record = f"NAPTR('7.6.5.4.3.2.1.0.3.9.4.e164.test', 10, 10, b'u', b'E2U+sip', {regexp})"
        names = NameServer(self.folder, address(5), "e164.test", [record])
        self.addCleanup(names.close)
        role = self.start(gateway.contact, routing='enum = ["e164.test"]', sip=f'dns = ["{names.address}"]')
        self.dial(role)
        (invite,) = other.received("^INVITE")
        self.assertTrue(invite.startswith(f"INVITE sip:0301234567@{other.contact} "), invite)
        self.dial(role, "0305550000", "second")
        self.assertEqual(len(gateway.received("^INVITE")), 1)

    def test_load(self) -> None:
        """Calls that are hung up count no more."""
        one, two = self.gateway("one"), self.gateway("two")
        role = self.start(one.contact, two.contact, rules='algorithm = "load"')
        for number in range(4):
            self.dial(role, name=f"caller{number}")
        found: list[dict[str, Any]] = role.get("/v1/gateways")["gateways"]
        self.assertEqual([gateway["calls"] for gateway in found], [0, 0])
        self.assertEqual((len(one.received("^INVITE")), len(two.received("^INVITE"))), (2, 2))

    def test_kamailio_as_a_gateway(self) -> None:
        """It is asked how it is, and rings its phone; the caller is one of our users, who proves it."""
        kamailio = self.kamailio(f"sip:{address(99)}")
        erin = Baresip(self.folder, self.host(), f"erin@{kamailio.address}", name="erin")
        self.addCleanup(erin.close)
        erin.registered()
        role = self.role(
            tables={
                "[proxy.route]": 'prefix = "77"\nstrip = 2\nset = "kamailio"',
                "[proxy.gateway_set]": f'name = "kamailio"\ngateways = ["sip:{kamailio.address}"]\nprobe = 1',
            }
        )
        caller = self.pjsip(role, "alice")
        caller.call(f"sip:77erin@{DOMAIN}")
        call_id = erin.rings()
        erin.answer()
        self.assertEqual(caller.talks(), call_id)
        caller.hears()
        erin.hears()
        (gateway,) = role.get("/v1/gateways")["gateways"]
        self.assertEqual((gateway["state"], gateway["calls"]), ("active", 1))
        until(lambda: role.get("/v1/gateways")["gateways"][0]["latency"], "an answer to OPTIONS")
        erin.hang_up()
        caller.hung_up()
        until(lambda: role.get("/v1/gateways")["gateways"][0]["calls"] == 0, "the end of the call to count")
        self.assertTrue(caller.received("^SIP/2.0 407"))
