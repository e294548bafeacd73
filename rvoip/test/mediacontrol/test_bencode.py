from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.mediacontrol.bencode import LARGEST, decode, encode
from rvoip.mediacontrol.errors import BencodeError

VALUES: Any = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


class BencodeTests(TestCase):
    def test_forms(self) -> None:
        forms: list[tuple[Any, bytes]] = [
            (0, b"i0e"),
            (-42, b"i-42e"),
            ("spam", b"4:spam"),
            (b"", b"0:"),
            ("é", b"2:\xc3\xa9"),
            ([1, "a"], b"li1e1:ae"),
            ({"b": 1, "a": ["x"]}, b"d1:al1:xe1:bi1ee"),
        ]
        for value, octets in forms:
            self.assertEqual(encode(value), octets)

    @given(VALUES)
    @settings(derandomize=True, deadline=None, max_examples=300)
    def test_there_and_back(self, value: Any) -> None:
        self.assertEqual(decode(encode(value)), value)

    def test_refused(self) -> None:
        for octets in (
            b"", b"i", b"ie", b"i-0e", b"i01e", b"i1_0e", b"i+1e", b"i\xd9\xa1e", b"i" + b"9" * 30 + b"e",
            b"5:abc", b"05:abcde", b":", b"-1:a", b"l", b"li1e", b"d", b"d1:ae", b"di1ei2ee", b"d1:a", b"x",
            b"i1ei2e", b"l" * 100 + b"e" * 100, b"99999999:a", b"4294967297:a", b"\x00", b"d2:abe",
        ):  # fmt: skip
            self.assertRaises(BencodeError, decode, octets)
        self.assertRaises(BencodeError, decode, b"1048577:" + b"x" * (LARGEST + 1))

    def test_what_has_no_form(self) -> None:
        deep: Any = "x"
        for _ in range(30):
            deep = [deep]
        for value in (1.5, None, {"a": object()}, {1: "a", 2: 1.0}, deep):
            self.assertRaises(BencodeError, encode, value)

    @given(st.binary(max_size=60))
    @settings(derandomize=True, deadline=None, max_examples=500)
    def test_only_its_own_error(self, octets: bytes) -> None:
        for data in (octets, b"d" + octets, b"l" + octets + b"e"):
            try:
                decode(data)
            except BencodeError:
                pass
