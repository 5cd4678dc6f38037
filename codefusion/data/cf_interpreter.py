"""Runs conditional-formatting rules on tables, and tells whether two do the same.

Semantics, those of a spreadsheet where it has any:

- A table is a header and data rows; the header is never formatted. Text is compared
  without regard to case and outer spaces, and literally: `*` and `?` are no wildcards.
- A cell that reads as a number is one ("12", "1,200", "$5", "26%"), and a date is the
  number of its day (ISO, or day first). Only such cells meet a comparison or `Between`;
  blank cells and words do not, whereas a spreadsheet would count a blank cell as 0, but
  they do meet `NotBetween` and `NotEquals`.
- Error values meet `Errors` alone, and no negation but that of `Errors`: a condition
  on an error is neither true nor false (Kleene's logic in AND, OR, NOT).
- A rule without a column applies to every column, each on its own: ranks, averages and
  duplicates are those of the column. A condition that names a column is about that
  cell of the same row. Formatted are the columns that the rule names, or all of them
  if some condition names none.
- Ties at the last rank are all in. `TopPercent` takes the floor, and at least one.
- `LastMonth` is the month before that of the latest date in the column.
- `ColorScale`, `DataBar` and `IconSet` format all numbers, each with its own effect.
"""

import json
import math

from codefusion.data import cf_language
from codefusion.data.cf_cells import Cell
from codefusion.data.cf_language import Call, Column, Reference

_COMPARE = {
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanEqual": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanEqual": lambda a, b: a <= b,
}
_TEXT = {
    "TextContains": lambda cell, text: text in cell,
    "TextStartsWith": lambda cell, text: cell.startswith(text),
    "TextEndsWith": lambda cell, text: cell.endswith(text),
}


def run(rule, table):
    """Returns the cells that a rule formats.

    Args:
      rule: str, or a tree of `cf_language.parse`.
      table: list of rows, the first one the header, or JSON of it.

    Returns:
      set of (row, column), row 0 being the first data row.

    Raises:
      ValueError: the rule does not parse, names a column that the table lacks, or
        refers to a cell by its address, which an excerpt of a sheet cannot answer.
    """
    tree = cf_language.parse(rule) if isinstance(rule, str) else rule
    columns = _columns(table)
    width = len(columns)
    if least_width(tree) > max(width, 1):
        raise ValueError(
            f"the rule names column c[{least_width(tree) - 1}]; the table has only "
            f"{width} columns, c[0] to c[{width - 1}]."
        )
    formatted = set()
    for column in focus(tree, width):
        met = _evaluate(tree, columns, column)
        formatted.update((row, column) for row, true in enumerate(met) if true)
    return formatted


def focus(tree, width):
    """Returns the columns that a rule formats cells of.

    Args:
      tree: Call.
      width: int, number of columns of the table.

    Returns:
      list of int.
    """
    named = set(_subjects(tree))
    return list(range(width)) if None in named else sorted(named)


def least_width(tree):
    """Returns the fewest columns that a table needs for a rule, at least 1."""
    return 1 + max(_indices(tree), default=0)


def effect(tree):
    """Returns what a rule does to the cells: "fill", or the name of a visual rule."""
    return tree.name if cf_language.FUNCTIONS[tree.name].visual else "fill"


def read_table(table):
    """Returns a table as a list of rows.

    Args:
      table: list of rows, JSON of it, or "" for no table.
    """
    return (json.loads(table) if table else []) if isinstance(table, str) else table


def _columns(table):
    rows = read_table(table)
    width = max(map(len, rows), default=0)
    body = [[*row, *[None] * (width - len(row))] for row in rows[1:]]
    return [[Cell.read(row[column]) for row in body] for column in range(width)]


def _subjects(tree):
    """Yields the column that each condition is about, None where it names none."""
    if tree.name in cf_language.CONNECTIVES:
        for argument in tree.arguments:
            yield from _subjects(argument)
        return
    subject = tree.subject
    if isinstance(subject, Call):
        subject = subject.subject
    yield None if subject is None else subject.index


def _indices(node):
    if isinstance(node, Column):
        yield node.index
    elif isinstance(node, Call):
        for part in (node.subject, *node.arguments):
            yield from _indices(part)


def _evaluate(tree, columns, column):
    """Returns True, False or None (an error) for each row, list."""
    if tree.name in cf_language.CONNECTIVES:
        parts = [_evaluate(part, columns, column) for part in tree.arguments]
        return [_connect(tree.name, values) for values in zip(*parts, strict=True)]
    cells = _subject_cells(tree, columns, column)
    if tree.name == "Errors":
        return [cell.error for cell in cells]
    if tree.name in _SETS:
        met = _SETS[tree.name](tree, cells)
    elif cf_language.FUNCTIONS[tree.name].visual:
        met = [cell.number is not None for cell in cells]
    else:
        arguments = [_argument(a, columns, len(cells)) for a in tree.arguments]
        rows = zip(cells, *arguments, strict=True)
        met = [_condition(tree.name, *values) for values in rows]
    return [None if cell.error else true for cell, true in zip(cells, met, strict=True)]


def _connect(name, values):
    if name == "NOT":
        return None if values[0] is None else not values[0]
    decisive = name == "OR"
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def _subject_cells(tree, columns, column):
    if isinstance(tree.subject, Call):
        return _lengths(tree.subject, columns)
    return columns[column if tree.subject is None else tree.subject.index]


def _lengths(call, columns):
    return [Cell.read(len(cell.shown)) for cell in columns[call.subject.index]]


def _argument(node, columns, rows):
    if isinstance(node, Column):
        return columns[node.index]
    if isinstance(node, Call):
        return _lengths(node, columns)
    if isinstance(node, Reference):
        raise ValueError(
            f"the rule refers to {node.address}; expected constants or columns c[i], "
            "because a table is an excerpt without addresses."
        )
    return [Cell.read(node.value)] * rows


def _condition(name, cell, *arguments):
    if any(argument.error for argument in arguments):
        return _same(cell, arguments[0]) if name.startswith("Text") else None
    if name in ("Equals", "TextEquals", "NotEquals"):
        return _same(cell, arguments[0]) != (name == "NotEquals")
    if name in _TEXT:
        return bool(cell.shown) and _TEXT[name](cell.text, arguments[0].text)
    if name == "NotBetween":
        return not _condition("Between", cell, *arguments)
    pairs = [cell.comparable(argument) for argument in arguments]
    if None in pairs:
        return False
    if name == "Between":
        low, high = sorted(other for _, other in pairs)
        return low <= pairs[0][0] <= high
    return _COMPARE[name](*pairs[0])


def _same(cell, other):
    if cell.number is not None and other.number is not None:
        return cell.number == other.number
    return cell.text == other.text


def _numbers(cells):
    return [cell.number for cell in cells if cell.number is not None]


def _ranked(tree, cells):
    numbers = sorted(_numbers(cells), reverse=tree.name.startswith("Top"))
    count = tree.arguments[0].value
    if tree.name.endswith("Percent"):
        count = (
            max(math.floor(len(numbers) * count / 100 + 1e-9), 1) if count > 0 else 0
        )
    count = min(math.floor(count), len(numbers))
    if count < 1:
        return [False] * len(cells)
    chosen = set(numbers[:count])
    return [cell.number in chosen for cell in cells]


def _averaged(tree, cells):
    numbers = _numbers(cells)
    mean = math.fsum(numbers) / max(len(numbers), 1)
    above = tree.name == "AboveAverage"
    return [
        cell.number is not None
        and (cell.number > mean if above else cell.number < mean)
        for cell in cells
    ]


def _duplicated(tree, cells):
    del tree
    counts = {}
    for cell in cells:
        counts[cell.key] = counts.get(cell.key, 0) + 1
    return [bool(cell.shown) and counts[cell.key] > 1 for cell in cells]


def _blank(tree, cells):
    del tree
    return [not cell.shown for cell in cells]


def _last_month(tree, cells):
    del tree
    dates = [cell.date for cell in cells if cell.date is not None]
    latest = max(dates, default=None)
    if latest is None:
        return [False] * len(cells)
    month = latest.year * 12 + latest.month - 1
    return [
        cell.date is not None and cell.date.year * 12 + cell.date.month == month
        for cell in cells
    ]


_SETS = {
    "Top": _ranked,
    "Bottom": _ranked,
    "TopPercent": _ranked,
    "BottomPercent": _ranked,
    "AboveAverage": _averaged,
    "BelowAverage": _averaged,
    "Duplicates": _duplicated,
    "Blanks": _blank,
    "LastMonth": _last_month,
}
