"""The rules of PUBLISH (RFC 3903 section 6)."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from rvoip.registrar.compositor import Compositor, CompositorSettings
from rvoip.registrar.publication import PublicationChange, Published
from rvoip.test.registrar.presence_scene import ALICE, BOB, NOW, Scene, pidf, publish


class PublishTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scene = Scene()

    def held(self, now: float = NOW) -> list[tuple[str, bytes, float]]:
        found = self.scene.state.compositor.publications("presence", ALICE, now)
        return [(each.etag, each.body, each.deadline) for each in found]

    def test_life(self) -> None:
        """Initial, refresh, modify, remove, each with an entity tag of its own."""
        first = self.scene.publish(pidf(), expires=600)
        self.assertEqual(first, Published(200, "tag1", 600))
        self.assertEqual(first.headers, (("SIP-ETag", "tag1"), ("Expires", "600")))
        self.assertEqual(self.held(), [("tag1", pidf(), NOW + 600)])
        self.assertEqual(self.scene.told(), [("presence", ALICE)])
        self.assertEqual(
            self.scene.publish(etag="tag1", expires=900, now=NOW + 1), Published(200, "tag2", 900)
        )
        self.assertEqual(self.held(), [("tag2", pidf(), NOW + 901)])
        self.assertEqual(self.scene.told(), [])
        self.assertEqual(
            self.scene.publish(pidf("closed"), "tag2", now=NOW + 2), Published(200, "tag3", 3600)
        )
        self.assertEqual(self.held(), [("tag3", pidf("closed"), NOW + 3602)])
        self.assertEqual(self.scene.told(), [("presence", ALICE)])
        self.assertEqual(self.scene.publish(etag="tag3", expires=0, now=NOW + 3), Published(200, "tag4", 0))
        self.assertEqual(self.held(), [])
        self.assertEqual(self.scene.told(), [("presence", ALICE)])
        self.assertEqual(self.scene.publish(etag="tag4", now=NOW + 4), Published(412))

    def test_a_used_tag_is_used(self) -> None:
        self.scene.publish(pidf())
        self.scene.publish(etag="tag1")
        for request in ({"body": pidf(), "etag": "tag1"}, {"etag": "tag1"}, {"etag": "tag1", "expires": 0}):
            self.assertEqual(self.scene.publish(**request), Published(412))
        self.assertEqual(len(self.held()), 1)

    def test_a_tag_is_of_one_presentity_and_package(self) -> None:
        self.scene.publish(pidf())
        self.assertEqual(self.scene.publish(etag="tag1", presentity=BOB).status, 412)
        self.assertEqual(self.scene.publish(etag="tag1", package="dialog").status, 412)

    def test_several_devices(self) -> None:
        for number in range(3):
            self.scene.publish(pidf(id_=f"t{number}"))
        self.assertEqual([each[0] for each in self.held()], ["tag1", "tag2", "tag3"])
        self.scene.publish(etag="tag1")
        # One that is refreshed keeps its place.
        self.assertEqual([each[0] for each in self.held()], ["tag4", "tag2", "tag3"])

    def test_expiry(self) -> None:
        self.scene.publish(pidf(), expires=100)
        self.scene.publish(pidf(id_="other"), expires=200)
        self.scene.told()
        self.assertEqual(len(self.held(NOW + 99)), 2)
        self.assertEqual([each[0] for each in self.held(NOW + 100)], ["tag2"])
        self.assertEqual(self.scene.publish(etag="tag1", now=NOW + 100), Published(412))
        self.scene.state.expire(NOW + 99)
        self.assertEqual(self.scene.told(), [])
        self.scene.state.expire(NOW + 100)
        self.assertEqual(self.scene.told(), [("presence", ALICE)])
        self.scene.state.expire(NOW + 1000)
        self.assertEqual(self.scene.told(), [("presence", ALICE)])
        self.assertEqual(self.scene.state.compositor.count(), 0)

    def test_a_refresh_expires_at_its_new_time_only(self) -> None:
        self.scene.publish(pidf(), expires=100)
        self.scene.publish(etag="tag1", expires=300)
        self.scene.told()
        self.scene.state.expire(NOW + 299)
        self.assertEqual(self.scene.told(), [])
        self.scene.state.expire(NOW + 300)
        self.assertEqual(self.scene.told(), [("presence", ALICE)])

    def test_intervals(self) -> None:
        for asked, status, granted in (
            (None, 200, 3600),
            (59, 423, 0),
            (60, 200, 60),
            (10**9, 200, 86400),
            (0, 200, 0),
        ):
            answer = self.scene.publish(pidf(), expires=asked)
            self.assertEqual((answer.status, answer.expires), (status, granted), asked)
        self.assertEqual(self.scene.publish(pidf(), expires=59).headers, (("Min-Expires", "60"),))

    def test_what_is_not_acceptable(self) -> None:
        for request, status, header in (
            ({"package": "conference", "body": b"x"}, 489, "Allow-Events"),
            ({}, 400, None),
            ({"body": b"<presence/>"}, 400, None),
            ({"body": b"<!DOCTYPE a><a/>"}, 400, None),
            ({"body": pidf(), "content_type": "text/plain"}, 415, "Accept"),
            ({"body": pidf(), "content_type": "nonsense"}, 415, "Accept"),
            ({"body": b"x" * 16385}, 413, None),
        ):
            answer = self.scene.publish(**request)
            self.assertEqual(answer.status, status, request)
            self.assertEqual([name for name, _ in answer.headers], [header] if header else [])
        self.assertEqual(self.scene.told(), [])

    def test_a_bad_modification_changes_nothing(self) -> None:
        self.scene.publish(pidf())
        self.assertEqual(self.scene.publish(b"<a/>", "tag1").status, 400)
        self.assertEqual(self.scene.publish(etag="tag1").status, 200)

    def test_content_type_with_parameters(self) -> None:
        answer = self.scene.publish(pidf(), content_type="Application/PIDF+xml;charset=UTF-8")
        self.assertEqual(answer.status, 200)

    def test_too_many(self) -> None:
        for _ in range(10):
            self.assertEqual(self.scene.publish(pidf()).status, 200)
        self.assertEqual(self.scene.publish(pidf()).status, 403)
        self.assertEqual(self.scene.publish(pidf(), now=NOW + 3600).status, 200)

    def test_too_many_presentities(self) -> None:
        scene = Scene(settings=CompositorSettings(max_presentities=2))
        for presentity, status in (("a@h", 200), ("b@h", 200), ("c@h", 503), ("a@h", 200)):
            self.assertEqual(scene.publish(pidf(), presentity=presentity).status, status)

    def test_too_often(self) -> None:
        statuses = [self.scene.publish(pidf(), "nothing").status for _ in range(25)]
        self.assertEqual(statuses, [412] * 20 + [503] * 5)
        self.assertEqual(self.scene.publish(pidf()).headers, (("Retry-After", "1"),))
        self.assertEqual(self.scene.publish(pidf(), presentity=BOB).status, 200)
        self.assertEqual(self.scene.publish(pidf(), now=NOW + 0.6).status, 200)


class WaitingTests(SynchronousTestCase):
    """Between a decision and its writing."""

    def setUp(self) -> None:
        tags = iter(range(1000))
        self.compositor = Compositor(CompositorSettings(max_publications=2), lambda: f"tag{next(tags)}")

    def decide(self, *args: Any, **more: Any) -> PublicationChange:
        change = self.compositor.decide(publish(*args, **more), NOW)
        assert isinstance(change, PublicationChange), change
        return change

    def refused(self, *args: Any, **more: Any) -> int:
        answer = self.compositor.decide(publish(*args, **more), NOW)
        assert isinstance(answer, Published), answer
        return answer.status

    def test_a_tag_is_taken_meanwhile(self) -> None:
        self.compositor.apply(self.decide(pidf()))
        change = self.decide(etag="tag0")
        self.assertEqual(self.refused(etag="tag0"), 412)
        self.assertEqual(self.refused(etag="tag0", expires=0), 412)
        self.compositor.abandon(change)
        self.compositor.apply(self.decide(etag="tag0", expires=0))
        self.assertEqual(self.compositor.count(), 0)

    def test_what_comes_counts(self) -> None:
        first, second = self.decide(pidf()), self.decide(pidf())
        self.assertEqual(self.refused(pidf()), 403)
        self.compositor.abandon(first)
        self.compositor.apply(second)
        self.compositor.apply(self.decide(pidf()))
        self.assertEqual(self.refused(pidf()), 403)

    def test_nothing_expires_while_it_is_refreshed(self) -> None:
        self.compositor.apply(self.decide(pidf(), expires=60))
        change = self.compositor.decide(publish(etag="tag0", expires=60), NOW + 59)
        assert isinstance(change, PublicationChange)
        self.assertEqual(self.compositor.expire(NOW + 61), [])
        self.compositor.apply(change)
        self.assertEqual(self.compositor.expire(NOW + 61), [])
        self.assertEqual(len(self.compositor.expire(NOW + 119)), 1)

    def test_what_could_not_be_refreshed_expires(self) -> None:
        self.compositor.apply(self.decide(pidf(), expires=60))
        change = self.decide(etag="tag0", expires=60)
        self.assertEqual(self.compositor.expire(NOW + 61), [])
        self.compositor.abandon(change)
        self.assertEqual(len(self.compositor.expire(NOW + 61)), 1)


class Machine(RuleBasedStateMachine):
    """Beside a model: {etag: (body, deadline)}."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(settings=CompositorSettings(rate=0.0, max_publications=100))
        self.model: dict[str, tuple[bytes, float]] = {}
        self.used: list[str] = ["never"]
        self.now = NOW

    def live(self) -> dict[str, tuple[bytes, float]]:
        return {etag: each for etag, each in self.model.items() if each[1] > self.now}

    @rule(expires=st.sampled_from((60, 300)), note=st.sampled_from("ab"))
    def initial(self, expires: int, note: str) -> None:
        answer = self.scene.publish(pidf(note=note), expires=expires, now=self.now)
        assert answer.status == 200
        self.model[answer.etag] = (pidf(note=note), self.now + expires)
        self.used.append(answer.etag)

    @rule(data=st.data(), expires=st.sampled_from((0, 60, 300)), note=st.sampled_from(("", "a", "b")))
    def conditional(self, data: st.DataObject, expires: int, note: str) -> None:
        etag = data.draw(st.sampled_from(self.used))
        body = pidf(note=note) if note else b""
        answer = self.scene.publish(body, etag, expires=expires, now=self.now)
        old = self.live().get(etag)
        assert answer.status == (412 if old is None else 200)
        if old is None:
            return
        assert answer.etag not in self.used
        del self.model[etag]
        self.used.append(answer.etag)
        if expires:
            self.model[answer.etag] = (body or old[0], self.now + expires)

    @rule(seconds=st.sampled_from((1.0, 60.0, 300.0)), sweep=st.booleans())
    def later(self, seconds: float, sweep: bool) -> None:
        self.now += seconds
        if sweep:
            self.scene.state.expire(self.now)
            assert self.scene.state.compositor.count() == len(self.live())

    @invariant()
    def same(self) -> None:
        found = self.scene.state.compositor.publications("presence", ALICE, self.now)
        assert {each.etag: (each.body, each.deadline) for each in found} == self.live()


class ModelTests(SynchronousTestCase):
    def test_model(self) -> None:
        run_state_machine_as_test(
            Machine,
            settings=settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=30),
        )
