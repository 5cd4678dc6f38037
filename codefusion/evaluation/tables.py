"""Builds a table of the paper's figures and ours from files of scores.

`build` makes the table as plain data, which is what table.json holds; `rendering`
prints that data and nothing else. A line of ours stands under the line of the system
that it is compared with. A line whose runs have no scores is blank and says so.
"""

import dataclasses
import json
import os

from codefusion import files
from codefusion.evaluation import paper, rendering, seeds
from codefusion.evaluation.layouts import LANGUAGES, TABLES


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of ours.

    Attributes:
      title: of the line.
      scores: paths of scores.json files; several of one data set differ in seeds.
      runs: (name, settings) of the runs that these are of, in their order; the
        footnotes begin with them. Without runs they do not, and tell what the config
        changes in the base.
      beside: the paper's system under which the line stands; "" for the end.
      missing: (data set, name) of each run of the line that has no scores.
    """

    title: str
    scores: tuple[str, ...] = ()
    beside: str = "CodeFusion 75M"
    missing: tuple[tuple[str, str], ...] = ()
    runs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        if self.runs and len(self.runs) != len(self.scores):
            raise ValueError(
                f"{self.title}: runs has {len(self.runs)} for {len(self.scores)} files "
                "of scores; expected as many, or none."
            )


def build(name, entries, notes=()):
    """Returns a table as plain data, dict.

    Args:
      name: key of TABLES.
      entries: our lines, list of `Entry`.
      notes: sentences on the whole table, of str.

    Returns:
      {"name", "title", "columns", "rows", "notes", "footnotes"}: each row has `title`,
      `source` ("paper" or "ours"), `cells` and `notes`, indices into footnotes from 1.
    """
    if name not in TABLES:
        raise ValueError(f"TABLE is {name!r}; expected one of {sorted(TABLES)}.")
    layout, figures = TABLES[name], paper.FIGURES.get(name, {})
    footnotes, rows = [], []
    for system in figures:
        rows.append(_paper_row(system, figures[system], layout.columns, footnotes))
        beside = [entry for entry in entries if entry.beside == system]
        rows += _our_rows(beside, layout, footnotes)
    others = [entry for entry in entries if entry.beside not in figures]
    rows += _our_rows(others, layout, footnotes)
    return {
        "name": name,
        "title": layout.title,
        "columns": [
            {"group": c.group, "title": c.title, "digits": c.digits}
            for c in layout.columns
        ],
        "rows": rows,
        "notes": list(notes),
        "footnotes": footnotes,
    }


def write_table(folder, table):
    """Writes table.json, table.md and table.tex, named after the table, to a folder.

    Args:
      folder: str or path; it is made.
      table: what `build` returned, dict.

    Returns:
      The three paths, list[str].
    """
    source = json.dumps(table, indent=2, allow_nan=False) + "\n"
    table = json.loads(source)
    texts = {
        "json": source,
        "md": rendering.markdown(table),
        "tex": rendering.latex(table),
    }
    paths = [os.path.join(folder, f"{table['name']}.{kind}") for kind in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        files.write_whole(path, text)
    return paths


def _paper_row(system, figures, columns, footnotes):
    found = [figures.get((column.group, column.title)) for column in columns]
    cells = [{} if figure is None else {"value": figure} for figure in found]
    notes = [_note(paper.SOURCE, footnotes)]
    return {"title": system, "source": "paper", "cells": cells, "notes": notes}


def _our_rows(entries, layout, footnotes):
    """Returns the rows of entries; of each one or, by data set, several."""
    rows = []
    for entry in entries:
        line = _line(entry, layout)
        for title, part, missing in _parts(entry, line, layout):
            rows.append(_our_row(title, part, missing, layout, footnotes))
    return rows


def _our_row(title, line, missing, layout, footnotes):
    cells = {}
    for column in layout.columns:
        cells[column.group, column.title] = column.cell(line, cells)
    notes = [_note(_origin(found, layout), footnotes) for found in line.values()]
    if missing:
        names = f" {', '.join(missing)}" if line else ""
        notes.append(_note(f"No scores yet: not run{names}.", footnotes))
    return {
        "title": title,
        "source": "ours",
        "cells": list(cells.values()),
        "notes": notes,
    }


def _origin(found, layout):
    """Returns the names of the runs of a line's data set, and where they are from."""
    told = {}
    for each in found:
        name, settings = each["run"]
        told.setdefault(settings, []).append(name)
    groups = [", ".join(filter(None, [*names, by])) for by, names in told.items()]
    begin = "; ".join(filter(None, groups))
    return (f"{begin}: " if begin else "") + layout.tell(found)


def _line(entry, layout):
    """Returns the files of a line, dict: data set -> list with one for each seed."""
    line = {}
    runs = entry.runs or [("", "")] * len(entry.scores)
    for path, run in zip(entry.scores, runs, strict=True):
        found = layout.read(path)
        others = line.setdefault(found["header"]["dataset"], [])
        seeds.check_poolable(found, others, title=entry.title)
        others.append(found | {"run": run})
    return line


def _parts(entry, line, layout):
    """Returns (title, line, names of missing runs) of each row of an entry, list."""
    if not layout.by_dataset:
        return [(entry.title, line, [name for _, name in entry.missing])]
    datasets = {*line, *(dataset for dataset, _ in entry.missing)}
    order = [*LANGUAGES, *sorted(datasets - {*LANGUAGES})]
    return [
        (
            f"{entry.title}, {LANGUAGES.get(dataset, dataset)}",
            {dataset: line[dataset]} if dataset in line else {},
            [name for of, name in entry.missing if of == dataset],
        )
        for dataset in order
        if dataset in datasets
    ]


def _note(text, footnotes):
    """Returns the number of a footnote, adding it if it is new, int."""
    if text not in footnotes:
        footnotes.append(text)
    return footnotes.index(text) + 1
