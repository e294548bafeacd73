"""The configuration of docs/howto/route-to-gateways.md."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.test.docs.test_pages import page
from rvoip.test.proxy.scene import sip


class PageTests(TestCase):
    def setUp(self) -> None:
        text = page("howto/route-to-gateways.md")
        blocks = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        (rates,) = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        self.assertEqual(len(blocks), 4)
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "dispatcher.list").write_text("1 sip:192.0.2.30 0 0 duid=one;weight=2\n")
        (folder / "rates.csv").write_text(rates.replace("mobile", "sip:mobile.example"))
        path = folder / "rvoip.toml"
        path.write_text('[proxy]\nroute_file = "rates.csv"\n' + "".join(blocks))
        role = SIPRole(Clock(), "proxy", load(str(path), "proxy", {}), str(path), registrar=False, proxy=True)
        assert role.routing is not None
        self.routing = role.routing

    def test_routes(self) -> None:
        table = self.routing.router.rules.routes
        for number, expected in (
            ("0049301234", ["carriers", "carriers", "other.example"]),
            ("+491712345", ["mobile.example"]),
            ("+1", []),
        ):
            found = [one.route for one in table.find(sip(f"sip:{number}@example.test"), True)]
            names = [one.set_name or str(one.to).partition("sip:")[2].rstrip(">") for one in found]
            self.assertEqual(names, expected, number)
        (extension,) = table.find(sip("sip:+49301234517@example.test"), True)
        self.assertEqual(extension.groups, ("+49301234517", "17"))
        (first, *_) = table.find(sip("sip:+4930999@example.test"), True, "INVITE", "carrier")
        self.assertTrue(first.route.public)

    def test_gateways_and_peers(self) -> None:
        ids = [one["id"] for one in self.routing.gateways.gateways()]
        self.assertEqual(
            ids, ["carriers:gw1.carrier.example", "carriers:192.0.2.20:5080;transport=tcp", "1:one"]
        )
        self.assertEqual([one.name for one in self.routing.peers.peers], ["carrier", "office"])
        self.assertEqual(len(self.routing.router.rules.aliases), 2)
