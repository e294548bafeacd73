"""Telephone numbers as they are dialled, and as E.164 and national ones (ITU-T E.164, E.123)."""

from __future__ import annotations

import re

__all__ = ["LONGEST_NUMBER", "NumberPlan", "bare_number"]

LONGEST_NUMBER = 15
"""Digits of an international number at most (E.164 section 6)."""

_SEPARATORS = str.maketrans("", "", "-.() /")
_NUMBER = re.compile(r"\+?[0-9]{1,32}\Z")


def bare_number(text: str) -> str | None:
    """`text` without visual separators; None when it is no number, as `*21#` and `alice` are none.

    Of an international number in its usual spelling, +49 (0)30 1234567, the zero goes too: it is dialled at
    home only; Italy's is part of the number.
    """
    if text[:1] == "+" and not text.startswith("+39"):
        text = text.replace("(0)", "", 1)
    number = text.translate(_SEPARATORS) if len(text) <= 64 else ""
    return number if _NUMBER.match(number) else None


class NumberPlan:
    """How numbers are dialled where the callers are.

    `country` is the country code ("49"); `international` what is dialled before the code of another
    country ("00"), `national` what before an area code ("0", or "" where numbers are dialled in full);
    `local` stands for what a number without any of them lacks ("+4930" in Berlin, "+1" where ten digits are
    dialled, "+34" in Spain). Numbers shorter than `shortest` digits are extensions or services: they stay.
    """

    __slots__ = ("country", "international", "local", "national", "shortest")

    def __init__(
        self,
        country: str = "",
        international: str = "00",
        national: str = "0",
        local: str = "",
        shortest: int = 7,
    ) -> None:
        for name, value in (("country", country), ("international", international), ("national", national)):
            if value and not (value.isascii() and value.isdigit()):
                raise ValueError(f"{name} {value!r} is not made of digits")
        if local and not (local[0] == "+" and _NUMBER.match(local)):
            raise ValueError(f"local {local!r} is not + and digits")
        self.country = country
        self.international = international
        self.national = national
        self.local = local
        self.shortest = shortest

    def e164(self, text: str) -> str | None:
        """The number as + and at most 15 digits; None for what is none, or is one only around here."""
        number = bare_number(text)
        if number is None:
            return None
        if number[0] == "+":
            return _global(number)
        if self.international and number.startswith(self.international):
            return _global("+" + number[len(self.international) :])
        if len(number) < self.shortest:
            return None
        if self.national and self.country and number.startswith(self.national):
            return _global(f"+{self.country}{number[len(self.national) :]}")
        return _global(self.local + number) if self.local else None

    def national_form(self, text: str) -> str | None:
        """The number as it is dialled within the country, from whatever form; None when it is none."""
        number = self.e164(text)
        if number is None:
            return bare_number(text)
        own = f"+{self.country}"
        if self.country and number.startswith(own):
            return self.national + number[len(own) :]
        return self.international + number[1:]


def _global(number: str) -> str | None:
    """`number` when it can be one: country codes do not begin with 0."""
    return number if 2 <= len(number) - 1 <= LONGEST_NUMBER and number[1] != "0" else None
