"""What all hostile tests hold a server to, after whatever they did to it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from rvoip.test.hostile.server import DOMAIN, Server, running
from rvoip.test.hostile.wire import Datagrams, Message, Stream, authorization, by_call, challenges, request

__all__ = ["ATTACKER", "PASSWORDS", "SERVERS", "HostileCase", "register"]

ATTACKER = "127.0.71.200"
"""The address that attacks come from."""

PASSWORDS = {"alice": "secret of alice", "bob": "secret of bob"}

QUICK = "t1 = 0.05\n"
"""Transactions end after 3.2 s in place of 32."""

PROBE_S = 1.0
"""A normal OPTIONS is answered within this time, whatever came before."""

PATIENCE_S = 10.0
"""And in the midst of it so much is waited for an answer: the machine has others to serve."""

CPU_S = 0.3
"""No message of up to 64 KiB may take more."""

_BAD_LINE = re.compile(r"Bad SIP from (\S+)")


def _accounts(host: str, role: str, tables: str, sip: str = QUICK) -> Server:
    return Server(host, role, tables, sip=sip, users=PASSWORDS)


SERVERS: dict[str, Callable[[str], Server]] = {
    "proxy": lambda host: _accounts(host, "proxy", "[registrar]\n"),
    "open": lambda host: _accounts(host, "proxy", "[registrar]\nauthenticate = false\n"),
    "registrar": lambda host: _accounts(host, "registrar", "[registrar]\n"),
}
"""The compositions that are attacked: with credentials and without, and the registrar alone."""


class HostileCase(SynchronousTestCase):
    """Tests of servers that run as long as the module's tests do.

    After each test every server that it used must be as well as before: see `check_health`.
    """

    servers: ClassVar[dict[str, Callable[[str], Server]]] = SERVERS

    def serve(self, name: str) -> Server:
        """The server of this name; its health is checked when the test is over."""
        # A case that says what its servers are shares them with its subclasses in other modules.
        place = next(one.__module__ for one in type(self).__mro__ if "servers" in vars(one))
        server = running(type(self).__module__ if place == __name__ else place, name, self.servers[name])
        before = len(server.log()), time.monotonic()
        self.addCleanup(self.check_health, server, *before)
        return server

    def check_health(self, server: Server, log_before: int = 0, since: float = 0.0) -> None:
        """It runs, answers within a second, and has logged nothing that it must not log."""
        self.assertTrue(server.alive, f"it died: {server.err.read_text()}")
        began = time.monotonic()
        answer = server.options(patience=PATIENCE_S)
        assert answer is not None, "no answer to OPTIONS"
        self.assertEqual(answer.status, 200)
        if time.monotonic() - began > PROBE_S:
            # The machine has others to serve, too: once more.
            self.assertIsNotNone(server.options(patience=PROBE_S), f"OPTIONS takes over {PROBE_S} s")
        self.check_log(server.log()[log_before:], time.monotonic() - since)

    def check_log(self, text: str, seconds: float) -> None:
        """No failure that nobody foresaw, no control octet, one line a source in 10 seconds."""
        for word in ("Traceback", "Unhandled", "could not be processed", "could not be forwarded"):
            if word in text:
                self.fail(f"the log says {word!r}: {text[max(0, text.index(word) - 500) :][:4000]}")
        controls = sorted(
            {character for character in text if character < " " or character == "\x7f"} - {"\n"}
        )
        self.assertEqual(controls, [])
        lines = Counter(found[1] for found in _BAD_LINE.finditer(text))
        for source, count in lines.items():
            self.assertLessEqual(count, 1 + seconds / 10, f"{count} lines of {source} in {seconds:.1f} s")

    def wait_for(self, true: Callable[[], object], patience: float = 5.0) -> None:
        """Look until something is so."""
        ends = time.monotonic() + patience
        while not true():
            if time.monotonic() > ends:
                self.fail(f"it is not so after {patience} s")
            time.sleep(0.005)

    def check_nothing_left(self, server: Server, patience: float = 5.0) -> None:
        """No transaction is under way, at once or soon; finished ones may wait for what is sent again."""
        ends = time.monotonic() + patience
        while left := server.transactions():
            if time.monotonic() > ends:
                self.fail(f"{len(left)} transactions are left after {patience} s, as {str(left[0])[:300]}")
            time.sleep(0.05)

    def exchange(self, server: Server, wire: bytes | list[bytes], transport: str = "UDP") -> list[Message]:
        """Send what may be no SIP, then a normal OPTIONS on the same way; what was answered before that.

        Over TCP the server may close instead of answering the OPTIONS.
        """
        wires = [wire] if isinstance(wire, bytes) else wire
        used = server.cpu()
        connection: Datagrams | Stream
        if transport == "UDP":
            connection = Datagrams(ATTACKER, server.address)
        else:
            connection = Stream(ATTACKER, server.address)
        found: list[Message] = []
        with connection:
            probe = request("OPTIONS", f"sip:{DOMAIN}", sent_by=connection.sent_by, transport=transport)
            call_id = Message(probe).get("call-id")
            for each in wires:
                connection.send(each)
            connection.send(probe)
            ends = time.monotonic() + PATIENCE_S
            while True:
                message = connection.receive(max(0.0, ends - time.monotonic()))
                if message is None:
                    if transport == "UDP" or not connection.closed(0.05):  # type: ignore[union-attr]
                        self.fail(f"no answer to OPTIONS after {wires[0][:200]!r} over {transport}: {found}")
                    break
                if message.get("call-id") == call_id:
                    break
                found.append(message)
        self.assertLess(server.cpu() - used, CPU_S * len(wires), f"CPU of {wires[0][:200]!r}")
        return found


def register(server: Server, phone: Datagrams, user: str, contact: str, *headers: str) -> Message:
    """REGISTER a contact of one of the accounts over UDP, with credentials where they are asked for.

    It is the only one: phones of tests before this one are gone.
    """
    server.api("DELETE", f"/v1/bindings/{user}@{DOMAIN}")
    uri = f"sip:{DOMAIN}"
    answer = _ask_to_register(phone, user, contact, headers, 1)
    if answer.status == 401:
        credentials = authorization(challenges(answer)["SHA-256"], user, PASSWORDS[user], "REGISTER", uri)
        answer = _ask_to_register(phone, user, contact, (f"Authorization: {credentials}", *headers), 2)
    if answer.status != 200:
        raise AssertionError(f"REGISTER was answered {answer.head}")
    return answer


def _ask_to_register(
    phone: Datagrams, user: str, contact: str, headers: tuple[str, ...], number: int
) -> Message:
    aor = f"<sip:{user}@{DOMAIN}>"
    wire = request(
        "REGISTER",
        f"sip:{DOMAIN}",
        f"Contact: {contact}",
        *headers,
        sent_by=phone.sent_by,
        sender=f"{aor};tag=r",
        to=aor,
        cseq=f"{number} REGISTER",
    )
    phone.send(wire)
    answer = phone.wait(by_call(Message(wire).get("call-id")), 5.0)
    if answer is None:
        raise AssertionError("REGISTER was not answered")
    return answer
