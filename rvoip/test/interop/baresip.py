"""baresip, told what to do through its ctrl_tcp module, with a tone for a microphone."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.phone import TalkingPhone
from rvoip.test.interop.processes import PATIENCE, Process, peer, until

__all__ = ["Baresip"]

_MODULES = Path("/usr/lib/baresip/modules")

_CONFIG = """\
sip_listen {host}:{port}
{more}
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module account.so
module contact.so
module menu.so
module ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
audio_source ausine,400
audio_player aubridge,ear
audio_alert aubridge,bell
ausrc_srate 48000
ausrc_channels 2
auplay_srate 48000
net_interface {interface}
rtp_ports 20000-29999
call_local_timeout {ring}
call_max_calls {calls}
"""


class Baresip(TalkingPhone):
    """A phone with one account; it is registered once `registered()` returns.

    Its output has all SIP messages. Its events are those of ctrl_tcp, which name their kind in `type`.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        address: str,
        *,
        outbound: str = "",
        transport: str = "udp",
        password: str = "",
        account: str = "",
        line: str = "",
        contacts: Sequence[str] = (),
        name: str = "",
        ca: Path | None = None,
        nameserver: str = "",
        ring: int = 120,
        calls: int = 4,
        modules: Sequence[str] = (),
    ) -> None:
        """`address` is USER@HOST[:PORT], `outbound` the URI of the proxy that all requests are sent to.

        Without `outbound` they go where DNS (`nameserver`, host:port) says that the domain is. `account` is
        more parameters of the account, `line` all of it, `contacts` are lines of the address book. The phone
        takes `calls` calls at once and rings for `ring` seconds. `modules` are more of its modules.
        """
        program = peer("baresip")
        self.user = address.partition("@")[0]
        self.name = name or f"baresip-{self.user}"
        self.host = host
        self._events: list[dict[str, Any]] = []
        self._received = b""
        home = folder / f"{self.name}.d"
        home.mkdir()
        inside = f"[{host}]" if ":" in host else host
        control = free_port(host)
        self.port = free_port(host)
        (home / "config").write_text(
            _CONFIG.format(
                host=inside,
                interface=host,
                port=self.port,
                more=(f"sip_cafile {ca}\n" if ca else "")
                + (f"dns_server {nameserver}\n" if nameserver else "")
                + "".join(f"module {module}.so\n" for module in modules),
                modules=_MODULES,
                control=control,
                ring=ring,
                calls=calls,
            )
        )
        if not line:
            line = f"<sip:{address};transport={transport}>;auth_user={self.user}"
            line += f";auth_pass={password or f'pw-{self.user}'}{account}"
            if outbound:
                line += f';outbound="{outbound}"'
        (home / "accounts").write_text(f"{line}\n")
        (home / "contacts").write_text("".join(f"{line}\n" for line in contacts))
        family = "-6" if ":" in host else "-4"
        self.process = Process(self.name, [program, family, "-s", "-v", "-f", str(home)], folder)
        self.process.wait_for("^baresip is ready")
        self._control = socket.create_connection((host, control), PATIENCE)
        self._control.settimeout(0.02)

    def close(self) -> None:
        """End it at once: it unregisters nothing."""
        self._control.close()
        super().close()

    # ctrl_tcp: netstrings of JSON.

    def do(self, command: str, parameters: str = "") -> str:
        """Give a command of baresip's menu; returns what it answered."""
        token = f"{command}.{time.monotonic_ns()}"
        text = json.dumps({"command": command, "params": parameters, "token": token}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))
        answers: list[dict[str, Any]] = []

        def answered() -> bool:
            self._read(answers)
            return any(answer.get("token") == token for answer in answers)

        until(answered, f"{self.name} answers {command}")
        answer = next(answer for answer in answers if answer.get("token") == token)
        if not answer["ok"]:
            raise self.process.failure(f"refused {command} {parameters}: {answer}")
        return str(answer["data"])

    def _read(self, answers: list[dict[str, Any]] | None = None) -> None:
        try:
            received = self._control.recv(65536)
        except TimeoutError:
            return
        if not received:
            raise self.process.failure("closed its control connection")
        self._received += received
        while b":" in self._received:
            length, _, rest = self._received.partition(b":")
            size = int(length)
            if len(rest) <= size:
                return
            message = json.loads(rest[:size])
            self._received = rest[size + 1 :]
            if message.get("event"):
                self._events.append(message)
            elif answers is not None:
                answers.append(message)

    def _told(self, kind: str) -> list[dict[str, Any]]:
        self._read()
        return [event for event in self._events if event["type"] == kind]

    def forget(self) -> None:
        """Wait for new events from now on."""
        self._read()
        self._events.clear()

    # What a user does.

    def registered(self) -> None:
        """Wait until it is; it may have been before its events could be heard."""
        self.process.wait_for(r"^\S+: \{\d/\w+/v\d\} 200 OK .*\[\d+ binding")

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.do("dial", uri)

    def rings(self) -> str:
        """Wait for a call to come in; returns its Call-ID."""
        return str(self.wait("CALL_INCOMING")["id"])

    def answer(self) -> None:
        """Take the call that came in."""
        self.do("accept")

    def refuse(self, status: int = 486) -> None:
        """Refuse the call that came in."""
        assert status == 486, "it knows no other way"
        self.do("hangup")

    def talks(self) -> str:
        """Wait until a call is answered; returns its Call-ID."""
        return str(self.wait("CALL_ESTABLISHED")["id"])

    def hold(self) -> None:
        """Put the other one on hold."""
        self.do("hold")

    def resume(self) -> None:
        """Go on with the call."""
        self.do("resume")

    def transfer(self, uri: str) -> None:
        """Send the other one there."""
        self.do("transfer", uri)

    def hang_up(self) -> None:
        """End the call, or give it up."""
        self.do("hangup")

    def hung_up(self) -> None:
        """Wait until a call that was answered ends."""
        self._closed("^Connection reset by (user|peer)$")

    def failed(self, status: int) -> None:
        """Wait until a call ends before it was answered, with this status."""
        self._closed(f"^{status} ")

    def missed(self) -> None:
        """Wait until a call ends that it was offered and did not answer: it was cancelled."""
        self._closed("^Rejected by user$|^Connection reset by peer$|^487 ")

    def _closed(self, reason: str) -> None:
        event = self.wait("CALL_CLOSED")
        if not re.search(reason, event["param"]):
            raise self.process.failure(f"closed the call for {event['param']!r}, not {reason!r}")

    def packets(self) -> int:
        """How many packets of sound have come in."""
        return sum(map(int, re.findall(r"psent=\d+ rcvd=(\d+)", self.do("audio_debug"))))

    # What is seen on its wire: its trace has each message as it was sent or received.

    def _messages(self) -> list[tuple[str, bool]]:
        found = []
        for destination, text in re.findall(
            r"#\n(?:UDP|TCP|TLS) \S+ -> \[?([^\s\]]+)\]?:\d+\n(.*?)(?=\x1b\[;m)", self.process.output, re.S
        ):
            # Its connections come from 127.0.0.1, whatever it is bound to.
            found.append((text.replace("\r", ""), destination not in (self.host, "127.0.0.1")))
        return found
