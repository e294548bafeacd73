"""Accounts and API keys by HTTP."""

from __future__ import annotations

import sqlite3
import time
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import fail

from rvoip.services import accounts
from rvoip.test.common.http_client import Response
from rvoip.test.services.roles import RoleCase
from rvoip.users.errors import StoreBusy, StoreError
from rvoip.users.store import UserStore

ALICE = {"user": "alice", "domain": "example.test", "password": "secret"}


class UsersTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.role = self.run_role("[registrar]\n")

    def ask(self, method: str, target: str, body: object = None, **headers: str | None) -> Response:
        return self.client.ask(method, target, body, **headers)

    def add(self, user: str, **more: Any) -> Response:
        return self.ask("POST", "/v1/users", {**ALICE, "user": user, **more})

    def test_a_new_account(self) -> None:
        answer = self.ask("POST", "/v1/users", {**ALICE, "domain": "EXAMPLE.test", "display_name": "Alice"})
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["location"], "/v1/users/alice@example.test")
        shown = answer.json
        self.assertLess(abs(shown.pop("created") - time.time()), 60)
        self.assertLess(abs(shown.pop("changed") - time.time()), 60)
        self.assertEqual(
            shown,
            {
                "aor": "alice@example.test",
                "user": "alice",
                "domain": "example.test",
                "display_name": "Alice",
                "enabled": True,
                "roles": ["user"],
            },
        )
        self.assertNotIn(b"secret", answer.body)
        self.assertEqual(self.ask("GET", "/v1/users/alice@example.test").json, answer.json)

    def test_its_phone_registers_and_a_new_password_holds_at_once(self) -> None:
        phone = self.phone("alice@example.test", "127.0.64.21")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 401)
        self.add("alice")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 200)
        answer = self.ask("PUT", "/v1/users/alice@example.test/password", {"password": "other"})
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.reactor.result_of(phone.register()).status, 401)
        self.ask("PUT", "/v1/users/alice@example.test/password", {"password": "secret"})
        self.assertEqual(self.reactor.result_of(phone.register()).status, 200)
        self.ask("PATCH", "/v1/users/alice@example.test", {"enabled": False})
        self.assertEqual(self.reactor.result_of(phone.register()).status, 401)

    def test_an_account_that_exists(self) -> None:
        self.add("alice")
        answer = self.add("alice", password="other")
        self.assertEqual((answer.status, answer.json["title"]), (409, "Conflict"))
        self.assertEqual(answer.json["detail"], "alice@example.test exists already")

    def test_a_request_that_is_sent_again_is_answered_again(self) -> None:
        first = self.ask("POST", "/v1/users", ALICE, idempotency_key="k1")
        again = self.ask("POST", "/v1/users", ALICE, idempotency_key="k1")
        self.assertEqual((again.status, again.body), (201, first.body))
        self.assertEqual(again.headers["idempotency-replayed"], "true")
        self.assertEqual(again.headers["location"], "/v1/users/alice@example.test")
        other = self.ask("POST", "/v1/users", {**ALICE, "user": "bob"}, idempotency_key="k1")
        self.assertEqual(other.status, 422)
        self.assertEqual(self.ask("POST", "/v1/users", ALICE, idempotency_key="k2").status, 409)

    def test_what_is_not_acceptable(self) -> None:
        for more in (
            {"user": ""},
            {"user": "a b"},
            {"user": "a:b"},
            {"user": "a%62"},
            {"user": "a\r\nX: 1"},
            {"user": "x" * 129},
            {"domain": "exa mple"},
            {"domain": ""},
            {"domain": "[::1"},
            {"password": ""},
            {"password": "a\u0000b"},
            {"password": "x" * 300},
            {"display_name": "a\u001b[2J"},
            {"roles": ["No Such"]},
            {"roles": [f"r{index}" for index in range(20)]},
            {"user": None},
            {"user": 5},
            {"enabled": "yes"},
        ):
            self.assertEqual(self.ask("POST", "/v1/users", {**ALICE, **more}).status, 400, more)
        for missing in ALICE:
            body = {name: value for name, value in ALICE.items() if name != missing}
            self.assertEqual(self.ask("POST", "/v1/users", body).status, 400, missing)
        self.assertEqual(self.ask("GET", "/v1/users").json["users"], [])

    def test_pages(self) -> None:
        for user in ("bert", "anna", "carl", "ben"):
            self.add(user)
        seen, after = [], ""
        for _ in range(2):
            page = self.ask("GET", f"/v1/users?limit=2&after={quote(after)}").json
            seen.append([user["user"] for user in page["users"]])
            after = page["next"]
        self.assertEqual(seen, [["anna", "ben"], ["bert", "carl"]])
        self.assertEqual(after, "")
        page = self.ask("GET", "/v1/users?prefix=be&limit=1").json
        self.assertEqual(
            ([user["user"] for user in page["users"]], page["next"]), (["ben"], "ben@example.test")
        )
        self.assertEqual(self.ask("GET", "/v1/users?prefix=x").json, {"users": [], "next": ""})
        self.assertEqual(self.ask("GET", "/v1/users?prefix=%C2%85").status, 400)

    def test_paths_are_decoded_once(self) -> None:
        self.add("andré")
        self.add("a/b")
        for aor in ("andré@example.test", "a/b@example.test"):
            answer = self.ask("GET", f"/v1/users/{quote(aor, safe='')}")
            self.assertEqual((answer.status, answer.json["aor"]), (200, aor))
        self.assertEqual(self.ask("GET", "/v1/users/andr%25C3%25A9@example.test").status, 404)
        self.assertEqual(self.ask("GET", "/v1/users/ALICE@EXAMPLE.TEST").status, 404)
        self.assertEqual(self.ask("GET", "/v1/users/a/b@example.test").status, 404)

    def test_quotes_are_text(self) -> None:
        """Nothing of it reaches the database as SQL."""
        evil = "x';DROP/**/TABLE/**/accounts;--"
        self.assertEqual(self.add(evil, display_name="'\"; DROP TABLE accounts;--").status, 201)
        target = f"/v1/users/{quote(evil + '@example.test', safe='')}"
        self.assertEqual(self.ask("GET", target).json["user"], evil)
        listed = self.ask("GET", f"/v1/users?prefix={quote(evil)}&after={quote(chr(39))}").json["users"]
        self.assertEqual([user["user"] for user in listed], [evil])
        self.assertEqual(self.ask("GET", "/v1/users?prefix=%25").json["users"], [])
        self.assertEqual(self.ask("DELETE", target).status, 204)
        self.assertEqual(self.ask("GET", "/v1/users").json["users"], [])

    def test_changes(self) -> None:
        self.add("alice", display_name="Alice")
        answer = self.ask("PATCH", "/v1/users/alice@example.test", {"enabled": False, "roles": ["operator"]})
        self.assertEqual(answer.status, 200)
        shown = answer.json
        self.assertEqual(
            (shown["enabled"], shown["roles"], shown["display_name"]), (False, ["operator"], "Alice")
        )
        self.assertEqual(self.ask("PATCH", "/v1/users/alice@example.test", {}).json["roles"], ["operator"])
        self.assertEqual(self.ask("PATCH", "/v1/users/alice@example.test", {"roles": ["A"]}).status, 400)

    def test_roles_take_more_than_accounts(self) -> None:
        made = self.ask("POST", "/v1/keys", {"name": "k", "scopes": ["users:*", "keys:write"]})
        key = made.json["key"]
        for method, target, body in (
            ("POST", "/v1/users", {**ALICE, "roles": ["admin"]}),
            ("POST", "/v1/users", {**ALICE, "roles": []}),
            ("PATCH", "/v1/users/alice@example.test", {"roles": ["admin"]}),
        ):
            answer = self.ask(method, target, body, x_api_key=key)
            self.assertEqual(answer.status, 403)
            self.assertIn("roles:write", answer.json["detail"])
        self.assertEqual(self.ask("POST", "/v1/users", ALICE, x_api_key=key).json["roles"], ["user"])

    def test_roles_that_mean_nothing(self) -> None:
        self.add("alice")
        for method, target, body in (
            ("PATCH", "/v1/users/alice@example.test", {"roles": ["root"]}),
            ("PATCH", "/v1/users/alice@example.test", {"roles": ["viewer", "Operator"]}),
            ("POST", "/v1/users", {**ALICE, "user": "bob", "roles": ["superuser"]}),
        ):
            answer = self.ask(method, target, body)
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn("is none of the roles admin, operator, viewer, user", answer.json["detail"])
        self.assertEqual(len(self.ask("GET", "/v1/users").json["users"]), 1)

    def test_accounts_that_may_do_more_than_the_caller(self) -> None:
        """Who may change the password of an administrator would be one."""
        self.add("root", roles=["admin"])
        self.add("eye", roles=["viewer"])
        body = {"name": "k", "scopes": ["users:*", "roles:write", "bindings:read", "operations:read"]}
        self.ask("POST", "/v1/keys", {"name": "all", "scopes": ["*"]})
        with UserStore(f"sqlite:{self.folder}/users.db") as store:
            key = store.add_key("k", body["scopes"])[0]
        for user, status in (("root", 403), ("eye", 204), ("nobody", 404)):
            aor = f"/v1/users/{user}@example.test"
            answer = self.ask("PUT", f"{aor}/password", {"password": "mine"}, x_api_key=key)
            self.assertEqual(answer.status, status)
            answer = self.ask("PATCH", aor, {"enabled": False}, x_api_key=key)
            self.assertEqual(answer.status, 200 if status == 204 else status)
            self.assertEqual(self.ask("DELETE", aor, x_api_key=key).status, status)
        for role, status in (("admin", 403), ("operator", 403), ("viewer", 201)):
            more = {**ALICE, "user": role, "roles": [role]}
            self.assertEqual(self.ask("POST", "/v1/users", more, x_api_key=key).status, status)

    def test_an_account_for_the_api_alone(self) -> None:
        self.add("root", roles=["admin"], digest=False)
        phone = self.phone("root@example.test", "127.0.64.21")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 401)

    def test_unknown_accounts(self) -> None:
        for aor in ("nobody@example.test", "nobody", "@example.test", "sip:alice@example.test", "a@b@c"):
            target = f"/v1/users/{quote(aor, safe='')}"
            for method, path, body in (
                ("GET", target, None),
                ("DELETE", target, None),
                ("PATCH", target, {"enabled": True}),
                ("PUT", f"{target}/password", {"password": "x"}),
            ):
                answer = self.ask(method, path, body)
                self.assertEqual(answer.status, 404, (method, path))
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
                self.assertTrue(answer.json["detail"])

    def test_removal(self) -> None:
        self.add("alice")
        self.assertEqual(self.ask("DELETE", "/v1/users/alice@example.test").status, 204)
        self.assertEqual(self.ask("GET", "/v1/users/alice@example.test").status, 404)
        self.assertEqual(self.ask("DELETE", "/v1/users/alice@example.test").status, 404)

    def test_a_store_in_trouble(self) -> None:
        store: Any = self.role.accounts.opened
        for error, seconds in (
            (StoreBusy("locked by /secret"), "1"),
            (StoreError("/secret is damaged"), "5"),
        ):
            for name in (
                "list",
                "add",
                "get",
                "update",
                "set_password",
                "remove",
                "list_keys",
                "add_key",
                "remove_key",
            ):
                self.patch(store, name, lambda *args, error=error, **kwargs: fail(error))
            for method, target, body in (
                ("GET", "/v1/users", None),
                ("POST", "/v1/users", ALICE),
                ("GET", "/v1/users/alice@example.test", None),
                ("PATCH", "/v1/users/alice@example.test", {}),
                ("PUT", "/v1/users/alice@example.test/password", {"password": "x"}),
                ("DELETE", "/v1/users/alice@example.test", None),
                ("GET", "/v1/keys", None),
                ("POST", "/v1/keys", {"name": "k", "scopes": ["*"]}),
                ("DELETE", "/v1/keys/rvk_0", None),
            ):
                answer = self.ask(method, target, body)
                self.assertEqual((answer.status, answer.headers["retry-after"]), (503, seconds), target)
                self.assertNotIn(b"secret", answer.body)


class LockTests(RoleCase):
    def test_a_database_that_another_process_locks(self) -> None:
        """Reading goes on, writing is 503; when the lock is gone all is well."""
        self.patch(accounts, "UserStore", lambda url: UserStore(url, busy_timeout=0.05))
        self.run_role()
        other = sqlite3.connect(self.folder / "users.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            answer = self.client.ask("POST", "/v1/users", ALICE)
            self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
            self.assertEqual(self.client.ask("GET", "/v1/users").json["users"], [])
        finally:
            other.close()
        self.assertEqual(self.client.ask("POST", "/v1/users", ALICE).status, 201)


class FirstKeyTests(RoleCase):
    def test_it_leaves_a_way_back(self) -> None:
        """The first key closes an open API: one that may not make another would close it for good."""
        self.run_role()
        for scopes in ([], ["users:read"], ["users:*", "keys:read"], ["nosuch"]):
            answer = self.client.ask("POST", "/v1/keys", {"name": "k", "scopes": scopes})
            self.assertEqual(answer.status, 400, scopes)
        self.assertIn("is none of the scopes users:read, ", answer.json["detail"])
        self.assertEqual(self.client.ask("GET", "/v1/keys").json, {"keys": []})
        made = self.client.ask("POST", "/v1/keys", {"name": "k", "scopes": ["keys:*"]})
        self.assertEqual(made.status, 201)
        key = made.json["key"]
        made = self.client.ask("POST", "/v1/keys", {"name": "k", "scopes": ["keys:read"]}, x_api_key=key)
        self.assertEqual(made.status, 201)


class KeysTests(RoleCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_role('[http]\ntoken = "t0ken"\n')

    def ask(self, method: str, target: str, body: object = None) -> Response:
        return self.client.ask(method, target, body, x_api_key="t0ken")

    def test_a_key_is_shown_once(self) -> None:
        expires = time.time() + 1000
        body = {"name": "scraper", "scopes": ["users:read", "bindings:*"], "expires": expires}
        answer = self.ask("POST", "/v1/keys", body)
        self.assertEqual(answer.status, 201)
        key, record = answer.json["key"], answer.json["record"]
        self.assertEqual(answer.headers["location"], f"/v1/keys/{record['prefix']}")
        self.assertTrue(key.startswith(f"{record['prefix']}_"))
        self.assertLess(abs(record.pop("created") - time.time()), 60)
        self.assertEqual(
            record,
            {
                "prefix": key[:16],
                "name": "scraper",
                "scopes": ["bindings:*", "users:read"],
                "owner": "",
                "expires": expires,
                "last_used": 0.0,
            },
        )
        listed = self.ask("GET", "/v1/keys")
        self.assertEqual([one["prefix"] for one in listed.json["keys"]], [key[:16]])
        self.assertNotIn(key[17:].encode(), listed.body)

    def test_a_revoked_key_is_refused(self) -> None:
        key = self.ask("POST", "/v1/keys", {"name": "k", "scopes": ["*"]}).json["key"]
        self.assertEqual(self.client.ask("GET", "/v1/users", x_api_key=key).status, 200)
        self.assertEqual(self.ask("DELETE", f"/v1/keys/{key[:16]}").status, 204)
        self.assertEqual(self.client.ask("GET", "/v1/users", x_api_key=key).status, 401)
        self.assertEqual(self.ask("DELETE", f"/v1/keys/{key[:16]}").status, 404)
        self.assertEqual(self.ask("DELETE", "/v1/keys/nonsense").status, 404)

    def test_what_is_not_acceptable(self) -> None:
        refused: list[dict[str, object]] = [
            {"name": "k"},
            {"scopes": []},
            {"name": "k\u0000", "scopes": []},
            {"name": "k" * 200, "scopes": []},
            {"name": "k", "scopes": ["No Scope"]},
            {"name": "k", "scopes": ["nosuch"]},
            {"name": "k", "scopes": ["users:read", "users:all"]},
            {"name": "k", "scopes": ["user*"]},
            {"name": "k", "scopes": [f"s{index}" for index in range(80)]},
            {"name": "k", "scopes": [], "expires": 1.0},
            {"name": "k", "scopes": [], "expires": -1.0},
            {"name": "k", "scopes": [], "expires": 1e300},
            {"name": "k", "scopes": [], "owner": "nonsense"},
        ]
        for body in refused:
            self.assertEqual(self.ask("POST", "/v1/keys", body).status, 400, body)
        body = {"name": "k", "scopes": [], "owner": "nobody@example.test"}
        self.assertEqual(self.ask("POST", "/v1/keys", body).status, 404)
        self.assertEqual(self.ask("GET", "/v1/keys").json, {"keys": []})
