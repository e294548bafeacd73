"""Bindings as values."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import Binding, find_bindings, live, tombstone

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"


def make(contact: str = "sip:a@h", deadline: float = 100.0, key: str = "", params: str = "") -> Binding:
    return Binding(contact, key or contact, "call", 1, deadline, 60, params=params)


class BindingTests(TestCase):
    def test_time(self) -> None:
        binding = make(deadline=1060.0)
        self.assertEqual(binding.updated, 1000.0)
        for now, left in ((1000.0, 60), (1000.004, 60), (1059.5, 1), (1060.0, 0), (2000.0, 0)):
            self.assertEqual(binding.remaining(now), left)

    def test_a_flow(self) -> None:
        binding = make(key=f"+{INSTANCE};7", params=f';q=0.5;+sip.instance="{INSTANCE}";reg-id=7')
        self.assertTrue(binding.is_flow)
        self.assertEqual((binding.instance, binding.reg_id), (INSTANCE, 7))

    def test_no_flow(self) -> None:
        binding = make(params=f';+sip.instance="{INSTANCE}";reg-id=7')
        self.assertFalse(binding.is_flow)
        self.assertEqual((binding.instance, binding.reg_id), (INSTANCE, 0))
        self.assertEqual(make().instance, "")
        self.assertEqual(make(params=';+sip.instance="').instance, "")

    def test_the_id_follows_the_key(self) -> None:
        self.assertEqual(make().id, make(deadline=5.0).id)
        self.assertRegex(make().id, r"\A[0-9a-f]{12}\Z")
        self.assertNotEqual(make().id, make("sip:b@h").id)

    def test_uri(self) -> None:
        self.assertEqual(str(make().uri), "sip:a@h")

    def test_live(self) -> None:
        bindings = (make("sip:a@h", 10.0), make("sip:b@h", 20.0))
        self.assertIs(live(bindings, 9.9), bindings)
        self.assertEqual(live(bindings, 10.0), bindings[1:])
        self.assertEqual(live(bindings, 20.0), ())

    def test_find(self) -> None:
        bindings = [make("sip:a@h"), make("sip:b@h", key="+x;1")]
        for which in ("sip:b@h", "+x;1", bindings[1].id):
            self.assertEqual(find_bindings(bindings, which), bindings[1:])
        self.assertEqual(find_bindings(bindings, "sip:c@h"), [])

    def test_a_tombstone_is_told_from_a_binding(self) -> None:
        self.assertEqual(tombstone("k", "c", 3, 32.0).granted, 0)

    def test_no_dict(self) -> None:
        """There are many of them."""
        self.assertFalse(hasattr(make(), "__dict__"))
