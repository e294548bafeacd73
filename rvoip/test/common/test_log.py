"""What the log observers write, whatever is logged."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from rvoip.common.log import (
    FIELD_LIMIT,
    TRACEBACK_LIMIT,
    JSONObserver,
    LogLimiter,
    TextObserver,
    log_observer,
)
from rvoip.common.printable import is_plain

HOSTILE = "a\r\nb\x1b[31m\x00\x7f\x9b\u2028\u2029\u202e\ufeff"


class Unshowable:
    def __str__(self) -> str:
        raise ValueError("cannot be shown")

    __repr__ = __str__


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = io.StringIO()

    def lines(self) -> list[str]:
        text = self.stream.getvalue()
        self.assertTrue(text == "" or text.endswith("\n"))
        return text.split("\n")[:-1]


class JSONTests(Base):
    def setUp(self) -> None:
        super().setUp()
        self.observer = JSONObserver(self.stream)
        self.log = Logger("rvoip.test", observer=self.observer)

    def record(self) -> dict[str, Any]:
        (line,) = self.lines()
        self.assertTrue(is_plain(line))
        record = json.loads(line)
        assert isinstance(record, dict)
        return record

    def test_interface(self) -> None:
        verifyObject(ILogObserver, self.observer)

    def test_an_event(self) -> None:
        self.observer(
            {
                "log_level": LogLevel.info,
                "log_namespace": "rvoip.registrar",
                "log_format": "Registered {aor} for {expires} s, 100%",
                "log_time": 1_700_000_000.25,
                "aor": "sip:alice@example.test",
                "expires": 60,
                "call_id": None,
                "secure": True,
                "share": 0.5,
            }
        )
        self.assertEqual(
            self.record(),
            {
                "time": "2023-11-14T22:13:20.250Z",
                "level": "info",
                "namespace": "rvoip.registrar",
                "message": "Registered sip:alice@example.test for 60 s, 100%",
                "aor": "sip:alice@example.test",
                "expires": 60,
                "call_id": None,
                "secure": True,
                "share": 0.5,
            },
        )

    def test_hostile_values(self) -> None:
        self.log.info(
            "from {agent}", agent=HOSTILE, raw=HOSTILE.encode(), inside=[HOSTILE, {HOSTILE: HOSTILE}]
        )
        record = self.record()
        self.assertEqual(record["agent"], HOSTILE)
        self.assertEqual(record["message"], f"from {HOSTILE}")
        self.assertEqual(record["raw"], HOSTILE)
        self.assertEqual(record["inside"], [HOSTILE, {HOSTILE: HOSTILE}])

    def test_a_value_is_no_format(self) -> None:
        self.log.info("{agent}", agent="{log_logger} %(x)s {agent.__class__}")
        self.assertEqual(self.record()["message"], "{log_logger} %(x)s {agent.__class__}")

    def test_bytes_that_are_no_text(self) -> None:
        self.log.info("x", raw=b"\xff\xfea", lone="\ud800b", items=["\udfff"])
        record = self.record()
        self.assertEqual(
            (record["raw"], record["lone"], record["items"]), ("\\xff\\xfea", "\\ud800b", ["\\udfff"])
        )

    def test_numbers_that_json_has_not(self) -> None:
        self.log.info("x", big=1 << 64, huge=10**5000, inf=float("inf"), nan=float("nan"))
        record = self.record()
        self.assertEqual(record["big"], "18446744073709551616")
        self.assertIn("cannot be shown", record["huge"])
        self.assertEqual((record["inf"], record["nan"]), ("inf", "nan"))

    def test_secrets(self) -> None:
        self.log.info(
            "user {user} with {password}",
            user="bob",
            password="hunter2",
            nested={"token": "hunter2", "name": "bob"},
            header="Authorization: Digest response=hunter2",
            sdp="a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:hunter2\r\n",
            ha1=b"hunter2",
            url="postgresql://u:hunter2@h/d",
        )
        record = self.record()
        self.assertNotIn("hunter2", self.stream.getvalue())
        self.assertEqual(record["message"], "user bob with [redacted]")
        self.assertEqual(record["nested"], {"token": "[redacted]", "name": "bob"})

    def test_secrets_reached_through_attributes(self) -> None:
        class User:
            password = "hunter2"
            name = "bob"

        self.log.info(
            "{user.name} has {user.password} {user.password!r:>20} {secret!r}", user=User(), secret="hunter2"
        )
        self.assertNotIn("hunter2", self.stream.getvalue())
        self.assertTrue(self.record()["message"].startswith("bob has [redacted] [redacted] "))

    def test_a_failure_is_one_line(self) -> None:
        try:
            raise ValueError(f"bad {HOSTILE} password=hunter2")
        except ValueError:
            self.log.failure("While {doing}", doing="testing")
        record = self.record()
        self.assertEqual((record["level"], record["message"]), ("critical", "While testing"))
        self.assertTrue(record["error"].startswith("ValueError: bad"))
        self.assertIn("test_log.py", record["traceback"])
        self.assertNotIn("hunter2", self.stream.getvalue())

    def test_long_values_are_cut(self) -> None:
        self.log.info("{x}", x="x" * 70_000, items=list(range(1000)), key={"k" * 5000: 1})
        record = self.record()
        self.assertEqual(record["x"], "x" * FIELD_LIMIT + f"...(+{70_000 - FIELD_LIMIT})")
        self.assertLess(len(record["message"]), 10_000)
        self.assertEqual(len(record["items"]), 64)

    def test_long_tracebacks_lose_their_middle(self) -> None:
        failure = Failure(ValueError("end"))
        failure.getTraceback = lambda: "begin" + "x" * 100_000 + "end"  # type: ignore[method-assign,assignment,misc]
        self.log.failure("x", failure)
        text = self.record()["traceback"]
        self.assertTrue(text.startswith("begin") and text.endswith("end"))
        self.assertLess(len(text), TRACEBACK_LIMIT + 100)

    def test_deep_and_circular_values(self) -> None:
        circle: list[object] = []
        circle.append(circle)
        self.log.info("x", circle=circle)
        self.assertIn("circle", self.record())

    def test_values_that_cannot_be_shown(self) -> None:
        self.log.info("{it}", it=Unshowable(), key={1: 2})
        record = self.record()
        self.assertEqual(record["it"], "<Unshowable that cannot be shown: ValueError>")
        self.assertEqual(record["key"], "[redacted]")

    def test_own_keys_are_not_overwritten(self) -> None:
        self.observer(
            {
                "log_level": LogLevel.info,
                "log_format": "{level} {message}",
                "level": "mine",
                "message": "mine",
                "time": 1,
            }
        )
        record = self.record()
        self.assertEqual((record["level"], record["level_"], record["time_"]), ("info", "mine", 1))
        self.assertEqual(record["message"], "mine mine")

    def test_formats_that_are_wrong(self) -> None:
        for format_text in ("{", "{missing}", "{0}", "{x!q}", "{x:%%%q}", None, 7):
            self.log.emit(LogLevel.info, format_text, x=1)  # type: ignore[arg-type]
        for line in self.lines():
            self.assertEqual(json.loads(line)["level"], "info")
        self.assertEqual(len(self.lines()), 7)

    def test_an_event_that_cannot_be_rendered_is_still_a_line(self) -> None:
        self.observer({"log_level": LogLevel.info, "log_namespace": "a\nb", "log_time": "no time"})
        record = self.record()
        self.assertEqual((record["level"], record["namespace"]), ("error", "a\\nb"))

    def test_factories_are_debug(self) -> None:
        """Each connection of a client is two such events."""
        for format_text in ("Starting factory {factory!r}", "Stopping factory {factory!r}"):
            self.log.info(format_text, factory="f")
            self.assertEqual(self.lines(), [])
            Logger(observer=JSONObserver(self.stream, "debug")).info(format_text, factory="f")
            self.assertIn("factory 'f'", self.record()["message"])
            self.stream.seek(0)
            self.stream.truncate()

    def test_legacy_events(self) -> None:
        """Those are debug, for Twisted tells of each socket so; their errors are errors."""
        publisher = LogPublisher(self.observer)
        old = legacy.LogPublisher(observerPublisher=LogPublisher(), publishPublisher=publisher)
        old.msg("old", "style", user="bob")
        self.assertEqual(self.lines(), [])
        publisher = LogPublisher(JSONObserver(self.stream, "debug"))
        old = legacy.LogPublisher(observerPublisher=LogPublisher(), publishPublisher=publisher)
        old.msg("old", "style", user="bob")
        record = self.record()
        self.assertEqual((record["message"], record["user"]), ("old style", "bob"))
        self.assertNotIn("isError", record)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.text(st.characters()),
        st.recursive(
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary()
            ),
            lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters()), inner)),
        ),
    )
    def test_any_value_is_one_line_of_json(self, text: str, value: object) -> None:
        self.stream.seek(0)
        self.stream.truncate()
        self.log.info("{text} {value}", text=text, value=value)
        self.assertEqual(self.record()["level"], "info")


class TextTests(Base):
    def setUp(self) -> None:
        super().setUp()
        self.observer = TextObserver(self.stream)
        self.log = Logger("rvoip.test", observer=self.observer)

    def test_a_field_that_the_message_shows_under_a_name_of_ours(self) -> None:
        """It is there once."""
        self.log.error("Not done: {error}", error="the disk is full")
        self.assertTrue(self.line().endswith(" error rvoip.test: Not done: the disk is full"))

    def line(self) -> str:
        (line,) = self.lines()
        self.assertTrue(is_plain(line))
        return line

    def test_an_event(self) -> None:
        self.observer(
            {
                "log_level": LogLevel.warn,
                "log_namespace": "rvoip.registrar",
                "log_format": "Registered {aor}",
                "log_time": 1_700_000_000.999,
                "aor": "sip:alice@example.test",
                "expires": 60,
                "agent": 'a "phone" = 1',
                "empty": "",
                "items": [1, "b"],
            }
        )
        self.assertEqual(
            self.line(),
            "2023-11-14T22:13:20.999Z warn rvoip.registrar: Registered sip:alice@example.test"
            ' expires=60 agent="a \\"phone\\" = 1" empty="" items="[1,\\"b\\"]"',
        )

    def test_hostile_values(self) -> None:
        self.log.info("{agent}", agent=HOSTILE, other=HOSTILE, inside=[HOSTILE])
        self.assertIn("a\\r\\nb\\x1b[31m\\x00\\x7f\\x9b\\u2028\\u2029\\u202e\\ufeff", self.line())

    def test_secrets(self) -> None:
        self.log.info(
            "x {header}", password="hunter2", header="Authorization: hunter2", inside={"ha1": "hunter2"}
        )
        self.assertTrue(
            self.line().endswith(
                'x Authorization: [redacted] password=[redacted] inside="{\\"ha1\\":[redacted]}"'
            )
        )

    def test_a_failure_is_one_line(self) -> None:
        try:
            raise ValueError("bad")
        except ValueError:
            self.log.failure("While testing")
        line = self.line()
        self.assertIn('critical rvoip.test: While testing error="ValueError: bad" traceback="Traceback', line)
        self.assertIn("\\n", line)

    def test_any_event_is_a_line(self) -> None:
        self.observer({"log_level": LogLevel.info, "log_namespace": "a\nb", "log_time": "no time"})
        self.log.info("{it} {0}", it=Unshowable(), lone="\ud800")
        self.assertEqual(len(self.lines()), 2)


class StreamTests(Base):
    def test_levels(self) -> None:
        for level, shown in [("debug", 5), ("info", 4), ("warn", 3), ("error", 2), ("critical", 1)]:
            stream = io.StringIO()
            log = Logger("x", observer=log_observer("json", level, stream))
            for each in LogLevel.iterconstants():
                log.emit(each, "x")
            self.assertEqual(stream.getvalue().count("\n"), shown, level)
        with self.assertRaises(ValueError):
            log_observer("text", "loud", self.stream)

    def test_kinds(self) -> None:
        self.assertIsInstance(log_observer("json", "info", self.stream), JSONObserver)
        self.assertIsInstance(log_observer("text", "info", self.stream), TextObserver)

    def test_bytes_below_the_text_layer_are_utf8(self) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        Logger("x", observer=TextObserver(stream)).info("ü")
        self.assertIn("ü".encode(), raw.getvalue())

    def test_a_broken_stream_is_counted_and_raises_nothing(self) -> None:
        class Broken(io.StringIO):
            def write(self, text: str) -> int:
                raise BrokenPipeError

        observer = JSONObserver(Broken())
        Logger("x", observer=observer).info("lost")
        self.stream.close()
        closed = TextObserver(self.stream)
        Logger("x", observer=closed).info("lost")
        self.assertEqual((observer.lost, closed.lost), (1, 1))


class LogLimiterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.limiter = LogLimiter(lambda: self.now, interval=10.0, max_sources=3, max_lines=5)

    def test_one_line_a_source_an_interval(self) -> None:
        self.assertEqual(self.limiter.allow("a"), 0)
        self.assertIsNone(self.limiter.allow("a"))
        self.assertIsNone(self.limiter.allow("a", 109.9))
        self.assertEqual(self.limiter.allow("b", 109.9), 0)
        self.assertEqual(self.limiter.allow("a", 110.0), 2)
        self.assertIsNone(self.limiter.allow("a", 110.1))
        self.assertEqual(self.limiter.allow("a", 1000.0), 1)
        self.assertEqual(self.limiter.allow("a", 1010.0), 0)
        self.assertEqual(self.limiter.suppressed, 3)

    def test_sources_are_bounded_and_the_oldest_is_forgotten(self) -> None:
        for number in range(100_000):
            self.limiter.allow(number)
        self.assertEqual(len(self.limiter), 3)

    def test_a_source_in_use_is_kept(self) -> None:
        limiter = LogLimiter(lambda: self.now, max_sources=3)
        limiter.allow("kept")
        for number in range(10):
            limiter.allow(number)
            self.assertIsNone(limiter.allow("kept"))

    def test_many_sources_share_a_bound(self) -> None:
        self.assertEqual([self.limiter.allow(number) for number in range(8)], [0] * 5 + [None] * 3)
        self.assertEqual(self.limiter.suppressed, 3)
        self.assertEqual(self.limiter.allow(7, 110.0), 1)
