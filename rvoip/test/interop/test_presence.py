"""Presence, busy lamps and mailboxes kept by our servers, with PJSIP, baresip and user agents of ours."""

from __future__ import annotations

from rvoip.test.interop.agent import AgentPhone
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN, Role

PIDF = "application/pidf+xml"
DIALOG = "application/dialog-info+xml"


class PresenceTests(InteropTestCase):
    """Phones watch each other by way of a server."""

    def agent(self, role: Role, user: str, **options: object) -> AgentPhone:
        """A user agent of ours that is registered."""
        phone = AgentPhone(self.folder, self.host(), user, proxy=role.uri("udp"), **options)  # type: ignore[arg-type]
        self.addCleanup(phone.close)
        phone.registered()
        return phone

    def test_pjsip_watches_pjsip(self) -> None:
        role = self.role(tables={"presence": ""})
        bob = self.pjsip(role, "bob", publish=True)
        alice = self.pjsip(role, "alice")
        alice.do("watch", uri=f"sip:bob@{DOMAIN}")
        alice.wait("buddy", online=False)
        bob.do("present", present=True)
        alice.wait("buddy", online=True)
        bob.do("present", present=False)
        until(lambda: not alice.events("buddy")[-1]["online"], "bob is gone")
        challenge = alice.received(r"^SIP/2.0 407 [^\0]*^CSeq: \d+ SUBSCRIBE")
        self.assertTrue(challenge, "a proxy asks for credentials")
        alice.quit()
        bob.quit()
        role.stop()
