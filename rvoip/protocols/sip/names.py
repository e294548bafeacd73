"""Header field names: canonical spelling, compact forms, and which may hold several values.

RFC 3261 section 7.3.1 and 20, and the IANA registry "SIP Parameters, Header Fields" for the extensions.
"""

from __future__ import annotations

_SPELLINGS = """
Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow
Allow-Events Answer-Mode Authentication-Info Authorization Call-ID Call-Info Contact
Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date Diversion
Error-Info Event Expires Feature-Caps Flow-Timer From Geolocation Geolocation-Error
Geolocation-Routing History-Info Identity Identity-Info In-Reply-To Info-Package Join Max-Breadth
Max-Forwards MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity
P-Asserted-Service P-Associated-URI P-Called-Party-ID P-Charging-Function-Addresses
P-Charging-Vector P-Early-Media P-Preferred-Identity P-Preferred-Service P-Visited-Network-ID Path
Permission-Missing Policy-Contact Policy-ID Priority Priv-Answer-Mode Privacy Proxy-Authenticate
Proxy-Authorization Proxy-Require RAck Reason Recv-Info Record-Route Refer-Sub Refer-To Referred-By
Reject-Contact Remote-Party-ID Replaces Reply-To Request-Disposition Require Resource-Priority
Retry-After Route RSeq Security-Client Security-Server Security-Verify Server Service-Route
Session-Expires Session-ID SIP-ETag SIP-If-Match Subject Subscription-State Supported
Suppress-If-Match Target-Dialog Timestamp To Trigger-Consent Unsupported User-Agent User-to-User Via
Warning WWW-Authenticate
"""

DISPLAY: dict[str, str] = {name.lower(): name for name in _SPELLINGS.split()}
"""Canonical name to the spelling that we write."""

COMPACT: dict[str, str] = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""Compact form to canonical name (RFC 3261 section 7.3.3 and the registry)."""

KNOWN: dict[str, str] = {}
"""Every spelling that peers commonly use, to its canonical name: the parser's fast path."""
for _canonical, _shown in DISPLAY.items():
    KNOWN[_canonical] = KNOWN[_shown] = KNOWN[_shown.upper()] = KNOWN[_shown.title()] = _canonical
for _short, _canonical in COMPACT.items():
    KNOWN[_short] = KNOWN[_short.upper()] = _canonical

LISTS = frozenset(
    """
    accept accept-contact accept-encoding accept-language accept-resource-priority alert-info allow
    allow-events call-info contact content-encoding content-language diversion error-info feature-caps
    geolocation history-info in-reply-to p-access-network-info p-asserted-identity p-associated-uri
    p-early-media p-preferred-identity p-visited-network-id path permission-missing proxy-require reason
    record-route recv-info reject-contact remote-party-id request-disposition require resource-priority
    route security-client security-server security-verify service-route supported trigger-consent
    unsupported user-to-user via warning
    """.split()
)
"""Headers whose values may stand in one line with commas (RFC 3261 section 7.3.1)."""

SINGLE = frozenset(
    """
    call-id content-disposition content-length content-type cseq date event expires from join
    max-forwards max-breadth mime-version min-expires min-se rack refer-to referred-by replaces
    retry-after rseq session-expires session-id sip-etag sip-if-match subject subscription-state
    target-dialog timestamp to
    """.split()
)
"""Headers that may stand in a message only once."""


def display_name(canonical: str) -> str:
    """How we write the header: its registered spelling, or each word capitalised."""
    shown = DISPLAY.get(canonical)
    return shown if shown is not None else canonical.title()
