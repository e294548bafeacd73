"""Requests that come back: fork loops, spirals, and routes that name us over and over."""

from __future__ import annotations

import time

from rvoip.test.hostile.case import ATTACKER, PROBE_S, HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.test.hostile.wire import Datagrams, Message, by_call, request

LOOP_CPU_S = 0.1
"""What one message may cost, however its Max-Forwards stands (RFC 5393)."""


class LoopCase(HostileCase):
    def bind(self, server: Server, user: str, *contacts: str) -> None:
        """Register contacts where nobody is asked for credentials.

        From the server's own address: contacts that show another one than the packet go back to the sender.
        """
        aor = f"<sip:{user}@{DOMAIN}>"
        wire = request(
            "REGISTER",
            f"sip:{DOMAIN}",
            "Contact: " + ", ".join(f"<{contact}>" for contact in contacts),
            to=aor,
            sender=f"{aor};tag=1",
        )
        with Datagrams(server.host, server.address) as phone:
            phone.send(wire)
            answer = phone.wait(by_call(Message(wire).get("call-id")), 2.0)
        assert answer is not None
        self.assertEqual(answer.status, 200, answer.wire)

    def ask(self, server: Server, wire: bytes, patience: float = 2 * PROBE_S) -> Message:
        """The final answer to a request, and what it cost."""
        used = server.cpu()
        with Datagrams(ATTACKER, server.address) as attacker:
            attacker.send(wire)
            answer = attacker.wait(by_call(Message(wire).get("call-id")), patience)
        self.cost = server.cpu() - used
        self.assertIsNotNone(answer, "no final answer")
        assert answer is not None
        return answer

    def here(self, server: Server, user: str) -> str:
        """A URI that leads back to the server itself."""
        return f"sip:{user}@{server.address[0]}:{server.address[1]}"


class ForkLoopTests(LoopCase):
    def test_two_that_are_bound_to_each_other(self) -> None:
        """Two contacts each, so that every round doubles (RFC 5393 section 3): 482, and soon."""
        server = self.serve("open")
        ours = [self.here(server, "a"), self.here(server, "b")]
        self.bind(server, "a", *ours)
        self.bind(server, "b", *ours)
        for method in ("INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE"):
            for forwards in ("70", "255"):
                answer = self.ask(server, request(method, f"sip:a@{DOMAIN}", forwards=forwards))
                self.assertIn(answer.status, (482, 440))
                self.assertLess(self.cost, LOOP_CPU_S)
        self.check_nothing_left(server)

    def test_one_that_is_bound_to_itself(self) -> None:
        server = self.serve("open")
        self.bind(server, "self", self.here(server, "self"))
        answer = self.ask(server, request("INVITE", f"sip:self@{DOMAIN}"))
        self.assertEqual(answer.status, 482)
        self.assertLess(self.cost, LOOP_CPU_S)

    def test_a_chain_of_changing_uris(self) -> None:
        """Ten users, each bound to all ten: nothing repeats exactly for long, and breadth bounds it."""
        server = self.serve("open")
        names = [f"n{number}" for number in range(10)]
        for name in names:
            self.bind(server, name, *[self.here(server, other) for other in names])
        before = server.pss()
        answer = self.ask(server, request("INVITE", f"sip:n0@{DOMAIN}"), 5.0)
        self.assertIn(answer.status, (482, 440, 483))
        self.assertLess(self.cost, 10 * LOOP_CPU_S)
        self.assertLess(server.pss() - before, 4 << 20)
        self.check_nothing_left(server, 10.0)

    def test_parameters_that_would_make_it_look_new(self) -> None:
        """A contact that gives the request another URI each time is ended by breadth or hops."""
        server = self.serve("open")
        self.bind(
            server,
            "p",
            f"{self.here(server, 'p')};a=1",
            f"{self.here(server, 'p')};b=2",
            self.here(server, "q"),
        )
        self.bind(server, "q", f"{self.here(server, 'p')};c=3", f"{self.here(server, 'q')};d=4")
        answer = self.ask(server, request("INVITE", f"sip:p@{DOMAIN}"), 5.0)
        self.assertIn(answer.status, (482, 440, 483))
        self.assertLess(self.cost, 5 * LOOP_CPU_S)
        self.check_nothing_left(server, 10.0)

    def test_max_breadth(self) -> None:
        """What the caller allows is kept to; what is none, or too much, counts as 60."""
        server = self.serve("open")
        self.bind(server, "wide", *[f"sip:w{number}@127.0.71.201:9" for number in range(4)])
        answer = self.ask(server, request("INVITE", f"sip:wide@{DOMAIN}", "Max-Breadth: 3"))
        self.assertEqual(answer.status, 440)
        for text in ("0", "00"):
            answer = self.ask(server, request("INVITE", f"sip:wide@{DOMAIN}", f"Max-Breadth: {text}"))
            self.assertEqual(answer.status, 440)


class RouteTests(LoopCase):
    def test_route_that_names_us_often(self) -> None:
        """Each value is taken off once; the answer comes within a second."""
        for name in ("proxy", "open"):
            server = self.serve(name)
            host = f"{server.address[0]}:{server.address[1]}"
            for count, line in (
                (30, "Route: " + ", ".join([f"<sip:{host};lr>"] * 30)),
                (70, "Route: " + ", ".join([f"<sip:{host};lr>"] * 70)),
                (70, "\r\n".join([f"Route: <sip:{host};lr>"] * 70)),
                (70, "\r\n".join([f"Route: <sip:{DOMAIN};lr;x={number}>" for number in range(70)])),
                (70, ", ".join([f"Route: <sip:{host}>"] + [f"<sip:{host}>"] * 69)),
            ):
                for method in ("INVITE", "OPTIONS", "MESSAGE"):
                    began = time.monotonic()
                    answer = self.ask(server, request(method, f"sip:nobody@{DOMAIN}", line))
                    self.assertLess(time.monotonic() - began, PROBE_S)
                    self.assertTrue(answer.status == 407 or 400 <= answer.status < 500, (count, answer.wire))
                    self.assertLess(self.cost, LOOP_CPU_S)
            self.check_nothing_left(server)

    def test_route_that_alternates(self) -> None:
        """Us, the same server by its name, us again."""
        server = self.serve("open")
        host = f"{server.address[0]}:{server.address[1]}"
        values = ", ".join([f"<sip:{host};lr>", f"<sip:{DOMAIN};lr>"] * 35)
        answer = self.ask(server, request("INVITE", f"sip:nobody@{DOMAIN}", f"Route: {values}"))
        self.assertTrue(400 <= answer.status < 500, answer.wire)

    def test_hops_run_out(self) -> None:
        server = self.serve("open")
        self.bind(server, "self", self.here(server, "self"))
        for text in ("0", "00", "000"):
            answer = self.ask(server, request("INVITE", f"sip:self@{DOMAIN}", forwards=text))
            self.assertEqual(answer.status, 483)
        for text in ("1", "2", "256", "4294967295"):
            answer = self.ask(server, request("INVITE", f"sip:self@{DOMAIN}", forwards=text))
            self.assertIn(answer.status, (482, 483))
