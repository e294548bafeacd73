"""PJSIP, through its Python binding, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from rvoip.test.interop.phone import EventPhone, TalkingPhone
from rvoip.test.interop.processes import Process
from rvoip.test.interop.roles import DOMAIN

__all__ = ["PJSIP"]


class PJSIP(EventPhone, TalkingPhone):
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
        name = name or f"pjsip-{user}"
        self.wire = folder / f"{name}.messages"
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
        command = [sys.executable, script, json.dumps(settings)]
        super().__init__(name, Process(name, command, folder, stdin=True))
        self.wait("ready")

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

    def packets(self) -> int:
        """How many packets of sound have come in."""
        known = len(self.events("packets"))
        self.do("packets")
        return int(self.wait("packets", count=known + 1)["received"])

    # What is seen on its wire.

    def _messages(self) -> list[tuple[str, bool]]:
        text = self.wire.read_text("utf-8", "replace").replace("\r", "") if self.wire.exists() else ""
        found = re.findall(r"(TX|RX) \d+ bytes [^\n]*:\n(.*?)\n--end msg--", text, re.S)
        return [(message, way == "TX") for way, message in found]
