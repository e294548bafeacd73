"""Forking (RFC 3261 sections 16.6 and 16.7), seen from outside of a running proxy."""

from __future__ import annotations

from rvoip.test.conformance.agent import Agent, answer_to
from rvoip.test.conformance.element import Text
from rvoip.test.conformance.proxy_case import ProxyCase


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
