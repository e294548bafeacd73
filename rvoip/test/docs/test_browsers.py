"""The configuration of docs/howto/browsers.md, as a server reads it."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.transport.handshake import PATHS
from rvoip.services.config import load
from rvoip.services.config_rules import listen_addresses
from rvoip.test.docs.test_school_registrar import ROOT

PAGE = ROOT / "docs" / "howto" / "browsers.md"


class BrowserTests(SynchronousTestCase):
    def test_the_configuration_is_right(self) -> None:
        found = re.search(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)
        assert found is not None
        file = Path(self.mktemp())
        file.write_text(found[1], "utf-8")
        config = load(str(file), "proxy", {})
        transports = [one.transport for one in listen_addresses(config, str(file))]
        self.assertEqual(transports, ["UDP", "TLS", "WSS", "WS"])
        self.assertEqual(config.sip.ws_origins, ["https://phone.example.net"])

    def test_the_paths_are_named(self) -> None:
        text = PAGE.read_text("utf-8")
        for path in PATHS:
            self.assertIn(f"`{path}`", text)
