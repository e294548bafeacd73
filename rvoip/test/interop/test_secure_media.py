"""DTLS-SRTP and ICE-lite against OpenSSL's own commands and a full ICE agent, over loopback."""

from __future__ import annotations

import asyncio
import re
import secrets
import select
import socket
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from cryptography.hazmat.primitives import serialization
from twisted.trial.unittest import SkipTest

from rvoip.protocols.rtp.candidate import Credentials, host_candidates
from rvoip.protocols.rtp.dtls import (
    Address,
    DTLSClosed,
    DTLSFailed,
    DTLSHandshake,
    DTLSKeys,
    DTLSOutput,
    DTLSSend,
)
from rvoip.protocols.rtp.dtls_context import DTLSContext
from rvoip.protocols.rtp.fingerprint import Identity
from rvoip.protocols.rtp.ice import Answer, ConsentLost, IceLite, IceOutput, Selected
from rvoip.protocols.rtp.suites import PROFILES
from rvoip.test.interop.addresses import free_port
from rvoip.test.interop.case import HOST, InteropTestCase
from rvoip.test.interop.processes import peer, until

EXPORT = "-keymatexport EXTRACTOR-dtls_srtp -keymatexportlen 88".split()


class OpenSSLTests(InteropTestCase):
    """`openssl s_client` and `s_server` with `-use_srtp`: the same profile and the same secret."""

    def setUp(self) -> None:
        super().setUp()
        self.openssl = peer("openssl")
        self.ours = Identity.make(datetime.now(UTC))
        self.theirs = Identity.make(datetime.now(UTC))
        (self.folder / "cert.pem").write_bytes(
            self.theirs.certificate.public_bytes(serialization.Encoding.PEM)
        )
        (self.folder / "key.pem").write_bytes(
            self.theirs.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.addCleanup(self.socket.close)

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A command of OpenSSL with our peer's certificate that prints the secret of SRTP."""
        log = (self.folder / "openssl.log").open("wb")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [self.openssl, *arguments, *"-dtls1_2 -cert cert.pem -key key.pem".split(), *EXPORT],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def end() -> None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

        self.addCleanup(end)
        return process

    def said(self) -> str:
        """What OpenSSL printed."""
        return (self.folder / "openssl.log").read_text(encoding="utf-8", errors="replace")

    def shake(self, machine: DTLSHandshake, outputs: list[DTLSOutput]) -> DTLSKeys:
        """Run a machine on the socket until it has keys."""
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            for output in outputs:
                if isinstance(output, DTLSSend):
                    self.socket.sendto(output.datagram, output.remote)
                elif isinstance(output, DTLSKeys):
                    return output
                elif isinstance(output, DTLSFailed | DTLSClosed):
                    raise AssertionError(output)
            outputs = []
            readable, _, _ = select.select([self.socket], [], [], 0.02)
            now = time.monotonic()
            if readable:
                try:
                    datagram, source = self.socket.recvfrom(65535)
                except ConnectionRefusedError:
                    continue
                outputs = machine.receive(datagram, source, now, validated=True)
            elif machine.deadline is not None and now >= machine.deadline:
                outputs = machine.timeout(now)
        raise AssertionError(f"no keys: {self.said()}")

    def assertAgreed(self, keys: DTLSKeys, client: bool) -> None:
        """OpenSSL has the secret that our keys were cut from."""
        suite = keys.send.suite
        first, second = (keys.send, keys.receive) if client else (keys.receive, keys.send)
        ours = first.key + second.key + first.salt + second.salt
        found = until(lambda: re.findall(r"Keying material: ([0-9A-F]{176})", self.said()), "the secret")
        self.assertTrue(found[0].startswith(ours.hex().upper()), suite.name)
        self.assertIn(f"profile={suite.openssl}", self.said())

    def test_s_client(self) -> None:
        for cookies in (None, secrets.token_bytes):
            for suite in PROFILES.values():
                context = DTLSContext(self.ours, cookies=cookies)
                machine = DTLSHandshake(context, "server", [self.theirs.fingerprint("sha-384")])
                address = ":".join(map(str, self.socket.getsockname()))
                self.command("s_client", "-connect", address, "-use_srtp", suite.openssl)
                keys = self.shake(machine, [])
                self.assertEqual(keys.send.suite, suite)
                self.assertAgreed(keys, client=False)

    def test_s_server(self) -> None:
        for cookies in ((), ("-listen",)):
            for suite in PROFILES.values():
                remote = (HOST, free_port(HOST))
                machine = DTLSHandshake(DTLSContext(self.ours), "client", [self.theirs.fingerprint()])
                self.command(
                    "s_server", "-accept", f"{remote[0]}:{remote[1]}", "-Verify", "1", *cookies,
                    "-use_srtp", suite.openssl,
                )  # fmt: skip
                until(lambda: "ACCEPT" in self.said(), "s_server listens")
                keys = self.shake(machine, machine.start(remote, time.monotonic()))
                self.assertEqual(keys.send.suite, suite)
                self.assertAgreed(keys, client=True)

    def test_a_certificate_of_somebody_else(self) -> None:
        machine = DTLSHandshake(DTLSContext(self.ours), "server", [self.ours.fingerprint()])
        self.command(
            "s_client", "-connect", ":".join(map(str, self.socket.getsockname())),
            "-use_srtp", "SRTP_AEAD_AES_128_GCM",
        )  # fmt: skip
        failed = self.assertRaises(AssertionError, self.shake, machine, [])
        self.assertIsInstance(failed.args[0], DTLSFailed)
        self.assertTrue(machine.over)


class _Lite(asyncio.DatagramProtocol):
    """Our agent on a socket of asyncio's, because the peer knows no other loop."""

    def __init__(self, agent: IceLite, now: Callable[[], float]) -> None:
        self.agent = agent
        self.now = now
        self.outputs: list[IceOutput] = []
        self.media: list[tuple[bytes, Address]] = []
        self.local: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.local = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        source = (str(addr[0]), addr[1])
        if data[0] > 3:
            self.media.append((data, source))
            return
        for output in self.agent.receive(data, 1, self.local, source, self.now()):
            self.outputs.append(output)
            if isinstance(output, Answer):
                self.transport.sendto(output.datagram, output.remote)


class FullAgentTests(InteropTestCase):
    """aioice, a full agent, checks ours and nominates."""

    def test_a_call(self) -> None:
        for first in (True, False):
            self.outputs: list[IceOutput] = []
            asyncio.run(self.call(controlling=first))
            self.assertEqual(len([one for one in self.outputs if isinstance(one, Selected)]), 1)
            self.assertFalse([one for one in self.outputs if isinstance(one, ConsentLost)])

    async def call(self, controlling: bool) -> None:
        """One that begins as controlled is told of the conflict (487), and controls then."""
        try:
            import aioice
        except ImportError:
            raise SkipTest("aioice is not installed: pip install rvoip[interop]") from None
        credentials = Credentials.make(secrets.token_bytes)
        agent = IceLite(credentials)
        loop = asyncio.get_running_loop()
        _, lite = await loop.create_datagram_endpoint(
            lambda: _Lite(agent, time.monotonic), local_addr=("0.0.0.0", 0)
        )
        port = lite.local[1]
        full = aioice.Connection(ice_controlling=controlling, use_ipv6=False)
        await full.gather_candidates()
        agent.set_remote(full.local_username)
        full.remote_is_lite = True
        full.remote_username, full.remote_password = credentials.ufrag, credentials.password
        host = full.local_candidates[0].host
        for candidate in host_candidates([(host, port, None)]):
            await full.add_remote_candidate(aioice.Candidate.from_sdp(str(candidate)))
        await full.add_remote_candidate(None)
        await asyncio.wait_for(full.connect(), 20)
        self.outputs = lite.outputs
        await full.send(b"\x80media")
        selected = next(one for one in lite.outputs if isinstance(one, Selected))
        lite.transport.sendto(b"\x80back", selected.remote)
        self.assertEqual(await asyncio.wait_for(full.recv(), 5), b"\x80back")
        self.assertEqual(lite.media, [(b"\x80media", selected.remote)])
        self.assertEqual(agent.refused.role_conflict > 0, not controlling)
        self.assertEqual(agent.refused.unauthorized, 0)
        deadline = agent.deadline
        await full.close()
        lite.transport.close()
        self.assertIsNotNone(deadline)
