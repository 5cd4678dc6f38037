"""Figures of a JSON file: of the tables `steps` and `frontier`, and of refinement.

    python -m experiments.plots results/tables/steps.json results/tables/frontier.json
    python -m experiments.plots results/refinement.json

Writes a PNG beside each file, from that file and nothing else. Needs matplotlib, the
extra `plot`.
"""

import argparse
import json
import pathlib
import re
import sys
from typing import NamedTuple

TOP1 = ("execution match", "top-1")
TOP5 = ("execution match", "top-5")
DISTINCT = ("distinct n-grams", "4")
DISTANCE = ("between candidates", "edit distance")
STEPS = ("denoising", "steps")
_MARKERS = "osD^vP*X<>dph"
_STEPS_OF = re.compile(r", [\d,]+ steps?$")
_SET_TO = re.compile(r" ([\d.]+)$")
_NEAR = {"textcoords": "offset points"}


class Point(NamedTuple):
    """A line of a table in the scatter.

    Attributes:
      knob: the title of the line, less the number at its end.
      at: that number, as text, "" where there is none.
      cells: (group, title) -> cell.
    """

    knob: str
    at: str
    cells: dict


def main():
    """Draws the figure of each file and prints its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=pathlib.Path, nargs="+")
    try:
        for path in parser.parse_args().tables:
            print(draw(path))
    except ValueError as error:
        sys.exit(str(error))


def draw(path):
    """Returns the path of the PNG that it writes for a table.

    Args:
      path: of a table's JSON, a pathlib.Path.
    """
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["name"] not in FIGURES:
        raise ValueError(
            f"{path}: the table {table['name']!r} has no figure; expected one of "
            f"{', '.join(FIGURES)}."
        )
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("Figures need matplotlib: pip install -e '.[plot]'.") from None
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FIGURES[table["name"]](figure, table)
    out = path.with_suffix(".png")
    figure.savefig(out, dpi=120, metadata={"Software": None})
    return out


def lines(table):
    """Returns (title, cells by (group, title)) of our lines that have scores, list."""
    keys = [(column["group"], column["title"]) for column in table["columns"]]
    found = [
        (row["title"], dict(zip(keys, row["cells"], strict=True)))
        for row in table["rows"]
        if row["source"] == "ours"
    ]
    found = [(title, cells) for title, cells in found if "value" in cells[TOP1]]
    if not found:
        raise ValueError(f"The table {table['name']!r} has no scores yet to draw.")
    return found


def curves(table, key):
    """Returns points by curve, dict: name -> [(steps, value, lowest, highest)].

    A line is on the curve that its title begins with: "DDIM, 5 steps" is on "DDIM". One
    whose title names no steps repeats another and is on none.

    Args:
      table: what the JSON of the table `steps` holds.
      key: (group, title) of the column that is drawn.
    """
    found = {}
    for title, cells in lines(table):
        name, is_counted = _STEPS_OF.subn("", title)
        cell, steps = cells[key], cells[STEPS]["value"]
        ends = [cell.get(end, cell["value"]) for end in ("lowest", "highest")]
        if is_counted:
            found.setdefault(name, []).append((steps, cell["value"], *ends))
    return {name: sorted(points) for name, points in found.items()}


def points(table):
    """Returns the `Point`s of a table `frontier`, list.

    The title of a line ends with the number that its knob is set to.

    Args:
      table: what the JSON of the table holds.
    """

    def point(title, cells):
        knob, *ends = _SET_TO.split(title)
        return Point(knob, ends[0] if ends else "", cells)

    return [point(title, cells) for title, cells in lines(table)]


def draw_steps(figure, table):
    """Draws quality against steps; the band of a curve is its spread over seeds."""
    axes = figure.subplots(1, 2, sharey=True)
    ticks = sorted({cells[STEPS]["value"] for _, cells in lines(table)})
    for axis, key in zip(axes, (TOP1, TOP5), strict=True):
        for name, found in curves(table, key).items():
            steps, values, lows, highs = zip(*found, strict=True)
            (line,) = axis.plot(steps, values, marker="o", label=name)
            axis.fill_between(steps, lows, highs, color=line.get_color(), alpha=0.2)
        axis.set(xscale="log", xlabel="denoising steps", title=" ".join(key) + ", %")
        axis.set_xticks(ticks, [f"{number:,.0f}" for number in ticks])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.suptitle(table["title"], fontsize="medium")


def draw_frontier(figure, table):
    """Draws top-5 against top-1, distinct 4-grams and edit distance."""
    axes = figure.subplots(1, 3, sharey=True)
    found = points(table)
    knobs = list(dict.fromkeys(point.knob for point in found))
    for axis, key in zip(axes, (TOP1, DISTINCT, DISTANCE), strict=True):
        for number, knob in enumerate(knobs):
            of = [point for point in found if point.knob == knob]
            places = [(p.cells[key]["value"], p.cells[TOP5]["value"]) for p in of]
            marker = _MARKERS[number % len(_MARKERS)]
            axis.scatter(*zip(*places, strict=True), marker=marker, label=knob)
            for p, place in zip(of, places, strict=True):
                axis.annotate(p.at, place, fontsize="x-small", xytext=(4, 4), **_NEAR)
        axis.set(xlabel=" ".join(key))
        axis.grid(alpha=0.3)
    axes[0].set(ylabel=" ".join(TOP5) + ", %")
    shown = axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(table["title"], fontsize="medium")


def draw_refinement(figure, found):
    """Draws edit distances against the step at which denoising stops, a line a run."""
    axes = figure.subplots(1, 2, sharey=True)
    for axis, to in zip(axes, ("reference", "last"), strict=True):
        for run in found["runs"]:
            told = run[f"to_{to}"]
            steps = range(1, len(told) + 1)
            means, lows, highs = (
                [each[key] for each in told] for key in ("mean", "low", "high")
            )
            (line,) = axis.plot(steps, means, marker=".", label=run["run"])
            axis.fill_between(steps, lows, highs, color=line.get_color(), alpha=0.2)
        axis.set(xlabel="step at which denoising stops", ylim=(0.0, None))
        axis.locator_params(axis="x", integer=True)
        axis.grid(alpha=0.3)
    axes[0].set(title="edit distance to the reference")
    axes[1].set(title="edit distance to what the last step writes")
    axes[0].legend(fontsize="small")


FIGURES = {
    "steps": draw_steps,
    "frontier": draw_frontier,
    "refinement": draw_refinement,
}


if __name__ == "__main__":
    main()
