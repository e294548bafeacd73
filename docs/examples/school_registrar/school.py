"""A school's registrar: its rules, and the role that it runs as."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from rvoip.common.events import EventBus
from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.message import Request
from rvoip.registrar.binding import Binding, Change
from rvoip.registrar.errors import RegistrationRefused
from rvoip.registrar.registrar import Registrar
from rvoip.services.activity import RegistrationChanged
from rvoip.services.compose import SIPRole
from rvoip.services.role import RoleOptions, build

LESSON = 45 * 60


class SchoolRegistrar(Registrar):
    """A classroom has one phone, a pupil's registration ends with the lesson, and fax machines stay out."""

    def change(
        self, request: Request, aor: str, bindings: tuple[Binding, ...], now: float, flow: str
    ) -> Change:
        """What a REGISTER asks for; of a classroom, a phone that registers puts out the one before it."""
        if "fax" in (request.get("user-agent") or "").lower():
            raise RegistrationRefused(403, "No Fax Machines")
        change = super().change(request, aor, bindings, now, flow)
        if aor.startswith("room-") and change.puts:
            new = {binding.key for binding in change.puts}
            change.removes += tuple(binding.key for binding in bindings if binding.key not in new)
        return change

    def grant(self, aor: str, contact: NameAddr, requested: int) -> int:
        """Seconds that a contact gets."""
        granted = super().grant(aor, contact, requested)
        return min(granted, LESSON) if aor.startswith("pupil-") else granted


class Janitor(Service):
    """Says in the log which classroom has lost its phone."""

    log = Logger()

    def __init__(self, events: EventBus) -> None:
        self._events = events

    def startService(self) -> None:
        super().startService()
        self._subscription = self._events.subscribe(RegistrationChanged, self._changed, name="janitor")

    def stopService(self) -> None:
        super().stopService()
        self._subscription.cancel()

    def _changed(self, event: RegistrationChanged) -> None:
        if event.aor.startswith("room-") and not event.contacts:
            self.log.warn("{aor} has no phone any more", aor=event.aor)


class Options(RoleOptions):
    """The command line of `twistd school-registrar`: `--config FILE`."""

    role = "registrar"


def makeService(options: Options, reactor: Any = None) -> SIPRole:
    """The registrar role with our rules, whatever the configuration says, and a janitor."""
    if reactor is None:
        from twisted.internet import reactor
    options.config.service.class_ = "school.SchoolRegistrar"
    role = build(
        options,
        lambda: SIPRole(reactor, "registrar", options.config, options["config"], registrar=True, proxy=False),
    )
    role.add(Janitor(role.events), "janitor")
    return role
