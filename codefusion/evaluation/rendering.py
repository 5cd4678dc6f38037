"""A table as Markdown and as LaTeX, both from its plain data and nothing else."""


def markdown(table):
    """Returns a table in Markdown, str.

    Args:
      table: what `tables.build` returned or table.json holds, dict.
    """
    heads = [f"{c['group']}, {c['title']}" for c in table["columns"]]
    lines = [["system", "source", *heads], ["---", "---", *["---:"] * len(heads)]]
    for row in table["rows"]:
        notes = f"<sup>{_numbers(row)}</sup>" if row["notes"] else ""
        lines.append([row["title"] + notes, row["source"], *_printed(table, row)])
    body = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in lines
    ]
    notes = [f"{text}\n" for text in table["notes"]]
    notes += (f"<sup>{n}</sup> {t}  " for n, t in enumerate(table["footnotes"], 1))
    return "\n".join([f"### {table['title']}", "", *body, "", *notes]).rstrip() + "\n"


def latex(table):
    """Returns a table in LaTeX (package booktabs), str; see `markdown`."""
    heads = [_escaped(c["title"]) for c in table["columns"]]
    lines = [
        f"% {_escaped(table['title'])}",
        f"\\begin{{tabular}}{{ll{'r' * len(heads)}}}",
        "\\toprule",
        " & ".join(["", "", *_groups(table["columns"])]) + " \\\\",
        " & ".join(["system", "source", *heads]) + " \\\\",
        "\\midrule",
    ]
    for row in table["rows"]:
        notes = f"\\textsuperscript{{{_numbers(row)}}}" if row["notes"] else ""
        cells = [_escaped(cell) for cell in _printed(table, row)]
        title = _escaped(row["title"]) + notes
        lines.append(" & ".join([title, row["source"], *cells]) + " \\\\")
    lines += ["\\bottomrule", "\\end{tabular}", ""]
    lines += [f"{_escaped(text)}\\par" for text in table["notes"]]
    for number, text in enumerate(table["footnotes"], 1):
        lines.append(f"\\textsuperscript{{{number}}} {_escaped(text)}\\par")
    return "\n".join(lines) + "\n"


def cell_text(cell, digits):
    """Returns a cell as text: the value, its interval, the spread over seeds.

    Args:
      cell: as `columns` makes it, dict.
      digits: how many to print after the point.
    """
    if "value" not in cell:
        return cell.get("text", "")
    text = f"{cell['value']:,.{digits}f}"
    if "low" in cell:
        text += f" [{cell['low']:,.{digits}f}, {cell['high']:,.{digits}f}]"
    if "seeds" in cell:
        ends = f"{cell['lowest']:,.{digits}f} to {cell['highest']:,.{digits}f}"
        text += f" ({ends}, {cell['seeds']} seeds)"
    return text


def _printed(table, row):
    """Returns the cells of a row as text, list[str]."""
    digits = [column["digits"] for column in table["columns"]]
    return [cell_text(c, d) for c, d in zip(row["cells"], digits, strict=True)]


def _numbers(row):
    return ",".join(map(str, row["notes"]))


def _groups(columns):
    """Returns the upper heading cells of LaTeX, one for each run of equal groups."""
    runs = []
    for column in columns:
        if runs and runs[-1][0] == column["group"]:
            runs[-1][1] += 1
        else:
            runs.append([column["group"], 1])
    return [f"\\multicolumn{{{n}}}{{c}}{{{_escaped(group)}}}" for group, n in runs]


def _escaped(text):
    """Returns a text with the marks that LaTeX reads as commands escaped, str."""
    words = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}"}
    words["^"] = "\\textasciicircum{}"
    words |= {mark: f"\\{mark}" for mark in "_%&#${}"}
    return "".join(words.get(character, character) for character in text)
