"""What surrounds a condition in a request: places, colours, verbs, sentence shape."""

import dataclasses

from codefusion.data.builders.generated import phrasings, vocabulary

VERBS = (
    ("highlight",) * 6
    + ("color", "color", "format", "format", "mark", "style", "shade", "select")
    + ("find", "flag", "fill", "show", "mark with color", "change color of")
)
CELLS = (
    ("cells",) * 6
    + ("values", "values", "all cells", "the cells", "all values", "entries")
    + ("cell values", "cells of the table")
)
COLUMN_PLACES = (
    " in the {col} column",
    " in column {col}",
    " for {col}",
    " under {col}",
)
PAINTS = (
    " in {colour}",
    " with a {colour} fill",
    " using {colour}",
    " with {colour} text",
    " in {colour} color",
    " with {colour} background",
    " and make it bold",
    " with bold {colour} font",
)


@dataclasses.dataclass(frozen=True)
class Wording:
    """A condition in words: the one form that was drawn, the others empty.

    Attributes:
      are: str, completes "cells that are ...".
      do: tuple of two str, plural and singular, completes "cells that ...".
      full: str, a request with `{mark}` and other slots of a scene.
    """

    are: str = ""
    do: tuple = ()
    full: str = ""


def word(rng, phrases, *, a="", b="", full=True):
    """Returns a Wording drawn from `phrases`.

    Args:
      rng: random.Random.
      phrases: Phrases of the kind.
      a: str, the first constant as shown in the request.
      b: str, the second one.
      full: bool, whether whole requests may be drawn.
    """
    options = len(phrases) if full else len(phrases.are) + len(phrases.do)
    index = rng.randrange(options)
    if index < len(phrases.are):
        return Wording(are=_fill(phrases.are[index], a, b))
    index -= len(phrases.are)
    if index < len(phrases.do):
        return Wording(do=tuple(_fill(phrases.do[index], a, b).split("|")))
    return Wording(full=_fill(phrases.full[index - len(phrases.do)], a, b))


def _fill(template, a, b):
    return template.replace("{a}", a).replace("{b}", b)


def _cell_range(rng):
    column = rng.choice(vocabulary.LETTERS)
    other = rng.choice(vocabulary.LETTERS) if rng.random() < 0.25 else column
    first = rng.randrange(1, 12)
    return f"{column}{first}", f"{other}{first + rng.randrange(3, 100)}"


def _range_place(rng):
    first, last = _cell_range(rng)
    return rng.choice(
        (
            f" in range {first}:{last}",
            f" for range {first}:{last}",
            f" on cell range {first}:{last}",
            f" from cell {first} to {last}",
            f" in cells {first}-{last}",
            f" in {first}:{last}",
            f" from {first} - {last}",
        )
    )


def _letter_place(rng):
    letter = rng.choice(vocabulary.LETTERS)
    return rng.choice((f" in column {letter}", f" on column {letter}", f" in {letter}"))


def _sheet_place(rng):
    sheet = rng.choice(vocabulary.SHEETS)
    return rng.choice(
        (
            f" in sheet {sheet}",
            f" on sheet {sheet}",
            f" in the {sheet} sheet",
            f" on {sheet}",
        )
    )


def _place(rng, column):
    shape = rng.random()
    if shape < 0.42:
        return ""
    if shape < 0.56:
        return _range_place(rng)
    if shape < 0.64:
        return _letter_place(rng)
    if shape < 0.72:
        return _sheet_place(rng)
    if shape < 0.86:
        return rng.choice(COLUMN_PLACES).replace("{col}", column)
    if shape < 0.93:
        return _range_place(rng) + _sheet_place(rng)
    return rng.choice(COLUMN_PLACES).replace("{col}", column) + _sheet_place(rng)


def _paint(rng):
    if rng.random() < 0.72:
        return ""
    return rng.choice(PAINTS).replace("{colour}", rng.choice(vocabulary.COLOURS))


def _template(rng, wording):
    if wording.full:
        return wording.full
    if wording.are:
        return rng.choice(phrasings.ARE_FRAMES).replace("{c}", wording.are)
    plural, singular = wording.do
    frame = rng.choice(phrasings.DO_FRAMES)
    return frame.replace("{do}", plural).replace("{does}", singular)


def request(rng, wording, column, *, name_column=False):
    """Returns the request, one line of English.

    Args:
      rng: random.Random.
      wording: Wording of the condition.
      column: str, the header of the column that the rule is about.
      name_column: bool, whether the request must name the column.
    """
    template = _template(rng, wording)
    shown = column if rng.random() < 0.5 else column.lower()
    where = _place(rng, shown)
    if shown in where and "{col}" in template:
        where = ""
    if name_column and "{col}" not in template and shown not in where:
        where = rng.choice(COLUMN_PLACES).replace("{col}", shown)
    if name_column and "{col}" not in template and "{where}" not in template:
        template += where
    slots = {
        "{mark}": rng.choice(VERBS),
        "{cells}": rng.choice(CELLS),
        "{col}": shown,
        "{where}": where,
        "{paint}": _paint(rng),
    }
    for slot, filled in slots.items():
        template = template.replace(slot, filled)
    return _finish(rng, template.strip())


def _finish(rng, text):
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    return text + "." if rng.random() < 0.06 else text
