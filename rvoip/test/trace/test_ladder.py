"""Ladders as text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.printable import is_plain
from rvoip.trace.ladder import draw
from rvoip.trace.ring import LadderMessage

A, P, B = "127.0.0.2:5070", "127.0.0.1:5060", "127.0.0.3:5080"


def message(
    at: float, source: str, destination: str, summary: str, text: str | None = None, transport: str = "UDP"
) -> LadderMessage:
    return LadderMessage(
        at=at,
        direction="in",
        transport=transport,
        source=source,
        destination=destination,
        size=612,
        summary=summary,
        text=f"{source} {destination} {summary} {at}" if text is None else text,
    )


CALL = [
    message(1000.0, A, P, "INVITE (SDP)", "invite"),
    message(1000.0004, P, A, "100 Trying (INVITE)"),
    message(1000.001, P, B, "INVITE (SDP)", "invite2"),
    message(1000.501, P, B, "INVITE (SDP)", "invite2"),
    message(1000.6, B, P, "200 OK (INVITE, SDP)"),
    message(1000.601, P, A, "200 OK (INVITE, SDP)"),
    message(1000.7, A, B, "ACK"),
    message(1063.25, A, P, "BYE"),
    message(1063.251, P, A, "503 Service Unavailable For A Very Long Reason (BYE)"),
]

DRAWN = """\
                         127.0.0.2                127.0.0.1                127.0.0.3
   seconds octets         5070 UDP                 5060 UDP                 5080 UDP
                             |                        |                        |
     0.000    612            |----- INVITE (SDP) ---->|                        |
     0.000    612            |< 100 Trying (INVITE) --|                        |
     0.001    612            |                        |----- INVITE (SDP) ---->|
     0.501    612            |                        |-- INVITE (SDP) again ->|
     0.600    612            |                        |< 200 OK (INVITE, SDP) -|
     0.601    612            |< 200 OK (INVITE, SDP) -|                        |
     0.700    612            |---------------------- ACK --------------------->|
    63.250    612            |--------- BYE --------->|                        |
    63.251    612            |< 503 Service Unavai.. -|                        |
"""

LISTED = """\
     0.000  127.0.0.2:5070 -> 127.0.0.1:5060 UDP  INVITE (SDP)  (612 octets)
     0.000  127.0.0.1:5060 -> 127.0.0.2:5070 UDP  100 Trying (INVITE)  (612 octets)
     0.001  127.0.0.1:5060 -> 127.0.0.3:5080 UDP  INVITE (SDP)  (612 octets)
     0.501  127.0.0.1:5060 -> 127.0.0.3:5080 UDP  INVITE (SDP) again  (612 octets)
"""


class DrawingTests(SynchronousTestCase):
    maxDiff = None

    def test_a_call_through_a_proxy(self) -> None:
        self.assertEqual(draw(CALL, width=93), DRAWN)

    def test_without_room_for_columns_it_is_a_list(self) -> None:
        self.assertEqual(draw(CALL[:4], width=64), LISTED)

    def test_nothing_is_drawn_of_nothing(self) -> None:
        self.assertEqual(draw([]), "")

    def test_transports_have_columns_of_their_own(self) -> None:
        drawn = draw([message(0.0, A, P, "INVITE"), message(0.1, A, P, "INVITE", transport="TCP")], 100)
        self.assertRegex(drawn.splitlines()[1], r"^ +seconds octets +5070 UDP +5060 UDP +5070 TCP +5060 TCP$")
        self.assertNotIn("again", drawn)

    def test_a_message_to_itself(self) -> None:
        first, second = (
            draw([message(0.0, A, P, "INVITE"), message(0.1, place, place, "REGISTER and more")], 67)
            for place in (A, P)
        )
        self.assertEqual(first.splitlines()[-1], "     0.100    612            |<> REGISTER and more    |")
        self.assertEqual(
            second.splitlines()[-1], "     0.100    612            |                        |<> REGIST.."
        )

    def test_ipv6(self) -> None:
        drawn = draw([message(0.0, "[2001:db8:0:1:2:3:4:5]:5070", "[::1]:5060", "INVITE")], 67)
        self.assertIn("[2001:db8:0:1:2:3:4:5]", drawn.splitlines()[0])
        drawn = draw([message(0.0, "[2001:db8:0:1:2:3:4:5]:5070", "[::1]:5060", "INVITE")], 49)
        self.assertIn("[2001:db8:0:1..", drawn.splitlines()[0])

    def test_a_clock_that_was_set_back(self) -> None:
        drawn = draw([message(1000.0, A, P, "INVITE"), message(990.5, P, A, "200 OK")])
        self.assertTrue(drawn.splitlines()[-1].startswith("    -9.500 "))
        drawn = draw([message(0.0, A, P, "INVITE"), message(2e9, P, A, "200 OK")])
        self.assertTrue(drawn.splitlines()[-1].startswith("20000000..    612 "))

    def test_nothing_drives_a_terminal(self) -> None:
        evil = "a\x1b[2J\r\n\x9b\u202e\udce9"
        for width in (100, 20):
            drawn = draw([message(0.0, f"{evil}:1", f"{evil}:2", evil, transport=evil)], width)
            self.assertTrue(all(line.isprintable() for line in drawn.splitlines()), drawn)
            self.assertEqual(len(drawn.split("\n")), 5 if width == 100 else 2)
            drawn.encode()

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.lists(
            st.builds(
                message,
                st.floats(-1e12, 1e12),
                st.sampled_from([A, P, B, "[::1]:5060", "", "x"]),
                st.sampled_from([A, P, B, "[::1]:5060", "", "x"]),
                st.text(max_size=80),
                st.sampled_from(["one", "two"]),
            ),
            max_size=12,
        ),
        st.integers(-5, 300),
    )
    def test_whatever_is_drawn_fits(self, messages: list[LadderMessage], width: int) -> None:
        lines = draw(messages, width).splitlines()
        if not lines:
            self.assertEqual(messages, [])
        elif len(lines) == len(messages) + 3:
            self.assertLessEqual(max(len(line) for line in lines), width)
            self.assertTrue(all(is_plain(line) for line in lines))
        else:
            self.assertEqual(len(lines), len(messages))
