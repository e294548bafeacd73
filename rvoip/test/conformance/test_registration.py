"""RFC 3261 section 10.3 and its extensions, seen from outside of a running registrar."""

from __future__ import annotations

import time
from typing import ClassVar

from rvoip.test.conformance.agent import Agent, StreamAgent
from rvoip.test.conformance.element import ElementCase, element, own_address
from rvoip.test.hostile.wire import Stream, authorization, challenges

RULES = "min_expires = 2\ndefault_expires = 50\nmax_expires = 100\nmax_contacts = 3\n"
DOMAINS = ("example.test", "example.org")
USERS = {"alice": "secret of alice", "bob": "secret of bob"}


class RegistrarCase(ElementCase):
    """Agents, and what a registrar says."""

    servers: ClassVar = {
        "open": element("registrar", f"[registrar]\nauthenticate = false\n{RULES}", DOMAINS),
        "closed": element("registrar", f"[registrar]\n{RULES}", DOMAINS, users=USERS),
    }

    name = "open"

    def agent(self, name: str = "") -> Agent:
        """A user agent of its own."""
        agent = Agent(self.serve(name or self.name))
        self.addCleanup(agent.socket.close)
        return agent

    def contacts(self, agent: Agent, user: str) -> list[str]:
        """What a fetch shows, without the seconds that are left."""
        answer = agent.register(user)
        self.assertEqual(answer.status, 200)
        return [value.rpartition(";expires=")[0] for value in answer.values("contact")]

    def seconds(self, values: list[str]) -> list[int]:
        """The seconds that are left of Contact values."""
        return [int(value.rpartition(";expires=")[2]) for value in values]


class BindingTests(RegistrarCase):
    """Steps 6 to 8."""

    def test_several_contacts(self) -> None:
        """All come back with what they said, in every response."""
        agent = self.agent()
        first = agent.register("several", '<sip:a@192.0.2.1>;q=0.7;+sip.x="y"', "<sip:b@192.0.2.2:5070>")
        self.assertEqual(first.status, 200)
        expected = ['<sip:a@192.0.2.1>;q=0.7;+sip.x="y"', "<sip:b@192.0.2.2:5070>"]
        self.assertEqual([value.rpartition(";expires=")[0] for value in first.values("contact")], expected)
        self.assertEqual(self.contacts(agent, "several"), expected)
        self.assertTrue(first.get("date").endswith(" GMT"))

    def test_two_in_one_line(self) -> None:
        """Of one line they count as of two."""
        agent = self.agent()
        agent.register("oneline", '"A, B" <sip:a@192.0.2.1>, <sip:b@192.0.2.2>;expires=7')
        self.assertEqual(self.contacts(agent, "oneline"), ["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"])

    def test_how_long(self) -> None:
        """The parameter before the header before the default; the longest that there is."""
        agent = self.agent()
        answer = agent.register(
            "long", "<sip:a@192.0.2.1>;expires=7", "<sip:b@192.0.2.2>", headers=("Expires: 30",)
        )
        self.assertEqual(self.seconds(answer.values("contact")), [7, 30])
        self.assertEqual(self.seconds(agent.register("long2", "<sip:a@192.0.2.1>").values("contact")), [50])
        for asked in ("101", "3600", "4294967295"):
            answer = agent.register("long3", f"<sip:a@192.0.2.1>;expires={asked}")
            self.assertEqual(self.seconds(answer.values("contact")), [100], asked)

    def test_too_brief(self) -> None:
        """423 with Min-Expires, and nothing of the request counts."""
        agent = self.agent()
        for brief in (
            agent.register("brief", "<sip:a@192.0.2.1>;expires=1"),
            agent.register("brief", "<sip:a@192.0.2.1>", headers=("Expires: 1",)),
            agent.register("brief", "<sip:a@192.0.2.1>;expires=60", "<sip:b@192.0.2.2>;expires=1"),
        ):
            self.assertEqual((brief.status, brief.get("min-expires")), (423, "2"))
        self.assertEqual(self.contacts(agent, "brief"), [])

    def test_too_many(self) -> None:
        """403 above max_contacts, and nothing of the request counts; one that replaces is none more."""
        agent = self.agent()
        agent.register("many", "<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>")
        refused = agent.register("many", "<sip:c@192.0.2.3>", "<sip:d@192.0.2.4>")
        self.assertEqual(refused.status, 403)
        self.assertEqual(self.contacts(agent, "many"), ["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"])
        self.assertEqual(agent.register("many", "<sip:c@192.0.2.3>").status, 200)
        self.assertEqual(agent.register("many", "<sip:d@192.0.2.4>").status, 403)
        self.assertEqual(
            agent.register("many", "<sip:d@192.0.2.4>", "<sip:a@192.0.2.1>;expires=0").status, 200
        )
        self.assertEqual(agent.register("many", "<sip:b@192.0.2.2>").status, 200)

    def test_the_same_contact(self) -> None:
        """By the rules of RFC 3261 section 19.1.4, not by octets."""
        agent = self.agent()
        agent.register("same", "<sip:%61lice@HOST.example:5070;transport=TCP>")
        agent.register("same", "<sip:alice@host.EXAMPLE:5070;transport=tcp>;q=0.3")
        self.assertEqual(self.contacts(agent, "same"), ["<sip:alice@host.EXAMPLE:5070;transport=tcp>;q=0.3"])
        for other in ("sip:ALICE@host.example:5070;transport=tcp", "sip:alice@host.example;transport=tcp"):
            agent.register("same", f"<{other}>")
        self.assertEqual(len(self.contacts(agent, "same")), 3)

    def test_removal(self) -> None:
        """One with expires=0, all with * and Expires: 0 and nothing else."""
        agent = self.agent()
        agent.register("gone", "<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>")
        answer = agent.register("gone", "<sip:a@192.0.2.1>;expires=0")
        self.assertEqual([value[:18] for value in answer.values("contact")], ["<sip:b@192.0.2.2>;"])
        for contacts, headers in (
            (("*",), ()),
            (("*",), ("Expires: 10",)),
            (("*", "<sip:c@192.0.2.3>"), ("Expires: 0",)),
            (("*;expires=0",), ()),
        ):
            refused = agent.register("gone", *contacts, headers=headers)
            self.assertEqual(refused.status, 400, contacts)
        self.assertEqual(self.contacts(agent, "gone"), ["<sip:b@192.0.2.2>"])
        answer = agent.register("gone", "*", headers=("Expires: 0",))
        self.assertEqual((answer.status, answer.all("contact")), (200, []))
        answer = agent.register("gone", "*", headers=("Expires: 0",))
        self.assertEqual((answer.status, answer.all("contact")), (200, []))

    def test_order(self) -> None:
        """Within a Call-ID a lower CSeq is late, and changes nothing; the same one says the same again."""
        agent = self.agent()

        def register(contact: str, cseq: int, call_id: str = "order-1", *headers: str) -> int:
            return agent.register("order", contact, cseq=cseq, call_id=call_id, headers=headers).status

        self.assertEqual(register("<sip:a@192.0.2.1>;q=0.5", 5), 200)
        self.assertEqual(register("<sip:a@192.0.2.1>;q=0.4", 4), 500)
        self.assertEqual(register("<sip:a@192.0.2.1>;expires=0", 4), 500)
        self.assertEqual(register("*", 4, "order-1", "Expires: 0"), 500)
        self.assertEqual(self.contacts(agent, "order"), ["<sip:a@192.0.2.1>;q=0.5"])
        self.assertEqual(register("<sip:a@192.0.2.1>;q=0.5", 5), 200)
        self.assertEqual(register("<sip:a@192.0.2.1>;q=0.6", 6), 200)
        self.assertEqual(register("<sip:a@192.0.2.1>;q=0.1", 1, "order-2"), 200)
        self.assertEqual(self.contacts(agent, "order"), ["<sip:a@192.0.2.1>;q=0.1"])

    def test_what_was_removed_stays_so(self) -> None:
        """A late REGISTER of its Call-ID does not bring it back, a new one does."""
        agent = self.agent()
        for removing, number in (("<sip:a@192.0.2.1>;expires=0", 1), ("*", 2)):
            user, call_id = f"late{number}", f"late-{number}"
            headers = ("Expires: 0",) if removing == "*" else ()
            agent.register(user, "<sip:a@192.0.2.1>", cseq=5, call_id=call_id)
            self.assertEqual(
                agent.register(user, removing, cseq=7, call_id=call_id, headers=headers).status, 200
            )
            for late in (5, 6):
                answer = agent.register(user, "<sip:a@192.0.2.1>", cseq=late, call_id=call_id)
                self.assertEqual(answer.status, 500, late)
            self.assertEqual(self.contacts(agent, user), [])
            self.assertEqual(agent.register(user, "<sip:a@192.0.2.1>", cseq=8, call_id=call_id).status, 200)
            self.assertEqual(len(self.contacts(agent, user)), 1)

    def test_expiry(self) -> None:
        """When the time is over the binding is not there, for a fetch and for the API."""
        agent = self.agent()
        began = time.monotonic()
        agent.register("brevity", "<sip:a@192.0.2.1>;expires=2", "<sip:b@192.0.2.2>;expires=60")
        time.sleep(max(0.0, 1.5 - (time.monotonic() - began)))
        if time.monotonic() - began < 1.9:
            self.assertEqual(len(self.contacts(agent, "brevity")), 2)
        time.sleep(max(0.0, 2.05 - (time.monotonic() - began)))
        self.assertEqual(self.contacts(agent, "brevity"), ["<sip:b@192.0.2.2>"])
        status, shown = self.serve(self.name).api("GET", "/v1/bindings/brevity@example.test")
        self.assertEqual((status, [one["contact"] for one in shown["bindings"]]), (200, ["sip:b@192.0.2.2"]))

    def test_bad_contacts(self) -> None:
        """What cannot be understood is 400 or a default, and never half of it."""
        agent = self.agent()
        for contact in (
            "<sip:@>",
            "<sip:a@192.0.2.1",
            "<sip:a@192.0.2.1>;q=2",
            "<sip:a@192.0.2.1>;q=x",
            "<>",
        ):
            answer = agent.register("bad", "<sip:good@192.0.2.9>", contact)
            self.assertEqual(answer.status, 400, contact)
        self.assertEqual(self.contacts(agent, "bad"), [])
        answer = agent.register("bad", "<sip:a@192.0.2.1>;expires=soon")
        self.assertEqual(self.seconds(answer.values("contact")), [100])  # 3600, cut: section 10.3 step 7


class DurableBindingTests(BindingTests):
    """The same where a 200 waits for the disk."""

    name = "durable"
    servers: ClassVar = {
        "durable": element(
            "registrar",
            f'[registrar]\nauthenticate = false\n{RULES}[location]\nstore = "sqlite:location.db"\n',
            DOMAINS,
        ),
    }

    def test_after_a_crash(self) -> None:
        """What was answered 200 is there when the process comes back; what was removed is not."""
        server = self.serve(self.name)
        agent = self.agent()
        agent.register("kept", '<sip:a@192.0.2.1>;q=0.5;+sip.x="y"', cseq=5, call_id="kept-1")
        agent.register("kept2", "<sip:a@192.0.2.1>", cseq=5, call_id="kept-2")
        agent.register("kept2", "<sip:a@192.0.2.1>;expires=0", cseq=6, call_id="kept-2")
        server.kill()
        server.start()
        self.assertEqual(self.contacts(agent, "kept"), ['<sip:a@192.0.2.1>;q=0.5;+sip.x="y"'])
        self.assertEqual(self.contacts(agent, "kept2"), [])
        for user, call_id in (("kept", "kept-1"), ("kept2", "kept-2")):
            late = agent.register(user, "<sip:a@192.0.2.1>", cseq=4, call_id=call_id)
            self.assertEqual(late.status, 500, user)


class AddressTests(RegistrarCase):
    """Steps 1 to 5: for whom, and by whom."""

    def test_the_domain(self) -> None:
        """Each domain has its own users; another domain is not served here."""
        agent = self.agent()
        agent.register("where", "<sip:a@192.0.2.1>")
        self.assertEqual(agent.register("where", domain="example.org").all("contact"), [])
        self.assertEqual(agent.register("where", "<sip:a@192.0.2.1>", domain="elsewhere.test").status, 404)
        for to, status in (
            ("<sip:example.test>", 404),
            ("<sip:a@elsewhere.test>", 404),
            ("<tel:+15551234>", 400),
            ("<mailto:a@example.test>", 400),
        ):
            answer = agent.ask("REGISTER", "sip:example.test", "Contact: <sip:a@192.0.2.1>", to=to)
            self.assertEqual(answer.status, status, to)

    def test_one_user_in_many_spellings(self) -> None:
        """Host without case, escapes resolved, parameters and port of no account (section 10.3 step 5)."""
        agent = self.agent()
        agent.register("spelled", "<sip:a@192.0.2.1>")
        for to in (
            "<sip:spelled@EXAMPLE.test>",
            "<sip:%73pelled@example.test>",
            "<sips:spelled@example.test>",
            "<sip:spelled@example.test;user=phone>",
            '"Name" <sip:spelled@example.test:5060>',
            "sip:spelled@example.test",
        ):
            answer = agent.ask("REGISTER", "sip:example.test", to=to)
            self.assertEqual((answer.status, len(answer.values("contact"))), (200, 1), to)
        answer = agent.ask("REGISTER", "sip:example.test", to="<sip:SPELLED@example.test>")
        self.assertEqual((answer.status, answer.all("contact")), (200, []))

    def test_a_listening_address_stands_for_the_first_domain(self) -> None:
        """In the Request-URI, in To, and for the realm."""
        server = self.serve("closed")
        agent = self.agent("closed")
        here = "{}:{}".format(*server.address)
        aor = f"<sip:alice@{here}>"
        first = agent.ask(
            "REGISTER", f"sip:{here}", "Contact: <sip:a@192.0.2.1>", sender=f"{aor};tag=1", to=aor
        )
        self.assertEqual(first.status, 401)
        challenge = challenges(first)["MD5"]
        self.assertEqual(challenge["realm"], "example.test")
        credentials = authorization(challenge, "alice", USERS["alice"], "REGISTER", f"sip:{here}")
        second = agent.ask(
            "REGISTER",
            f"sip:{here}",
            "Contact: <sip:a@192.0.2.1>",
            f"Authorization: {credentials}",
            sender=f"{aor};tag=1",
            to=aor,
        )
        self.assertEqual(second.status, 200)
        fetched = agent.register("alice", password=USERS["alice"])
        self.assertEqual([value[:17] for value in fetched.values("contact")], ["<sip:a@192.0.2.1>"])
        for other in (f"{server.host}:1", server.host, "127.0.0.1"):
            answer = agent.ask("REGISTER", f"sip:{other}", to=f"<sip:alice@{other}>")
            self.assertEqual(answer.status, 404, other)

    def test_credentials(self) -> None:
        """All three algorithms are offered, and work; nobody registers somebody else."""
        agent = self.agent("closed")
        mine, other = "<sip:bob@example.test>", "<sip:alice@example.test>"
        offered = challenges(agent.register("bob", "<sip:b@192.0.2.1>"))
        self.assertEqual(list(offered), ["MD5", "SHA-256", "SHA-512-256"])

        def ask(algorithm: str, password: str, count: int, aor: str = mine) -> int:
            credentials = authorization(
                offered[algorithm], "bob", password, "REGISTER", "sip:example.test", f"{count:08x}"
            )
            return agent.ask(
                "REGISTER", "sip:example.test", f"Authorization: {credentials}", sender=f"{aor};tag=1", to=aor
            ).status

        for number, algorithm in enumerate(offered):
            self.assertEqual(ask(algorithm, USERS["bob"], 1 + 2 * number), 200, algorithm)
            self.assertEqual(ask(algorithm, USERS["bob"], 1 + 2 * number), 401, "a replay")
            self.assertEqual(ask(algorithm, "wrong", 2 + 2 * number), 401, algorithm)
        self.assertEqual(ask("MD5", USERS["bob"], 10, other), 403)


class ExtensionTests(RegistrarCase):
    """RFC 5626, RFC 3327, and what is required."""

    INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'

    def over_tcp(self) -> StreamAgent:
        """A connection from an address of its own."""
        host, (one,) = own_address(30, (0,))
        one.close()
        agent = StreamAgent(Stream(host, self.serve("open").address))
        self.addCleanup(agent.stream.socket.close)
        return agent

    def test_a_device_that_comes_back(self) -> None:
        """The same instance and reg-id replace the binding, whatever the contact; another reg-id does not."""
        for number in (1, 2, 1, 1):
            agent = self.over_tcp()
            answer = agent.register(
                "device",
                agent.contact("device", f";reg-id={number};{self.INSTANCE}"),
                headers=("Supported: path, outbound",),
            )
            self.assertEqual((answer.status, answer.get("require")), (200, "outbound"))
            last = agent.sent_by
            agent.stream.socket.close()
        contacts = self.contacts(self.agent(), "device")
        self.assertEqual(len(contacts), 2)
        self.assertEqual(
            len([contact for contact in contacts if last in contact and "reg-id=1" in contact]), 1
        )

    def test_a_new_contact_with_a_lower_cseq(self) -> None:
        """After a restart a device has another Call-ID, so its CSeq may begin anew."""
        for cseq, call_id in ((9, "before"), (1, "after")):
            agent = self.over_tcp()
            contact = agent.contact("reboot", f";reg-id=1;{self.INSTANCE}")
            answer = agent.register(
                "reboot", contact, headers=("Supported: outbound",), cseq=cseq, call_id=call_id
            )
            self.assertEqual(answer.status, 200)
        self.assertEqual(len(self.contacts(self.agent(), "reboot")), 1)

    def test_without_outbound_the_contact_counts(self) -> None:
        """An instance without a reg-id is a parameter like others."""
        agent = self.agent()
        for port in (5070, 5080):
            agent.register("plain", f"<sip:a@192.0.2.1:{port}>;{self.INSTANCE}")
        self.assertEqual(len(self.contacts(agent, "plain")), 2)

    def test_a_path(self) -> None:
        """It comes back in the 200, and the API shows it."""
        agent = self.agent()
        paths = (
            "Path: <sip:p2.example;lr>, <sip:p1.example;lr>",
            "Path: <sip:p0.example;lr>",
            "Supported: path",
        )
        answer = agent.register("path", "<sip:a@192.0.2.1>", headers=paths)
        expected = ["<sip:p2.example;lr>", "<sip:p1.example;lr>", "<sip:p0.example;lr>"]
        self.assertEqual((answer.status, answer.values("path")), (200, expected))
        _, shown = self.serve("open").api("GET", "/v1/bindings/path@example.test")
        self.assertEqual(shown["bindings"][0]["path"], expected)

    def test_what_is_required(self) -> None:
        """420 names what is not offered, as it was written."""
        agent = self.agent()
        answer = agent.register("required", "<sip:a@192.0.2.1>", headers=("Require: path, Timer, 100rel",))
        self.assertEqual((answer.status, answer.get("unsupported")), (420, "Timer, 100rel"))
        answer = agent.register("required", "<sip:a@192.0.2.1>", headers=("Require: path, outbound",))
        self.assertEqual(answer.status, 200)


class MethodTests(RegistrarCase):
    """What a registrar alone does with the work of others."""

    KNOWN = "INVITE BYE INFO UPDATE PRACK REFER SUBSCRIBE NOTIFY MESSAGE PUBLISH".split()

    def test_known_methods(self) -> None:
        """405 with what is allowed, whether the user is known, or the domain."""
        agent = self.agent()
        for method in self.KNOWN:
            for uri in ("sip:a@example.test", "sip:a@elsewhere.test", "sip:example.test"):
                wire = agent.request(method, uri)
                agent.send(wire)
                answer = agent.final(wire)
                self.assertEqual((answer.status, answer.get("allow")), (405, "REGISTER, OPTIONS"), method)
                if method == "INVITE":
                    agent.acknowledge(wire, answer)
        self.assertEqual(agent.nothing(0.3), [])

    def test_unknown_methods(self) -> None:
        """501; methods have case."""
        agent = self.agent()
        for method in ("FOO", "register", "X-!%*_+`'~"):
            answer = agent.ask(method, "sip:example.test")
            self.assertEqual(answer.status, 501, method)

    def test_options(self) -> None:
        """To the domain, to the address, over both transports: what it can do."""
        server = self.serve("open")
        agent = self.agent()
        here = "{}:{}".format(*server.address)
        with StreamAgent(Stream(agent.host, server.address)) as stream:
            for one in (agent, stream):
                for uri in (
                    "sip:example.test",
                    "sip:example.org",
                    f"sip:{here}",
                    f"sip:{here};transport=tcp",
                ):
                    answer = one.ask("OPTIONS", uri)
                    self.assertEqual(answer.status, 200, uri)
                    self.assertEqual(answer.get("allow"), "REGISTER, OPTIONS")
                    for name in ("accept", "accept-encoding", "accept-language", "supported"):
                        self.assertTrue(answer.get(name), name)

    def test_an_ack(self) -> None:
        """Nothing may answer it."""
        agent = self.agent()
        for uri in ("sip:example.test", "sip:a@elsewhere.test", "tel:+1555", "sip:[::1"):
            agent.send(agent.request("ACK", uri))
        self.assertEqual(agent.nothing(), [])

    def test_a_cancel_of_nothing(self) -> None:
        """481 (RFC 3261 section 9.2)."""
        agent = self.agent()
        self.assertEqual(agent.ask("CANCEL", "sip:a@example.test").status, 481)
