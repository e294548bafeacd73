"""Transfers: Refer-To, Referred-By, and the dialogs that Replaces, Join and Target-Dialog name."""

from __future__ import annotations

import re

import attrs

from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params, format_params, head_and_params, is_token, take_text
from rvoip.protocols.sip.uri import SipURI, unescape

__all__ = [
    "Join",
    "ReferSub",
    "ReferTo",
    "ReferredBy",
    "Replaces",
    "TargetDialog",
    "parse_call_id",
    "parse_join",
    "parse_refer_sub",
    "parse_refer_to",
    "parse_referred_by",
    "parse_replaces",
    "parse_target_dialog",
]

_CALL_ID = re.compile(r"[^\x00-\x20;,\x7f]+\Z")


def parse_call_id(text: str) -> str:
    """A Call-ID as other headers name it, such as In-Reply-To: one word, as written."""
    if not _CALL_ID.match(text):
        raise SIPParseError("Bad Call-ID")
    return text


def _dialog(text: str, what: str) -> tuple[str, Params]:
    call_id, params = head_and_params(text)
    if not _CALL_ID.match(call_id):
        raise SIPParseError(f"Bad Call-ID in {what}")
    return call_id, params


def _tag(params: Params, name: str, what: str) -> str:
    tag = take_text(params, name)
    if tag is None or not is_token(tag):
        raise SIPParseError(f"Missing or bad {name} in {what}")
    return tag


@attrs.frozen
class Replaces:
    """A Replaces value (RFC 3891 section 6.1): the dialog to take over, tags as its receiver sees them."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        early = ";early-only" if self.early_only else ""
        tags = f";to-tag={self.to_tag};from-tag={self.from_tag}"
        return f"{self.call_id}{tags}{early}{format_params(self.params)}"


def parse_replaces(text: str) -> Replaces:
    """A Replaces value; `SIPParseError` when it is none or a tag is missing."""
    call_id, params = _dialog(text, "Replaces")
    to_tag, from_tag = _tag(params, "to-tag", "Replaces"), _tag(params, "from-tag", "Replaces")
    return Replaces(call_id, to_tag, from_tag, take_text(params, "early-only") is not None, params)


@attrs.frozen
class Join:
    """A Join value (RFC 3911 section 7.1): the dialog to join, tags as its receiver sees them."""

    call_id: str
    to_tag: str
    from_tag: str
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{format_params(self.params)}"


def parse_join(text: str) -> Join:
    """A Join value; `SIPParseError` when it is none or a tag is missing."""
    call_id, params = _dialog(text, "Join")
    return Join(call_id, _tag(params, "to-tag", "Join"), _tag(params, "from-tag", "Join"), params)


@attrs.frozen
class TargetDialog:
    """A Target-Dialog value (RFC 4538 section 7): a dialog of the receiver's that the sender knows."""

    call_id: str
    local_tag: str
    remote_tag: str
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        tags = f";local-tag={self.local_tag};remote-tag={self.remote_tag}"
        return f"{self.call_id}{tags}{format_params(self.params)}"


def parse_target_dialog(text: str) -> TargetDialog:
    """A Target-Dialog value; `SIPParseError` when it is none or a tag is missing."""
    call_id, params = _dialog(text, "Target-Dialog")
    local_tag = _tag(params, "local-tag", "Target-Dialog")
    return TargetDialog(call_id, local_tag, _tag(params, "remote-tag", "Target-Dialog"), params)


class ReferTo(NameAddr):
    """A Refer-To value (RFC 3515 section 2.1)."""

    __slots__ = ()

    @property
    def method(self) -> str:
        """The method that the referred-to URI asks for; INVITE when it names none."""
        uri = self.uri
        return (uri.param("method") if isinstance(uri, SipURI) else None) or "INVITE"

    @property
    def replaces(self) -> Replaces | None:
        """The Replaces header in the URI (attended transfer), or None; `SIPParseError` when malformed."""
        uri = self.uri
        if isinstance(uri, SipURI):
            for name, value in uri.headers:
                if unescape(name).lower() == "replaces":
                    return parse_replaces(unescape(value or ""))
        return None


def parse_refer_to(text: str) -> ReferTo:
    """A Refer-To value; `SIPParseError` when it is none."""
    parsed = parse_name_addr(text)
    return ReferTo(parsed.uri_text, parsed.display, parsed.params)


class ReferredBy(NameAddr):
    """A Referred-By value (RFC 3892 section 3)."""

    __slots__ = ()

    @property
    def cid(self) -> str | None:
        """The Content-ID of the referrer's signed token, without brackets, or None."""
        return self.param("cid")


def parse_referred_by(text: str) -> ReferredBy:
    """A Referred-By value; `SIPParseError` when it is none."""
    parsed = parse_name_addr(text)
    return ReferredBy(parsed.uri_text, parsed.display, parsed.params)


@attrs.frozen
class ReferSub:
    """A Refer-Sub value (RFC 4488 section 4): whether the REFER makes a subscription."""

    wanted: bool
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{'true' if self.wanted else 'false'}{format_params(self.params)}"


def parse_refer_sub(text: str) -> ReferSub:
    """A Refer-Sub value; `SIPParseError` when it is neither true nor false."""
    head, params = head_and_params(text)
    if head.lower() not in ("true", "false"):
        raise SIPParseError("Bad Refer-Sub")
    return ReferSub(head.lower() == "true", params)
