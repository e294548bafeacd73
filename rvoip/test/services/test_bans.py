"""Wrong passwords, bans and refused connections: what the log says of them, and how a ban is ended."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, capturedLogs, formatEvent

from rvoip.services.compose import SIPRole
from rvoip.test.services.roles import RoleCase

PHONE = "127.0.64.31"


class BanTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.role = self.run_role("[registrar]\n[guard]\nban_after = 3\nban_time = 100\n")
        self.add_account(self.role, "alice@example.test", "other")

    def logged(self, act: Callable[[], object]) -> list[str]:
        with capturedLogs() as events:
            act()
        return [self.shown(event) for event in events if event["log_namespace"].startswith("rvoip")]

    @staticmethod
    def shown(event: LogEvent) -> str:
        return f"{event['log_level'].name}: {formatEvent(event)}"

    def register(self, user: str = "alice", host: str = PHONE) -> None:
        phone = self.phone(f"{user}@example.test", host)
        self.assertEqual(self.reactor.result_of(phone.register()).status, 401)

    def failed(self, role: SIPRole, times: int, host: str, user: str = "alice") -> None:
        for _ in range(times):
            role.sip.failed_login(host, user)

    def test_one_line_a_source_in_ten_seconds(self) -> None:
        line = f"warn: Wrong user or password from {PHONE}, of alice (0 more before)"
        self.assertEqual(self.logged(self.register), [line])
        self.assertEqual(self.logged(lambda: self.failed(self.role, 1, PHONE)), [])
        self.reactor.advance(10)
        self.role.sip.guard.configure(0, 100, ())
        self.assertEqual(
            self.logged(lambda: self.failed(self.role, 5, PHONE, "bob")),
            [f"warn: Wrong user or password from {PHONE}, of bob (1 more before)"],
        )
        self.assertEqual(len(self.logged(lambda: self.failed(self.role, 1, "192.0.2.9"))), 1)

    def test_a_ban(self) -> None:
        self.assertEqual(
            self.logged(lambda: self.failed(self.role, 3, "192.0.2.9")),
            [
                "warn: Wrong user or password from 192.0.2.9, of alice (0 more before)",
                "warn: Banned 192.0.2.9 for 100.0 s: 3 wrong users or passwords, the last of alice",
            ],
        )

    def test_right_credentials_in_between_forgive_nothing(self) -> None:
        """Whoever has an account would guess at those of others without end."""
        self.add_account(self.role, "bob@example.test")
        bob = self.phone("bob@example.test", PHONE)
        for _ in range(2):
            self.register()
            self.assertEqual(self.reactor.result_of(bob.register()).status, 200)
        self.register()
        self.assertIn(PHONE, [ban["source"] for ban in self.client.ask("GET", "/v1/bans").json["bans"]])

    def test_many_sources(self) -> None:
        """What an attacker makes up does not fill the disk."""

        def act() -> None:
            for number in range(3000):
                self.failed(self.role, 1, f"10.0.{number >> 8}.{number & 255}")

        self.assertLessEqual(len(self.logged(act)), 1000)

    def test_the_api(self) -> None:
        for host in ("192.0.2.9", "2001:db8::9"):
            self.failed(self.role, 3, host)
        self.reactor.advance(40)
        bans = self.client.ask("GET", "/v1/bans").json["bans"]
        self.assertEqual([ban["source"] for ban in bans], ["192.0.2.9", "2001:db8::/64"])
        self.assertAlmostEqual(bans[0]["left"], 60.0, delta=0.2)
        for source, status in (
            ("192.0.2.10", 404),
            ("nonsense", 404),
            ("192.0.2.9%2F64", 404),
            ("192.0.2.9", 204),
            ("192.0.2.9", 404),
            ("2001:db8::%2F64", 204),
        ):
            self.assertEqual(self.client.ask("DELETE", f"/v1/bans/{source}").status, status, source)
        self.assertEqual(self.client.ask("GET", "/v1/bans").json, {"bans": []})
        self.failed(self.role, 3, "2001:db8::9")
        self.assertEqual(self.client.ask("DELETE", "/v1/bans/2001:db8::1").status, 204, "any address of it")

    def test_a_phone_is_heard_again(self) -> None:
        self.add_account(self.role, "bob@example.test")
        phone = self.phone("bob@example.test", PHONE)
        self.failed(self.role, 3, PHONE)
        answer = Deferred.fromCoroutine(phone.register())
        self.reactor.advance(1.0)
        self.assertFalse(answer.called)
        self.assertEqual(self.client.ask("DELETE", f"/v1/bans/{PHONE}").status, 204)
        self.assertEqual(self.reactor.result_of(answer).status, 200)
