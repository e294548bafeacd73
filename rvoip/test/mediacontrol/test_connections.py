"""What the clients make of connections that break, servers that are silent, tokens and TLS."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from rvoip.mediacontrol.client import HTTPMediaServer
from rvoip.mediacontrol.control_client import ControlMediaServer
from rvoip.mediacontrol.errors import MediaError, MediaLost, MediaRefused, MediaUnavailable
from rvoip.mediacontrol.events import SpeakingEvent
from rvoip.mediacontrol.reach import Credentials
from rvoip.mediacontrol.schema import CreateEndpoint, Play
from rvoip.test.mediacontrol.serving import Serving
from rvoip.testing.certificates import Authority
from rvoip.testing.media_contract import offer


class Silent(Protocol):
    """Takes what comes, and says nothing."""


class ControlTests(Serving, TestCase):
    host = "127.0.84.1"

    async def connect(self, **options: Any) -> ControlMediaServer:
        client = ControlMediaServer(self.reactor, self.url, **options)
        self.addCleanup(client.close)
        client.open()
        await self.until(lambda: client.is_connected)
        return client

    async def test_a_lost_answer_makes_nothing_twice(self) -> None:
        """The server does it, the connection breaks before the answer, and the same one is answered later."""
        await self.serve()
        client = await self.connect()
        self.fake.late = 0.3
        making = client.create_endpoint(CreateEndpoint(sdp=offer()))
        await self.until(lambda: self.fake.live)
        self.cut()
        made = await making
        self.assertEqual(list(self.fake.live), [made.id])
        self.assertEqual([name for name, *_ in self.fake.performed], ["create_endpoint"])

    async def test_a_deletion_whose_answer_is_lost(self) -> None:
        await self.serve()
        client = await self.connect()
        one = await client.create_endpoint(CreateEndpoint(sdp=offer()))
        played = await client.play(one.id, Play(source="tone:440"))
        self.fake.late = 0.3
        stopping = client.stop(one.id, "play", played.id)
        await self.until(lambda: self.fake.performed[-1][0] == "stop_play")
        self.cut()
        await stopping
        deleting = client.delete_endpoint(one.id)
        await self.until(lambda: not self.fake.live)
        self.cut()
        error = await self.fails(deleting, MediaLost)
        self.assertIn("was done", error.reason)

    async def test_events_that_may_be_missed_are_told(self) -> None:
        await self.serve()
        client = await self.connect()
        missed: list[str] = []
        events: list[Any] = []
        end = client.subscribe(events.append, missed.append)
        self.cut()
        await self.until(lambda: not client.is_connected)
        self.assertEqual(missed, [])
        await self.until(lambda: missed)
        self.assertIn("lost", missed[0])
        self.fake.speak("e1")
        await self.until(lambda: events)
        self.assertIsInstance(events[0], SpeakingEvent)
        end()
        self.fake.hush("e1")
        await client.stats()
        self.assertEqual(len(events), 1)

    async def test_a_command_waits_for_the_connection(self) -> None:
        await self.serve()
        await self.service.stopService()
        client = ControlMediaServer(self.reactor, self.url)
        self.addCleanup(client.close)
        client.open()
        asking = client.stats()
        await self.until(lambda: "cannot connect" in client.trouble)
        await self.listen(self.port)
        self.assertEqual((await asking).endpoints, 0)

    async def test_nobody_there(self) -> None:
        await self.serve()
        await self.service.stopService()
        client = ControlMediaServer(self.reactor, self.url, timeout=0.4)
        self.addCleanup(client.close)
        client.open()
        error = await self.fails(client.stats(), MediaUnavailable)
        self.assertNotIsInstance(error, MediaLost)
        self.assertIn("was never asked", error.reason)

    async def test_one_that_is_silent_is_left(self) -> None:
        """Its connection stands, but nothing comes: given up within 3 s, and what was sent is lost."""
        await self.serve()
        client = await self.connect(timeout=0.5)
        self.fake.late = 60.0
        error = await self.fails(client.stats(), MediaLost)
        self.assertEqual(error.status, 504)
        self.assertTrue(client.is_connected)  # it answers pings
        for call in self.reactor.getDelayedCalls():
            if call.getTime() - self.reactor.seconds() > 50:
                call.cancel()

    async def test_a_dead_connection_is_seen_within_three_seconds(self) -> None:
        await self.serve()
        client = await self.connect()
        for channel in list(self.service.site.connections):
            transport: Any = channel.transport
            transport.pauseProducing()  # what a host does that lost its power
        began = self.reactor.seconds()
        await self.until(lambda: not client.is_connected)
        self.assertLess(self.reactor.seconds() - began, 3.3)
        await self.until(lambda: client.is_connected)

    async def test_too_many_at_once_and_too_long(self) -> None:
        await self.serve()
        client = await self.connect(most=2)
        self.fake.late = 0.1
        asking = gatherResults([client.stats(), client.stats()])
        await self.fails(client.stats(), MediaUnavailable)
        await asking
        error = await self.fails(client.create_endpoint(CreateEndpoint(sdp="x" * 70_000)), MediaError)
        self.assertEqual(error.status, 413)

    async def test_many_in_one_stream(self) -> None:
        await self.serve()
        client = await self.connect()
        made = await gatherResults([client.create_endpoint(CreateEndpoint(sdp=offer())) for _ in range(200)])
        self.assertEqual([each.id for each in made], [f"e{number}" for number in range(1, 201)])

    async def test_a_connection_that_breaks_all_the_time(self) -> None:
        """What was made and not deleted is there, nothing else, whatever the network did meanwhile."""
        await self.serve()
        client = await self.connect(timeout=20.0)
        chance = random.Random(7)
        self.fake.late = 0.03
        kept: set[str] = set()

        async def call() -> None:
            made = await client.create_endpoint(CreateEndpoint(sdp=offer()))
            played = await client.play(made.id, Play(source="tone:440"))
            await client.stop(made.id, "play", played.id)
            if chance.random() < 0.5:
                kept.add(made.id)
                return
            try:
                await client.delete_endpoint(made.id)
            except MediaLost as error:
                self.assertIn("was done", error.reason)

        calls = gatherResults([Deferred.fromCoroutine(call()) for _ in range(100)])
        broken = 0
        while not calls.called:
            await deferLater(self.reactor, chance.uniform(0.0, 0.03))
            if client.is_connected and broken < 10:
                self.cut()
                broken += 1
        await calls
        self.assertGreater(broken, 2)
        self.assertEqual(set(self.fake.live), kept)
        made = [each for each in self.fake.performed if each[0] == "create_endpoint"]
        self.assertEqual(len(made), 100)

    async def test_a_closed_client(self) -> None:
        await self.serve()
        client = await self.connect()
        self.fake.late = 0.1
        asking = client.stats()
        client.close()
        await self.fails(asking, MediaLost)
        await self.fails(client.stats(), MediaUnavailable)

    async def test_a_token(self) -> None:
        await self.serve(token="secret")
        client = ControlMediaServer(self.reactor, self.url, timeout=0.3)
        self.addCleanup(client.close)
        client.open()
        await self.until(lambda: "401" in client.trouble)
        await self.fails(client.stats(), MediaUnavailable)
        allowed = await self.connect(credentials=Credentials("secret"))
        self.assertEqual((await allowed.stats()).endpoints, 0)

    async def test_mutual_tls(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority()
        (folder / "ca.pem").write_bytes(authority.certificate_pem)
        ca = str(folder / "ca.pem")
        certificate, private_key = authority.issue(self.host).write(folder)
        await self.serve(certificate=certificate, private_key=private_key, ca=ca)
        own, own_key = authority.issue("b2bua.example.test").write(folder, "client")
        ours = Credentials(ca=ca, certificate=own, private_key=own_key)
        client = await self.connect(credentials=ours)
        self.assertEqual((await client.stats()).endpoints, 0)
        by_http = HTTPMediaServer(self.reactor, self.url, ours)
        self.assertEqual((await by_http.stats()).endpoints, 0)
        await by_http.close()
        stranger = HTTPMediaServer(self.reactor, self.url, Credentials(ca=ca), timeout=1.5)
        await self.fails(stranger.stats(), MediaUnavailable)
        await stranger.close()
        doubting = HTTPMediaServer(self.reactor, self.url, timeout=1.5)
        await self.fails(doubting.stats(), MediaUnavailable)
        await doubting.close()


class HTTPTests(Serving, TestCase):
    host = "127.0.84.2"

    def connect(self, **options: Any) -> HTTPMediaServer:
        client = HTTPMediaServer(self.reactor, self.url, **options)
        self.addCleanup(client.close)
        return client

    async def test_a_lost_answer_makes_nothing_twice(self) -> None:
        await self.serve()
        client = self.connect()
        self.fake.late = 0.25
        making = client.create_endpoint(CreateEndpoint(sdp=offer()))
        await self.until(lambda: self.fake.live)
        self.cut()
        made = await making
        self.assertEqual(list(self.fake.live), [made.id])

    async def test_nobody_there_and_nobody_answering(self) -> None:
        await self.serve()
        await self.service.stopService()
        error = await self.fails(self.connect().stats(), MediaUnavailable)
        self.assertNotIsInstance(error, MediaLost)
        port = self.reactor.listenTCP(self.port, Factory.forProtocol(Silent), interface=self.host)
        self.addCleanup(port.stopListening)
        client = self.connect(timeout=0.3)
        await self.fails(client.stats(), MediaLost)

    async def test_too_many_at_once(self) -> None:
        await self.serve()
        client = self.connect(most=1)
        asking = client.stats()
        await self.fails(client.stats(), MediaUnavailable)
        await asking
        await client.stats()

    async def test_a_token(self) -> None:
        await self.serve(token="secret")
        error = await self.fails(self.connect().stats(), MediaRefused)
        self.assertEqual(error.status, 401)
        await self.connect(credentials=Credentials("secret")).stats()

    async def test_a_unix_socket(self) -> None:
        from tempfile import mkdtemp

        await self.serve()
        await self.service.stopService()
        path = f"{mkdtemp()}/media"
        from rvoip.testing.media_http import serve_media

        service = serve_media(self.reactor, f"unix:{path}", self.fake)
        service.startService()
        self.addCleanup(service.stopService)
        self.url = f"unix:{path}"
        self.assertEqual((await self.connect().stats()).endpoints, 0)
        control = ControlMediaServer(self.reactor, self.url)
        self.addCleanup(control.close)
        control.open()
        self.assertEqual((await control.stats()).endpoints, 0)
