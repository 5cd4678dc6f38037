"""A table takes stored scores only where they are of its config and newest step."""

import json

import pytest

from codefusion import assemble, config
from codefusion.commands import table, train
from codefusion.evaluation.score import FORMAT, write_scores


@pytest.fixture
def checked():
    """A config of the generated set."""
    found = config.base()
    found.data = dict(name="generated", source_length=40, target_length=20)
    return assemble.check(found)


def store(folder, checked, step, name="a"):
    header = {"config": train.portable(checked).to_dict(), "checkpoint_step": step}
    (folder / "scores").mkdir(exist_ok=True)
    path = folder / "scores" / f"{name}.json"
    write_scores(path, {"format": FORMAT, "header": header, "unavailable": {}})
    return path


def test_scores_of_the_config_and_the_newest_step_are_taken(tmp_path, checked):
    assert table.stored_scores(tmp_path, checked) is None
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    store(tmp_path, checked, 10, "older")
    assert table.stored_scores(tmp_path, checked) is None
    path = store(tmp_path, checked, 20, "newest")
    assert table.stored_scores(tmp_path, checked) == path


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("training", "num_steps", 7), ("sampler", "num_steps", 7), ("data", "size", 7)],
)
def test_scores_of_another_config_are_not(tmp_path, checked, section, key, value):
    store(tmp_path, checked, 20)
    assert table.stored_scores(tmp_path, checked) is not None
    checked[section][key] = value
    assert table.stored_scores(tmp_path, checked) is None


def test_another_folder_of_data_files_is_no_other_config(tmp_path, checked):
    path = store(tmp_path, checked, 20)
    checked.data.data_dir = "elsewhere"
    assert table.stored_scores(tmp_path, checked) == path


def test_scores_without_the_embeddings_are_made_again(tmp_path, checked, monkeypatch):
    path = store(tmp_path, checked, 20)
    made = []
    monkeypatch.setattr(
        table.evaluate, "write_scores", lambda *args, **given: made.append(args[0])
    )
    (tmp_path / "predictions").mkdir()
    predictions = tmp_path / "predictions" / "a.jsonl"
    predictions.write_text("")
    assert table.with_codebert(path, checked, len) == path and made == []
    found = json.loads(path.read_text())
    write_scores(path, found | {"unavailable": {"codebert_score": "needs it"}})
    table.with_codebert(path, checked, len)
    assert made == [predictions]
