"""Regular expressions whose work is bounded, whatever expression and text are.

Routes match what strangers dial, and ENUM hands us expressions that strangers wrote. Python's `re` can take
years over either; here each instruction of the compiled expression is tried at most once at each place of the
text, so a search takes at most program times length steps.

The syntax is that of POSIX extended expressions (RFC 3402 section 3.2) with what people write besides:
``\\d \\D \\w \\W \\s \\S``, ``(?:...)``, and ``*? +? ??``. As in Perl the first alternative that matches is
taken. There are no back references within an expression and no look-around.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LONGEST_TEXT", "Pattern", "PatternError", "expand"]

LONGEST_TEXT = 256
"""Characters beyond which a text does not match anything."""
_LONGEST = 1024
_LARGEST = 1000
_DEEPEST = 20
_MOST_REPEATS = 255

_DIGITS = frozenset("0123456789")
_WORDS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACES = frozenset(" \t\r\n\f\v")
_CLASSES = {
    "d": (_DIGITS, False),
    "D": (_DIGITS, True),
    "w": (_WORDS, False),
    "W": (_WORDS, True),
    "s": (_SPACES, False),
    "S": (_SPACES, True),
}
_NAMED = {
    "digit": _DIGITS,
    "alpha": frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
    "alnum": _WORDS - {"_"},
    "upper": frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "lower": frozenset("abcdefghijklmnopqrstuvwxyz"),
    "space": _SPACES,
    "blank": frozenset(" \t"),
    "xdigit": frozenset("0123456789abcdefABCDEF"),
    "punct": frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
}


class PatternError(ValueError):
    """An expression, or what is to be put in place of its match, is not well formed, or too large."""


# A program is a list of these; `SPLIT` tries the first place, then the second.
_SET, _NOT, _ANY, _SPLIT, _JUMP, _SAVE, _BEGIN, _END, _MATCH = range(9)

_Instruction = tuple[int, "frozenset[str]", int, int]
_NONE: frozenset[str] = frozenset()


class Pattern:
    """A compiled expression. Raises `PatternError`."""

    __slots__ = ("_anchored", "_literal", "_program", "groups", "text")

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        if len(text) > _LONGEST:
            raise PatternError(f"longer than {_LONGEST} characters")
        compiler = _Compiler(text, ignore_case)
        self.text = text
        self._program = compiler.compile()
        self.groups = compiler.groups
        """How many parenthesised groups there are."""
        self._anchored, self._literal = _beginning(self._program)

    def __repr__(self) -> str:
        return f"<Pattern {self.text!r}>"

    def search(self, text: str) -> tuple[str | None, ...] | None:
        """The whole match and its groups (None: took no part), of the first place that matches; or None."""
        if len(text) > LONGEST_TEXT or (self._anchored and not text.startswith(self._literal)):
            return None
        visited: set[int] = set()
        for start in range(1 if self._anchored else len(text) + 1):
            slots = self._run(text, start, visited)
            if slots is not None:
                pairs = zip(slots[::2], slots[1::2])
                return tuple([None if a < 0 or b < 0 else text[a:b] for a, b in pairs])
        return None

    def _run(self, text: str, start: int, visited: set[int]) -> list[int] | None:
        """Depth first from `start`. What failed at an earlier start would fail again, so `visited` stays."""
        program, length = self._program, len(text)
        width = len(program)
        slots = [-1] * (2 * self.groups + 2)
        # (instruction, place), or (-1 - slot, old value) to undo a group.
        stack: list[tuple[int, int]] = [(0, start)]
        while stack:
            at, place = stack.pop()
            if at < 0:
                slots[-1 - at] = place
                continue
            while True:
                key = place * width + at
                if key in visited:
                    break
                visited.add(key)
                kind, members, first, second = program[at]
                if kind <= _ANY:
                    if place >= length:
                        break
                    if kind != _ANY and (text[place] in members) is (kind == _NOT):
                        break
                    place += 1
                    at += 1
                elif kind == _SPLIT:
                    stack.append((second, place))
                    at = first
                elif kind == _JUMP:
                    at = first
                elif kind == _SAVE:
                    stack.append((-1 - first, slots[first]))
                    slots[first] = place
                    at += 1
                elif kind == _BEGIN:
                    if place:
                        break
                    at += 1
                elif kind == _END:
                    if place != length:
                        break
                    at += 1
                else:
                    return slots
        return None


def _beginning(program: Sequence[_Instruction]) -> tuple[bool, str]:
    """Whether all matches begin where the text does; and the characters that they begin with for sure."""
    anchored, literal = False, ""
    for kind, members, _, _ in program:
        if kind == _BEGIN and not literal:
            anchored = True
        elif kind == _SET and anchored and len(members) == 1:
            (character,) = members
            literal += character
        elif kind != _SAVE:
            break
    return anchored, literal


class _Compiler:
    """Reads an expression and writes its program, by recursive descent."""

    def __init__(self, text: str, ignore_case: bool) -> None:
        self._text = text
        self._at = 0
        self._fold = ignore_case
        self._depth = 0
        self.groups = 0

    def compile(self) -> list[_Instruction]:
        body = self._alternatives()
        if self._at < len(self._text):
            raise PatternError("unbalanced )")
        return [_save(0), *_moved(body, 1), _save(1), (_MATCH, _NONE, 0, 0)]

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _alternatives(self) -> list[_Instruction]:
        made = self._sequence()
        if self._next() == "|":
            self._at += 1
            self._depth += 1
            self._check_depth()
            other = self._alternatives()
            self._depth -= 1
            skip = len(made) + 2
            made = [
                (_SPLIT, _NONE, 1, skip),
                *_moved(made, 1),
                (_JUMP, _NONE, skip + len(other), 0),
                *_moved(other, skip),
            ]
        return _checked(made)

    def _check_depth(self) -> None:
        if self._depth > _DEEPEST:
            raise PatternError(f"nested deeper than {_DEEPEST}")

    def _sequence(self) -> list[_Instruction]:
        made: list[_Instruction] = []
        while self._next() not in ("", "|", ")"):
            made += _moved(self._repeated(), len(made))
            _checked(made)
        return made

    def _repeated(self) -> list[_Instruction]:
        atom = self._atom()
        while self._next() and self._next() in "*+?{":
            least, most = self._bounds()
            lazy = self._next() == "?"
            if lazy:
                self._at += 1
            atom = _checked(_repeat(atom, least, most, lazy))
        return atom

    def _bounds(self) -> tuple[int, int | None]:
        mark = self._next()
        self._at += 1
        if mark != "{":
            return (1, None) if mark == "+" else (0, None if mark == "*" else 1)
        end = self._text.find("}", self._at)
        inner = self._text[self._at : end] if end >= 0 else ""
        self._at = end + 1
        low, comma, high = inner.partition(",")
        least = _count(low)
        most = least if not comma else _count(high) if high else None
        if most is not None and most < least:
            raise PatternError(f"bad repeat {{{inner}}}")
        return least, most

    def _atom(self) -> list[_Instruction]:
        character = self._next()
        self._at += 1
        if character == "(":
            return self._group()
        if character == "[":
            return self._bracket()
        if character == ".":
            return [(_ANY, _NONE, 0, 0)]
        if character == "^":
            return [(_BEGIN, _NONE, 0, 0)]
        if character == "$":
            return [(_END, _NONE, 0, 0)]
        if character == "\\":
            return self._escape()
        if character in "*+?{":
            raise PatternError("nothing to repeat")
        return [self._literal(character)]

    def _literal(self, character: str) -> _Instruction:
        return (_SET, self._folded({character}), 0, 0)

    def _folded(self, members: set[str] | frozenset[str]) -> frozenset[str]:
        if not self._fold:
            return frozenset(members)
        both = [one.lower() for one in members] + [one.upper() for one in members]
        return frozenset(both) | members

    def _escape(self) -> list[_Instruction]:
        character = self._next()
        self._at += 1
        if not character:
            raise PatternError("ends in a backslash")
        known = _CLASSES.get(character)
        if known is not None:
            return [(_NOT if known[1] else _SET, known[0], 0, 0)]
        if character.isalnum():
            raise PatternError(f"\\{character} is not known here")
        return [self._literal(character)]

    def _group(self) -> list[_Instruction]:
        self._depth += 1
        self._check_depth()
        number = 0
        if self._text[self._at : self._at + 2] == "?:":
            self._at += 2
        elif self._next() == "?":
            raise PatternError("(? is not known here, but for (?:")
        else:
            self.groups += 1
            number = self.groups
        body = self._alternatives()
        if self._next() != ")":
            raise PatternError("unbalanced (")
        self._at += 1
        self._depth -= 1
        return [_save(2 * number), *_moved(body, 1), _save(2 * number + 1)] if number else body

    def _bracket(self) -> list[_Instruction]:
        negated = self._next() == "^"
        if negated:
            self._at += 1
        members: set[str] = set()
        first = True
        while True:
            character = self._next()
            if not character:
                raise PatternError("unbalanced [")
            self._at += 1
            if character == "]" and not first:
                break
            first = False
            if character == "[" and self._next() == ":":
                end = self._text.find(":]", self._at)
                name = self._text[self._at + 1 : end] if end >= 0 else ""
                if name not in _NAMED:
                    raise PatternError("bad class in [ ]")
                members |= _NAMED[name]
                self._at = end + 2
                continue
            if character == "\\":
                character = self._next()
                self._at += 1
                known = _CLASSES.get(character)
                if known is not None and not known[1]:
                    members |= known[0]
                    continue
                if not character or character.isalnum():
                    raise PatternError("bad escape in [ ]")
            self._range(character, members)
        return [(_NOT if negated else _SET, self._folded(members), 0, 0)]

    def _range(self, character: str, members: set[str]) -> None:
        after = self._text[self._at + 1 : self._at + 2]
        if self._next() != "-" or after in ("", "]"):
            members.add(character)
            return
        self._at += 2
        low, high = ord(character), ord(after)
        if high < low or high - low > _MOST_REPEATS:
            raise PatternError("bad range in [ ]")
        members.update(chr(code) for code in range(low, high + 1))


def _save(slot: int) -> _Instruction:
    return (_SAVE, _NONE, slot, 0)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3) or int(text) > _MOST_REPEATS:
        raise PatternError("bad number in { }")
    return int(text)


def _checked(made: list[_Instruction]) -> list[_Instruction]:
    if len(made) > _LARGEST:
        raise PatternError("too large")
    return made


def _moved(program: Sequence[_Instruction], by: int) -> list[_Instruction]:
    """The same program at a place `by` further on."""
    made = []
    for kind, members, first, second in program:
        if kind == _SPLIT:
            made.append((kind, members, first + by, second + by))
        elif kind == _JUMP:
            made.append((kind, members, first + by, second))
        else:
            made.append((kind, members, first, second))
    return made


def _repeat(atom: list[_Instruction], least: int, most: int | None, lazy: bool) -> list[_Instruction]:
    size = len(atom)
    if size * ((least if most is None else most) + 1) > _LARGEST:
        raise PatternError("too large")
    made: list[_Instruction] = []
    for _ in range(least):
        made += _moved(atom, len(made))
    if most is None:
        here = len(made)
        made.append(_split(here + 1, here + size + 2, lazy))
        made += _moved(atom, here + 1)
        made.append((_JUMP, _NONE, here, 0))
        return made
    end = len(made) + (most - least) * (size + 1)
    for _ in range(most - least):
        here = len(made)
        made.append(_split(here + 1, end, lazy))
        made += _moved(atom, here + 1)
    return made


def _split(into: int, past: int, lazy: bool) -> _Instruction:
    return (_SPLIT, _NONE, past, into) if lazy else (_SPLIT, _NONE, into, past)


def expand(template: str, groups: Sequence[str | None]) -> str:
    r"""`template` with ``\1`` to ``\9`` (and ``\0``, the whole match) replaced; ``\\`` is a backslash.

    Raises `PatternError` for a group that there is not.
    """
    parts: list[str] = []
    at = 0
    while (slash := template.find("\\", at)) >= 0:
        parts.append(template[at:slash])
        character = template[slash + 1 : slash + 2]
        if character == "\\":
            parts.append("\\")
        elif character.isascii() and character.isdigit() and int(character) < len(groups):
            parts.append(groups[int(character)] or "")
        else:
            raise PatternError(f"\\{character} names no group")
        at = slash + 2
    parts.append(template[at:])
    return "".join(parts)
