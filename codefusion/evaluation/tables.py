"""Builds a table of the paper's figures and ours from scores.json files.

`build` makes the table as plain data, which is what table.json holds; `markdown` and
`latex` print that data and nothing else. A line of ours stands under the line of the
system that it is compared with.
"""

import dataclasses
import json
import os

from codefusion import files
from codefusion.evaluation import paper
from codefusion.evaluation.score import read_scores

LANGUAGES = {"conala": "Python", "nl2bash": "Bash", "cf_rules": "CF"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A number that scores.json holds.

    Attributes:
      group: heading over several columns.
      title: heading of this one.
      path: keys down to the summary with `mean`, `low` and `high`.
      dataset: whose scores; None for any, if a row has but one.
      scale: what to multiply by.
      digits: how many to print after the point.
    """

    group: str
    title: str
    path: tuple[str, ...]
    dataset: str | None = None
    scale: float = 100.0
    digits: int = 1

    def cell(self, scores, before):
        """Returns the cell of a row, dict: empty, `text`, or `value`, `low`, `high`.

        Args:
          scores: what `score` returned, by data set, dict.
          before: the cells of this row so far, list.
        """
        found = scores.get(self.dataset) if self.dataset else _only(scores)
        if found is None:
            return {}
        if self.path[1] in found["unavailable"]:
            return {"text": found["unavailable"][self.path[1]]}
        for key in self.path:
            found = found.get(key, {})
        if found.get("mean") is None:
            return {}
        parts = {"value": "mean", "low": "low", "high": "high"}
        return {k: round(found[v] * self.scale, 6) for k, v in parts.items()}


@dataclasses.dataclass(frozen=True)
class MeanColumn:
    """The mean of the columns before it in a row, blank if one of them is."""

    group: str
    title: str = "mean"
    digits: int = 1

    def cell(self, scores, before):
        """Returns the cell of a row; see `Column.cell`."""
        values = [cell.get("value") for cell in before]
        if not values or None in values:
            return {}
        return {"value": round(sum(values) / len(values), 6)}


def _top(group, metric, dataset):
    path = ("metrics", metric)
    return [
        Column(group, f"top-{k}", (*path, f"top{k}"), dataset=dataset)
        for k in (1, 3, 5)
    ]


def _diversity(group, title, part):
    return Column(group, title, ("diversity", part), scale=1.0, digits=2)


TABLES = {
    "table1": (
        "Top-k of each language, %",
        [
            *_top("Python CodeBERTScore", "codebert_score", "conala"),
            *_top("Python chrF", "chrf", "conala"),
            *_top("Bash template match", "template_match_loose", "nl2bash"),
            *_top("CF execution match", "execution_match", "cf_rules"),
        ],
    ),
    "table2": (
        "Diversity of the first five candidates",
        [
            *(
                _diversity("distinct n-grams", str(n), f"distinct_{n}")
                for n in range(1, 5)
            ),
            _diversity(
                "between candidates", "hashed n-gram cosine", "hashed_ngram_similarity"
            ),
            _diversity("between candidates", "edit distance", "edit_distance"),
        ],
    ),
    "table3": (
        "Syntactically valid first candidates, %",
        [
            *(
                Column(
                    "valid top-1",
                    LANGUAGES[name],
                    ("metrics", "validity", "top1"),
                    name,
                )
                for name in LANGUAGES
            ),
            MeanColumn("valid top-1"),
        ],
    ),
    "generated": (
        "Held-out generated rules, %",
        [
            *_top("execution match", "execution_match", "generated"),
            *_top("exact match", "exact_match", "generated"),
            Column("valid", "top-1", ("metrics", "validity", "top1"), "generated"),
        ],
    ),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A line of ours.

    Attributes:
      title: of the line.
      scores: paths of scores.json files, at most one for each data set.
      beside: the paper's system under which the line stands; "" for the end.
    """

    title: str
    scores: tuple[str, ...] = ()
    beside: str = "CodeFusion 75M"


def build(name, entries):
    """Returns a table as plain data, dict.

    Args:
      name: key of TABLES.
      entries: our lines, list of `Entry`.

    Returns:
      {"name", "title", "columns", "rows", "footnotes"}: each row has `title`,
      `source` ("paper" or "ours"), `cells` and `notes`, indices into footnotes from 1.
    """
    if name not in TABLES:
        raise ValueError(f"TABLE is {name!r}; expected one of {sorted(TABLES)}.")
    title, columns = TABLES[name]
    footnotes, rows = [], []
    for system, figures in paper.FIGURES.get(name, {}).items():
        rows.append(_paper_row(system, figures, columns, footnotes))
        beside = [entry for entry in entries if entry.beside == system]
        rows += [_our_row(entry, columns, footnotes) for entry in beside]
    others = [e for e in entries if e.beside not in paper.FIGURES.get(name, {})]
    rows += [_our_row(entry, columns, footnotes) for entry in others]
    return {
        "name": name,
        "title": title,
        "columns": [
            {"group": c.group, "title": c.title, "digits": c.digits} for c in columns
        ],
        "rows": rows,
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
    texts = {"json": source, "md": markdown(table), "tex": latex(table)}
    paths = [os.path.join(folder, f"{table['name']}.{kind}") for kind in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        files.write_whole(path, text)
    return paths


def markdown(table):
    """Returns a table in Markdown, str.

    Args:
      table: what `build` returned or table.json holds, dict.
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
    notes = [f"<sup>{n}</sup> {text}  " for n, text in enumerate(table["footnotes"], 1)]
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
    for number, text in enumerate(table["footnotes"], 1):
        lines.append(f"\\textsuperscript{{{number}}} {_escaped(text)}\\par")
    return "\n".join(lines) + "\n"


def _paper_row(system, figures, columns, footnotes):
    found = [figures.get((column.group, column.title)) for column in columns]
    cells = [{} if figure is None else {"value": figure} for figure in found]
    notes = [_note(paper.SOURCE, footnotes)]
    return {"title": system, "source": "paper", "cells": cells, "notes": notes}


def _our_row(entry, columns, footnotes):
    scores = _by_dataset(entry)
    cells = []
    for column in columns:
        cells.append(column.cell(scores, cells))
    notes = [_note(provenance(found), footnotes) for found in scores.values()]
    return {"title": entry.title, "source": "ours", "cells": cells, "notes": notes}


def _by_dataset(entry):
    """Returns the scores of a line by data set, dict."""
    scores = {}
    for path in entry.scores:
        found = read_scores(path)
        dataset = found["header"]["dataset"]
        if dataset in scores:
            raise ValueError(
                f"{path}: the line {entry.title!r} already has scores of {dataset}; "
                "give each its own line."
            )
        scores[dataset] = found
    return scores


def _only(scores):
    return next(iter(scores.values())) if len(scores) == 1 else None


def _note(text, footnotes):
    """Returns the number of a footnote, adding it if it is new, int."""
    if text not in footnotes:
        footnotes.append(text)
    return footnotes.index(text) + 1


def provenance(scores):
    """Returns in one sentence how a scores file came about, str.

    Args:
      scores: what `score` returned, dict.
    """
    header = scores["header"]
    seen = scores["seen_in_training"]["mean"]
    changed = "; ".join(header["config_diff"].split("\n")).strip("; ")
    return (
        f"{header['dataset']}, {header['scheme']} {header['split']} split, "
        f"{scores['rows']:,} rows, {scores['quarantined']} quarantined, "
        f"{100 * seen:.1f} % with a reference seen in training, "
        f"{header['truncated_utterances']:,} with an utterance cut to the model's "
        "length; "
        f"{header['sampler']}, {header['num_steps']} steps, "
        f"{scores['candidates']} candidates, seed {header['seed']}, "
        f"checkpoint step {header['checkpoint_step']}, "
        f"commit {header['commit'][:12]}, data {header['data_hash'][:12]}, "
        f"tokenizer {header['tokenizer_hash'][:12]}; "
        f"brackets: {100 * scores['bootstrap']['confidence']:.0f} % bootstrap interval "
        "over rows, Wilson's where all are 0 or all 1; "
        f"config changes: {changed or 'none'}."
    )


def _printed(table, row):
    """Returns the cells of a row as text, list[str]."""
    digits = [column["digits"] for column in table["columns"]]
    return [_cell_text(c, d) for c, d in zip(row["cells"], digits, strict=True)]


def _cell_text(cell, digits):
    if "value" not in cell:
        return cell.get("text", "")
    text = f"{cell['value']:.{digits}f}"
    if "low" in cell:
        text += f" [{cell['low']:.{digits}f}, {cell['high']:.{digits}f}]"
    return text


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
