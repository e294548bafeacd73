"""What was acknowledged is there after the power was cut: a registration is on disk before its 200."""

from __future__ import annotations

import re

from rvoip.test.interop.addresses import address
from rvoip.test.interop.case import InteropTestCase
from rvoip.test.interop.processes import until
from rvoip.test.interop.roles import DOMAIN

_USERS = tuple(f"u{number:03}" for number in range(200))
_FIRST_ANSWER_S = 5.0
_KEYS = {"contact": f"{address(99)}:7777", "expires": "3600"}


class DurabilityTests(InteropTestCase):
    """SIGKILL, and a new start on the same files."""

    def test_after_registering(self) -> None:
        """All of 200 registrations are there again; a phone can be called that knows of nothing."""
        role = self.role(users=(*_USERS, "alice", "bob"))
        caller, callee = self.baresip(role, "alice"), self.pjsip(role, "bob")
        phones = self.sipp(
            "register",
            role.address,
            calls=200,
            rate=200,
            users=[(user, f"pw-{user}") for user in _USERS],
            keys=_KEYS,
        )
        phones.succeed()
        before = {one["aor"]: one for one in role.listed()}
        self.assertEqual(set(before), {f"{user}@{DOMAIN}" for user in (*_USERS, "alice", "bob")})
        role.kill()
        self.assertLess(role.restart(), _FIRST_ANSWER_S)
        after = {one["aor"]: one for one in role.listed()}
        self.assertEqual(set(after), set(before))
        for aor, one in after.items():
            for field in "id", "contact", "q", "call_id", "cseq", "path":
                self.assertEqual(one[field], before[aor][field], f"{aor}: {field}")
            self.assertTrue(before[aor]["expires"] - 30 <= one["expires"] <= before[aor]["expires"], one)
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        callee.answer()
        caller.talks()
        caller.hears()
        callee.hang_up()
        caller.hung_up()

    def test_while_registering(self) -> None:
        """Killed under load: whatever was answered 200 before is there."""
        role = self.role(users=_USERS)
        phones = self.sipp(
            "register",
            role.address,
            calls=200,
            rate=100,
            users=[(user, f"pw-{user}") for user in _USERS],
            keys=_KEYS,
            patience=15,
        )
        until(lambda: role.get("/v1/status")["bindings"] >= 50, "50 registrations")
        role.kill()
        self.assertLess(role.restart(), _FIRST_ANSWER_S)
        phones.process.wait(30)  # what was under way may have failed: its nonce was that of the other process
        found = [re.search(r"^To: <sip:(u\d+)@", text, re.M) for text in phones.received("^SIP/2.0 200 ")]
        acknowledged = {f"{match[1]}@{DOMAIN}" for match in found if match}
        self.assertGreater(len(acknowledged), 50)
        self.assertEqual(acknowledged - {one["aor"] for one in role.listed()}, set())

    def test_call_in_progress(self) -> None:
        """A call that was set up before goes on: its dialog's routes are known again."""
        role = self.role()
        caller, callee = self.baresip(role, "alice"), self.pjsip(role, "bob")
        caller.call(f"sip:bob@{DOMAIN}")
        callee.rings()
        callee.answer()
        caller.talks()
        callee.talks()
        role.kill()
        role.restart()
        caller.hold()
        callee.receives(r"^INVITE [^\0]*^a=sendonly")
        caller.receives(r"^SIP/2.0 200 [^\0]*^a=recvonly")
        callee.hang_up()
        caller.hung_up()
        refusals = r"^SIP/2.0 [3-6][^\0]*^CSeq: \d+ (?!REGISTER)"
        self.assertEqual(caller.received(refusals) + callee.received(refusals), [])
