"""Classes that the configuration names: whatever their modules do is one line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.errors import ConfigError
from rvoip.services.named import imported, making, named_class

_MODULES = {
    "raises": "raise RuntimeError('no database')",
    "leaves": "import sys\nsys.exit(3)",
    "leaves_well": "raise SystemExit",
    "malformed": "class Own:\n  x = = 1\n",
    "empty": "",
    "other": "Own = 3\n",
    "right": "class Own(dict):\n    pass\n",
    "silent": "assert False",
}


class NamedTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        for name, text in _MODULES.items():
            (folder / f"named_{name}.py").write_text(text, encoding="utf-8")
        self.patch(sys, "path", [str(folder.absolute()), *sys.path])
        importlib.invalidate_caches()
        self.addCleanup(lambda: [sys.modules.pop(f"named_{name}", None) for name in _MODULES])

    def test_modules_that_cannot_be_used(self) -> None:
        for module, words in (
            ("raises", "cannot be imported: RuntimeError: no database ("),
            ("raises", "named_raises.py, line 1)"),
            ("leaves", "cannot be imported: it calls sys.exit(3) ("),
            ("leaves_well", "cannot be imported: it calls sys.exit(None) ("),
            ("malformed", "named_malformed.py, line 2)"),
            ("empty", "has no attribute 'Own'"),
            ("silent", "cannot be imported: AssertionError ("),
            ("other", "is no subclass of builtins.dict"),
            ("missing", "No module named 'named_missing'"),
        ):
            error = self.assertRaises(
                ConfigError, named_class, f"named_{module}.Own", dict, "x.toml", "service.class"
            )
            self.assertTrue(str(error).startswith("x.toml: service.class: 'named_"), str(error))
            self.assertIn(words, str(error))
            self.assertNotIn("\n", str(error))

    def test_a_class(self) -> None:
        self.assertEqual(named_class("named_right.Own", dict, "f", "k").__name__, "Own")
        self.assertEqual(imported("named_other.Own", "f", "k"), 3)

    def test_what_fails_while_it_is_made(self) -> None:
        def make(error: BaseException, name: str = "a.B") -> None:
            with making(name, "f", "k"):
                raise error

        for error, words in (
            (TypeError("takes no arguments"), "f: k: 'a.B' cannot be made: takes no arguments"),
            (SystemExit(0), "f: k: 'a.B' cannot be made: it calls sys.exit(0) ("),
            (OSError("gone"), "f: k: 'a.B' cannot be made: OSError: gone ("),
        ):
            self.assertTrue(str(self.assertRaises(ConfigError, make, error)).startswith(words))
        told = ConfigError("f", "other", "reason")
        self.assertIs(self.assertRaises(ConfigError, make, told), told)
        self.assertRaises(TypeError, make, TypeError("ours"), "")  # a mistake of ours is shown as it is
