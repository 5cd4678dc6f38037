"""The cross-entropy of runs as a table, and as a file that says what it came from."""

import json
import pathlib
import sys
import types

from codefusion import config
from experiments import measured, noise_levels

LEVELS = [
    {
        "t": t,
        "train": {"cross_entropy": 0.5, "right": 0.75},
        "test": {"cross_entropy": 1.25, "right": 0.5},
    }
    for t in (1.0, None)
]


def test_a_time_is_a_row_and_without_noise_there_is_none():
    rows = noise_levels.table(LEVELS).splitlines()[2:]
    assert rows == [
        "| 1.0 | 0.50, 75 % | 1.25, 50 % |",
        "|  | 0.50, 75 % | 1.25, 50 % |",
    ]


def test_a_file_says_what_it_came_from(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "runs/a", "--rows=3"])
    model = types.SimpleNamespace(step=9, config=config.base())
    origin = measured.origin(model, pathlib.Path("runs/a"))
    assert (origin["run"], origin["checkpoint_step"]) == ("a", 9)
    assert origin["config"]["seed"] == 0
    measured.write(tmp_path / "a.json", "noise_levels", [origin | {"levels": LEVELS}])
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["command"] == "python -m experiments.noise_levels runs/a --rows=3"
    assert found["runs"][0]["levels"] == LEVELS
    assert found["commit"] and found["hardware"]
