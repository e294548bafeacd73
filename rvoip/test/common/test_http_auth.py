"""Who may call: tokens, scopes, and what a browser sends."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.health import Health
from rvoip.common.http import API, Call
from rvoip.common.http_auth import Guard, Principal, is_loopback
from rvoip.common.http_operations import serve_health
from rvoip.test.common.http_client import Client, Response


class Base(SynchronousTestCase):
    def serve(self, guard: Guard, names: frozenset[str] = frozenset()) -> Client:
        self.clock = Clock()
        api = API("Test", "1", self.clock, guard=guard, names=names)
        self.callers: list[Principal] = []

        @api.route("GET", "/v1/read", scopes=("read",))
        def read(call: Call) -> None:
            self.callers.append(call.principal)

        @api.route("POST", "/v1/write", scopes=("read", "write"))
        def write(call: Call) -> None:
            self.callers.append(call.principal)

        serve_health(api, Health())
        return Client(api, self.clock)

    def refused(self, response: Response, status: int, challenge: str | None = None) -> None:
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertEqual(response.headers.get("www-authenticate"), challenge)


class TokenTests(Base):
    def test_without_a_token_it_is_open(self) -> None:
        guard = Guard()
        self.assertTrue(guard.is_open)
        self.assertEqual(self.serve(guard).ask("POST", "/v1/write").status, 204)
        self.assertEqual(self.callers[0].name, "anyone")

    def test_the_operators_token(self) -> None:
        client = self.serve(Guard("s3cret"))
        for headers in (
            {"authorization": "Bearer s3cret"},
            {"authorization": "bearer   s3cret "},
            {"x_api_key": "s3cret"},
        ):
            self.assertEqual(client.ask("POST", "/v1/write", **headers).status, 204)
        self.assertEqual({caller.name for caller in self.callers}, {"operator"})

    def test_no_token_and_wrong_tokens(self) -> None:
        client = self.serve(Guard("s3cret"))
        self.refused(client.ask("GET", "/v1/read"), 401, "Bearer")
        for authorization in (
            "Basic QTpC",
            "Bearer",
            "s3cret",
            "Bearer a b",
            "Bearer \xe4",
            "Bearer " + "x" * 5000,
        ):
            self.refused(client.ask("GET", "/v1/read", authorization=authorization), 401, "Bearer")
        for authorization in ("Bearer S3cret", "Bearer s3cret1", "Bearer s3cre"):
            self.refused(
                client.ask("GET", "/v1/read", authorization=authorization),
                401,
                'Bearer error="invalid_token"',
            )
        self.refused(client.ask("GET", "/v1/read", x_api_key="\xe4"), 401, 'Bearer error="invalid_token"')

    def test_two_tokens_are_none(self) -> None:
        client = self.serve(Guard("s3cret"))
        self.refused(
            client.ask("GET", "/v1/read", authorization="Bearer s3cret", x_api_key="x"), 401, "Bearer"
        )

    def test_a_stranger_does_not_learn_what_there_is(self) -> None:
        client = self.serve(Guard("s3cret"))
        for method, path in (("GET", "/v1/none"), ("PUT", "/v1/read"), ("OPTIONS", "/v1/read")):
            self.refused(client.ask(method, path), 401, "Bearer")
        self.assertEqual(client.ask("GET", "/v1/none", authorization="Bearer s3cret").status, 404)

    def test_health_is_for_anyone(self) -> None:
        self.assertEqual(self.serve(Guard("s3cret")).ask("GET", "/health/live").status, 200)

    def test_keys_and_scopes(self) -> None:
        keys = {
            "r": Principal("reader", frozenset({"read"})),
            "w": Principal("w", frozenset({"read", "write"})),
        }
        client = self.serve(Guard(authenticate=keys.get))
        self.assertEqual(client.ask("GET", "/v1/read", x_api_key="r").status, 204)
        self.assertEqual(client.ask("POST", "/v1/write", x_api_key="w").status, 204)
        self.refused(
            client.ask("POST", "/v1/write", x_api_key="r"),
            403,
            'Bearer error="insufficient_scope", scope="write"',
        )
        self.refused(client.ask("GET", "/v1/read", x_api_key="x"), 401, 'Bearer error="invalid_token"')
        self.assertEqual([caller.name for caller in self.callers], ["reader", "w"])

    def test_a_token_that_is_looked_up_later(self) -> None:
        waits: list[Deferred[Principal | None]] = []

        def authenticate(token: str) -> Deferred[Principal | None]:
            waits.append(Deferred())
            return waits[-1]

        client = self.serve(Guard(authenticate=authenticate))
        first = client.start("GET", "/v1/read", x_api_key="a")
        second = client.start("GET", "/v1/read", x_api_key="b")
        self.assertEqual(first.responses(), [])
        waits[1].callback(None)
        waits[0].callback(Principal("a", frozenset({"*"})))
        self.assertEqual(first.response().status, 204)
        self.refused(second.response(), 401, 'Bearer error="invalid_token"')

    def test_a_lookup_that_fails_lets_nobody_in(self) -> None:
        def authenticate(token: str) -> Principal | None:
            raise ValueError("the database is locked")

        client = self.serve(Guard(authenticate=authenticate))
        self.refused(client.ask("GET", "/v1/read", x_api_key="a"), 500)
        self.assertEqual(self.callers, [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_it_is_open_until_there_is_a_key(self) -> None:
        keys: dict[str, Principal] = {}
        guard = Guard(authenticate=keys.get, has_keys=lambda: bool(keys))
        client = self.serve(guard)
        self.assertTrue(guard.is_open)
        self.assertEqual(client.ask("GET", "/v1/read").status, 204)
        keys["k"] = Principal("k", frozenset({"read"}))
        self.assertFalse(guard.is_open)
        self.refused(client.ask("GET", "/v1/read"), 401, "Bearer")
        self.assertEqual(client.ask("GET", "/v1/read", x_api_key="k").status, 204)

    def test_a_token_closes_it_whatever_the_keys(self) -> None:
        self.assertFalse(Guard("t", authenticate=lambda token: None, has_keys=lambda: False).is_open)


class BrowserTests(Base):
    def test_hosts_on_loopback(self) -> None:
        client = self.serve(Guard(), frozenset({"Phone.Example.Test"}))
        for host in (
            "127.0.0.1:8080", "127.0.0.1", "127.9.9.9", "localhost:8080", "LOCALHOST", "[::1]:8080",
            "[::ffff:127.0.0.1]", "phone.example.test", "PHONE.example.test:80",
        ):  # fmt: skip
            self.assertEqual(client.ask("GET", "/v1/read", host=host).status, 204, host)
        for host in (
            "evil.test",
            "127.0.0.1.evil.test",
            "192.0.2.1",
            "localhost.evil.test",
            "[::2]",
            "0.0.0.0",
        ):
            for path in ("/v1/read", "/health"):
                self.refused(client.ask("GET", path, host=host), 403)
        for host in ("a b", "127.0.0.1:99999999", "user@127.0.0.1", "[::1", "127.0.0.1:", "\xe4"):
            self.refused(client.ask("GET", "/v1/read", host=host), 400)

    def test_a_host_is_needed_once(self) -> None:
        client = self.serve(Guard())
        self.refused(client.ask("GET", "/v1/read", host=None), 400)
        connection = client.connect()
        connection.send(b"GET /v1/read HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: localhost\r\n\r\n")
        self.refused(connection.response(), 400)
        connection = client.connect()
        connection.send(b"GET /v1/read HTTP/1.0\r\n\r\n")
        self.assertEqual(connection.response().status, 204)

    def test_any_host_elsewhere(self) -> None:
        client = self.serve(Guard("t"))
        client.site.any_host = True
        self.assertEqual(client.ask("GET", "/v1/read", host="sip.example.test", x_api_key="t").status, 204)

    def test_origins(self) -> None:
        client = self.serve(Guard())
        for origin in ("http://127.0.0.1:8080", "HTTP://127.0.0.1:8080", "https://127.0.0.1:8080"):
            self.assertEqual(client.ask("POST", "/v1/write", origin=origin).status, 204)
        for origin in (
            "http://evil.test",
            "null",
            "http://127.0.0.1:9090",
            "http://localhost:8080",
            "",
            "file://",
        ):
            self.refused(client.ask("POST", "/v1/write", origin=origin), 403)

    def test_is_loopback(self) -> None:
        for host in ("localhost", "127.0.0.1", "127.255.0.1", "::1", "[::1]", "::ffff:127.0.0.1"):
            self.assertTrue(is_loopback(host), host)
        for host in ("", "0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1", "example.test", "127.1", "0x7f.1"):
            self.assertFalse(is_loopback(host), host)
