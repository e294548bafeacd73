"""The parameters of RFC 7587 as values and as text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.codecs.opus_parameters import OpusParameters


class Parameters(TestCase):
    def test_the_example_of_the_rfc(self) -> None:
        """RFC 7587 section 7, the first example."""
        text = "maxplaybackrate=16000; sprop-maxcapturerate=16000;maxaveragebitrate=20000; stereo=1; "
        text += "useinbandfec=1; usedtx=0"
        expected = OpusParameters(
            max_playback_rate=16000,
            sprop_max_capture_rate=16000,
            max_average_bitrate=20000,
            stereo=True,
            use_inband_fec=True,
        )
        self.assertEqual(OpusParameters.parse(text), expected)
        self.assertEqual(
            str(expected),
            "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;stereo=1;useinbandfec=1",
        )

    def test_what_is_not_written_is_as_by_default(self) -> None:
        self.assertEqual(OpusParameters.parse(""), OpusParameters())
        self.assertEqual(str(OpusParameters()), "")
        self.assertEqual(OpusParameters.parse("minptime=10;x-google=3"), OpusParameters())

    def test_traps(self) -> None:
        for value in (
            "1_6000",
            "\u0661\u0666\u0660\u0660\u0660",
            "-1",
            "+16000",
            "9" * 5000,
            "",
            "0x10",
            "1e4",
        ):
            text = f"maxplaybackrate={value};maxaveragebitrate={value};stereo={value}"
            self.assertEqual(OpusParameters.parse(text), OpusParameters(), value)
        self.assertEqual(OpusParameters.parse("maxaveragebitrate=1").max_average_bitrate, None)
        self.assertEqual(OpusParameters.parse("maxplaybackrate=96000").max_playback_rate, 48000)
        self.assertEqual(OpusParameters.parse("maxplaybackrate=4000").max_playback_rate, 8000)
        self.assertTrue(OpusParameters.parse(" STEREO = 1 ;stereo=0").stereo)
        self.assertFalse(OpusParameters.parse(";" * 1000 + "stereo=1").stereo)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(
        st.builds(
            OpusParameters,
            max_playback_rate=st.integers(8000, 48000),
            sprop_max_capture_rate=st.integers(8000, 48000),
            max_average_bitrate=st.none() | st.integers(6000, 510_000),
            stereo=st.booleans(),
            sprop_stereo=st.booleans(),
            cbr=st.booleans(),
            use_inband_fec=st.booleans(),
            use_dtx=st.booleans(),
        )
    )
    def test_text_and_back(self, parameters: OpusParameters) -> None:
        self.assertEqual(OpusParameters.parse(str(parameters)), parameters)

    @settings(derandomize=True, deadline=None, max_examples=200)
    @given(st.text(max_size=100))
    def test_any_text_can_be_read(self, text: str) -> None:
        self.assertIsInstance(OpusParameters.parse(text), OpusParameters)
