"""The recipe's table from the lines of `recipe.py`: one row a run, seeds pooled.

python -m experiments.table experiments/recipe.jsonl
"""

import argparse
import json
import pathlib
import statistics

from codefusion import markdown

STEPS = "20"  # denoising steps of the figures shown


def main():
    """Prints the Markdown table of a results file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path)
    lines = parser.parse_args().file.read_text(encoding="utf-8").splitlines()
    print(table([json.loads(line) for line in lines]))


def table(lines):
    """Returns the table, best top-1 first.

    Args:
      lines: what `recipe.py` wrote, dicts; lines of one run are its seeds.

    Raises:
      ValueError: the lines are of several commits, so that their runs may differ.
    """
    commits = sorted({line["commit"] for line in lines})
    if len(commits) > 1:
        raise ValueError(
            f"the lines are of commits {', '.join(commits)}; expected one commit."
        )
    runs = {}
    for line in lines:
        runs.setdefault(line["run"], []).append(line)
    heads = ("run", "seeds", "top-1, %", "top-5, %", "valid, %", "edit distance")
    heads += ("train s",)
    rows = sorted((row(name, seeds) for name, seeds in runs.items()), key=_order)
    return markdown.table(heads, rows)


def row(name, lines):
    """Returns a run's cells, str: means over its seeds, and the range of several."""
    found = [line["scores"][STEPS] for line in lines]
    return [
        f"`{name}`",
        str(len(lines)),
        _percent([each["top1"][0] for each in found]),
        _percent([each["top5"][0] for each in found]),
        _percent([each["valid"] for each in found]),
        f"{statistics.fmean(each['edit_distance'] for each in found):.2f}",
        f"{statistics.fmean(line['train_seconds'] for line in lines):.0f}",
    ]


def _percent(shares):
    mean = f"{100 * statistics.fmean(shares):.1f}"
    if len(shares) == 1:
        return mean
    return f"{mean} ({100 * min(shares):.0f} to {100 * max(shares):.0f})"


def _order(cells):
    return -float(cells[2].split()[0])


if __name__ == "__main__":
    main()
