"""What all phones have in common that a test starts: they are told what to do, and tell what happens."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from rvoip.test.interop.processes import PATIENCE, Process, until

__all__ = ["EventPhone", "Phone", "TalkingPhone", "hear", "quit_all"]


class Phone(ABC):
    """A program that plays a phone; a subclass gives commands to its `process` and reads its events."""

    name: str
    process: Process

    def close(self) -> None:
        """End it at once: it unregisters nothing."""
        self.process.kill()

    @abstractmethod
    def do(self, command: str) -> Any:
        """Give a command without arguments."""

    def quit(self) -> None:
        """Let it hang up, unregister and end, without trouble."""
        quit_all(self)

    # What happens.

    def events(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of a kind, in their order; with `fields`, those that have these values."""
        told = self._told(kind)
        return [one for one in told if all(one.get(name) == value for name, value in fields.items())]

    @abstractmethod
    def _told(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind until now."""

    def wait(self, kind: str, patience: float = PATIENCE, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for an event of this kind with these values, the `count`th one; returns it."""

        def came() -> bool:
            if self.process.ended is not None:
                raise self.process.failure(f"ended with status {self.process.ended}")
            return len(self.events(kind, **fields)) >= count

        self._until(came, f"event {kind} {fields} ({count})", patience)
        return self.events(kind, **fields)[count - 1]

    def _until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait; when it is in vain the failure shows what the phone wrote last."""
        try:
            until(condition, what, patience)
        except AssertionError as failed:
            if self.process.ended is not None:
                raise
            raise self.process.failure(f"had no {what}") from failed


class TalkingPhone(Phone):
    """One with sound, whose wire can be looked at."""

    def hears(self, more: int = 5) -> None:
        """Wait until that many more packets of sound have come in."""
        hear(self, more=more)

    @abstractmethod
    def packets(self) -> int:
        """How many packets of sound have come in."""

    def sent(self, pattern: str) -> list[str]:
        """The messages that it sent whose text matches."""
        return [text for text, ours in self._messages() if ours and re.search(pattern, text, re.M)]

    def received(self, pattern: str) -> list[str]:
        """The messages that it received whose text matches."""
        return [text for text, ours in self._messages() if not ours and re.search(pattern, text, re.M)]

    def receives(self, pattern: str) -> str:
        """Wait for a message that it receives; returns its text."""
        return until(lambda: self.received(pattern), f"{self.name} receives {pattern!r}")[0]

    @abstractmethod
    def _messages(self) -> list[tuple[str, bool]]:
        """The messages on its wire, retransmissions too, and whether it sent them."""


def hear(*phones: TalkingPhone, more: int = 5) -> None:
    """Wait until that many more packets of sound have come in at each."""
    wanted = [(phone, phone.packets() + more) for phone in phones]
    for phone, packets in wanted:
        until(lambda: phone.packets() >= packets, f"{phone.name} hears {more} packets more")  # noqa: B023


def quit_all(*phones: Phone) -> None:
    """Let phones end, all at once: each takes its time over it."""
    for phone in phones:
        phone.do("quit")
    for phone in phones:
        assert phone.process.wait() == 0, phone.process.output
        assert "Traceback" not in phone.process.output, phone.process.output


class EventPhone(Phone):
    """One that reads commands from its standard input, and writes events to its standard output.

    Both are JSON objects, one a line: {"do": NAME, ...}, {"event": KIND, ...}.
    """

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self._read = 0
        self._events: list[dict[str, Any]] = []

    def do(self, command: str, **arguments: Any) -> None:
        """Give a command."""
        self.process.write(json.dumps({"do": command, **arguments}))

    def _told(self, kind: str) -> list[dict[str, Any]]:
        *lines, _ = self.process.octets(self._read).split(b"\n")
        for line in lines:
            self._read += len(line) + 1
            if line.startswith(b'{"event"'):
                self._events.append(json.loads(line))
        return [event for event in self._events if event["event"] == kind]
