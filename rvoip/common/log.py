"""Log observers that write one line an event, as text or as JSON, and a limit on repeated lines.

What a line shows can come from a stranger: control characters and everything else that ends a line, drives a
terminal or reorders text is escaped, values are cut to a length, and secrets are replaced (`redact`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from string import Formatter
from typing import Any, Final, Literal, TextIO

import msgspec
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from rvoip.common.log_file import LogFile
from rvoip.common.printable import UNPRINTABLE, printable, shorten
from rvoip.common.redact import REDACTED, is_secret_name, may_hold_secret, redact

__all__ = ["LEVELS", "JSONObserver", "LogLimiter", "TextObserver", "log_observer"]

LEVELS: Final = ("debug", "info", "warn", "error", "critical")

FIELD_LIMIT: Final = 2048
"""Characters of one value in a line."""

TRACEBACK_LIMIT: Final = 16384
"""Characters of a traceback in a line; what is too long loses its middle."""

_DEPTH_LIMIT: Final = 4
_ITEM_LIMIT: Final = 64
_OWN_KEYS: Final = frozenset({"time", "level", "namespace", "message", "error", "traceback"})
# What twisted.python.log adds to its events, beside log_text which is their message.
_LEGACY_KEYS: Final = frozenset({"time", "message", "system", "isError", "failure", "why", "format"})
_SCALARS: Final = frozenset({int, float, bool, type(None)})

_encode: Final = msgspec.json.Encoder().encode

_TEMPLATES: dict[str, _Template] = {}
_TEMPLATES_LIMIT: Final = 4096


def _is_chatter(event: LogEvent) -> bool:
    """Whether it is what Twisted says of each socket and factory."""
    return event.get("log_namespace") == "log_legacy" or event.get("log_format") in (
        "Starting factory {factory!r}",
        "Stopping factory {factory!r}",
    )


class _Template:
    """A log format, read once: as a %-template when it only names fields."""

    __slots__ = ("fast", "safe", "told")

    def __init__(self, text: str) -> None:
        self.told: frozenset[str] = frozenset()
        """The fields that it names, as `_fields` calls them."""
        self.fast: str | None = None
        self.safe = text
        try:
            parts = list(Formatter().parse(text))
        except ValueError:
            return  # formatEvent says what is wrong with it
        fast, safe, names, simple = "", "", set(), True
        for literal, name, spec, conversion in parts:
            fast += literal.replace("%", "%%")
            safe += literal.replace("{", "{{").replace("}", "}}")
            if name is None:
                continue
            names.add(name)
            simple = (
                simple and name.isidentifier() and not name.startswith("log_") and not (spec or conversion)
            )
            fast += f"%({name})s"
            if any(is_secret_name(part) for part in name.replace("[", ".").replace("()", "").split(".")):
                safe += REDACTED
            else:
                safe += (
                    "{" + name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
                )
        self.told = frozenset(f"{name}_" if name in _OWN_KEYS else name for name in names)
        self.fast = fast if simple else None
        self.safe = safe


def _template(text: str) -> _Template:
    template = _TEMPLATES.get(text)
    if template is None:
        if len(_TEMPLATES) >= _TEMPLATES_LIMIT:
            _TEMPLATES.clear()  # formats come from code; only one built of data gets here
        template = _TEMPLATES[text] = _Template(text)
    return template


def _text(value: object) -> str:
    """Show any value, even one whose own methods fail."""
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).decode("utf-8", "backslashreplace")
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _plain(value: object, depth: int = 0) -> Any:
    """Make of any value one that JSON has, of bounded size."""
    kind = type(value)
    if kind is str:
        return shorten(value, FIELD_LIMIT)  # type: ignore[arg-type]
    if kind in _SCALARS:
        # Numbers that JSON readers round, and those that JSON has not.
        if kind is float and not (-1e300 < value < 1e300):  # type: ignore[operator]
            return str(value)
        if kind is int and not (-(1 << 63) <= value < 1 << 63):  # type: ignore[operator]
            return shorten(_text(value), FIELD_LIMIT)
        return value
    if depth < _DEPTH_LIMIT:
        if isinstance(value, Mapping):
            return {
                name: REDACTED if is_secret_name(name) else _plain(item, depth + 1)
                for name, item in (
                    (shorten(_text(key), FIELD_LIMIT), value[key]) for key in list(value)[:_ITEM_LIMIT]
                )
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(item, depth + 1) for item in list(value)[:_ITEM_LIMIT]]
    return shorten(_text(value), FIELD_LIMIT)


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): _redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    return value


def _traceback(failure: Failure) -> str:
    try:
        text = failure.getTraceback()
    except Exception as error:
        return f"<a traceback that cannot be shown: {type(error).__name__}>"
    if len(text) > TRACEBACK_LIMIT:
        half = TRACEBACK_LIMIT // 2
        text = f"{text[:half]}\n...({len(text) - 2 * half} characters)...\n{text[-half:]}"
    return text


class _LineObserver:
    """What the two formats share: levels, fields, the message, the time, and the stream."""

    def __init__(self, stream: TextIO | LogFile, level: str = "info") -> None:
        if level not in LEVELS:
            raise ValueError(f"no log level {level!r}: one of {', '.join(LEVELS)}")
        # The bytes below the text layer, where there are any: log lines are UTF-8 in any locale.
        self._bytes = stream if isinstance(stream, LogFile) else getattr(stream, "buffer", None)
        self._stream = stream
        self._shown = frozenset(LogLevel.lookupByName(name) for name in LEVELS[LEVELS.index(level) :])
        self._all = LogLevel.debug in self._shown
        self._second = -1
        self._second_text = ""
        self.lost = 0
        """Lines that the stream did not take."""

    def line(self, event: LogEvent) -> str | None:
        """The line of `event`, with its end; None when its level is not shown. Nothing is raised.

        What Twisted says in its old way, of each socket that it opens or closes, counts as debug: a question
        to DNS would be four lines. So does what it says of factories: a connection of a client would be two.
        """
        level = event.get("log_level")
        if level not in self._shown:
            return None
        if level is LogLevel.info and not self._all and _is_chatter(event):
            return None
        try:
            return self._line(event)
        except Exception as error:
            namespace = printable(shorten(_text(event.get("log_namespace")), 200))
            return self._unrenderable(namespace, type(error).__name__)

    def __call__(self, event: LogEvent) -> None:
        """Write `event` when its level is shown. Nothing is raised: a log must not break what it logs."""
        line = self.line(event)
        if line is None:
            return
        try:
            if self._bytes is not None:
                self._bytes.write(line.encode("utf-8", "backslashreplace"))
                self._bytes.flush()
            elif not isinstance(self._stream, LogFile):
                self._stream.write(line)
                self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1  # a closed or full stream; there is no better place to tell it

    def _line(self, event: LogEvent) -> str:
        raise AssertionError("each format has its own")

    def _unrenderable(self, namespace: str, error: str) -> str:
        raise AssertionError("each format has its own")

    def _time(self, event: LogEvent) -> str:
        """Wall time of the event, RFC 3339 in UTC with milliseconds."""
        wall_now = event.get("log_time") or 0.0
        second = int(wall_now)
        if second != self._second:
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            self._second = second
        return "%s%03dZ" % (self._second_text, (wall_now - second) * 1000)  # noqa: UP031, twice as fast

    def _fields(self, event: LogEvent) -> dict[str, Any]:
        """The event's own fields, as plain values, with those of a secret name replaced."""
        legacy = "isError" in event
        fields: dict[str, Any] = {}
        for key, value in event.items():
            if key[:4] == "log_" or (legacy and key in _LEGACY_KEYS):
                continue
            kind = type(value)
            if value is not None and kind is not bool and is_secret_name(key):
                value = REDACTED
            elif not (kind is str and len(value) <= FIELD_LIMIT):
                value = _plain(value)
            fields[f"{key}_" if key in _OWN_KEYS else key] = value
        failure = event.get("log_failure")
        if failure is not None:
            fields["error"] = shorten(f"{failure.type.__name__}: {_text(failure.value)}", FIELD_LIMIT)
            fields["traceback"] = _traceback(failure)
        return fields

    def _message(self, event: LogEvent, template: _Template | None, fields: dict[str, Any]) -> str:
        if template is None:
            return ""
        if template.fast is not None:
            try:
                return template.fast % fields
            except KeyError:
                pass  # a field that is missing, or whose name is one of ours: the slow way knows what to say
        shown = {key: REDACTED if is_secret_name(key) else value for key, value in event.items()}
        shown["log_format"] = template.safe
        return shorten(formatEvent(shown), 4 * FIELD_LIMIT)


@implementer(ILogObserver)
class JSONObserver(_LineObserver):
    """One JSON object a line: `time`, `level`, `namespace`, `message`, then the event's fields.

    A failure adds `error` and `traceback`.
    """

    def _line(self, event: LogEvent) -> str:
        format_text = event.get("log_format")
        fields = self._fields(event)
        template = _template(format_text) if isinstance(format_text, str) else None
        record = {
            "time": self._time(event),
            "level": event["log_level"].name,
            "namespace": event.get("log_namespace"),
            "message": self._message(event, template, fields),
        }
        record.update(fields)
        try:
            line = _encode(record).decode()
        except UnicodeEncodeError:  # lone surrogates, from bytes that were not UTF-8
            record = _encodable(record)
            line = _encode(record).decode()
        if may_hold_secret(line):
            line = _encode(_redacted(record)).decode()
        if not (line.isascii() and "\x7f" not in line):  # the encoder escaped what is below U+0020
            line = UNPRINTABLE.sub(_json_escape, line)
        return line + "\n"

    def _unrenderable(self, namespace: str, error: str) -> str:
        record = {
            "level": "error",
            "namespace": namespace,
            "message": f"An event that cannot be shown: {error}",
        }
        return _encode(record).decode() + "\n"


@implementer(ILogObserver)
class TextObserver(_LineObserver):
    """`TIME LEVEL NAMESPACE: MESSAGE` and, as `name=value`, the fields that the message does not show."""

    def _line(self, event: LogEvent) -> str:
        format_text = event.get("log_format")
        fields = self._fields(event)
        template = _template(format_text) if isinstance(format_text, str) else None
        told: frozenset[str] = template.told if template is not None else frozenset()
        names, texts = [], [self._message(event, template, fields)]
        for name, value in fields.items():
            if name not in told:
                names.append(name)
                if isinstance(value, dict | list):
                    value = _encode(_redacted(_encodable(value))).decode()
                texts.append(str(value))
        if may_hold_secret(" ".join(texts)):
            texts = [redact(text) for text in texts]
        head = f"{self._time(event)} {event['log_level'].name} {event.get('log_namespace')}: {texts[0]}"
        tail = "".join(f" {name}={_quoted(text)}" for name, text in zip(names, texts[1:], strict=True))
        return printable(head + tail) + "\n"

    def _unrenderable(self, namespace: str, error: str) -> str:
        return f"error {namespace}: An event that cannot be shown: {error}\n"


def _quoted(text: str) -> str:
    """Quote a value that would otherwise not be told from the next one."""
    if text and text.isalnum():
        return text
    if not text or any(mark in text for mark in " \"'=\\"):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def _encodable(value: Any) -> Any:
    """Escape lone surrogates, which UTF-8 has not, in every text of a value."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value


def _json_escape(match: Any) -> str:
    """Escape one character inside a JSON string: the encoder escapes only those below U+0020."""
    code = ord(match[0])
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
    return f"\\u{code:04x}"


def log_observer(
    format: Literal["text", "json"], level: str, stream: TextIO | LogFile
) -> JSONObserver | TextObserver:
    """Make the observer that a `[log]` table asks for.

    For standard output `stream` is `sys.__stdout__`: twistd redirects the other one.
    """
    return JSONObserver(stream, level) if format == "json" else TextObserver(stream, level)


class LogLimiter:
    """One line a source in an interval, however much that source sends and however many sources there are.

    A source is an address or anything else that is hashable. Sources are forgotten oldest first beyond
    `max_sources`, so addresses that an attacker makes up cost no memory; they cost no log either, because all
    sources together get `max_lines` lines an interval.
    """

    def __init__(
        self,
        clock_now: Callable[[], float],
        interval: float = 10.0,
        max_sources: int = 4096,
        max_lines: int = 1000,
    ) -> None:
        self._now = clock_now
        self._interval = interval
        self._max_sources = max_sources
        self._max_lines = max_lines
        self._sources: OrderedDict[object, list[Any]] = (
            OrderedDict()
        )  # source: [when a line may follow, suppressed]
        self._window_end = float("-inf")
        self._window_lines = 0
        self.suppressed = 0
        """Lines that were not written, of all sources."""

    def __len__(self) -> int:
        """Count the sources that are remembered."""
        return len(self._sources)

    def allow(self, source: object, now: float | None = None) -> int | None:
        """Return None when no line may be written, else how many of `source` were suppressed since the last.

        `now` is in seconds of the clock given at the start, which is asked when `now` is None.
        """
        if now is None:
            now = self._now()
        state = self._sources.get(source)
        if state is None:
            state = self._sources[source] = [now, 0]
            if len(self._sources) > self._max_sources:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(source)
        if now < state[0] or not self._window_open(now):
            state[1] += 1
            self.suppressed += 1
            return None
        self._window_lines += 1
        suppressed: int = state[1]
        state[0], state[1] = now + self._interval, 0
        return suppressed

    def _window_open(self, now: float) -> bool:
        if now >= self._window_end:
            self._window_end = now + self._interval
            self._window_lines = 0
        return self._window_lines < self._max_lines
