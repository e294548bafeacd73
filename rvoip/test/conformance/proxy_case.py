"""Agents around a running proxy that is the registrar of its domains."""

from __future__ import annotations

import re
from typing import ClassVar

from rvoip.test.conformance.agent import Agent, StreamAgent
from rvoip.test.conformance.element import ElementCase, Text, element, own_address
from rvoip.test.hostile.wire import Stream

__all__ = ["DOMAINS", "OPEN", "USERS", "ProxyCase"]


OPEN = "[registrar]\nauthenticate = false\n"
USERS = {"alice": "secret of alice", "bob": "secret of bob"}
DOMAINS = ("example.test", "example.org")


class ProxyCase(ElementCase):
    """Agents at a proxy that is the registrar of its domains."""

    servers: ClassVar = {
        "open": element("proxy", OPEN, DOMAINS),
        "sequential": element("proxy", f'{OPEN}[proxy]\nfork = "sequential"\n', DOMAINS),
        "unset": element("proxy", "[registrar]\n", DOMAINS, users=USERS),
        "true": element("proxy", "[registrar]\n[proxy]\nauthenticate = true\n", DOMAINS, users=USERS),
        "false": element("proxy", f"{OPEN}[proxy]\nauthenticate = false\n", DOMAINS, users=USERS),
    }
    server = "open"

    def agent(self, user: str = "", more: str = "", name: str = "", headers: tuple[str, ...] = ()) -> Agent:
        """A user agent, registered if it is somebody."""
        name = name or self.server
        agent = Agent(self.serve(name))
        self.addCleanup(agent.socket.close)
        if user:
            answer = agent.register(
                user, agent.contact(user, more), headers=headers, password=USERS.get(user, "")
            )
            self.assertEqual(answer.status, 200)
        return agent

    def stream_agent(self, user: str = "", name: str = "") -> StreamAgent:
        """One with a TCP connection."""
        host, (one,) = own_address(30, (0,))
        one.close()
        agent = StreamAgent(Stream(host, self.serve(name or self.server).address))
        self.addCleanup(agent.stream.socket.close)
        if user:
            self.assertEqual(agent.register(user, agent.contact(user)).status, 200)
        return agent

    def via_branch(self, got: Text) -> str:
        """The branch of the topmost Via."""
        found = re.search(r";branch=([^;]+)", got.values("via")[0])
        assert found is not None
        return found[1]
