"""A phone made of the dialog layer, in a process of its own: see agent_phone.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rvoip
from rvoip.test.interop.processes import PATIENCE, Process, free_port, until
from rvoip.test.interop.roles import DOMAIN

__all__ = ["AgentPhone"]


class AgentPhone:
    """A user agent of ours; `answer` is the status that it gives to each call, 0 to wait for a command."""

    def __init__(
        self,
        folder: Path,
        host: str,
        user: str = "bob",
        *,
        proxy: str = "",
        transport: str = "udp",
        answer: int = 0,
        password: str = "",
        name: str = "",
        **settings: Any,
    ) -> None:
        self.name = name or f"agent-{user}"
        self.host = host
        self.port = free_port(host)
        settings = {
            "user": user,
            "domain": DOMAIN,
            "password": password or f"pw-{user}",
            "host": host,
            "port": self.port,
            "proxy": proxy,
            "transport": transport,
            "answer": answer,
            **settings,
        }
        script = str(Path(__file__).with_name("agent_phone.py"))
        root = str(Path(rvoip.__file__).parent.parent)
        self.process = Process(
            self.name,
            [sys.executable, script, json.dumps(settings)],
            folder,
            stdin=True,
            environment={"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
        )
        self.wait("ready")

    @property
    def address(self) -> str:
        """host:port that it listens on."""
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        """End it at once."""
        self.process.kill()

    def quit(self) -> None:
        """Let it end; nothing may have gone wrong."""
        self.do("quit")
        assert self.process.wait() == 0, self.process.output
        assert "Traceback" not in self.process.output, self.process.output

    def do(self, name: str, **arguments: Any) -> None:
        """Give a command."""
        self.process.write(json.dumps({"do": name, **arguments}))

    def events(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of a kind, in their order; with `fields`, those that have these values."""
        found = []
        for line in self.process.output.split("\n")[:-1]:
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == kind and all(event.get(name) == value for name, value in fields.items()):
                    found.append(event)
        return found

    def wait(self, kind: str, patience: float = PATIENCE, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for an event of this kind with these values, the `count`th one; returns it."""

        def came() -> bool:
            if self.process.ended is not None:
                raise self.process.failure(f"ended with status {self.process.ended}")
            return len(self.events(kind, **fields)) >= count

        try:
            until(came, f"event {kind}", patience)
        except AssertionError:
            raise self.process.failure(f"had no event {kind} {fields} ({count})") from None
        return self.events(kind, **fields)[count - 1]

    # What a user does.

    def registered(self) -> None:
        """Register, and wait until it is."""
        self.do("register")
        self.wait("registration", status=200)

    def call(self, uri: str, **more: Any) -> None:
        """Call somebody."""
        self.do("call", uri=uri, **more)

    def rings(self) -> str:
        """Wait for a call to come in, and ring; returns its Call-ID."""
        call_id = str(self.wait("incoming")["call_id"])
        self.do("progress", status=180)
        return call_id

    def talks(self) -> str:
        """Wait until a call is answered; returns its Call-ID."""
        return str(self.wait("call", state="confirmed")["call_id"])

    def failed(self, status: int) -> None:
        """Wait until a call of ours fails with this status."""
        event = self.wait("call", state="failed")
        if event["status"] != status:
            raise self.process.failure(f"failed with {event}, not {status}")

    def hung_up(self, by: str) -> None:
        """Wait until a call that was answered ends."""
        self.wait("call", state="disconnected", status=200, by=by)

    def nothing_left(self, patience: float = 40) -> None:
        """Wait until no dialog is left, nor a transaction."""

        def asked() -> bool:
            known = len(self.events("state"))
            self.do("state")
            state = self.wait("state", count=known + 1)
            return not state["dialogs"] and not state["transactions"]

        until(asked, f"{self.name} forgets all", patience)
