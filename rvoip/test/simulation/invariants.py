"""What must hold after each simulated day, whatever went wrong in it."""

from __future__ import annotations

import gc
from collections.abc import Iterable

from rvoip.protocols.dialog.client import ClientTransaction
from rvoip.protocols.dialog.server import ServerTransaction
from rvoip.protocols.sip.message import Request
from rvoip.proxy.calls import LONGEST
from rvoip.proxy.context import ResponseContext
from rvoip.test.simulation.world import World
from rvoip.testing.network_ladder import Passed

__all__ = ["report", "violations"]

_GROWTH = 450
"""Octets by which messages of one kind in one call may differ: credentials, and a Path."""
_LARGEST = 4000
"""Octets of the largest message that is no surprise."""


def violations(world: World) -> list[str]:
    """What is wrong after `world.run()`, a line each; stops the servers and phones."""
    found = list(world.broken)
    found += [f"logged: {text}" for text in world.errors]
    found += _answers(world)
    for end in world.ends:
        found += [f"{end.name}: {line}" for line in end.finals(world.strict)]
        found += [f"{end.name} is left with {line}" for line in end.leftovers()]
        if world.strict:
            found += [f"{end.name}: {line}" for line in end.problems()]
    found += _left_at_servers(world)
    found += _kept_alive(world)
    found += _counters(world)
    found += _growth(world.ladder.passed, len(world.places))
    found += [f"after all was stopped: {line}" for line in world.close()]
    return found


def _answers(world: World) -> Iterable[str]:
    for placed in world.placed:
        count = len(placed.outcomes)
        if count != 1:
            yield f"{placed!r} came to {count} ends"
        elif world.strict and placed.outcomes[0] in ("timeout", "nothing came after CANCEL"):
            yield f"{placed!r} was never answered"


def _left_at_servers(world: World) -> Iterable[str]:
    for place in world.places:
        element = place.element
        assert element is not None
        yield from [f"{place.name} is left with {line}" for line in element.leftovers()]
        if element.calls is not None:
            for call in element.calls.calls:
                # One without a session timer, whose BYE came to a server that was cut off or down, is beyond
                # anybody's reach.
                if world.strict or call.deadline < world.clock.seconds() + LONGEST / 2:
                    yield f"{place.name} takes call {call.call_id} for up"


def _kept_alive(world: World) -> Iterable[str]:
    """What no table holds any more, but something else does."""
    elements = [place.element for place in world.places if place.element is not None]
    layers = [id(one.sip.transactions) for one in elements]
    proxies = [id(one.proxy) for one in elements]
    gc.collect()
    for one in gc.get_objects():
        if isinstance(one, ResponseContext):
            is_ours = id(one.proxy) in proxies
        else:
            is_ours = isinstance(one, ServerTransaction | ClientTransaction) and id(one._layer) in layers
        if is_ours:
            yield f"something keeps a {type(one).__name__}"


def _counters(world: World) -> Iterable[str]:
    network, kept = world.network, world.kept
    came = network.delivered + network.lost + network.unreachable
    if network.sent + network.duplicated != came:
        yield f"{network.sent} + {network.duplicated} datagrams were sent, and {came} accounted for"
    held = kept.kept.count().bindings
    if held or kept.made != kept.gone:
        yield f"{kept.made} bindings were made, {kept.gone} went, and {held} are there"
    if world.restarts:
        return
    told = {"created": 0, "refreshed": 0, "removed": 0, "expired": 0}
    for place in world.places:
        assert place.element is not None
        for kind, count in place.element.registrations.items():
            told[kind] += count
    if "store" not in world.faults and told["created"] < told["removed"]:
        yield f"more registrations went than came: {told}"


def _growth(passed: list[Passed], servers: int) -> Iterable[str]:
    smallest: dict[tuple[object, ...], int] = {}
    for one in passed:
        message = one.message
        vias = len(message.get_all("via"))
        if one.size > _LARGEST or vias > 2 * servers + 1:
            yield f"a message of {one.size} octets and {vias} Via: {message.start_line}"
        kind = message.method if isinstance(message, Request) else str(message.start_line)
        cseq, call_id, sender = message.get("cseq"), message.get("call-id"), message.get("from")
        key = (call_id, sender, cseq, kind, one.source, one.destination, bool(message.body))
        least = smallest.setdefault(key, one.size)
        if one.size > least + _GROWTH:
            yield f"{message.start_line} of {message.get('call-id')} grew from {least} to {one.size} octets"
            smallest[key] = one.size


def report(world: World, found: list[str]) -> str:
    """What is wrong, how to see it again, and what happened."""
    text = "\n".join(found)
    named = [placed.call_id for placed in world.placed if placed.call_id in text]
    return (
        f"{world!r}\n{text}\nagain: python -m rvoip.test.simulation --seed {world.seed} --ladder\n"
        f"{world.ladder.draw(*named)}"
    )
