"""A first look for broken messages that get the better of the SIP parser; `make soak` takes a long one."""

from __future__ import annotations

import io
import os
import random
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.check import check
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.tools import load

HEAD = b"Via:SIP/2.0/UDP 1\r\nCall-ID:m\r\nCSeq:1 BYE\r\n"
PAST = (
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"From:<m>;)\r\nT:<1>\r\n\r\n",
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"From:s\r\nT:<.\r\n\te>\r\n\r\n",
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"T:<>\r\nFrom:<m>:\r\n\r\n",
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"From:<i>;g=f\tc\r\nT:<m>\r\n\r\n",
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"T:\x7f<m>\r\nFrom:<m>;\r\n\r\n",
    b"BYE p:m SIP/2.0\r\n" + HEAD + b"From:;<:>;tag=9\r\nT:<m>\r\n\r\n",
    b"E m SIP/2.0\r\na:\r\nT:>\r\n\r\n",
    b"Y 7 SIP/2.0\r\nS:\r\nContact:>\r\nE:",
    b'K s SIP/2.0\r\nProxy-Authorization:Digest username="",realm="",nonce="",uri="",response="\\"\r\nh:',
    b'SIP/2.0 407\r\nProxy-Authenticate:Digest realm="",qop=r"",\r\n nonce=""',
    b'SIP/2.0 401\nWWW-Authenticate:Digest realm="",qop=="",nonce=""',
)
"""What failed at one time, each cut down."""

HOST = b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"


class FuzzTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.fuzz = load("fuzz/fuzz_sip")

    def test_three_thousand_inputs(self) -> None:
        failures = self.fuzz.run(3000, 20, 0.05)
        self.assertEqual(failures, [], "\n".join(failures))

    def test_past_failures(self) -> None:
        for message in PAST:
            self.assertIsNone(self.fuzz.trouble(message, 1, 0.5), message)

    def test_what_it_starts_from_is_sound(self) -> None:
        for message in self.fuzz.corpus()[:5]:
            check(parse_message(message))
            self.assertIsNone(self.fuzz.trouble(message, 1, 0.5))

    def test_an_input_is_what_seed_and_number_say(self) -> None:
        messages = self.fuzz.corpus()
        made = [self.fuzz.make(5, number, messages) for number in range(50)]
        self.assertEqual(made, [self.fuzz.make(5, number, messages) for number in range(50)])
        self.assertEqual(len(set(made)), 50)

    def test_pieces_are_the_whole(self) -> None:
        data = os.urandom(5000)
        for most in (1, 40):
            self.assertEqual(b"".join(self.fuzz.pieces(data, most, random.Random(1))), data)


class FindingTests(SynchronousTestCase):
    """What it would say of a parser that is broken."""

    def setUp(self) -> None:
        self.fuzz = load("fuzz/fuzz_sip")

    def failures(self, inputs: int = 300) -> str:
        return "\n".join(self.fuzz.run(inputs, 1, 0.05))

    def test_an_exception(self) -> None:
        def broken(data: bytes, limits: object = None) -> object:
            return int(data[:1])

        self.patch(self.fuzz, "parse_message", broken)
        self.assertIn("ValueError at test_fuzz_sip.py", self.failures(20))

    def test_a_slow_one(self) -> None:
        def slow(data: bytes, cuts: object) -> None:
            until = time.thread_time() + 0.06
            while time.thread_time() < until:
                pass

        self.patch(self.fuzz, "framed", slow)
        self.patch(self.fuzz, "shrink", lambda data, *rest: data)
        self.assertIn("slow: 6", self.failures(3))

    def test_a_hang(self) -> None:
        def hang(data: bytes, cuts: object) -> None:
            while True:
                pass

        self.patch(self.fuzz, "framed", hang)
        self.patch(self.fuzz, "HANG_S", 0.1)
        self.patch(self.fuzz, "shrink", lambda data, *rest: data)
        self.assertIn("hang:", self.failures(3))

    def test_another_message_than_was_written(self) -> None:
        real = self.fuzz.parse_message

        def smuggling(data: bytes, *limits: object) -> object:
            message = real(data, *limits)
            message.lines = [line.replace(";", ";;") for line in message.lines]
            return message

        self.patch(self.fuzz, "parse_message", smuggling)
        self.assertIn("what was written is read as other lines", self.failures(50))

    def test_an_answer_that_cannot_be_made(self) -> None:
        def refuse(request: object, status: int, to_tag: str) -> object:
            raise self.fuzz.SIPParseError("no")

        self.patch(self.fuzz, "respond", refuse)
        self.assertIn("it cannot be refused: no", self.failures())

    def test_a_stream_that_depends_on_its_pieces(self) -> None:
        class Forgetful(self.fuzz.StreamFramer):  # type: ignore[name-defined, misc]
            def receive(self, data: bytes) -> object:
                return super().receive(data if len(data) != 3 else data[:2])

        self.patch(self.fuzz, "StreamFramer", Forgetful)
        self.assertIn("is read as something else", self.failures(50))

    def test_a_failing_input_is_cut_down(self) -> None:
        def judge(data: bytes, seed: int, limit: float) -> str | None:
            return "wrong: x" if b"NEEDLE" in data else None

        self.patch(self.fuzz, "trouble", judge)
        hay = HOST * 20 + b"NEEDLE" + HOST * 20
        self.assertEqual(self.fuzz.shrink(hay, 1, 0.05, self.fuzz.kind_of("wrong: x"), 10_000), b"NEEDLE")

    def test_the_command(self) -> None:
        said = io.StringIO()
        self.patch(sys, "stdout", said)
        self.assertEqual(self.fuzz.main(["--inputs", "20", "--seed", "3"]), 0)
        self.assertIn("fuzz_sip: 20 inputs of seed 3", said.getvalue())
        self.patch(self.fuzz, "trouble", lambda data, seed, limit: "wrong: x")
        folder = self.mktemp()
        self.assertEqual(self.fuzz.main(["--only", "7", "--keep", folder]), 1)
        self.assertIn("input 7 of seed 1: wrong: x", said.getvalue())
        self.assertEqual(os.listdir(folder), ["1-7.sip"])
