"""RFC 3263 with a name server: where requests to foreign domains go, seen from outside of a running proxy."""

from __future__ import annotations

import time

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.case import AgentCase
from rvoip.test.conformance.element import Text, element, own_address
from rvoip.test.conformance.names import NAPTR, SRV, A, Names, a, naptr, srv
from rvoip.test.hostile.wire import authorization, challenges

USERS = {"alice": "secret of alice"}


class NameTests(AgentCase):
    """RFC 3263: where a domain's servers are, and the next one when one is dead."""

    def test_naptr_srv_and_the_next_one(self) -> None:
        """NAPTR chooses the transport, SRV the order; a dead server is skipped, and later avoided."""
        host, (first, second) = own_address(40, (0, 0))
        for one in (first, second):
            self.addCleanup(one.close)
        dead, live = (one.getsockname()[1] for one in (first, second))
        listening = self.listener(host, 0)
        over_tcp = listening.getsockname()[1]

        def answer(name: str, kind: int) -> list[bytes]:
            return {
                ("far.test", NAPTR): [
                    naptr(20, 1, "SIP+D2T", "_sip._tcp.far.test"),
                    naptr(10, 1, "SIP+D2U", "_sip._udp.far.test"),
                ],
                ("_sip._udp.far.test", SRV): [srv(2, 0, live, "b.far.test"), srv(1, 0, dead, "a.far.test")],
                ("_sip._tcp.far.test", SRV): [srv(0, 0, over_tcp, "b.far.test")],
                ("a.far.test", A): [a(host)],
                ("b.far.test", A): [a(host)],
                ("_sip._tcp.only.test", SRV): [srv(0, 0, over_tcp, "b.far.test")],
                ("plain.test", A): [a(host)],
            }.get((name, kind), [])

        with Names(host, answer) as names:
            sip = f'dns = ["{names.address}"]\n'
            server = element("proxy", "[registrar]\n", sip=sip, users=USERS, t1=0.02)("127.0.71.6")
            self.addCleanup(server.close)
            server.start()
            server.add_users()
            caller = Agent(server)
            self.addCleanup(caller.socket.close)
            sender = "<sip:alice@example.test>;tag=1"

            def call(uri: str, number: int) -> bytes:
                challenge = challenges(caller.ask("INVITE", uri, sender=sender))["SHA-256"]
                credentials = authorization(challenge, "alice", USERS["alice"], "INVITE", uri)
                wire = caller.request(
                    "INVITE",
                    uri,
                    f"Proxy-Authorization: {credentials}",
                    sender=sender,
                    cseq=f"{number} INVITE",
                )
                caller.send(wire)
                return wire

            phone = Agent(server, address=server.address, host=host)
            phone.socket.close()
            phone.socket = second
            began = time.monotonic()
            wire = call("sip:bob@far.test", 1)
            first.settimeout(5.0)
            tried = Text(first.recv(65535))
            self.assertEqual((tried.method, tried.uri), ("INVITE", "sip:bob@far.test"))
            got = phone.wait_for("INVITE")
            self.assertLess(time.monotonic() - began, 4.0)
            self.assertEqual(got.uri, "sip:bob@far.test")
            phone.send(answer_to(got, "486 Busy Here"))
            answered = caller.final(wire)
            self.assertEqual(answered.status, 486)
            caller.acknowledge(wire, answered)
            # Known to be dead, it comes last.
            began = time.monotonic()
            wire = call("sip:bob@far.test", 2)
            got = phone.wait_for("INVITE")
            self.assertLess(time.monotonic() - began, 0.5)
            phone.send(answer_to(got, "486 Busy Here"))
            caller.acknowledge(wire, caller.final(wire))
            stream = None
            # A transport in the URI, and a domain without NAPTR.
            for uri in ("sip:bob@far.test;transport=tcp", "sip:bob@only.test"):
                wire = call(uri, 3)
                stream = stream or self.accepted(listening)
                got = stream.wait_for("INVITE")
                stream.send(answer_to(got, "486 Busy Here"))
                caller.acknowledge(wire, caller.final(wire))
            # With a port there is no SRV to ask; without any record there is nobody.
            wire = call(f"sip:bob@plain.test:{live}", 4)
            phone.send(answer_to(phone.wait_for("INVITE"), "486 Busy Here"))
            self.assertEqual(caller.final(wire).status, 486)
            self.assertNotIn(("_sip._udp.plain.test", SRV), names.asked)
            wire = call("sip:bob@nowhere.test", 5)
            self.assertIn(caller.final(wire).status, (404, 478, 480, 500, 503))
