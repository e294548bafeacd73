"""User agents over a network that loses, doubles and reorders, and in any order of messages and wishes."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.errors import DialogError, Refused
from rvoip.protocols.sip.message import Request
from rvoip.test.protocols.dialog.agents import (
    ANSWER,
    OFFER,
    SECOND_OFFER,
    Peer,
    Stage,
    Told,
)


def expect_failure(done: Any) -> None:
    """Whatever becomes of a request, it is one of our errors."""
    if isinstance(done, Deferred):
        done.addErrback(lambda failure: failure.trap(DialogError))


class Lossy(SynchronousTestCase):
    """Calls as people make them; each ends at both ends, whatever the network does."""

    def run_calls(self, seed: int, count: int = 12, **knobs: Any) -> tuple[Stage, list[Any]]:
        random = Random(seed)
        stage = Stage(AgentSettings(ring=30, answer=60), seed=seed, delay=(0.01, 0.2), **knobs)
        reactor = stage.alice.reactor
        calls: list[Any] = []

        def later(low: float, high: float, what: Any, *arguments: Any) -> None:
            reactor.callLater(random.uniform(low, high), what, *arguments)

        def script(invite: Any) -> None:
            fate = random.choice(("answer", "answer", "ring", "refuse", "early", "silent"))
            if fate == "refuse":
                invite.reject(486)
                return
            if fate in ("ring", "early"):
                invite.progress(183, ANSWER if fate == "early" else None)
            if fate != "silent":
                later(0.1, 5, answer, invite)

        def answer(invite: Any) -> None:
            if not invite.answered:
                invite.accept(None if invite.session.offer_answer.settled else ANSWER)

        def change(invite: Any) -> None:
            if invite.session is None:
                return
            theirs = [
                one for one in stage.bob.agent.sessions if one.dialog.call_id == invite.session.dialog.call_id
            ]
            for session in random.sample([invite.session, *theirs], 1):
                if random.random() < 0.5:
                    expect_failure(session.reinvite(SECOND_OFFER))
                else:
                    expect_failure(session.update(SECOND_OFFER))
                later(0.0, 8, session.bye)

        def call() -> None:
            invite = stage.call()
            calls.append(invite)
            if random.random() < 0.2:
                later(0, 4, invite.cancel)
            later(2, 12, change, invite)
            later(2, 12, change, invite)

        for _ in range(count):
            later(0, 20, call)
        stage.advance(150)
        return stage, calls

    def check(self, stage: Stage, calls: list[Any]) -> None:
        for invite in calls:
            outcomes = [one for one in invite.events if one == "accepted" or one.startswith("failed")]
            self.assertEqual(len(outcomes), 1, (stage, invite.events))
        for end in (stage.alice, stage.bob):
            for session in end.agent.sessions:
                if session.state == "confirmed":
                    session.bye()
        stage.advance(200)
        for end in (stage.alice, stage.bob):
            self.assertEqual(end.leftovers(), [], stage)
            for session in end.agent.sessions:
                ended = [one for one in session.events if one.startswith("ended")]
                self.assertEqual(len(ended), 1, (stage, session.events))

    def test_loss(self) -> None:
        for seed in range(6):
            self.check(*self.run_calls(seed, loss=0.2))

    def test_everything(self) -> None:
        for seed in range(10, 18):
            self.check(*self.run_calls(seed, loss=0.1, duplicate=0.2, reorder=0.3))

    def test_answered_calls_stand_at_five_percent(self) -> None:
        """100 calls at 5 % loss each way: each is answered, and hung up at both ends."""
        stage = Stage(seed=3, loss=0.05, delay=(0.01, 0.05))
        stage.bob.agent.script = lambda invite: invite.accept(ANSWER)
        calls = []
        for _ in range(100):
            calls.append(stage.call())
            stage.advance(0.1)
        stage.advance(35)
        self.assertEqual([one.events for one in calls], [["accepted"]] * 100)
        for invite in calls:
            invite.session.bye()
        stage.advance(100)
        self.assertEqual(stage.alice.leftovers() + stage.bob.leftovers(), [])


class AnyOrder(SynchronousTestCase):
    """Whatever comes, in whatever order: nothing raises, nothing is left, each session ends once."""

    def finish(self, stage: Stage) -> None:
        for session in list(stage.alice.agent.sessions):
            session.bye()
        stage.advance(400)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(stage.alice.leftovers(), [])
        for session in stage.alice.agent.sessions:
            if session.events:
                self.assertEqual(len([one for one in session.events if one.startswith("ended")]), 1)

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.lists(
            st.one_of(
                st.tuples(
                    st.sampled_from((100, 180, 183, 199, 200, 202, 302, 408, 481, 486, 491, 603)),
                    st.sampled_from(("", "a", "b")),
                    st.sampled_from((None, ANSWER)),
                    st.sampled_from((0, 0, 1, 2)),
                ),
                st.sampled_from(("cancel", "bye", "reinvite", "update", "info", "wait", "long")),
                st.tuples(
                    st.sampled_from(("BYE", "INVITE", "UPDATE", "PRACK", "INFO", "ACK")),
                    st.integers(1, 5),
                    st.sampled_from((None, OFFER)),
                ),
                st.sampled_from((200, 408, 481, 491)),
            ),
            max_size=14,
        ),
        st.booleans(),
    )
    def test_a_call_of_ours(self, steps: list[Any], offers: bool) -> None:
        stage = Stage(AgentSettings(ring=60, answer=90))
        peer = Peer(stage)
        invite = stage.call(OFFER if offers else None, peer.uri)
        stage.advance(0.01)
        sent = peer.one("INVITE")
        others: list[Request] = []
        for step in steps:
            others += [one for one in peer.take() if isinstance(one, Request) and one.method != "ACK"]
            if isinstance(step, tuple) and len(step) == 4:
                status, tag, body, rseq = step
                extra = f"Require: 100rel\r\nRSeq: {rseq}\r\n" if rseq and status < 200 else ""
                peer.answer(sent, status, tag, extra, body)
            elif isinstance(step, tuple):
                method, cseq, body = step
                extra = "RAck: 1 1 INVITE\r\n" if method == "PRACK" else ""
                for session in list(invite.sessions.values()):
                    peer.within(session.dialog, method, cseq, body=body, extra=extra)
            elif isinstance(step, int):
                if others:
                    peer.answer(others.pop(), step, body=ANSWER)
            elif step in ("wait", "long"):
                stage.advance(1 if step == "wait" else 40)
            elif step == "cancel":
                invite.cancel()
            else:
                self.wish(step, list(invite.sessions.values()))
        self.finish(stage)
        outcomes = [one for one in invite.events if one == "accepted" or one.startswith("failed")]
        self.assertEqual(len(outcomes), 1, invite.events)

    def wish(self, step: str, sessions: list[Told]) -> None:
        for session in sessions:
            if step == "bye":
                session.bye()
            elif step == "info":
                expect_failure(session.request("INFO"))
            elif step == "reinvite":
                expect_failure(session.reinvite(SECOND_OFFER))
            else:
                expect_failure(session.update(SECOND_OFFER))

    @settings(derandomize=True, deadline=None, max_examples=150)
    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    "ring early answer reject bye fork reinvite update info wait long cancel refuse".split()
                ),
                st.tuples(
                    st.sampled_from(("BYE", "INVITE", "UPDATE", "PRACK", "INFO", "ACK")),
                    st.integers(1, 6),
                    st.sampled_from((None, OFFER)),
                ),
                st.sampled_from((200, 408, 481, 491)),
            ),
            max_size=14,
        ),
        st.booleans(),
        st.sampled_from(("", "Supported: 100rel\r\n", "Require: 100rel\r\n")),
    )
    def test_a_call_of_the_peer(self, steps: list[Any], offers: bool, extra: str) -> None:
        stage = Stage(AgentSettings(ring=60, answer=90))
        peer = Peer(stage)
        peer.request("INVITE", body=OFFER if offers else None, extra=extra, branch="z9hG4bK-first")
        (invite,) = stage.alice.agent.received
        others: list[Request] = []
        rack = "1"
        for step in steps:
            for one in peer.take():
                if isinstance(one, Request):
                    if one.method != "ACK":
                        others.append(one)
                elif one.has("rseq"):
                    rack = one.get("rseq") or "1"
            if isinstance(step, tuple):
                method, cseq, body = step
                for session in list(invite.sessions):
                    peer.within(session.dialog, method, cseq, body=body, extra=f"RAck: {rack} 1 INVITE\r\n")
            elif isinstance(step, int):
                if others:
                    peer.answer(others.pop(), step, body=ANSWER)
            elif step in ("wait", "long"):
                stage.advance(1 if step == "wait" else 40)
            elif step == "cancel":
                peer.request("CANCEL", branch="z9hG4bK-first")
            elif step in ("bye", "info", "reinvite", "update"):
                self.wish(step, list(invite.sessions))  # type: ignore[arg-type]
            else:
                self.decide(step, invite)
        self.finish(stage)

    def decide(self, step: str, invite: Any) -> None:
        try:
            if step == "ring":
                invite.progress()
            elif step == "early":
                invite.progress(183, ANSWER)
            elif step == "answer":
                invite.accept(ANSWER)
            elif step == "reject":
                invite.reject(486)
            elif step == "fork":
                invite.fork()
            else:
                invite.refused(Refused(606))
        except DialogError:
            pass  # it says itself that this is not the time
