"""The store in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS
from rvoip.registrar.interfaces import IBindingStore
from rvoip.registrar.stores.memory import MemoryStore
from rvoip.test.registrar.stores.contract import NOW, StoreContract, bound, change


class MemoryStoreTests(StoreContract, TestCase):
    def make_store(self, **options: Any) -> IBindingStore:
        return MemoryStore(**options)

    def test_tombstones_go_away(self) -> None:
        """Of each AOR by its own time, and of one that is used again and again."""
        store = MemoryStore()
        for step in range(40):
            now = NOW + step
            store.apply(change(bound(cseq=2 * step + 1, now=now), now=now))
            store.apply(change(cseq=2 * step + 2, removes=ALL_CONTACTS, now=now))
            store.apply(change(bound(now=now), aor=f"{step}@h", now=now))
            store.apply(change(cseq=2, removes=ALL_CONTACTS, aor=f"{step}@h", now=now))
            store.expire(now, 0.0)
        self.assertEqual(len(store._graves), 33)
        store.expire(NOW + 39 + 31, 0.0)
        store.expire(NOW + 39 + 32, 0.0)
        self.assertEqual((store._graves, len(store._dug)), ({}, 0))
