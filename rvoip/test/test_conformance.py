"""Whether the messages and vectors of the standards are at hand."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.test import conformance


class FolderTests(SynchronousTestCase):
    """The folder that CONFORMANCE_DIR names."""

    def test_folder(self) -> None:
        """It has what the tests of SIP messages read; without one they are not run."""
        if not conformance.GIVEN:
            raise SkipTest("CONFORMANCE_DIR is not set")
        for folder, least in (("sip/rfc4475", 49), ("sip/rfc5118", 12), ("sip/rfc-examples", 1000)):
            self.assertGreaterEqual(len(conformance.messages(folder)), least)
        self.assertTrue((conformance.FOLDER / "vectors" / "digest.json").is_file())
