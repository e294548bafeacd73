"""A call that fails leaves a line that says why, and its record where it went."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from rvoip.protocols.transport.flow import Target
from rvoip.proxy.events import Answered
from rvoip.test.proxy.scene import Peer, Scene
from rvoip.test.proxy.test_calls import Base

SILENT = "of bob@example.test: no answer (0 more before)"


class Told:
    """A bus that keeps what it is told."""

    def __init__(self) -> None:
        self.answers: list[Answered] = []

    def wants(self, kind: type) -> bool:
        return True

    def publish(self, event: Any) -> None:
        if isinstance(event, Answered):
            self.answers.append(event)


class UnreachedTests(Base):
    def setUp(self) -> None:
        self.scene_: Scene = self.scene()
        self.scene_.proxy.events = self.told = Told()
        self.alice: Peer = self.scene_.peer("alice")

    def lines(self, seconds: float, *requests: str) -> list[str]:
        with capturedLogs() as events:
            for one in requests:
                self.alice.send(one)
            self.scene_.advance(seconds)
        return [
            formatEvent(event)
            for event in events
            if event.get("log_namespace") == "rvoip.proxy.unreached" and event["log_level"].name == "warn"
        ]

    def test_silence(self) -> None:
        bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{bob.address}")
        self.assertEqual(
            self.lines(40, self.alice.request(call_id="quiet")),
            [f"INVITE of quiet did not reach udp:{bob.address}:5060 {SILENT}"],
        )
        (told,) = self.told.answers
        self.assertEqual((told.status, told.destination), (408, f"udp:{bob.address}:5060"))

    def test_a_silent_target_before_another_one(self) -> None:
        one, two = self.scene_.peer("one"), self.scene_.peer("two")
        self.scene_.locator.names["servers.test"] = [Target("UDP", each.address, 5060) for each in (one, two)]
        self.scene_.places.bind("bob", "sip:bob@servers.test")
        self.assertEqual(
            self.lines(3.6, self.alice.request(call_id="slow")),
            [f"INVITE of slow did not reach udp:{one.address}:5060 {SILENT}"],
        )
        two.send(two.answer(two.one(), 200))
        (told,) = self.told.answers
        self.assertEqual((told.status, told.destination), (200, ""))

    def test_a_connection_that_is_refused(self) -> None:
        self.scene_.places.bind("bob", "sip:bob@10.0.7.7;transport=tcp")
        (line,) = self.lines(40, self.alice.request(call_id="closed"))
        self.assertRegex(
            line,
            r"^INVITE of closed did not reach tcp:10\.0\.7\.7:5060 of bob@example\.test: \S.* \(0 more",
        )
        (told,) = self.told.answers
        self.assertEqual(told.destination, "tcp:10.0.7.7:5060")

    def test_a_name_that_is_nowhere(self) -> None:
        self.scene_.places.bind("bob", "sip:bob@nowhere.test")
        (line,) = self.lines(40, self.alice.request(call_id="lost"))
        self.assertRegex(
            line, r"^INVITE of lost did not reach sip:bob@nowhere\.test of bob@example\.test: \S"
        )
        (told,) = self.told.answers
        self.assertEqual(told.destination, "sip:bob@nowhere.test")

    def test_one_line_in_ten_seconds(self) -> None:
        bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{bob.address}")
        calls = [self.alice.request(call_id=f"c{number}") for number in range(5)]
        self.assertEqual(len(self.lines(40, *calls)), 1)
        (line,) = self.lines(40, self.alice.request(call_id="later"))
        self.assertIn("INVITE of later", line)
        self.assertIn("(4 more before)", line)

    def test_who_refuses_is_noted_and_not_logged(self) -> None:
        bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{bob.address}")
        self.assertEqual(self.lines(0.1, self.alice.request()), [])
        bob.send(bob.answer(bob.one(), 486))
        (told,) = self.told.answers
        self.assertEqual((told.status, told.destination), (486, f"udp:{bob.address}:5060"))

    def test_a_caller_who_gives_up_is_no_trouble(self) -> None:
        bob = self.scene_.peer("bob")
        self.scene_.places.bind("bob", f"sip:bob@{bob.address}")
        self.alice.send(self.alice.request(branch="z9hG4bKx", call_id="c"))
        bob.send(bob.answer(bob.one(), 180))
        self.assertEqual(self.lines(40, self.alice.request("CANCEL", branch="z9hG4bKx", call_id="c")), [])
