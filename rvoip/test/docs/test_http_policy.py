"""The listing of docs/howto/route-to-gateways.md that asks a web service, against a web service."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any
from unittest import mock

import attrs
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface.verify import verifyObject

from rvoip.proxy.interfaces import IRouter
from rvoip.proxy.targets import Refused, Targets
from rvoip.services.compose import SIPRole
from rvoip.services.config import load
from rvoip.test.docs.test_school_registrar import ROOT
from rvoip.test.proxy.test_gateways import request
from rvoip.testing.memory_reactor import MemoryReactor

EXAMPLE = ROOT / "docs" / "examples" / "http_policy"
HOST = "127.0.93.1"
reactor: Any = global_reactor


@attrs.define
class From:
    remote: tuple[str, int] = ("192.0.2.7", 5060)


@attrs.define
class Context:
    user: str | None = "alice@example.test"
    flow: From = attrs.Factory(From)


class Service(Resource):
    """Answers what it is told to; None: not at all."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answer: bytes | None = b"{}"
        self.status = 200
        self.asked: list[dict[str, Any]] = []

    def render_POST(self, request: Any) -> Any:
        self.asked.append(json.load(request.content))
        if self.answer is None:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        return self.answer


class PolicyTests(TestCase):
    def setUp(self) -> None:
        if not EXAMPLE.exists():
            raise SkipTest("docs/ is in a checkout only")
        self.patch(sys, "path", [str(EXAMPLE), *sys.path])
        self.addCleanup(sys.modules.pop, "policy", None)
        self.service = Service()
        self.port = reactor.listenTCP(0, Site(self.service), interface=HOST)
        self.addCleanup(self.port.stopListening)
        self.policy: Any = importlib.import_module("policy")
        self.patch(self.policy, "TIMEOUT", 0.2)
        url = f"http://{HOST}:{self.port.getHost().port}/route"
        with mock.patch.dict(os.environ, {"POLICY_URL": url}):
            self.router = self.policy.HTTPPolicy(reactor)
        verifyObject(IRouter, self.router)
        self.addCleanup(self.close)

    def close(self) -> Any:
        return self.router.pool.closeCachedConnections()

    def decide(self, answer: object, status: int = 200) -> Deferred[Targets | None]:
        made = answer if answer is None or isinstance(answer, bytes) else json.dumps(answer).encode()
        self.service.answer, self.service.status = made, status
        return Deferred.fromCoroutine(self.router.route(request(), Context()))

    def test_named_in_the_configuration(self) -> None:
        """The role makes it from the file beside it."""
        config = load(str(EXAMPLE / "proxy.toml"), "proxy", {})
        role = SIPRole(MemoryReactor(), "proxy", config, "proxy.toml", registrar=True, proxy=True)
        assert role.proxy is not None
        (router,) = role.proxy.routers
        self.assertIsInstance(router, self.policy.HTTPPolicy)

    async def test_a_reason_that_cannot_be_written(self) -> None:
        """The proxy decides, as for all that is no decision."""
        refused = {"action": "refuse", "status": 603, "reason": "Night\r\nX: 1"}
        self.assertIsNone(await self.decide(refused))

    async def test_routes(self) -> None:
        targets = await self.decide(
            {
                "action": "route",
                "targets": [["sip:a@x.test", "sip:b@x.test"], ["sip:c@x.test"]],
                "go_on": [408],
            }
        )
        assert targets is not None
        self.assertEqual(
            [[str(one.uri) for one in group] for group in targets.groups],
            [["sip:a@x.test", "sip:b@x.test"], ["sip:c@x.test"]],
        )
        self.assertEqual((targets.go_on, targets.members_only), ({408}, True))
        self.assertEqual(
            self.service.asked,
            [
                {
                    "method": "INVITE",
                    "uri": "sip:+49301@example.test",
                    "from": "sip:alice@example.test",
                    "call_id": "c1",
                    "user": "alice@example.test",
                    "source": "192.0.2.7",
                }
            ],
        )

    async def test_refuses(self) -> None:
        try:
            await self.decide({"action": "refuse", "status": 603, "reason": "Not now"})
        except Refused as refused:
            self.assertEqual((refused.status, refused.reason), (603, "Not now"))
        else:
            self.fail("not refused")

    async def test_has_no_opinion(self) -> None:
        self.assertIsNone(await self.decide({"action": "default"}))
        self.assertIsNone(await self.decide({}))

    async def test_what_is_no_decision(self) -> None:
        """None of these keeps a call from its way."""
        for answer in (
            b"",
            b"no JSON",
            b"[" * 10000,
            {"action": "refuse", "status": 200},
            {"action": "route", "targets": [["tel:+49"]]},
            {"action": "route", "targets": [["sip:"]]},
            {"action": "route", "targets": "sip:a@x.test"},
            {"unknown": 1},
            b" " * 100_000,
        ):
            self.assertIsNone(await self.decide(answer), answer)
        self.assertIsNone(await self.decide({"action": "refuse"}, status=500))
        self.assertIsNone(await self.decide({"action": "refuse"}, status=302))

    async def test_a_service_that_hangs(self) -> None:
        began = reactor.seconds()
        self.assertIsNone(await self.decide(None))
        self.assertLess(reactor.seconds() - began, 2.0)

    async def test_no_service(self) -> None:
        self.router.url = "http://127.0.93.1:1/route"
        self.assertIsNone(await self.decide({}))
