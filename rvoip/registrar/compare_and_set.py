"""Compare and set, as RFC 3261 section 10.3 steps 6 and 7 ask for: one rule for every store.

`objection` compares a change with what an AOR has, `merge` makes the change. Both are functions of their
arguments; a store calls them where nothing else can change the AOR in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from rvoip.registrar.binding import ALL_CONTACTS, Binding, Change, Outcome, live

__all__ = ["buried", "merge", "objection"]


def _find(bindings: Sequence[Binding], key: str, now: float) -> Binding | None:
    for binding in bindings:
        if binding.key == key:
            return binding if binding.deadline > now else None
    return None


def objection(held: Sequence[Binding], graves: Sequence[Binding], change: Change) -> Outcome | None:
    """Why `change` may not be applied: UNCHANGED, STALE, FULL; None when it may.

    `held` are the AOR's bindings, `graves` its tombstones, expired ones of either counting as absent. Every
    part is compared before any is applied. Where the Call-ID differs a part always passes; where it is the
    same the CSeq must be higher, but a request that says again what it said with that CSeq is UNCHANGED.
    """
    if not change.call_id:
        return None
    call_id, cseq, now = change.call_id, change.cseq, change.now
    newer = repeated = False
    created = 0
    for put in change.puts:
        old = _find(held, put.key, now)
        if old is None:
            created += 1
            old = _find(graves, put.key, now)
        if old is None or old.call_id != call_id or cseq > old.cseq:
            newer = True
        elif cseq == old.cseq and old.repeats(put):
            repeated = True
        else:
            return Outcome.STALE
    removed = 0
    if change.removes == ALL_CONTACTS:
        for old in (*held, *graves):
            if old.deadline > now and old.call_id == call_id and cseq <= old.cseq:
                if old.granted or cseq < old.cseq:
                    return Outcome.STALE
                repeated = True  # it was removed by this very request, or by one of several contacts
        return Outcome.UNCHANGED if repeated else None
    for key in change.removes:
        old = _find(held, key, now)
        if old is not None:
            removed += 1
        else:
            old = _find(graves, key, now)
        if old is None:
            continue  # there is nothing to remove, and nothing against that
        if old.call_id != call_id or cseq > old.cseq:
            newer = True
        elif cseq == old.cseq and not old.granted:
            repeated = True
        else:
            return Outcome.STALE
    if repeated:
        # A request is applied as a whole, so a repeated one has no new part: this is another request.
        return Outcome.STALE if newer else Outcome.UNCHANGED
    if created > removed:
        count = created - removed + sum([binding.deadline > now for binding in held])
        if count > change.max_contacts:
            return Outcome.FULL
    return None


def merge(
    held: tuple[Binding, ...], change: Change
) -> tuple[Outcome, tuple[Binding, ...], tuple[Binding, ...]]:
    """The outcome, the live bindings after `change`, and those that it removed; compares nothing.

    A refreshed binding keeps its place, a new one comes last.
    """
    puts = change.puts
    removes = change.removes
    if len(puts) == 1 and not removes and len(held) <= 1:
        put = puts[0]
        if held and held[0].deadline > change.now:
            if held[0].key == put.key:
                return Outcome.REFRESHED, puts, ()
            return Outcome.CREATED, (held[0], put), ()
        return Outcome.CREATED, puts, ()
    after = {binding.key: binding for binding in live(held, change.now)}
    removed: list[Binding] = []
    if removes == ALL_CONTACTS:
        removed.extend(after.values())
        after.clear()
    else:
        for key in removes:
            gone = after.pop(key, None)
            if gone is not None:
                removed.append(gone)
    before = len(after)
    for put in puts:
        after[put.key] = put
    outcome = Outcome.REMOVED
    if puts:
        outcome = Outcome.CREATED if len(after) > before else Outcome.REFRESHED
    return outcome, tuple(after.values()), tuple(removed)


def buried(held: Sequence[Binding], graves: Sequence[Binding], change: Change) -> list[tuple[str, str, int]]:
    """(key, Call-ID, CSeq) of the tombstones that an applied change leaves.

    They carry the Call-ID and CSeq of the request that removed, so that neither it nor an earlier one of its
    Call-ID is taken for a new registration; an operator's removal keeps those of the binding.
    """
    removes = change.removes
    found: list[tuple[str, str, int]] = []
    if not removes:
        return found
    everything = removes == ALL_CONTACTS
    for old in (*graves, *held):
        if old.deadline <= change.now or not (everything or old.key in removes):
            continue
        if not change.call_id:
            if old.granted:
                found.append((old.key, old.call_id, old.cseq))
        elif old.granted or old.call_id == change.call_id:
            found.append((old.key, change.call_id, change.cseq))
    return found
