"""`rvoip demo`, which is `make run`: what it prints is enough for two phones to call each other."""

from __future__ import annotations

import re
import signal

from rvoip.test.interop.addresses import address, free_port
from rvoip.test.interop.baresip import Baresip
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import Process
from rvoip.test.interop.roles import command

_HOST = address(3)
_CONFIG = """\
[sip]
listen = ["udp:{udp}", "tcp:{udp}", "tls:{tls}"]
domains = ["localhost"]
[tls]
certificate = "certificate.pem"
private_key = "private_key.pem"
[http]
listen = "{http}"
[log]
activity = true
[users]
store = "sqlite:users.db"
[location]
store = "sqlite:location.db"
[registrar]
"""


class DemoTests(InteropTestCase):
    """The demo on other addresses than its own, which may be in use."""

    def demo(self) -> Process:
        """Start it in its folder."""
        running = Process("demo", command("demo", "--directory", "var"), self.folder)
        self.addCleanup(running.kill)
        running.wait_for("listens on tls:")
        return running

    def test_printed_accounts(self) -> None:
        """The printed lines, as they are, make a baresip of alice and one of bob over each transport."""
        var = self.folder / "var"
        var.mkdir()
        udp, tls, http = (f"{_HOST}:{free_port(_HOST)}" for _ in range(3))
        (var / "rvoip.toml").write_text(_CONFIG.format(udp=udp, tls=tls, http=http))
        running = self.demo()
        printed = re.findall(r"^account (\S+) password (\S+)$", running.output, re.M)
        self.assertEqual([aor for aor, _ in printed], ["alice@localhost", "bob@localhost"])
        lines = re.findall(r"^  (<sip:.*)$", running.output, re.M)
        for transport in "udp", "tcp", "tls":
            phones = []
            for user, _ in printed:
                name = user.partition("@")[0]
                (line,) = [one for one in lines if f":{name}@" in one and f"transport={transport}>" in one]
                phone = Baresip(
                    self.folder,
                    self.host(),
                    f"{name}@localhost",
                    line=line,
                    ca=var / "certificate.pem" if transport == "tls" else None,
                    name=f"{name}-{transport}",
                )
                self.addCleanup(phone.close)
                phone.registered()
                phones.append(phone)
            alice, bob = phones
            alice.call("bob")
            bob.rings()
            bob.answer()
            alice.talks()
            alice.hears()
            bob.hears()
            bob.hang_up()
            alice.hung_up()
            alice.quit()
            bob.quit()
            running.wait_for(r"registration removed: bob@localhost")
        self.assertEqual(len(re.findall("registration created: alice@localhost at", running.output)), 3)
        self.assertEqual(len(re.findall(r"call sip:alice@\S+ -> sip:bob@\S+ 200 ", running.output)), 3)
        self.assertIn(running.stop(), (0, -signal.SIGTERM, 128 + signal.SIGTERM))
        again = self.demo()
        self.assertNotIn("password " + printed[0][1], again.output)
        phone = Baresip(self.folder, self.host(), "alice@localhost", line=lines[0], name="alice-again")
        self.addCleanup(phone.close)
        phone.registered()
