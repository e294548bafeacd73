"""The typed value of each header: one table from names to parsers (RFC 3261 section 20 and extensions)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rvoip.protocols.sip.accept_headers import parse_media_range, parse_preference
from rvoip.protocols.sip.address import parse_cseq, parse_name_addr, parse_via
from rvoip.protocols.sip.authentication_headers import (
    parse_authenticate,
    parse_authentication_info,
    parse_authorization,
    parse_security_mechanism,
)
from rvoip.protocols.sip.call_info_headers import parse_call_info, parse_warning
from rvoip.protocols.sip.capability_headers import (
    parse_contact_predicate,
    parse_feature_caps,
    parse_info_package,
    parse_method,
    parse_option_tag,
)
from rvoip.protocols.sip.content_headers import (
    parse_content_disposition,
    parse_content_length,
    parse_lower_token,
    parse_media_type,
    parse_mime_version,
)
from rvoip.protocols.sip.diversion_headers import parse_diversion, parse_history_info, parse_reason
from rvoip.protocols.sip.identity_headers import parse_identity, parse_privacy, parse_remote_party_id
from rvoip.protocols.sip.routing_headers import (
    parse_max_breadth,
    parse_max_forwards,
    parse_priority,
    parse_resource_priority,
)
from rvoip.protocols.sip.session_headers import (
    parse_min_se,
    parse_rack,
    parse_rseq,
    parse_session_expires,
    parse_session_id,
    parse_user_to_user,
)
from rvoip.protocols.sip.subscription_headers import (
    parse_entity_tag,
    parse_event,
    parse_event_type,
    parse_subscription_state,
)
from rvoip.protocols.sip.time_headers import (
    parse_date,
    parse_expires,
    parse_retry_after,
    parse_seconds,
    parse_timestamp,
)
from rvoip.protocols.sip.transfer_headers import (
    parse_call_id,
    parse_join,
    parse_refer_sub,
    parse_refer_to,
    parse_referred_by,
    parse_replaces,
    parse_target_dialog,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rvoip.protocols.sip.message import Message

__all__ = ["HEADERS", "HeaderType", "parse_header"]


class HeaderType(NamedTuple):
    """How to read one value of a header, and whether there may be several of them."""

    parser: Callable[[str], Any]
    several: bool = False


HEADERS: dict[str, HeaderType] = {
    "accept": HeaderType(parse_media_range, True),
    "accept-contact": HeaderType(parse_contact_predicate, True),
    "accept-encoding": HeaderType(parse_preference, True),
    "accept-language": HeaderType(parse_preference, True),
    "accept-resource-priority": HeaderType(parse_resource_priority, True),
    "alert-info": HeaderType(parse_call_info, True),
    "allow": HeaderType(parse_method, True),
    "allow-events": HeaderType(parse_event_type, True),
    "authentication-info": HeaderType(parse_authentication_info),
    "authorization": HeaderType(parse_authorization, True),
    "call-id": HeaderType(str),
    "call-info": HeaderType(parse_call_info, True),
    "contact": HeaderType(parse_name_addr, True),
    "content-disposition": HeaderType(parse_content_disposition),
    "content-encoding": HeaderType(parse_lower_token, True),
    "content-language": HeaderType(parse_lower_token, True),
    "content-length": HeaderType(parse_content_length),
    "content-type": HeaderType(parse_media_type),
    "cseq": HeaderType(parse_cseq),
    "date": HeaderType(parse_date),
    "diversion": HeaderType(parse_diversion, True),
    "error-info": HeaderType(parse_call_info, True),
    "event": HeaderType(parse_event),
    "expires": HeaderType(parse_expires),
    "feature-caps": HeaderType(parse_feature_caps, True),
    "flow-timer": HeaderType(parse_seconds),
    "from": HeaderType(parse_name_addr),
    "geolocation": HeaderType(str, True),
    "history-info": HeaderType(parse_history_info, True),
    "identity": HeaderType(parse_identity, True),
    "identity-info": HeaderType(parse_call_info),
    "in-reply-to": HeaderType(parse_call_id, True),
    "info-package": HeaderType(parse_info_package),
    "join": HeaderType(parse_join),
    "max-breadth": HeaderType(parse_max_breadth),
    "max-forwards": HeaderType(parse_max_forwards),
    "mime-version": HeaderType(parse_mime_version),
    "min-expires": HeaderType(parse_seconds),
    "min-se": HeaderType(parse_min_se),
    "organization": HeaderType(str),
    "p-asserted-identity": HeaderType(parse_name_addr, True),
    "p-associated-uri": HeaderType(parse_name_addr, True),
    "p-called-party-id": HeaderType(parse_name_addr),
    "p-preferred-identity": HeaderType(parse_name_addr, True),
    "path": HeaderType(parse_name_addr, True),
    "priority": HeaderType(parse_priority),
    "privacy": HeaderType(parse_privacy),
    "proxy-authenticate": HeaderType(parse_authenticate, True),
    "proxy-authorization": HeaderType(parse_authorization, True),
    "proxy-require": HeaderType(parse_option_tag, True),
    "rack": HeaderType(parse_rack),
    "reason": HeaderType(parse_reason, True),
    "record-route": HeaderType(parse_name_addr, True),
    "recv-info": HeaderType(parse_info_package, True),
    "refer-sub": HeaderType(parse_refer_sub),
    "refer-to": HeaderType(parse_refer_to),
    "referred-by": HeaderType(parse_referred_by),
    "reject-contact": HeaderType(parse_contact_predicate, True),
    "remote-party-id": HeaderType(parse_remote_party_id, True),
    "replaces": HeaderType(parse_replaces),
    "reply-to": HeaderType(parse_name_addr),
    "request-disposition": HeaderType(parse_lower_token, True),
    "require": HeaderType(parse_option_tag, True),
    "resource-priority": HeaderType(parse_resource_priority, True),
    "retry-after": HeaderType(parse_retry_after),
    "route": HeaderType(parse_name_addr, True),
    "rseq": HeaderType(parse_rseq),
    "security-client": HeaderType(parse_security_mechanism, True),
    "security-server": HeaderType(parse_security_mechanism, True),
    "security-verify": HeaderType(parse_security_mechanism, True),
    "server": HeaderType(str),
    "service-route": HeaderType(parse_name_addr, True),
    "session-expires": HeaderType(parse_session_expires),
    "session-id": HeaderType(parse_session_id),
    "sip-etag": HeaderType(parse_entity_tag),
    "sip-if-match": HeaderType(parse_entity_tag),
    "subject": HeaderType(str),
    "subscription-state": HeaderType(parse_subscription_state),
    "supported": HeaderType(parse_option_tag, True),
    "suppress-if-match": HeaderType(parse_entity_tag),
    "target-dialog": HeaderType(parse_target_dialog),
    "timestamp": HeaderType(parse_timestamp),
    "to": HeaderType(parse_name_addr),
    "unsupported": HeaderType(parse_option_tag, True),
    "user-agent": HeaderType(str),
    "user-to-user": HeaderType(parse_user_to_user, True),
    "via": HeaderType(parse_via, True),
    "warning": HeaderType(parse_warning, True),
    "www-authenticate": HeaderType(parse_authenticate, True),
}
"""Canonical name to the header's type. Whatever is not here is text."""

# One value, which may be spread over lines: the text that joins them.
_SPREAD = {"authentication-info": ", ", "privacy": ";"}


def parse_header(message: Message, name: str) -> Any:
    """The typed value of the header `name` (canonical) in `message`; `SIPParseError` when it has none.

    A list, empty when absent, for a header of several values; else one value, or None when absent. A
    header that is not in `HEADERS` is a list of texts, one a line.
    """
    entry = HEADERS.get(name)
    if entry is None:
        return message.get_all(name)
    parser = entry.parser
    if entry.several:
        return [parser(value) for value in message.values(name)]
    text = message.get(name)
    if text is None:
        return None
    if name in _SPREAD:
        text = _SPREAD[name].join(message.get_all(name))
    return parser(text)
