"""Kamailio, as the proxy before ours or after it; see kamailio.cfg for what it does."""

from __future__ import annotations

from pathlib import Path

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.ping import ping
from rvoip.test.interop.processes import Process, peer, until

__all__ = ["Kamailio"]

_CONFIG = Path(__file__).with_name("kamailio.cfg")

_TRACE = """
loadmodule "siptrace.so"
modparam("siptrace", "duplicate_uri", "COLLECTOR")
modparam("siptrace", "hep_mode_on", 1)
modparam("siptrace", "hep_version", 3)
modparam("siptrace", "hep_capture_id", 77)
modparam("siptrace", "trace_to_database", 0)
modparam("siptrace", "trace_on", 1)
modparam("siptrace", "trace_mode", 1)

"""


class Kamailio:
    """A Kamailio with UDP and TCP on one port; what is for a domain that is not its own goes to `proxy`.

    `trace` is the URI of a collector that is sent all of its messages by HEP3.
    """

    def __init__(self, folder: Path, host: str, proxy: str, trace: str = "") -> None:
        self.host = host
        self.address = f"{host}:{free_port(host)}"
        config = folder / "kamailio.cfg"
        text = _CONFIG.read_text().replace("ADDRESS", self.address).replace("PROXY", proxy)
        if trace:
            text = text.replace("request_route {", _TRACE.replace("COLLECTOR", trace) + "request_route {", 1)
        config.write_text(text)
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
