"""Secrets taken out of what is logged: by the name of a field, and by their shape inside any text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["REDACTED", "is_secret_name", "may_hold_secret", "redact"]

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(
    r"passw|passphrase|secret|token|ha1|authoriz|credential|nonce|api_?key|private_?key|rspauth|cookie"
    r"|ice_?pwd|(?:^|_)(?:response|identity|inline|pin|key|keys|pwd|auth)$",
    re.IGNORECASE,
)
_NOT_SECRET: Final = re.compile(
    r"^(?:p_)?(?:asserted|preferred)_identity$|^(?:cache|sort|config|dict)_key$", re.IGNORECASE
)

# Lower-case marks of a text that must be looked at closely: what _PATTERNS finds has one of them, or is a
# password in a URL or a SIP URI.
_MARKS: Final = (
    "authoriz", "identity", "crypto", "inline:", "key", "pass", "secret", "token", "ha1", "nonce", "response",
    "rspauth", "bearer", "digest ", "ice-pwd", "cookie",
)  # fmt: skip

# Blanks, with the folding of lines.
_FOLD: Final = r"(?:[ \t]|\r?\n[ \t]|\\r\\n[ \t]|\\n[ \t])*"

# The rest of a header's value: to the end of its line, with folded lines, whether the line end is a line end
# or is written as an escape. Nothing stands behind it, so no input makes it backtrack. (It is no possessive
# group because those are wrong in Python 3.11.2.)
_REST: Final = r"(?:[^\r\n\\]|\r?\n[ \t]+|\\r\\n[ \t]+|\\n[ \t]+|\\(?!r|n))*"


def _hide(match: re.Match[str]) -> str:
    return match[1] + REDACTED


_URL_PASSWORD: Final = re.compile(r"(://[^\s/:@?#]*+:)[^\s/@]++(?=@)")
_SIP_PASSWORD: Final = re.compile(r"(\b[sS][iI][pP][sS]?:[^\s:@;?<>,]++:)[^\s:@;?<>,/]++(?=@)")
# The same in lower-case text: a pattern that begins with fixed letters is found 10 times faster.
_SIP_PASSWORD_LOWERED: Final = re.compile(r"sips?:[^\s:@;?<>,]++:[^\s:@;?<>,/]++@")

_PATTERNS: Final = (
    *(
        re.compile(pattern, re.IGNORECASE)
        for pattern in (
            # Header values. P-Asserted-Identity and P-Preferred-Identity name callers and are no secrets.
            r"((?<![\w-])(?:(?:proxy-)?authorization|identity|(?:set-)?cookie|x-api-key)[ \t]*+:"
            + _FOLD
            + r")(?!\s|\\r|\\n|$)"
            + _REST,
            # The same values without their header's name.
            r"(\b(?:digest[ \t]++(?=\w++[ \t]*+=)|bearer[ \t]++(?=[\w+/=.~-]{16})))" + _REST,
            # Keys in SDP (RFC 4568 section 9.1, RFC 4567 section 3, RFC 8839 section 5.4).
            r"(a=(?:crypto|key-mgmt|ice-pwd):)[^\r\n\\]++",
            r"(\binline:)[\w+/=|:.^-]++",
            # name=value, name: value and "name": "value", when the name says that it is a secret.
            r"((?<![a-z\d-])(?:[a-z\d-]*+_)?(?:passw(?:ord|d)|passphrase|secret|token|ha1|c?nonce|nextnonce|response"
            r"|rspauth|api[_-]?key|private[_-]?key)s?+\\?[\"']?[ \t]*+[=:][ \t]*+)"
            r"(?:\\\"(?:[^\"\\]|\\[^\"])*(?:\\\")?|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s,;&\"')}]++)",
        )
    ),
    _URL_PASSWORD,
    _SIP_PASSWORD,
)


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a field of this name holds a secret whatever its value looks like."""
    return _SECRET_NAME.search(name) is not None and _NOT_SECRET.match(name) is None


def may_hold_secret(text: str) -> bool:
    """Tell fast that `redact` would leave `text` as it is (false), or that it has to look (true)."""
    lowered = text.lower()
    for mark in _MARKS:
        if mark in lowered:
            return True
    return "@" in lowered and (
        ("://" in lowered and _URL_PASSWORD.search(text) is not None)
        or _SIP_PASSWORD_LOWERED.search(lowered) is not None
    )


def redact(text: str) -> str:
    """Replace the secrets in `text`: credentials, PASSporTs, SRTP keys, passwords in URLs, `password=...`.

    The text may be of any length and from anywhere: no pattern backtracks.
    """
    if may_hold_secret(text):
        for pattern in _PATTERNS:
            text = pattern.sub(_hide, text)
    return text
