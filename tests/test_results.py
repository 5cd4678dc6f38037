"""The committed predictions give the committed scores, and these the tables."""

import json
import pathlib

import pytest

from codefusion import main
from codefusion.commands import evaluate

ROOT = pathlib.Path(__file__).parent.parent
RUNS = ROOT / "results" / "runs"
TABLES = ROOT / "results" / "tables"
STORED = sorted((ROOT / "results").glob("**/*.jsonl"))


def dataset_of(path):
    with path.open(encoding="utf-8") as file:
        return json.loads(file.readline())["dataset"]


def rescored(path, folder, *flags):
    """Returns [stored scores, scores of a copy] of a predictions file."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes())
    words = ["codefusion", "evaluate", f"--predictions={copy}", *flags]
    assert main.main(words) == 0
    names = (evaluate.scores_path(path), copy.with_suffix(".json"))
    stored, found = (json.loads(name.read_text()) for name in names)
    for metric in found["unavailable"]:  # what needs weights is not scored here
        stored["metrics"].pop(metric, None)
    return [
        {key: value for key, value in scores.items() if key != "unavailable"}
        for scores in (stored, found)
    ]


def cases(*, of_generated):
    """Returns files as parameters; of the kept runs one of each data set is quick."""
    found, seen = [], set()
    for path in STORED:
        name = dataset_of(path)
        if (name == "generated") == of_generated:
            is_again = RUNS in path.parents and name in seen
            marks = [pytest.mark.slow] if is_again else []
            label = path.relative_to(ROOT / "results").as_posix()
            found.append(pytest.param(path, marks=marks, id=label))
            seen |= {name} if RUNS in path.parents else set()
    return found


def test_there_are_results_and_each_has_its_scores():
    assert STORED
    assert [p for p in STORED if not evaluate.scores_path(p).is_file()] == []


@pytest.mark.parametrize("path", cases(of_generated=True))
def test_stored_predictions_give_the_stored_scores(path, tmp_path):
    stored, found = rescored(path, tmp_path)
    assert found == stored


@pytest.mark.parametrize("path", cases(of_generated=False))
def test_stored_predictions_give_the_stored_scores_needs_data(path, tmp_path, data_dir):
    stored, found = rescored(path, tmp_path, f"--data_dir={data_dir}")
    assert found == stored


def test_stored_scores_give_the_stored_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = sorted(map(str, pathlib.Path("configs/tables").glob("*.py")))
    given = [f"--workdir={tmp_path}", f"--stored={RUNS}", "--notrain"]
    assert main.main(["codefusion", "table", *names, *given]) == 0
    made = {path.name: path.read_text() for path in (tmp_path / "tables").iterdir()}
    kinds = (".json", ".md", ".tex")
    stored = [path for path in TABLES.iterdir() if path.suffix in kinds]
    assert made == {path.name: path.read_text() for path in stored}, "run make tables"
