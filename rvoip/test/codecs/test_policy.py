"""Which codecs of an offer are used, in which order, with which packets."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.codecs.described import ComfortNoise, TelephoneEvent
from rvoip.codecs.formats import Format
from rvoip.codecs.g711 import PCMA, PCMU
from rvoip.codecs.interfaces import ICodec
from rvoip.codecs.l16 import L16
from rvoip.codecs.opus import Opus
from rvoip.codecs.policy import Choice, Policy, accept, choose, offer
from rvoip.codecs.registry import Registry
from rvoip.protocols.sdp.formats import Codec as SDPCodec


class Wide(L16):
    """Opus and G.722 as they are signalled, without their libraries."""

    def __init__(self, name: str, clock_rate: int, channels: int, payload_type: int | None) -> None:
        super().__init__(16000)
        self.name, self.clock_rate, self.channels = name, clock_rate, channels
        self.static_payload_type = payload_type


class WideOpus(Wide):
    ptimes = Opus.ptimes

    def offer(self) -> str:
        return "useinbandfec=1"

    def answer(self, fmtp: str) -> str:
        return "useinbandfec=1"


OPUS, G722 = WideOpus("opus", 48000, 2, None), Wide("G722", 8000, 1, 9)
EVENTS, EVENTS_48, NOISE = TelephoneEvent(), TelephoneEvent(48000), ComfortNoise()
CODECS: list[ICodec] = [OPUS, G722, PCMA, PCMU, L16(16000), EVENTS, EVENTS_48, NOISE]
REGISTRY = Registry(CODECS)

BROWSER = [
    Format(111, "opus", 48000, 2, "minptime=10;useinbandfec=1"),
    Format(63, "red", 48000, 2, "111/111"),
    Format(9, "G722", 8000),
    Format(0, "PCMU", 8000),
    Format(8, "PCMA", 8000),
    Format(13, "CN", 8000),
    Format(110, "telephone-event", 48000),
    Format(126, "telephone-event", 8000),
]


def types(choices: Iterable[Choice]) -> list[int]:
    return [choice.format.payload_type for choice in choices]


class Chosen(TestCase):
    def test_all_that_both_have_in_the_order_of_the_peer(self) -> None:
        choices = choose(BROWSER, Policy(), REGISTRY)
        self.assertEqual(types(choices), [111, 9, 0, 8, 110, 126, 13])
        first = choices[0]
        self.assertIs(first.codec, OPUS)
        self.assertEqual(first.format, Format(111, "opus", 48000, 2, "useinbandfec=1"))
        self.assertEqual(first.peer_fmtp, "minptime=10;useinbandfec=1")
        self.assertEqual(first.receive_payload_type, 111)
        self.assertEqual(choices[4].format.fmtp, "0-15")

    def test_policies(self) -> None:
        for policy, expected in (
            (Policy(allow=("PCMA", "PCMU")), [0, 8, 126, 13]),
            (Policy(allow=("PCMA", "PCMU"), order="ours"), [8, 0, 126, 13]),
            (Policy(order="ours"), [111, 9, 8, 0, 110, 126, 13]),
            (Policy(deny=("opus", "CN")), [9, 0, 8, 126]),
            (Policy(deny=("telephone-event/8000",)), [111, 9, 0, 8, 110, 13]),
            (Policy(allow=("opus",), deny=("opus",)), []),
            (Policy(most=1), [111, 110]),
            (Policy(most=1, order="ours", allow=("pcmu", "opus")), [0, 126, 13]),
            (Policy(allow=("speex",)), []),
        ):
            self.assertEqual(types(choose(BROWSER, policy, REGISTRY)), expected, policy)

    def test_events_and_noise_alone_are_no_call(self) -> None:
        self.assertEqual(choose(BROWSER[5:], Policy(), REGISTRY), [])
        self.assertEqual(choose([], Policy(), REGISTRY), [])

    def test_events_at_another_rate_are_better_than_none(self) -> None:
        offered = [BROWSER[0], Format(101, "telephone-event", 8000), Format(13, "CN", 8000)]
        self.assertEqual(types(choose(offered, Policy(), REGISTRY)), [111, 101])

    def test_events_that_only_the_peer_knows(self) -> None:
        offered = [Format(0, "PCMU", 8000), Format(101, "telephone-event", 8000, 1, "32-36")]
        self.assertEqual(types(choose(offered, Policy(), REGISTRY)), [0])

    def test_sdp_codecs_are_formats(self) -> None:
        choices = choose([SDPCodec(97, "l16", 16000), SDPCodec(0, "PCMU", 8000)], Policy(), REGISTRY)
        self.assertEqual(types(choices), [97, 0])
        self.assertEqual(choices[0].format, Format(97, "L16", 16000))

    def test_numbers_that_are_no_payload_types(self) -> None:
        offered = [Format(128, "PCMU", 8000), Format(-1, "PCMU", 8000), Format(8, "PCMA", 8000)]
        offered += [Format(8, "PCMU", 8000), Format(96, "PCMA", 8000)]
        # A payload type with two meanings has its first; a codec that comes twice is taken once.
        self.assertEqual(types(choose(offered, Policy(), REGISTRY)), [8])

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.builds(
                Format,
                st.integers(-5, 300),
                st.sampled_from(["opus", "pcmu", "PCMA", "CN", "telephone-event", "", "\u0660"]),
                st.sampled_from([8000, 16000, 48000, 0]),
                st.integers(1, 2),
                st.none() | st.text(max_size=20),
            ),
            max_size=12,
        )
    )
    def test_any_offer(self, offered: list[Format]) -> None:
        choices = choose(offered, Policy(order="ours"), REGISTRY)
        numbers = types(choices)
        self.assertEqual(len(numbers), len(set(numbers)))
        given_ = {(format.payload_type, format.key) for format in offered}
        self.assertLessEqual({(c.format.payload_type, c.format.key) for c in choices}, given_)
        if choices:
            self.assertEqual(choices[0].codec.kind, "audio")


class Packets(TestCase):
    def ptime(
        self,
        ptime: float | None = None,
        most: float | None = None,
        policy: Policy | None = None,
        offered: Format | None = None,
    ) -> float:
        offered = offered or Format(0, "PCMU", 8000)
        return choose([offered], policy or Policy(), REGISTRY, ptime, most)[0].ptime

    def test_what_the_peer_asks_for(self) -> None:
        table = {None: 20, 10: 10, 20: 20, 30: 30, 32: 30, 5: 10, 60: 60, 150: 120}
        self.assertEqual({ptime: self.ptime(ptime) for ptime in table}, table)

    def test_what_is_no_length_is_not_asked_for(self) -> None:
        for wrong in (0, -20, 1e9, float("inf"), float("nan"), 0.5):
            self.assertEqual(self.ptime(wrong), 20)
            self.assertEqual(self.ptime(20, wrong), 20)

    def test_bounds(self) -> None:
        self.assertEqual(self.ptime(60, 40), 40)
        self.assertEqual(self.ptime(None, 10), 10)
        self.assertEqual(self.ptime(60, None, Policy(max_ptime=30)), 30)
        self.assertEqual(self.ptime(None, None, Policy(ptime=40)), 40)
        self.assertEqual(self.ptime(10, None, Policy(ptime=40)), 10)

    def test_whole_steps(self) -> None:
        self.assertEqual(self.ptime(30, None, Policy(step=20)), 20)
        self.assertEqual(self.ptime(50, None, Policy(step=20)), 40)
        # Where the codec has no such frame, the nearest that it has.
        self.assertEqual(self.ptime(10, None, Policy(step=20)), 10)
        opus = BROWSER[0]
        self.assertEqual(self.ptime(3, None, None, opus), 2.5)
        self.assertEqual(self.ptime(50, None, None, opus), 40)
        self.assertEqual(self.ptime(120, None, None, opus), 60)

    def test_in_the_parameters_of_the_format(self) -> None:
        """RFC 7587 section 6.1 has ptime and maxptime as parameters of the media type too."""
        self.assertEqual(self.ptime(None, None, None, Format(111, "opus", 48000, 2, "ptime=40")), 40)
        self.assertEqual(
            self.ptime(None, None, None, Format(111, "opus", 48000, 2, "ptime=60;maxptime=10")), 10
        )
        self.assertEqual(self.ptime(10, None, None, Format(111, "opus", 48000, 2, "ptime=40")), 10)
        self.assertEqual(self.ptime(None, None, None, Format(111, "opus", 48000, 2, "ptime=4_0")), 20)


class Offered(TestCase):
    def test_what_everybody_knows_unless_told_otherwise(self) -> None:
        self.assertEqual(
            offer(Policy(), REGISTRY),
            [
                Format(111, "opus", 48000, 2, "useinbandfec=1"),
                Format(9, "G722", 8000),
                Format(8, "PCMA", 8000),
                Format(0, "PCMU", 8000),
                Format(110, "telephone-event", 48000, 1, "0-15"),
                Format(101, "telephone-event", 8000, 1, "0-15"),
            ],
        )

    def numbers(self, policy: Policy, numbers: dict[str, int] | None = None) -> list[tuple[int, str]]:
        return [(format.payload_type, format.key) for format in offer(policy, REGISTRY, numbers)]

    def test_policies(self) -> None:
        events = (101, "telephone-event/8000")
        pcmu = (0, "pcmu/8000")
        self.assertEqual(self.numbers(Policy(allow=("PCMU",))), [pcmu, events])
        self.assertEqual(self.numbers(Policy(allow=("PCMU",), noise=True)), [pcmu, events, (13, "cn/8000")])
        self.assertEqual(self.numbers(Policy(allow=("PCMU",), deny=("telephone-event",))), [pcmu])
        wide = self.numbers(Policy(allow=("L16", "opus")))
        self.assertEqual(wide, [(96, "l16/16000"), (111, "opus/48000/2"), (110, "telephone-event/48000")])
        self.assertEqual(self.numbers(Policy(allow=("speex",))), [])

    def test_numbers_of_the_session_are_kept(self) -> None:
        earlier = {"opus/48000/2": 96, "l16/16000": 111, "g722/8000": 9, "speex/8000": 110}
        found = self.numbers(Policy(allow=("opus", "L16", "G722")), earlier)
        self.assertEqual(found[:3], [(96, "opus/48000/2"), (111, "l16/16000"), (9, "g722/8000")])
        # 110 meant something else, so that the events get another number.
        self.assertEqual(found[3], (97, "telephone-event/48000"))

    def test_no_number_twice(self) -> None:
        registry = Registry([Wide(f"wide{i}", 16000, 1, None) for i in range(70)])
        allow = tuple(codec.name for codec in registry)
        numbers = [format.payload_type for format in offer(Policy(allow=allow), registry)]
        self.assertEqual(len(numbers), 61)
        self.assertEqual(len(set(numbers)), 61)


class Accepted(TestCase):
    def test_an_answer_with_numbers_of_its_own(self) -> None:
        ours = offer(Policy(), REGISTRY)
        answered = [
            Format(96, "OPUS", 48000, 2, "usedtx=1"),
            Format(0, "PCMU", 8000),
            Format(97, "telephone-event", 8000, 1, "0-11"),
            Format(3, "GSM", 8000),
            Format(98, "L16", 16000),
        ]
        choices = accept(ours, answered, Policy(), REGISTRY, ptime=40)
        self.assertEqual(types(choices), [96, 0, 97])
        self.assertEqual([choice.receive_payload_type for choice in choices], [111, 0, 101])
        self.assertEqual(choices[0].format.fmtp, "useinbandfec=1")
        self.assertEqual(choices[0].peer_fmtp, "usedtx=1")
        self.assertEqual([choice.ptime for choice in choices[:2]], [40, 40])

    def test_an_answer_without_audio(self) -> None:
        ours = offer(Policy(), REGISTRY)
        self.assertEqual(accept(ours, [Format(101, "telephone-event", 8000)], Policy(), REGISTRY), [])
        self.assertEqual(accept(ours, [Format(98, "L16", 16000)], Policy(), REGISTRY), [])
