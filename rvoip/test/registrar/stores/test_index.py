"""Bindings by AOR and by time."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import Binding
from rvoip.registrar.stores.index import BindingIndex


def bound(deadline: float, key: str = "a") -> Binding:
    return Binding(key, key, "c", 1, deadline, 60)


class BindingIndexTests(TestCase):
    def test_against_a_plain_dict(self) -> None:
        """Any order of changes and times: what is expired is returned once, and nothing else is."""
        random = Random(4)
        for _ in range(30):
            index = BindingIndex()
            model: dict[str, tuple[Binding, ...]] = {}
            now = random.uniform(-100, 100)
            for _ in range(300):
                now += random.choice((0.0, 0.1, 3.0, 40.0))
                aor = f"{random.randrange(8)}@h"
                new = tuple(bound(now + random.uniform(0, 60), str(n)) for n in range(random.randrange(3)))
                index.replace(aor, new)
                model.pop(aor, None)
                if new:
                    model[aor] = new
                for gone in index.expire(now):
                    old = model.pop(gone.aor)
                    self.assertEqual(gone.removed, tuple(each for each in old if each.deadline <= now))
                    self.assertEqual(gone.bindings, tuple(each for each in old if each.deadline > now))
                    self.assertTrue(gone.removed)
                    if gone.bindings:
                        model[gone.aor] = gone.bindings
                for name, held in model.items():
                    self.assertEqual(index.held(name), held)
                    self.assertEqual(index.lookup(name, now), tuple(b for b in held if b.deadline > now))
                    self.assertTrue(all(each.deadline > now - 4 for each in held))
                self.assertEqual(index.count(), (len(model), sum(map(len, model.values()))))
                self.assertEqual(len(index), len(model))
            index.expire(now + 1000)
            self.assertEqual((index.count(), index._buckets), ((0, 0), {}))

    def test_very_many_at_once_take_several_calls(self) -> None:
        index = BindingIndex()
        for number in range(2500):
            index.replace(f"{number}@h", (bound(10.0),))
        self.assertEqual([len(index.expire(100.0)) for _ in range(4)], [1000, 1000, 500, 0])

    def test_one_string_for_an_aor(self) -> None:
        """The key of the dict and that of the bucket, however often it is refreshed."""
        index = BindingIndex()
        for deadline in (10.0, 50.0, 20.0):
            index.replace("".join(("bob", "@h")), (bound(deadline),))
        (key,) = index._bindings
        (bucket,) = index._buckets.values()
        self.assertIs(next(iter(bucket)), key)

    def test_taking_out_what_is_not_there(self) -> None:
        index = BindingIndex()
        index.replace("a@h", ())
        self.assertEqual(index.count(), (0, 0))
        self.assertNotIn("a@h", index)
