"""Which systems are told apart: differences row by row, with intervals.

    python -m experiments.paired --out=results/paired.json

A hard row is hard for both systems, so that the interval of each says little about
their difference. Here each test row has one, the first system's score less the
second's, both a mean over seeds; the interval is the bootstrap's over rows, see
`codefusion/evaluation/intervals.py`. Two systems are told apart where it leaves out 0.
Seeds of training are no part of it.
"""

import argparse
import pathlib
from typing import NamedTuple

import numpy as np

from codefusion import assemble, markdown
from codefusion.commands import evaluate, sweep, table
from codefusion.evaluation import intervals, metrics, score
from experiments import measured

NAME = "paired"
TABLE = "configs/tables/table1.py"
METRICS = {
    "cf_rules": ("execution_match",),
    "nl2bash": ("template_match_loose",),
    "conala": ("chrf", "code_bleu_style"),
}


ROWS = ("data_hash", "split", "max_rows")  # which both sides have to share
TOLD = ("checkpoint_step", "commit", "seed", *ROWS)


class Pair(NamedTuple):
    """Two rows of table 1, by the names of their runs without seeds."""

    dataset: str
    first: str
    second: str


PAIRS = [
    *(
        Pair(name, f"{name}{ours}", f"{name}_{theirs}")
        for name in METRICS
        for ours, theirs in (
            ("", "autoregressive"),
            ("", "beam"),
            ("_plan_beam", "beam"),
        )
    ),
    Pair("nl2bash", "shipped", "shipped_autoregressive"),
    Pair("conala", "shipped_conala", "shipped_autoregressive_conala"),
]


def main():
    """Writes the differences, and prints them as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stored", default="results/runs", help="folder of kept runs")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--data_dir", help="in place of $CODEFUSION_DATA")
    options = parser.parse_args()
    runs = runs_by_row(TABLE)
    found = [
        compare(pair, metric, runs, options)
        for pair in PAIRS
        for metric in METRICS[pair.dataset]
    ]
    measured.write(options.out, NAME, found)
    print(markdown.table(*shown(found)))


def runs_by_row(file):
    """Returns the runs of each row of a table's file, one a seed, dict of lists."""
    rows = {}
    for run in sweep.read(file).runs:
        name = run.name.removesuffix(f"_seed{run.seed}")
        rows.setdefault(name, []).append(run)
    return rows


def compare(pair, metric, runs, options):
    """Returns the difference of two rows of the table by a metric, dict.

    Args:
      pair: a `Pair`.
      metric: name in `codefusion.evaluation.metrics.METRICS`.
      runs: by row, as of `runs_by_row`.
      options: `stored` and `data_dir`.
    """
    sides = [
        [by_row(run, metric, options) for run in runs[name]]
        for name in (pair.first, pair.second)
    ]
    rows = {tuple(each[key] for key in ROWS) for side in sides for each, _ in side}
    if len(rows) > 1:
        names = f"{pair.first} and {pair.second}"
        raise ValueError(f"{names}: {', '.join(ROWS)} differ; expected the same rows.")
    first, second = (np.mean([best for _, best in side], axis=0) for side in sides)
    differences = first - second
    return pair._asdict() | {
        "metric": metric,
        "rows": len(differences),
        "of": [[origin for origin, _ in side] for side in sides],
        "top1": interval(differences[:, 0]),
        "top5": interval(differences[:, 4]),
    }


def by_row(run, metric, options):
    """Returns where a run's scores are from and those of its rows.

    Args:
      run: a `sweep.Run` with kept predictions.
      metric: its name.
      options: `stored` and `data_dir`.

    Returns:
      (origin, best): what the header of the predictions tells, dict, and the best score
      of the first k candidates, float64[R, 5].

    Raises:
      ValueError: nothing is kept of the run, or fewer than five candidates.
    """
    config = table.config_of(run, options)
    folder = pathlib.Path(options.stored, run.trained.name)
    scores = table.stored_scores(folder, config)
    if not scores:
        raise ValueError(f"{folder}: no scores of {run.name}; expected a kept run.")
    dataset = assemble.evaluated(config)
    (chosen,) = metrics.choose(dataset.language, (metric,))
    best = score.best_of_first(evaluate.predictions_path(scores), dataset, chosen)
    if best.shape[1] < 5:
        raise ValueError(f"{scores}: {best.shape[1]} candidates; expected five.")
    header = score.read_scores(scores)["header"]
    return {"run": run.name, "file": scores.stem} | {k: header[k] for k in TOLD}, best


def interval(differences):
    """Returns `mean`, `low` and `high` of differences in [-1, 1] over rows, dict."""
    summary = intervals.Bootstrap().summary((1.0 + differences) / 2.0)
    return {key: round(2.0 * summary[key] - 1.0, 6) for key in ("mean", "low", "high")}


def shown(found):
    """Returns (columns, rows) of what `compare` returned, in points, lists of str."""
    columns = ["first", "second", "metric", "top-1", "top-5"]
    rows = [
        [each["first"], each["second"], each["metric"]]
        + [evaluate.interval(each[top], scale=100) for top in ("top1", "top5")]
        for each in found
    ]
    return columns, rows


if __name__ == "__main__":
    main()
