"""Which response goes back, as tables (RFC 3261 section 16.7)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.proxy.fork import Fork

Action = tuple[str, "int | None"]


def started(groups: list[int], invite: bool = True) -> Fork:
    fork = Fork(groups, invite)
    fork.start()
    return fork


def finals(statuses: list[int], invite: bool = True) -> list[Action]:
    """What the last of these final responses, one a branch, brings about."""
    fork = started([len(statuses)], invite)
    actions: list[Action] = []
    for branch, status in enumerate(statuses):
        actions = fork.receive(branch, status)
    return actions


class BestTests(SynchronousTestCase):
    def test_the_best_response(self) -> None:
        table = [
            ([404], 0),
            ([486, 404], 0),
            ([404, 486], 0),
            ([503, 404], 1),
            ([500, 486], 1),
            ([486, 302], 1),
            ([603, 302], 0),
            ([404, 604, 302], 1),
            ([606, 600], 1),
            ([404, 401], 1),
            ([486, 407, 404], 1),
            ([404, 415], 1),
            ([404, 420], 1),
            ([404, 484], 1),
            ([408, 486], 1),
            ([408, 500], 0),
            ([408, 408], 0),
            ([503, 500], 1),
            ([503, 504], 1),
            ([503, 503], 0),
            ([401, 407], 0),
        ]
        for statuses, best in table:
            self.assertEqual(finals(statuses)[-1], ("best", best), statuses)

    def test_after_a_cancel_487_speaks_for_all(self) -> None:
        for statuses, best in (
            ([404, 487], 1),
            ([407, 487], 1),
            ([487, 603], 1),
            ([302, 487], 0),
            ([404, 486], 0),
        ):
            fork = started([2])
            self.assertEqual(fork.cancel(), [("cancel", 0), ("cancel", 1)])
            fork.receive(0, statuses[0])
            self.assertEqual(fork.receive(1, statuses[1]), [("best", best)], statuses)


class ForkTests(SynchronousTestCase):
    def test_provisional_responses_go_back_but_100(self) -> None:
        fork = started([2])
        self.assertEqual(fork.receive(0, 100), [])
        self.assertEqual(fork.receive(0, 180), [("forward", 0)])
        self.assertEqual(fork.receive(1, 183), [("forward", 1)])
        self.assertFalse(fork.done)

    def test_a_2xx_goes_back_at_once_and_the_others_are_cancelled(self) -> None:
        fork = started([3])
        fork.receive(2, 404)
        self.assertEqual(fork.receive(1, 200), [("forward", 1), ("cancel", 0)])
        self.assertTrue(fork.done)
        self.assertEqual(fork.receive(0, 180), [])
        self.assertEqual(fork.receive(0, 487), [])

    def test_each_2xx_to_an_invite_goes_back(self) -> None:
        """Also one that comes again, and one of a branch that was too late to be cancelled."""
        fork = started([2])
        fork.receive(0, 200)
        self.assertEqual(fork.receive(0, 200), [("forward", 0), ("cancel", 1)])
        self.assertEqual(fork.receive(1, 200), [("forward", 1)])
        self.assertEqual(fork.receive(1, 200), [("forward", 1)])
        self.assertEqual(fork.pending, frozenset())

    def test_only_the_first_2xx_to_another_request_does(self) -> None:
        fork = started([2], invite=False)
        self.assertEqual(fork.receive(0, 200), [("forward", 0)])
        self.assertEqual(fork.receive(1, 200), [])
        self.assertEqual(fork.receive(0, 200), [])

    def test_a_6xx_ends_the_search_but_waits_for_the_cancelled(self) -> None:
        fork = started([2, 1])
        self.assertEqual(fork.receive(0, 603), [("cancel", 1)])
        self.assertEqual(fork.receive(1, 487), [("best", 0)])
        self.assertTrue(fork.done)

    def test_a_2xx_beats_a_6xx(self) -> None:
        fork = started([2])
        fork.receive(0, 603)
        self.assertEqual(fork.receive(1, 200), [("forward", 1)])

    def test_a_6xx_to_another_request_cancels_nothing(self) -> None:
        fork = started([2, 1], invite=False)
        self.assertEqual(fork.receive(0, 603), [])
        self.assertEqual(fork.receive(1, 404), [("best", 0)])

    def test_groups_follow_one_another(self) -> None:
        fork = Fork([2, 1, 2], True)
        self.assertEqual(fork.start(), range(2))
        self.assertEqual(fork.receive(0, 486), [])
        self.assertEqual(fork.receive(1, 404), [("start", None)])
        self.assertEqual(fork.start(), range(2, 3))
        self.assertEqual(fork.pending, frozenset([2]))
        self.assertEqual(fork.receive(2, 408), [("start", None)])
        self.assertEqual(fork.start(), range(3, 5))
        fork.receive(4, 480)
        self.assertEqual(fork.receive(3, 480), [("best", 0)])
        self.assertEqual(fork.finals, {0: 486, 1: 404, 2: 408, 3: 480, 4: 480})

    def test_a_cancel_starts_no_further_group(self) -> None:
        fork = Fork([1, 1], True)
        fork.start()
        self.assertEqual(fork.cancel(), [("cancel", 0)])
        self.assertEqual(fork.cancel(), [])
        self.assertEqual(fork.receive(0, 487), [("best", 0)])

    def test_a_cancel_after_the_end_is_nothing(self) -> None:
        for status in (200, 486):
            fork = started([1])
            fork.receive(0, status)
            self.assertEqual(fork.cancel(), [])

    def test_a_cancel_cancels_no_other_request(self) -> None:
        fork = started([2, 1], invite=False)
        self.assertEqual(fork.cancel(), [])
        fork.receive(0, 404)
        self.assertEqual(fork.receive(1, 404), [("best", 0)])

    def test_a_second_failure_of_a_branch_is_nothing(self) -> None:
        fork = started([2])
        fork.receive(0, 486)
        self.assertEqual(fork.receive(0, 404), [])
        self.assertEqual(fork.finals, {0: 486})

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(
        st.lists(st.integers(1, 3), min_size=1, max_size=3),
        st.booleans(),
        st.lists(
            st.tuples(
                st.integers(0, 8), st.sampled_from([100, 180, 200, 302, 404, 408, 487, 503, 603]) | st.none()
            ),
            max_size=40,
        ),
    )
    def test_any_history(
        self, groups: list[int], invite: bool, history: list[tuple[int, int | None]]
    ) -> None:
        """At most one final response but for 2xx to INVITE; and one comes when all branches have ended."""
        fork = Fork(groups, invite)
        known = set(fork.start())
        given_back: list[int] = []
        ended: set[int] = set()

        def do(actions: list[Action], status: int) -> None:
            for action, branch in actions:
                if action == "start":
                    known.update(fork.start())
                elif action == "best":
                    assert branch is not None
                    given_back.append(fork.finals[branch])
                elif action == "forward" and status >= 200:
                    given_back.append(status)
                elif action == "cancel":
                    self.assertTrue(invite)
                    self.assertNotIn(branch, ended)

        def receive(branch: int, status: int) -> None:
            if status >= 200:
                ended.add(branch)
            do(fork.receive(branch, status), status)

        for branch, status in history:
            if status is None:
                do(fork.cancel(), 0)
            elif branch in known and (branch not in ended or (status // 100 == 2 and invite)):
                receive(branch, status)
        while set(known) - ended:
            receive(min(set(known) - ended), 404)
        self.assertTrue(fork.done)
        self.assertEqual(fork.pending, frozenset())
        others = [status for status in given_back if status >= 300]
        accepted = [status for status in given_back if status < 300]
        self.assertTrue(given_back)
        self.assertLessEqual(len(others), 1)
        if others:
            # A 2xx may follow the failure only where it was let through by the transport: never here.
            self.assertEqual(given_back[0], others[0])
        if not invite:
            self.assertEqual(len(given_back), 1)
        self.assertTrue(accepted or others)
