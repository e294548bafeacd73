"""What all lines share: fields apart by spaces, numbers of ASCII digits, quoting for errors."""

from __future__ import annotations

from rvoip.protocols.sdp.errors import SDPError

MAX_64_BIT = 2**64 - 1


def quote(text: str) -> str:
    """Text from a peer as it may stand in an error or a log line: ASCII, escaped, 40 characters of it."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")


def number(text: str, what: str, maximum: int = MAX_64_BIT, minimum: int = 0) -> int:
    """The value of a string of ASCII digits.

    `int` alone would also take "1_0", " 1", "+1" and Arabic digits, and would raise ValueError of its own on
    4301 digits.
    """
    if len(text) <= 20 and text.isascii() and text.isdigit():
        value = int(text)
        if minimum <= value <= maximum:
            return value
    raise SDPError(f"{what} is not a number from {minimum} to {maximum}: {quote(text)}")


def decimal(text: str, what: str, maximum: float) -> float:
    """The value of `integer [ "." digits ]` above zero (RFC 8866 section 9, non-zero-int-or-real)."""
    whole, point, fraction = text.partition(".")
    digits = whole + fraction if point else whole
    if whole and (fraction or not point) and len(digits) <= 20 and digits.isascii() and digits.isdigit():
        value = float(text)
        if 0 < value <= maximum:
            return value
    raise SDPError(f"{what} is not a number above 0 and up to {maximum:g}: {quote(text)}")


def fields(text: str) -> list[str]:
    """The fields of a line that stand apart by spaces; runs of spaces count as one.

    Only the space (0x20) separates: `str.split()` would also cut at NBSP, FS, NEL and the line separators.
    """
    return [field for field in text.split(" ") if field]


def words(text: str, what: str) -> list[str]:
    """Like `fields`, of a value that is printable ASCII throughout."""
    if not (text.isascii() and text.isprintable()):
        raise SDPError(f"{what} has a character that is not printable ASCII: {quote(text)}")
    return [field for field in text.split(" ") if field]
