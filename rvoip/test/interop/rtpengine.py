"""rtpengine, which relays media in user space."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any

from rvoip.mediacontrol.bencode import decode, encode
from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer, until

__all__ = ["RTPEngine"]

_FIRST, _LAST = 36000, 36199

_serial = itertools.count()


class RTPEngine:
    """An rtpengine at an address of its own."""

    def __init__(self, folder: Path, host: str, name: str = "rtpengine") -> None:
        self.host = host
        self.port = free_port(host)
        self.uri = f"udp:{host}:{self.port}"
        command = [
            *(peer("rtpengine"), "--config-file=none", "--foreground", "--log-stderr", "--table=-1"),
            *(f"--interface={host}", f"--listen-ng={host}:{self.port}"),
            *(f"--port-min={_FIRST}", f"--port-max={_LAST}", "--log-level=6", "--delete-delay=0"),
        ]
        self.process = Process(name, command, folder)
        until(lambda: self.ask(command="ping") is not None, "an answer of rtpengine")

    def ask(self, **command: Any) -> Any:
        """What it answers to a command, None when it does not."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.5)
            # The same cookie again would get the same answer again.
            cookie = b"test-%d " % next(_serial)
            asking.sendto(cookie + encode(command), (self.host, self.port))
            try:
                return decode(asking.recv(65536).partition(b" ")[2])
            except OSError:
                return None

    def calls(self) -> list[str]:
        """The Call-IDs that it knows."""
        answer = self.ask(command="list", limit=100)
        return [call.decode() for call in answer["calls"]]

    def packets(self, call_id: str) -> int:
        """How many packets of a call it has relayed."""
        answer = self.ask(**{"command": "query", "call-id": call_id})
        return int(answer["totals"]["RTP"]["packets"])

    def has_port(self, port: int) -> bool:
        """Whether a port is one of those that it relays on."""
        return _FIRST <= port <= _LAST

    def close(self) -> None:
        """End it."""
        self.process.kill()
