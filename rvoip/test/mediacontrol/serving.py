"""The fake media server on a socket, and a way to break the connections to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from rvoip.mediacontrol.errors import MediaError
from rvoip.testing.media import FakeMediaServer
from rvoip.testing.media_http import serve_media

__all__ = ["Serving"]


class Serving:
    """To be mixed into a trial `TestCase`; `host` is a loopback address of its own."""

    host: str
    addCleanup: Any
    assertFailure: Any
    url = ""

    async def serve(self, port: int = 0, **options: Any) -> None:
        """Start one; `fake` and `service` are there."""
        self.reactor: Any = _reactor
        self.fake = FakeMediaServer(self.reactor, prompts={"prompt.wav": 0.05})
        self.addCleanup(self.fake.close)
        await self.listen(port, **options)

    async def listen(self, port: int = 0, **options: Any) -> None:
        """Put the fake on a socket."""
        self.service = serve_media(self.reactor, f"{self.host}:{port}", self.fake, **options)
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        address: Any = self.service.address
        self.port = address.port
        scheme = "https" if options.get("certificate") else "http"
        self.url = f"{scheme}://{self.host}:{self.port}"

    def cut(self) -> None:
        """Break all connections."""
        for channel in list(self.service.site.connections):
            channel.cut()

    async def fails(self, doing: Deferred[Any], kind: type[MediaError]) -> MediaError:
        """It fails with an error of this kind."""
        error: MediaError = await self.assertFailure(doing, kind)
        return error

    async def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> None:
        """Wait until something is so."""
        for _ in range(round(seconds / 0.01)):
            if condition():
                return
            await deferLater(self.reactor, 0.01)
        raise AssertionError("it did not come to that")
