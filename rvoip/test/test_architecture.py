"""The walls between the packages, and between values, machines and adapters, stand."""

from __future__ import annotations

import ast
import fnmatch
import json
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SkipTest, TestCase

import rvoip

ROOT = Path(rvoip.__file__).parent.parent

# Composition, commands, fakes and tests: no libraries, so the reactor is theirs to use.
NOT_LIBRARIES = ("rvoip/cli/", "rvoip/plugins/", "rvoip/services/", "rvoip/test/", "rvoip/testing/")

# Run in a fresh interpreter. Each module is imported in a fork of its own, which has of ours only what that
# module imports; what is third-party and known to be free of the reactor is imported once, before the forks.
PROBE = """
import contextlib, importlib, json, os, sys

clean = "alembic argon2 msgspec numpy OpenSSL sqlalchemy twisted.logger zope.interface"
for name in clean.split():
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
if any(name.partition(".")[0] == "rvoip" or name.startswith("twisted.internet") for name in sys.modules):
    sys.exit("the interpreter is not fresh")
for module in json.load(sys.stdin):
    if os.fork():
        os.wait()
        continue
    try:
        importlib.import_module(module)
        loaded = sorted(name for name in sys.modules if name.startswith("twisted.internet"))
        print(json.dumps({"module": module, "loaded": loaded}), flush=True)
    except BaseException as error:
        print(json.dumps({"module": module, "error": repr(error)}), flush=True)
    os._exit(0)
"""


class Probed(NamedTuple):
    """A module that was imported alone, the modules of twisted.internet it loaded, and how it failed."""

    module: str
    loaded: Sequence[str] = []
    error: str = ""


def in_checkout(path: str) -> Path:
    """A file that a checkout has and an installed package has not."""
    if not (ROOT / path).exists():
        raise SkipTest(f"{path} is in a checkout only")
    return ROOT / path


def adapter_patterns() -> list[str]:
    """The paths of ruff.toml where TID251 is off, as they stand there."""
    settings = tomllib.loads(in_checkout("ruff.toml").read_text(encoding="utf-8"))
    return [path for path, rules in settings["lint"]["per-file-ignores"].items() if "TID251" in rules]


def library_files() -> list[str]:
    """Every module of every library, as a path from the root of the checkout."""
    paths = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "rvoip").rglob("*.py"))
    return [path for path in paths if not path.startswith(NOT_LIBRARIES) and "/migrations/" not in path]


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def probe(modules: list[str], folder: Path = ROOT) -> list[Probed]:
    """Import each module alone; say what it loaded of twisted.internet, or how it failed."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(modules),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return [Probed(**json.loads(line)) for line in done.stdout.splitlines()]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter, with the contract type of this checkout, over the tree in `folder`."""
    command = (
        "import sys; sys.path.append(sys.argv[1]); import importlinter.cli as cli;"
        "sys.exit(cli.lint_imports(no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", command, str(ROOT)], cwd=folder, capture_output=True, text=True, check=False
    )


def write_tree(folder: Path, files: dict[str, str]) -> None:
    """Write each file, with an empty `__init__.py` in each folder on its way."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for parent in list(Path(name).parents)[:-1]:
            (folder / parent / "__init__.py").touch()


class MatrixTests(TestCase):
    """The contract of import-linter over the matrix of docs/architecture.md."""

    def test_the_tree_keeps_the_matrix(self) -> None:
        in_checkout(".importlinter")
        done = lint_imports(ROOT)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_bad_imports_break_the_contract(self) -> None:
        """Sideways, upwards, into a role, into an external package, and a package that nobody named."""
        tree = Path(self.mktemp())
        write_tree(
            tree,
            {
                "rvoip/auth/verify.py": "import rvoip.users.store\n",
                "rvoip/b2bua/call.py": "import numpy\nimport rvoip.protocols.dialog.agent\n",
                "rvoip/common/config.py": "",
                "rvoip/helpers/text.py": "import rvoip.common.config\n",
                "rvoip/plugins/screen.py": "import rvoip.proxy.proxy, rvoip.registrar.interfaces\n",
                "rvoip/protocols/dialog/agent.py": "from rvoip.protocols.sip import message\n",
                "rvoip/protocols/sip/message.py": "def late():\n    from rvoip.common import config\n",
                "rvoip/proxy/proxy.py": "import rvoip.protocols.sip.message, rvoip.common.config\n",
                "rvoip/registrar/interfaces.py": "",
                "rvoip/registrar/registrar.py": "import rvoip.services.proxy\n",
                "rvoip/services/proxy.py": "import rvoip.auth.verify, rvoip.proxy.proxy, numpy\n",
                "rvoip/users/store.py": "import numpy\n",
            },
        )
        (tree / ".importlinter").write_bytes(in_checkout(".importlinter").read_bytes())
        (tree / "docs").mkdir()
        (tree / "docs/architecture.md").write_bytes(in_checkout("docs/architecture.md").read_bytes())
        done = lint_imports(tree)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(
            [line for line in done.stdout.splitlines() if line.startswith("rvoip.")],
            [
                "rvoip.auth.verify (line 1) may not import rvoip.users.store",
                "rvoip.b2bua.call (line 1) may not import numpy",
                "rvoip.helpers: its package has no line in the matrix",
                "rvoip.helpers.text: its package has no line in the matrix",
                "rvoip.plugins.screen (line 1) may not import rvoip.proxy.proxy",
                "rvoip.protocols.sip.message (line 2) may not import rvoip.common.config",
                "rvoip.registrar.registrar (line 1) may not import rvoip.services.proxy",
            ],
        )


class AdapterTests(TestCase):
    """Only the modules that ruff.toml lists as adapters know the reactor's side of Twisted."""

    def test_values_and_machines_load_nothing_of_the_reactor(self) -> None:
        patterns = adapter_patterns()
        modules = [
            dotted(path)
            for path in library_files()
            if not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)
        ]
        found = probe(modules)
        self.assertEqual([each.module for each in found], modules)
        bad = {
            each.module: each.error or f"loads {each.loaded[-1]}"
            for each in found
            if each.error or each.loaded
        }
        self.assertEqual(bad, {})

    def test_interfaces_load_no_reactor(self) -> None:
        modules = [dotted(path) for path in library_files() if path.endswith("/interfaces.py")]
        found = probe(modules)
        self.assertEqual([each.module for each in found], modules)
        bad = [each for each in found if each.error or "twisted.internet.reactor" in each.loaded]
        self.assertEqual(bad, [])

    def test_the_probe_sees_what_it_is_for(self) -> None:
        """A module that reaches twisted.internet by way of another is found, and so is one that fails."""
        tree = Path(self.mktemp())
        write_tree(
            tree,
            {
                "rvoip/a/adapter.py": "import twisted.internet.defer\n",
                "rvoip/a/fails.py": "1 / 0\n",
                "rvoip/a/machine.py": "import rvoip.a.adapter\n",
                "rvoip/a/value.py": "import json\n",
            },
        )
        machine, fails, value = probe(["rvoip.a.machine", "rvoip.a.fails", "rvoip.a.value"], tree)
        self.assertIn("twisted.internet.defer", machine.loaded)
        self.assertIn("ZeroDivisionError", fails.error)
        self.assertEqual(value, Probed("rvoip.a.value"))

    def test_no_library_takes_the_global_reactor(self) -> None:
        """The reactor is an argument; only a role takes it from Twisted."""
        found = []
        for path in library_files():
            for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
                match node:
                    case ast.Import(names=names):
                        taken = any(name.name == "twisted.internet.reactor" for name in names)
                    case ast.ImportFrom(module="twisted.internet", names=names):
                        taken = any(name.name == "reactor" for name in names)
                    case ast.ImportFrom(module="twisted.internet.reactor"):
                        taken = True
                    case _:
                        continue
                if taken:
                    found.append(f"{path}:{node.lineno}")
        self.assertEqual(found, [])

    def test_the_list_of_adapters_is_exact(self) -> None:
        """Single files, in alphabetical order, each of which exists."""
        listed = [
            path
            for path in adapter_patterns()
            if path.startswith("rvoip/")
            and not path.startswith(NOT_LIBRARIES)
            and path != "rvoip/**/interfaces.py"
        ]
        self.assertEqual(listed, sorted(listed))
        self.assertEqual([path for path in listed if not (ROOT / path).is_file()], [])
