"""The kinds of rules: how each draws its constants, its words and its cells."""

import dataclasses
from collections.abc import Callable

from codefusion.data.builders.generated import cells, phrasings, scenes, values
from codefusion.data.builders.generated.conditions import ATOMS, NEGATED
from codefusion.data.builders.generated.requests import WHOLE
from codefusion.data.builders.generated.scenes import Wording

GREATER = {"greater_than": "GreaterThan", "greater_than_equal": "GreaterThanEqual"}
LESS = {"less_than": "LessThan", "less_than_equal": "LessThanEqual"}
COMPARED = {**GREATER, **LESS, "equals": "Equals", "not_equals": "NotEquals"}
TEXTUAL = {
    "text_equals": "TextEquals",
    "text_contains": "TextContains",
    "starts_with": "TextStartsWith",
    "ends_with": "EndsWith",
}


@dataclasses.dataclass(frozen=True)
class Draft:
    """A drawn rule before it is put into a scene.

    Attributes:
      tree: nested tuples, (function, argument or tree, ...).
      wording: Wording of the condition.
      cells: list of values of the column that the rule is about.
      text_label: bool, whether a label column beside it may hold words.
    """

    tree: tuple
    wording: Wording
    cells: list
    text_label: bool = True


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of rule.

    Attributes:
      draw: (rng, split) -> Draft.
      phrases: number of ways to word the condition.
      weight: float, how often it is drawn, relative to the others.
      constants: bool, whether it has any. Rules of a kind without constants are all
        in training, so such a kind is not drawn for the held-out splits.
    """

    draw: Callable
    phrases: int
    weight: float = 1.0
    constants: bool = True


def shown(rng, text):
    """Returns a text constant as a request shows it: bare or quoted, str."""
    style = rng.random()
    if style < 0.24:
        return f'"{text}"'
    return f"'{text}'" if style < 0.30 else text


def _compared(name):
    function = COMPARED[name]

    def draw(rng, split):
        number = values.number(rng, split)
        wording = scenes.word(rng, ATOMS[name], a=number.text)
        return Draft((function, number.text), wording, cells.around(rng, [number]))

    return Kind(draw, len(ATOMS[name]), 1.6)


def _ranged(phrases, wrap):
    def draw(rng, split):
        low, high = values.two_numbers(rng, split)
        wording = scenes.word(rng, phrases, a=low.text, b=high.text)
        tree = wrap(("Between", low.text, high.text))
        return Draft(tree, wording, cells.around(rng, [low, high]))

    return Kind(draw, len(phrases))


def _textual(function, phrases, make_cells, *, wrap=lambda tree: tree, weight=2.0):
    def draw(rng, split):
        text = values.text(rng, split, function)
        wording = scenes.word(rng, phrases, a=shown(rng, text))
        tree = wrap((function, text))
        return Draft(tree, wording, make_cells(rng, [text]), text_label=False)

    return Kind(draw, len(phrases), weight)


def _negated(tree):
    return ("NOT", tree)


def _counted(function, name, limit, percent):
    phrases = WHOLE[name]

    def draw(rng, split):
        count = values.count(rng, split, limit)
        rows = 100 if percent else count.value + rng.randrange(2, 5)
        argument = count.text + "%" if percent else count.text
        wording = scenes.word(rng, phrases, a=count.text)
        return Draft((function, argument), wording, cells.distinct(rng, rows))

    return Kind(draw, len(phrases))


def _bare(tree, phrases, make_cells, *, weight=0.7, text_label=True):
    def draw(rng, split):
        wording = scenes.word(rng, phrases)
        return Draft(tree, wording, make_cells(rng), text_label=text_label)

    return Kind(draw, len(phrases), weight, constants=False)


def _spread(rng):
    return cells.distinct(rng, rng.randrange(5, 10))


def join(rng, patterns, first, second):
    """Returns the wording of two conditions that are joined by a pattern.

    Args:
      rng: random.Random.
      patterns: tuple of str with `{c}` and `{d}`.
      first: Wording with `are` or `do`.
      second: Wording of the same form, in the order of the rule.
    """
    pattern = rng.choice(patterns)

    def put(c, d):
        return pattern.replace("{c}", c).replace("{d}", d)

    if first.are:
        return Wording(are=put(first.are, second.are))
    return Wording(do=tuple(map(put, first.do, second.do)))


def _are(rng, name, a):
    return Wording(are=rng.choice(ATOMS[name].are).replace("{a}", a))


def _do(rng, name, a):
    return Wording(do=tuple(rng.choice(ATOMS[name].do).replace("{a}", a).split("|")))


def _number_pair(patterns, connective, *, inside):
    def draw(rng, split):
        low, high = values.two_numbers(rng, split)
        floor, ceiling = rng.choice(tuple(GREATER)), rng.choice(tuple(LESS))
        pair = (
            [(floor, low), (ceiling, high)]
            if inside
            else [(ceiling, low), (floor, high)]
        )
        if rng.random() < 0.3:
            pair.reverse()
        wording = join(rng, patterns, *(_are(rng, n, v.text) for n, v in pair))
        tree = (connective, *((COMPARED[n], v.text) for n, v in pair))
        return Draft(tree, wording, cells.around(rng, [low, high]))

    return Kind(draw, len(patterns))


def _either_number(rng, split):
    pair = values.two_numbers(rng, split)
    first = _are(rng, "equals", pair[0].text)
    wording = join(rng, phrasings.EITHER, first, Wording(are=pair[1].text))
    tree = ("OR", *(("Equals", number.text) for number in pair))
    return Draft(tree, wording, cells.around(rng, list(pair)))


def _either_text(rng, split):
    pair = values.two_texts(rng, split, "TextEquals")
    first = _are(rng, "text_equals", shown(rng, pair[0]))
    wording = join(rng, phrasings.EITHER, first, Wording(are=shown(rng, pair[1])))
    tree = ("OR", *(("TextEquals", text) for text in pair))
    return Draft(tree, wording, cells.equal_texts(rng, pair), text_label=False)


def _either_part(rng, split):
    pair = values.two_texts(rng, split, "TextContains")
    first, second = (shown(rng, text) for text in pair)
    first = _do(rng, "text_contains", first)
    whole = rng.random() < 0.4
    second = _do(rng, "text_contains", second) if whole else Wording(do=(second,) * 2)
    wording = join(rng, phrasings.EITHER[:1] + phrasings.EITHER[2:5], first, second)
    tree = ("OR", *(("TextContains", text) for text in pair))
    return Draft(tree, wording, cells.part_texts(rng, pair), text_label=False)


def _neither_text(rng, split):
    pair = values.two_texts(rng, split, "TextEquals")
    first, second = (Wording(are=shown(rng, text)) for text in pair)
    wording = join(rng, phrasings.NEITHER, first, second)
    tree = ("AND", *(("NOT", ("TextEquals", text)) for text in pair))
    return Draft(tree, wording, cells.equal_texts(rng, pair), text_label=False)


def _starts_and_ends(rng, split):
    start, end = values.two_texts(rng, split, "TextStartsWith", "EndsWith")
    wording = join(
        rng,
        phrasings.BOTH,
        _do(rng, "starts_with", shown(rng, start)),
        _do(rng, "ends_with", shown(rng, end)),
    )
    tree = ("AND", ("TextStartsWith", start), ("EndsWith", end))
    return Draft(tree, wording, cells.end_texts(rng, start, end), text_label=False)


def _contains_without(rng, split):
    first, second = values.two_texts(rng, split, "TextContains")
    absent = rng.choice(NEGATED["text_not_contains"].do)
    absent = absent.replace("{a}", shown(rng, second))
    wording = join(
        rng,
        phrasings.BOTH,
        _do(rng, "text_contains", shown(rng, first)),
        Wording(do=tuple(absent.split("|"))),
    )
    tree = ("AND", ("TextContains", first), ("NOT", ("TextContains", second)))
    made = cells.without_texts(rng, first, second)
    return Draft(tree, wording, made, text_label=False)


def _compared_or_blank(rng, split):
    number = values.number(rng, split)
    name = rng.choice((*GREATER, *LESS))
    first, second = _are(rng, name, number.text), _are(rng, "blanks", "")
    wording = join(rng, phrasings.EITHER, first, second)
    tree = ("OR", (COMPARED[name], number.text), ("Blanks",))
    return Draft(tree, wording, [*cells.around(rng, [number]), ""])


def _pair(draw, patterns):
    return Kind(draw, len(patterns))


KINDS = {
    **{name: _compared(name) for name in COMPARED},
    "between": _ranged(WHOLE["between"], lambda tree: tree),
    "not_between": _ranged(NEGATED["not_between"], _negated),
    "text_equals": _textual(
        "TextEquals", ATOMS["text_equals"], cells.equal_texts, weight=3.0
    ),
    "text_contains": _textual(
        "TextContains", ATOMS["text_contains"], cells.part_texts, weight=3.0
    ),
    "starts_with": _textual("TextStartsWith", ATOMS["starts_with"], cells.part_texts),
    "ends_with": _textual("EndsWith", ATOMS["ends_with"], cells.part_texts),
    "text_not_equals": _textual(
        "TextEquals", NEGATED["text_not_equals"], cells.equal_texts, wrap=_negated
    ),
    "text_not_contains": _textual(
        "TextContains", NEGATED["text_not_contains"], cells.part_texts, wrap=_negated
    ),
    "top": _counted("top", "top", 50, percent=False),
    "bottom": _counted("bottom", "bottom", 50, percent=False),
    "top_percent": _counted("top", "top_percent", 99, percent=True),
    "bottom_percent": _counted("bottom", "bottom_percent", 99, percent=True),
    "above_average": _bare(("aboveAverage",), WHOLE["above_average"], _spread),
    "below_average": _bare(("belowAverage",), WHOLE["below_average"], _spread),
    "duplicates": _bare(
        ("Duplicate",), WHOLE["duplicates"], cells.repeated, text_label=False
    ),
    "unique": _bare(
        _negated(("Duplicate",)), NEGATED["unique"], cells.repeated, text_label=False
    ),
    "blanks": _bare(("Blanks",), ATOMS["blanks"], cells.with_blanks),
    "not_blanks": _bare(
        _negated(("Blanks",)), NEGATED["not_blanks"], cells.with_blanks
    ),
    "errors": _bare(("Errors",), WHOLE["errors"], cells.with_errors),
    "color_scale": _bare(("ColorScale",), WHOLE["color_scale"], cells.with_word),
    "data_bar": _bare(("DataBar",), WHOLE["data_bar"], cells.with_word),
    "icon_set": _bare(("IconSet",), WHOLE["icon_set"], cells.with_word),
    "number_and": _number_pair(phrasings.BOTH, "AND", inside=True),
    "number_or": _number_pair(phrasings.EITHER, "OR", inside=False),
    "either_number": _pair(_either_number, phrasings.EITHER),
    "either_text": _pair(_either_text, phrasings.EITHER),
    "either_part": _pair(_either_part, phrasings.EITHER),
    "neither_text": _pair(_neither_text, phrasings.NEITHER),
    "starts_and_ends": _pair(_starts_and_ends, phrasings.BOTH),
    "contains_without": _pair(_contains_without, phrasings.BOTH),
    "compared_or_blank": _pair(_compared_or_blank, phrasings.EITHER),
}
