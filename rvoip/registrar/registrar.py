"""The rules of REGISTER (RFC 3261 section 10.3): a machine in two steps, `decide` and `answer`.

Between the two a store applies the change. Nothing here does I/O, tells the time or authenticates: that is
done before. Decisions are methods, to be overridden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import gmtime
from typing import Final

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import respond
from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.uri import SipURI
from rvoip.registrar.binding import ALL_CONTACTS, Applied, Binding, Change, Outcome, Removed
from rvoip.registrar.errors import RegistrationRefused
from rvoip.registrar.gruu import Gruus, public_gruu
from rvoip.registrar.reading import Reading
from rvoip.registrar.settings import RegistrarSettings

__all__ = ["MAX_CONTACTS_A_REQUEST", "Listener", "Registrar", "format_date"]

MAX_CONTACTS_A_REQUEST: Final = 16
"""Contact values of one REGISTER; more are 400."""

_HOUR: Final = 3600

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Listener = Callable[[str, tuple[Binding, ...], str], object]
"""Called with the AOR, its live bindings, and "created", "refreshed", "removed" or "expired"."""


class Registrar:
    """A registrar for AORs whose requests were authenticated.

    `new_tag` gives the To tag of each response. `domains` tells whether a domain is one that is registered
    here; without it all are. `on_change` hears of every change that was made. `gruus`, to be set, makes GRUUs
    for those who ask (RFC 5627).
    """

    supported: frozenset[str] = frozenset(("path", "outbound"))
    """Option tags that a REGISTER may require; "gruu" is another one where there are `gruus`."""

    gruus: Gruus | None = None

    def __init__(
        self,
        settings: RegistrarSettings,
        new_tag: Callable[[], str],
        *,
        domains: Callable[[str], bool] | None = None,
        on_change: Listener | None = None,
    ) -> None:
        self.settings = settings
        self.new_tag = new_tag
        self.domains = domains
        self.on_change = on_change
        self._date_second = -1
        self._date_line = ""
        self._serial = 0

    # -- decisions

    def address_of_record(self, request: Request) -> str | Response:
        """The canonical AOR of the To header, ``user@domain``, or what to answer when it has none.

        To must be a SIP or SIPS URI (RFC 3261 section 10.2); one without a user is no AOR of a domain.
        """
        try:
            uri = request.to.uri
        except SIPParseError as error:
            return self.refuse(request, 400, error.reason)
        if not isinstance(uri, SipURI):
            return self.refuse(request, 400, "To Is No SIP URI")
        if uri.user is None:
            return self.refuse(request, 404)
        return uri.aor

    def decide(
        self,
        request: Request,
        aor: str,
        bindings: tuple[Binding, ...],
        now: float,
        wall_now: float,
        flow: str = "",
    ) -> Response | Change:
        """What a REGISTER asks for: a response at once, or a change for the store.

        `bindings` are the AOR's live ones. `now` is monotonic seconds, `wall_now` what Date says. `flow` is
        the token of the flow that the request came on, when requests to its contacts shall go back on it
        (a stream, or behind NAT), else "".
        """
        names = request.names
        try:
            if "require" in names:
                self.check_required(request)
            if self.domains is not None and not self.domains(aor.rpartition("@")[2]):
                raise RegistrationRefused(404)
            if "contact" not in names:
                return self.listing(request, bindings, wall_now, now, aor)
            return self.change(request, aor, bindings, now, flow)
        except RegistrationRefused as refused:
            return self.refuse(request, refused.status, refused.reason, refused.headers)
        except SIPParseError as error:
            return self.refuse_malformed(request, error)

    def check_required(self, request: Request) -> None:
        """Refuse option tags that are not `supported` with 420 (RFC 3261 section 10.3 step 2)."""
        supported = self.supported if self.gruus is None else self.supported | {"gruu"}
        unknown = request.other_tags("require", supported)
        if unknown:
            raise RegistrationRefused(420, headers=[("unsupported", ", ".join(unknown))])

    def change(
        self, request: Request, aor: str, bindings: tuple[Binding, ...], now: float, flow: str
    ) -> Change:
        """The change that the Contact values ask for; raises RegistrationRefused or SIPParseError."""
        contacts = request.contacts
        if len(contacts) != 1:
            if len(contacts) > MAX_CONTACTS_A_REQUEST:
                raise RegistrationRefused(400, "Too Many Contacts")
            if any(contact.uri_text == "*" for contact in contacts):
                raise RegistrationRefused(400, "Contact * Is Not Alone")
        reading = Reading(request, aor, bindings, now, flow, self.grant, self.settings)
        puts: tuple[Binding, ...] = ()
        removes: tuple[str, ...] = ()
        if len(contacts) == 1:
            contact = contacts[0]
            if contact.uri_text == "*":
                if reading.header_expires() != 0 or contact.params:
                    raise RegistrationRefused(400, "Contact * Without Expires: 0")
                removes = ALL_CONTACTS
            else:
                binding = reading.binding(contact)
                if binding.granted:
                    puts = (binding,)
                else:
                    removes = (binding.key,)
        else:
            wanted: dict[str, Binding] = {}
            for contact in contacts:
                binding = reading.binding(contact)
                wanted[binding.key] = binding  # of two equal contacts the later one counts
            puts = tuple([each for each in wanted.values() if each.granted])
            removes = tuple([each.key for each in wanted.values() if not each.granted])
            if reading.flows and len(puts) > 1:
                # "used to register a single UA instance over a single flow" (RFC 5626 section 6)
                raise RegistrationRefused(400, "More Than One Contact With reg-id")
        return Change(
            aor,
            now,
            puts,
            removes,
            reading.call_id,
            request.cseq.number,
            self.settings.max_contacts,
            reading.outbound,
        )

    def grant(self, aor: str, contact: NameAddr, requested: int) -> int:
        """Seconds that a contact gets, 0 to remove it; `requested` is what the request says or the default.

        Raises RegistrationRefused 423 when that is too brief (RFC 3261 section 10.3 step 7).
        """
        settings = self.settings
        if requested > settings.max_expires:
            return settings.max_expires
        if 0 < requested < settings.min_expires and requested < _HOUR:
            raise RegistrationRefused(423, headers=[("min-expires", str(settings.min_expires))])
        return requested

    # -- answers

    def answer(self, request: Request, applied: Applied, now: float, wall_now: float) -> Response:
        """The response to a REGISTER whose change the store has applied or refused."""
        outcome = applied.outcome
        if outcome is Outcome.STALE:
            return self.refuse(request, 500, "CSeq Out Of Order")
        if outcome is Outcome.FULL:
            most = applied.change.max_contacts
            return self.refuse(request, 403, None, [("warning", f'399 registrar "At most {most} contacts"')])
        if self.on_change is not None and outcome is not Outcome.UNCHANGED:
            self.on_change(applied.change.aor, applied.bindings, outcome.value)
        response = self.listing(request, applied.bindings, wall_now, now, applied.change.aor)
        if applied.change.outbound:
            response.names.append("require")
            response.lines.append("Require: outbound")
            if self.settings.flow_timer:
                response.add("flow-timer", str(self.settings.flow_timer))
        return response

    def listing(
        self, request: Request, bindings: tuple[Binding, ...], wall_now: float, now: float, aor: str = ""
    ) -> Response:
        """The 200 with all bindings (RFC 3261 section 10.3 step 8), Path (3327) and Service-Route (3608).

        Contacts of devices get their GRUUs where these are asked for (RFC 5627 section 5.3).
        """
        response = respond(request, 200, to_tag=self.new_tag())
        names = response.names
        lines = response.lines
        gruus = self.gruus
        if gruus is not None and not (aor and "supported" in request.names and _asks_for_gruus(request)):
            gruus = None
        for binding in bindings:
            names.append("contact")
            left = int(binding.deadline - now + 0.999)
            gruu = ""
            if gruus is not None and binding.instance:
                self._serial = max(self._serial + 1, int(wall_now * 1e6))
                temporary = gruus.temporary(aor, binding.instance, binding.call_id, self._serial)
                gruu = f';pub-gruu="{public_gruu(aor, binding.instance)}";temp-gruu="{temporary}"'
            lines.append(f"Contact: <{binding.contact}>{binding.params}{gruu};expires={left}")
        if int(wall_now) != self._date_second:
            self._date_second = int(wall_now)
            self._date_line = f"Date: {format_date(wall_now)}"
        more = self.settings.answer_lines
        names += ("date", "supported", "service-route")[: 1 + len(more)]
        lines.append(self._date_line)
        lines += more
        if "path" in request.names:
            for value in request.get_all("path"):
                names.append("path")
                lines.append(f"Path: {value}")
        return response

    def refuse(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Response:
        """A response that changes nothing."""
        return respond(request, status, reason, to_tag=self.new_tag(), headers=headers)

    def refuse_malformed(self, request: Request, error: SIPParseError) -> Response:
        """The response to what cannot be read; its Warning says why, too."""
        text = error.reason.replace("\\", "").replace('"', "'")
        return self.refuse(request, error.status, error.reason, [("warning", f'399 registrar "{text}"')])

    # -- what happens without a request

    def expired(self, removed: Iterable[Removed]) -> None:
        """Tell the listener what `IBindingStore.expire` returned."""
        if self.on_change is not None:
            for aor, _, bindings in removed:
                self.on_change(aor, bindings, "expired")

    def removed(self, removed: Removed) -> None:
        """Tell the listener what `IBindingStore.remove` took away."""
        if self.on_change is not None and removed.removed:
            self.on_change(removed.aor, removed.bindings, Outcome.REMOVED.value)


def _asks_for_gruus(request: Request) -> bool:
    return "gruu" in request.option_tags("supported")


def format_date(wall_now: float) -> str:
    """The value of a Date header (RFC 3261 section 20.17)."""
    year, month, day, hour, minute, second, weekday = gmtime(wall_now)[:7]
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
