"""One OPTIONS over UDP."""

from __future__ import annotations

import socket
import time

__all__ = ["ping"]


def ping(address: str) -> str:
    """The first line of what host:port answers to OPTIONS, or nothing when there is no answer in 0.1 s."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((host, 0))
        asking.settimeout(0.1)
        unique = f"{time.monotonic_ns()}"
        lines = (
            f"OPTIONS sip:{address} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{asking.getsockname()[1]};branch=z9hG4bK{unique}",
            f"From: <sip:ping@{host}>;tag={unique}",
            f"To: <sip:{address}>",
            f"Call-ID: {unique}",
            "CSeq: 1 OPTIONS",
            "Max-Forwards: 1",
            "Content-Length: 0",
        )
        asking.sendto("".join(f"{line}\r\n" for line in (*lines, "")).encode(), (host, int(port)))
        try:
            return asking.recv(65536).partition(b"\r\n")[0].decode()
        except OSError:
            return ""
