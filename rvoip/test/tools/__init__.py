"""Tests of the scripts in tools/, which only a checkout has."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SkipTest

import rvoip

TOOLS = Path(rvoip.__file__).parent.parent / "tools"


def load(name: str) -> ModuleType:
    """Import tools/NAME.py by its path, or skip where there is no checkout."""
    path = TOOLS / f"{name}.py"
    if not path.exists():
        raise SkipTest(f"tools/{name}.py is in a checkout only")
    spec = importlib.util.spec_from_file_location(f"rvoip_tools_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))  # as it is for a command: some import what stands beside them
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
