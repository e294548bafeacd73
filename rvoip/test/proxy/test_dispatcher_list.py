from __future__ import annotations

from twisted.trial.unittest import TestCase

from rvoip.proxy.dispatcher_list import DispatcherListError, read_dispatcher_list

FILE = """
# setid(int) destination(sip uri) flags(int,opt) priority(int,opt) attributes(str,opt)
1 sip:127.0.0.1:5080;transport=tcp
1 sip:gw2.test 0 10 duid=two;weight=60;maxload=30;note=x
2 sip:[2001:db8::1]:5090 1 0 rweight=40   # a comment
-3 sips:gw.test 12
3 sip:gw3.test 8 -1
"""


class DispatcherListTests(TestCase):
    def test_lines(self) -> None:
        entries = read_dispatcher_list(FILE)
        self.assertEqual(
            [(one.set_id, one.name, one.state, one.priority, one.weight, one.limit) for one in entries],
            [
                ("1", "127.0.0.1:5080;tcp", "active", 0, 1, 0),
                ("1", "two", "active", 10, 60, 30),
                ("2", "[2001:db8::1]:5090", "inactive", 0, 40, 0),
                ("-3", "gw.test", "disabled", 0, 1, 0),
                ("3", "gw3.test", "probing", -1, 1, 0),
            ],
        )
        gateway = entries[1].gateway("carriers")
        self.assertEqual(gateway.id, "carriers:two")
        self.assertEqual((str(gateway.uri), gateway.weight, gateway.limit), ("sip:gw2.test", 60, 30))
        self.assertEqual(gateway.attrs["note"], "x")

    def test_refused(self) -> None:
        for line in (
            "1",
            "x sip:a.test",
            "1 a.test",
            "1 tel:+49",
            "1 sip:a.test x",
            "1_0 sip:a.test",
            "1 sip:a.test 0 ٣",
            "1 sip:a.test 0 0 weight=x",
            "1 sip:a.test 0 0 maxload=-1",
        ):
            error = self.assertRaises(DispatcherListError, read_dispatcher_list, f"\n\n{line}")
            self.assertIn("line 3", str(error))
