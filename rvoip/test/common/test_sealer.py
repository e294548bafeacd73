"""What is sealed comes back, and nothing else does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from rvoip.common.sealer import Sealer


class SealerTests(SynchronousTestCase):
    """Any octets."""

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=300))
    def test_there_and_back(self, text: bytes) -> None:
        """Hidden, and only with the same secret for the same purpose."""
        sealer = Sealer(b"secret", "one")
        sealed = sealer.seal(text)
        self.assertEqual((sealer.open(sealed), len(sealed)), (text, len(text) + 12))
        if len(text) > 3:
            self.assertNotIn(text, sealed)
        self.assertIsNone(Sealer(b"secret", "two").open(sealed))
        self.assertIsNone(Sealer(b"other", "one").open(sealed))

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.binary(max_size=100))
    def test_nothing_is_made_up(self, made: bytes) -> None:
        """Whatever it is."""
        self.assertIsNone(Sealer(b"secret", "one").open(made))

    def test_changes(self) -> None:
        """A single bit."""
        sealer = Sealer(b"secret", "one")
        sealed = sealer.seal(b"a text of some length")
        for place in range(len(sealed)):
            changed = bytes([octet ^ (place == here) for here, octet in enumerate(sealed)])
            self.assertIsNone(sealer.open(changed))
        self.assertIsNone(sealer.open(sealed[:-1]))
        self.assertEqual(sealer.open(sealer.seal(b"")), b"")
