"""sipsak: one command, one answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rvoip.test.interop.processes import peer, run

__all__ = ["sipsak"]


def sipsak(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run sipsak to its end."""
    return run([peer("sipsak"), *arguments], folder)
