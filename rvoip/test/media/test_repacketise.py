"""What packets need on their way from one leg to another."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rvoip.codecs.policy import Policy
from rvoip.media.agreed import Agreed
from rvoip.media.negotiate import Negotiation
from rvoip.media.repacketise import passage, received_with
from rvoip.test.media.legs import described, local, registry


def agreed(*lines: str) -> Agreed:
    leg = Negotiation(local(policy=Policy(allow=("PCMU", "PCMA", "opus", "L16"))))
    leg.answer(described(*lines))
    assert leg.agreed is not None
    return leg.agreed


class PassageTests(SynchronousTestCase):
    def test_what_is_done(self) -> None:
        source = agreed("m=audio 9 RTP/AVP 0")
        for lines, packet, wanted in (
            (("m=audio 9 RTP/AVP 0",), 20, "relay"),
            (("m=audio 9 RTP/AVP 0",), 60, "relay"),
            (("m=audio 9 RTP/AVP 0", "ptime:20"), 20, "relay"),
            (("m=audio 9 RTP/AVP 0", "ptime:40"), 20, "repacketise"),
            (("m=audio 9 RTP/AVP 0", "ptime:20"), 60, "repacketise"),
            (("m=audio 9 RTP/AVP 0", "maxptime:30"), 60, "repacketise"),
            (("m=audio 9 RTP/AVP 0", "maxptime:60"), 60, "relay"),
            (("m=audio 9 RTP/AVP 8 0",), 20, "relay"),
            (("m=audio 9 RTP/AVP 96", "rtpmap:96 PCMU/8000"), 20, "relay"),
            (("m=audio 9 RTP/AVP 8",), 20, "transcode"),
        ):
            self.assertEqual(passage(source.choices[0], packet, agreed(*lines)), wanted, msg=str(lines))

    def test_payloads_that_say_how_long_they_are(self) -> None:
        if registry().find("opus", 48000, 2) is None:
            raise SkipTest("there is no Opus")
        opus = ("m=audio 9 RTP/AVP 96", "rtpmap:96 opus/48000/2")
        source = agreed(*opus)
        self.assertEqual(passage(source.choices[0], 20, agreed(*opus, "ptime:40")), "relay")
        self.assertEqual(
            passage(source.choices[0], 60, agreed(*opus, "ptime:20", "maxptime:20")), "transcode"
        )

    def test_what_a_number_stands_for(self) -> None:
        leg = agreed("m=audio 9 RTP/AVP 96 0", "rtpmap:96 PCMA/8000")
        found = received_with(leg, 96)
        assert found is not None
        self.assertEqual((found.codec.name, received_with(leg, 8)), ("PCMA", None))
