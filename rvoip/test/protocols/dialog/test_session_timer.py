"""Session timers: who refreshes, how often, and when the session is given up (RFC 4028)."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.protocols.dialog.refusal import Refusal
from rvoip.protocols.dialog.session_timer import EXPIRE, REFRESH, SessionTimer, TimerSettings
from rvoip.protocols.dialog.session_timer_proxy import ProxyTimer, proxy_request, proxy_response
from rvoip.protocols.sip.build import request, respond
from rvoip.protocols.sip.message import Request, Response
from rvoip.protocols.sip.reader import parse_message
from rvoip.test.conformance import GIVEN, messages, octets

Headers = tuple[tuple[str, str], ...]
SUPPORTED = ("Supported", "timer")


def invite(*headers: tuple[str, str], method: str = "INVITE") -> Request:
    return request(
        method, "sip:b@x", from_="<sip:a@x>;tag=1", to="<sip:b@x>", call_id="c", cseq=1, headers=headers
    )


def answer(*headers: tuple[str, str], status: int = 200) -> Response:
    return respond(invite(), status, to_tag="2", headers=headers)


def expires(value: str) -> tuple[str, str]:
    return ("Session-Expires", value)


def run(timer: SessionTimer) -> list[tuple[float, str]]:
    """What happens if nobody does anything."""
    seen = []
    while timer.deadline is not None:
        now = timer.deadline
        seen.append((now, timer.poll(now)))
    return seen


class CallerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.timer = SessionTimer(TimerSettings())

    def test_what_the_invite_asks_for(self) -> None:
        self.assertEqual(self.timer.request_headers(), (SUPPORTED, expires("1800")))
        required = SessionTimer(TimerSettings(600, 100, "uas", "required"))
        self.assertEqual(
            required.request_headers(),
            (("Require", "timer"), expires("600;refresher=uas"), ("Min-SE", "100")),
        )
        self.assertEqual(SessionTimer(TimerSettings(policy="off")).request_headers(), ())

    def test_we_refresh(self) -> None:
        """At half of the interval; BYE 32 s before its end."""
        self.timer.accepted(answer(expires("1800;refresher=uac")), 1000.0)
        self.assertTrue(self.timer.refreshing)
        self.assertEqual(self.timer.interval, 1800)
        self.assertEqual(run(self.timer), [(1900.0, REFRESH), (2768.0, EXPIRE)])

    def test_the_peer_refreshes(self) -> None:
        """BYE a third before the end of a short interval."""
        self.timer.accepted(answer(expires("90;refresher=uas")), 0.0)
        self.assertFalse(self.timer.refreshing)
        self.assertEqual(run(self.timer), [(60.0, EXPIRE)])
        self.assertIsNone(self.timer.interval)

    def test_no_timer(self) -> None:
        for response in (answer(), answer(expires("soon"))):
            self.timer.accepted(answer(expires("90;refresher=uac")), 0.0)
            self.timer.accepted(response, 1.0)
            self.assertIsNone(self.timer.deadline)
            self.assertIsNone(self.timer.interval)

    def test_nobody_named(self) -> None:
        self.timer.accepted(answer(expires("100")), 0.0)
        self.assertTrue(self.timer.refreshing)

    def test_a_peer_cannot_make_us_busy(self) -> None:
        self.timer.accepted(answer(expires("1;refresher=uac")), 0.0)
        self.assertEqual(self.timer.deadline, 45.0)

    def test_a_refresh_keeps_the_roles(self) -> None:
        self.timer.accepted(answer(expires("600;refresher=uas")), 0.0)
        self.assertEqual(self.timer.request_headers(), (SUPPORTED, expires("600;refresher=uas")))
        self.timer.accepted(answer(expires("600;refresher=uac")), 0.0)
        self.assertEqual(self.timer.request_headers(), (SUPPORTED, expires("600;refresher=uac")))

    def test_a_refresh_starts_it_anew(self) -> None:
        self.timer.accepted(answer(expires("100;refresher=uac")), 0.0)
        self.assertEqual(self.timer.poll(50.0), REFRESH)
        self.timer.accepted(answer(expires("100;refresher=uac")), 51.0)
        self.assertEqual(self.timer.deadline, 101.0)

    def test_a_refresh_that_is_refused(self) -> None:
        """It is tried again while there is time, ever sooner."""
        self.timer.accepted(answer(expires("120;refresher=uac")), 0.0)
        self.assertEqual(self.timer.poll(60.0), REFRESH)
        times: list[tuple[float, str]] = []
        while self.timer.refresh_failed(500, self.timer.deadline or 0) == "" and len(times) < 20:
            now = self.timer.deadline
            assert now is not None
            what = self.timer.poll(now)
            times.append((now, what))
            if what == EXPIRE:
                break
        # The first failure came when the session was about to end at 88 s.
        self.assertEqual(times, [(88.0, EXPIRE)])
        self.timer.accepted(answer(expires("120;refresher=uac")), 0.0)
        self.timer.poll(60.0)
        self.timer.refresh_failed(500, 60.0)
        self.assertEqual((self.timer.deadline, self.timer.poll(74.0)), (74.0, REFRESH))
        self.timer.refresh_failed(503, 75.0)
        self.assertEqual((self.timer.deadline, self.timer.poll(81.5)), (81.5, REFRESH))
        self.timer.refresh_failed(503, 86.5)
        self.assertEqual(self.timer.deadline, 88.0)

    def test_a_refresh_that_finds_nobody(self) -> None:
        for status in (0, 408, 481):
            self.timer.accepted(answer(expires("120;refresher=uac")), 0.0)
            self.timer.poll(60.0)
            self.assertEqual(self.timer.refresh_failed(status, 61.0), EXPIRE)
            self.assertIsNone(self.timer.deadline)
        self.timer.accepted(answer(expires("120;refresher=uas")), 0.0)
        self.assertEqual(self.timer.refresh_failed(481, 61.0), "", "it was no refresh")

    def test_too_small(self) -> None:
        timer = SessionTimer(TimerSettings(interval=90))
        timer.request_headers()
        self.assertTrue(timer.too_small(answer(("Min-SE", "300"), status=422)))
        self.assertEqual(timer.request_headers(), (SUPPORTED, expires("300"), ("Min-SE", "300")))
        # A second proxy wants even more.
        self.assertTrue(timer.too_small(answer(("Min-SE", "400"), status=422)))
        self.assertEqual(timer.request_headers(), (SUPPORTED, expires("400"), ("Min-SE", "400")))
        timer.accepted(answer(expires("400;refresher=uac")), 0.0)
        self.assertEqual(timer.request_headers()[1:], (expires("400;refresher=uac"), ("Min-SE", "400")))

    def test_too_small_in_vain(self) -> None:
        for headers in ((), (("Min-SE", "x"),), (("Min-SE", "1800"),), (("Min-SE", "4294967295"),)):
            self.timer.request_headers()
            self.assertFalse(self.timer.too_small(answer(*headers, status=422)), headers)

    def test_too_small_for_ever(self) -> None:
        """A peer that asks for one second more each time gets no endless answers."""
        rounds = 0
        self.timer.request_headers()
        while self.timer.too_small(answer(("Min-SE", str(1801 + rounds)), status=422)):
            self.timer.request_headers()
            rounds += 1
        self.assertEqual(rounds, 5)


class CalledTests(SynchronousTestCase):
    def answers(self, settings: TimerSettings, *headers: tuple[str, str]) -> Headers | Refusal:
        timer = self.timer = SessionTimer(settings)
        asked = invite(*headers)
        return timer.receive_request(asked) or timer.answer(asked, 0.0)

    def test_table_2(self) -> None:
        """(caller knows timers, refresher asked for, refresher wanted) -> refresher answered."""
        for supports, asked, wanted, answered in (
            (False, None, None, "uas"),
            (False, None, "uac", "uas"),
            (True, None, None, "uac"),
            (True, None, "uas", "uas"),
            (True, "uac", "uas", "uac"),
            (True, "uas", "uac", "uas"),
        ):
            headers = [expires("1000" + (f";refresher={asked}" if asked else ""))]
            if supports:
                headers.append(SUPPORTED)
            found = self.answers(TimerSettings(refresher=wanted), *headers)
            expected = [expires(f"1000;refresher={answered}")] + ([("Require", "timer")] if supports else [])
            self.assertEqual(found, tuple(expected))
            self.assertEqual(self.timer.refreshing, answered == "uas")

    def test_the_interval(self) -> None:
        """(asked, Min-SE, ours) -> answered: lowered, never raised."""
        for asked, min_se, ours, answered in (
            (3600, None, 1800, 1800),
            (3600, 2000, 1800, 2000),
            (1000, None, 1800, 1000),
            (None, None, 1800, 1800),
            (None, 2000, 1800, 2000),
        ):
            headers = [SUPPORTED]
            if asked is not None:
                headers.append(expires(str(asked)))
            if min_se is not None:
                headers.append(("Min-SE", str(min_se)))
            found = self.answers(TimerSettings(ours), *headers)
            assert isinstance(found, tuple)
            self.assertEqual(found[0], expires(f"{answered};refresher=uac"))
            self.assertEqual(self.timer.interval, answered)

    def test_too_small(self) -> None:
        settings = TimerSettings(min_se=120)
        refused = Refusal(422, (("Min-SE", "120"),))
        self.assertEqual(self.answers(settings, SUPPORTED, expires("119")), refused)
        self.assertEqual(self.answers(settings, ("Require", "timer"), expires("119")), refused)
        self.assertIsInstance(self.answers(settings, SUPPORTED, expires("120")), tuple)
        # One that cannot ask again is served (section 8.1), but it does not set the pace.
        found = self.answers(settings, expires("1"))
        self.assertEqual(found, (expires("1;refresher=uas"),))
        self.assertEqual(self.timer.deadline, 60.0)

    def test_who_must_know_timers(self) -> None:
        self.assertEqual(
            self.answers(TimerSettings(policy="required")), Refusal(421, (("Require", "timer"),))
        )
        self.assertIsInstance(self.answers(TimerSettings(policy="required"), SUPPORTED), tuple)
        off = TimerSettings(policy="off")
        self.assertEqual(self.answers(off, ("Require", "timer")), Refusal(420, (("Unsupported", "timer"),)))
        self.assertEqual(self.answers(off, SUPPORTED, expires("100")), ())
        self.assertIsNone(self.timer.deadline)

    def test_nonsense(self) -> None:
        for headers in ((expires("1_0"),), (expires("90;refresher=me"),), (("Min-SE", "-1"), expires("90"))):
            self.assertEqual(self.answers(TimerSettings(), SUPPORTED, *headers), Refusal(400))

    def test_roles_stay_when_a_refresh_names_none(self) -> None:
        self.answers(TimerSettings(), SUPPORTED, expires("600;refresher=uas"))
        found = self.timer.answer(invite(SUPPORTED, expires("600"), method="UPDATE"), 10.0)
        self.assertEqual(found[0], expires("600;refresher=uas"))
        self.assertEqual(self.timer.deadline, 310.0)

    def test_the_largest_min_se_is_remembered(self) -> None:
        self.answers(TimerSettings(600), SUPPORTED, expires("600;refresher=uas"), ("Min-SE", "500"))
        self.assertEqual(
            self.timer.request_headers(), (SUPPORTED, expires("600;refresher=uac"), ("Min-SE", "500"))
        )

    def test_settings_that_cannot_be(self) -> None:
        for wrong in (
            {"interval": 80},
            {"min_se": 0},
            {"refresher": "us"},
            {"policy": "maybe"},
        ):
            self.assertRaises(ValueError, TimerSettings, **wrong)


class BothTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.integers(90, 5000),
        st.integers(90, 5000),
        st.sampled_from([None, "uac", "uas"]),
        st.sampled_from([None, "uac", "uas"]),
        st.integers(90, 2000),
        st.integers(90, 2000),
    )
    def test_two_ends_agree(
        self, here: int, there: int, want: str | None, wish: str | None, least: int, low: int
    ) -> None:
        """One refreshes, both know the interval, and whoever refreshes does so before the other gives up."""
        caller = SessionTimer(TimerSettings(max(here, least), least, want))
        called = SessionTimer(TimerSettings(max(there, low), low, wish))
        for _ in range(3):
            asked = invite(*caller.request_headers())
            refusal = called.receive_request(asked)
            if refusal is None:
                break
            self.assertEqual(refusal.status, 422)
            self.assertTrue(caller.too_small(answer(*refusal.headers, status=422)))
        else:
            self.fail("they never agree")
        caller.accepted(answer(*called.answer(asked, 0.0)), 0.0)
        self.assertNotEqual(caller.refreshing, called.refreshing)
        self.assertEqual(caller.interval, called.interval)
        refresher, other = (caller, called) if caller.refreshing else (called, caller)
        assert refresher.deadline is not None and other.deadline is not None
        self.assertLess(refresher.deadline, other.deadline)
        self.assertEqual(refresher.poll(refresher.deadline), REFRESH)
        # A refresh keeps what was agreed on.
        again = invite(*refresher.request_headers(), method="UPDATE")
        self.assertIsNone(other.receive_request(again))
        refresher.accepted(answer(*other.answer(again, 50.0)), 50.0)
        self.assertTrue(refresher.refreshing)
        self.assertFalse(other.refreshing)
        self.assertEqual(refresher.interval, other.interval)


class TableTests(SynchronousTestCase):
    def test_each_row(self) -> None:
        reach = {"Off": None, "Refreshing": "uac", "Waiting for refreshes": "uas"}
        for (state, event), (following, what) in SessionTimer.TRANSITIONS.items():
            timer = SessionTimer(TimerSettings())
            refresher = reach[state]
            if refresher is not None:
                timer.accepted(answer(expires(f"120;refresher={refresher}")), 0.0)
            self.assertEqual(timer.state, state)
            done = ""
            if event.startswith("2xx"):
                value = {
                    "2xx, we refresh": ";refresher=uac",
                    "2xx, the peer refreshes": ";refresher=uas",
                }.get(event)
                timer.accepted(answer(*([expires(f"120{value}")] if value else [])), 0.0)
            elif event == "408, 481 or timeout":
                done = timer.refresh_failed(481, 1.0)
            else:
                done = timer.poll({"half of the interval": 60.0, "almost expired": 88.0}[event])
            self.assertEqual((timer.state, done), (following, what), (state, event))


class ProxyTests(SynchronousTestCase):
    settings = TimerSettings(interval=1800, min_se=200)

    def ask(self, *headers: tuple[str, str]) -> tuple[ProxyTimer | Refusal, str | None, str | None]:
        asked = invite(*headers)
        found = proxy_request(asked, self.settings)
        return found, asked.get("session-expires"), asked.get("min-se")

    def test_requests(self) -> None:
        for headers, expected in (
            ((), (ProxyTimer(1800, False), "1800", None)),
            ((SUPPORTED,), (ProxyTimer(1800, True), "1800", None)),
            ((SUPPORTED, ("Min-SE", "3000")), (ProxyTimer(3000, True), "3000", "3000")),
            (
                (SUPPORTED, expires("3600;refresher=uas")),
                (ProxyTimer(1800, True), "1800;refresher=uas", None),
            ),
            ((expires("3600"), ("Min-SE", "2500")), (ProxyTimer(2500, False), "2500", "2500")),
            ((SUPPORTED, expires("250")), (ProxyTimer(250, True), "250", None)),
            ((SUPPORTED, expires("199")), (Refusal(422, (("Min-SE", "200"),)), "199", None)),
            ((expires("150"),), (ProxyTimer(200, False), "200", "200")),
            (
                (expires("150;refresher=uas"), ("Min-SE", "100")),
                (ProxyTimer(200, False), "200;refresher=uas", "200"),
            ),
            ((expires("x"),), (Refusal(400), "x", None)),
        ):
            self.assertEqual(self.ask(*headers), expected, headers)

    def test_off(self) -> None:
        asked = invite(SUPPORTED)
        self.assertEqual(proxy_request(asked, TimerSettings(policy="off")), ProxyTimer(None, True))
        self.assertIsNone(asked.get("session-expires"))

    def test_responses(self) -> None:
        for timer, headers, seconds, shown, require in (
            (ProxyTimer(600, True), (), 600, "600;refresher=uac", ["timer"]),
            (ProxyTimer(600, True), (("Require", "timer"),), 600, "600;refresher=uac", ["timer"]),
            (ProxyTimer(600, False), (), None, None, []),
            (ProxyTimer(None, True), (), None, None, []),
            (ProxyTimer(600, True), (expires("90;refresher=uas"),), 90, "90;refresher=uas", []),
            (ProxyTimer(600, True), (expires("?"),), None, "?", []),
        ):
            response = answer(*headers)
            self.assertEqual(proxy_response(timer, response), seconds)
            self.assertEqual(response.get("session-expires"), shown)
            self.assertEqual(response.option_tags("require"), require)


class ExampleTests(SynchronousTestCase):
    """The example call of RFC 4028 section 12."""

    def messages(self) -> dict[str, Request | Response]:
        found = {}
        for entry in messages("sip/rfc-examples"):
            if entry["rfc"] == 4028:
                data = re.sub(rb"Content-Length: *[^\r]*\r\n", b"", octets("sip/rfc-examples", entry["file"]))
                found[entry["file"].partition("/")[2].removesuffix(".sip")] = parse_message(data)
        return found

    def test_it(self) -> None:
        printed = self.messages()
        alice = SessionTimer(TimerSettings(interval=50, min_se=50))
        first = printed["rfc4028-001-INVITE"]
        self.assertEqual(alice.request_headers()[1], expires(first.get("session-expires") or ""))
        refused = printed["rfc4028-002-422"]
        assert isinstance(refused, Response)
        self.assertTrue(alice.too_small(refused))
        for name in ("rfc4028-003-INVITE", "rfc4028-004-INVITE"):
            found = dict(alice.request_headers())
            self.assertEqual(found["Session-Expires"], printed[name].get("session-expires"))
            self.assertEqual(found["Min-SE"], printed[name].get("min-se"))
            if name == "rfc4028-003-INVITE":
                # The 422 of the second proxy is not printed.
                self.assertTrue(alice.too_small(answer(("Min-SE", "4000"), status=422)))
        bob = SessionTimer(TimerSettings())
        accepted = printed["rfc4028-005-200"]
        assert isinstance(accepted, Response)
        alice.accepted(accepted, 0.0)
        self.assertEqual(str(accepted.typed("session-expires")), "4000;refresher=uac")
        self.assertTrue(alice.refreshing)
        self.assertEqual(alice.poll(2000.0), REFRESH)
        update = printed["rfc4028-006-UPDATE"]
        assert isinstance(update, Request)
        self.assertEqual(dict(alice.request_headers())["Session-Expires"], update.get("session-expires"))
        self.assertIsNone(bob.receive_request(update))


if not GIVEN:
    del ExampleTests
