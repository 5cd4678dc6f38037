"""What a run recorded is on its charts, and nothing else."""

import json

import pytest

from codefusion.analysis import curves
from codefusion.evaluation import score


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(step, stage="training", **values):
    """Returns a row of a stage as training writes it."""
    values = dict(loss=10.0 / step, cross_entropy=5.0 / step) | values
    return dict(step=step, stage=stage, train_seconds=60.0 * step, **values)


@pytest.fixture
def metrics(tmp_path):
    """The metrics of a run of two stages, with rows of every other kind."""
    rows = [
        dict(step=0, stage="pretraining", left_out_generated=3.0),
        *(row(step, "pretraining", learning_rate=0.1) for step in (5, 10)),
        dict(step=10, stage="goodput", goodput=0.5, starts=1.0),
        row(15, x0_mse=0.5, examples_per_second=7.0, grad_norm=1.0, update_norm=2.0),
        row(20, x0_mse=None, examples_per_second=9.0),
        dict(step=18, stage="training", skipped_batch=4.0),
        dict(step=20, stage="evaluation", validation_exact_match=0.5, train_seconds=9),
        dict(step=30, stage="evaluation", validation_exact_match=0.25, train_seconds=9),
    ]
    return written(tmp_path / "metrics.jsonl", rows)


def test_a_run_has_its_curves(metrics):
    found = {chart.key: chart for chart in curves.of_metrics(metrics)}
    names = {key: [line.name for line in chart.lines] for key, chart in found.items()}
    assert names == {
        "losses": ["loss", "cross entropy", "x0 mse"],
        "cross_entropy": ["cross entropy"],
        "validation": ["exact match"],
        "learning_rate": ["learning rate"],
        "throughput": ["examples per second"],
        "norms": ["grad norm", "update norm"],
    }
    losses = found["losses"]
    assert losses.borders == ((5.0, "pretraining"), (15.0, "training"))
    (loss, _, x0_mse) = losses.lines
    assert [x for x, y in loss.points if y is not None] == [5, 10, 15, 20]
    assert [y for _, y in loss.points].index(None) == 2  # between the stages
    assert x0_mse.points == ((15.0, 0.5),)
    assert found["cross_entropy"].x_label == "training time, minutes"
    assert found["cross_entropy"].lines[0].points[0][0] == 5.0


def test_a_run_in_figures(metrics):
    found = curves.facts(metrics)
    assert found["steps"] == "20" and found["training time"] == "0 h 20 min"
    assert found["last loss"] == "0.5"
    assert found["examples a second, median"] == "8"
    assert found["best exact match"] == "0.5 at step 20"


def test_nothing_recorded_is_no_chart(tmp_path):
    assert curves.of_metrics(tmp_path / "none.jsonl") == []
    path = written(tmp_path / "m.jsonl", [dict(step=0, stage="goodput", goodput=1.0)])
    assert curves.of_metrics(path) == [] and curves.facts(path) == {}


def scores(folder, name, *, steps, mean, guidance=1.0, sampler="ddim"):
    header = dict(
        dataset="generated",
        scheme="generated",
        split="test",
        checkpoint_step=9,
        sampler=sampler,
        num_steps=steps,
        seed=0,
        config=dict(
            sampler=dict(name=sampler, num_steps=steps),
            inference=dict(guidance=guidance),
        ),
    )
    tops = {top: dict(mean=mean, low=mean - 0.1, high=mean) for top in ("top1", "top5")}
    content = dict(header=header, rows=100, metrics=dict(exact_match=tops))
    score.write_scores(folder / name, dict(format=score.FORMAT, **content))


def test_quality_against_steps_compares_like_with_like(tmp_path):
    scores(tmp_path, "b.json", steps=20, mean=0.7)
    assert curves.of_steps(tmp_path) == []
    scores(tmp_path, "a.json", steps=5, mean=0.5)
    scores(tmp_path, "c.json", steps=5, mean=0.9, guidance=2.0)
    scores(tmp_path, "d.json", steps=50, mean=0.9, sampler="ddpm")
    (tmp_path / "broken.json").write_text("{")
    (chart,) = curves.of_steps(tmp_path)
    assert [line.name for line in chart.lines] == [
        "exact match, top1",
        "exact match, top5",
    ]
    assert chart.lines[0].points == ((5.0, 0.5), (20.0, 0.7))
    assert chart.lines[0].spreads == ((0.4, 0.5), (pytest.approx(0.6), 0.7))
    assert chart.is_log_x and "100 rows" in chart.note


def test_noise_levels_are_a_chart_by_time():
    levels = [
        {"t": t, "train": {"cross_entropy": t, "right": 0.5}, "test": dict(TEST)}
        for t in (1.0, 0.5, 0.1)
    ]
    chart = curves.of_noise_levels({"step": 3, "rows": 8, "levels": levels})
    assert [line.name for line in chart.lines] == ["train", "test"]
    assert chart.lines[0].points == ((0.1, 0.1), (0.5, 0.5), (1.0, 1.0))


TEST = {"cross_entropy": 2.0, "right": 0.1}
