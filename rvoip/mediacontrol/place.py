"""Where a media server is, from its URL."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

__all__ = ["Place"]

_URL: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?/?", re.ASCII
)


class Place(Struct, frozen=True):
    """`http://host:port`, `https://host:port` or `unix:/path`."""

    url: str
    host: str = "localhost"
    """Without the brackets of IPv6."""
    port: int = 0
    is_tls: bool = False
    path: str = ""
    """Of a Unix socket."""

    @classmethod
    def parse(cls, url: str) -> Place:
        """Read a URL. Raises ValueError."""
        if url.startswith("unix:"):
            path = url.removeprefix("unix:")
            if not path.startswith("/") or "\0" in path or len(path.encode()) > 107:
                raise ValueError(f"{url!r} is not unix:/PATH")
            return cls(url, path=path)
        match = _URL.fullmatch(url)
        if match is None:
            raise ValueError(f"{url!r} is not http://HOST:PORT, https://HOST:PORT or unix:/PATH")
        is_tls = match[1] == "https"
        port = int(match[3]) if match[3] else (443 if is_tls else 80)
        if not 0 < port < 65536:
            raise ValueError(f"{url!r} has no port between 1 and 65535")
        return cls(url, match[2].strip("[]"), port, is_tls)

    @property
    def base(self) -> str:
        """What a path is put behind to make the URL of a request."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.path or self.port == (443 if self.is_tls else 80)
        return host if usual else f"{host}:{self.port}"
