"""Probe cells: a table made from the constants of rules, to tell the rules apart."""

import random
import re

from codefusion.data.cf_language import Call, Number, Text

_COPIES = 6
_QUANTITY = re.compile(r"-?\d{1,9}(?=\W*[^\W\d])")


def probe_tables(trees, *, width):
    """Returns tables on which rules with different constants differ.

    Their cells are each number, its neighbours and the middle of each two; each text,
    the text less a character at either end, and with other text around it; blanks,
    errors, words that repeat; and enough numbers for every rank. If there are several
    columns, a second table repeats the cells so that each meets many in its row.

    Args:
      trees: sequence of rules, Call.
      width: int, number of columns.

    Returns:
      list of tables, each a list of rows with a header.
    """
    cells = _cells([node for tree in trees for node in _nodes(tree)])
    shifts = [7 * column % len(cells) for column in range(width)]
    tables = [[cells[shift:] + cells[:shift] for shift in shifts]]
    if width > 1:
        tables.append([_repeated(cells, column) for column in range(width)])
    header = [f"Column {column}" for column in range(width)]
    return [[header, *map(list, zip(*columns, strict=True))] for columns in tables]


def _nodes(node):
    yield node
    if isinstance(node, Call):
        for part in (node.subject, *node.arguments):
            if part is not None:
                yield from _nodes(part)


def _repeated(cells, column):
    rng = random.Random(column)
    return [cell for _ in range(_COPIES) for cell in rng.sample(cells, len(cells))]


def _cells(nodes):
    numbers = sorted({node.value for node in nodes if isinstance(node, Number)})
    texts = list(dict.fromkeys(n.value for n in nodes if isinstance(n, Text)))
    words = ["", "", "#N/A", "Probe", "probe", "TRUE", "2020-01-15", "2020-02-10"]
    return words + _number_cells(numbers) + _text_cells(texts)


def _number_cells(numbers):
    ranks = max([number for number in numbers if 0 < number < 200], default=0)
    cells = [-1_000_000, -1, 0, 1, 1_000_000]
    for number in numbers:
        for step in (0.001, 0.01, 0.1, 1):
            cells += [number - step, number + step]
        cells.append(number)
    cells += [(low + high) / 2 for low, high in zip(numbers, numbers[1:], strict=False)]
    cells = list(dict.fromkeys(round(cell, 9) for cell in cells))
    return cells + [5_000 + 7 * rank for rank in range(max(int(ranks), 100) + 5)]


def _text_cells(texts):
    cells = []
    for text in texts:
        cells += [text, text[:-1], text[1:], f"{text}q", f"q{text}", f"q {text} q"]
        cells += [f"{text} {other}" for other in texts if other != text]
        quantity = _QUANTITY.match(text)
        if quantity:
            size = int(quantity[0])
            cells += [f"{size + step}{text[quantity.end() :]}" for step in (-1, 1)]
    return cells
