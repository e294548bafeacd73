"""What a party can do or wants of the far end (RFC 3261, RFC 3841, RFC 6809, RFC 6086)."""

from __future__ import annotations

import attrs

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import Params, format_params, head_and_params, is_token, take_text, unquote

__all__ = [
    "ContactPredicate",
    "FeatureCaps",
    "InfoPackage",
    "parse_contact_predicate",
    "parse_feature_caps",
    "parse_info_package",
    "parse_method",
    "parse_option_tag",
]


def parse_option_tag(text: str) -> str:
    """One option tag of Supported, Require, Proxy-Require or Unsupported, as written.

    Tags are compared without case; Unsupported repeats them as they came (RFC 3261 section 8.2.2.3).
    """
    if not is_token(text):
        raise SIPParseError("Bad option tag")
    return text


def parse_method(text: str) -> str:
    """One method of Allow; methods are compared with case (RFC 3261 section 7.1)."""
    if not is_token(text):
        raise SIPParseError("Bad method")
    return text


@attrs.frozen
class ContactPredicate:
    """An Accept-Contact or Reject-Contact value (RFC 3841 sections 9.1 and 9.2).

    ``features`` are the feature parameters of RFC 3840 with values as written, quotes included.
    """

    features: Params = attrs.field(factory=dict)
    require: bool = False
    explicit: bool = False

    def feature(self, name: str) -> str | None:
        """A feature unquoted; "" for one without a value, None when absent."""
        return _feature(self.features, name)

    def __str__(self) -> str:
        flags = (";require" if self.require else "") + (";explicit" if self.explicit else "")
        return f"*{format_params(self.features)}{flags}"


def parse_contact_predicate(text: str) -> ContactPredicate:
    """One Accept-Contact or Reject-Contact value; `SIPParseError` when it does not begin with "*"."""
    features = _starred(text, "contact predicate")
    require = take_text(features, "require") is not None
    return ContactPredicate(features, require, take_text(features, "explicit") is not None)


@attrs.frozen
class FeatureCaps:
    """A Feature-Caps value (RFC 6809 section 6.2): values as written, quotes included."""

    features: Params = attrs.field(factory=dict)

    def feature(self, name: str) -> str | None:
        """A feature unquoted; "" for one without a value, None when absent."""
        return _feature(self.features, name)

    def __str__(self) -> str:
        return f"*{format_params(self.features)}"


def parse_feature_caps(text: str) -> FeatureCaps:
    """One Feature-Caps value; `SIPParseError` when it does not begin with "*"."""
    return FeatureCaps(_starred(text, "Feature-Caps"))


def _starred(text: str, what: str) -> Params:
    head, params = head_and_params(text)
    if head != "*":
        raise SIPParseError(f"Bad {what}")
    return params


def _feature(features: Params, name: str) -> str | None:
    return unquote(features[name] or "") if name in features else None


@attrs.frozen
class InfoPackage:
    """An Info-Package or Recv-Info value (RFC 6086 section 7): a package name as written."""

    name: str
    params: Params = attrs.field(factory=dict)

    def __str__(self) -> str:
        return f"{self.name}{format_params(self.params)}"


def parse_info_package(text: str) -> InfoPackage:
    """One Info-Package or Recv-Info value; `SIPParseError` when it is none."""
    head, params = head_and_params(text)
    if not is_token(head):
        raise SIPParseError("Bad info package")
    return InfoPackage(head, params)
