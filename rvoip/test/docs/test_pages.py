"""The guides name what there is: every command and option, every call of the API, every metric."""

from __future__ import annotations

import argparse
import io
import re
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, TestCase

import rvoip
from rvoip.cli.main import make_parser
from rvoip.services.compose import SIPRole
from rvoip.services.config import ROLES, load

DOCS = Path(rvoip.__file__).parent.parent / "docs"


def page(name: str) -> str:
    """The text of a page, or a skip where there is no checkout."""
    path = DOCS / name
    if not path.exists():
        raise SkipTest("docs/ is in a checkout only")
    return path.read_text(encoding="utf-8")


def role(name: str) -> SIPRole:
    """A role as it is without a configuration, not started."""
    config = load(None, name, {})
    return SIPRole(Clock(), name, config, None, registrar=name == "registrar", proxy=name == "proxy")


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """All parsers below one that take arguments of their own."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for action in inner:
        for subparser in action.choices.values():
            yield from commands(subparser)


class CommandTests(TestCase):
    """docs/reference/commands.md."""

    def test_every_command_and_option(self) -> None:
        text = page("reference/commands.md")
        for command in commands(make_parser()):
            self.assertIn(command.prog, text)
            for action in command._actions:
                for option in action.option_strings:
                    if option.startswith("--") and option != "--help":
                        self.assertIn(f"{option}", text, command.prog)

    def test_every_command_line_can_be_read(self) -> None:
        """Those in the guides that are one line of a shell, without what only a shell understands."""
        pages = ("reference/commands.md", *[f"howto/{path.name}" for path in (DOCS / "howto").glob("*.md")])
        parser = make_parser()
        seen = 0
        for line in "\n".join(map(page, pages)).splitlines():
            found = re.search(r"(?:^|\| |; |\.\.\. |&& |\()(rvoip [a-z][^&|>#<)`]*)", line)
            if found is None or line.startswith("|"):
                continue
            words = found[1].replace("[", "").replace("]", "").replace("SECONDS", "2").split()
            with mock.patch("sys.stderr", io.StringIO()) as said:
                try:
                    parser.parse_args(words[1:])
                except SystemExit:
                    self.fail(f"{line}\n{said.getvalue()}")
            seen += 1
        self.assertGreater(seen, 15)


class RoleTests(TestCase):
    """docs/roles/."""

    def test_every_metric(self) -> None:
        text = page("roles/proxy.md")
        for name in ROLES:
            body, _ = role(name).http.metrics.expose()
            prefix = f"rvoip_{name}_"
            metrics = re.findall(r"^# TYPE (\S+)", body.decode(), re.MULTILINE)
            ours = [metric.removeprefix(prefix) for metric in metrics if metric.startswith(prefix)]
            self.assertGreater(len(ours), 15)
            for metric in ours:
                self.assertRegex(text, rf"`{metric}(\{{[a-z,]+\}})?`", name)

    def test_every_call(self) -> None:
        text = page("roles/proxy.md")
        for name in ROLES:
            for route in role(name).http.api.routes:
                rows = [
                    line for line in text.splitlines() if f"{route.path}`" in line or f"{route.path}?" in line
                ]
                self.assertTrue(any(route.method in row for row in rows), f"{route.method} {route.path}")
