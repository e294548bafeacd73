"""What all roles have in common: options, logging, order of start and stop, drain and reload."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

from twisted.application.service import IServiceCollection
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.usage import Options, UsageError

from rvoip.common.activation import InheritedSockets, first_environment
from rvoip.common.errors import ConfigError, StartError
from rvoip.common.lifecycle import OrderedService
from rvoip.services.background import Background
from rvoip.services.config import Config, load
from rvoip.services.descriptors import ensure_descriptors, wanted
from rvoip.services.log_output import LogOutput
from rvoip.services.notify import ServiceNotifier
from rvoip.services.process import Signals
from rvoip.services.reloading import restart_keys
from rvoip.services.sip import SIPService

__all__ = ["Role", "RoleOptions", "build"]

_log = Logger()

R = TypeVar("R", bound="Role")

_QUIET_CHECK = 0.1

_MOMENT = 0.003
"""Seconds between two looks for a moment at which nothing is under way."""

_BUSY = 2.0
"""Seconds after which there seems to be no such moment."""


class RoleOptions(Options):
    """The command line of a role: one configuration file."""

    optParameters: ClassVar[list[list[str | None]]] = [
        ["config", "c", None, "Configuration file (TOML). Without one: defaults on loopback."]
    ]

    role = ""

    def postOptions(self) -> None:
        """Read the file now, so that a mistake in it is one line before anything starts."""
        try:
            self.config = load(self["config"], self.role)
        except ConfigError as error:
            raise SystemExit(str(error)) from None

    def parseArgs(self, *args: str) -> None:
        """Refuse what is no option."""
        if args:
            raise UsageError(f"unexpected argument {args[0]!r}; see --help")


class Reloaded(NamedTuple):
    """What came of reading the configuration again."""

    file: str
    trouble: str
    """Why nothing has changed, one line; "" when it was taken over."""
    later: tuple[str, ...]
    """Keys that have changed and are in force only after a restart."""


class Role(OrderedService):
    """A server: children in order, of which the one named "sip" comes last to start and first to stop.

    Starting either succeeds or ends the process with one line and exit status 1.
    """

    def __init__(self, reactor: Any, role: str, config: Config, path: str | None) -> None:
        use_monotonic_time(reactor)
        super().__init__(reactor)
        self._reactor = reactor
        self.role = role
        self.config = config
        self.path = path
        self.sip: SIPService | None = None
        environ = first_environment()
        self.inherited = InheritedSockets.from_environment(environ, os.getpid())
        self.notifier = ServiceNotifier(reactor, environ, self.is_alive)
        self.reload_refused = False
        """Whether the file was refused when it was last read again: what is in force is older."""
        self.twistd: Mapping[str, Any] | None = None
        """twistd's own options, where it was started as a command."""
        self.log: LogOutput | None = None
        self._background: Background | None = None
        self.setName(f"rvoip-{role}")
        self.add(Signals(reactor, self.drain, self.reload, self.reopen_log))
        self.add(self.notifier)

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Also take over the log of the application: its place, format and level are those of `[log]`."""
        super().setServiceParent(parent)
        if isinstance(parent, Componentized):
            try:
                self.log = LogOutput(self.config.log, self.twistd, self.path or "defaults")
            except ConfigError as error:
                raise SystemExit(str(error)) from None
            parent.setComponent(ILogObserver, self.log)
            if self.twistd is not None:
                self._background = Background(self.twistd)

    def privilegedStartService(self) -> None:
        """Open and bind everything; on failure leave with one line and status 1."""
        ensure_descriptors(wanted(self.config))
        try:
            super().privilegedStartService()
        except (ConfigError, StartError) as error:
            if is_daemon():
                if self._background is None or not self._background.failed(str(error)):
                    # twistd hands it to the process that was called, which waits for a word.
                    raise
                _log.critical("Not started: {reason}", reason=str(error))
                raise SystemExit(1) from None
            if sys.stderr is not sys.__stderr__ and sys.__stderr__ is not None:
                # twistd has put the log in its place: there it would be a line among others, and on a
                # terminal the same line a second time.
                print(error, file=sys.__stderr__, flush=True)
                if self.log is not None and not self.log.is_standard_output:
                    _log.critical("Not started: {reason}", reason=str(error))
                raise SystemExit(1) from None
            raise SystemExit(str(error)) from None

    def startService(self) -> None:
        """Tell where we are."""
        super().startService()
        if self._background is not None:
            self._background.succeeded()
        settle_collector()
        for unused in self.inherited.close_others():
            _log.warn("Nothing listens on the socket {socket} of the service manager", socket=unused)
        if self.sip is not None:
            for listener in self.sip.transport.listeners:
                _log.info(
                    "{role} listens on {transport}:{address}",
                    role=self.name,
                    transport=listener.transport.lower(),
                    address=listener.sent_by,
                )
        self.notifier.ready(self._listening)

    @property
    def _listening(self) -> str:
        listeners = [] if self.sip is None else self.sip.transport.listeners
        return "listening on " + ", ".join(f"{one.transport.lower()}:{one.sent_by}" for one in listeners)

    def is_alive(self) -> bool:
        """Whether the process does its work; else only a restart helps."""
        return True

    @property
    def is_leaving(self) -> bool:
        """Whether a drain has more to say to others before the end."""
        return False

    @property
    def calls_up(self) -> int:
        """How many calls go on that need us to be ended."""
        return 0

    def drain(self) -> Deferred[None]:
        """Refuse new work, and fire when what is under way has ended, or after `drain_max` seconds.

        That are the calls that are up as well, unless there is a next process that they go on with.
        """
        self.notifier.stopping()
        done: Deferred[None] = Deferred()
        sip = self.sip
        if sip is None:
            done.callback(None)
            return done
        # Where the service manager keeps the sockets nobody is refused: at the first moment at which nothing
        # is under way, or at least no call rings, nothing more is read, and the rest is the next process's.
        listeners = sip.transport.listeners
        handing_over = bool(listeners) and all(one.inherited for one in listeners)
        if not handing_over:
            sip.admission.drain()
        what = "the next process takes over when no call rings" if handing_over else "no new work is taken"
        if self.calls_up and not handing_over:
            what += f", calls that are up: {self.calls_up}"
        _log.info("Draining: {what}; a second SIGTERM ends at once", what=what)
        began = self._reactor.seconds()

        def look() -> None:
            passed = self._reactor.seconds() - began
            transactions = sip.transactions
            waiting = self.is_leaving or (not handing_over and self.calls_up > 0)
            quiet = transactions.quiet and not waiting
            over = quiet or passed >= self.config.service.drain_max
            ringing = transactions.ringing or self.is_leaving
            if handing_over and (over or (passed >= _BUSY and not ringing)):
                for one in listeners:
                    one.stop()
                over = True
            if over:
                done.callback(None)
            else:
                self._reactor.callLater(_MOMENT if handing_over else _QUIET_CHECK, look)

        look()
        return done

    def reload(self) -> Reloaded:
        """Read the configuration again; a broken one is refused and nothing changes."""
        self.notifier.reloading()
        done = self._reload()
        self.reload_refused = bool(done.trouble)
        self.notifier.ready(self._listening)
        return done

    def _reload(self) -> Reloaded:
        file = self.path or "defaults"
        self.reopen_log()
        try:
            config = load(self.path, self.role)
            if self.log is not None:
                self.log.check(config.log, file)
            self.apply(config, file)
        except ConfigError as error:
            _log.error("Configuration not reloaded: {reason}", reason=str(error))
            return Reloaded(file, str(error), ())
        later = restart_keys(self.config, config)
        self.config = config
        if self.log is not None:
            self.log.apply(config.log, file)
        _log.info("Configuration reloaded from {file}", file=file)
        if later:
            _log.warn("Changed, but in force only after a restart: {what}", what=", ".join(later))
        return Reloaded(file, "", tuple(later))

    def reopen_log(self) -> None:
        """Open the log file anew, after another program has renamed it."""
        if self.log is not None:
            self.log.reopen()

    def apply(self, config: Config, file: str) -> None:
        """Take over what a running role can; `ConfigError` before anything changed."""
        if self.sip is not None:
            self.sip.reload(config, file)


def build(options: RoleOptions, make: Callable[[], R]) -> R:
    """The role that `make` makes; a mistake in its configuration is one line and exit status 1."""
    try:
        role = make()
    except (ConfigError, StartError) as error:
        raise SystemExit(str(error)) from None
    role.twistd = options.parent
    return role


def is_daemon() -> bool:
    """Whether twistd has put this process into the background: nobody reads its standard error then."""
    try:
        return os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return True


def settle_collector() -> None:
    """Keep the cycle collector from walking what stays: modules now, bindings and transactions later.

    Nearly all that a message makes is freed by reference counts; a full walk over 100,000 bindings would
    stop the reactor for 50 ms. The middle generation is walked often: what it may hold takes as long to walk
    as it is large, half a second with a million objects, which is 20 s of calls at full load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 4, 500)


def use_monotonic_time(reactor: Any) -> None:
    """Have the reactor's clock never run backwards: Twisted's own is wall time."""
    if getattr(reactor, "seconds", None) is not None and hasattr(reactor, "installWaker"):
        reactor.seconds = time.monotonic
