"""Kamailio, as the proxy before ours or after it; see kamailio.cfg for what it does."""

from __future__ import annotations

from pathlib import Path

from rvoip.test.interop.ping import ping
from rvoip.test.interop.processes import Process, free_port, peer, until

__all__ = ["Kamailio"]

_CONFIG = Path(__file__).with_name("kamailio.cfg")


class Kamailio:
    """A Kamailio with UDP and TCP on one port; what is for a domain that is not its own goes to `proxy`."""

    def __init__(self, folder: Path, host: str, proxy: str) -> None:
        self.host = host
        self.address = f"{host}:{free_port(host)}"
        config = folder / "kamailio.cfg"
        config.write_text(_CONFIG.read_text().replace("ADDRESS", self.address).replace("PROXY", proxy))
        place = folder / "kamailio.d"
        place.mkdir()
        command = [peer("kamailio"), "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4"]
        command += ["-w", str(place), "-Y", str(place), "-P", str(place / "kamailio.pid")]
        self.process = Process("kamailio", command, folder)
        until(lambda: ping(self.address), "an answer of Kamailio")

    def uri(self, transport: str = "udp", user: str = "") -> str:
        """Its address as a SIP URI."""
        return f"sip:{user}{'@' if user else ''}{self.address};transport={transport}"

    def close(self) -> None:
        """End it, with all of its processes."""
        self.process.kill()
