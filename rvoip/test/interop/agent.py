"""A phone made of the dialog layer, in a process of its own: see agent_phone.py."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rvoip
from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.phone import EventPhone
from rvoip.test.interop.processes import Process, until
from rvoip.test.interop.roles import DOMAIN

__all__ = ["AgentPhone"]


class AgentPhone(EventPhone):
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
        name = name or f"agent-{user}"
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
        environment = {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        command = [sys.executable, script, json.dumps(settings)]
        super().__init__(name, Process(name, command, folder, stdin=True, environment=environment))
        self.wait("ready")

    @property
    def address(self) -> str:
        """host:port that it listens on."""
        return f"{self.host}:{self.port}"

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
