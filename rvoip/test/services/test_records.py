"""Records of calls: what stands in them, where they go, and what happens when that does not work."""

from __future__ import annotations

import csv
import errno
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import ConfigError, StartError
from rvoip.services import records
from rvoip.services.compose import SIPRole
from rvoip.services.record import COLUMNS, CallRecord, csv_head, csv_lines, json_lines
from rvoip.services.record_sinks import FileSink, RecordSink, SinkError, SQLSink, csv_sink, json_sink
from rvoip.services.records import _Writer
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import busy


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a thread."""
    ends = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.002)


def record(number: int = 1, **changes: Any) -> CallRecord:
    values: dict[str, Any] = {
        "id": f"{number:016x}",
        "role": "proxy",
        "call_id": f"c{number}@host",
        "began": 1_700_000_000.0,
        "answered": 1_700_000_002.5,
        "ended": 1_700_000_062.75,
        "duration": 60.25,
        "status": 200,
        "reason": "OK",
        "end": "bye",
        "caller": "sip:alice@example.test",
        "callee": "sip:bob@example.test",
        "uri": "sip:bob@example.test",
        "user": "alice@example.test",
        "source": "udp:192.0.2.1:5060",
        "destination": "udp:192.0.2.2:5060",
    }
    return CallRecord(**{**values, **changes})


class TextTests(SynchronousTestCase):
    def test_csv(self) -> None:
        lines = csv_lines([record(), record(2, answered=None, reason='a "quoted", text', duration=0.0)])
        first, second = csv.DictReader((csv_head() + lines).decode().splitlines())
        self.assertEqual(tuple(first), COLUMNS)
        self.assertEqual(first["began"], "2023-11-14T22:13:20.000Z")
        self.assertEqual((first["answered"], first["duration"]), ("2023-11-14T22:13:22.500Z", "60.25"))
        self.assertEqual((second["answered"], second["reason"]), ("", 'a "quoted", text'))

    def test_csv_has_no_formulas(self) -> None:
        for text in ('=HYPERLINK("http://x")', "+1+1", "-2", "@SUM(A1)"):
            made = record(reason=text, call_id=text, duration=-1.0)
            (row,) = csv.DictReader((csv_head() + csv_lines([made])).decode().splitlines())
            self.assertEqual((row["reason"], row["call_id"]), (f"'{text}", f"'{text}"))
            self.assertEqual(row["duration"], "-1.0", "a number is none")
            self.assertEqual(json.loads(json_lines([made]))["reason"], text)

    def test_json(self) -> None:
        first, second = (
            json.loads(line) for line in json_lines([record(), record(2, answered=None)]).splitlines()
        )
        self.assertEqual((first["ended"], first["status"]), ("2023-11-14T22:14:22.750Z", 200))
        self.assertIsNone(second["answered"])
        self.assertEqual(tuple(first), COLUMNS)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "calls"

    def open(self, sink: FileSink) -> FileSink:
        sink.open()
        self.addCleanup(sink.close)
        return sink

    def test_a_file_is_gone_on_with(self) -> None:
        """The head is written once."""
        for number in (1, 2):
            sink = csv_sink(str(self.path))
            sink.open()
            sink.write([record(number)])
            sink.close()
        rows = list(csv.DictReader(self.path.read_text().splitlines()))
        self.assertEqual([row["call_id"] for row in rows], ["c1@host", "c2@host"])

    def test_rotation(self) -> None:
        for make, lines in ((csv_sink, 2), (json_sink, 1)):
            sink = self.open(make(str(self.path)))
            sink.write([record()])
            renamed = self.folder / f"calls.{lines}"
            self.path.rename(renamed)
            sink.write([record(2)])
            sink.reopen()
            sink.write([record(3)])
            self.assertEqual(len(renamed.read_text().splitlines()), lines + 1)
            self.assertEqual(len(self.path.read_text().splitlines()), lines)
            self.path.unlink()

    def test_a_full_disk(self) -> None:
        """What was written of a line is taken back, so that trying again leaves no half of one."""
        sink = self.open(json_sink(str(self.path)))
        sink.write([record()])
        real = os.write

        def full(descriptor: int, data: bytes) -> int:
            if len(data) < 100:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data[:100])

        self.patch(os, "write", full)
        error = self.assertRaises(SinkError, sink.write, [record(2)])
        self.assertEqual(str(error), f"{self.path}: No space left on device")
        self.patch(os, "write", real)
        sink.write([record(2)])
        self.assertEqual(
            [json.loads(line)["id"][-1] for line in self.path.read_text().splitlines()], ["1", "2"]
        )

    def test_it_cannot_be_opened(self) -> None:
        error = self.assertRaises(StartError, csv_sink(str(self.folder / "no" / "calls")).open)
        self.assertIn("No such file", str(error))
        self.assertRaises(SinkError, csv_sink(str(self.path)).write, [record()])


class SQLTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as connection:
            return connection.execute(query).fetchall()

    def test_rows(self) -> None:
        """A batch that is tried again after it was committed is there once."""
        for _ in range(2):
            sink = SQLSink(f"sqlite:{self.path}")
            sink.open()
            sink.write([record(1), record(2, answered=None, reason="'; DROP TABLE calls; --")])
            sink.write([record(1)])
            sink.close()
        found = self.rows('SELECT call_id, duration, "end", answered, reason FROM calls ORDER BY id')
        self.assertEqual(found[0], ("c1@host", 60.25, "bye", 1_700_000_002.5, "OK"))
        self.assertEqual((len(found), found[1][3:]), (2, (None, "'; DROP TABLE calls; --")))

    def test_what_is_no_database(self) -> None:
        self.path.write_bytes(b"this is a text file, and not a short one " * 100)
        error = self.assertRaises(StartError, SQLSink(f"sqlite:{self.path}").open)
        self.assertIn("not a database", str(error))
        for url in ("sqlite:", "sqlite::memory:", "mysql://x", "postgresql:x", "calls.db"):
            self.assertRaises(StartError, SQLSink, url)

    def test_a_lock(self) -> None:
        sink = SQLSink(f"sqlite:{self.path}")
        sink.open()
        self.addCleanup(sink.close)
        self.rows("DROP TABLE calls")
        error = self.assertRaises(SinkError, sink.write, [record()])
        self.assertEqual(str(error), f"{self.path}: no such table: calls")


class Sink:
    """Fails as often as it is told to."""

    name = "sink"

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.records: list[CallRecord] = []
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def write(self, records: Sequence[CallRecord]) -> None:
        if self.failures:
            self.failures -= 1
            raise SinkError("it does not work")
        self.records += records

    def reopen(self) -> None:
        self.calls.append("reopen")

    def close(self) -> None:
        self.calls.append("close")


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(records, "_AGAIN", 0.01)
        self.told: list[str] = []

    def writer(self, sink: Sink, size: int = 1000) -> _Writer:
        kept: RecordSink = sink
        writer = _Writer(kept, size, lambda sink, reason: self.told.append(reason))
        self.addCleanup(writer.end)
        return writer

    def test_all_in_order(self) -> None:
        sink = Sink()
        writer = self.writer(sink, 5000)
        for number in range(1200):
            writer.add(record(number))
        writer.start()
        writer.end()
        writer.join(10)
        self.assertEqual([one.id for one in sink.records], [f"{number:016x}" for number in range(1200)])
        self.assertEqual((writer.written, writer.lost, sink.calls), (1200, 0, ["close"]))

    def test_again_until_it_works(self) -> None:
        sink = Sink(failures=5)
        writer = self.writer(sink)
        writer.add(record())
        writer.start()
        until(lambda: writer.written == 1, "it is written")
        self.assertEqual(self.told, ["it does not work"] * 5)
        writer.end()
        writer.join(10)
        self.assertFalse(writer.is_alive())

    def test_too_many(self) -> None:
        writer = self.writer(Sink(), 10)
        for number in range(15):
            writer.add(record(number))
        self.assertEqual((writer.lost, writer.queue.qsize()), (5, 10))
        writer.end()
        writer.start()
        writer.join(10)
        self.assertEqual((writer.written, writer.is_alive()), (10, False))

    def test_the_end_of_one_that_does_not_work(self) -> None:
        sink = Sink(failures=10**9)
        writer = self.writer(sink)
        for number in range(3):
            writer.add(record(number))
        writer.start()
        until(lambda: len(self.told) > 2, "it has tried")
        writer.end()
        writer.join(10)
        self.assertFalse(writer.is_alive())
        self.assertGreaterEqual(writer.lost, 3)

    def test_reopen(self) -> None:
        sink = Sink()
        writer = self.writer(sink)
        writer.start()
        writer.reopen()
        writer.add(record())
        until(lambda: writer.written == 1, "it is written")
        self.assertEqual(sink.calls, ["reopen"])


class RoleTests(RoleCase):
    TABLES = (
        "[registrar]\nauthenticate = false\n"
        '[records]\ncsv = "calls.csv"\njsonl = "calls.jsonl"\nsql = "sqlite:calls.db"\n'
    )

    def start(self, text: str = "") -> SIPRole:
        role = self.run_role(self.TABLES + text)
        self.alice = self.phone("alice@example.test", "127.0.64.21")
        self.bob = self.phone("bob@example.test", "127.0.64.22")
        for phone in (self.alice, self.bob):
            self.reactor.result_of(phone.register())
        return role

    def written(self, role: SIPRole, count: int) -> list[dict[str, Any]]:
        self.reactor.advance(0.1)
        assert role.records is not None
        writers = role.records.writers
        until(lambda: all(one.written == count for one in writers), f"{count} records")
        rows = [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]
        self.assertEqual(len((self.folder / "calls.csv").read_text().splitlines()), count + 1)
        with sqlite3.connect(self.folder / "calls.db") as connection:
            self.assertEqual(connection.execute("SELECT count(*) FROM calls").fetchone(), (count,))
        self.assertTrue(b"rvoip_proxy_call_records_total" in self.client.ask("GET", "/metrics").body)
        return rows

    def test_calls(self) -> None:
        """One that was answered and hung up, one that was refused, one that an operator ended."""
        role = self.start()
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        self.reactor.advance(7.0)
        self.reactor.result_of(call.bye())
        nobody = self.alice.call("sip:nobody@example.test")
        self.reactor.result_of(nobody.ended())
        last = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(last.established())
        (dialog,) = self.client.ask("GET", "/v1/dialogs").json["dialogs"]
        self.client.ask("DELETE", f"/v1/dialogs/{dialog['id']}")
        first, second, third = sorted(self.written(role, 3), key=lambda row: row["began"])
        self.assertEqual((first["call_id"], first["end"], first["status"]), (call.call_id, "bye", 200))
        self.assertTrue(7.0 <= first["duration"] < 8.0)
        self.assertEqual(
            (first["caller"], first["callee"]), ("sip:alice@example.test", "sip:bob@example.test")
        )
        self.assertEqual(first["source"], f"udp:127.0.64.21:{self.alice.wire.port}")
        self.assertEqual((second["end"], second["status"], second["answered"]), ("refused", 404, None))
        self.assertEqual((second["uri"], second["source"]), ("sip:nobody@example.test", first["source"]))
        self.assertEqual((third["call_id"], third["end"]), (last.call_id, "operator"))

    def test_who_was_refused(self) -> None:
        """Whose credentials a call carried is said also where this proxy refused it."""
        role = self.start("[proxy]\nauthenticate = true\n")
        self.add_account(role, "alice@example.test")
        nobody = self.alice.call("sip:nobody@example.test")
        self.reactor.result_of(nobody.ended())
        self.alice.aor = "bob@example.test"
        forged = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(forged.ended())
        rows = sorted(self.written(role, 2), key=lambda row: row["began"])
        self.assertEqual(
            [(row["status"], row["user"]) for row in rows],
            [(404, "alice@example.test"), (403, "alice@example.test")],
        )

    def test_a_call_that_comes_by_twice(self) -> None:
        """By way of another of our users; it has one record, of both ends, or of the refusal."""
        role = self.start()
        carol = self.phone("carol@example.test", "127.0.64.23")
        answer = self.reactor.result_of(carol.register(contacts=["<sip:bob@example.test>"]))
        self.assertEqual(answer.status, 200)
        call = self.alice.call("sip:carol@example.test")
        self.reactor.result_of(call.established())
        self.reactor.result_of(call.bye())
        self.bob.script = busy
        refused = self.alice.call("sip:carol@example.test")
        self.reactor.result_of(refused.ended())
        first, second = sorted(self.written(role, 2), key=lambda row: row["began"])
        self.assertEqual((first["end"], first["uri"]), ("bye", "sip:carol@example.test"))
        self.assertEqual((second["end"], second["status"]), ("refused", 486))

    def test_calls_that_are_not_tracked(self) -> None:
        """Of them the answer is all that is known."""
        role = self.start("[proxy]\nrecord_route = false\n")
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        (row,) = self.written(role, 1)
        self.assertEqual((row["end"], row["duration"]), ("answered", 0.0))

    def test_the_end_of_the_role(self) -> None:
        """A call that goes on without us has its record."""
        role = self.start()
        call = self.alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        stopped = role.stopService()
        assert role.records is not None
        writers = role.records.writers
        self.reactor.advance(0.5)
        until(lambda: all(one.written == 1 for one in writers), "the record")
        self.reactor.result_of(stopped)
        (row,) = [json.loads(line) for line in (self.folder / "calls.jsonl").read_text().splitlines()]
        self.assertEqual((row["call_id"], row["end"]), (call.call_id, "shutdown"))

    def test_mistakes(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.make('[records]\nsql = "mysql://x"\n')
        self.assertEqual(caught.exception.key, "records.sql")
        role = self.make('[records]\ncsv = "missing/calls.csv"\n')
        self.reactor.running = False
        self.assertRaises(SystemExit, role.privilegedStartService)
