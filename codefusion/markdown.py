"""Tables of Markdown."""


def table(head, rows):
    """Returns a table as text, aligned so that it reads well on a terminal too.

    Args:
      head: names of the columns.
      rows: as many values each; any text.
    """
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(map(str.ljust, row, widths)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)
