"""A user agent that publishes, against a compositor by hand (RFC 3903)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.body import Body
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.dialog.publication_client import ClientPublication
from rvoip.test.protocols.dialog.agents import Peer, Stage

PIDF = "application/pidf+xml"
OPEN, CLOSED = Body(b"<open/>", PIDF), Body(b"<closed/>", PIDF)


class Publishing(ClientPublication):
    """A publication that writes down what it is told."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.events: list[str] = []

    def published(self, etag: str | None) -> Any:
        self.events.append(f"published {etag}")

    def failed(self, status: int) -> Any:
        self.events.append(f"failed {status}")


class PublicationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stage = Stage(
            find_credential=lambda realm, host: Credential("alice", "secret", "test", frozenset((host,)))
        )
        self.peer = Peer(self.stage)
        self.publication = Publishing(
            self.stage.alice.agent, self.peer.uri, "presence", from_=f"<{self.stage.alice.uri}>"
        )

    def asked(self, seconds: float = 0.1) -> Any:
        """The PUBLISH that comes in that time, once or again."""
        self.stage.advance(seconds)
        taken = self.peer.take()
        self.assertEqual(
            {(one.method, one.cseq.number) for one in taken}, {("PUBLISH", taken[0].cseq.number)}
        )
        return taken[0]

    def accept(self, request: Any, etag: str, expires: int = 1000) -> None:
        self.peer.answer(request, 200, extra=f"SIP-ETag: {etag}\r\nExpires: {expires}\r\n")

    def test_from_first_to_last(self) -> None:
        self.publication.publish(OPEN)
        first = self.asked()
        shown = [first.get(name) for name in ("event", "expires", "content-type", "sip-if-match")]
        self.assertEqual(shown, ["presence", "3600", PIDF, None])
        self.assertEqual(first.body, OPEN.content)
        self.assertFalse(first.has("contact"))
        self.accept(first, "one")
        self.assertEqual(self.publication.events, ["published one"])
        refresh = self.asked(900.5)
        self.assertEqual((refresh.body, refresh.get("sip-if-match")), (b"", "one"))
        self.assertEqual(refresh.call_id, first.call_id)
        self.assertGreater(refresh.cseq.number, first.cseq.number)
        self.accept(refresh, "two")
        self.publication.publish(CLOSED)
        modify = self.asked()
        self.assertEqual((modify.body, modify.get("sip-if-match")), (CLOSED.content, "two"))
        self.accept(modify, "three")
        self.publication.remove()
        last = self.asked()
        self.assertEqual([last.get(name) for name in ("expires", "sip-if-match")], ["0", "three"])
        self.accept(last, "four", 0)
        self.assertEqual(self.publication.state, "Unpublished")
        self.assertEqual(self.stage.leftovers(), [])

    def test_a_challenge(self) -> None:
        self.publication.publish(OPEN)
        self.peer.answer(self.asked(), 401, extra='WWW-Authenticate: Digest realm="test", nonce="n"\r\n')
        again = self.peer.one("PUBLISH")
        self.assertTrue(again.has("authorization"))
        self.accept(again, "one")
        refresh = self.asked(900.5)
        self.assertTrue(refresh.has("authorization"), "what was learnt is kept")
        self.assertGreater(refresh.cseq.number, again.cseq.number)
        self.accept(refresh, "two")
        self.publication.close()
        self.assertEqual(self.stage.leftovers(), [])

    def test_the_compositor_has_forgotten(self) -> None:
        self.publication.publish(OPEN)
        self.accept(self.asked(), "one")
        refresh = self.asked(900.5)
        self.peer.answer(refresh, 412)
        anew = self.peer.one("PUBLISH")
        self.assertEqual((anew.body, anew.get("sip-if-match")), (OPEN.content, None))
        self.accept(anew, "two")
        self.assertEqual(self.publication.events, ["published one", "published two"])
        self.publication.close()
        self.assertEqual(self.stage.leftovers(), [])

    def test_failures(self) -> None:
        self.publication.publish(OPEN)
        self.peer.answer(self.asked(), 423, extra="Min-Expires: 7200\r\n")
        longer = self.peer.one("PUBLISH")
        self.assertEqual(longer.get("expires"), "7200")
        self.peer.answer(longer, 503, extra="Retry-After: 20\r\n")
        self.stage.advance(19)
        self.assertEqual(self.peer.take(), [])
        later = self.asked(2.5)
        self.peer.answer(later, 489)
        self.assertEqual(self.publication.events, ["failed 489"])
        self.assertEqual(self.publication.state, "Failed")
        self.assertEqual(self.stage.leftovers(), [])

    def test_nobody_answers(self) -> None:
        self.publication.publish(OPEN)
        self.stage.advance(33)
        self.assertEqual(self.publication.state, "Unpublished")
        self.peer.take()
        again = self.asked(30)
        self.accept(again, "one")
        self.assertEqual(self.publication.state, "Published")
        self.publication.close()
        self.assertEqual(self.stage.leftovers(), [])

    def test_the_name_cannot_be_found(self) -> None:
        publication = Publishing(self.stage.alice.agent, "sip:a@nowhere.test", "presence")
        publication.publish(OPEN)
        self.assertEqual(publication.state, "Unpublished")
        publication.close()
        self.assertEqual(self.stage.leftovers(), [])
