"""An offer on its way between two legs, and its answer on the way back."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.codecs.formats import Format
from rvoip.codecs.operations import CodecOperations, Passed, answer_back, pass_on
from rvoip.test.codecs.test_policy import REGISTRY

OPUS = Format(111, "opus", 48000, 2, "useinbandfec=1")
G722 = Format(9, "G722", 8000)
PCMA = Format(8, "PCMA", 8000)
PCMU = Format(0, "PCMU", 8000)
GSM = Format(3, "GSM", 8000)
EVENTS = Format(101, "telephone-event", 8000, 1, "0-15")


def numbers(formats: tuple[Format, ...]) -> list[int]:
    return [format.payload_type for format in formats]


def passed(offered: list[Format], **operations: Any) -> Passed:
    return pass_on(offered, CodecOperations(**operations), REGISTRY)


class There(TestCase):
    OFFER = (OPUS, PCMA, PCMU, GSM, EVENTS)

    def on(self, **operations: Any) -> tuple[list[int], list[int]]:
        result = passed(list(self.OFFER), **operations)
        return numbers(result.offer), numbers(result.own)

    def test_without_operations_all_passes(self) -> None:
        self.assertEqual(self.on(), ([111, 8, 0, 3, 101], []))

    def test_each(self) -> None:
        for operations, expected in (
            ({"strip": ("opus",)}, ([8, 0, 3, 101], [])),
            ({"strip": ("all",), "keep": ("PCMA", "telephone-event")}, ([8, 101], [])),
            ({"mask": ("opus",)}, ([8, 0, 3, 101], [])),
            ({"mask": ("opus",), "transcode": ("G722",)}, ([8, 0, 3, 101, 9], [111])),
            ({"consume": ("opus",)}, ([8, 0, 3, 101], [111])),
            (
                {"consume": ("all",), "keep": ("telephone-event",), "transcode": ("G722",)},
                ([101, 9], [111, 8, 0]),
            ),
            ({"accept": ("PCMU",)}, ([111, 8, 0, 3, 101], [0])),
            ({"accept": ("GSM",)}, ([111, 8, 0, 3, 101], [])),
            ({"strip": ("opus",), "accept": ("opus",)}, ([8, 0, 3, 101], [])),
            ({"transcode": ("PCMA",)}, ([111, 8, 0, 3, 101], [])),
            ({"transcode": ("L16",)}, ([111, 8, 0, 3, 101, 96], [])),
            ({"transcode": ("telephone-event",)}, ([111, 8, 0, 3, 101], [])),
        ):
            self.assertEqual(self.on(**operations), expected, operations)

    def test_a_fixed_number_that_is_taken_is_not_given_twice(self) -> None:
        odd = [Format(9, "speex", 8000), Format(96, "iLBC", 8000)]
        result = passed(odd, transcode=("G722",))
        self.assertEqual([(f.payload_type, f.encoding) for f in result.offer][2], (97, "G722"))

    def test_parameters_are_set(self) -> None:
        operations = CodecOperations(
            set=(("opus", "maxaveragebitrate=16000"), ("PCMA", ""), ("L16", "x=1")), transcode=("L16",)
        )
        result = pass_on([OPUS, PCMU], operations, REGISTRY)
        self.assertEqual([f.fmtp for f in result.offer], ["maxaveragebitrate=16000", None, "x=1"])


class Back(TestCase):
    def back(self, offered: list[Format], far: list[Format], **operations: Any) -> object:
        result = answer_back(offered, passed(offered, **operations), far, REGISTRY)
        return numbers(result.answer), result.transcodes

    def test_what_both_have_is_not_transcoded(self) -> None:
        self.assertEqual(self.back([OPUS, PCMA, EVENTS], [PCMA, EVENTS]), ([8, 101], False))

    def test_the_far_side_takes_what_was_added(self) -> None:
        operations = {"consume": ("opus",), "transcode": ("PCMA",)}
        self.assertEqual(self.back([OPUS], [PCMA], **operations), ([111], True))
        operations = {"mask": ("PCMU",), "transcode": ("PCMA",)}
        self.assertEqual(self.back([PCMU, EVENTS], [PCMA, EVENTS], **operations), ([0, 101], True))

    def test_what_is_accepted_though_the_far_side_refuses_it(self) -> None:
        self.assertEqual(self.back([PCMU, PCMA], [PCMA], accept=("PCMU",)), ([8, 0], False))
        operations = {"accept": ("PCMU",), "transcode": ("G722",)}
        self.assertEqual(self.back([PCMU], [G722], **operations), ([0], True))

    def test_nothing_in_common(self) -> None:
        self.assertEqual(self.back([PCMU], [G722], transcode=("G722",)), ([], False))
        self.assertEqual(self.back([PCMU, EVENTS], [EVENTS]), ([], False))
        self.assertEqual(self.back([PCMU], []), ([], False))
        # The far side answers with what it was not offered.
        self.assertEqual(self.back([PCMU, PCMA], [PCMA], strip=("PCMA",)), ([], False))

    def test_the_numbers_and_parameters_are_those_of_each_leg(self) -> None:
        far = [Format(96, "opus", 48000, 2, "stereo=1")]
        offered = [OPUS]
        result = answer_back(offered, passed(offered), far, REGISTRY)
        self.assertEqual(result.answer, (Format(111, "opus", 48000, 2, "stereo=1"),))
        result = answer_back(
            offered, passed(offered, consume=("opus",), transcode=("PCMA",)), [PCMA], REGISTRY
        )
        self.assertEqual(result.answer, (Format(111, "opus", 48000, 2, "useinbandfec=1"),))

    def test_a_codec_that_we_lack_passes_untouched(self) -> None:
        self.assertEqual(self.back([GSM, EVENTS], [GSM, EVENTS]), ([3, 101], False))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(st.sampled_from([OPUS, G722, PCMA, PCMU, GSM, EVENTS]), unique=True),
        st.lists(st.sampled_from([OPUS, G722, PCMA, PCMU, GSM, EVENTS]), unique=True),
        st.builds(
            CodecOperations,
            **{
                name: st.lists(
                    st.sampled_from(["all", "opus", "PCMA", "G722", "telephone-event"]), max_size=2
                ).map(tuple)
                for name in ("strip", "keep", "mask", "consume", "accept", "transcode")
            },
        ),
    )
    def test_nobody_is_answered_with_what_he_did_not_offer(
        self, offered: list[Format], far: list[Format], operations: CodecOperations
    ) -> None:
        passed_on = pass_on(offered, operations, REGISTRY)
        result = answer_back(offered, passed_on, far, REGISTRY)
        theirs = {(f.payload_type, f.key) for f in offered}
        self.assertLessEqual({(f.payload_type, f.key) for f in result.answer}, theirs)
        types = numbers(passed_on.offer)
        self.assertEqual(len(types), len(set(types)))
        if result.answer:
            self.assertNotEqual(result.answer[0].encoding, "telephone-event")
