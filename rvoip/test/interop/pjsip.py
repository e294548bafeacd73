"""PJSIP, through its Python binding, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from rvoip.test.interop.processes import PATIENCE, Process, until
from rvoip.test.interop.roles import DOMAIN

__all__ = ["PJSIP"]


class PJSIP:
    """A phone with one account; see pjsip_phone.py for its commands and events."""

    _ports = 30000

    def __init__(
        self,
        folder: Path,
        host: str,
        user: str,
        proxy: str,
        *,
        transport: str = "udp",
        domain: str = DOMAIN,
        password: str = "",
        expires: int = 3600,
        ca: Path | None = None,
        certificate: tuple[str, str] = ("", ""),
        prack: bool = False,
        all_codecs: bool = False,
        mailbox: bool = False,
        publish: bool = False,
        name: str = "",
    ) -> None:
        """`proxy` is the URI that all requests are sent to; `expires` 0 leaves it unregistered; with `ca` the
        server's certificate is checked, `certificate` (and its key) are files that are shown to it. With
        `mailbox` it watches its own; with `publish` it tells the server who is there.
        """
        if importlib.util.find_spec("pjsua2") is None:
            raise SkipTest("PJSIP is not installed: pip install rvoip[interop]")
        self.name = name or f"pjsip-{user}"
        self.wire = folder / f"{self.name}.messages"
        PJSIP._ports += 20
        settings = {
            "user": user,
            "domain": domain,
            "password": password or f"pw-{user}",
            "host": host,
            "proxy": proxy,
            "transport": transport,
            "expires": expires,
            "ca": str(ca) if ca else "",
            "certificate": certificate[0],
            "key": certificate[1],
            "prack": prack,
            "all_codecs": all_codecs,
            "mailbox": mailbox,
            "publish": publish,
            "rtp_port": PJSIP._ports,
            "log": str(self.wire),
        }
        script = str(Path(__file__).with_name("pjsip_phone.py"))
        self.process = Process(self.name, [sys.executable, script, json.dumps(settings)], folder, stdin=True)
        self.wait("ready")

    def close(self) -> None:
        """End it at once."""
        self.process.kill()

    def quit(self) -> None:
        """Let it hang up, unregister and end."""
        self.do("quit")
        assert self.process.wait() == 0, self.process.output

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
        """Wait until it is."""
        self.wait("registration", active=True)

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.do("call", uri=uri)

    def rings(self) -> str:
        """Wait for a call to come in, and ring; returns its Call-ID."""
        call_id = str(self.wait("incoming")["call_id"])
        self.do("answer", status=180)
        self.wait("call", state="early", status=180)
        return call_id

    def answer(self) -> None:
        """Take the call that came in."""
        self.do("answer", status=200)

    def refuse(self, status: int = 486) -> None:
        """Refuse the call that came in."""
        self.do("answer", status=status)

    def talks(self) -> str:
        """Wait until a call is answered; returns its Call-ID."""
        return str(self.wait("call", state="confirmed")["call_id"])

    def hold(self) -> None:
        """Put the other one on hold."""
        self.do("hold")

    def resume(self) -> None:
        """Go on with the call."""
        self.do("resume")

    def transfer(self, uri: str) -> None:
        """Send the other one there."""
        self.do("transfer", uri=uri)

    def hang_up(self) -> None:
        """End the call, or give it up."""
        self.do("hangup")

    def hung_up(self) -> None:
        """Wait until a call that was answered ends."""
        self.failed(200)

    def failed(self, status: int) -> None:
        """Wait until a call ends, with this status."""
        event = self.wait("call", state="disconnected")
        if event["status"] != status:
            raise self.process.failure(f"closed the call with {event['status']}, not {status}")

    def missed(self) -> None:
        """Wait until a call ends that it was offered and did not answer: it was cancelled."""
        self.failed(487)

    def hears(self, more: int = 10) -> None:
        """Wait until that many more packets of sound have come in."""
        before = self._packets()
        until(lambda: self._packets() >= before + more, f"{self.name} hears {more} packets more")

    def _packets(self) -> int:
        known = len(self.events("packets"))
        self.do("packets")
        return int(self.wait("packets", count=known + 1)["received"])

    # What is seen on its wire.

    def sent(self, pattern: str) -> list[str]:
        """The messages that it sent whose text matches."""
        return self._messages("TX", pattern)

    def received(self, pattern: str) -> list[str]:
        """The messages that it received whose text matches."""
        return self._messages("RX", pattern)

    def receives(self, pattern: str) -> str:
        """Wait for a message; returns its text."""
        return until(lambda: self.received(pattern), f"{self.name} receives {pattern!r}")[0]

    def _messages(self, way: str, pattern: str) -> list[str]:
        text = self.wire.read_text("utf-8", "replace").replace("\r", "") if self.wire.exists() else ""
        found = re.findall(rf"{way} \d+ bytes [^\n]*:\n(.*?)\n--end msg--", text, re.S)
        return [message for message in found if re.search(pattern, message, re.M)]
