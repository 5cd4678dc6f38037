"""Axes hold what they show, and name round values."""

import random
import re
import xml.etree.ElementTree

import pytest

from codefusion.analysis import charts, pictures, svg
from codefusion.analysis.charts import Chart, Line


def test_an_axis_holds_its_values_and_names_a_few_round_ones():
    rng = random.Random(0)
    for _ in range(300):
        size = 10.0 ** rng.uniform(-6, 6)
        values = [rng.uniform(-1, 1) * size for _ in range(rng.randint(1, 5))]
        found = charts.axis(values)
        assert found.low <= min(values) and max(values) <= found.high
        assert 2 <= len(found.ticks) <= 7
        assert all(0 <= found.share(value) <= 1 for value in values)
        step = found.ticks[1] - found.ticks[0]
        assert f"{step:.0e}"[0] in "125"


def test_an_axis_starts_at_zero_where_its_values_come_near():
    assert charts.axis([2.0, 5.0]).low == 0 and charts.axis([4.0, 5.0]).low == 4


def test_a_logarithmic_axis_holds_its_values():
    rng = random.Random(0)
    for _ in range(300):
        values = [10.0 ** rng.uniform(-5, 5) for _ in range(rng.randint(1, 4))]
        found = charts.axis(values, is_log=True)
        assert found.low <= min(values) and max(values) <= found.high
        assert len(found.ticks) >= 2 and list(found.ticks) == sorted(found.ticks)
        assert found.share(found.low) == 0 and found.share(found.high) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.3, "0.3"), (2000.0, "2000"), (15e3, "15k"), (2e6, "2M")],
)
def test_ticks_are_short(value, text):
    assert charts.named(value) == text


def test_many_points_become_few_of_the_same_mean():
    points = [(float(i), float(i % 7)) for i in range(1003)]
    found = charts.thinned(points)
    assert charts.MAX_POINTS / 2 < len(found) <= charts.MAX_POINTS
    assert all(a[0] < b[0] for a, b in zip(found, found[1:], strict=False))
    mean = sum(y for _, y in found) / len(found)
    assert abs(mean - sum(y for _, y in points) / len(points)) < 0.05
    assert charts.thinned(points[:5]) == tuple(points[:5])


CHART = Chart(
    "some",
    "Loss <b>& more",
    "step",
    "loss",
    (
        Line("loss", ((0.0, 1.0), (5.0, 2.0), (5.0, None), (6.0, 3.0), (9.0, 0.5))),
        Line("a & b", ((0.0, 2.0), (9.0, 1.0)), ((1.0, 3.0), (0.5, 1.5))),
    ),
    borders=((0.0, "pretraining"), (6.0, "training")),
)


def test_a_figure_is_well_formed_and_breaks_where_a_stage_does():
    figure = xml.etree.ElementTree.fromstring(svg.figure(CHART))
    drawing = figure.find("svg")
    lines = [e for e in drawing.iter("path") if e.get("class") == "line-0"]
    assert [e.get("d").count("M") for e in lines] == [2]
    texts = [e.text for e in drawing.iter("text")]
    assert {"pretraining", "training", "step", "loss"} <= set(texts)
    names = ["".join(e.itertext()).split() for e in figure.iter("li")]
    assert names == [["loss", "0.5"], ["a", "&", "b", "1"]]
    assert figure.find("figcaption").text == CHART.title


def test_lines_lie_inside_their_drawing():
    drawing = xml.etree.ElementTree.fromstring(svg.figure(CHART)).find("svg")
    width, height = map(float, drawing.get("viewBox").split()[2:])
    for path in drawing.iter("path"):
        if "line-" in path.get("class"):
            for x, y in re.findall(r"[ML]([0-9.-]+) ([0-9.-]+)", path.get("d")):
                assert 0 <= float(x) <= width and 0 <= float(y) <= height


def test_every_line_has_a_colour_for_both_schemes_and_a_dash_of_its_own():
    assert len(set(charts.DASHES)) == len(charts.DASHES) == len(charts.COLOURS)
    style = svg.style()
    for number, (day, night) in enumerate(charts.COLOURS):
        assert style.index(f"--line-{number}:{day}") < style.index("dark")
        assert style.index(f"--line-{number}:{night}") > style.index("dark")


def test_a_chart_is_a_picture_too():
    pytest.importorskip("matplotlib")
    assert pictures.png(CHART._replace(is_log_y=True)).startswith(b"\x89PNG")
