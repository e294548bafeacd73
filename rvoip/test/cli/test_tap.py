"""The files in tap/: what an operator copies is valid, complete and starts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SkipTest, TestCase

import rvoip
from rvoip.common.config_table import describe
from rvoip.services.config import ROLES, Config
from rvoip.test.cli.running import run

ROOT = Path(rvoip.__file__).parent.parent
TAP = ROOT / "tap"

# What a .tac makes, looked at where the reactor's clock may be changed by a role without harm.
LOOK = """
import sys
from twisted.application.service import IService, IServiceCollection, loadApplication
for path in sys.argv[1:]:
    application = loadApplication(path, "python")
    role, = IServiceCollection(application)
    print(IService(application).name, role.name, *[child.name for child in role])
"""


class TapTests(TestCase):
    """One of each for each role."""

    def setUp(self) -> None:
        if not TAP.exists():
            raise SkipTest("tap/ is in a checkout only")

    def test_there_is_one_of_each_for_each_role(self) -> None:
        wanted = {f"{role}.{end}" for role in ROLES for end in ("tac", "toml")}
        wanted |= {f"rvoip-{role}.{end}" for role in ROLES for end in ("service", "socket")}
        wanted.add("rvoip.logrotate")
        found = {path.name for path in TAP.iterdir() if path.is_file()}
        self.assertEqual(found, wanted)

    def test_the_configurations_are_right(self) -> None:
        for role in ROLES:
            file = str(TAP / f"{role}.toml")
            self.assertEqual(run("check", file, "--role", role), (0, f"{file}: ok\n", ""))

    def test_the_configurations_have_every_key(self) -> None:
        for role in ROLES:
            text = (TAP / f"{role}.toml").read_text(encoding="utf-8")
            present = _keys(text)
            for row in describe(Config):
                table = row.key.split(".")[0].removesuffix("[]")
                if table in ("proxy", "records") and role != "proxy":
                    continue
                self.assertIn(row.key.replace("[]", ""), present)

    def test_what_is_commented_out_would_be_right(self) -> None:
        for role in ROLES:
            text = (TAP / f"{role}.toml").read_text(encoding="utf-8")
            table = tomllib.loads(_uncommented(text))
            schema = {row.key.replace("[]", "") for row in describe(Config)}
            self.assertLessEqual(set(_flat(table, "")), schema, f"{role}.toml")

    def test_the_tac_files_make_the_roles(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", LOOK, *[str(TAP / f"{role}.tac") for role in ROLES]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        for role, line in zip(ROLES, done.stdout.splitlines(), strict=True):
            application, service, *children = line.split()
            self.assertEqual((application, service), (f"rvoip-{role}", f"rvoip-{role}"))
            self.assertLessEqual({"accounts", "location", "sip"}, set(children))

    def test_a_tac_file_takes_another_configuration(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", LOOK, str(TAP / "proxy.tac")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "RVOIP_CONFIG": "/nowhere/rvoip.toml"},
        )
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "/nowhere/rvoip.toml: cannot be read: No such file or directory\n")

    def test_the_units_run_commands_that_there_are(self) -> None:
        commands = {maker.tapname for maker in getPlugins(IServiceMaker)}
        for role in ROLES:
            text = (TAP / f"rvoip-{role}.service").read_text(encoding="utf-8")
            # With the limit that is usual a database that comes late would be the end of the role.
            unit, _, service = text.partition("[Service]")
            self.assertIn("StartLimitIntervalSec=0\n", unit)
            self.assertIn("Restart=on-failure\n", service)
            (start,) = re.findall(r"^ExecStart=\S+/twistd (.*)$", text, re.MULTILINE)
            self.assertEqual(
                start.split(),
                ["--nodaemon", "--pidfile=", f"rvoip-{role}", "--config", f"/etc/rvoip/{role}.toml"],
            )
            self.assertIn(f"rvoip-{role}", commands)
            for check in re.findall(r"^Exec(?:StartPre|Reload)=\S+/rvoip (.*)$", text, re.MULTILINE):
                file = str(TAP / f"{role}.toml")
                arguments = check.replace(f"/etc/rvoip/{role}.toml", file).split()
                self.assertEqual(run(*arguments).status, 0)

    def test_systemd_understands_the_units(self) -> None:
        verify = shutil.which("systemd-analyze")
        if verify is None:
            raise SkipTest("systemd is not here")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for role in ROLES:
            text = (TAP / f"rvoip-{role}.service").read_text(encoding="utf-8")
            unit = folder / f"rvoip-{role}.service"
            unit.write_text(re.sub(r"=/opt/rvoip/bin/\w+", "=/bin/true", text), encoding="utf-8")
            done = subprocess.run(
                [verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
            )
            ours = [line for line in done.stderr.splitlines() if unit.name in line]
            self.assertEqual(ours, [])


def _keys(text: str) -> set[str]:
    """The dotted names of all tables and keys of a file, those that are commented out too."""
    found = set()
    table = ""
    for line in text.splitlines():
        if match := re.fullmatch(r"(?:# )?\[\[?([a-z0-9_.]+)\]?\]", line):
            table = match[1]
            found.add(table)
        elif match := re.match(r"(?:# )?([a-z0-9_]+) = \S", line):
            found.add(f"{table}.{match[1]}")
    return found


def _uncommented(text: str) -> str:
    return re.sub(r"^# (\[|[a-z0-9_]+ = \S)", r"\1", text, flags=re.MULTILINE)


def _flat(value: object, prefix: str) -> list[str]:
    if isinstance(value, list):
        return [name for item in value if isinstance(item, dict) for name in _flat(item, prefix)]
    if not isinstance(value, dict):
        return []
    return [
        name for key, inner in value.items() for name in [f"{prefix}{key}", *_flat(inner, f"{prefix}{key}.")]
    ]
