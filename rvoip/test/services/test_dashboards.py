"""The Grafana board and the alert rules: they can be read, and name only what the roles expose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from twisted.trial.unittest import SkipTest

import rvoip
from rvoip.test.services.roles import RoleCase

TAP = Path(rvoip.__file__).parent.parent / "tap"

ALL = """
[registrar]
authenticate = false
[records]
csv = "calls.csv"
[events]
url = "http://hook.example.test"
[[proxy.gateway_set]]
name = "pstn"
gateways = ["sip:10.9.9.1"]
"""

_METRIC = re.compile(r"\b((?:rvoip|process)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?")
_BY = re.compile(r"\bby \(([a-z, ]+)\)")
_LABEL = re.compile(r'([a-z_]+)(?:=~|!~|!=|=)"')

OF_PROMETHEUS = {"instance", "job"}


class DashboardTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        if not TAP.exists():
            raise SkipTest("tap/ is in a checkout only")
        self.known: dict[str, set[str]] = {"up": set()}
        for name in ("proxy", "registrar"):
            role = self.make(ALL, name)
            for family in role.http.metrics.registry.collect():
                labels = set(getattr(family, "_labelnames", ()))
                for sample in family.samples:
                    labels |= set(sample.labels)
                suffix = "_total" if family.type == "counter" else ""
                self.known[family.name + suffix] = labels

    def check(self, expression: str) -> None:
        """Metrics and labels of an expression are ours."""
        found = _METRIC.findall(expression)
        self.assertTrue(found, expression)
        labels: set[str] = set()
        for name, selector in found:
            self.assertIn(name, self.known, expression)
            labels |= self.known[name]
            used = set(_LABEL.findall(selector))
            self.assertLessEqual(used, self.known[name] | OF_PROMETHEUS, expression)
        for by in _BY.findall(expression):
            self.assertLessEqual({one.strip() for one in by.split(",")}, labels | OF_PROMETHEUS, expression)
        self.assertEqual(expression.count("("), expression.count(")"), expression)
        self.assertEqual(expression.count("{"), expression.count("}"), expression)

    def test_board(self) -> None:
        board = json.loads((TAP / "grafana" / "rvoip.json").read_text("utf-8"))
        panels = [panel for panel in board["panels"] if panel["type"] != "row"]
        self.assertGreater(len(panels), 20)
        self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))
        for panel in panels:
            self.assertTrue(panel["title"])
            for target in panel["targets"]:
                self.check(target["expr"])
        variables = {one["name"] for one in board["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z_]+)\}?", json.dumps(board))) - {"__rate_interval", "__all"}
        self.assertEqual(used, variables)

    def test_panels_do_not_overlap(self) -> None:
        board = json.loads((TAP / "grafana" / "rvoip.json").read_text("utf-8"))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            self.assertTrue(place["x"] + place["w"] <= 24 and not cells & taken, panel["title"])
            taken |= cells

    def rules(self) -> Iterator[dict[str, Any]]:
        found = yaml.safe_load((TAP / "prometheus" / "rules.yml").read_text("utf-8"))
        for group in found["groups"]:
            yield from group["rules"]

    def test_rules(self) -> None:
        names = set()
        for rule in self.rules():
            self.check(rule["expr"])
            names.add(rule["alert"])
            self.assertIn(rule["labels"]["severity"], ("info", "warning", "critical"))
            summary = rule["annotations"]["summary"]
            self.assertIn("{{ $labels.instance }}", summary)
            self.assertEqual(summary.count("{{"), summary.count("}}"))
            self.assertRegex(rule.get("for", "1m"), r"^\d+[smh]$")
        self.assertEqual(len(names), len(list(self.rules())))
