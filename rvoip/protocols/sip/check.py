"""What every element refuses before it looks closer (RFC 3261 sections 8.2.2 and 16.3).

Parsing only splits; this is where a message's mandatory parts are read, so that whoever gets it may
use them without care. RFC 4475 decides what passes.
"""

from __future__ import annotations

import re

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Message, Request, Response
from rvoip.protocols.sip.names import SINGLE, display_name
from rvoip.protocols.sip.reader import DEFAULT_LIMITS, KNOWN_METHODS, Limits
from rvoip.protocols.sip.uri import SipURI

__all__ = ["KNOWN_METHODS", "check"]

# Whatever matches, `parse_name_addr` reads without an error.
_PLAIN_ADDRESS = re.compile(
    r"[^\x00-\x08\x0a-\x1f<>\",;\x7f]*<[!#-;=?-~]+>"
    r"(?:;[A-Za-z0-9\-.!%*_+`'~]+(?:=[A-Za-z0-9\-.!%*_+`'~:\[\]@/]+)?)*\Z"
).match

_MANDATORY = ("via", "from", "to", "call-id", "cseq")


def check(message: Request | Response, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raise `SIPParseError` for a message that no element may process; its ``message`` is set.

    A request must be answered with the error's status; a response is dropped.
    """
    try:
        _check(message, limits)
    except SIPParseError as error:
        if error.message is None:
            error.message = message
        raise


def _check(message: Request | Response, limits: Limits) -> None:
    names = message.names
    for name in _MANDATORY:
        if name not in names:
            raise SIPParseError(f"Missing {display_name(name)}")
    if len(set(names)) != len(names):
        _check_repeats(message, limits)
    cseq = message.cseq
    if message.via.params.get("branch") == "" or not message.call_id:
        raise SIPParseError("Empty Via branch or Call-ID")
    # Reading the two addresses finds open quotes and brackets (RFC 4475 section 3.1.2.6).
    if not _plain_address(message, "from"):
        message.from_  # noqa: B018
    if not _plain_address(message, "to"):
        message.to  # noqa: B018
    if isinstance(message, Request):
        if cseq.method != message.method:
            # RFC 4475 section 3.1.2.18: an unknown method is answered as such.
            known = message.method in KNOWN_METHODS
            raise SIPParseError("CSeq method does not match", 400 if known else 501)
        if "max-forwards" in names and message.lines[names.index("max-forwards")] != "Max-Forwards: 70":
            message.number("max-forwards", 2**32 - 1)
        if "contact" in names and (names.count("contact") > 1 or not _plain_address(message, "contact")):
            message.contacts  # noqa: B018  extraneous separators in Contact (RFC 4475 section 3.1.2.1)
        uri = message.uri
        if isinstance(uri, SipURI) and uri.headers:
            raise SIPParseError("Request-URI with headers")  # RFC 4475 section 3.1.2.11


def _plain_address(message: Message, name: str) -> bool:
    """Whether the header is of the common form, a bracketed address and plain parameters."""
    return _PLAIN_ADDRESS(message.lines[message.names.index(name)]) is not None


def _check_repeats(message: Message, limits: Limits) -> None:
    names = message.names
    # In the order of the message: what is answered must not change from one process to the next.
    for name in dict.fromkeys(names):
        count = names.count(name)
        if count == 1:
            continue
        if name in SINGLE:
            if name == "content-length" and len(set(message.get_all(name))) == 1:
                continue
            raise SIPParseError(f"More than one {display_name(name)}")
    if names.count("via") > limits.vias or names.count("route") > limits.routes:
        raise SIPParseError("Too many Via or Route values")
