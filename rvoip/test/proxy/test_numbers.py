from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from rvoip.proxy.numbers import NumberPlan, bare_number

BERLIN = NumberPlan("49", "00", "0", "+4930")
NEW_YORK = NumberPlan("1", "011", "1", "+1", shortest=10)
MADRID = NumberPlan("34", "00", "", "+34")


class NumberPlanTests(TestCase):
    def test_berlin(self) -> None:
        for dialled, expected in (
            ("+49301234567", "+49301234567"),
            ("0049301234567", "+49301234567"),
            ("030 1234567", "+49301234567"),
            ("(030) 123-4567", "+49301234567"),
            ("+49 (0)30 1234567", "+49301234567"),
            ("+49(0)301234567", "+49301234567"),
            ("+39 (0)6 1234567", "+39061234567"),
            ("1234567", "+49301234567"),
            ("00442079460000", "+442079460000"),
            ("110", None),
            ("200", None),
            ("alice", None),
            ("*21#", None),
            ("", None),
            ("+", None),
            ("+0123456", None),
            ("0000123", None),
            ("+1234567890123456", None),
            ("٠٣٠١٢٣٤", None),
            ("0" * 100, None),
        ):
            self.assertEqual(BERLIN.e164(dialled), expected, dialled)

    def test_elsewhere(self) -> None:
        self.assertEqual(NEW_YORK.e164("2125550100"), "+12125550100")
        self.assertEqual(NEW_YORK.e164("12125550100"), "+12125550100")
        self.assertEqual(NEW_YORK.e164("01149301234567"), "+49301234567")
        self.assertIsNone(NEW_YORK.e164("5550100"))
        self.assertEqual(MADRID.e164("910123456"), "+34910123456")

    def test_without_a_country(self) -> None:
        plan = NumberPlan()
        self.assertEqual(plan.e164("0049301234567"), "+49301234567")
        self.assertIsNone(plan.e164("0301234567"), "nobody knows of which country")

    def test_national(self) -> None:
        self.assertEqual(BERLIN.national_form("+49301234567"), "0301234567")
        self.assertEqual(BERLIN.national_form("1234567"), "0301234567")
        self.assertEqual(BERLIN.national_form("+442079460000"), "00442079460000")
        self.assertEqual(BERLIN.national_form("110"), "110")
        self.assertIsNone(BERLIN.national_form("alice"))
        self.assertEqual(MADRID.national_form("+34910123456"), "910123456")

    def test_refused(self) -> None:
        for options in ({"country": "+49"}, {"national": "x"}, {"local": "30"}, {"country": "٤"}):
            self.assertRaises(ValueError, NumberPlan, **options)

    @given(st.text(alphabet="+0123456789-.() ", max_size=40))
    @settings(derandomize=True, deadline=None, max_examples=300)
    def test_forms_agree(self, text: str) -> None:
        number = BERLIN.e164(text)
        if number is None:
            return
        self.assertEqual(BERLIN.e164(number), number)
        national = BERLIN.national_form(number)
        self.assertEqual(BERLIN.e164(national or ""), number)

    def test_bare(self) -> None:
        self.assertEqual(bare_number("+49 (30) 12-34"), "+49301234")
        self.assertIsNone(bare_number("12\n34"))
