"""Figures are drawn from a table's JSON: its lines, their spread, and nothing else."""

import json
import sys

import pytest

from experiments import plots


def table(name, columns, rows):
    """Returns a table's plain data; a row is (title, cells)."""
    return {
        "name": name,
        "title": "a title",
        "columns": [{"group": g, "title": t, "digits": 1} for g, t in columns],
        "rows": [
            {"title": title, "source": source, "cells": cells, "notes": []}
            for title, source, cells in rows
        ],
        "footnotes": [],
    }


def value(number, **more):
    return {"value": number, **more}


def step_row(title, steps, top1, source="ours"):
    spread = {"seeds": 2, "lowest": top1 - 1.0, "highest": top1 + 2.0}
    cells = [value(steps), value(top1, **spread), value(top1 + 5)]
    return title, source, cells


@pytest.fixture
def steps():
    """A table of two samplers, a line without scores and one of the paper."""
    columns = [plots.STEPS, plots.TOP1, plots.TOP5]
    rows = [
        step_row("as configured", 20, 60.0),
        step_row("DDIM, 1,200 steps", 1200, 60.0),
        step_row("DDIM, 1 step", 1, 50.0),
        step_row("DDPM, 20 steps", 20, 40.0),
        ("to come", "ours", [{}, {}, {}]),
        step_row("theirs, 1 step", 1, 99.0, source="paper"),
    ]
    return table("steps", columns, rows)


@pytest.fixture
def frontier():
    """A table of two settings of one knob between two lines that turn none."""
    columns = [plots.TOP1, plots.TOP5, plots.DISTINCT, plots.DISTANCE]
    rows = [
        (title, "ours", [*map(value, (60.0, 70.0, 0.5, 0.2))])
        for title in ("as is", "eta 0.5", "eta 1.0", "without eta")
    ]
    return table("frontier", columns, rows)


def test_a_curve_is_of_one_title_with_the_spread_of_its_seeds(steps):
    assert plots.curves(steps, plots.TOP1) == {
        "DDIM": [(1, 50.0, 49.0, 52.0), (1200, 60.0, 59.0, 62.0)],
        "DDPM": [(20, 40.0, 39.0, 42.0)],
    }
    # Without seeds there is no band.
    assert plots.curves(steps, plots.TOP5)["DDPM"] == [(20, 45.0, 45.0, 45.0)]


def test_a_point_is_of_the_knob_that_it_turns(frontier):
    found = [(point.knob, point.at) for point in plots.points(frontier)]
    assert found == [("as is", ""), ("eta", "0.5"), ("eta", "1.0"), ("without eta", "")]


def write(tmp_path, found):
    path = tmp_path / f"{found['name']}.json"
    path.write_text(json.dumps(found))
    return path


def test_what_cannot_be_drawn_is_one_line(tmp_path, steps, monkeypatch, capsys):
    steps["rows"] = steps["rows"][4:]
    with pytest.raises(ValueError, match="'steps' has no scores yet"):
        plots.lines(steps)
    with pytest.raises(ValueError, match="'table1' has no figure; expected one of"):
        plots.draw(write(tmp_path, steps | {"name": "table1"}))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(sys, "argv", ["plots", str(write(tmp_path, steps))])
    with pytest.raises(SystemExit) as ended:
        plots.main()
    assert str(ended.value) == "Figures need matplotlib: pip install -e '.[plot]'."


def test_each_figure_has_the_lines_of_its_table(steps, frontier):
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    plots.draw_steps(figure, steps)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert (labels, len(figure.axes)) == (["DDIM", "DDPM"], 2)
    figure = figures.Figure()
    plots.draw_frontier(figure, frontier)
    shown = [len(c.get_offsets()) for c in figure.axes[0].collections]
    assert (shown, len(figure.axes)) == ([1, 2, 1], 3)
    assert [text.get_text() for text in figure.axes[2].texts] == ["", "0.5", "1.0", ""]


def test_refinement_has_a_line_for_each_run_and_a_point_for_each_step():
    figures = pytest.importorskip("matplotlib.figure")
    points = [{"mean": m, "low": m - 0.1, "high": m + 0.1} for m in (0.9, 0.5, 0.4)]
    run = {"run": "a", "to_reference": points, "to_last": points[::-1]}
    figure = figures.Figure()
    plots.draw_refinement(figure, {"runs": [run, run | {"run": "b"}]})
    left, right = figure.axes
    assert left.get_legend_handles_labels()[1] == ["a", "b"]
    assert [*left.lines[0].get_xdata()] == [1, 2, 3]
    assert [*right.lines[1].get_ydata()] == [0.4, 0.5, 0.9]
