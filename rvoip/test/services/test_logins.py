"""The API called by account and password: what roles allow, and what keeps callers from guessing."""

from __future__ import annotations

import base64

from rvoip.services.account_roles import ROLES, check_roles, scopes_of
from rvoip.services.callers import SCOPES
from rvoip.services.logins import PER_ACCOUNT, PER_SOURCE, Attempts
from rvoip.test.common.http_client import Response
from rvoip.test.services.roles import RoleCase
from rvoip.users.accounts import Account
from rvoip.users.errors import AccountError, StoreBusy
from rvoip.users.passwords import PasswordHash
from rvoip.users.store import UserStore

QUICK = PasswordHash(time_cost=1, memory_kib=8, parallelism=1)


def basic(aor: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{aor}:{password}".encode()).decode()


class AttemptsTests(RoleCase):
    def test_a_window(self) -> None:
        attempts = Attempts(2, 60.0)
        for now in (0.0, 1.0):
            self.assertEqual(attempts.wait("a", now), 0.0)
            attempts.begin("a", now)
        self.assertEqual(attempts.wait("a", 10.0), 50.0)
        self.assertEqual(attempts.wait("b", 10.0), 0.0)
        self.assertEqual(attempts.wait("a", 60.0), 0.0)
        attempts.begin("a", 60.0)
        self.assertEqual(attempts.wait("a", 61.0), 0.0, "a new window has begun")

    def test_right_ones_do_not_count(self) -> None:
        attempts = Attempts(1, 60.0)
        for now in range(5):
            self.assertEqual(attempts.wait("a", now), 0.0)
            attempts.begin("a", now)
            self.assertGreater(attempts.wait("a", now), 0.0)
            attempts.right("a")

    def test_memory(self) -> None:
        attempts = Attempts(1, 60.0, names=100)
        for number in range(10_000):
            attempts.begin(str(number), 0.0)
        self.assertLessEqual(len(attempts._counts), 100)


class RolesTests(RoleCase):
    def test_scopes(self) -> None:
        for role, scopes in ROLES.items():
            self.assertLessEqual(scopes, {*SCOPES, "*"}, role)
        self.assertLess(ROLES["viewer"], ROLES["operator"])
        self.assertFalse([scope for scope in ROLES["viewer"] if not scope.endswith(":read")])
        self.assertEqual(scopes_of(["user", "of-another-program"]), frozenset())
        self.assertEqual(scopes_of(["viewer", "admin"]), ROLES["viewer"] | {"*"})

    def test_names(self) -> None:
        self.assertEqual(check_roles(["admin", "user"]), {"admin", "user"})
        self.assertRaises(AccountError, check_roles, ["root"])


class LoginTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        with UserStore(f"sqlite:{self.folder}/users.db", password_hash=QUICK) as store:
            for role in ROLES:
                store.add(Account.of(f"{role}@example.test", roles=[role]), f"p:{role}", digest=False)
            store.add(Account.of("phone@[2001:db8::1]", roles=["viewer"]), "pässwort")
            store.add(Account.of("off@example.test", enabled=False, roles=["admin"]), "p")
        self.patch(UserStore, "__init__", self.quick_store(UserStore.__init__))

    @staticmethod
    def quick_store(original: object) -> object:
        def init(store: UserStore, url: str, **options: object) -> None:
            original(store, url, password_hash=QUICK, **options)  # type: ignore[operator]

        return init

    def ask(self, method: str, target: str, authorization: str, peer: str = "127.0.0.1") -> Response:
        connection = self.client.connect(peer)
        lines = (f"{method} {target} HTTP/1.1", "Host: localhost", f"Authorization: {authorization}", "", "")
        connection.send("\r\n".join(lines).encode())
        self.reactor.run_until(lambda: bool(connection.transport.value()), 30.0)
        return connection.response()

    def status(self, aor: str, password: str, peer: str = "127.0.0.1", target: str = "/v1/status") -> int:
        return self.ask("GET", target, basic(aor, password), peer).status

    def test_what_roles_allow(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        for method, target, allowed in (
            ("GET", "/v1/status", "admin operator viewer"),
            ("GET", "/v1/users", "admin operator viewer"),
            ("GET", "/v1/ladders", "admin operator"),
            ("DELETE", "/v1/bindings/x@example.test", "admin operator"),
            ("DELETE", "/v1/users/x@example.test", "admin"),
            ("GET", "/v1/keys", "admin"),
        ):
            for role in ROLES:
                answer = self.ask(method, target, basic(f"{role}@example.test", f"p:{role}"))
                self.assertEqual(answer.status != 403, role in allowed.split(), (method, target, role))
                self.assertNotEqual(answer.status, 401)

    def test_names_and_passwords(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        self.assertEqual(self.status("phone@[2001:db8::1]", "pässwort"), 200)
        self.assertEqual(self.status("viewer@Example.TEST", "p:viewer"), 200)
        for aor, password in (
            ("viewer@example.test", "p:view"),
            ("viewer@example.test", ""),
            ("nobody@example.test", "p"),
            ("off@example.test", "p"),
            ("viewer", "p:viewer"),
            ("", ""),
        ):
            answer = self.ask("GET", "/v1/status", basic(aor, password))
            self.assertEqual(answer.status, 401, aor)
            self.assertEqual(answer.headers["www-authenticate"].partition(" ")[0], "Bearer", "no prompt")
        for text in ("Basic", "Basic ====", "Basic %%%", "Basic /////w==", "Basic YQ=="):
            self.assertEqual(self.ask("GET", "/v1/status", text).status, 401, text)

    def test_guesses_at_an_account(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        for number in range(PER_ACCOUNT):
            self.assertEqual(self.status("viewer@example.test", f"guess{number}"), 401)
        answer = self.ask("GET", "/v1/status", basic("VIEWER@example.test".lower(), "p:viewer"))
        self.assertEqual((answer.status, answer.reason), (429, "Too Many Requests"))
        self.assertLessEqual(int(answer.headers["retry-after"]), 61)
        self.assertEqual(
            self.status("admin@example.test", "p:admin"), 200, "another account is not concerned"
        )
        self.assertEqual(self.ask("GET", "/v1/status", "Bearer t0ken").status, 200)
        self.reactor.advance(61)
        self.assertEqual(self.status("viewer@example.test", "p:viewer"), 200)
        for _ in range(2 * PER_ACCOUNT):
            self.assertEqual(self.status("viewer@example.test", "p:viewer"), 200)

    def test_passwords_over_plain_http(self) -> None:
        self.run_role('[http]\nlisten = "0.0.0.0:8080"\ntoken = "t0ken"\n')
        answer = self.ask("GET", "/v1/status", basic("viewer@example.test", "p:viewer"), "192.0.2.9")
        self.assertEqual((answer.status, answer.json["detail"]), (403, "passwords are taken over HTTPS only"))
        self.assertEqual(self.status("viewer@example.test", "p:viewer"), 200)

    def test_guesses_from_an_address(self) -> None:
        role = self.run_role('[http]\nlisten = "0.0.0.0:8080"\ntoken = "t0ken"\n')
        role.http.logins.is_secure = True  # what a certificate says
        for number in range(PER_SOURCE):
            self.assertEqual(self.status(f"u{number}@example.test", "guess", "192.0.2.9"), 401)
        self.assertEqual(self.status("viewer@example.test", "p:viewer", "192.0.2.9"), 429)
        self.assertEqual(self.status("viewer@example.test", "p:viewer", "192.0.2.10"), 200)

    def test_a_store_in_trouble(self) -> None:
        """Nobody knows whether it was wrong: it does not count."""
        role = self.run_role('[http]\ntoken = "t0ken"\n')

        async def busy(aor: str, password: str) -> None:
            raise StoreBusy("locked")

        store = role.accounts.opened
        self.patch(store, "login", busy)
        for _ in range(PER_ACCOUNT + 1):
            self.assertEqual(self.status("viewer@example.test", "p:viewer"), 503)
