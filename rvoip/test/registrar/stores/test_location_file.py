"""The file of bindings, without a thread."""

from __future__ import annotations

import sqlite3

from twisted.trial.unittest import TestCase

from rvoip.registrar.binding import ALL_CONTACTS, Outcome
from rvoip.registrar.errors import StoreError
from rvoip.registrar.stores import location_file
from rvoip.registrar.stores.location_file import LocationFile
from rvoip.test.registrar.stores.contract import NOW, WALL, bound, change


class LocationFileTests(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.statements: list[str] = []
        self.file = LocationFile(self.path, connect=self.connect, patience=0.0)
        self.assertEqual(self.file.open(NOW, WALL), [])
        self.addCleanup(self.file.close)
        self.statements.clear()

    def connect(self, path: str, **kwargs: object) -> sqlite3.Connection:
        connection = sqlite3.connect(path, **kwargs)  # type: ignore[call-overload]
        connection.set_trace_callback(self.statements.append)
        assert isinstance(connection, sqlite3.Connection)
        return connection

    def aors(self) -> list[str]:
        with sqlite3.connect(self.path) as connection:
            found = [row[0] for row in connection.execute("SELECT aor FROM binding ORDER BY aor")]
        connection.close()
        return found

    def test_many_in_few_statements(self) -> None:
        results = self.file.write([change(bound(), aor=f"{number}@h") for number in range(64 + 16 + 4 + 2)])
        self.assertEqual(results, [None] * 86)
        self.assertEqual(sum([text.startswith("INSERT") for text in self.statements]), 5)
        self.assertEqual(len(self.aors()), 86)

    def test_one_refusal_among_many(self) -> None:
        """Only those of its statement are looked at one by one."""
        self.file.write([change(bound(cseq=5), aor=f"{number}@h") for number in range(80)])
        asked = [change(bound(cseq=6), aor=f"{number}@h") for number in range(80)]
        asked[3] = change(bound(cseq=4), aor="3@h")
        asked[7] = change(bound("sip:x@h", cseq=6), aor="7@h", most=1)
        asked[9] = change(bound("sip:x@h", cseq=6), aor="9@h")
        self.statements.clear()
        results = self.file.write(asked)
        self.assertEqual(results[3], Outcome.STALE)
        # Its limit is another one, so it is looked at alone.
        self.assertEqual(results[7], Outcome.FULL)
        self.assertEqual(results.count(None), 78)
        self.assertLess(sum([text.startswith("SELECT aor") for text in self.statements]), 70)

    def test_of_one_aor_in_order(self) -> None:
        asked = [
            change(bound(cseq=1)),
            change(bound(), aor="other@h"),
            change(bound(cseq=2)),
            change(cseq=3, removes=ALL_CONTACTS),
            change(bound(cseq=2)),
            change(bound(cseq=4)),
        ]
        self.assertEqual(self.file.write(asked), [None, None, None, None, Outcome.STALE, None])

    def test_of_one_aor_in_order_after_a_refusal(self) -> None:
        """The first of an AOR that is looked at alone comes before the second."""
        self.file.write([change(bound(cseq=5), aor="stale@h")])
        asked = [
            change(bound(cseq=4), aor="stale@h"),
            change(bound(cseq=1), aor="a@h"),
            change(bound(cseq=1), aor="b@h"),
            change(bound(cseq=1), aor="c@h"),
            change(bound(cseq=2), aor="a@h"),
        ]
        self.assertEqual(self.file.write(asked), [Outcome.STALE, None, None, None, None])

    def test_nothing(self) -> None:
        self.assertEqual(self.file.write([]), [])

    def test_a_sweep_goes_over_the_table_bit_by_bit(self) -> None:
        self.patch(location_file, "_SWEEP_ROWS", 10)
        asked = [
            change(bound(granted=60 if number % 2 else 90), aor=f"{number:02}@h") for number in range(40)
        ]
        self.file.write(asked)
        self.file.write([change(cseq=2, removes=ALL_CONTACTS, aor="00@h")])
        # So much was written that one stretch is the whole.
        self.file.sweep(NOW + 70)
        self.assertEqual(self.aors(), [f"{number:02}@h" for number in range(2, 40, 2)])
        self.file.sweep(NOW + 100)
        self.assertEqual(self.aors(), [f"{number:02}@h" for number in range(22, 40, 2)])
        self.file.sweep(NOW + 100)
        self.assertEqual(self.aors(), [])
        # An empty table is left alone until something is written.
        self.statements.clear()
        self.file.sweep(NOW + 100)
        self.file.sweep(NOW + 100)
        self.assertEqual(self.statements, [])
        self.file.write([change(bound(now=NOW + 100), now=NOW + 100)])
        self.file.sweep(NOW + 200)
        self.assertEqual(self.aors(), [])

    def test_a_sweep_of_nothing_does_not_write(self) -> None:
        self.file.write([change(bound(granted=90), aor=f"{number}@h") for number in range(10)])
        with sqlite3.connect(self.path) as other:
            before = other.execute("PRAGMA data_version").fetchone()
            self.file.sweep(NOW)
            self.assertEqual(other.execute("PRAGMA data_version").fetchone(), before)
        other.close()

    def test_closed(self) -> None:
        self.file.close()
        self.file.close()
        self.assertRaises(StoreError, self.file.write, [change(bound())])
        self.assertRaises(StoreError, self.file.sweep, NOW)

    def test_a_connection_that_broke_is_made_anew(self) -> None:
        connection = self.file._connection
        assert connection is not None
        connection.close()
        self.assertRaises(StoreError, self.file.write, [change(bound())])
        self.assertEqual(self.file.write([change(bound())]), [None])
        self.assertEqual(self.aors(), ["bob@example.test"])
