"""Cells on which a drawn rule formats some and leaves others.

The cells hold each constant, its neighbours by one last place, and each text less its
first or last character. Exactly these tell the drawn rule from the same rule with
another constant, so that execution match on a generated table is a strict test.
"""

from codefusion.data.builders.generated import values, vocabulary


def around(rng, numbers, *, extra=3):
    """Returns the numbers, their neighbours, and `extra` others near them.

    Args:
      rng: random.Random.
      numbers: list of values.Number.
      extra: int.

    Returns:
      list of int or float.
    """
    cells = [number.shifted(units) for number in numbers for units in (-1, 0, 1)]
    for _ in range(extra):
        cells.append(rng.choice(numbers).shifted(rng.randrange(-60, 61)))
    return cells


def distinct(rng, count):
    """Returns `count` different numbers in random order, list of int or float."""
    start, step = rng.randrange(0, 400), rng.choice((1, 1, 2, 3, 7, 0.5))
    cells = [start + step * place for place in range(count)]
    rng.shuffle(cells)
    return cells


def equal_texts(rng, texts):
    """Returns cells for rules on whole texts, list of str."""
    cells = [values.filler(rng) for _ in range(3)]
    for text in texts:
        cells += [text, text[:-1], f"{text} {values.filler(rng)}"]
    return cells


def part_texts(rng, texts):
    """Returns cells for rules on a part of the text, list of str."""
    cells = [".", *(values.filler(rng) for _ in range(2))]
    for text in texts:
        word = values.filler(rng).lower()
        cells += [text, text[:-1], text[1:]]
        cells += [f"{word} {text}", f"{text}{word}", f"- {text} -"]
    return cells


def end_texts(rng, first, last):
    """Returns cells for "starts with `first` and ends with `last`", list of str."""
    middle = f" {values.filler(rng).lower()} "
    return [
        first + middle + last,
        f"- {first}{middle}{last}",
        f"{first}{middle}{last} -",
        first[:-1] + middle + last,
        first + middle + last[1:],
        first + middle.rstrip() + ".",
        f"-{middle}{last}",
        f"-{middle}.",
    ]


def without_texts(rng, first, second):
    """Returns cells for "contains `first` but not `second`", list of str."""
    return [
        *part_texts(rng, [first]),
        second,
        f"{first} {second}",
        f"{first} {second[:-1]}",
        f"{first} {second[1:]}",
    ]


def repeated(rng):
    """Returns words or numbers, one of them twice and others once."""
    numbers = rng.random() < 0.5
    draw = (lambda: rng.randrange(1000)) if numbers else (lambda: values.filler(rng))
    cells = list(dict.fromkeys(draw() for _ in range(rng.randrange(5, 9))))
    return cells + cells[: rng.randrange(1, 3)]


def with_blanks(rng):
    """Returns words or numbers and one or two empty cells."""
    return distinct(rng, 5) + [""] * rng.randrange(1, 3)


def with_word(rng):
    """Returns numbers and one word, which a visual rule leaves alone."""
    return [*distinct(rng, rng.randrange(5, 10)), values.filler(rng)]


def with_errors(rng):
    """Returns numbers and one or two error values."""
    faults = [rng.choice(vocabulary.ERRORS) for _ in range(rng.randrange(1, 3))]
    return distinct(rng, 5) + faults
