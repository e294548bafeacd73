"""Events that a web service is told: what stands in them, their order, and what happens when it is away."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from rvoip.common.errors import ConfigError
from rvoip.common.events import EventBus
from rvoip.proxy.events import Answered
from rvoip.services import webhook as webhook_module
from rvoip.services.activity import RegistrationChanged
from rvoip.services.compose import SIPRole
from rvoip.services.config import Events
from rvoip.services.event_queue import BATCH, PATIENCE, EventQueue
from rvoip.services.webhook import HTTPPost, HTTPSink, check_webhook, signature
from rvoip.test.services.roles import RoleCase

KINDS = Events(url="http://a").kinds
ADDRESS = "127.0.64.29"


class Service:
    """The web service, in memory: answers each request with the next of `answers`, the last for ever."""

    def __init__(self, *answers: int | Exception | Deferred[int]) -> None:
        self.answers = list(answers)
        self.bodies: list[list[dict[str, Any]]] = []

    def __call__(self, body: bytes) -> Deferred[int]:
        self.bodies.append(json.loads(body)["events"])
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class WebhookTests(SynchronousTestCase):
    def make(self, service: Callable[[bytes], Deferred[int]], size: int = 1000) -> EventQueue:
        self.clock = Clock()
        self.bus = EventBus(self.clock)
        ids = iter(range(1, 10**9))
        made = EventQueue(
            self.clock,
            HTTPSink(self.clock, "http://hook.example.test/", post=service),
            KINDS,
            size,
            self.bus,
            "proxy",
            lambda: 1_700_000_000.0,
            lambda: f"{next(ids):x}",
        )
        made.startService()
        return made

    def happen(self, *numbers: int) -> None:
        for number in numbers:
            self.bus.publish(
                Answered(f"c{number}", "sip:a@x", "sip:b@x", 486, "Busy", 1.5, "sip:b@x", "a@x", "udp:h:1")
            )

    def advance(self, seconds: float = 0.0) -> None:
        self.clock.pump([seconds] + [0.0] * 50)

    def test_what_is_told(self) -> None:
        service = Service(200)
        webhook = self.make(service)
        self.happen(1)
        self.bus.publish(RegistrationChanged("a@x", ("sip:a@h\r\n",), "created"))
        self.bus.publish(RegistrationChanged("a@x", ("sip:a@h",), "refreshed"))
        self.advance()
        told = [event for body in service.bodies for event in body]
        self.assertEqual(len({event.pop("id") for event in told}), 2)
        told.sort(key=lambda event: str(event["kind"]))
        refused, registered = told
        self.assertEqual(
            refused,
            {
                "time": 1_700_000_000.0,
                "role": "proxy",
                "kind": "call.refused",
                "call_id": "c1",
                "caller": "sip:a@x",
                "callee": "sip:b@x",
                "uri": "sip:b@x",
                "user": "a@x",
                "source": "udp:h:1",
                "destination": "",
                "status": 486,
                "reason": "Busy",
                "after": 1.5,
            },
        )
        self.assertEqual((registered["kind"], registered["aor"]), ("registration.created", "a@x"))
        self.assertNotIn("\r", registered["contacts"][0])
        self.assertEqual((webhook.sent, webhook.lost, webhook.waiting), (2, 0, 0))

    def test_again_until_it_is_taken(self) -> None:
        service = Service(OSError("refused"), 503, 429, 200)
        webhook = self.make(service)
        self.happen(1)
        self.advance()
        self.happen(2)
        self.advance()
        self.assertEqual([len(body) for body in service.bodies], [1])
        for wait, count in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (3.9, 3), (0.1, 4)):
            self.advance(wait)
            self.assertEqual(len(service.bodies), count)
        self.assertEqual([event["call_id"] for event in service.bodies[-1]], ["c1", "c2"])
        self.assertEqual(service.bodies[0][0]["id"], service.bodies[-1][0]["id"])
        self.assertEqual((webhook.sent, webhook.lost, webhook.waiting), (2, 0, 0))

    def test_one_at_a_time(self) -> None:
        answer: Deferred[int] = Deferred()
        service = Service(answer, 204)
        webhook = self.make(service)
        self.happen(*range(1, BATCH + 30))
        self.advance()
        self.assertEqual(len(service.bodies), 1)
        answer.callback(200)
        self.advance()
        self.assertEqual(max(len(body) for body in service.bodies), BATCH)
        told = [event["call_id"] for body in service.bodies for event in body]
        self.assertEqual(told, [f"c{number}" for number in range(1, BATCH + 30)])
        self.assertEqual(webhook.waiting, 0)

    def test_refused_for_good(self) -> None:
        """What the service will never take holds up nothing."""
        for status in (301, 400, 401, 404):
            with self.subTest(status=status):
                service = Service(status, 200)
                webhook = self.make(service)
                self.happen(1)
                self.advance()
                self.happen(2)
                self.advance()
                self.assertEqual((webhook.sent, webhook.lost), (1, 1))

    def test_it_says_nothing(self) -> None:
        service = Service(Deferred(), 200)
        webhook = self.make(service)
        self.happen(1)
        self.advance()
        self.advance(PATIENCE)
        self.advance(1.0)
        self.assertEqual((len(service.bodies), webhook.sent), (2, 1))

    def test_too_many(self) -> None:
        service = Service(OSError("away"))
        webhook = self.make(service, size=3)
        self.happen(1)
        self.advance()
        self.happen(2, 3)
        self.advance()
        self.happen(4, 5)
        self.advance()
        self.assertEqual((webhook.lost, webhook.waiting), (2, 3))

    def test_the_end(self) -> None:
        """What waits is sent once more; what is not taken then is lost, and nothing is left running."""
        for answer, outcome in ((200, (1, 0)), (OSError("away"), (0, 1))):
            with self.subTest(answer=answer):
                service = Service(OSError("away"), answer)
                webhook = self.make(service)
                self.happen(1)
                self.advance()
                stopped = webhook.stopService()
                self.advance()
                self.advance(3.0)
                self.successResultOf(stopped)
                self.assertEqual((webhook.sent, webhook.lost), outcome)
                self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_while_it_says_nothing(self) -> None:
        webhook = self.make(Service(Deferred()))
        self.happen(1)
        self.advance()
        stopped = webhook.stopService()
        self.advance()
        self.assertNoResult(stopped)
        self.advance(3.0)
        self.successResultOf(stopped)
        self.assertEqual((webhook.lost, self.clock.getDelayedCalls()), (1, []))

    def test_signature(self) -> None:
        digest = hmac.new(b"key", b"17.body", hashlib.sha256).hexdigest()
        self.assertEqual(signature("key", 17, b"body"), f"t=17,sha256={digest}")

    def test_mistakes(self) -> None:
        for url in (
            "",
            "ftp://a/",
            "http://",
            "http://[::1",
            "http://u:p@a/",
            "http://a/ b",
            "http://a/#x",
            "http://a:0/",
        ):
            with self.subTest(url=url):
                with self.assertRaises(ConfigError) as caught:
                    check_webhook(url, Events(), "f.toml")
                self.assertEqual(caught.exception.key, "events.url")
        with self.assertRaises(ConfigError):
            check_webhook("http://a", Events(token="a\r\nX: 1"), "f.toml")
        check_webhook("https://hook.example.test:8443/a?b=c", Events(token="a.b-c"), "f.toml")


class Hook(Resource):
    """A web service that answers by the path."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bytes, dict[bytes, bytes], bytes]] = []

    def render_POST(self, request: Any) -> bytes | int:
        headers = {name: values[0] for name, values in request.requestHeaders.getAllRawHeaders()}
        self.seen.append((request.path, headers, request.content.read()))
        if request.path == b"/moved":
            request.setResponseCode(302)
            request.setHeader(b"Location", b"/here")
        elif request.path == b"/long":
            request.write(b"x" * 1_000_000)
            return NOT_DONE_YET
        return b"thanks"


class HTTPTests(TestCase):
    """Over a real connection."""

    def setUp(self) -> None:
        self.hook = Hook()
        self.site = Site(self.hook)
        self.port: Any = cast(Any, reactor).listenTCP(0, self.site, interface=ADDRESS)
        self.addCleanup(self.port.stopListening)

    def post(self, path: str, **more: str) -> HTTPPost:
        url = f"http://{ADDRESS}:{self.port.getHost().port}{path}"
        made = HTTPPost(reactor, url, more.get("token", ""), more.get("secret", ""), lambda: 17.9)
        self.addCleanup(made.close)
        return made

    async def test_a_request(self) -> None:
        post = self.post("/hook", token="abc", secret="key")
        self.assertEqual([await post(b"{}"), await post(b"[]")], [200, 200])
        path, headers, body = self.hook.seen[0]
        self.assertEqual((path, body, headers[b"Authorization"]), (b"/hook", b"{}", b"Bearer abc"))
        self.assertEqual(headers[b"Content-Type"], b"application/json")
        self.assertEqual(headers[b"Rvoip-Signature"].decode(), signature("key", 17, b"{}"))

    async def test_a_redirection_is_not_followed(self) -> None:
        post = self.post("/moved")
        self.assertEqual(await post(b"{}"), 302)
        self.assertEqual([path for path, _, _ in self.hook.seen], [b"/moved"])
        self.assertFalse({b"Authorization", b"Rvoip-Signature"} & set(self.hook.seen[0][1]))

    async def test_a_long_answer(self) -> None:
        """It is not read to its end, which never comes."""
        self.assertEqual(await self.post("/long")(b"{}"), 200)


class RoleTests(RoleCase):
    def test_calls_and_registrations(self) -> None:
        service = Service(200)
        self.patch(webhook_module.HTTPPost, "__call__", lambda _, body: service(body))
        role: SIPRole = self.run_role(
            '[registrar]\nauthenticate = false\n[events]\nurl = "http://hook.example.test/"\n'
        )
        alice = self.phone("alice@example.test", "127.0.64.21")
        bob = self.phone("bob@example.test", "127.0.64.22")
        for phone in (alice, bob):
            self.reactor.result_of(phone.register())
        call = alice.call("sip:bob@example.test")
        self.reactor.result_of(call.established())
        self.reactor.result_of(call.bye())
        nobody = alice.call("sip:nobody@example.test")
        self.reactor.result_of(nobody.ended())
        self.reactor.advance(0.1)
        told = [event for body in service.bodies for event in body]
        self.assertEqual(
            sorted(event["kind"] for event in told),
            ["call.answered", "call.ended", "call.refused", "registration.created", "registration.created"],
        )
        by_kind = {event["kind"]: event for event in told}
        ended, refused = by_kind["call.ended"], by_kind["call.refused"]
        self.assertEqual((ended["call_id"], ended["end"]), (call.call_id, "bye"))
        self.assertEqual(
            (ended["caller"], ended["callee"]), ("sip:alice@example.test", "sip:bob@example.test")
        )
        self.assertEqual((refused["uri"], refused["status"]), ("sip:nobody@example.test", 404))
        self.assertEqual(refused["source"], f"udp:127.0.64.21:{alice.wire.port}")
        self.assertIn(
            b'rvoip_proxy_published_events_total{outcome="sent",sink="http://hook.example.test/"} 5.0',
            self.client.ask("GET", "/metrics").body,
        )
        (queue,) = role.publishing
        self.assertEqual(queue.waiting, 0)
