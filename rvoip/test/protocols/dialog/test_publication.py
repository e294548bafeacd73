"""A publisher: entity tags, refreshes, and what goes wrong (RFC 3903)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.publication import (
    FAILED,
    MODIFYING,
    PUBLISHED,
    PUBLISHING,
    REFRESHING,
    REMOVING,
    UNPUBLISHED,
    Publication,
    Publish,
)
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, messages, octets


class PublicationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.publication = Publication[str](3600)

    def reach(self, state: str) -> Publication[str]:
        publication = self.publication = Publication[str](3600)
        if state == UNPUBLISHED:
            return publication
        publication.publish("first")
        if state == FAILED:
            publication.refused(403, 0.0, 0.5)
        elif state != PUBLISHING:
            publication.accepted(200, "tag", 1000, 0.0)
            if state == REFRESHING:
                publication.poll(900.0)
            elif state == MODIFYING:
                publication.publish("second")
            elif state == REMOVING:
                publication.remove()
        self.assertEqual(publication.state, state)
        return publication

    def test_each_row(self) -> None:
        for (at, event), (following, kind) in Publication.TRANSITIONS.items():
            publication = self.reach(at)
            if event == "publish":
                found = publication.publish("third")
            elif event == "remove":
                found = publication.remove()
            elif event == "2xx":
                found = publication.accepted(200, "other", 100, 1.0)
            elif event == "before it expires":
                found = publication.poll(900.0)
            elif event == "expired":
                found = publication.poll(1000.0)
            else:
                status = {"412": 412, "423": 423, "fails for now": 503, "fails for good": 403}[event]
                found = publication.refused(status, 1.0, 0.5, min_expires=7200)
            self.assertEqual(publication.state, following, (at, event))
            if kind in ("initial", "refresh", "modify", "remove"):
                assert found is not None
                self.assertEqual(found.kind, kind, (at, event))
            else:
                self.assertIsNone(found)
                self.assertEqual(publication.deadline is not None, following == PUBLISHED or bool(kind))

    def test_table_1(self) -> None:
        """Which PUBLISH has a body, an entity tag, and how long it lasts (RFC 3903 section 4.1)."""
        publication = self.publication
        self.assertEqual(publication.publish("a"), Publish("initial", "a", None, 3600))
        self.assertIsNone(publication.accepted(200, "t1", 1800, 0.0))
        self.assertEqual(publication.deadline, 1620.0)
        self.assertEqual(publication.poll(1620.0), Publish("refresh", None, "t1", 3600))
        self.assertIsNone(publication.accepted(200, "t2", 1800, 1620.0))
        self.assertEqual(publication.publish("b"), Publish("modify", "b", "t2", 3600))
        self.assertIsNone(publication.accepted(200, "t3", 1800, 1700.0))
        self.assertEqual(publication.remove(), Publish("remove", None, "t3", 0))
        self.assertIsNone(publication.accepted(200, "t4", 0, 1800.0))
        self.assertEqual((publication.state, publication.deadline), (UNPUBLISHED, None))
        self.assertEqual(publication.publish("c"), Publish("initial", "c", None, 3600))

    def test_one_at_a_time(self) -> None:
        publication = self.publication
        publication.publish("a")
        self.assertIsNone(publication.publish("b"))
        self.assertIsNone(publication.publish("c"))
        self.assertIsNone(publication.deadline)
        self.assertEqual(publication.accepted(200, "t1", 100, 0.0), Publish("modify", "c", "t1", 3600))
        self.assertIsNone(publication.remove())
        self.assertEqual(publication.accepted(200, "t2", 100, 0.0), Publish("remove", None, "t2", 0))

    def test_withdrawn_before_it_was_published(self) -> None:
        for status in (412, 423, 503):
            self.publication = Publication[str]()
            self.publication.publish("a")
            self.publication.remove()
            self.assertIsNone(self.publication.refused(status, 0.0, 0.5, min_expires=7200))
            self.assertEqual((self.publication.state, self.publication.deadline), (UNPUBLISHED, None))

    def test_published_again_while_it_is_removed(self) -> None:
        for status in (412, 403, 503):
            publication = self.reach(REMOVING)
            self.assertIsNone(publication.publish("new"))
            self.assertEqual(publication.refused(status, 1.0, 0.5), Publish("initial", "new", None, 3600))

    def test_an_entity_tag_that_is_gone(self) -> None:
        publication = self.reach(MODIFYING)
        self.assertEqual(publication.refused(412, 1.0, 0.5), Publish("initial", "second", None, 3600))
        # Not for ever.
        for _ in range(2):
            self.assertIsNotNone(publication.refused(412, 1.0, 0.5))
            self.assertEqual(publication.state, PUBLISHING)
        self.assertIsNone(publication.refused(412, 1.0, 0.5))
        self.assertEqual(publication.deadline, 1.0 + 22.5)

    def test_too_brief(self) -> None:
        self.publication.publish("a")
        found = self.publication.refused(423, 0.0, 0.5, min_expires=7200)
        self.assertEqual(found, Publish("initial", "a", None, 7200))
        self.assertIsNone(self.publication.refused(423, 0.0, 0.5, min_expires=7200), "it asks for no more")
        self.assertEqual(self.publication.expires, 7200)

    def test_it_fails_for_now(self) -> None:
        publication = self.publication
        publication.publish("a")
        delays = []
        for _ in range(12):
            self.assertIsNone(publication.refused(503, 100.0, 0.999))
            assert publication.deadline is not None
            delays.append(round(publication.deadline - 100.0))
            self.assertEqual(publication.poll(publication.deadline), Publish("initial", "a", None, 3600))
        self.assertEqual(delays[:4], [30, 60, 120, 240])
        self.assertEqual(delays[-1], 3598)
        publication.refused(404, 100.0, 0.5, retry_after=20)
        self.assertEqual(publication.deadline, 120.5)
        self.assertEqual(publication.publish("b"), Publish("initial", "b", None, 3600))
        self.assertIsNone(publication.deadline)

    def test_a_refresh_that_fails_for_now(self) -> None:
        """The state is told in full then: nobody knows what the compositor still has."""
        publication = self.reach(REFRESHING)
        publication.refused(500, 901.0, 0.0)
        self.assertEqual(publication.deadline, 916.0)
        self.assertEqual(publication.poll(916.0), Publish("modify", "first", "tag", 3600))

    def test_it_expires_while_nobody_answers(self) -> None:
        publication = self.reach(REFRESHING)
        publication.refused(503, 990.0, 0.0, retry_after=100)
        self.assertEqual(publication.deadline, 1000.0)
        self.assertEqual(publication.poll(1000.0), Publish("initial", "first", None, 3600))

    def test_it_fails_for_good(self) -> None:
        publication = self.reach(FAILED)
        self.assertIsNone(publication.deadline)
        self.assertEqual(publication.status, 403)
        self.assertEqual(publication.publish("b"), Publish("initial", "b", None, 3600))

    def test_a_compositor_without_entity_tags(self) -> None:
        publication = self.publication
        publication.publish("a")
        publication.accepted(200, None, 100, 0.0)
        self.assertEqual(publication.poll(50.0), Publish("initial", "a", None, 3600))
        publication.accepted(200, None, 100, 50.0)
        self.assertEqual(publication.publish("b"), Publish("initial", "b", None, 3600))
        publication.accepted(200, None, 100, 60.0)
        self.assertIsNone(publication.remove())
        self.assertEqual(publication.state, UNPUBLISHED)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(st.sampled_from(["publish", "remove", "accept", "refuse", "wait"]), st.integers(0, 5))
        )
    )
    def test_any_order(self, events: list[tuple[str, int]]) -> None:
        """One at a time; the last wish is what the compositor has in the end."""
        publication = self.publication = Publication[str](3600)
        now, count = 0.0, 0
        wish: str | None = None
        there: str | None = None
        under_way: Publish[str] | None = None

        def settle(event: str, number: int) -> None:
            nonlocal now, under_way, there
            found = None
            if under_way is not None and event == "accept":
                if under_way.body is not None or under_way.kind == "remove":
                    there = under_way.body
                under_way = None
                count_text = f"tag {number} {now}"
                found = publication.accepted(200, count_text, 1000, now)
            elif under_way is not None and event == "refuse":
                under_way = None
                found = publication.refused((412, 423, 503, 500)[number % 4], now, 0.5)
            elif event == "wait" and publication.deadline is not None:
                now = max(now, publication.deadline)
                found = publication.poll(now)
            if found is not None:
                assert under_way is None
                under_way = found

        for event, number in events:
            found = None
            if event == "publish":
                count += 1
                wish = f"state {count}"
                found = publication.publish(wish)
            elif event == "remove":
                wish = None
                found = publication.remove()
            settle(event, number)
            if found is not None:
                self.assertIsNone(under_way)
                under_way = found
            self.assertEqual(publication.under_way, under_way is not None)
        for _ in range(5):
            settle("accept", 0)
            if there != wish:
                settle("wait", 0)
        if wish is not None:
            self.assertEqual(there, wish)
        self.assertEqual(publication.state, PUBLISHED if wish is not None else UNPUBLISHED)


class ExampleTests(SynchronousTestCase):
    """The example of RFC 3903 section 15: publish, refresh, modify, expire."""

    def test_it(self) -> None:
        printed: list[Request | Response] = []
        for entry in messages("sip/rfc-examples"):
            if entry["rfc"] == 3903:
                data = re.sub(rb"Content-Length: *[^\r]*\r\n", b"", octets("sip/rfc-examples", entry["file"]))
                message = parse_message(data)
                if message.cseq.method == "PUBLISH":
                    printed.append(message)
        publication = Publication[bytes](3600)
        seen: list[str] = []
        now = 0.0
        for asked, answer in zip(printed[::2], printed[1::2]):
            assert isinstance(answer, Response)
            if asked.content_type is not None:
                made = publication.publish(b"the RFC leaves the bodies out")
            else:
                now = publication.deadline or 0.0
                made = publication.poll(now)
            assert made is not None
            self.assertEqual(made.etag, asked.typed("sip-if-match"))
            self.assertEqual(made.body is not None, asked.content_type is not None)
            self.assertEqual(made.expires, asked.expires)
            seen.append(made.kind)
            self.assertIsNone(
                publication.accepted(answer.status, answer.get("sip-etag"), answer.expires, now)
            )
        self.assertEqual(seen, ["initial", "refresh", "modify"])


if not GIVEN:
    del ExampleTests
