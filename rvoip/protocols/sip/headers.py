"""The typed value of each header: one table from names to parsers (RFC 3261 section 20 and extensions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rvoip.protocols.sip.address import parse_cseq, parse_name_addr

if TYPE_CHECKING:
    from collections.abc import Callable

    from rvoip.protocols.sip.message import Message

PARSERS: dict[str, Callable[[str], Any]] = {"cseq": parse_cseq, "from": parse_name_addr, "to": parse_name_addr}


def parse_header(message: Message, name: str) -> Any:
    """The typed value of `name` in `message`: a list for headers of several values, else one or None."""
    values = message.values(name)
    parser = PARSERS.get(name, str)
    return [parser(value) for value in values]
