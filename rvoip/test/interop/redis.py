"""redis-server on a loopback port of its own, durable unless a test says otherwise."""

from __future__ import annotations

import atexit
import signal
import socket
import tempfile
from functools import cache
from pathlib import Path

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.processes import Process, peer, until

__all__ = ["RedisServer", "shared_redis"]


def shared_redis(host: str) -> RedisServer:
    """A server for tests that have keys of their own; it ends with the test process at the latest."""
    server = _shared(host)
    if server.process.ended is not None:
        server.start()
    return server


@cache
def _shared(host: str) -> RedisServer:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    server = RedisServer(Path(folder.name), host)
    atexit.register(server.close)
    return server


class RedisServer:
    """A server that keeps its files in FOLDER/NAME; `options` are more of its command line."""

    def __init__(
        self, folder: Path, host: str, *, name: str = "redis", options: tuple[str, ...] = ()
    ) -> None:
        self.host = host
        self.port = free_port(host)
        self._folder = folder / name
        self._folder.mkdir()
        self._name = name
        self._command = [
            peer("redis-server"),
            *("--bind", host, "--port", str(self.port), "--dir", str(self._folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "always", "--loglevel", "notice"),
            *options,
        ]
        self.start()

    def start(self) -> None:
        """Start it, or start it again after it was killed."""
        self.process = Process(self._name, self._command, self._folder)
        until(lambda: self.ask("PING")[:1] in (b"+", b"-"), f"{self._name} answers")

    @property
    def url(self) -> str:
        """What a configuration says."""
        return self.url_by(self.host, self.port)

    def url_by(self, host: str, port: int) -> str:
        """What a configuration says that goes another way."""
        return f"redis://{host}:{port}/0"

    def ask(self, *words: str) -> bytes:
        """The first of what it replies to a command; b"" when it cannot be reached."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection((self.host, self.port), 2) as connection:
                connection.sendall(request.encode())
                return connection.recv(65536)
        except OSError:
            return b""

    def kill(self) -> None:
        """End it with signal 9."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """Stop it where it is: its sockets stay, and nothing is answered."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.signal(signal.SIGCONT)

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
