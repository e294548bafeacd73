"""Lines about certificates that expire."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from rvoip.services.certificates import certificate_ends, warn_of_expiry
from rvoip.services.config import Config, load
from rvoip.test.services.roles import RoleCase
from rvoip.testing.certificates import Authority

DAY = timedelta(days=1)


class CertificateTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority()
        self.lines: list[str] = []

        def note(event: LogEvent) -> None:
            if event.get("log_namespace") == "rvoip.services.certificates":
                self.lines.append(formatEvent(event))

        observer = cast(ILogObserver, note)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def issue(self, stem: str, days: float) -> str:
        """A certificate that is good for another `days`, as the lines of a table."""
        issued = self.authority.issue("example.test", valid_from=-10 * DAY, valid_for=(10 + days) * DAY)
        certificate, key = issued.write(self.folder, stem)
        return f'certificate = "{certificate}"\nprivate_key = "{key}"\n'

    def config(self, text: str) -> Config:
        file = self.folder / "certificates.toml"
        file.write_text(text)
        return load(str(file), "proxy", {})

    def test_which(self) -> None:
        """SIP's, those of names, and HTTP's; those that last are not worth a line."""
        text = f"[tls]\n{self.issue('old', -3)}"
        text += f'[[tls.name]]\nname = "a.test"\n{self.issue("soon", 5.5)}'
        text += f'[[tls.name]]\nname = "b.test"\n{self.issue("fine", 15)}'
        text += f'[http]\nlisten = "none"\n{self.issue("http", 13.5)}'
        warn_of_expiry(self.config(text), datetime.now(UTC).timestamp())
        told = [line.replace(f"{self.folder}/", "") for line in self.lines]
        self.assertEqual(len(told), 3)
        self.assertRegex(told[0], r"^The certificate old.pem has expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC$")
        self.assertRegex(told[1], r"^The certificate soon.pem expires on .*, in 5 days$")
        self.assertRegex(told[2], r"^The certificate http.pem expires on .*, in 13 days$")

    def test_unreadable(self) -> None:
        """Others complain of that."""
        broken = self.folder / "broken.pem"
        broken.write_bytes(b"\xff")
        for name in ("broken.pem", "missing.pem"):
            config = self.config(f'[tls]\ncertificate = "{name}"\nprivate_key = "x"\n')
            self.assertEqual(certificate_ends(config), {})
            warn_of_expiry(config, 0.0)
        self.assertEqual(self.lines, [])

    def test_a_role(self) -> None:
        """At the start, after a reload, and in the metrics."""
        role = self.run_role(f"[tls]\n{self.issue('server', 3.5)}")
        self.assertEqual([line[-9:] for line in self.lines], ["in 3 days"])
        metrics = self.client.ask("GET", "/metrics").body.decode()
        end = certificate_ends(role.config)[str(self.folder / "server.pem")].timestamp()
        (line,) = re.findall(r'^rvoip_proxy_certificate_end_seconds{file="(.*)"} (.*)$', metrics, re.M)
        self.assertEqual((line[0], float(line[1])), (str(self.folder / "server.pem"), end))
        self.issue("server", 90)
        role.reload()
        self.assertEqual(len(self.lines), 1)
        self.issue("server", -1)
        role.reload()
        self.assertIn("has expired", self.lines[1])
        self.assertTrue(Path(role.path or "").exists())
