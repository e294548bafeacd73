"""Bindings in a store that fails, is late, and outlives the process that asked."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.protocols.sip.uri import parse_uri
from rvoip.registrar.binding import Binding, Change
from rvoip.registrar.contact import contact_key
from rvoip.registrar.errors import StoreError
from rvoip.registrar.interfaces import IBindingStore
from rvoip.testing.faulty_store import FaultyStore
from rvoip.testing.network import SimulatedNetwork

AOR = "alice@example.test"


def bind(now: float, cseq: int = 1) -> Change:
    contact = "sip:alice@10.0.0.9"
    return Change(AOR, now, (Binding(contact, contact_key(parse_uri(contact)), "call", cseq, now + 60, 60),))


class FaultyStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = SimulatedNetwork()
        self.kept = FaultyStore(self.network.clock, random.Random(1))
        self.host = self.network.host("server", "10.0.0.1")
        self.store: Any = self.kept.client(self.host)

    def test_is_a_store(self) -> None:
        verifyObject(IBindingStore, self.store)
        self.assertEqual(self.network.result_of(self.store.apply(bind(0.0))).bindings[0].cseq, 1)
        self.assertEqual(len(self.network.result_of(self.store.lookup(AOR, 1.0))), 1)
        self.assertEqual(self.network.result_of(self.store.aors("", "", 9, 1.0)), [AOR])
        self.assertEqual(self.network.result_of(self.store.count()).bindings, 1)
        self.assertEqual(len(self.network.result_of(self.store.expire(70.0, 70.0))), 1)
        self.assertEqual((self.kept.made, self.kept.gone, self.kept.asked), (1, 1, 5))
        self.network.result_of(self.store.apply(bind(100.0, 2)))
        self.assertEqual(len(self.network.result_of(self.store.remove(AOR, None, 101.0)).removed), 1)
        self.assertEqual((self.kept.made, self.kept.gone), (2, 2))

    def test_others_see_the_same(self) -> None:
        other: Any = self.kept.client(self.network.host("other", "10.0.0.2"))
        self.network.result_of(self.store.apply(bind(0.0)))
        self.assertEqual(len(self.network.result_of(other.lookup(AOR, 1.0))), 1)

    def test_is_late(self) -> None:
        self.kept.late = (2.0, 2.0)
        answered = self.store.apply(bind(0.0))
        self.network.advance(1.5)
        self.assertNoResult(answered)
        self.assertEqual(len(self.kept.held(AOR, 1.5)), 1)  # it is done, and not yet told
        self.network.advance(0.5)
        self.successResultOf(answered)

    def test_fails_and_changes_nothing(self) -> None:
        self.kept.down = True
        self.assertEqual(self.store.trouble, "the store is down")
        answered = self.store.apply(bind(0.0))
        self.network.advance()
        self.failureResultOf(answered, StoreError)
        self.assertEqual(self.kept.held(AOR, 0.0), ())
        self.kept.down = False
        self.kept.failing = 0.5
        for _ in range(200):
            self.store.count().addErrback(lambda failure: failure.trap(StoreError))
        self.network.advance()
        self.assertTrue(70 < self.kept.failed < 130, self.kept.failed)

    def test_a_killed_process_never_learns_what_was_done(self) -> None:
        self.kept.late = (2.0, 2.0)
        answered = self.store.apply(bind(0.0))
        self.network.kill("server")
        self.network.advance(5.0)
        self.assertNoResult(answered)
        self.assertEqual(len(self.kept.held(AOR, 5.0)), 1)
