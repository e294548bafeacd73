"""Starts that fail: what is on standard error, what the exit status is, and what is left of the files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.test.hostile.server import Ended, own_host, run_role

__all__ = ["Case", "StartCase", "listening", "mounted"]

HOST = own_host()


class Case(NamedTuple):
    """A start that must fail."""

    words: str
    """What the line on standard error says, among other things."""
    config: str | None
    """TOML; None for no file."""
    prepare: Callable[[Path], object] = lambda folder: None
    """Puts into the folder what shall be there."""
    role: str = "proxy"
    early: bool = False
    """Whether it fails before anything is opened or made."""


def listening(*addresses: str, http: str = "unix:http.sock") -> str:
    """The first tables of a configuration."""
    listed = ", ".join(f'"{address}"' for address in addresses or (f"udp:{HOST}:0",))
    return f'[sip]\nlisten = [{listed}]\ndomains = ["example.test"]\n[http]\nlisten = "{http}"\n'


class StartCase(SynchronousTestCase):
    """Each start is one clear line on standard error, exit status 1, and no file is changed."""

    def folder(self) -> Path:
        """A new folder, which goes away with the test."""
        made = Path(tempfile.mkdtemp(prefix="rvoip-start-"))
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        return made

    def check(self, cases: Iterable[Case]) -> None:
        """Start them all, two at a time."""
        prepared = []
        for case in cases:
            folder = self.folder()
            case.prepare(folder)
            prepared.append((case, folder, contents(folder)))
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(lambda each: run_role(each[0].role, each[1], each[0].config), prepared))
        for (case, folder, before), end in zip(prepared, ended, strict=True):
            self.check_end(case, end)
            after = contents(folder)
            after.pop("rvoip.toml", None)
            for name, held in before.items():
                if name != "rvoip.toml":
                    self.assertEqual(after.get(name), held, f"{case.words}: {name} is not what it was")
            if case.early:
                self.assertEqual(after.keys() - before.keys(), set(), case.words)

    def check_end(self, case: Case, end: Ended) -> None:
        """One line that says it, and status 1."""
        self.assertEqual(end.status, 1, (case.words, end))
        self.assertEqual(len(end.err.splitlines()), 1, end)
        self.assertTrue(end.err.endswith("\n"), end)
        self.assertIn(case.words, end.err)
        self.assertTrue(end.err.isprintable() or end.err[:-1].isprintable(), end.err)
        self.assertLess(len(end.err), 400)
        if case.words:
            self.assertNotIn(case.words, end.out, "on a terminal it would be there twice")
        for word in ("Traceback", "Unhandled", "Error:"):
            self.assertNotIn(word, end.out + end.err)
        if case.early:
            self.assertEqual(end.out, "", case.words)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file with all that it holds."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system of its own at the folder; SkipTest where one may not mount."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        raise SkipTest("only root mounts file systems")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        raise SkipTest(f"mount: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
