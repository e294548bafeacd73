"""JsSIP, the library of browsers, under Node: real SIP over a real WebSocket, without media."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from rvoip.test.interop.phone import EventPhone
from rvoip.test.interop.processes import Process, peer
from rvoip.test.interop.roles import DOMAIN

__all__ = ["JsSIP"]

_MODULES = Path("/usr/local/lib/rvoip-peers/node_modules")
"""Where tools/install-peers.sh puts what Node needs; NODE_PATH is looked at first."""


class JsSIP(EventPhone):
    """A phone in a browser's place; see jssip_phone.js for its commands and events."""

    def __init__(
        self,
        folder: Path,
        host: str,
        user: str,
        url: str,
        *,
        domain: str = DOMAIN,
        origin: str = "",
        password: str = "",
        ca: Path | None = None,
        register: bool = True,
        plain: bool = False,
        name: str = "",
    ) -> None:
        """`url` is that of the WebSocket, `origin` the site that the phone is a page of, "" for none; `ca` is
        the authority that its user trusts; `plain` is a session description of RTP as phones speak it.
        """
        places = [Path(place) for place in os.environ.get("NODE_PATH", "").split(":") if place] + [_MODULES]
        modules = next((place for place in places if (place / "jssip").is_dir()), None)
        if modules is None:
            raise SkipTest("JsSIP is not installed: tools/install-peers.sh")
        name = name or f"jssip-{user}"
        settings: dict[str, Any] = {
            "url": url,
            "uri": f"sip:{user}@{domain}",
            "password": password or f"pw-{user}",
            "address": host,
            "register": register,
            "plain": plain,
        }
        if origin:
            settings["origin"] = origin
        if ca is not None:
            settings["ca"] = str(ca)
        script = str(Path(__file__).with_name("jssip_phone.js"))
        environment = {"NODE_PATH": str(modules)}
        command = [peer("node"), script, json.dumps(settings)]
        super().__init__(name, Process(name, command, folder, stdin=True, environment=environment))

    # What a user does.

    def registered(self) -> None:
        """Wait until it is."""
        self.wait("registered", status=200)

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.do("call", uri=uri)

    def rings(self) -> str:
        """Wait for a call to come in, and ring; returns its Call-ID."""
        call_id = str(self.wait("call", state="incoming")["id"])
        self.wait("call", state="ringing", by="local")
        return call_id

    def answer(self) -> None:
        """Take the call that came in."""
        self.do("answer")

    def talks(self) -> str:
        """Wait until a call is answered; returns the other's session description."""
        return str(self.wait("call", state="confirmed")["sdp"])

    def refuse(self) -> None:
        """Be busy."""
        self.do("refuse")

    def failed(self) -> int:
        """Wait until a call has not come about; returns the status that said so, 0 for none."""
        return int(self.wait("call", state="failed").get("status") or 0)

    def hang_up(self) -> None:
        """End the call, or give it up."""
        self.do("hang_up")

    def hung_up(self) -> None:
        """Wait until the call has ended."""
        self.wait("call", state="ended")
