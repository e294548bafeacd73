"""The HTTP side of a role: where it listens, who may call, health, metrics, its own description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import fail, maybeDeferred
from twisted.internet.protocol import ClientCreator, Factory, Protocol

from rvoip.common.errors import ConfigError, StartError
from rvoip.registrar import errors as location
from rvoip.registrar.binding import Applied, Change
from rvoip.services.callers import KEYS_WRITE, USERS_READ
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.test.common.http_client import Response
from rvoip.test.services.roles import HOST, RoleCase
from rvoip.users.errors import StoreError
from rvoip.users.store import UserStore

PUBLIC = {"/health", "/health/ready", "/health/live", "/metrics", "/v1/docs"}


def requests(role: SIPRole) -> list[tuple[str, str]]:
    """A method and target for each route that asks who calls."""
    return [
        (route.method, re.sub(r"\{\w+\}", "x", route.path))
        for route in role.http.api.routes
        if not route.is_public
    ]


class ListeningTests(RoleCase):
    def address_of(self, role: SIPRole) -> object:
        assert role.http.service is not None
        return role.http.service.address

    def test_by_default_on_loopback(self) -> None:
        role = self.run_role()
        address: Any = self.address_of(role)
        self.assertEqual((address.host, address.port), ("127.0.0.1", 8080))

    def test_none(self) -> None:
        role = self.run_role('[http]\nlisten = "none"\n')
        self.assertIsNone(role.http.service)
        self.assertNotIn("http", role.namedServices)

    def test_it_stops_after_sip_and_starts_before_it(self) -> None:
        role = self.make()
        names = [service.name for service in role]
        self.assertEqual(names[-2:], ["http", "sip"])
        self.assertLess(names.index("location"), names.index("http"))
        self.assertLess(names.index("accounts"), names.index("http"))

    def test_over_a_connection(self) -> None:
        self.run_role()
        received: list[bytes] = []

        class Reader(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)

        creator = ClientCreator(self.reactor, Reader)
        reader = self.reactor.result_of(creator.connectTCP("127.0.0.1", 8080))
        reader.transport.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.reactor.run_until(lambda: bool(received))
        self.assertTrue(b"".join(received).startswith(b"HTTP/1.1 200 OK\r\n"))

    def refused(self, text: str) -> str:
        role = self.make(text)
        with self.assertRaises(SystemExit) as caught:
            role.privilegedStartService()
        self.reactor.advance(10)
        return str(caught.exception)

    def test_other_machines_are_let_in_with_a_token_only(self) -> None:
        for listen in ("0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"):
            line = self.refused(f'[http]\nlisten = "{listen}"\n')
            self.assertIn(f"listen {listen}: other machines reach it: it needs a token", line)
            self.assertNotIn("\n", line)

    def test_a_token_is_enough(self) -> None:
        self.run_role('[http]\nlisten = "0.0.0.0:8080"\ntoken = "t0ken"\n')
        self.assertEqual(self.client.ask("GET", "/v1/users").status, 401)

    def test_a_key_that_another_process_makes(self) -> None:
        """Within a second the API is closed, and open again when the last key is revoked."""
        self.run_role()
        self.assertEqual(self.client.ask("GET", "/v1/status").status, 200)
        with UserStore(f"sqlite:{self.folder}/users.db") as store:
            key, record = store.add_key("operator", ["operations:read"])
            self.reactor.advance(1.1)
            self.assertEqual(self.client.ask("GET", "/v1/status").status, 401)
            self.assertEqual(self.client.ask("GET", "/v1/status", x_api_key=key).status, 200)
            store.remove_key(record.prefix)
            self.reactor.advance(1.1)
        self.assertEqual(self.client.ask("GET", "/v1/status").status, 200)

    def test_an_api_key_is_enough_and_its_removal_opens_nothing(self) -> None:
        with UserStore(f"sqlite:{self.folder}/users.db") as store:
            key, record = store.add_key("operator", ["*"])
        self.run_role('[http]\nlisten = "0.0.0.0:8080"\n')
        self.assertEqual(self.client.ask("GET", "/v1/keys", x_api_key=key).status, 200)
        self.assertEqual(self.client.ask("DELETE", f"/v1/keys/{record.prefix}", x_api_key=key).status, 204)
        self.assertEqual(self.client.ask("GET", "/v1/keys", x_api_key=key).status, 401)
        self.assertEqual(self.client.ask("GET", "/v1/keys").status, 401)

    def test_a_bad_address_is_one_line(self) -> None:
        with self.assertRaises(ConfigError) as caught:
            self.make('[http]\nlisten = "nowhere"\n')
        self.assertIn("role.toml: http.listen: ", str(caught.exception))

    def test_a_port_in_use_is_one_line_and_nothing_stays_bound(self) -> None:
        port = self.reactor.listenTCP(8080, Factory(), interface="127.0.0.1")
        self.assertIn("127.0.0.1:8080", self.refused(""))
        self.reactor.result_of(maybeDeferred(port.stopListening))
        self.run_role()

    def test_a_missing_certificate_is_one_line(self) -> None:
        line = self.refused('[http]\ncertificate = "no.pem"\nprivate_key = "no.pem"\n')
        self.assertIn("no.pem", line)
        self.assertNotIn("\n", line)


class CallersTests(RoleCase):
    def test_without_a_token_this_machine_may_do_all(self) -> None:
        role = self.run_role()
        for method, target in requests(role):
            status = self.client.ask(method, target).status
            self.assertIn(status, (200, 404, 415), (method, target))

    def test_with_a_token_every_route_asks_for_it(self) -> None:
        role = self.run_role('[http]\ntoken = "t0ken"\n')
        found = requests(role)
        self.assertEqual(len(found), 41)
        for method, target in found:
            for given in (None, "Bearer wrong", "Bearer t0ken2", "Bearer T0ken", "Basic dDBrZW46", "t0ken"):
                answer = self.client.ask(method, target, authorization=given)
                self.assertEqual(answer.status, 401, (method, target, given))
                self.assertEqual(answer.headers["content-type"], "application/problem+json")
                self.assertTrue(answer.headers["www-authenticate"].startswith("Bearer"))
            status = self.client.ask(method, target, authorization="Bearer t0ken").status
            self.assertIn(status, (200, 404, 415), (method, target))

    def test_who_has_no_token_does_not_learn_the_routes(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        for target in ("/v1/nothing", "/", "/v1/users/a@b/c"):
            self.assertEqual(self.client.ask("GET", target).status, 401)

    def test_health_and_metrics_are_for_anyone(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        for target in PUBLIC:
            self.assertEqual(self.client.ask("GET", target).status, 200, target)

    def test_a_page_of_another_site_is_refused(self) -> None:
        role = self.run_role()
        for method, target in requests(role):
            self.assertEqual(self.client.ask(method, target, host="evil.test").status, 403)
            self.assertEqual(self.client.ask(method, target, origin="http://evil.test").status, 403)
        self.assertEqual(self.client.ask("GET", "/v1/users", host="example.test").status, 200)

    def make_key(self, *scopes: str, **by: str) -> str:
        answer = self.client.ask("POST", "/v1/keys", {"name": "k", "scopes": scopes}, **by)
        self.assertEqual(answer.status, 201, answer.body)
        return str(answer.json["key"])

    def test_the_first_key_closes_the_api_and_the_last_one_opens_it(self) -> None:
        self.run_role()
        key = self.make_key("*")
        self.assertEqual(self.client.ask("GET", "/v1/users").status, 401)
        self.assertEqual(self.client.ask("GET", "/v1/users", authorization=f"Bearer {key}").status, 200)
        self.assertEqual(self.client.ask("DELETE", f"/v1/keys/{key[:16]}", x_api_key=key).status, 204)
        self.assertEqual(self.client.ask("GET", "/v1/users").status, 200)

    def test_the_key_of_an_account_goes_away_with_it(self) -> None:
        role = self.run_role('[http]\ntoken = "t0ken"\n')
        self.add_account(role, "alice@example.test")
        body = {"name": "k", "scopes": ["*"], "owner": "alice@example.test"}
        key = self.client.ask("POST", "/v1/keys", body, x_api_key="t0ken").json["key"]
        self.assertEqual(self.client.ask("GET", "/v1/status", x_api_key=key).status, 200)
        self.client.ask("DELETE", "/v1/users/alice@example.test", x_api_key="t0ken")
        self.assertEqual(self.client.ask("GET", "/v1/status", x_api_key=key).status, 401)
        self.assertEqual(role.accounts.keys, 0)

    def test_each_route_needs_its_scope(self) -> None:
        role = self.run_role('[http]\ntoken = "t0ken"\n')
        none = self.make_key(x_api_key="t0ken")
        for route in role.http.api.routes:
            if route.is_public:
                continue
            target = re.sub(r"\{\w+\}", "x", route.path)
            if not route.scopes:
                status = self.client.ask(route.method, target, x_api_key=none).status
                self.assertEqual(status, 415 if target == "/v1/rpc" else 200)
                continue
            answer = self.client.ask(route.method, target, x_api_key=none)
            self.assertEqual(answer.status, 403, target)
            self.assertIn(route.scopes[0], answer.json["detail"])
            exact = self.make_key(*route.scopes, x_api_key="t0ken")
            wide = self.make_key(f"{route.scopes[0].partition(':')[0]}:*", x_api_key="t0ken")
            for key in (exact, wide):
                status = self.client.ask(route.method, target, x_api_key=key).status
                self.assertIn(status, (200, 404, 415), target)

    def test_no_key_gives_what_it_does_not_have(self) -> None:
        self.run_role('[http]\ntoken = "t0ken"\n')
        key = self.make_key(KEYS_WRITE, USERS_READ, x_api_key="t0ken")
        for scopes in (["*"], ["users:*"], [USERS_READ, "users:write"], ["traces:read"]):
            answer = self.client.ask("POST", "/v1/keys", {"name": "x", "scopes": scopes}, x_api_key=key)
            self.assertEqual(answer.status, 403, scopes)
        self.make_key(USERS_READ, KEYS_WRITE, x_api_key=key)
        wide = self.make_key("keys:*", x_api_key="t0ken")
        self.make_key("keys:*", KEYS_WRITE, x_api_key=wide)

    def test_a_store_that_fails_lets_nobody_in(self) -> None:
        role = self.run_role()
        key = self.make_key("*")
        self.patch(role.accounts.opened, "find_key", lambda key: fail(StoreError("/secret/path is damaged")))
        answer = self.client.ask("GET", "/v1/status", x_api_key=key)
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "5"))
        self.assertNotIn(b"secret", answer.body)


class HealthTests(RoleCase):
    def health(self, target: str = "/health") -> Response:
        return self.client.ask("GET", target)

    def test_ready(self) -> None:
        self.run_role()
        answer = self.health()
        checks = dict.fromkeys(("listeners", "accounts", "location", "load"), "ok")
        self.assertEqual((answer.status, answer.json), (200, {"status": "ready", "checks": checks}))

    def test_starting(self) -> None:
        role = self.make()
        self.assertEqual(role.http.health.report().status, "starting")

    def test_draining(self) -> None:
        role = self.run_role()
        self.reactor.result_of(role.drain())
        self.assertEqual((self.health().status, self.health().json["status"]), (503, "draining"))
        self.assertEqual(self.health("/health/live").status, 200)
        self.assertEqual(self.client.ask("GET", "/v1/users").status, 200)

    def check_fails(self, name: str, reason: str) -> None:
        answer = self.health()
        self.assertEqual((answer.status, answer.json["status"]), (503, "failing"))
        checks = answer.json["checks"]
        self.assertRegex(checks.pop(name), reason)
        self.assertEqual(set(checks.values()), {"ok"})

    def test_a_socket_that_closed(self) -> None:
        role = self.run_role()
        self.reactor.result_of(role.sip.transport.listeners[0].stop())
        self.check_fails("listeners", f"^udp:{HOST}:5060 is listened on no more$")

    def test_accounts_that_cannot_be_read(self) -> None:
        role = self.run_role()
        store: Any = role.accounts.opened
        self.patch(store, "changes_since", lambda revision: fail(StoreError("locked")))
        self.reactor.advance(1.0)
        self.check_fails("accounts", "^the store does not answer$")

    def test_bindings_that_cannot_be_written(self) -> None:
        role = self.run_role()
        role.location.store.trouble = "disk full"
        self.check_fails("location", "^disk full$")

    def test_a_sqlite_store_that_cannot_write(self) -> None:
        role = self.run_role('[location]\nstore = "sqlite:location.db"\n[registrar]\n')
        self.assertEqual(role.location.store.trouble, "")
        role.location.store._report("disk full")
        self.check_fails("location", "^disk full$")
        role.location.store._report("")
        self.assertEqual(self.health().status, 200)

    def test_load(self) -> None:
        role = self.run_role()
        role.sip.admission.note_lag(0.3)
        self.check_fails("load", r"^messages wait for 0\.30 seconds$")


class MetricsTests(RoleCase):
    def metrics(self) -> dict[str, dict[str, float]]:
        """Values by name and by the values of the labels, joined."""
        answer = self.client.ask("GET", "/metrics")
        self.assertEqual(answer.status, 200)
        found: dict[str, dict[str, float]] = {}
        for family in text_string_to_metric_families(answer.body.decode()):
            for sample in family.samples:
                labels = " ".join(sample.labels[name] for name in sorted(sample.labels))
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def test_a_call(self) -> None:
        role = self.run_role("[registrar]\n")
        for aor in ("alice@example.test", "bob@example.test"):
            self.add_account(role, aor)
        alice = self.phone("alice@example.test", "127.0.64.21", transport="TCP")
        bob = self.phone("bob@example.test", "127.0.64.22", port=5080)
        for phone in (alice, bob, bob):
            self.reactor.result_of(phone.register())
        self.talk(alice, bob)
        alice.send_raw(b"FLY sip:bob@example.test SIP/2.0\r\n\r\n")
        self.reactor.advance(0.1)
        found = self.metrics()

        def value(name: str, labels: str = "") -> float:
            return found[f"rvoip_proxy_{name}"][labels]

        self.assertEqual(value("requests_total", "REGISTER"), 6)
        self.assertEqual(value("requests_total", "INVITE"), 1)
        self.assertEqual(value("requests_total", "ACK"), 1)
        self.assertEqual(value("requests_total", "BYE"), 1)
        self.assertEqual(value("forwarded_total"), 2)
        self.assertEqual(value("challenges_total"), 3)
        self.assertEqual(value("authentications_total", "accepted"), 3)
        self.assertEqual(value("authentications_total", "failed"), 0)
        self.assertEqual(value("registrations_total", "created"), 2)
        self.assertEqual(value("registrations_total", "refreshed"), 1)
        self.assertEqual((value("bindings"), value("aors")), (2, 2))
        self.assertEqual(value("connections_total", "accepted"), 1)
        self.assertEqual(value("open_connections"), 1)
        self.assertEqual(value("dropped_total", "parse"), 1)
        # Each REGISTER was challenged; then 200 to each of them, and to INVITE and BYE.
        self.assertEqual(value("responses_total", "4xx out"), 3)
        self.assertEqual(value("responses_total", "2xx out"), 5)
        self.assertEqual(value("responses_total", "2xx in"), 2)
        self.assertEqual(value("traced_calls"), 1)
        self.assertGreater(value("traced_bytes"), 1000)
        self.assertEqual(value("messages_total", "in"), role.sip.transport.counters.received)

    def test_a_method_that_nobody_knows_makes_no_series(self) -> None:
        role = self.run_role("[registrar]\n")
        phone = self.phone("alice@example.test", "127.0.64.21")
        for method in ("FLY", "SWIM"):
            self.reactor.result_of(phone.request(method, f"sip:{HOST}:5060"))
        self.assertEqual(role.sip.transactions.requests["other"], 2)
        self.assertNotIn("FLY", self.metrics()["rvoip_proxy_requests_total"])

    def test_every_metric_can_be_read(self) -> None:
        """A failure would be logged and leave the metric out."""
        for name, registrar in (("proxy", True), ("proxy", False), ("registrar", True)):
            role = self.make("[log]\nactivity = true\n", name, registrar)
            for family in role.http.metrics.registry.collect():
                if family.name.startswith("rvoip_") and not family.name.endswith(
                    ("dropped", "credential_lookups", "certificate_end_seconds")
                ):
                    self.assertTrue(family.samples, family.name)
                self.assertTrue(family.documentation, family.name)
            self.assertEqual(self.flushLoggedErrors(), [])
            ours = [family.name for family in role.http.metrics.registry.collect()]
            self.assertIn(f"rvoip_{name}_requests", ours)
            self.assertEqual(f"rvoip_{name}_forwarded" in ours, name == "proxy")

    def test_registrations_that_the_store_refused(self) -> None:
        role = self.run_role("[registrar]\nauthenticate = false\n")

        def apply(change: Change) -> Applied:
            raise location.StoreError("disk full")

        self.patch(role.location.store, "apply", apply)
        phone = self.phone("alice@example.test", "127.0.64.21")
        self.assertEqual(self.reactor.result_of(phone.register()).status, 503)
        self.assertEqual(self.metrics()["rvoip_proxy_registrations_unavailable_total"][""], 1)
        self.assertEqual(role.registrations["created"], 0)


class DescriptionTests(RoleCase):
    def test_the_document_is_valid_and_complete(self) -> None:
        role = self.run_role("[registrar]\n")
        document = self.client.ask("GET", "/v1/openapi.json").json
        validate(document)
        self.assertEqual(document["info"]["title"], "rvoip proxy")
        described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
        self.assertEqual(described, {(route.method, route.path) for route in role.http.api.routes})
        self.assertEqual(
            sorted(path for path in document["paths"] if path not in PUBLIC),
            [
                "/v1/bans",
                "/v1/bans/{source}",
                "/v1/bindings",
                "/v1/bindings/{aor}",
                "/v1/bindings/{aor}/{id}",
                "/v1/dialogs",
                "/v1/dialogs/{id}",
                "/v1/gateways",
                "/v1/gateways/{id}",
                "/v1/keys",
                "/v1/keys/{prefix}",
                "/v1/ladders",
                "/v1/ladders/{call_id}",
                "/v1/lists",
                "/v1/lists/{name}",
                "/v1/openapi.json",
                "/v1/presence/{aor}",
                "/v1/presence/{aor}/mailbox",
                "/v1/presence/{aor}/rules/{watcher}",
                "/v1/reload",
                "/v1/rpc",
                "/v1/status",
                "/v1/subscriptions",
                "/v1/transactions",
                "/v1/users",
                "/v1/users/{aor}",
                "/v1/users/{aor}/limits",
                "/v1/users/{aor}/password",
            ],
        )
        for item in document["paths"].values():
            for operation in item.values():
                self.assertTrue(operation["summary"], operation)

    def test_a_password_goes_in_only(self) -> None:
        self.run_role()
        schemas = self.client.ask("GET", "/v1/openapi.json").json["components"]["schemas"]
        self.assertEqual(
            {name for name, schema in schemas.items() if "password" in schema["properties"]},
            {"NewUser", "NewPassword"},
        )
        self.assertTrue(schemas["NewUser"]["properties"]["password"]["writeOnly"])


class HostileTests(RoleCase):
    def test_bodies(self) -> None:
        role = self.run_role()
        for method, target in requests(role):
            if method in ("GET", "DELETE") or target == "/v1/rpc":
                continue  # what is wrong with a body of JSON-RPC is said in JSON-RPC
            for body, status in (
                (b"{" + b" " * 70_000 + b"}", 413),
                (b"{", 400),
                (b"[]", 400),
                (b"[" * 1000, 400),
                (b"nonsense", 400),
                (b'"\xff"', 400),
                (
                    b"{}",
                    200
                    if target == "/v1/reload"
                    else 404
                    if method == "PATCH" or target.endswith("/limits")
                    else 400,
                ),
                (b'{"evil": 1}', 400),
                (b'{"user": "\\ud800", "name": "\\ud800"}', 400),
            ):
                answer = self.client.ask(method, target, body)
                self.assertEqual(answer.status, status, (method, target, body[:40]))
                kind = "application/json" if status == 200 else "application/problem+json"
                self.assertEqual(answer.headers["content-type"], kind)
            answer = self.client.ask(method, target, b"{}", content_type="text/plain")
            self.assertEqual(answer.status, 415)

    def test_paths(self) -> None:
        role = self.run_role()
        names = (
            "%00",
            "%0d%0aX:1",
            "%ff",
            "%zz",
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e",
            "a" * 8000,
            "%27%20OR%201=1--",
        )
        for route in role.http.api.routes:
            for name in names if "{" in route.path else ():
                target = re.sub(r"\{\w+\}", name.replace("\\", ""), route.path)
                body = b"{}" if route.body is not None else None
                status = self.client.ask(route.method, target, body).status
                self.assertIn(status, (400, 404), (route.method, target[:80]))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_queries(self) -> None:
        role = self.run_role()
        for route in role.http.api.routes:
            if route.query is None:
                continue
            for query in (
                "limit=0",
                "limit=-1",
                "limit=1_0",
                "limit=%D9%A1",
                "limit=99999",
                "x=1",
                "limit=1&limit=2",
                "%",
            ):
                self.assertEqual(self.client.ask("GET", f"{route.path}?{query}").status, 400, query)


class ReloadTests(RoleCase):
    def test_a_certificate_that_broke_changes_nothing(self) -> None:
        role = self.run_role()

        def broken(*files: str) -> None:
            raise StartError("http.pem: no certificate")

        self.patch(role.http.service, "reload", broken)
        path = Path(role.path or "")
        path.write_text(path.read_text() + "\n[registrar]\nmin_expires = 7\n")
        with self.assertRaises(ConfigError) as caught:
            role.apply(load(role.path, "proxy", {}), str(path))
        self.assertIn("http.certificate: http.pem: no certificate", str(caught.exception))
        self.assertIsNone(role.config.registrar)
