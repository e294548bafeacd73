"""The greeter against the fake media server, on a clock that the test turns."""

from __future__ import annotations

from greeter import Greeter
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rvoip.mediacontrol.errors import MediaUnavailable
from rvoip.testing.media import FakeMediaServer
from rvoip.testing.media_contract import answer_to, offer


class GreeterTests(SynchronousTestCase):
    """Callers who press, who do not, and who cannot be taken."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fake = FakeMediaServer(self.clock, prompts={"welcome.wav": 3.0})
        self.greeter = Greeter(self.fake)

    def test_whoever_presses_1_is_connected(self) -> None:
        caller, answer = self.successResultOf(Deferred.fromCoroutine(self.greeter.greet(offer())))
        self.assertIn("m=audio", answer)
        asking = Deferred.fromCoroutine(self.greeter.ask(caller))
        self.fake.press(caller, "1")
        self.assertEqual(self.successResultOf(asking), "1")
        self.assertEqual(self.fake.activities.of(caller), [])  # the digit has ended the prompt
        connecting = self.greeter.connect(caller, lambda sdp: succeed(answer_to(sdp)))
        bridge = self.successResultOf(Deferred.fromCoroutine(connecting))
        self.assertEqual(self.fake.bridges[bridge], (caller, "e2"))

    def test_whoever_presses_nothing(self) -> None:
        caller, _ = self.successResultOf(Deferred.fromCoroutine(self.greeter.greet(offer())))
        asking = Deferred.fromCoroutine(self.greeter.ask(caller))
        self.clock.advance(10.0)
        self.assertEqual(self.successResultOf(asking), "")

    def test_a_media_server_that_is_full(self) -> None:
        self.fake.refuse("create_endpoint", MediaUnavailable("this media server is full"))
        greeting = Deferred.fromCoroutine(self.greeter.greet(offer()))
        self.assertEqual(self.failureResultOf(greeting, MediaUnavailable).value.status, 503)
