"""G.711 against the recommendation, on every value and every code."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rvoip.codecs.errors import CodecError
from rvoip.codecs.g711 import PCMA, PCMU
from rvoip.test.codecs.agreement import Agreement, columns

VALUES = np.arange(-32768, 32768).astype(np.int16)


def mu_law_steps() -> tuple[list[int], list[int]]:
    """Decision values and quantized values of one sign as tables 2a and 2b print them, from 0 upwards.

    Table 2a, column 3: from 1 to 31 by 2, to 95 by 4, to 223 by 8, ... to 8159 by 256.
    """
    decisions, value = [0], 1
    for segment in range(8):
        for _ in range(15 if segment == 0 else 16):
            decisions.append(value)
            value += 2 << segment
    decisions.append(value)
    quantized = [0] + [(low + high) // 2 for low, high in pairwise(decisions[1:])]
    return decisions[:-1], quantized


def a_law_steps() -> tuple[list[int], list[int]]:
    """The same of tables 1a and 1b: from 0 to 64 by 2, to 128 by 4, ... to 4096 by 128."""
    decisions, value = [0], 0
    for segment in range(8):
        for _ in range(16):
            value += 2 << max(segment - 1, 0)
            decisions.append(value)
    quantized = [(low + high) // 2 for low, high in pairwise(decisions)]
    return decisions[:-1], quantized


def step_of(magnitude: int, decisions: list[int]) -> int:
    """The number of the interval that a value lies in."""
    return sum(magnitude >= decision for decision in decisions) - 1


class MuLaw(Agreement):
    def test_the_tables_of_the_definition(self) -> None:
        decisions, quantized = mu_law_steps()
        self.assertEqual(len(decisions), 128)
        self.assertEqual([decisions[i] for i in (1, 15, 16, 32, 112, 127)], [1, 29, 31, 95, 4063, 7903])
        self.assertEqual([quantized[i] for i in (0, 1, 16, 32, 127)], [0, 2, 33, 99, 8031])

    def test_every_value_has_the_code_of_its_step(self) -> None:
        decisions, _ = mu_law_steps()
        code_of_magnitude = np.array([step_of(magnitude, decisions) for magnitude in range(8192)])
        magnitude = np.where(VALUES < 0, ~VALUES, VALUES) >> 2
        # Positive codes have the sign bit 1 and, as all, inverted steps.
        expected = np.where(VALUES < 0, 0x7F, 0xFF) - code_of_magnitude[magnitude]
        found = np.frombuffer(PCMU.encoder().encode(VALUES), np.uint8)
        self.assertEqual(len(found), 65536)
        np.testing.assert_array_equal(found, expected)

    def test_every_code_has_the_quantized_value_of_its_step(self) -> None:
        _, quantized = mu_law_steps()
        expected = [-4 * quantized[127 - code] for code in range(128)]
        expected += [4 * quantized[255 - code] for code in range(128, 256)]
        self.assertEqual(PCMU.decoder().decode(bytes(range(256))).tolist(), expected)
        self.assertEqual(PCMU.decoder().decode(b"\x00\x80\xff\x7f").tolist(), [-32124, 32124, 0, 0])


class ALaw(Agreement):
    def test_the_tables_of_the_definition(self) -> None:
        decisions, quantized = a_law_steps()
        self.assertEqual(len(decisions), 128)
        self.assertEqual([decisions[i] for i in (1, 32, 48, 64, 127)], [2, 64, 128, 256, 3968])
        self.assertEqual([quantized[i] for i in (0, 31, 32, 112, 127)], [1, 63, 66, 2112, 4032])

    def test_every_value_has_the_code_of_its_step(self) -> None:
        decisions, _ = a_law_steps()
        code_of_magnitude = np.array([step_of(magnitude, decisions) for magnitude in range(4096)])
        magnitude = np.where(VALUES < 0, ~VALUES, VALUES) >> 3
        expected = (np.where(VALUES < 0, 0, 0x80) + code_of_magnitude[magnitude]) ^ 0x55
        found = np.frombuffer(PCMA.encoder().encode(VALUES), np.uint8)
        np.testing.assert_array_equal(found, expected)

    def test_every_code_has_the_quantized_value_of_its_step(self) -> None:
        _, quantized = a_law_steps()
        expected = [(8 if code & 0x80 else -8) * quantized[code & 0x7F] for code in range(256)]
        found = PCMA.decoder().decode(bytes(code ^ 0x55 for code in range(256)))
        self.assertEqual(found.tolist(), expected)


class Streams(Agreement):
    def test_forms_agree(self) -> None:
        for codec in (PCMU, PCMA):
            self.assert_provides(codec)
            self.assert_forms_agree(codec)
            self.assert_bounds_are_kept(codec)
            self.assert_refuses_what_is_no_frame(codec)

    def test_a_code_comes_back(self) -> None:
        codes = bytes(range(256))
        for codec, zeros in ((PCMU, {0x7F}), (PCMA, set())):
            back = codec.encoder().encode(codec.decoder().decode(codes))
            self.assertEqual({i for i in range(256) if back[i] != codes[i]}, zeros)

    @settings(derandomize=True, deadline=None, max_examples=100)
    @given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.integers(0, 20), st.integers(1, 40))
    def test_packets_of_any_length_at_any_place(
        self, payloads: list[bytes], start: int, samples: int
    ) -> None:
        decoders = PCMU.decoders()
        packets, starts, lengths = columns(payloads, start=start)
        starts = starts.copy()
        rows = np.array([decoders.add() for _ in payloads])
        if len(payloads) > 1 and len(payloads[0]) > 1:
            # One that begins elsewhere: the general way of reading columns.
            starts[0] += 1
            lengths[0] -= 1
            payloads = [payloads[0][1:], *payloads[1:]]
        found, counts = decoders.decode(rows, packets, starts, lengths, samples)
        for row, payload in enumerate(payloads):
            fits = 0 < len(payload) <= samples
            expected = PCMU.decoder().decode(payload).tolist() if fits else []
            self.assertEqual(counts[row], len(expected))
            self.assertEqual(found[row].tolist(), expected + [0] * (samples - len(expected)))

    def test_what_is_signalled(self) -> None:
        self.assertEqual([PCMU.static_payload_type, PCMA.static_payload_type], [0, 8])
        self.assertEqual(PCMU.frame_samples(20), 160)
        self.assertEqual(PCMU.frame_bytes(160), 160)
        self.assertEqual(PCMU.fit_ptime(32, 120), 30)
        self.assertEqual(PCMU.fit_ptime(1, 120), 10)
        self.assertRaises(CodecError, PCMU.frame_samples, 32)
        self.assertEqual(PCMU.decoder().conceal(80).tolist(), [0] * 80)

    def test_an_array_for_the_output_must_fit(self) -> None:
        encoders = PCMU.encoders()
        pcm = np.zeros((2, 160), np.int16)
        wrong = (np.zeros((2, 159), np.uint8), np.zeros((3, 160), np.uint8), np.zeros((2, 160), np.int8))
        for out in (*wrong, np.zeros((2, 320), np.uint8)[:, ::2]):
            self.assertRaises(CodecError, encoders.encode, np.arange(2), pcm, out)
