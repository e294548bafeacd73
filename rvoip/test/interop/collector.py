"""Kamailio's sipcapture, a collector of HEP packets that is not ours: it says what it was sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer

__all__ = ["Captured", "Collector"]

_CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
dns=no
rev_dns=no
disable_tcp=yes
listen=udp:ADDRESS
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "db_text.so"
loadmodule "sipcapture.so"
modparam("sipcapture", "db_url", "text://FOLDER")
modparam("sipcapture", "capture_on", 1)
modparam("sipcapture", "hep_capture_on", 1)
request_route {
    xlog("L_ERR", "captured $rm $si:$sp $ci\\n");
    exit;
}
onreply_route {
    xlog("L_ERR", "captured $rs $si:$sp $ci\\n");
    drop;
}
"""


class Captured(NamedTuple):
    """One message as the collector has understood it. (Its script is not told where it went to.)"""

    what: str
    """Its method or status."""
    source: str
    call_id: str


class Collector:
    """Listens for HEP over UDP."""

    def __init__(self, folder: Path, host: str) -> None:
        self.address = f"{host}:{free_port(host)}"
        place = folder / "collector.d"
        place.mkdir()
        config = folder / "collector.cfg"
        config.write_text(_CONFIG.replace("ADDRESS", self.address).replace("FOLDER", str(place)))
        command = [peer("kamailio"), "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4"]
        command += ["-w", str(place), "-Y", str(place), "-P", str(place / "kamailio.pid")]
        self.process = Process("collector", command, folder)
        self.process.wait_for("Listening on")

    @property
    def captured(self) -> list[Captured]:
        """What came until now."""
        return [Captured(*found) for found in re.findall(r"captured (\S+) (\S+) (\S+)", self.process.output)]

    def close(self) -> None:
        """End it, with all of its processes."""
        self.process.kill()
