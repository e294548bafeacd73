"""The import format: one ``user:domain:password`` a line, read as a stream."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from rvoip.users.accounts import check_domain, check_password, check_user, join_aor
from rvoip.users.errors import AccountError

__all__ = ["MAX_LINE", "parse_line", "read_lines"]

#: Bytes; more than the longest user, domain and password together.
MAX_LINE = 4096


def read_lines(lines: Iterable[bytes]) -> Iterator[tuple[str, str, str]]:
    """(user, domain, password) of each line that is neither blank nor a comment (``#`` first).

    `lines` is a file opened for bytes or any iterable of lines; a byte order mark before the first is taken
    off, since editors put it there unseen. AccountError names the line that is wrong, or that names an
    account a second time.
    """
    first: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        try:
            parsed = parse_line(line)
        except AccountError as error:
            raise AccountError(f"line {number}: {error.reason}") from None
        if parsed is None:
            continue
        known = first.setdefault(parsed[:2], number)
        if known != number:
            raise AccountError(f"line {number}: {join_aor(*parsed[:2])} is in line {known} already")
        yield parsed


def parse_line(line: bytes) -> tuple[str, str, str] | None:
    """(user, domain, password), checked; None for a blank line or a comment.

    The password is everything behind the second colon and may contain more of them; a domain that is an IPv6
    address stands in brackets. One line end, LF or CR LF, is taken off and nothing else.
    """
    if len(line) > MAX_LINE:
        raise AccountError(f"is longer than {MAX_LINE} bytes")
    try:
        text = line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise AccountError("is not UTF-8") from None
    if not text or text.isspace() or text.startswith("#"):
        return None
    user, colon, rest = text.partition(":")
    if rest.startswith("["):
        domain, bracket, rest = rest.partition("]")
        domain += bracket
        second, password = rest[:1], rest[1:]
        if second != ":":
            second = ""
    else:
        domain, second, password = rest.partition(":")
    if not (colon and second):
        raise AccountError("is not of the form user:domain:password")
    return check_user(user), check_domain(domain), check_password(password)
