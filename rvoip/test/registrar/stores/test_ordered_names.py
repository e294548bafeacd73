"""Keys in their order, page by page."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.stores.ordered_names import OrderedNames

NAMES = st.text("ab\U0010ffff", min_size=1, max_size=4)


class OrderedNamesTests(SynchronousTestCase):
    def test_pages(self) -> None:
        names = dict.fromkeys(f"u{number:03}@example.test" for number in reversed(range(100)))
        order = OrderedNames(names)
        self.assertEqual(list(order.from_("", "", 0.0)), sorted(names))
        self.assertEqual(list(order.from_("u09", "u095@example.test", 0.0)), sorted(names)[96:100])
        self.assertEqual(list(order.from_("x", "", 0.0)), [])

    def test_what_comes_and_goes_while_somebody_reads(self) -> None:
        names = dict.fromkeys(("b", "d", "f"))
        order = OrderedNames(names)
        list(order.from_("", "", 0.0))
        for name in ("a", "c", "g"):
            names[name] = None
            order.changed(name)
        del names["d"]
        order.changed("d")
        self.assertEqual(list(order.from_("", "", 1.0)), ["a", "b", "c", "f", "g"])
        names["d"] = None
        order.changed("d")
        self.assertEqual(list(order.from_("", "b", 1.0)), ["c", "d", "f", "g"])

    def test_memory(self) -> None:
        """Without a reader there is none; with very many changes the order is made anew."""
        names: dict[str, None] = {}
        order = OrderedNames(names)
        for number in range(5000):
            names[str(number)] = None
            order.changed(str(number))
        self.assertEqual((order._order, order._changed), (None, set()))
        list(order.from_("", "", 0.0))
        for number in range(5000, 9000):
            names[str(number)] = None
            order.changed(str(number))
        self.assertLess(len(order._changed), 1001)
        self.assertEqual(len(list(order.from_("", "", 10.0))), 9000)
        order.forget(69.0)
        self.assertIsNotNone(order._order)
        order.forget(71.0)
        self.assertIsNone(order._order)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.sampled_from("+-?"), NAMES, NAMES), max_size=40))
    def test_any_order_of_events(self, events: list[tuple[str, str, str]]) -> None:
        names: dict[str, None] = {}
        order = OrderedNames(names)
        for what, name, other in events:
            if what == "?":
                wanted = [one for one in sorted(names) if one > name and one.startswith(other)]
                self.assertEqual(list(order.from_(other, name, 0.0)), wanted)
            elif (what == "+") is not (name in names):
                if what == "+":
                    names[name] = None
                else:
                    del names[name]
                order.changed(name)
