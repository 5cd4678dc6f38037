"""The committed predictions give the committed scores."""

import json
import pathlib

import pytest

from codefusion import main
from codefusion.evaluation import predict

ROOT = pathlib.Path(__file__).parent.parent
STORED = sorted((ROOT / "results").glob("**/*.jsonl"))


def dataset_of(path):
    header, _ = predict.read_predictions(path)
    return header["dataset"]


def rescored(path, folder, *flags):
    """Returns [stored scores, scores of a copy] of a predictions file."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    words = ["codefusion", "evaluate", f"--predictions={copy}", *flags]
    assert main.main(words) == 0
    names = (path.with_suffix(".json"), copy.with_suffix(".json"))
    stored, found = (json.loads(name.read_text()) for name in names)
    for metric in found["unavailable"]:  # what needs weights is not scored here
        stored["metrics"].pop(metric, None)
    return [
        {key: value for key, value in scores.items() if key != "unavailable"}
        for scores in (stored, found)
    ]


def ids(paths):
    return [path.relative_to(ROOT / "results").as_posix() for path in paths]


GENERATED = [path for path in STORED if dataset_of(path) == "generated"]
REAL = [path for path in STORED if dataset_of(path) != "generated"]


def test_there_are_results_and_each_has_its_scores():
    assert STORED
    assert [p for p in STORED if not p.with_suffix(".json").is_file()] == []


@pytest.mark.parametrize("path", GENERATED, ids=ids(GENERATED))
def test_stored_predictions_give_the_stored_scores(path, tmp_path):
    stored, found = rescored(path, tmp_path)
    assert found == stored


@pytest.mark.parametrize("path", REAL, ids=ids(REAL))
def test_stored_predictions_give_the_stored_scores_needs_data(path, tmp_path, data_dir):
    stored, found = rescored(path, tmp_path, f"--data_dir={data_dir}")
    assert found == stored
