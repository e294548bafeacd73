"""A server whose limits on connections are met soon."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import ClassVar

from rvoip.test.hostile.case import PASSWORDS, QUICK, HostileCase
from rvoip.test.hostile.server import DOMAIN, Server
from rvoip.testing.certificates import Authority


def make_limited(host: str) -> Server:
    """A proxy with registrar and TLS, whose limits are met soon."""
    server = Server(host, sip=QUICK, tls=True, users=PASSWORDS, tables="[registrar]\n")
    Authority().issue(DOMAIN).write(server.folder, "tls")
    server.text = server.text.replace(
        "[http]", "[sip.limits]\nconnections = 300\npartial = 0.6\nidle = 1.5\n\n[http]"
    )
    server.text += '[tls]\ncertificate = "tls.pem"\nprivate_key = "tls.key"\n'
    server.config.write_text(server.text, encoding="utf-8")
    return server


class ConnectionCase(HostileCase):
    servers: ClassVar[dict[str, Callable[[str], Server]]] = {"limited": make_limited}

    def connections(self, server: Server) -> int:
        status, answer = server.api("GET", "/v1/status")
        self.assertEqual(status, 200)
        return int(answer["connections"])

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
