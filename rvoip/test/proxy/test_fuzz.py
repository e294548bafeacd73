"""Calls whose messages are damaged on the way: nothing is logged as an error, answered twice, or kept."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.sip.message import Request
from rvoip.proxy.forwarding import Forwarding
from rvoip.proxy.proxy import ProxySettings
from rvoip.test.proxy.scene import PROXY, Peer, Scene, sip
from rvoip.test.proxy.test_forwarding import Rules

JUNK = (
    "",
    ",",
    ";",
    "<",
    '"',
    "<>",
    "*",
    "0",
    "-1",
    "99999999999",
    "\u0661",
    "sip:",
    "<sip:a",
    "<sip:a@[::1>;x",
    "<tel:+1>",
    "SIP/2.0/UDP",
    "SIP/2.0/UDP ;branch",
    "SIP/2.0/UDP 10.0.2.2:0;branch=z9hG4bK1;rport=x;received=1",
    f"<sip:{PROXY};lr>",
    f"<sip:{PROXY};lr>, <sip:10.0.2.1>",
    f"<sip:{PROXY};lr;d=0123456789abcdef>",
    "<sip:bob@example.test>;tag=1",
    "1 INVITE",
    "1 ACK",
    "path, outbound",
    "Digest username=a",
    "a" * 2000,
)
NAMES = (
    "Via",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "Route",
    "Record-Route",
    "Max-Forwards",
    "Max-Breadth",
    "Proxy-Require",
    "Proxy-Authorization",
    "P-Asserted-Identity",
    "Content-Length",
    "Reason",
    "Retry-After",
    "Proxy-Authenticate",
    "Supported",
    "History-Info",
    "Diversion",
    "Privacy",
    "P-Preferred-Identity",
)

WAYS = {
    "plain": ProxySettings(),
    "hiding": ProxySettings(topology_hiding=True, assert_identity=True),
    "stateless": ProxySettings(stateless=True),
    "following": ProxySettings(recurse=True, fork="sequential", ring=5.0),
}

MUTATIONS = st.tuples(
    st.sampled_from(["drop", "double", "swap", "replace", "add", "start", "cut"]),
    st.integers(0, 30),
    st.sampled_from(NAMES),
    st.sampled_from(JUNK),
)


def damaged(text: str, mutations: list[tuple[str, int, str, str]]) -> bytes:
    lines = text.split("\r\n")
    for kind, number, name, junk in mutations:
        index = 1 + number % max(1, len(lines) - 3)
        if kind == "drop":
            del lines[index : index + 1]
        elif kind == "double":
            lines.insert(index, lines[min(index, len(lines) - 1)])
        elif kind == "swap":
            lines[index : index + 2] = lines[index : index + 2][::-1]
        elif kind == "replace":
            lines[min(index, len(lines) - 1)] = (
                f"{lines[min(index, len(lines) - 1)].partition(':')[0]}: {junk}"
            )
        elif kind == "add":
            lines.insert(index, f"{name}: {junk}")
        elif kind == "start":
            words = lines[0].split(" ")
            words[number % len(words)] = junk.split(" ")[0]
            lines[0] = " ".join(words)
        else:
            lines = lines[: max(2, len(lines) - number)]
    return "\r\n".join(lines).encode()


class FuzzTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.lists(MUTATIONS, max_size=3),
        st.lists(MUTATIONS, max_size=3),
        st.sampled_from(["INVITE", "MESSAGE", "SUBSCRIBE"]),
        st.sampled_from([180, 200, 302, 407, 486, 503]),
        st.booleans(),
        st.sampled_from(sorted(WAYS)),
    )
    def test_damaged_calls(
        self,
        in_request: list[tuple[str, int, str, str]],
        in_response: list[tuple[str, int, str, str]],
        method: str,
        status: int,
        cancel: bool,
        way: str,
    ) -> None:
        scene = Scene(WAYS[way])
        scene.proxy.forwarding = Rules(bob=Forwarding(busy=sip("sip:carol@example.test")))
        alice, bob = scene.peer("alice"), scene.peer("bob")
        scene.places.bind("bob", f"sip:bob@{bob.address}")
        text = alice.request(method, branch="z9hG4bKfuzz", call_id="fuzz")
        alice.send(damaged(text, in_request))
        if cancel:
            alice.send(alice.request("CANCEL", branch="z9hG4bKfuzz", call_id="fuzz"))
        for _ in range(3):
            self.react(bob, status, in_response)
        scene.advance(500)
        self.react(bob, status, in_response)
        scene.advance(500)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(scene.leftovers(), [])
        answers = [
            one.to_bytes()
            for one in alice.take()
            if not isinstance(one, Request)
            and one.status >= 200
            and one.has("cseq")
            and "CANCEL" not in str(one)
        ]
        if way != "stateless":  # where each answer of the callee goes back
            self.assertLessEqual(len(set(answers)), 1, answers)

    def react(self, bob: Peer, status: int, mutations: list[tuple[str, int, str, str]]) -> None:
        for came in bob.take():
            if isinstance(came, Request) and came.method != "ACK":
                bob.send(damaged(bob.answer(came, status), mutations))
