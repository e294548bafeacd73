"""What tests of presence have in common: a role with `[presence]`, and phones that watch and publish."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import implementer

from rvoip.protocols.sip.address import NameAddr
from rvoip.protocols.sip.build import request
from rvoip.protocols.sip.dialog_info import DialogInfo, parse_dialog_info
from rvoip.protocols.sip.message import Request, Response
from rvoip.registrar.interfaces import IPresenceStore
from rvoip.registrar.presence_changes import PresenceChange, StoredPresence
from rvoip.registrar.stores.presence_file import PresenceFile
from rvoip.services import presence
from rvoip.services.compose import SIPRole
from rvoip.services.presence import PresenceService
from rvoip.test.services.roles import RoleCase
from rvoip.testing.phone import Phone

__all__ = ["PIDF", "Subscription", "WatchingCase", "pidf"]

PIDF = "application/pidf+xml"


def pidf(basic: str = "open", note: str = "") -> bytes:
    """A document of bob's."""
    said = f"<note>{note}</note>" if note else ""
    return (
        '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.test">'
        f'<tuple id="t1"><status><basic>{basic}</basic></status></tuple>{said}</presence>'
    ).encode()


class Subscription:
    """A subscription of a phone, from its first SUBSCRIBE on."""

    def __init__(
        self,
        case: WatchingCase,
        phone: Phone,
        uri: str,
        package: str,
        headers: Iterable[tuple[str, str]] = (),
        expires: int | None = 600,
    ) -> None:
        self.case = case
        self.phone = phone
        self.package = package
        self.headers = list(headers)
        self.call_id = phone.new_call_id()
        phone.subscribed.add(self.call_id)
        self.local = NameAddr(f"sip:{phone.aor}", "", {"tag": phone.new_tag()})
        self.remote = NameAddr(uri)
        self.uri = uri
        self.cseq = 0
        self.response = self.send(expires)
        if self.response.status < 300:
            self.remote = self.response.to
            self.uri = self.response.contacts[0].uri_text
        case.reactor.advance(0.1)

    def send(self, expires: int | None) -> Response:
        """SUBSCRIBE; returns the final response."""
        said = [] if expires is None else [("Expires", str(expires))]
        made = request(
            "SUBSCRIBE",
            self.uri,
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=self._next(),
            contact=f"<{self.phone.contact}>",
            headers=[("Event", self.package), *said, *self.headers],
        )
        sent = self.phone.final_response(made, self.phone.destination(f"sip:{self.phone.domain}"), self._next)
        return self.case.wait(sent)

    def _next(self) -> int:
        self.cseq += 1
        return self.cseq

    @property
    def notifies(self) -> list[Request]:
        """Those that came, each once."""
        return [
            one.message
            for one in self.phone.messages
            if not one.sent
            and one.new
            and isinstance(one.message, Request)
            and one.message.method == "NOTIFY"
            and one.message.call_id == self.call_id
        ]

    @property
    def states(self) -> list[str]:
        """Their Subscription-State without the seconds that are left."""
        return [
            (one.get("subscription-state") or "").partition(";expires=")[0].strip() for one in self.notifies
        ]

    @property
    def bodies(self) -> list[str]:
        """Their bodies."""
        return [one.body.decode() for one in self.notifies]

    @property
    def dialogs(self) -> DialogInfo:
        """The last document about calls."""
        return parse_dialog_info(self.notifies[-1].body)


@implementer(IPresenceStore)
class FileStore:
    """Presence in SQLite without the thread that writes it: here time does not wait for threads."""

    trouble = ""

    def __init__(self, path: str, reactor: object) -> None:
        self._file = PresenceFile(path, patience=1.0)

    def open(self, now: float, wall_now: float) -> StoredPresence:
        return self._file.open(now, wall_now)

    def close(self) -> None:
        self._file.close()

    def write(self, change: PresenceChange) -> None:
        (failed,) = self._file.write([change])
        assert failed is None

    def expire(self, now: float) -> None:
        self._file.sweep(now)


class WatchingCase(RoleCase):
    """A role with presence, and accounts of alice, bob and carol."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(presence, "PresenceSQLite", FileStore)

    def start(self, text: str = "", name: str = "proxy", store: str = "memory:", more: str = "") -> SIPRole:
        role = self.run_role(f"{more}\n[registrar]\n[presence]\nstore = '{store}'\n{text}", name)
        for user in ("alice", "bob", "carol"):
            self.add_account(role, f"{user}@example.test")
        self.role = role
        return role

    @property
    def service(self) -> PresenceService:
        assert self.role.presence is not None
        return self.role.presence

    def phones(self, *users: str, **options: object) -> list[Phone]:
        """Registered phones."""
        made = []
        for number, user in enumerate(users):
            phone = self.phone(f"{user}@example.test", f"127.0.64.{30 + number}", **options)
            self.assertEqual(self.wait(phone.register()).status, 200)
            made.append(phone)
        return made

    def wait(self, coroutine: object) -> Response:
        found: Response = self.reactor.result_of(coroutine)  # type: ignore[arg-type]
        return found

    def watch(
        self,
        phone: Phone,
        uri: str = "sip:bob@example.test",
        package: str = "presence",
        headers: Iterable[tuple[str, str]] = (),
        expires: int | None = 600,
    ) -> Subscription:
        return Subscription(self, phone, uri, package, headers, expires)

    def publish(
        self,
        phone: Phone,
        body: bytes = b"",
        etag: str = "",
        expires: int = 600,
        package: str = "presence",
        uri: str = "",
        content_type: str = PIDF,
    ) -> Response:
        headers = [("Event", package), ("Expires", str(expires))]
        if etag:
            headers.append(("SIP-If-Match", etag))
        response = self.wait(
            phone.request("PUBLISH", uri or f"sip:{phone.aor}", headers, body, content_type if body else None)
        )
        self.reactor.advance(1.5)
        return response
