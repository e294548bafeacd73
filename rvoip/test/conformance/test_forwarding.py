"""RFC 3261 section 16 and its corrections, seen from outside of a running proxy."""

from __future__ import annotations

import re
from typing import ClassVar

from rvoip.test.conformance.agent import Agent, StreamAgent, answer_to
from rvoip.test.conformance.element import ElementCase, Text, element, own_address
from rvoip.test.hostile.wire import Stream, authorization, challenges

OPEN = "[registrar]\nauthenticate = false\n"
USERS = {"alice": "secret of alice", "bob": "secret of bob"}
DOMAINS = ("example.test", "example.org")
METHODS = "INVITE BYE OPTIONS INFO UPDATE PRACK REFER SUBSCRIBE NOTIFY MESSAGE PUBLISH FOO X-!%*_+`'~".split()


def unsigned(value: str) -> str:
    """A Record-Route value without what says where it leads."""
    return re.sub(";d=[0-9a-f]+", "", value)


class ProxyCase(ElementCase):
    """Agents at a proxy that is the registrar of its domains."""

    servers: ClassVar = {
        "open": element("proxy", OPEN, DOMAINS),
        "sequential": element("proxy", f'{OPEN}[proxy]\nfork = "sequential"\n', DOMAINS),
        "unset": element("proxy", "[registrar]\n", DOMAINS, users=USERS),
        "true": element("proxy", "[registrar]\n[proxy]\nauthenticate = true\n", DOMAINS, users=USERS),
        "false": element("proxy", f"{OPEN}[proxy]\nauthenticate = false\n", DOMAINS, users=USERS),
    }
    server = "open"

    def agent(self, user: str = "", more: str = "", name: str = "", headers: tuple[str, ...] = ()) -> Agent:
        """A user agent, registered if it is somebody."""
        name = name or self.server
        agent = Agent(self.serve(name))
        self.addCleanup(agent.socket.close)
        if user:
            answer = agent.register(
                user, agent.contact(user, more), headers=headers, password=USERS.get(user, "")
            )
            self.assertEqual(answer.status, 200)
        return agent

    def stream_agent(self, user: str = "", name: str = "") -> StreamAgent:
        """One with a TCP connection."""
        host, (one,) = own_address(30, (0,))
        one.close()
        agent = StreamAgent(Stream(host, self.serve(name or self.server).address))
        self.addCleanup(agent.stream.socket.close)
        if user:
            self.assertEqual(agent.register(user, agent.contact(user)).status, 200)
        return agent

    def via_branch(self, got: Text) -> str:
        """The branch of the topmost Via."""
        found = re.search(r";branch=([^;]+)", got.values("via")[0])
        assert found is not None
        return found[1]


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


class CallTests(ProxyCase):
    """Dialogs along the route set."""

    def call(
        self, caller: Agent | StreamAgent, callee: Agent | StreamAgent, user: str
    ) -> tuple[bytes, Text, Text]:
        """INVITE, 180, 200, ACK: the INVITE as sent, as received, and the 200."""
        wire = caller.request("INVITE", f"sip:{user}@example.test", f"Contact: {caller.contact('caller')}")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", f"Contact: {callee.contact(user)}", tag="callee"))
        self.assertEqual(caller.wait(lambda message: message.status >= 180).status, 180)
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact(user)}", tag="callee"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 200)
        caller.send(caller.in_dialog("ACK", wire, answer, 1))
        ack = callee.wait_for("ACK")
        self.assertEqual(ack.uri, callee.contact(user).partition("<")[2].partition(">")[0])
        self.assertEqual((ack.all("route"), len(ack.values("via"))), ([], 2))
        return wire, got, answer

    def backwards(self, callee: Agent | StreamAgent, got: Text, method: str, number: int) -> bytes:
        """A request of the callee in the dialog."""
        target = got.get("contact").partition("<")[2].partition(">")[0]
        return callee.request(
            method,
            target,
            *[f"Route: {value}" for value in got.values("record-route")],
            sender=f"{got.get('to')};tag=callee",
            to=got.get("from"),
            call_id=got.get("call-id"),
            cseq=f"{number} {method}",
        )

    def check_a_call(self, caller: Agent | StreamAgent, callee: Agent | StreamAgent, user: str) -> None:
        """All of a call goes through the proxy, from either side."""
        wire, got, answer = self.call(caller, callee, user)
        seen, shown = answer.values("record-route"), got.values("record-route")
        self.assertEqual([unsigned(value) for value in seen], [unsigned(value) for value in shown])
        # Each side's leads to the other, and to nobody else.
        self.assertFalse(set(seen) & set(shown))
        for value in shown:
            self.assertIn(";lr", value)
        for number, method in enumerate(("INFO", "UPDATE", "INVITE", "FOO"), 2):
            request = caller.in_dialog(method, wire, answer, number)
            caller.send(request)
            inside = callee.wait_for(method)
            self.assertEqual((inside.all("route"), len(inside.values("via"))), ([], 2))
            callee.send(answer_to(inside, "200 OK", f"Contact: {callee.contact(user)}"))
            self.assertEqual(caller.final(request).status, 200)
            if method == "INVITE":
                caller.send(caller.in_dialog("ACK", wire, answer, number))
                callee.wait_for("ACK")
        request = self.backwards(callee, got, "MESSAGE", 7)
        callee.send(request)
        inside = caller.wait_for("MESSAGE")
        self.assertEqual(inside.all("route"), [])
        caller.send(answer_to(inside, "200 OK"))
        self.assertEqual(callee.final(request).status, 200)
        bye = self.backwards(callee, got, "BYE", 8)
        callee.send(bye)
        caller.send(answer_to(caller.wait_for("BYE"), "200 OK"))
        self.assertEqual(callee.final(bye).status, 200)

    def test_udp(self) -> None:
        """Both over UDP: one Record-Route."""
        caller, callee = self.agent(), self.agent("dialog1")
        self.check_a_call(caller, callee, "dialog1")

    def test_tcp(self) -> None:
        """Both over TCP, each reached by the connection that it has opened."""
        self.check_a_call(self.stream_agent(), self.stream_agent("dialog2"), "dialog2")

    def test_between_transports(self) -> None:
        """Two Record-Routes, and each side reads its own."""
        self.check_a_call(self.agent(), self.stream_agent("dialog3"), "dialog3")
        self.check_a_call(self.stream_agent(), self.agent("dialog4"), "dialog4")

    def test_the_2xx_again(self) -> None:
        """Each copy of a 2xx goes back, as long as the callee sends it (RFC 6026), and each ACK forward."""
        caller, callee = self.agent(), self.agent("again")
        wire, got, answer = self.call(caller, callee, "again")
        for _ in range(3):
            callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('again')}", tag="callee"))
            self.assertEqual(caller.final(wire).get("to"), answer.get("to"))
            caller.send(caller.in_dialog("ACK", wire, answer, 1))
            callee.wait_for("ACK")

    def test_the_callee_hears_one_invite(self) -> None:
        """What the caller sends again is absorbed, and answered with what is known."""
        caller, callee = self.agent(), self.agent("absorbed")
        wire = caller.request("INVITE", "sip:absorbed@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        for _ in range(3):
            caller.send(wire)
            self.assertEqual(caller.wait(lambda message: message.status > 0).status, 180)
        self.assertEqual(callee.nothing(), [])
        callee.send(answer_to(got, "486 Busy Here", tag="x"))
        answer = caller.final(wire)
        self.assertEqual(callee.wait_for("ACK").get("cseq"), "1 ACK")
        caller.send(wire)
        self.assertEqual(caller.final(wire).status, 486)
        caller.acknowledge(wire, answer)
        self.assertEqual((callee.nothing(), caller.nothing(0.2)), ([], []))

    def test_a_request_again(self) -> None:
        """Also others than INVITE; after the answer they are answered the same for a while."""
        caller, callee = self.agent(), self.agent("absorbed2")
        wire = caller.request("MESSAGE", "sip:absorbed2@example.test")
        for _ in range(3):
            caller.send(wire)
        got = callee.wait_for("MESSAGE")
        callee.send(answer_to(got, "202 Accepted", tag="y"))
        first = caller.final(wire)
        caller.send(wire)
        self.assertEqual(caller.final(wire).wire, first.wire)
        self.assertEqual(callee.nothing(), [])

    def test_rfc_2543(self) -> None:
        """Without a magic cookie To, From, Call-ID, CSeq, Request-URI and Via tell transactions apart."""
        caller, callee = self.agent(), self.agent("old")

        def old(method: str, call: str, tag: str = "", branch: str = "") -> bytes:
            lines = [
                f"{method} sip:old@example.test SIP/2.0",
                f"Via: SIP/2.0/UDP {caller.sent_by}{branch}",
                "From: <sip:a@elsewhere.test>",
                f"To: <sip:old@example.test>{tag}",
                f"Call-ID: {call}",
                f"CSeq: 1 {method}",
                "Content-Length: 0",
            ]
            return "\r\n".join([*lines, "", ""]).encode()

        def told(method: str, call: str) -> Text:
            """The next one of this call: until it is answered the proxy sends an INVITE again."""
            return callee.wait(lambda got: (got.method, got.get("call-id")) == (method, call))

        for branch in ("", ";branch=1"):
            call = f"old{branch}"
            wire = old("INVITE", call, branch=branch)
            caller.send(wire)
            got = told("INVITE", call)
            callee.send(answer_to(got, "180 Ringing", tag="old"))
            self.assertEqual(caller.wait(lambda message: message.status > 100).status, 180)
            caller.send(wire)
            self.assertEqual(caller.wait(lambda message: True).status, 180)
            self.assertEqual(callee.nothing(0.03), [])
            cancel = old("CANCEL", call, branch=branch)
            caller.send(cancel)
            self.assertEqual(told("CANCEL", call).values("via"), got.values("via")[:1])
            self.assertEqual(caller.final(cancel).status, 200)
            callee.send(answer_to(got, "487 Request Terminated", tag="old"))
            self.assertEqual(caller.final(wire).status, 487)
            told("ACK", call)
            caller.send(old("ACK", call, ";tag=old", branch))
            self.assertEqual(caller.nothing(0.2), [])
            other = f"{call}-2"
            caller.send(old("INVITE", other, branch=branch))
            callee.send(answer_to(told("INVITE", other), "486 Busy Here", tag="z"))
            self.assertEqual(caller.final(old("INVITE", other)).status, 486)
            caller.send(old("ACK", other, ";tag=z", branch))

    def test_a_stray_response(self) -> None:
        """One that answers nothing that was sent goes nowhere (RFC 6026 section 8.9)."""
        caller, callee = self.agent(), self.agent("stray")
        caller.send(caller.request("MESSAGE", "sip:stray@example.test"))
        got = callee.wait_for("MESSAGE")
        real = self.via_branch(got)
        for branch in ("z9hG4bKmadeup", real + "1"):
            callee.send(answer_to(got, "200 OK").replace(real.encode(), branch.encode()))
        self.assertEqual(caller.nothing(), [])
        callee.send(answer_to(got, "200 OK"))
        self.assertEqual(caller.wait(lambda message: message.status > 100).status, 200)


class CancelTests(ProxyCase):
    """RFC 3261 sections 9 and 16.10."""

    def test_cancel(self) -> None:
        """200 for the CANCEL at once, the callee is cancelled, 487 for the INVITE."""
        caller, callee = self.agent(), self.agent("cancelled")
        wire = caller.request("INVITE", "sip:cancelled@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        cancel = caller.cancel(wire).replace(
            b"\r\nContent-Length", b"\r\nReason: SIP;cause=200\r\nContent-Length"
        )
        caller.send(cancel)
        answer = caller.final(cancel)
        self.assertEqual((answer.status, answer.get("cseq")), (200, "1 CANCEL"))
        asked = callee.wait_for("CANCEL")
        self.assertEqual(asked.values("via"), got.values("via")[:1])
        self.assertEqual(
            (asked.uri, asked.get("cseq"), asked.get("to")), (got.uri, "1 CANCEL", got.get("to"))
        )
        self.assertEqual(asked.get("reason"), "SIP;cause=200")
        callee.send(answer_to(asked, "200 OK"))
        callee.send(answer_to(got, "487 Request Terminated", tag="x"))
        answer = caller.final(wire)
        self.assertEqual(answer.status, 487)
        self.assertEqual(callee.wait_for("ACK").values("via"), got.values("via")[:1])
        caller.acknowledge(wire, answer)
        self.assertEqual((caller.nothing(0.2), callee.nothing(0.05)), ([], []))

    def test_before_the_callee_answers(self) -> None:
        """The CANCEL waits until the callee has shown that it has the INVITE (section 9.1)."""
        caller, callee = self.agent(), self.agent("early")
        wire = caller.request("INVITE", "sip:early@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        cancel = caller.cancel(wire)
        caller.send(cancel)
        self.assertEqual(caller.final(cancel).status, 200)
        self.assertNotIn("CANCEL", [head.split()[0] for head in callee.nothing(0.1)])
        callee.send(answer_to(got, "100 Trying"))
        callee.wait_for("CANCEL")
        callee.send(answer_to(got, "487 Request Terminated"))
        self.assertEqual(caller.final(wire).status, 487)

    def test_too_late(self) -> None:
        """A 200 that crosses the CANCEL makes a call, which the caller ends with BYE."""
        caller, callee = self.agent(), self.agent("late")
        wire = caller.request("INVITE", "sip:late@example.test")
        caller.send(wire)
        got = callee.wait_for("INVITE")
        callee.send(answer_to(got, "180 Ringing", tag="x"))
        caller.wait(lambda message: message.status == 180)
        caller.send(caller.cancel(wire))
        callee.wait_for("CANCEL")
        callee.send(answer_to(got, "200 OK", f"Contact: {callee.contact('late')}", tag="x"))
        self.assertEqual(caller.final(wire).status, 200)

    def test_of_nothing(self) -> None:
        """481; of a request that is answered 200 without more."""
        caller, callee = self.agent(), self.agent("message")
        self.assertEqual(caller.ask("CANCEL", "sip:message@example.test").status, 481)
        wire = caller.request("MESSAGE", "sip:message@example.test")
        caller.send(wire)
        got = callee.wait_for("MESSAGE")
        cancel = caller.cancel(wire)
        caller.send(cancel)
        self.assertEqual(caller.final(cancel).status, 200)
        callee.send(answer_to(got, "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)
        self.assertEqual(callee.nothing(0.05), [])


class ForkTests(ProxyCase):
    """RFC 3261 sections 16.6 and 16.7."""

    def ring(self, user: str, *qs: str, name: str = "open") -> tuple[Agent, bytes, list[Agent]]:
        """A caller whose INVITE is sent, and the phones of the user."""
        self.server = name
        phones = [self.agent(user, f";q={q}" if q else "") for q in qs]
        caller = self.agent()
        wire = caller.request("INVITE", f"sip:{user}@example.test")
        caller.send(wire)
        return caller, wire, phones

    def cancelled(self, phone: Agent, got: Text) -> None:
        """The phone is told to stop, and does."""
        asked = phone.wait_for("CANCEL")
        self.assertEqual(asked.values("via"), got.values("via")[:1])
        phone.send(answer_to(asked, "200 OK"))
        phone.send(answer_to(got, "487 Request Terminated"))
        phone.wait_for("ACK")

    def test_all_ring_and_one_answers(self) -> None:
        """The first 200 goes back, and the others are cancelled."""
        caller, wire, phones = self.ring("fork1", "", "0.5", "0.1")
        invites = [phone.wait_for("INVITE") for phone in phones]
        self.assertEqual(len({self.via_branch(got) for got in invites}), 3)
        for number, (phone, got) in enumerate(zip(phones, invites, strict=True)):
            phone.send(answer_to(got, "180 Ringing", tag=f"tag{number}"))
        tags = {caller.wait(lambda message: message.status == 180).get("to")[-4:] for _ in phones}
        self.assertEqual(tags, {"tag0", "tag1", "tag2"})
        phones[1].send(answer_to(invites[1], "200 OK", f"Contact: {phones[1].contact('fork1')}", tag="tag1"))
        answer = caller.final(wire)
        self.assertEqual((answer.status, answer.get("to")[-4:]), (200, "tag1"))
        self.cancelled(phones[0], invites[0])
        self.cancelled(phones[2], invites[2])
        self.assertEqual(caller.nothing(0.1), [])

    def test_two_answer(self) -> None:
        """Every 2xx goes back: the caller has two dialogs then (section 16.7 step 5)."""
        caller, wire, phones = self.ring("fork2", "", "")
        invites = [phone.wait_for("INVITE") for phone in phones]
        for number, (phone, got) in enumerate(zip(phones, invites, strict=True)):
            phone.send(answer_to(got, "200 OK", f"Contact: {phone.contact('fork2')}", tag=f"tag{number}"))
        self.assertEqual({caller.final(wire).get("to")[-4:] for _ in phones}, {"tag0", "tag1"})

    def test_the_best_failure(self) -> None:
        """6xx before all, then the lowest class; 401 and 407 with the challenges of all."""
        for user, statuses, best in (
            ("best1", ("486 Busy Here", "302 Moved"), 302),
            ("best2", ("404 Not Found", "500 Broken"), 404),
            ("best3", ("480 Unavailable", "603 Decline"), 603),
            ("best4", ("503 Out", "486 Busy Here"), 486),
            ("best5", ("503 Out", "503 Out"), 500),
        ):
            caller, wire, phones = self.ring(user, "", "")
            for phone, status in zip(phones, statuses, strict=True):
                got = phone.wait_for("INVITE")
                phone.send(answer_to(got, status, "Contact: <sip:x@192.0.2.1>"))
                phone.wait_for("ACK")
            self.assertEqual(caller.final(wire).status, best, statuses)
        caller, wire, phones = self.ring("best6", "", "")
        for phone, name in zip(phones, ("WWW", "Proxy"), strict=True):
            got = phone.wait_for("INVITE")
            challenge = f'{name}-Authenticate: Digest realm="{name}", nonce="1"'
            phone.send(answer_to(got, "401 Who" if name == "WWW" else "407 Who", challenge))
        answer = caller.final(wire)
        self.assertIn(answer.status, (401, 407))
        self.assertIn('realm="WWW"', answer.get("www-authenticate"))
        self.assertIn('realm="Proxy"', answer.get("proxy-authenticate"))

    def test_a_decline_ends_it(self) -> None:
        """6xx of one phone stops the others (section 16.7 step 5)."""
        caller, wire, phones = self.ring("fork3", "", "")
        invites = [phone.wait_for("INVITE") for phone in phones]
        phones[1].send(answer_to(invites[1], "180 Ringing"))
        caller.wait(lambda message: message.status == 180)
        phones[0].send(answer_to(invites[0], "603 Decline"))
        self.cancelled(phones[1], invites[1])
        self.assertEqual(caller.final(wire).status, 603)

    def test_the_caller_gives_up(self) -> None:
        """Each phone is cancelled, one 487 comes back."""
        caller, wire, phones = self.ring("fork4", "", "")
        invites = [phone.wait_for("INVITE") for phone in phones]
        for phone, got in zip(phones, invites, strict=True):
            phone.send(answer_to(got, "180 Ringing"))
            caller.wait(lambda message: message.status == 180)
        cancel = caller.cancel(wire)
        caller.send(cancel)
        self.assertEqual(caller.final(cancel).status, 200)
        for phone, got in zip(phones, invites, strict=True):
            self.cancelled(phone, got)
        answer = caller.final(wire)
        self.assertEqual(answer.status, 487)
        caller.acknowledge(wire, answer)
        self.assertEqual(caller.nothing(0.2), [])

    def test_one_after_the_other(self) -> None:
        """`fork = "sequential"`: by falling q, those of equal q at once."""
        caller, wire, phones = self.ring("fork5", "0.1", "0.9", "0.5", "0.5", name="sequential")
        got = phones[1].wait_for("INVITE")
        for phone in (phones[0], phones[2], phones[3]):
            self.assertEqual(phone.nothing(0.03), [])
        phones[1].send(answer_to(got, "486 Busy Here"))
        pair = [phones[2].wait_for("INVITE"), phones[3].wait_for("INVITE")]
        self.assertEqual(phones[0].nothing(0.03), [])
        phones[2].send(answer_to(pair[0], "404 Not Found"))
        phones[3].send(answer_to(pair[1], "480 Unavailable"))
        got = phones[0].wait_for("INVITE")
        phones[0].send(answer_to(got, "200 OK", f"Contact: {phones[0].contact('fork5')}"))
        self.assertEqual(caller.final(wire).status, 200)

    def test_other_methods_fork_too(self) -> None:
        """The first final response that is good goes back."""
        self.server = "open"
        phones = [self.agent("fork6"), self.agent("fork6")]
        caller = self.agent()
        wire = caller.request("MESSAGE", "sip:fork6@example.test")
        caller.send(wire)
        first, second = [phone.wait_for("MESSAGE") for phone in phones]
        phones[0].send(answer_to(first, "404 Not Found"))
        phones[1].send(answer_to(second, "200 OK"))
        self.assertEqual(caller.final(wire).status, 200)


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
