"""Peers that send whatever they like: user agents answer or ignore it, log nothing, and keep nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.agent_settings import AgentSettings
from rvoip.protocols.dialog.challenge import Credential
from rvoip.protocols.sip.message import Request, Response
from rvoip.test.protocols.dialog.agents import ANSWER, OFFER, SECOND_OFFER, Agent, Peer, Stage
from rvoip.test.protocols.dialog.test_network import expect_failure

JUNK = st.sampled_from(
    (
        "",
        "x",
        "0",
        "-1",
        "1_0",
        "99999999999999999999",
        "\u0661",
        '"',
        "<",
        "<>",
        "<sip:>",
        "<sip:[::>",
        "<mailto:a@b>",
        "<tel:+1>",
        "<sip:a@b;lr>, <",
        "*",
        "a;b=c;d",
        "a;to-tag=;from-tag",
        "a;to-tag=1;from-tag=2",
        "1 1 INVITE",
        "1 INVITE",
        "100rel",
        "100rel, timer, replaces",
        "1;refresher=me",
        "60",
        "session;handling=optional",
        "multipart/mixed",
        "multipart/mixed;boundary=b",
        "application/sdp;",
        "/",
        'Digest realm="example.test", nonce="n", qop="auth"',
        'Digest realm="example.test", nonce="n", stale=true, algorithm=SHA-256, qop=","',
        "Digest realm=, nonce",
        "é\x80",
    )
)
HEADERS = st.sampled_from(
    """
    Contact Record-Route Route Allow Supported Require Replaces Join RAck RSeq Session-Expires Min-SE Expires
    Reason Content-Type Content-Disposition Content-Encoding Info-Package Proxy-Authenticate WWW-Authenticate
    Authentication-Info Retry-After Session-ID Event Max-Forwards Timestamp Unsupported
    """.split()
)
EXTRA = st.lists(st.tuples(HEADERS, JUNK), max_size=4).map(
    lambda pairs: "".join(f"{name}: {value}\r\n" for name, value in pairs)
)


def find(realm: str, host: str) -> Credential:
    return Credential("alice", "secret", hosts=frozenset((host,)))


class HostileTests(SynchronousTestCase):
    def finish(self, stage: Stage, peer: Peer) -> None:
        for session in list(stage.alice.agent.sessions):
            session.bye()
        stage.advance(400)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(stage.alice.leftovers(), [])

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ("INVITE", "UPDATE", "PRACK", "INFO", "BYE", "OPTIONS", "MESSAGE", "ACK", "FOO")
                ),
                EXTRA,
                st.sampled_from((None, OFFER)),
            ),
            max_size=5,
        ),
        EXTRA,
        st.booleans(),
    )
    def test_requests(self, requests: list[Any], first: str, accept: bool) -> None:
        stage = Stage(AgentSettings(answer=60, ring=60))
        stage.alice.agent.script = lambda invite: invite.accept(ANSWER) if accept else invite.progress()
        peer = Peer(stage)
        peer.request("INVITE", body=OFFER, extra=first)
        cseq = 1
        for method, extra, body in requests:
            cseq += 1
            for session in list(stage.alice.agent.sessions):
                if session.dialog.usages:
                    peer.within(
                        session.dialog, method, 1 if method == "ACK" else cseq, extra=extra, body=body
                    )
            peer.request(method, cseq=cseq, extra=extra, body=body)
        self.finish(stage, peer)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from((100, 180, 183, 199, 200, 302, 401, 407, 420, 421, 422, 491, 503, 699)),
                st.sampled_from(("", "a", "b")),
                EXTRA,
                st.sampled_from((None, ANSWER)),
                st.sampled_from(("sip:peer@10.0.0.9", "sip:", "mailto:a@b", "tel:+1", "sips:x@y", "*", "")),
            ),
            max_size=6,
        ),
        st.booleans(),
    )
    def test_responses(self, responses: list[Any], offers: bool) -> None:
        stage = Stage(AgentSettings(answer=60, ring=60), find_credential=find)
        peer = Peer(stage)
        invite = stage.call(OFFER if offers else None, peer.uri)
        stage.advance(0.01)
        for status, tag, extra, body, contact in responses:
            for sent in peer.take():
                if isinstance(sent, Request) and sent.method != "ACK":
                    peer.answer(sent, status, tag, extra, body, contact)
            for session in list(invite.sessions.values()):
                expect_failure(session.reinvite(SECOND_OFFER))
                expect_failure(session.update())
                expect_failure(session.request("INFO"))
            stage.advance(1)
        self.finish(stage, peer)

    def test_more_dialogs_than_there_may_be(self) -> None:
        """One above the limit is refused; as many as that are found again, and end."""
        stage = Stage(AgentSettings(dialogs=20, reliable="off"))
        stage.alice.agent.script = lambda invite: invite.accept(ANSWER)
        peer = Peer(stage)
        for number in range(25):
            peer.request("INVITE", body=OFFER, tag=f"t{number}")
        answers = [one.status for one in peer.take() if isinstance(one, Response)]
        self.assertEqual((answers.count(200), answers.count(503)), (20, 5))
        self.finish(stage, peer)

    def test_an_agent_that_is_asked_for_everything(self) -> None:
        """Each method there is, with nothing registered: none is without an answer."""
        stage = Stage(agent_class=Agent)
        peer = Peer(stage)
        for (
            method
        ) in "SUBSCRIBE NOTIFY REFER PUBLISH REGISTER MESSAGE INFO UPDATE PRACK BYE OPTIONS X".split():
            peer.request(method)
            answer = peer.one()
            self.assertEqual(answer.cseq.method, method)
            self.assertIn(answer.status, (200, 405, 481, 501))
