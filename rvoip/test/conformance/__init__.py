"""Messages and vectors of the standards, read from the folder that CONFORMANCE_DIR names.

The tests beside this send them, and what else the standards ask for, to running roles.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

GIVEN = "CONFORMANCE_DIR" in os.environ
"""Whether there is such a folder. Modules drop their tests without one; test_conformance.py says so once."""

FOLDER = Path(os.environ.get("CONFORMANCE_DIR", "."))


def messages(folder: str) -> list[dict[str, Any]]:
    """What the index of a folder says of its messages: dictionaries with at least ``file``."""
    index = json.loads((FOLDER / folder / "index.json").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = index["messages"]
    return found


def octets(folder: str, file: str) -> bytes:
    """The octets of one message."""
    return (FOLDER / folder / file).read_bytes()
