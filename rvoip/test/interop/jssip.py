"""JsSIP, the library of browsers, under Node: real SIP over a real WebSocket, without media."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from rvoip.test.interop.processes import PATIENCE, Process, peer, until
from rvoip.test.interop.roles import DOMAIN

__all__ = ["JsSIP"]

_MODULES = Path("/usr/local/lib/rvoip-peers/node_modules")
"""Where tools/install-peers.sh puts what Node needs; NODE_PATH is looked at first."""


class JsSIP:
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
        self.name = name or f"jssip-{user}"
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
        self.process = Process(
            self.name,
            [peer("node"), script, json.dumps(settings)],
            folder,
            stdin=True,
            environment=environment,
        )

    def close(self) -> None:
        """End it at once."""
        self.process.kill()

    def do(self, name: str, argument: Any = None) -> None:
        """Give a command."""
        self.process.write(json.dumps([name, argument]))

    def events(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of a kind, in their order; with `fields`, those that have these values."""
        found = []
        for line in self.process.output.split("\n")[:-1]:
            if line.startswith('{"event"'):
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
        self.wait("registered", status=200)

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.do("call", uri)

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
