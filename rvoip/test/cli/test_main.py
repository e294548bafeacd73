"""The command as a whole: its subcommands, and the way in which it fails."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import TestCase

import rvoip
from rvoip.cli import main as command
from rvoip.cli.errors import CommandError
from rvoip.common.errors import ConfigError, StartError
from rvoip.test.cli.running import run


class CommandLineTests(TestCase):
    """What is typed."""

    def test_version(self) -> None:
        self.assertEqual(run("--version"), (0, f"rvoip {rvoip.__version__}\n", ""))

    def test_help_names_every_subcommand(self) -> None:
        status, out, _ = run("--help")
        self.assertEqual(status, 0)
        for name in command.COMMANDS:
            self.assertIn(f"    {name} ", out)

    def test_every_subcommand_has_help(self) -> None:
        for name in command.COMMANDS:
            status, out, err = run(name, "--help")
            self.assertEqual((status, err), (0, ""), name)
            self.assertIn(f"usage: rvoip {name}", out)

    def test_every_module_is_a_subcommand_or_shared(self) -> None:
        folder = Path(command.__file__).parent
        modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        shared = {"actions", "main", "errors", "output", "options", "api", "selfsigned", "user_limits"}
        self.assertEqual(modules - shared, set(command.COMMANDS))

    def test_a_mistake_is_one_line_and_status_2(self) -> None:
        for arguments, reason in [
            ((), "rvoip: the following arguments are required: SUBCOMMAND; see rvoip --help"),
            (("user",), "rvoip user: the following arguments are required: ACTION; see rvoip user --help"),
            (("user", "list", "--jso"), "rvoip: unrecognized arguments: --jso; see rvoip --help"),
            (
                ("status", "--interval", "0"),
                "rvoip status: argument --interval: 0 is no number of seconds from 0.1 to 3600;"
                " see rvoip status --help",
            ),
        ]:
            self.assertEqual(run(*arguments), (2, "", f"{reason}\n"), arguments)
        status, out, err = run("nonsense\x1b[2J")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("invalid choice", err)
        self.assertNotIn("\x1b", err)
        self.assertEqual(err.count("\n"), 1)

    def test_one_subcommand_does_not_load_the_others(self) -> None:
        code = (
            "import sys; from rvoip.cli.main import main; status = main(['--version']);"
            "sys.exit(status or any(name.startswith('sqlalchemy') for name in sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(rvoip.__file__).parent.parent,
            capture_output=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_console_script_is_this_function(self) -> None:
        setup = Path(rvoip.__file__).parent.parent / "setup.cfg"
        if setup.exists():
            self.assertIn("rvoip = rvoip.cli.main:main\n", setup.read_text(encoding="utf-8"))


class FailureTests(TestCase):
    """What goes wrong inside a subcommand."""

    def fail_with(self, error: BaseException) -> tuple[int, str, str]:
        def raise_it(args: object) -> int:
            raise error

        with mock.patch.object(import_module("rvoip.cli.status"), "_run", raise_it):
            return run("status")

    def test_each_error_is_one_line_and_status_1(self) -> None:
        for error, line in [
            (CommandError("no\nway\x1b"), "no\\nway\\x1b"),
            (
                ConfigError("f.toml", "sip.t1", "is no number", "give one"),
                "f.toml: sip.t1: is no number; give one",
            ),
            (StartError("port in use"), "port in use"),
        ]:
            self.assertEqual(self.fail_with(error), (1, "", f"{line}\n"))

    def test_an_interrupt_says_nothing(self) -> None:
        self.assertEqual(self.fail_with(KeyboardInterrupt()), (130, "", ""))

    def test_a_full_disk_is_one_line(self) -> None:
        for arguments in (["check", "--defaults"], ["completion", "bash"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [sys.executable, "-m", "rvoip.cli.main", *arguments],
                    stdout=full,
                    stderr=subprocess.PIPE,
                    env={**os.environ, "PYTHONPATH": str(Path(rvoip.__file__).parent.parent)},
                    timeout=30,
                    check=False,
                )
            self.assertEqual((done.returncode, done.stderr), (1, b"output: No space left on device\n"))

    def test_a_reader_that_leaves_is_no_error_to_talk_about(self) -> None:
        read, write = os.pipe()
        os.close(read)
        with open(write, "w", encoding="utf-8") as closed, mock.patch("sys.stdout", closed):
            err = io.StringIO()
            with mock.patch("sys.stderr", err):
                self.assertEqual(command.main(["check", "--defaults"]), 1)
            self.assertEqual(err.getvalue(), "")
            closed.write("goes nowhere")
