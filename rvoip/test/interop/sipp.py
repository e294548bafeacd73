"""sipp, with the scenarios in the folder of that name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer

__all__ = ["SIPp"]

_SCENARIOS = Path(__file__).with_name("scenarios")


class SIPp:
    """A run of a scenario, as often as `calls` says and at most `rate` a second.

    `keys` are what the scenario has as [NAME]; `users` are (user, password), taken in turn for its [field0]
    and [field1]. `transport` is "udp" or "tcp". `lost` is the percentage of messages that it forgets, both
    ways. `remote` is host:port; without it the scenario waits for requests. `method` takes the place of
    METHOD in the scenario.
    """

    def __init__(
        self,
        folder: Path,
        scenario: str,
        host: str,
        remote: str = "",
        *,
        name: str = "",
        calls: int = 1,
        rate: float = 10,
        transport: str = "udp",
        keys: Mapping[str, str] | None = None,
        users: Sequence[tuple[str, str]] = (),
        lost: int = 0,
        method: str = "",
        patience: int = 20,
    ) -> None:
        self.name = name or f"sipp-{scenario}"
        self.calls = calls
        self.host = host
        self.port = free_port(host)
        self.wire = folder / f"{self.name}.messages"
        self.errors = folder / f"{self.name}.errors"
        self.patience = patience
        file = _SCENARIOS / f"{scenario}.xml"
        if method:
            text = file.read_text().replace("METHOD", method)
            file = folder / f"{self.name}.xml"
            file.write_text(text)
        command = [
            *(peer("sipp"), "-nostdin", "-sf", str(file)),
            *("-i", host, "-p", str(self.port), "-t", {"udp": "u1", "tcp": "t1"}[transport]),
            *("-m", str(calls), "-r", str(rate), "-l", str(calls)),
            *("-timeout", f"{patience}s", "-timeout_error"),
            *("-trace_msg", "-message_file", str(self.wire), "-trace_err", "-error_file", str(self.errors)),
        ]
        for key, value in {"domain": "example.test", **(keys or {})}.items():
            command += ["-key", key, value]
        if users:
            file = folder / f"{self.name}.csv"
            lines = [f"{user};[authentication username={user} password={word}]" for user, word in users]
            file.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
            command += ["-inf", str(file)]
        if lost:
            command += ["-lost", str(lost)]
        if remote:
            command.append(remote)
        # Its screen would be drawn over and over: a terminal that knows no way to do that makes it quiet.
        self.process = Process(self.name, command, folder, environment={"TERM": "dumb"})

    @property
    def contact(self) -> str:
        """host:port that it listens on."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def close(self) -> None:
        """End it at once."""
        self.process.kill()

    def succeed(self) -> None:
        """Wait for its end, and see that every call went as the scenario has it."""
        status = self.process.wait(self.patience + 10)
        counts = [self._counted(what) for what in ("Successful call", "Failed call")]
        if status != 0 or counts != [self.calls, 0]:
            errors = self.errors.read_text("utf-8", "replace")[:4000] if self.errors.exists() else ""
            raise AssertionError(
                f"{self.name}: status {status}; of {self.calls} calls {counts[0]} succeeded, {counts[1]}"
                f" failed; see {self.process.log}\n{errors}"
            )

    def _counted(self, what: str) -> int:
        found = re.findall(rf"^\s*{what}\s*\|\s*\d+\s*\|\s*(\d+)", self.process.output, re.M)
        return int(found[-1]) if found else -1

    # What is seen on its wire.

    def sent(self, pattern: str) -> list[str]:
        """The messages that it sent whose text matches."""
        return self._messages("sent", pattern)

    def received(self, pattern: str) -> list[str]:
        """The messages that it received whose text matches."""
        return self._messages("received", pattern)

    def _messages(self, way: str, pattern: str) -> list[str]:
        text = self.wire.read_text("utf-8", "replace") if self.wire.exists() else ""
        found = re.split(r"^-{20,} [^\n]*\n", text.replace("\r\n", "\n"), flags=re.M)
        messages = []
        for one in found:
            head, _, message = one.partition("\n\n")
            if f"message {way}" in head and re.search(pattern, message, re.M):
                messages.append(message)
        return messages
