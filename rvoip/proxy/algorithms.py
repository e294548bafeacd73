"""In which order the gateways of a set are tried for a request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

__all__ = ["ALGORITHMS", "HASHED", "Choosable", "rank"]


class Choosable(Protocol):
    """What is known of a gateway when one is to be chosen."""

    @property
    def id(self) -> str:
        """Its name, which never changes."""

    @property
    def weight(self) -> int:
        """Its share, relative to the others'."""

    @property
    def priority(self) -> int:
        """The higher the sooner, where the algorithm asks for it."""

    @property
    def calls(self) -> int:
        """Calls that it has at present."""

    @property
    def latency(self) -> float:
        """Seconds that its answers to probes take; infinite when there were none."""


G = TypeVar("G", bound=Choosable)

HASHED = ("hash_call_id", "hash_from", "hash_to", "hash_uri")
"""Algorithms that send what is alike the same way."""

WEIGHTED = (*HASHED, "weight", "load")
"""Algorithms that ask for the gateways' weights."""

ALGORITHMS = (*HASHED, "round_robin", "weight", "priority", "load", "random", "latency", "parallel")


def rank(algorithm: str, gateways: Sequence[G], key: str, turn: int, random: Callable[[], float]) -> list[G]:
    """The gateways, first choice first; those of "parallel" are for one try at once.

    `key` is what is hashed, `turn` counts the requests of the set, `random` gives numbers from 0 up to (not
    including) 1. Hashing is by rendezvous: when a gateway goes or comes, only what it has moves.
    """
    if algorithm in HASHED:
        return sorted(gateways, key=lambda one: -_score(key, one))
    if algorithm == "weight":
        drawn = [(_draw(random(), one.weight), number) for number, one in enumerate(gateways)]
        return [gateways[number] for _, number in sorted(drawn, reverse=True)]
    if algorithm == "random":
        drawn = [(random(), number) for number in range(len(gateways))]
        return [gateways[number] for _, number in sorted(drawn)]
    if algorithm == "parallel":
        return list(gateways)
    if algorithm == "priority":
        return _by(gateways, turn, lambda one: -one.priority)
    if algorithm == "load":
        return _by(gateways, turn, lambda one: (one.calls + 1) / max(one.weight, 1))
    if algorithm == "latency":
        return _by(gateways, turn, lambda one: one.latency)
    return _turned(gateways, turn)


def _by(gateways: Sequence[G], turn: int, value: Callable[[G], float]) -> list[G]:
    """By rising value; those of equal value take turns among themselves."""
    equal: dict[float, list[G]] = {}
    for one in gateways:
        equal.setdefault(value(one), []).append(one)
    return [one for found in sorted(equal) for one in _turned(equal[found], turn)]


def _turned(gateways: Sequence[G], turn: int) -> list[G]:
    if not gateways:
        return []
    first = turn % len(gateways)
    return [*gateways[first:], *gateways[:first]]


def _score(key: str, gateway: Choosable) -> float:
    """Weighted rendezvous hashing: -1 / ln(u) times the weight, with u hashed evenly from 0 to 1."""
    text = f"{key}\n{gateway.id}".encode("utf-8", "surrogateescape")
    number = int.from_bytes(blake2b(text, digest_size=8).digest())
    return -gateway.weight / math.log((number + 1) / (2**64 + 2))


def _draw(number: float, weight: int) -> float:
    """Largest for each gateway as often as its weight says (Efraimidis and Spirakis)."""
    return float(number ** (1 / weight)) if weight > 0 else -1.0 + number
