"""What the reg event package says of an address-of-record (RFC 3680), made from its bindings."""

from __future__ import annotations

from hashlib import blake2s

from rvoip.protocols.sip.errors import SIPParseError
from rvoip.protocols.sip.grammar import parse_params
from rvoip.protocols.sip.reginfo import RegInfo, RegisteredContact, Registration
from rvoip.registrar.binding import Binding

__all__ = ["RegistrationState"]

_EVENTS = {"expired": "expired", "removed": "unregistered"}


class RegistrationState:
    """Remembers the bindings of AORs that are watched, so that a document can say which are gone and why."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Binding, ...]] = {}
        self._gone: dict[str, list[tuple[Binding, str]]] = {}
        self._events: dict[str, dict[str, str]] = {}

    def watch(self, aor: str, bindings: tuple[Binding, ...]) -> None:
        """Remember the bindings of an AOR from now on."""
        self._seen.setdefault(aor, bindings)

    def forget(self, aor: str) -> None:
        """Nobody watches this AOR any more."""
        for each in (self._seen, self._gone, self._events):
            each.pop(aor, None)

    def changed(self, aor: str, bindings: tuple[Binding, ...], kind: str) -> bool:
        """The AOR's bindings are others now, for a `Listener`'s reason; whether that AOR is watched."""
        before = self._seen.get(aor)
        if before is None:
            return False
        left = {each.key for each in bindings}
        old = {each.key: each for each in before}
        self._gone[aor] = [
            (each, _EVENTS.get(kind, "deactivated")) for each in before if each.key not in left
        ]
        events = {}
        for each in bindings:
            if each.key not in old:
                events[each.key] = "registered"
            elif each.deadline != old[each.key].deadline:
                events[each.key] = "shortened" if each.deadline < old[each.key].deadline else "refreshed"
        self._events[aor] = events
        self._seen[aor] = bindings
        return True

    def info(self, aor: str, bindings: tuple[Binding, ...], version: int, now: float) -> RegInfo:
        """The document of an AOR with these bindings."""
        events = self._events.get(aor, {})
        contacts = [_contact(each, "active", events.get(each.key, "registered"), now) for each in bindings]
        left = {each.key for each in bindings}
        contacts += [
            _contact(each, "terminated", event, now)
            for each, event in self._gone.get(aor, ())
            if each.key not in left
        ]
        state = "active" if bindings else "terminated" if contacts else "init"
        id_ = blake2s(aor.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        return RegInfo((Registration(f"sip:{aor}", f"a{id_}", state, tuple(contacts)),), version)


def _contact(binding: Binding, state: str, event: str, now: float) -> RegisteredContact:
    params: tuple[tuple[str, str], ...] = ()
    if binding.params:
        try:
            found = parse_params(binding.params, lenient=True)
        except SIPParseError:  # a row that somebody else wrote
            found = {}
        params = tuple([(name, value or "") for name, value in found.items() if name != "q"])
    return RegisteredContact(
        f"c{binding.id}",
        binding.contact,
        state,
        event,
        binding.remaining(now) if state == "active" else 0,
        max(0, int(now - binding.updated)),
        binding.q if binding.q != 1000 else None,
        binding.call_id,
        binding.cseq,
        "",
        params,
    )
