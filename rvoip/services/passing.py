"""What the proxy does to calls that pass: their media relay, and session timers; by the configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rvoip.common.errors import ConfigError
from rvoip.common.events import EventBus, Subscription
from rvoip.mediacontrol.rtpengine import EngineAddress, RTPEngines, parse_engine
from rvoip.protocols.dialog.session_timer import TimerSettings
from rvoip.protocols.sip.address import parse_name_addr
from rvoip.proxy.media_relay import MediaRelay
from rvoip.proxy.passing import Passing
from rvoip.services.calls import CallOver
from rvoip.services.config import Proxy as ProxyTable

__all__ = ["PassingService"]

_log = Logger()


class PassingService(Service):
    """Has the sockets to the media relays while it runs; `passing` is for the proxy, None for nothing to do.

    `token` gives random text.
    """

    def __init__(
        self, reactor: Any, table: ProxyTable, file: str, token: Callable[[], str], events: EventBus
    ) -> None:
        self._events = events
        self._over: Subscription[CallOver] | None = None
        self.engines = RTPEngines(reactor, (), token)
        self._media = MediaRelay(self.engines)
        self._passing = Passing()
        self.use(self.prepare(table, file))

    @property
    def passing(self) -> Passing | None:
        """What is to be done, if anything."""
        passing = self._passing
        return None if passing.media is None and passing.session_timer is None else passing

    @property
    def failed(self) -> int:
        """Session descriptions that could not be rewritten."""
        return self._media.failed

    def prepare(self, table: ProxyTable, file: str) -> tuple[ProxyTable, list[EngineAddress]]:
        """What the table says, for `use`; `ConfigError` when there is a mistake in it."""
        written = [table.rtpengine] if isinstance(table.rtpengine, str) else table.rtpengine
        addresses = []
        for text in written:
            if not text:
                continue
            try:
                addresses.append(parse_engine(text))
            except ValueError as error:
                raise ConfigError(file, "proxy.rtpengine", str(error)) from None
        if table.session_expires and table.session_expires < table.min_se:
            raise ConfigError(file, "proxy.session_expires", "is below min_se", "raise it, or lower that")
        return table, addresses

    def use(self, prepared: tuple[ProxyTable, list[EngineAddress]]) -> None:
        """Go by this from now on."""
        table, addresses = prepared
        self.engines.options = dict(table.rtpengine_options)
        self.engines.use(addresses)
        self._media.only_nat = table.relay == "nat"
        self._passing.media = self._media if addresses else None
        self._passing.session_timer = (
            TimerSettings(interval=table.session_expires, min_se=table.min_se)
            if table.session_expires
            else None
        )
        if self.running:
            self._look()
        self._listen()

    def startService(self) -> None:
        """Open the sockets, and say which engine does not answer."""
        super().startService()
        self.engines.open()
        self._look()
        self._listen()

    def stopService(self) -> None:
        """Close them."""
        super().stopService()
        self.engines.close()
        self._listen()

    def _listen(self) -> None:
        """Hear of calls that end otherwise than with a BYE of one of their ends."""
        wanted = self.running and self._passing.media is not None
        if wanted and self._over is None:
            self._over = self._events.subscribe(CallOver, self._ended, name="media")
        elif not wanted and self._over is not None:
            self._over.cancel()
            self._over = None

    async def _ended(self, event: CallOver) -> None:
        if event.why not in ("bye", "shutdown"):
            await self._media.over(event.call.call_id, parse_name_addr(event.call.caller.value).tag or "")

    def _look(self) -> None:
        if self.engines.engines:
            Deferred.fromCoroutine(self.engines.ping()).addCallback(self._seen)

    def _seen(self, answers: dict[str, bool]) -> None:
        if not self.running:
            return
        for name, answered in answers.items():
            if answered:
                _log.info("rtpengine at {engine} relays media", engine=name)
            else:
                _log.warn("rtpengine at {engine} does not answer", engine=name)
