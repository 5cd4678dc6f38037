"""The text of a rule, in the two spellings that the released benchmark holds."""

_COLUMN_NAMES = {
    "Duplicate": "Duplicates",
    "TextStartsWith": "StartsWith",
    "aboveAverage": "AboveAverage",
    "belowAverage": "BelowAverage",
}
_TEXT = frozenset(("TextEquals", "TextContains", "TextStartsWith", "EndsWith"))


def plain(tree):
    """Returns a rule that names no column: `OR(TextEquals(a), top(10%))`.

    Args:
      tree: nested tuples, (function, argument or tree, ...).
    """
    name, *arguments = tree
    shown = (plain(a) if isinstance(a, tuple) else a for a in arguments)
    return f"{name}({', '.join(shown)})"


def with_column(tree, column):
    """Returns a rule whose functions name a column: `TopPercent(c[1], 10)`.

    Args:
      tree: nested tuples, (function, argument or tree, ...).
      column: int, position of the column from 0.
    """
    name, *arguments = tree
    if name in ("AND", "OR", "NOT"):
        shown = (with_column(argument, column) for argument in arguments)
        return f"{name}({', '.join(shown)})"
    if name in ("top", "bottom"):
        percent = "Percent" if arguments[0].endswith("%") else ""
        return f"{name.capitalize()}{percent}(c[{column}], {arguments[0].rstrip('%')})"
    if name in _TEXT:
        arguments = [f"'{argument}'" for argument in arguments]
    shown = ", ".join([f"c[{column}]", *arguments])
    return f"{_COLUMN_NAMES.get(name, name)}({shown})"
