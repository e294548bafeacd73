"""An HTTP API in memory: routes, bodies, errors, idempotency, the OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface.verify import verifyObject

from rvoip.common.health import Health
from rvoip.common.http import API, DEPTH_LIMIT, Call, Reply
from rvoip.common.http_operations import serve_health, serve_metrics, serve_openapi
from rvoip.common.idempotency import KEY_LIMIT
from rvoip.common.metrics import Metrics
from rvoip.common.problem import HTTPError
from rvoip.test.common.http_client import Client, Response


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    user: Annotated[str, msgspec.Meta(min_length=1)]
    age: Annotated[int, msgspec.Meta(ge=0)] = 0


class User(msgspec.Struct):
    aor: str
    age: int = 0


class Page(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    tag: list[str] = msgspec.field(default_factory=list)
    share: float = 0.0


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.api = API("Users", "1.0", self.clock, description="For tests.")
        self.client = Client(self.api, self.clock)
        self.calls: list[Any] = []
        self.declare()

    def declare(self) -> None:
        api = self.api

        @api.route("GET", "/v1/users", query=Page, response=list[User])
        def list_users(call: Call, query: Page) -> list[User]:
            """List the users.

            A page
            at a time.
            """
            self.calls.append(query)
            return [User("a", query.limit)]

        @api.route("POST", "/v1/users", body=NewUser, response=User, status=201, scopes=("users:write",))
        async def add_user(call: Call, body: NewUser) -> User:
            """Add a user."""
            self.calls.append(body)
            return User(body.user, body.age)

        @api.route("GET", "/v1/users/{aor}", response=User)
        def get_user(call: Call, aor: str) -> User:
            self.calls.append(aor)
            return User(aor)

        @api.route("DELETE", "/v1/users/{aor}")
        def remove_user(call: Call, aor: str) -> None:
            self.calls.append(aor)

        @api.route("GET", "/v1/users/me", response=User)
        def get_me(call: Call) -> User:
            return User("me", int(call.header("X-Age") or 0))

    def ask(self, method: str, target: str, body: object = None, **headers: str | None) -> Response:
        return self.client.ask(method, target, body, **headers)

    def problem(self, response: Response, status: int) -> dict[str, Any]:
        """Check that an answer is a problem of `status`, and return it."""
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"Traceback", response.body)
        problem = response.json
        assert isinstance(problem, dict)
        self.assertEqual(problem["status"], status)
        return problem


class RouteTests(Base):
    def test_interface(self) -> None:
        verifyObject(IResource, self.api)
        self.assertRaises(TypeError, self.api.putChild, b"x", Resource())

    def test_get(self) -> None:
        response = self.ask("GET", "/v1/users/sip%3Aalice%40example.test")
        self.assertEqual((response.status, response.json), (200, {"aor": "sip:alice@example.test", "age": 0}))
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["content-length"], str(len(response.body)))
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("server", response.headers)

    def test_post(self) -> None:
        response = self.ask("POST", "/v1/users", {"user": "bob", "age": 7})
        self.assertEqual((response.status, response.json), (201, {"aor": "bob", "age": 7}))
        self.assertEqual(self.calls, [NewUser("bob", 7)])

    def test_an_answer_without_a_body(self) -> None:
        response = self.ask("DELETE", "/v1/users/bob")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertNotIn("content-type", response.headers)

    def test_a_fixed_segment_goes_before_a_parameter(self) -> None:
        self.assertEqual(self.ask("GET", "/v1/users/me", x_age="3").json, {"aor": "me", "age": 3})
        self.assertEqual(self.ask("DELETE", "/v1/users/me").status, 204)
        self.assertEqual(self.calls, ["me"])

    def test_head(self) -> None:
        response = self.ask("HEAD", "/v1/users/bob")
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(int(response.headers["content-length"]), len(b'{"aor":"bob","age":0}'))

    def test_options(self) -> None:
        response = self.ask("OPTIONS", "/v1/users/bob")
        self.assertEqual((response.status, response.headers["allow"]), (204, "GET, DELETE, HEAD, OPTIONS"))
        self.problem(self.ask("OPTIONS", "/v1/none"), 404)

    def test_query(self) -> None:
        response = self.ask("GET", "/v1/users?limit=5&tag=a+b&tag=%C3%BC&share=0.5")
        self.assertEqual(response.status, 200)
        self.assertEqual(self.calls, [Page(5, ["a b", "ü"], 0.5)])

    def test_bad_queries(self) -> None:
        for query, detail in [
            ("limit=0", "query: Expected `int` >= 1 - at `$.limit`"),
            ("limit=1_0", "query: Expected `int`, got `str` - at `$.limit`"),
            ("limit=%D9%A1", "query: Expected `int`, got `str` - at `$.limit`"),
            ("limit=", "query: Expected `int`, got `str` - at `$.limit`"),
            ("lim=1", "query: Object contains unknown field `lim`"),
            ("limit=1&limit=2", "the query has limit twice"),
            ("share=nan", "query: share is no number"),
            ("tag=%zz", "the query has a % that is no escape"),
            ("tag=%ff", "the query is not UTF-8"),
            ("tag=%00", "the query has a control character"),
        ]:
            self.assertEqual(self.problem(self.ask("GET", f"/v1/users?{query}"), 400)["detail"], detail)
        self.assertEqual(self.calls, [])

    def test_not_found(self) -> None:
        for path in ("/", "/v1", "/v1/users/", "/v1/users/a/b", "//v1/users", "/v1//users", "/v1/users/me/"):
            problem = self.problem(self.ask("GET", path), 404)
            self.assertEqual(problem["title"], "Not Found")

    def test_bad_paths(self) -> None:
        for path in (
            "/v1/users/%",
            "/v1/users/%4",
            "/v1/users/%ff",
            "/v1/users/%00",
            "/v1/users/%0a",
            "v1",
            "*",
        ):
            self.problem(self.ask("GET", path), 400)

    def test_a_parameter_is_text_not_a_path(self) -> None:
        for segment, text in [
            ("..%2f..%2fetc", "../../etc"),
            ("..", ".."),
            ("a%2Fb", "a/b"),
            ("%7B%7D", "{}"),
        ]:
            self.assertEqual(self.ask("GET", f"/v1/users/{segment}").json["aor"], text)

    def test_an_absolute_target(self) -> None:
        self.assertEqual(self.ask("GET", "http://127.0.0.1:8080/v1/users/bob", host=None).status, 200)
        self.problem(self.ask("GET", "http://evil.test/v1/users/bob"), 403)
        self.problem(self.ask("GET", "http://127.0.0.1:8080?x", host=None), 404)

    def test_method_not_allowed(self) -> None:
        for method in ("PUT", "PATCH", "BREW", "get"):
            response = self.ask(method, "/v1/users")
            self.problem(response, 405)
            self.assertEqual(response.headers["allow"], "GET, POST, HEAD, OPTIONS")

    def test_a_reply(self) -> None:
        @self.api.route("GET", "/v1/reply", content_type="text/csv")
        def get_reply(call: Call) -> Reply:
            return Reply(b"a,b", status=203, headers={"X-Extra": "1"})

        response = self.ask("GET", "/v1/reply")
        self.assertEqual((response.status, response.body), (203, b"a,b"))
        self.assertEqual((response.headers["content-type"], response.headers["x-extra"]), ("text/csv", "1"))

    def test_a_header_cannot_be_split(self) -> None:
        @self.api.route("GET", "/v1/split/{text}")
        def get_split(call: Call, text: str) -> Reply:
            return Reply(headers={"X-Text": "a\r\nX-Evil: 1"})

        self.assertNotIn("x-evil", self.ask("GET", "/v1/split/x").headers)

    def test_an_answer_that_comes_later(self) -> None:
        wait: Deferred[User] = Deferred()
        self.api.route("GET", "/v1/later", response=User)(lambda call: wait)
        connection = self.client.start("GET", "/v1/later")
        self.assertEqual(connection.responses(), [])
        wait.callback(User("late"))
        self.assertEqual(connection.response().json["aor"], "late")

    def test_a_client_that_left(self) -> None:
        wait: Deferred[User] = Deferred()
        self.api.route("GET", "/v1/later", response=User)(lambda call: wait)
        connection = self.client.start("GET", "/v1/later")
        connection.lose()
        wait.callback(User("late"))
        self.assertEqual(connection.responses(), [])

    def test_routes_that_cannot_work(self) -> None:
        def handler(call: Call, aor: str) -> None:
            self.calls.append(aor)

        for method, path in [
            ("GET", "/v1/users"),
            ("BREW", "/v1/x/{aor}"),
            ("GET", "/v1/x"),
            ("GET", "v1/{aor}"),
            ("GET", "/v1/{aor}/{aor}"),
            ("GET", "/v1/{aor}/"),
            ("GET", "/v1/{Aor}"),
        ]:
            self.assertRaises(ValueError, self.api.route(method, path), handler)
        self.assertRaises(ValueError, self.api.route("POST", "/v1/x/{aor}", body=User), handler)
        self.assertRaises(ValueError, self.api.route("GET", "/v1/x/{aor}", query=Page), handler)

    def test_a_mounted_resource(self) -> None:
        class Socket(Resource):
            isLeaf = True

            def render(self, request: Request) -> int:
                request.setHeader(b"Content-Length", b"2")
                request.write(b"ok")
                request.finish()
                return NOT_DONE_YET

        class Early(Resource):
            isLeaf = True

            def render(self, request: Request) -> bytes:
                return b"now"

        self.api.mount("/v1/control", cast(IResource, Socket()), summary="Commands and events.")
        self.api.mount("/v1/early", cast(IResource, Early()))
        self.assertEqual(self.ask("GET", "/v1/control").body, b"ok")
        self.problem(self.ask("GET", "/v1/control", host="evil.test"), 403)
        self.problem(self.ask("POST", "/v1/control"), 405)
        self.problem(self.ask("GET", "/v1/early"), 500)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class BodyTests(Base):
    def test_what_does_not_decode(self) -> None:
        for body, detail in [
            (b'{"user": 5}', "Expected `str`, got `int` - at `$.user`"),
            (b'{"user": ""}', "Expected `str` of length >= 1 - at `$.user`"),
            (b'{"user": "a", "age": -1}', "Expected `int` >= 0 - at `$.age`"),
            (b'{"user": "a", "agee": 1}', "Object contains unknown field `agee`"),
            (b"{}", "Object missing required field `user`"),
            (b"[]", "Expected `object`, got `array`"),
            (b"", "Input data was truncated"),
            (b'{"user": "a"', "Input data was truncated"),
            (b"{'user': 'a'}", "JSON is malformed: object keys must be strings (byte 1)"),
            (b'{"user": "\xff"}', "JSON is malformed: a string is not UTF-8"),
            (b'{"user": NaN}', "JSON is malformed: invalid character (byte 9)"),
        ]:
            self.assertEqual(self.problem(self.ask("POST", "/v1/users", body), 400)["detail"], detail)
        self.assertEqual(self.calls, [])

    def test_depth(self) -> None:
        self.api.route("POST", "/v1/any", body=Any, response=int)(lambda call, body: 1)
        for open_, close in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")):
            count = DEPTH_LIMIT // open_.count("[" if "[" in open_ else "{") // (2 if "[{" in open_ else 1)
            self.assertEqual(
                self.ask("POST", "/v1/any", (open_ * count + "1" + close * count).encode()).status, 200
            )
            response = self.ask("POST", "/v1/any", (open_ * (count + 1) + "1" + close * (count + 1)).encode())
            self.assertEqual(self.problem(response, 400)["detail"], "JSON is nested deeper than 64")
        deep = b"[" * 30_000 + b"]" * 30_000
        self.problem(self.ask("POST", "/v1/any", deep), 400)

    def test_brackets_in_strings_are_no_depth(self) -> None:
        self.api.route("POST", "/v1/any", body=Any, response=int)(lambda call, body: len(body))
        self.assertEqual(self.ask("POST", "/v1/any", ["[" * 500, '\\"[{' * 100]).json, 2)
        self.assertEqual(self.ask("POST", "/v1/any", [[]] * 500).json, 500)

    def test_the_depth_of_hostile_text_is_found_fast(self) -> None:
        for unit in (b'"', b'\\"', b'["', b'"\\'):
            self.problem(self.ask("POST", "/v1/users", (b"[" * 65 + unit * 40_000)[:65_000]), 400)

    def test_media_types(self) -> None:
        for media_type in (
            "application/json",
            "Application/JSON; charset=utf-8",
            'application/json;charset="UTF-8"',
        ):
            self.assertEqual(
                self.ask("POST", "/v1/users", {"user": "a"}, content_type=media_type).status, 201
            )
        for wrong in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin-1",
            "",
            None,
        ):
            response = self.ask("POST", "/v1/users", {"user": "a"}, content_type=wrong)
            self.problem(response, 415)
            self.assertEqual(response.headers["accept"], "application/json")

    def test_content_encoding(self) -> None:
        self.problem(self.ask("POST", "/v1/users", b"\x1f\x8b", content_encoding="gzip"), 415)
        self.problem(self.ask("DELETE", "/v1/users/a", b"\x1f\x8b", content_encoding="gzip"), 415)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.one_of(st.binary(max_size=300), st.text('{}[]":,user\\ 0-1.eE', max_size=300)))
    def test_any_body_is_an_answer(self, body: bytes | str) -> None:
        content = body.encode() if isinstance(body, str) else body
        response = self.ask("POST", "/v1/users", content)
        if response.status != 201:
            self.problem(response, 400)


class ErrorTests(Base):
    def logged(self) -> list[LogEvent]:
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return events

    def test_an_error_of_a_handler(self) -> None:
        @self.api.route("GET", "/v1/teapot")
        async def get_teapot(call: Call) -> None:
            raise HTTPError(418, "x" * 1000, headers={"Retry-After": "5"}, type="https://example.test/tea")

        response = self.ask("GET", "/v1/teapot")
        problem = self.problem(response, 418)
        self.assertEqual((problem["title"], problem["type"]), ("I'm a Teapot", "https://example.test/tea"))
        self.assertLess(len(problem["detail"]), 600)
        self.assertEqual(response.headers["retry-after"], "5")

    def test_a_status_without_a_name_and_text_that_is_none(self) -> None:
        @self.api.route("GET", "/v1/odd")
        def get_odd(call: Call) -> None:
            raise HTTPError(499, "\ud800")

        self.assertEqual(
            self.problem(self.ask("GET", "/v1/odd"), 499),
            {"title": "Status 499", "status": 499, "detail": "'\\ud800'"},
        )

    def test_an_unexpected_error_is_logged_with_the_id_that_the_caller_gets(self) -> None:
        @self.api.route("GET", "/v1/bug/{kind}", response=int)
        def get_bug(call: Call, kind: str) -> object:
            if kind == "now":
                raise ValueError("secret detail")
            if kind == "later":
                failed: Deferred[None] = Deferred()
                failed.errback(ValueError("secret detail"))
                return failed
            return object()

        events = self.logged()
        for kind, error in [("now", ValueError), ("later", ValueError), ("unencodable", TypeError)]:
            events.clear()
            response = self.ask("GET", f"/v1/bug/{kind}")
            problem = self.problem(response, 500)
            self.assertNotIn(b"secret", response.body)
            self.assertTrue(problem["instance"].startswith("urn:uuid:"))
            (failure,) = [event for event in events if "log_failure" in event]
            self.assertEqual(failure["incident"], problem["instance"])
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)

    def test_refused_callers_cost_one_line_in_ten_seconds(self) -> None:
        events = self.logged()
        for _ in range(50):
            self.problem(self.ask("GET", "/v1/users/a", host="evil.test"), 403)
        lines = [event for event in events if event["log_level"].name == "warn"]
        self.assertEqual(len(lines), 1)
        self.clock.advance(10)
        self.ask("GET", "/v1/users/a", host="evil.test")
        lines = [event for event in events if event["log_level"].name == "warn"]
        self.assertEqual([line["suppressed"] for line in lines], [0, 49])

    def test_changes_are_logged_and_reads_are_not(self) -> None:
        events = self.logged()
        self.ask("GET", "/v1/users/a")
        self.ask("DELETE", "/v1/users/a")
        (line,) = [event for event in events if event["log_level"].name == "info"]
        self.assertEqual(
            (line["method"], line["path"], line["status"], line["caller"], line["peer"]),
            ("DELETE", "/v1/users/a", 204, "anyone", "127.0.0.1"),
        )


class IdempotencyTests(Base):
    def post(self, user: str, key: str, **headers: str) -> Response:
        return self.ask("POST", "/v1/users", {"user": user}, idempotency_key=key, **headers)

    def test_the_same_again(self) -> None:
        first, second = self.post("a", "k1"), self.post("a", "k1")
        self.assertEqual((second.status, second.body), (first.status, first.body))
        self.assertNotIn("idempotency-replayed", first.headers)
        self.assertEqual(second.headers["idempotency-replayed"], "true")
        self.assertEqual(len(self.calls), 1)
        self.assertEqual(self.post("a", "k2").status, 201)
        self.assertEqual(len(self.calls), 2)

    def test_another_request_with_the_key(self) -> None:
        self.post("a", "k1")
        self.problem(self.post("b", "k1"), 422)
        self.api.route("POST", "/v1/other", body=NewUser)(lambda call, body: None)
        self.problem(self.ask("POST", "/v1/other", {"user": "a"}, idempotency_key="k1"), 422)

    def test_at_the_same_time(self) -> None:
        wait: Deferred[None] = Deferred()
        self.api.route("POST", "/v1/slow", body=NewUser)(lambda call, body: wait)
        first = self.client.start("POST", "/v1/slow", {"user": "a"}, idempotency_key="k")
        second = self.ask("POST", "/v1/slow", {"user": "a"}, idempotency_key="k")
        self.problem(second, 409)
        self.assertEqual(second.headers["retry-after"], "1")
        wait.callback(None)
        self.assertEqual(first.response().status, 204)
        self.assertEqual(self.ask("POST", "/v1/slow", {"user": "a"}, idempotency_key="k").status, 204)

    def test_a_refusal_is_kept_and_a_failure_is_not(self) -> None:
        answers: list[Exception | None] = [HTTPError(404, "none"), None]

        @self.api.route("POST", "/v1/once", body=NewUser)
        def once(call: Call, body: NewUser) -> None:
            if (answer := answers.pop(0)) is not None:
                raise answer

        for _ in range(2):
            self.problem(self.ask("POST", "/v1/once", {"user": "a"}, idempotency_key="k"), 404)
        for error in (HTTPError(503), ValueError("bug")):
            answers[:] = [error, None]
            status = error.status if isinstance(error, HTTPError) else 500
            key = f"k{status}"
            self.problem(self.ask("POST", "/v1/once", {"user": "a"}, idempotency_key=key), status)
            self.assertEqual(self.ask("POST", "/v1/once", {"user": "a"}, idempotency_key=key).status, 204)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_did_not_decode_is_not_kept(self) -> None:
        self.problem(self.ask("POST", "/v1/users", {"user": 5}, idempotency_key="k"), 400)
        self.assertEqual(self.post("a", "k").status, 201)

    def test_keys_that_are_none(self) -> None:
        for key in ("", "x" * (KEY_LIMIT + 1), "ü", "a\tb"):
            self.problem(self.post("a", key), 400)

    def test_an_answer_is_kept_for_an_hour(self) -> None:
        self.post("a", "k")
        self.clock.advance(3599)
        self.post("a", "k")
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(1)
        self.post("b", "k")
        self.assertEqual(len(self.calls), 2)

    def test_other_methods_have_no_keys(self) -> None:
        for _ in range(2):
            self.ask("DELETE", "/v1/users/a", idempotency_key="k")
        self.assertEqual(len(self.calls), 2)


class OperationsTests(Base):
    def declare(self) -> None:
        super().declare()
        self.health = Health()
        serve_health(self.api, self.health)
        serve_metrics(self.api, Metrics("test"))
        serve_openapi(self.api)

    def test_health(self) -> None:
        self.health.add("store", lambda: None)
        self.assertEqual(
            (self.ask("GET", "/health").status, self.ask("GET", "/health/live").status), (503, 200)
        )  # fmt: skip
        self.health.start()
        response = self.ask("GET", "/health")
        self.assertEqual(
            (response.status, response.json), (200, {"status": "ready", "checks": {"store": "ok"}})
        )
        self.assertEqual(self.ask("GET", "/health/ready").status, 200)
        self.health.add("writer", lambda: "stuck", vital=True)
        for path in ("/health", "/health/ready", "/health/live"):
            self.assertEqual(self.ask("GET", path).status, 503)
        self.assertEqual(self.ask("GET", "/health").json["checks"]["writer"], "stuck")

    def test_metrics(self) -> None:
        response = self.ask("GET", "/metrics")
        self.assertTrue(response.headers["content-type"].startswith("text/plain"))
        self.assertIn(b"process_resident_memory_bytes", response.body)
        other = self.ask("GET", "/metrics", accept="application/openmetrics-text")
        self.assertTrue(other.headers["content-type"].startswith("application/openmetrics-text"))

    def test_the_document_is_valid_and_says_what_the_routes_are(self) -> None:
        self.api.mount("/v1/control", cast(IResource, Resource()), summary="Commands.")
        document = self.ask("GET", "/v1/openapi.json").json
        validate(document)
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertEqual(document["info"], {"title": "Users", "version": "1.0", "description": "For tests."})
        users = document["paths"]["/v1/users"]
        self.assertEqual(
            users["post"]["requestBody"]["content"]["application/json"]["schema"],
            {"$ref": "#/components/schemas/NewUser"},
        )
        self.assertEqual(
            users["post"]["responses"]["201"]["content"]["application/json"]["schema"],
            {"$ref": "#/components/schemas/User"},
        )
        self.assertIn({"bearer": ["users:write"]}, users["post"]["security"])
        self.assertIn("Idempotency-Key", [one["name"] for one in users["post"]["parameters"]])
        self.assertEqual(
            (users["get"]["summary"], users["get"]["description"]), ("List the users", "A page at a time.")
        )
        self.assertEqual(
            [(one["name"], one["in"], one["required"]) for one in users["get"]["parameters"]],
            [("limit", "query", False), ("tag", "query", False), ("share", "query", False)],
        )
        one = document["paths"]["/v1/users/{aor}"]
        self.assertEqual(one["get"]["parameters"][0]["name"], "aor")
        self.assertNotIn("content", one["delete"]["responses"]["204"])
        problem = one["get"]["responses"]["default"]["content"]["application/problem+json"]["schema"]
        self.assertEqual(problem, {"$ref": "#/components/schemas/Problem"})
        self.assertEqual(document["components"]["schemas"]["NewUser"]["properties"]["age"]["minimum"], 0)
        self.assertEqual(document["paths"]["/health"]["get"]["security"], [])
        json.dumps(document)

    def test_operation_ids_are_unique(self) -> None:
        @self.api.route("GET", "/v2/users", response=list[User])
        def list_users(call: Call) -> list[User]:
            return []

        paths = self.api.openapi()["paths"]
        names = [operation["operationId"] for path in paths.values() for operation in path.values()]
        self.assertEqual(len(set(names)), len(names))
        self.assertEqual(paths["/v2/users"]["get"]["operationId"], "get_v2_users")
