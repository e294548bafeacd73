"""Both clients keep the contract against the fake media server on a real socket."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from rvoip.mediacontrol.client import HTTPMediaServer
from rvoip.mediacontrol.control_client import ControlMediaServer
from rvoip.test.mediacontrol.serving import Serving
from rvoip.testing.media_contract import MediaServerContract


class _Contract(Serving, MediaServerContract):
    prompt_seconds = 0.05
    patience = 1.0

    async def press(self, endpoint: str, digits: str) -> None:
        self.fake.press(endpoint, digits)


class HTTPContractTests(_Contract, TestCase):
    host = "127.0.83.1"

    async def provider(self) -> Any:
        await self.serve()
        client = HTTPMediaServer(self.reactor, self.url)
        self.addCleanup(client.close)
        client.subscribe(lambda event: None)
        await self.until(lambda: client.hears_events)
        return client


class ControlContractTests(_Contract, TestCase):
    host = "127.0.83.2"

    async def provider(self) -> Any:
        await self.serve()
        client = ControlMediaServer(self.reactor, self.url)
        self.addCleanup(client.close)
        client.open()
        await self.until(lambda: client.is_connected)
        return client
