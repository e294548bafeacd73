"""Hold in the new and the old way, and what a description may follow another with."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.descriptions import answer_problem, offer_problem, unchanged, versioned
from rvoip.protocols.dialog.hold import answer_directions, flow, held_by_peer, hold, resume
from rvoip.protocols.sdp.attributes import Attribute
from rvoip.protocols.sdp.build import audio_offer
from rvoip.protocols.sdp.direction import Direction
from rvoip.protocols.sdp.lines import Connection
from rvoip.protocols.sdp.media import Media
from rvoip.protocols.sdp.session import SessionDescription, parse

SENDRECV, SENDONLY, RECVONLY, INACTIVE = Direction
DIRECTIONS = st.sampled_from(list(Direction))


def description(
    *directions: Direction, host: str = "192.0.2.1", version: int = 1, session: int = 7
) -> SessionDescription:
    """One audio section a direction."""
    made = audio_offer(host, 4000, session_id=session, version=version)
    sections = [made.media[0].with_direction(direction) for direction in directions]
    return made.replace(media=tuple(sections))


def directions(made: SessionDescription) -> list[Direction]:
    return [made.direction_of(media) for media in made.media]


class HoldTests(SynchronousTestCase):
    def test_each_stream(self) -> None:
        before = description(SENDRECV, SENDONLY, RECVONLY, INACTIVE)
        held = hold(before)
        self.assertEqual(directions(held), [SENDONLY, SENDONLY, INACTIVE, INACTIVE])
        self.assertEqual(held.origin.session_version, 2)
        self.assertEqual(directions(hold(before, inactive=True)), [INACTIVE] * 4)
        self.assertTrue(held_by_peer(held))
        self.assertFalse(held_by_peer(before))
        self.assertEqual(parse(held.to_bytes()), held)

    def test_hold_twice_changes_nothing(self) -> None:
        held = hold(description(SENDRECV))
        self.assertIs(hold(held), held)

    def test_a_rejected_stream_stays_as_it_is(self) -> None:
        two = description(SENDRECV, SENDRECV)
        one = two.with_media(1, two.media[1].rejected())
        held = hold(one)
        self.assertEqual(held.media[1], one.media[1])
        self.assertTrue(held.is_hold)
        self.assertEqual(resume(held).media[1], one.media[1])

    def test_a_direction_for_the_whole_session(self) -> None:
        before = description(SENDRECV)
        section = before.media[0].without("sendrecv")
        whole = before.replace(media=(section,), attributes=(Attribute("recvonly"),))
        held = hold(whole)
        self.assertEqual(directions(held), [INACTIVE])
        self.assertIsNone(held.own_direction)
        self.assertEqual(directions(resume(held, whole)), [RECVONLY])

    def test_the_old_way(self) -> None:
        for host, null in (("192.0.2.1", "0.0.0.0"), ("2001:db8::1", "::")):
            before = description(SENDRECV, host=host)
            held = hold(before, null_address=True)
            self.assertEqual([c.address for c in held.connections_of(held.media[0])], [null])
            self.assertTrue(held_by_peer(held))
            self.assertTrue(held_by_peer(parse(held.to_bytes())))
            again = resume(held, before)
            self.assertEqual([c.address for c in again.connections_of(again.media[0])], [host])
            self.assertFalse(held_by_peer(again))
            self.assertEqual(again.origin.session_version, 3)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.lists(DIRECTIONS, min_size=1, max_size=4), st.booleans(), st.booleans())
    def test_there_and_back(self, wanted: list[Direction], inactive: bool, null: bool) -> None:
        before = description(*wanted)
        held = hold(before, inactive=inactive, null_address=null)
        self.assertTrue(held.is_hold)
        again = resume(held, before)
        self.assertEqual(directions(again), wanted)
        self.assertEqual(again.media, before.media)

    def test_resume_without_memory(self) -> None:
        self.assertEqual(directions(resume(description(SENDONLY, INACTIVE))), [SENDRECV, SENDRECV])
        longer = hold(description(SENDRECV, SENDRECV))
        self.assertEqual(directions(resume(longer, description(RECVONLY))), [RECVONLY, SENDRECV])


class AnswerTests(SynchronousTestCase):
    def answered(self, offered: Direction, wanted: Direction, *, null: bool = False) -> Direction:
        offer = description(offered)
        if null:
            offer = offer.with_connection(Connection.of("0.0.0.0"))
        (found,) = directions(answer_directions(offer, description(wanted, host="192.0.2.2", session=8)))
        return found

    def test_each_pair(self) -> None:
        """RFC 3264 section 6.1: an answer takes no more than what is offered."""
        for offered, wanted in product(Direction, Direction):
            found = self.answered(offered, wanted)
            self.assertEqual(
                found, Direction.of(offered.receives and wanted.sends, offered.sends and wanted.receives)
            )
        self.assertEqual(self.answered(SENDONLY, SENDRECV), RECVONLY)
        self.assertEqual(self.answered(INACTIVE, SENDRECV), INACTIVE)
        # Hold by both: ours lasts (RFC 6337 section 5.3).
        self.assertEqual(self.answered(SENDONLY, SENDONLY), INACTIVE)
        self.assertEqual(self.answered(SENDRECV, SENDONLY), SENDONLY)

    def test_an_offer_without_an_address(self) -> None:
        self.assertEqual(self.answered(SENDRECV, SENDRECV, null=True), RECVONLY)
        self.assertEqual(self.answered(RECVONLY, SENDRECV, null=True), INACTIVE)

    def test_what_flows(self) -> None:
        for ours, theirs in product(Direction, Direction):
            found = flow(description(ours), description(theirs), 0)
            expected = Direction.of(ours.sends and theirs.receives, ours.receives and theirs.sends)
            self.assertEqual(found, expected)
        self.assertEqual(flow(hold(description(SENDRECV)), description(SENDRECV), 0), SENDONLY)
        two = description(SENDRECV, SENDRECV)
        rejected = two.with_media(1, two.media[1].rejected())
        self.assertEqual(flow(two, rejected, 1), INACTIVE)
        self.assertEqual(flow(rejected, two, 1), INACTIVE)
        self.assertEqual(flow(two, description(SENDRECV), 1), INACTIVE)


class DescriptionTests(SynchronousTestCase):
    def test_versions(self) -> None:
        first = description(SENDRECV, version=5)
        self.assertIs(versioned(None, first), first)
        same = description(SENDRECV, version=90, session=12)
        self.assertIs(versioned(first, same), first, "it means the same")
        other = versioned(first, description(RECVONLY, version=90, session=12))
        self.assertEqual((other.origin.session_id, other.origin.session_version), ("7", 6))
        self.assertEqual(directions(other), [RECVONLY])

    def test_nothing_new(self) -> None:
        first = description(SENDRECV)
        self.assertTrue(unchanged(first, parse(first.to_bytes())))
        self.assertFalse(unchanged(None, first))
        self.assertFalse(unchanged(first, first.next_version()))
        self.assertFalse(unchanged(first, description(SENDONLY)), "the version alone says nothing")

    def test_answers(self) -> None:
        offer = description(SENDRECV, SENDRECV)
        audio = offer.media[0]
        video = Media("video", 4002, "RTP/AVP", ("96",))
        for sections, problem in (
            ((audio, audio), None),
            ((audio, audio.rejected()), None),
            ((audio.replace(protocol="RTP/AVPF"), audio), None),
            ((audio,), "1 media sections answer 2"),
            ((audio, audio, audio), "3 media sections answer 2"),
            ((audio, video), "media section 2 answers audio with video"),
            ((audio.replace(protocol="udptl"), audio), "media section 1 answers RTP/AVP with udptl"),
        ):
            self.assertEqual(answer_problem(offer, offer.replace(media=sections)), problem)
        refused = offer.with_media(1, audio.rejected())
        self.assertEqual(answer_problem(refused, offer), "media section 2 accepts what was not offered")

    def test_offers(self) -> None:
        one, two = description(SENDRECV), description(SENDRECV, SENDRECV)
        self.assertIsNone(offer_problem(None, one))
        self.assertIsNone(offer_problem(one, two))
        self.assertIsNone(offer_problem(two, two))
        self.assertEqual(offer_problem(two, one), "1 media sections follow 2")
