"""Asking somebody to call somebody else: REFER on both sides (RFC 3515, 4488, 3892, 7647)."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import attrs

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.sip.address import NameAddr, parse_name_addr
from rvoip.protocols.sip.build import reason_phrase
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.subscription_headers import Event, SubscriptionState, parse_event
from rvoip.protocols.sip.transfer_headers import ReferredBy, ReferTo, Replaces
from rvoip.protocols.sip.uri import SipURI, unescape

__all__ = [
    "EXPIRES",
    "PACKAGE",
    "SIPFRAG",
    "Refer",
    "ReferProgress",
    "ReferReport",
    "Triggered",
    "event_matches",
    "makes_subscription",
    "read_refer",
    "refer_headers",
    "sipfrag",
    "sipfrag_status",
    "triggered",
]

PACKAGE: Final = "refer"
SIPFRAG: Final = "message/sipfrag;version=2.0"
EXPIRES: Final = 180
"""Seconds that the implicit subscription lasts: nobody rings for longer."""

# What the URI in Refer-To may add to the request: the rest could forge who calls, or lead it elsewhere
# (RFC 3261 section 19.1.5).
_ALLOWED_HEADERS: Final = frozenset(
    """
    accept-contact alert-info answer-mode call-info in-reply-to join priority reject-contact replaces
    request-disposition require subject supported user-to-user target-dialog
    """.split()
)
_METHODS: Final = frozenset(("INVITE", "MESSAGE", "BYE", "OPTIONS", "SUBSCRIBE", "REFER", "INFO"))


@attrs.frozen
class Refer:
    """A REFER as it was received."""

    refer_to: ReferTo
    referred_by: ReferredBy | None
    replaces: Replaces | None
    """The dialog that the request to the target shall take over: an attended transfer."""
    subscription: bool
    """Whether the referrer wants to be told how it goes (False: Refer-Sub: false, RFC 4488)."""
    event: Event
    """The Event of its NOTIFYs: `refer` with the CSeq of the REFER as id (RFC 3515 section 2.4.6)."""

    @property
    def method(self) -> str:
        """What the target is to be sent."""
        return self.refer_to.method


def read_refer(request: Request) -> Refer | Refusal:
    """A REFER, or how it is refused: 400 for none or several Refer-To, or one that cannot be read."""
    if len(request.get_all("refer-to")) != 1:
        return Refusal(400)
    try:
        refer_to: ReferTo = request.typed("refer-to")
        target = refer_to.uri
        replaces = refer_to.replaces
        referred_by: ReferredBy | None = request.typed("referred-by")
        refer_sub = request.typed("refer-sub")
        number = request.cseq.number
    except SIPParseError as error:
        return Refusal(error.status)
    if isinstance(target, SipURI) and refer_to.method not in _METHODS:
        return Refusal(501)
    wanted = refer_sub is None or refer_sub.wanted
    return Refer(refer_to, referred_by, replaces, wanted, Event(PACKAGE, id=str(number)))


@attrs.frozen
class Triggered:
    """The request that a REFER asks for: its method, its Request-URI, and headers that go into it."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]


def triggered(request: Request, refer: Refer) -> Triggered:
    """What to send to the target, with Referred-By (RFC 3892 section 2.2) and Replaces.

    Headers in the target's URI that could forge who calls are left out. A Referred-By that is missing is
    not made up: see `refer_headers` for who may add one.
    """
    uri = refer.refer_to.uri
    headers: list[tuple[str, str]] = []
    if isinstance(uri, SipURI):
        for name, value in uri.headers:
            spelled = unescape(name)
            if spelled.lower() in _ALLOWED_HEADERS:
                text = unescape(value or "")
                if "\r" not in text and "\n" not in text:
                    headers.append((spelled, text))
        text = str(uri.for_request_line())
    else:
        text = refer.refer_to.uri_text
    referred_by = request.get("referred-by")
    if referred_by is not None:
        headers.append(("Referred-By", referred_by))
    return Triggered(refer.method, text, tuple(headers))


def refer_headers(
    refer_to: NameAddr | str,
    *,
    referred_by: NameAddr | str | None = None,
    replaces: Replaces | None = None,
    subscription: bool = True,
) -> tuple[tuple[str, str], ...]:
    """The headers of a REFER of ours to `refer_to`, a URI or name-addr; with `replaces` the dialog at the
    target that the new call shall take over, tags as the target sees them.
    """
    target = _address(refer_to)
    uri_text = target.uri_text
    if replaces is not None:
        mark = "&" if "?" in uri_text else "?"
        uri_text = f"{uri_text}{mark}Replaces={_escaped(str(replaces))}"
    headers = [("Refer-To", str(NameAddr(uri_text, target.display, target.params)))]
    if referred_by is not None:
        headers.append(("Referred-By", str(_address(referred_by))))
    if not subscription:
        headers += [("Refer-Sub", "false"), ("Supported", "norefersub")]
    return tuple(headers)


def _address(given: NameAddr | str) -> NameAddr:
    """A text without brackets is a URI with all that follows in it."""
    if isinstance(given, NameAddr):
        return given
    return parse_name_addr(given) if "<" in given else NameAddr(given)


_PLAIN = re.compile(r"[A-Za-z0-9\[\]/?:+$\-_.!~*'()]")


def _escaped(text: str) -> str:
    """As it stands in the headers of a URI (RFC 3261 section 25.1, hvalue)."""
    return "".join(
        char if _PLAIN.match(char) else "".join(f"%{octet:02X}" for octet in char.encode()) for char in text
    )


def makes_subscription(response: Response, wanted: bool = True) -> bool:
    """Whether this 2xx to a REFER of ours makes a subscription: not where both sides said Refer-Sub: false
    (RFC 4488 section 4).
    """
    if wanted:
        return True
    try:
        refer_sub = response.typed("refer-sub")
    except SIPParseError:
        return True
    return refer_sub is None or refer_sub.wanted


def sipfrag(status: int, reason: str | None = None) -> bytes:
    """The body of a NOTIFY: the status line of what the target answered (RFC 3515 section 2.4.5)."""
    text = reason_phrase(status) if reason is None else reason.replace("\r", " ").replace("\n", " ")
    return f"SIP/2.0 {status} {text}\r\n".encode("utf-8", "surrogateescape")


_STATUS_LINE = re.compile(rb"SIP/2\.0[ \t]+([1-6][0-9][0-9])(?:[ \t]+([^\r\n]*))?(?:\r?\n|\Z)", re.IGNORECASE)


def sipfrag_status(body: bytes) -> tuple[int, str] | None:
    """Status and reason in the body of a NOTIFY; None where there is none.

    Leniency: blank lines before it, a line end that is LF or missing, and no reason.
    """
    match = _STATUS_LINE.match(body.lstrip(b" \t\r\n")[:2048])
    if match is None:
        return None
    return int(match[1]), (match[2] or b"").decode("utf-8", "replace").strip()


TRYING: Final = "Trying"
PROCEEDING: Final = "Proceeding"
DONE: Final = "Done"


class ReferReport:
    """What the one who was referred tells: how the request to the target goes (RFC 3515 section 2.4.4).

    The `status` is what the next NOTIFY says; after a final one the subscription ends with "noresource".
    """

    __slots__ = ("reason", "state", "status")

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        (TRYING, "1xx"): (PROCEEDING, "NOTIFY"),
        (TRYING, "final"): (DONE, "last NOTIFY"),
        (PROCEEDING, "1xx"): (PROCEEDING, "NOTIFY"),
        (PROCEEDING, "final"): (DONE, "last NOTIFY"),
    }

    def __init__(self) -> None:
        self.state = TRYING
        self.status = 100
        self.reason = "Trying"

    @property
    def done(self) -> bool:
        """Whether the outcome is known."""
        return self.state == DONE

    @property
    def body(self) -> bytes:
        """The body of a NOTIFY now."""
        return sipfrag(self.status, self.reason)

    def progress(self, status: int, reason: str | None = None) -> bool:
        """The target answered; True when a NOTIFY is due."""
        event = "1xx" if status < 200 else "final"
        self.state, what = self.TRANSITIONS.get((self.state, event), (self.state, ""))
        if not what or (status == self.status and event == "1xx"):
            return False
        self.status = status
        self.reason = reason_phrase(status) if reason is None else reason
        return True


class ReferProgress:
    """What the referrer learns: the answer to the REFER, then the NOTIFYs (RFC 3515 section 2.4.4).

    `status` is the last one of the target, 0 before there is any.
    """

    __slots__ = ("outcome", "reason", "state", "status")

    ASKED: ClassVar[str] = "Asked"
    ACCEPTED: ClassVar[str] = "Accepted"
    UNDER_WAY: ClassVar[str] = "Under way"
    OVER: ClassVar[str] = "Over"

    TRANSITIONS: ClassVar[dict[tuple[str, str], tuple[str, str]]] = {
        ("Asked", "2xx"): ("Accepted", ""),
        ("Asked", "2xx without subscription"): ("Over", "unknown"),
        ("Asked", "refused"): ("Over", "refused"),
        ("Asked", "NOTIFY 1xx"): ("Under way", ""),
        ("Asked", "NOTIFY 2xx"): ("Over", "succeeded"),
        ("Asked", "NOTIFY 300-699"): ("Over", "failed"),
        ("Asked", "subscription ended"): ("Over", "unknown"),
        ("Accepted", "NOTIFY 1xx"): ("Under way", ""),
        ("Accepted", "NOTIFY 2xx"): ("Over", "succeeded"),
        ("Accepted", "NOTIFY 300-699"): ("Over", "failed"),
        ("Accepted", "subscription ended"): ("Over", "unknown"),
        ("Under way", "2xx"): ("Under way", ""),
        ("Under way", "NOTIFY 1xx"): ("Under way", ""),
        ("Under way", "NOTIFY 2xx"): ("Over", "succeeded"),
        ("Under way", "NOTIFY 300-699"): ("Over", "failed"),
        ("Under way", "subscription ended"): ("Over", "unknown"),
    }

    def __init__(self) -> None:
        self.state = self.ASKED
        self.status = 0
        self.reason = ""
        self.outcome = ""
        """Once it is over: "succeeded", "failed", "refused" (the REFER itself) or "unknown"."""

    @property
    def over(self) -> bool:
        """Whether nothing more will be learnt."""
        return self.state == self.OVER

    def answered(self, status: int, reason: str = "", subscription: bool = True) -> None:
        """The REFER got this final response; see `makes_subscription`."""
        if status < 300:
            self._go("2xx" if subscription else "2xx without subscription")
            return
        if self.state == self.ASKED:
            self.status, self.reason = status, reason
        self._go("refused")

    def notified(self, state: SubscriptionState, body: bytes) -> bool:
        """A NOTIFY came; True when it says something new. Its last one may say nothing but that."""
        found = sipfrag_status(body)
        news = False
        if found is not None and not self.over:
            status, reason = found
            news = status != self.status or status >= 200
            self.status, self.reason = status, reason
            kind = "1xx" if status < 200 else "2xx" if status < 300 else "300-699"
            self._go(f"NOTIFY {kind}")
        if state.state == "terminated":
            news = news or not self.over
            self.ended()
        return news

    def ended(self) -> None:
        """The subscription is over, for whatever reason."""
        self._go("subscription ended")

    def _go(self, event: str) -> None:
        self.state, outcome = self.TRANSITIONS.get((self.state, event), (self.state, ""))
        self.outcome = outcome or self.outcome


def event_matches(text: str, cseq: int, only: bool) -> bool:
    """Whether the Event of a NOTIFY belongs to the REFER with this CSeq number.

    The first REFER of a dialog may be meant without an id, so one is taken where it is the `only` one.
    """
    try:
        event = parse_event(text)
    except SIPParseError:
        return False
    if event.type != PACKAGE:
        return False
    return event.id == str(cseq) if event.id is not None else only
