"""Text that is safe to show on one line of a terminal or a log."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["UNPRINTABLE", "is_plain", "printable", "shorten"]

UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: ESC starts terminal sequences, CSI (U+009B) does so alone
    "\u00ad\u061c\u180e\u200b-\u200f"  # soft hyphen, zero-width characters, directional marks
    "\u2028-\u202e\u2060-\u206f"  # line and paragraph separators, bidi embeddings, overrides and isolates
    "\ufeff\ufff9-\ufffb\ud800-\udfff"  # byte order mark, interlinear marks, lone surrogates
    "\U000e0000-\U000e007f]"  # tags: invisible copies of ASCII
)
"""One character that moves a cursor, ends a line, reorders or hides text, or cannot be encoded."""

_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def is_plain(text: str) -> bool:
    """Tell whether `text` has no character that `printable` would escape."""
    # isprintable() is true only of characters that UNPRINTABLE leaves alone, and is 40 times faster.
    return text.isprintable() or UNPRINTABLE.search(text) is None


def printable(text: str) -> str:
    r"""Escape what could end a line, drive a terminal or reorder text: a newline becomes `\` and `n`.

    A backslash stays as it is, so the result is for reading, not for decoding.
    """
    return text if text.isprintable() else UNPRINTABLE.sub(_escape, text)


def shorten(text: str, limit: int) -> str:
    """Cut `text` to `limit` characters and say how many are gone."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}...(+{len(text) - limit})"
