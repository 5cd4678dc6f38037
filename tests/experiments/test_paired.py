"""Differences of systems, row by row."""

import argparse
import json
import pathlib

import numpy as np
import pytest

from experiments import paired

ROOT = pathlib.Path(__file__).parents[2]
STORED = ROOT / "results" / "paired.json"


def test_an_interval_is_that_of_the_differences():
    found = paired.interval(np.array([1.0, -1.0, 0.0, 0.0] * 25))
    assert found["mean"] == 0.0
    # The standard error is sqrt(0.5 / 100), 0.07.
    assert -0.18 < found["low"] < -0.1 and 0.1 < found["high"] < 0.18


def test_systems_that_score_alike_on_every_row_differ_by_nothing():
    assert set(paired.interval(np.zeros(9)).values()) == {0.0}


def test_each_pair_is_in_the_table_of_results():
    found = [(r["first"], r["second"], r["metric"]) for r in stored()]
    assert found == [
        (pair.first, pair.second, metric)
        for pair in paired.PAIRS
        for metric in paired.METRICS[pair.dataset]
    ]


def stored():
    return json.loads(STORED.read_text())["runs"]


def test_a_run_that_is_not_kept_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    options = argparse.Namespace(stored=str(tmp_path), data_dir=None)
    (run, *_) = paired.runs_by_row(paired.TABLE)["nl2bash"]
    with pytest.raises(ValueError, match="no scores of nl2bash_seed0"):
        paired.by_row(run, "validity", options)


@pytest.mark.parametrize("number", [0, len(paired.PAIRS) - 1])
def test_the_kept_predictions_give_the_stored_differences_needs_data(
    number, data_dir, monkeypatch
):
    monkeypatch.chdir(ROOT)
    pair = paired.PAIRS[number]
    metric = paired.METRICS[pair.dataset][0]
    options = argparse.Namespace(stored="results/runs", data_dir=str(data_dir))
    runs = paired.runs_by_row(paired.TABLE)
    found = paired.compare(pair, metric, runs, options)
    assert found == next(r for r in stored() if differs_in_nothing(r, found))


def differs_in_nothing(one, other):
    return all(one[key] == other[key] for key in ("first", "second", "metric"))
