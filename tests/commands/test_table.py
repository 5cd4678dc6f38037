"""A table takes stored scores only where they are of its config and newest step."""

import dataclasses
import json
import os

import pytest

from codefusion import assemble, config, main
from codefusion.commands import sweep, table, train
from codefusion.evaluation.score import FORMAT, write_scores

TABLE = """
from codefusion import config

TABLE = "generated"


def get_config():
    return config.base()


def sweep(add):
    add("a", file="configs/tiny.py", title="tiny", seeds=(0, 1), beside="")
    add("few", of="a", title="few", changes={"sampler.num_steps": 2}, beside="")
    add("big", file="configs/tiny.py", title="big", on_request=True, beside="")
"""


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


@pytest.fixture
def file(tmp_path):
    """A table's config file: two seeds, their weights again, and one on request."""
    path = tmp_path / "some_table.py"
    path.write_text(TABLE)
    return path


@pytest.fixture
def work(monkeypatch):
    """What is trained and evaluated, a list: folders, then files of scores."""
    done = []

    def predict(model, config, folder):
        done.append(("predicted", folder.split("/")[-1], config.sampler.num_steps))
        return folder

    monkeypatch.setattr(
        table, "trained_model", lambda config, folder: Model(config=config)
    )
    monkeypatch.setattr(table.evaluate, "write_predictions", predict)
    monkeypatch.setattr(
        table.evaluate, "write_scores", lambda path, config, embed: f"{path}/scores"
    )
    return done


@dataclasses.dataclass
class Model:
    """As much of a Generator as is asked for."""

    config: object

    def reconfigured(self, config):
        return Model(config)


def entries(file, folder, *words):
    call = main.parse("table", [f"--config={file}", f"--workdir={folder}", *words])
    runs = sweep.read(call.config_file).runs
    return table.entries(runs, call.flags)


def test_rows_of_one_title_are_a_line_and_take_the_weights_they_name(
    file, tmp_path, work
):
    found = entries(file, tmp_path)
    assert [entry.title for entry in found] == ["tiny", "few", "big"]
    assert work == [
        ("predicted", "a_seed0", 5),
        ("predicted", "a_seed1", 5),
        ("predicted", "a_seed0", 2),
        ("predicted", "a_seed1", 2),
    ]
    assert [len(entry.scores) for entry in found] == [2, 2, 0]
    assert found[2].missing == (("generated", "big"),)


@pytest.mark.parametrize(
    ("words", "trained"),
    [
        (["--notrain"], 0),
        (["--rows=big"], 1),
        (["--rows=few*"], 2),
        (["--rows=big", "--notrain"], 0),
    ],
)
def test_rows_are_trained_where_they_are_named(words, trained, file, tmp_path, work):
    entries(file, tmp_path, *words)
    assert len(work) == trained


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("rows=few_seed", "matches no row; expected a name, such as few_seed1, few_se"),
        ("stored=nowhere", "--stored is 'nowhere', which is not a folder."),
    ],
)
def test_a_flag_that_means_nothing_is_an_error_before_a_run(
    flag, told, file, tmp_path, work, capsys
):
    words = ["table", f"--config={file}", f"--workdir={tmp_path}", f"--{flag}"]
    assert main.main(["codefusion", *words]) == 1
    assert told in capsys.readouterr().err
    assert not (work or list(tmp_path.glob("tables/*")))


def test_a_fault_of_the_last_row_is_told_by_its_name_before_any_run(
    file, tmp_path, work, capsys
):
    row = "    add('last', file='configs/tiny.py', changes={'sampler.num_stepz': 2})\n"
    file.write_text(TABLE + row)
    words = ["table", f"--config={file}", f"--workdir={tmp_path}"]
    assert main.main(["codefusion", *words]) == 1
    assert "last: sampler.num_stepz" in capsys.readouterr().err
    assert not work


def test_scores_of_pairs_of_ones_own_are_found_again(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    row = '{"utterance": "go north %d times", "code": "move(N, %d)"}\n'
    pairs.write_text("".join(row % (n, n) for n in range(30)))
    changes = {"data.train": str(pairs)}
    run = sweep.Run("own", "configs/custom.py", "own", "", changes)
    flags = main.parse("table", [f"--workdir={tmp_path}"]).flags
    found = table.config_of(run, flags)
    path = store(tmp_path, found, found.training.num_steps)
    assert table.stored_scores(tmp_path, table.config_of(run, flags)) == path
    pairs.write_text(pairs.read_text() + row % (31, 31))
    assert table.stored_scores(tmp_path, table.config_of(run, flags)) is None


def test_kept_scores_serve_where_the_work_directory_has_none(file, tmp_path, work):
    kept, given = tmp_path / "kept", [f"--stored={tmp_path / 'kept'}", "--notrain"]
    runs = sweep.read(str(file)).runs
    flags = main.parse("table", [f"--workdir={tmp_path}"]).flags
    for each in runs[:3]:
        folder = kept / each.trained.name
        folder.mkdir(parents=True, exist_ok=True)
        store(folder, table.config_of(each, flags), 40, each.name)
    found = entries(file, tmp_path, *given)
    assert [entry.scores for entry in found] == [
        (f"{kept}/a_seed0/scores/a_seed0.json", f"{kept}/a_seed1/scores/a_seed1.json"),
        (f"{kept}/a_seed0/scores/few_seed0.json",),
        (),
    ]
    assert found[1].missing == (("generated", "few_seed1"),)


def test_a_run_that_has_ended_is_not_trained_again(tmp_path, checked, monkeypatch):
    trained = []
    monkeypatch.setattr(table.train, "train", lambda *args: trained.append(args))
    monkeypatch.setattr(table.inference, "load", lambda folder: folder)
    (tmp_path / "config.json").write_text(config.to_json(checked))
    for step, times in ((999, 1), (1000, 1)):
        (tmp_path / "checkpoints" / str(step)).mkdir(parents=True)
        assert table.trained_model(checked, tmp_path) == tmp_path
        assert len(trained) == times
    checked.model.width = 8
    with pytest.raises(ValueError, match="model.width"):
        table.trained_model(checked, tmp_path)


def test_scores_from_before_a_setting_existed_are_of_its_default(tmp_path, checked):
    path = store(tmp_path, checked, 20)
    found = json.loads(path.read_text())
    del found["header"]["config"]["training"]["on_non_finite"]
    write_scores(path, found)
    assert table.stored_scores(tmp_path, checked) == path
    checked.training.on_non_finite = "skip"
    assert table.stored_scores(tmp_path, checked) is None


def test_every_table_that_is_named_is_written(file, tmp_path, capsys):
    other = tmp_path / "other_table.py"
    other.write_text(TABLE.replace('"generated"', '"table2"'))
    words = ["codefusion", "table", str(file), str(other), "--notrain"]
    assert main.main([*words, f"--workdir={tmp_path}"]) == 0
    assert {path.name for path in (tmp_path / "tables").glob("*.json")} == {
        "generated.json",
        "table2.json",
    }
    told = capsys.readouterr()
    written = told.out.splitlines()
    assert len(written) == 6 and all(map(os.path.isfile, written))
    assert "table2: no row has scores; --stored=results/runs" in told.err
    assert main.main([*words[:3], *words[4:], f"--workdir={tmp_path}"]) == 0
    assert "No scores yet: not run." in capsys.readouterr().out
