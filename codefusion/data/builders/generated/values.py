"""Constants of generated rules, each of which belongs to exactly one split.

A number or a made-up word belongs to the split that its own hash names, so a value
of the test split is never seen in training. A known word occurs in every split, but
a pair (function, word) belongs to one: training may hold `TextEquals(Paris)` and the
test `TextContains(Paris)`. The commonest numbers (0, 1, 10, ...) are kept in training.
"""

import dataclasses
import zlib

from codefusion.data.builders.generated import vocabulary as v

SPLITS = ("train", "validation", "test")
COMMON_NUMBERS = frozenset("0 1 2 3 5 10 20 25 50 100".split())


@dataclasses.dataclass(frozen=True)
class Number:
    """A numeric constant.

    Attributes:
      text: its spelling in request and rule.
      unit: the last written decimal place: 1 for "25", 0.01 for "0.25".
    """

    text: str
    unit: float

    @property
    def value(self):
        """Returns the number, int or float."""
        return int(self.text) if self.unit >= 1 else float(self.text)

    def shifted(self, units):
        """Returns the number `units` last places away, int or float."""
        if self.unit >= 1:
            return self.value + units
        return round(self.value + units * self.unit, 2)


def split_of(key):
    """Returns the split that owns `key`: 10 % test, 10 % validation, else train.

    Args:
      key: str, a constant, or "function:constant" for a known word.
    """
    if key in COMMON_NUMBERS:
        return "train"
    return {0: "test", 1: "validation"}.get(zlib.crc32(key.encode()) % 10, "train")


def split_of_text(function, value):
    """Returns the split that owns the text `value` as an argument of `function`."""
    value = value.lower()
    if value.endswith("%"):
        return split_of(value[:-1])
    return split_of(f"{function}:{value}" if value in _SHARED else value)


def _number_text(rng):
    shape = rng.random()
    if shape < 0.10:
        return str(rng.randrange(0, 10)), 1
    if shape < 0.36:
        return str(rng.randrange(10, 100)), 1
    if shape < 0.60:
        return str(rng.randrange(100, 1000)), 1
    if shape < 0.78:
        return str(rng.randrange(1000, 10000)), 1
    if shape < 0.83:
        return str(rng.randrange(10, 1000) * 1000), 1
    if shape < 0.88:
        return str(-rng.randrange(1, 200)), 1
    if shape < 0.94:
        return f"{rng.randrange(0, 100)}.{rng.randrange(1, 10)}", 0.1
    return f"{rng.randrange(0, 10)}.{rng.randrange(0, 10)}{rng.randrange(1, 10)}", 0.01


def number(rng, split):
    """Returns a Number of `split`."""
    while True:
        text, unit = _number_text(rng)
        if split_of(text) == split:
            return Number(text, unit)


def count(rng, split, limit):
    """Returns a whole Number from 1 to `limit` of `split`, for `top` and `bottom`."""
    while True:
        common = split == "train" and rng.random() < 0.4
        text = rng.choice(("1", "2", "3", "5", "10")) if common else None
        text = text or str(rng.randrange(1, limit + 1))
        if split_of(text) == split:
            return Number(text, 1)


def two_numbers(rng, split):
    """Returns two different Numbers of `split`, the smaller first."""
    while True:
        first, second = number(rng, split), number(rng, split)
        gap = second.value - first.value
        if abs(gap) > 3 * max(first.unit, second.unit):
            return (first, second) if gap > 0 else (second, first)


def _word(rng):
    syllables = rng.choice((1, 2, 2, 3))
    word = "".join(
        rng.choice(v.ONSETS) + rng.choice(v.VOWELS) + rng.choice(v.CODAS)
        for _ in range(syllables)
    )
    return rng.choice((word, word.capitalize(), word.capitalize(), word.upper()))


def _code(rng):
    letters = "".join(rng.choice(v.LETTERS) for _ in range(rng.randrange(1, 5)))
    if rng.random() < 0.3 and len(letters) > 1:
        return letters
    digits = str(rng.randrange(1, 10 ** rng.randrange(1, 5)))
    return letters + rng.choice(("", "", "-", "_", " ")) + digits


def _phrase(rng):
    shape = rng.random()
    if shape < 0.35:
        return f"{rng.choice(v.QUALITIES)} {rng.choice(v.THINGS)}"
    if shape < 0.55:
        return f"{rng.choice(v.THINGS)} {rng.choice(v.THINGS)}"
    if shape < 0.70:
        return f"{rng.choice(v.FIRST_NAMES)} {rng.choice(v.SURNAMES)}"
    if shape < 0.80:
        return f"{rng.choice(v.THINGS)} {_word(rng)}"
    if shape < 0.90:
        return f"{rng.choice(('Level', 'Type', 'Phase', 'Group'))} {rng.randrange(10)}"
    return (
        f"{rng.choice(v.QUALITIES)} {rng.choice(v.THINGS).lower()} "
        f"{rng.choice(v.THINGS).lower()}"
    )


def _percent(rng):
    return f"{rng.randrange(1, 100)}%"


def _known(rng):
    word = rng.choice(v.KNOWN)
    case = rng.random()
    return word if case < 0.8 else word.lower() if case < 0.92 else word.upper()


def _shared(words):
    return lambda rng: rng.choice(words)


_TEXT_SHAPES = (
    (0.24, _known),
    (0.16, _shared(v.STATUSES)),
    (0.22, _word),
    (0.14, _code),
    (0.15, _phrase),
    (0.05, _shared(v.GRADES)),
    (0.02, _percent),
    (0.02, _shared(v.MARKS)),
)
_PIECE_SHAPES = (
    (0.30, _shared(v.LETTERS)),
    (0.30, _word),
    (0.20, _known),
    (0.15, _code),
    (0.05, _phrase),
)
_SHARED = frozenset(w.lower() for w in v.KNOWN + v.GRADES + v.MARKS + v.LETTERS)


def _draw(rng, shapes):
    point = rng.random() * sum(weight for weight, _ in shapes)
    for weight, make in shapes:
        point -= weight
        if point < 0:
            return make(rng)
    return shapes[-1][1](rng)


def text(rng, split, function):
    """Returns a text constant of `split` for the rule function `function`, str."""
    ends = function in ("TextStartsWith", "EndsWith")
    while True:
        value = _draw(rng, _PIECE_SHAPES if ends else _TEXT_SHAPES)
        if split_of_text(function, value) == split:
            return value


def two_texts(rng, split, function, other=None):
    """Returns two texts of `split`, neither of which is part of the other."""
    while True:
        first = text(rng, split, function)
        second = text(rng, split, other or function)
        if first.lower() not in second.lower() and second.lower() not in first.lower():
            return first, second


def filler(rng):
    """Returns a word for a cell that no rule is about, str."""
    return rng.choice(v.KNOWN)
