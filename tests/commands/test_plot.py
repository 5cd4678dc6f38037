"""`codefusion plot` writes a page and pictures, or says in one line why not."""

import json

import pytest

from codefusion import main
from codefusion.commands import plot


@pytest.fixture
def workdir(tmp_path):
    """A work directory that holds nothing but metrics."""
    rows = [
        dict(step=step, stage="training", loss=1.0 / step, train_seconds=2.0 * step)
        for step in (5, 10, 15)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    (tmp_path / "config_diff.txt").write_text("model.width: 96 -> '<script>'\n")
    return tmp_path


def run(*words):
    return main.main(["codefusion", "plot", *words])


def test_a_run_becomes_one_page(workdir, capsys, monkeypatch):
    monkeypatch.setattr(plot.pictures, "is_possible", lambda: False)
    assert run(f"--workdir={workdir}") == 0
    captured = capsys.readouterr()
    page = workdir / "plots" / "report.html"
    assert captured.out.splitlines() == [str(page)]
    assert captured.err.count("\n") == 1 and "matplotlib" in captured.err
    text = page.read_text()
    assert "<figcaption>Loss by part</figcaption>" in text
    assert "<script" not in text and "src=" not in text
    assert "&lt;script&gt;" in text


def test_with_matplotlib_each_chart_is_a_picture(workdir, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert run(f"--workdir={workdir}", f"--out={tmp_path / 'out'}") == 0
    paths = capsys.readouterr().out.splitlines()
    names = [path.rpartition("/")[2] for path in paths]
    assert names == ["report.html", "losses.png"]
    assert (tmp_path / "out" / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_noise_levels_that_were_measured_are_drawn_again(workdir, capsys):
    split = {"cross_entropy": 2.0, "right": 0.1}
    levels = [{"t": t, "train": split, "test": split} for t in (1.0, 0.1)]
    (workdir / "plots").mkdir()
    kept = workdir / "plots" / "noise_levels.json"
    kept.write_text(json.dumps({"step": 5, "rows": 8, "levels": levels}))
    found = plot.charts_of(workdir, workdir / "plots")
    assert [chart.key for chart in found] == ["losses", "noise_levels"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "plot needs --workdir=DIR"),
        (["--workdir=none"], "'none', which is not a folder"),
        (["--workdir={empty}"], "holds no metrics to draw"),
        (["--workdir={empty}", "--noise_levels"], "holds no config.json"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(words, part, tmp_path, capsys):
    assert run(*(word.format(empty=tmp_path) for word in words)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and part in error
    assert not list(tmp_path.iterdir())
