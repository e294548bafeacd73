"""UDP and TCP over IPv4 and IPv6, seen from outside of a running proxy."""

from __future__ import annotations

import re
import select
import socket
import time
from typing import ClassVar

from twisted.trial.unittest import SkipTest

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.case import OPEN, AgentCase
from rvoip.test.conformance.element import Text, element, own_address
from rvoip.test.hostile.server import Server


class UDPTests(AgentCase):
    """RFC 3261 section 18 and RFC 3581."""

    servers: ClassVar = {
        "plain": element("proxy", OPEN),
        "behind NAT": element("proxy", OPEN, sip="force_rport = true\n"),
    }

    def via_of_answer(self, agent: Agent, via: str, listening: socket.socket | None = None) -> str:
        """The topmost Via of the answer to OPTIONS with this Via."""
        wire = agent.request("OPTIONS", "sip:example.test", via=f"SIP/2.0/UDP {via}")
        agent.send(wire)
        if listening is not None:
            listening.settimeout(5.0)
            return Text(listening.recv(65535)).values("via")[0]
        return agent.final(wire).values("via")[0]

    def test_where_a_response_goes(self) -> None:
        """To the source address; to its port where rport asks, else to that of the sent-by."""
        agent = self.agent()
        _, (other,) = own_address(int(agent.host.rpartition(".")[2]), (5070,))
        self.addCleanup(other.close)
        host = agent.host
        noted = {"rport": str(agent.port), "received": host}
        for via, params in (
            (f"{host}:{agent.port};branch=z9hG4bK1", {}),
            (f"{host}:{agent.port};branch=z9hG4bK2;rport", noted),
            (f"{host}:5070;branch=z9hG4bK3;rport", noted),
            ("192.0.2.9:5070;rport;branch=z9hG4bK4", noted),
            (f"192.0.2.9:{agent.port};branch=z9hG4bK5", {"received": host}),
            (f"phone.invalid:{agent.port};branch=z9hG4bK6", {"received": host}),
            # What the sender says of itself, or of others, is not followed.
            (f"{host}:{agent.port};branch=z9hG4bK7;received=192.0.2.66", {}),
            (
                f"192.0.2.9:{agent.port};branch=z9hG4bK8;received=192.0.2.66;maddr=192.0.2.6",
                {"received": host},
            ),
            (f"{host};rport=9;branch=z9hG4bK9;received=192.0.2.66", noted),
        ):
            answered = self.via_of_answer(agent, via)
            self.assertEqual(dict(re.findall(r";(rport|received)=([^;]*)", answered)), params, via)
        if other.getsockname()[0] == host:
            self.assertIn("5070", self.via_of_answer(agent, f"{host}:5070;branch=z9hG4bK10", other))

    def test_force_rport(self) -> None:
        """Everybody is answered at the source port."""
        agent = self.agent("behind NAT")
        answered = self.via_of_answer(agent, "192.0.2.9:5999;branch=z9hG4bK1")
        self.assertIn(f";received={agent.host}", answered)

    def test_what_is_no_message(self) -> None:
        """Keep-alives by CRLF, and strays, are not answered, and do no harm."""
        agent = self.agent()
        for datagram in (
            b"\r\n\r\n",
            b"\r\n",
            b"\0" * 4,
            b"hello",
            b"",
            b" ",
        ):
            agent.socket.sendto(datagram, agent.server)
        agent.send(b"\r\n\r\n" + agent.request("OPTIONS", "sip:example.test"))
        self.assertEqual(agent.wait(lambda message: True).status, 200)

    def test_stun(self) -> None:
        """The keep-alive of a UDP flow is told its address (RFC 5626 section 3.5.2)."""
        agent = self.agent()
        key = b"\x21\x12\xa4\x42" + b"conformance!"
        agent.socket.sendto(b"\0\1\0\0" + key, agent.server)
        agent.socket.settimeout(5.0)
        answer = agent.socket.recv(100)
        self.assertEqual((answer[:2], answer[4:20]), (b"\1\1", key))
        port = int.from_bytes(answer[26:28], "big") ^ 0x2112
        host = socket.inet_ntoa(bytes(one ^ other for one, other in zip(answer[28:32], key)))
        self.assertEqual((host, port), (agent.host, agent.port))

    def test_several_vias(self) -> None:
        """Only the topmost is touched, wherever the others stand."""
        agent = self.agent()
        for more in (
            ", SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKb;rport",
            "\r\nVia: SIP/2.0/TLS a.invalid;branch=z9hG4bKc",
        ):
            wire = agent.request(
                "OPTIONS", "sip:example.test", via=f"SIP/2.0/UDP {agent.sent_by};branch=z9hG4bKa;rport{more}"
            )
            agent.send(wire)
            answer = agent.wait(lambda message: message.status == 200)
            self.assertEqual(len(answer.values("via")), 2)
            self.assertNotIn("received", answer.values("via")[1])

    def test_a_large_request_goes_by_tcp(self) -> None:
        """RFC 3261 section 18.1.1, if the callee takes it; else by UDP after all."""
        callee, caller = self.agent(), self.agent()
        listening = self.listener(callee.host, callee.port)
        for user in ("large", "small"):
            self.assertEqual(callee.register(user, callee.contact(user)).status, 200)
        padding = "X-Padding: " + "x" * 1300
        wire = caller.request("INVITE", "sip:large@example.test", padding)
        caller.send(wire)
        phone = self.accepted(listening)
        got = phone.wait_for("INVITE")
        self.assertRegex(got.values("via")[0], r"SIP/2\.0/TCP ")
        phone.send(answer_to(got, "486 Busy Here"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 486)
        caller.acknowledge(wire, answer)
        self.assertEqual(phone.wait_for("ACK").values("via"), got.values("via")[:1])
        # The connection is there, so it is used again; what is small goes by UDP still.
        caller.send(caller.request("MESSAGE", "sip:large@example.test", padding))
        self.assertEqual(phone.wait_for("MESSAGE").method, "MESSAGE")
        caller.send(caller.request("MESSAGE", "sip:small@example.test"))
        self.assertRegex(callee.wait_for("MESSAGE").values("via")[0], r"SIP/2\.0/UDP ")
        deaf = self.agent()
        self.assertEqual(deaf.register("deaf", deaf.contact("deaf")).status, 200)
        caller.send(caller.request("INVITE", "sip:deaf@example.test", padding))
        got = deaf.wait_for("INVITE")
        self.assertRegex(got.values("via")[0], r"SIP/2\.0/UDP ")
        deaf.send(answer_to(got, "486 Busy Here"))

    def test_phones_behind_nat(self) -> None:
        """Both are reached where their packets come from, for the whole call, whatever their Contacts say."""
        caller, callee = self.agent(), self.agent()
        self.assertEqual(callee.register("natted", "<sip:natted@10.1.1.5:5060>").status, 200)
        _, shown = self.serve("plain").api("GET", "/v1/bindings/natted@example.test")
        self.assertIn(callee.sent_by, shown["bindings"][0]["received"])
        wire = caller.request("INVITE", "sip:natted@example.test", "Contact: <sip:a@10.1.1.6:5060>")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        self.assertEqual(got.uri, "sip:natted@10.1.1.5:5060")
        callee.send(answer_to(got, "200 OK", "Contact: <sip:natted@10.1.1.5:5060>", tag="t"))
        answer = caller.final(wire)
        caller.send(caller.in_dialog("ACK", wire, answer, 1))
        self.assertEqual(callee.wait_for("ACK").uri, "sip:natted@10.1.1.5:5060")
        routes = [f"Route: {value}" for value in got.values("record-route")]
        bye = callee.request(
            "BYE",
            "sip:a@10.1.1.6:5060",
            *routes,
            sender=f"{got.get('to')};tag=t",
            to=got.get("from"),
            call_id=got.get("call-id"),
        )
        callee.send(bye)
        caller.send(answer_to(caller.wait_for("BYE"), "200 OK"))
        self.assertEqual(callee.final(bye).status, 200)


class StreamTests(AgentCase):
    """TCP: frames, keep-alives, reuse."""

    def test_keep_alive(self) -> None:
        """A double CRLF is answered with one, also between and amid messages (RFC 5626 section 4.4.1)."""
        agent = self.stream(self.serve("plain").address)
        connection = agent.stream.socket
        for ping in ((b"\r\n\r\n",), (b"\r\n", b"\r\n"), (b"\r", b"\n\r", b"\n")):
            for part in ping:
                connection.sendall(part)
                time.sleep(0.01)
            connection.settimeout(5.0)
            self.assertEqual(connection.recv(100), b"\r\n", ping)
        options = agent.request("OPTIONS", "sip:example.test")
        connection.sendall(options + b"\r\n\r\n")
        data = b""
        while not data.endswith(b"Content-Length: 0\r\n\r\n\r\n") and len(data) < 5000:
            data += connection.recv(5000)
        self.assertTrue(data.startswith(b"SIP/2.0 200 OK\r\n"))

    def test_however_it_is_cut(self) -> None:
        """Messages come whole out of octets, and several at once in order."""
        agent = self.stream(self.serve("plain").address)
        wires = [
            agent.request("OPTIONS", "sip:example.test", "X: 1", call_id=f"cut-{number}", body=b"b" * number)
            for number in range(6)
        ]
        agent.send(b"".join(wires))
        got = [agent.wait(lambda message: True) for _ in wires]
        self.assertEqual([one.get("call-id") for one in got], [f"cut-{number}" for number in range(6)])
        data = agent.request("OPTIONS", "sip:example.test", call_id="octets", body=b"\r\n\r\nbody\0")
        for index in range(0, len(data), 3):
            agent.send(data[index : index + 3])
        self.assertEqual(agent.wait(lambda message: True).get("call-id"), "octets")

    def test_a_response_comes_by_the_connection_of_its_request(self) -> None:
        """Whatever Via says; without Content-Length there is no body."""
        agent = self.stream(self.serve("plain").address)
        for via in ("192.0.2.1:9;branch=z9hG4bKs1", "a.invalid;branch=z9hG4bKs2;rport"):
            agent.send(agent.request("OPTIONS", "sip:example.test", via=f"SIP/2.0/TCP {via}", length=None))
            answer = agent.wait(lambda message: True)
            self.assertIn(f";received={agent.host}", answer.values("via")[0])

    def test_one_connection_for_a_phone(self) -> None:
        """What a phone registers over a connection comes back by it; both ways it is one connection."""
        server = self.serve("plain")
        phone = self.stream(server.address)
        # The contact's own port is closed: only the connection leads there.
        self.assertEqual(phone.register("reuse", phone.contact("reuse")).status, 200)
        caller = self.agent()
        for number in range(3):
            caller.send(caller.request("MESSAGE", "sip:reuse@example.test", cseq=f"{number} MESSAGE"))
            got = phone.wait_for("MESSAGE")
            phone.send(answer_to(got, "200 OK"))
            self.assertEqual(caller.wait(lambda message: True).status, 200)

    def test_one_connection_to_a_server(self) -> None:
        """What goes to one address goes by one connection, as long as it is open; then by a new one."""
        caller, callee = self.agent(), self.agent()
        listening = self.listener(callee.host, 0)
        there = "{}:{}".format(*listening.getsockname())
        answer = callee.register("far", f"<sip:far@{there};transport=tcp>")
        self.assertEqual(answer.status, 200)
        wire = caller.request("MESSAGE", "sip:far@example.test")
        caller.send(wire)
        phone = self.accepted(listening)
        got = phone.wait_for("MESSAGE")
        self.assertRegex(got.values("via")[0], r"SIP/2\.0/TCP ")
        phone.send(answer_to(got, "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)
        caller.send(caller.request("MESSAGE", "sip:far@example.test"))
        phone.wait_for("MESSAGE")
        self.assertEqual(select.select([listening], [], [], 0.05)[0], [])
        phone.stream.socket.close()
        wire = caller.request("MESSAGE", "sip:far@example.test")
        caller.send(wire)
        second = self.accepted(listening)
        second.send(answer_to(second.wait_for("MESSAGE"), "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)

    def test_a_device_that_comes_back(self) -> None:
        """It is called by its new connection, and only by that (RFC 5626 section 5.3)."""
        server = self.serve("plain")
        instance = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'
        phones = []
        for _ in range(2):
            phone = self.stream(server.address)
            contact = phone.contact("device", f";reg-id=1;{instance}")
            answer = phone.register("device", contact, headers=("Supported: path, outbound",))
            self.assertEqual((answer.status, answer.get("require")), (200, "outbound"))
            phones.append(phone)
        caller = self.agent()
        wire = caller.request("MESSAGE", "sip:device@example.test")
        caller.send(wire)
        got = phones[1].wait_for("MESSAGE")
        phones[1].send(answer_to(got, "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)
        self.assertEqual(phones[0].nothing(0.05), [])
        # Two flows of one device are tried one after the other, so that it rings once.
        second = self.stream(server.address)
        contact = second.contact("device", f";reg-id=2;{instance}")
        self.assertEqual(
            second.register("device", contact, headers=("Supported: path, outbound",)).status, 200
        )
        phones[1].stream.socket.close()
        wire = caller.request("MESSAGE", "sip:device@example.test")
        caller.send(wire)
        second.send(answer_to(second.wait_for("MESSAGE"), "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)

    def test_a_phone_whose_connection_is_gone(self) -> None:
        """The caller hears of it at once."""
        phone = self.stream(self.serve("plain").address)
        self.assertEqual(phone.register("gone", phone.contact("gone")).status, 200)
        phone.stream.socket.close()
        caller = self.agent()
        wire = caller.request("INVITE", "sip:gone@example.test")
        began = time.monotonic()
        caller.send(wire)
        answer = caller.final(wire)
        self.assertEqual(answer.status, 480)
        self.assertLess(time.monotonic() - began, 2.0)
        caller.acknowledge(wire, answer)


def _both_families(host: str) -> Server:
    """One that listens on [::1] too."""
    server = element("proxy", OPEN)(host)
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
        one.bind(("::1", 0))
        port = one.getsockname()[1]
    server.text = server.text.replace("listen = [", f'listen = ["udp:[::1]:{port}", "tcp:[::1]:{port}", ', 1)
    server.config.write_text(server.text, encoding="utf-8")
    return server


class IPv6Tests(AgentCase):
    """[::1] beside IPv4."""

    servers: ClassVar = {"both families": _both_families}

    def setUp(self) -> None:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
                one.bind(("::1", 0))
        except OSError as error:
            raise SkipTest(f"there is no IPv6 here: {error}") from None
        self.server = self.serve("both families")
        self.address = ("::1", int(self.server.text.partition("udp:[::1]:")[2].partition('"')[0]))

    def test_a_call_between_families(self) -> None:
        """Each side has a Record-Route that it can reach; Via is stamped without brackets."""
        callee = Agent(self.server, "::1", address=self.address)
        caller = Agent(self.server)
        self.addCleanup(callee.socket.close)
        self.addCleanup(caller.socket.close)
        here = f"[::1]:{self.address[1]}"
        answer = callee.ask(
            "REGISTER", f"sip:{here}", f"Contact: {callee.contact('six')}", to=f"<sip:six@{here}>"
        )
        self.assertEqual(answer.status, 200)
        self.assertIn(";received=::1", answer.values("via")[0])
        wire = caller.request("INVITE", "sip:six@example.test", f"Contact: {caller.contact('a')}")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        self.assertRegex(got.values("via")[0], rf"SIP/2\.0/UDP {re.escape(here)};")
        self.assertIn(here, got.values("record-route")[0])
        self.assertIn("{}:{}".format(*self.server.address), got.values("record-route")[1])
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('six')}", tag="t"))
        accepted = caller.final(wire)
        caller.send(caller.in_dialog("ACK", wire, accepted, 1))
        self.assertEqual(callee.wait_for("ACK").all("route"), [])
        bye = caller.in_dialog("BYE", wire, accepted, 2)
        caller.send(bye)
        callee.send(answer_to(callee.wait_for("BYE"), "200 OK"))
        self.assertEqual(caller.final(bye).status, 200)

    def test_tcp(self) -> None:
        """OPTIONS over TCP."""
        with socket.create_connection(self.address, 5.0) as connection:
            host, port = connection.getsockname()[:2]
            connection.sendall(
                f"OPTIONS sip:example.test SIP/2.0\r\nVia: SIP/2.0/TCP [{host}]:{port};branch=z9hG4bK6\r\n"
                f"From: <sip:a@[{host}]>;tag=1\r\nTo: <sip:example.test>\r\nCall-ID: six\r\n"
                "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n".encode()
            )
            self.assertTrue(connection.recv(5000).startswith(b"SIP/2.0 200 OK\r\n"))
