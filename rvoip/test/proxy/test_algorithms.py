from __future__ import annotations

from collections import Counter
from random import Random

import attrs
from twisted.trial.unittest import TestCase

from rvoip.proxy.algorithms import ALGORITHMS, HASHED, rank


@attrs.define
class Place:
    id: str
    weight: int = 1
    priority: int = 0
    calls: int = 0
    latency: float = float("inf")


def names(ranked: list[Place]) -> str:
    return "".join(one.id for one in ranked)


class RankTests(TestCase):
    def setUp(self) -> None:
        self.random = Random(7).random
        self.four = [Place(name) for name in "abcd"]

    def first(self, algorithm: str, places: list[Place], count: int) -> Counter[str]:
        return Counter(
            rank(algorithm, places, f"call {turn}", turn, self.random)[0].id for turn in range(count)
        )

    def test_each_has_all(self) -> None:
        for algorithm in ALGORITHMS:
            for turn in range(5):
                ranked = rank(algorithm, self.four, "k", turn, self.random)
                self.assertEqual(sorted(names(ranked)), list("abcd"), algorithm)
            self.assertEqual(rank(algorithm, [], "k", 3, self.random), [])

    def test_hash_is_steady_and_even(self) -> None:
        for algorithm in HASHED:
            self.assertEqual(
                names(rank(algorithm, self.four, "k", 1, self.random)),
                names(rank(algorithm, list(reversed(self.four)), "k", 2, self.random)),
            )
        counts = self.first("hash_call_id", self.four, 4000)
        for name in "abcd":
            self.assertApproximates(counts[name], 1000, 120)

    def test_hash_moves_only_what_must(self) -> None:
        """When one of four goes, only its own keys get another first choice: their second."""
        for number in range(300):
            key = f"call {number}"
            before = names(rank("hash_call_id", self.four, key, 0, self.random))
            after = names(rank("hash_call_id", self.four[1:], key, 0, self.random))
            self.assertEqual(after, before.replace("a", ""))

    def test_weights(self) -> None:
        places = [Place("a", weight=3), Place("b", weight=1), Place("c", weight=0)]
        for algorithm in ("weight", "hash_call_id"):
            counts = self.first(algorithm, places, 4000)
            self.assertApproximates(counts["a"], 3000, 120)
            self.assertApproximates(counts["b"], 1000, 120)
            self.assertEqual(counts["c"], 0, "none but when nothing else is there")

    def test_round_robin(self) -> None:
        found = [names(rank("round_robin", self.four, "", turn, self.random)) for turn in range(5)]
        self.assertEqual(found, ["abcd", "bcda", "cdab", "dabc", "abcd"])

    def test_random(self) -> None:
        counts = self.first("random", self.four, 4000)
        for name in "abcd":
            self.assertApproximates(counts[name], 1000, 120)

    def test_priority(self) -> None:
        places = [Place("a", priority=1), Place("b", priority=9), Place("c", priority=9), Place("d")]
        found = [names(rank("priority", places, "", turn, self.random)) for turn in range(4)]
        self.assertEqual(found, ["bcad", "cbad"] * 2, "equal ones take turns")

    def test_equal_ones_take_equal_turns(self) -> None:
        """However many others there are."""
        places = [Place("a", 1, 0, 9, 9.0), Place("b", 1, 5), Place("c", 1, 5), Place("d", 1, 0, 9, 9.0)]
        for one in places[1:3]:
            one.latency = 0.1
        for algorithm in ("priority", "load", "latency"):
            self.assertEqual(self.first(algorithm, places, 1000), {"b": 500, "c": 500}, algorithm)

    def test_load(self) -> None:
        places = [
            Place("a", calls=5),
            Place("b", calls=2),
            Place("c", calls=5, weight=10),
            Place("d", calls=0),
        ]
        self.assertEqual(names(rank("load", places, "", 0, self.random)), "cdba")
        idle = [names(rank("load", self.four, "", turn, self.random))[0] for turn in range(4)]
        self.assertEqual(idle, list("abcd"), "equally idle ones take turns")

    def test_latency(self) -> None:
        places = [Place("a", latency=0.2), Place("b"), Place("c", latency=0.01)]
        self.assertEqual(names(rank("latency", places, "", 0, self.random)), "cab")
