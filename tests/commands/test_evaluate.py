"""Evaluations do not overwrite each other, and say what they are of."""

import dataclasses
import itertools
import json
import pathlib
import runpy
import subprocess
import types

import jax
import jax.numpy as jnp
import pytest

from codefusion import assemble, config, evaluation, inference, main
from codefusion.commands import evaluate
from codefusion.data import datasets
from codefusion.data.datasets import DATASETS
from codefusion.data.rows import Example
from codefusion.data.tokenizer import Tokenizer
from codefusion.evaluation.predict import write_predictions

HEADER = {
    "dataset": "generated",
    "split": "test",
    "scheme": "generated",
    "data_hash": "",
    "tokenizer_hash": "e" * 64,
    "config": {},
    "config_diff": "",
    "seed": 0,
    "sampler": "ddim",
    "num_steps": 20,
    "checkpoint_step": 500,
    "commit": "c" * 40,
    "max_rows": 2,
    "truncated_utterances": 1,
}
ROOT = pathlib.Path(__file__).parents[2]
DATA = dict(name="generated", source_length=40, target_length=20, held_out_size=9)


class Hashable(types.SimpleNamespace):
    """Attributes of a data set, and hashable as data sets are."""

    __hash__ = object.__hash__


@pytest.fixture
def checked():
    """A config of the generated set."""
    found = config.base()
    found.data = dict(DATA, size=50)
    return assemble.check(found)


def name(checked, step=10, **changes):
    for key, value in changes.items():
        checked = config.validate(checked)
        section, _, setting = key.partition("__")
        checked[section][setting] = value
    return evaluate.run_name(assemble.dataset(checked), checked, step)


def test_whatever_changes_the_predictions_changes_the_name(checked):
    names = [
        name(checked),
        name(checked, step=20),
        name(checked, sampler__eta=0.5),
        name(checked, sampler__num_steps=7),
        name(checked, inference__guidance=2.0),
        name(checked, inference__ranking=dict(name="votes")),
        name(checked, inference__num_draws=33),
        name(checked, inference__temperature=0.5),
        name(checked, evaluation__seed=3),
        name(checked, evaluation__max_rows=5),
    ]
    assert len(set(names)) == len(names)
    assert name(checked) == names[0] and "-step10-" in names[0]
    assert not set("/ :") & set("".join(names))


@pytest.mark.parametrize(
    ("predictions", "scores"),
    [
        ("run/predictions/a.jsonl", "run/scores/a.json"),
        ("results/quickstart/seed0/a.b.jsonl", "results/quickstart/seed0/a.b.json"),
        ("a.jsonl", "a.json"),
    ],
)
def test_scores_go_to_the_work_directory_or_beside_the_file(
    predictions, scores, tmp_path
):
    assert evaluate.scores_path(tmp_path / predictions) == tmp_path / scores


def test_scores_never_replace_their_predictions():
    with pytest.raises(ValueError, match="'a.json'.* expected .* .jsonl"):
        evaluate.scores_path("a.json")


def git(folder, *words):
    given = ["-c", "user.name=a", "-c", "user.email=b", *words]
    subprocess.run(["git", *given], cwd=folder, check=True, capture_output=True)


def test_a_copy_in_another_projects_repository_has_no_commit(tmp_path, monkeypatch):
    (tmp_path / "other.py").write_text("")
    (tmp_path / "evaluate.py").write_text("")
    monkeypatch.setattr(evaluate, "__file__", str(tmp_path / "evaluate.py"))
    git(tmp_path, "init")
    git(tmp_path, "add", "other.py")
    git(tmp_path, "commit", "-m", "of another project")
    assert evaluate.commit() == "unknown"
    git(tmp_path, "add", "evaluate.py")
    git(tmp_path, "commit", "-m", "of this one")
    assert len(evaluate.commit()) == 40
    (tmp_path / "evaluate.py").write_text("changed")
    assert len(evaluate.commit()) == 41 and evaluate.commit().endswith("+")


@pytest.fixture
def stored(tmp_path, checked):
    """A predictions file whose config has only the sections that scoring needs."""
    dataset = assemble.dataset(checked)
    examples = dataset.examples("test")
    saved = {
        "data": dict(DATA, size=50),
        "evaluation": {"metrics": ["exact_match"]},
        "model": {"a key of long ago": 1},
    }
    header = HEADER | {"data_hash": dataset.content_hash, "config": saved}
    rows = [
        {"id": row.id, "candidates": [row.code], "log_probs": [-0.1]}
        for row in (examples[0], examples[len(examples) // 2])
    ]
    write_predictions(tmp_path / "old.jsonl", header, rows)
    return tmp_path / "old.jsonl"


def test_a_file_is_scored_whatever_else_its_config_lacks(stored, capsys):
    assert main.main(["codefusion", "evaluate", f"--predictions={stored}"]) == 0
    out = capsys.readouterr().out
    scores = stored.with_suffix(".json")
    assert f"predictions: {stored}\n" in out and f"scores: {scores}\n" in out
    assert "longer than the model reads: 1" in out
    found = json.loads(scores.read_text())
    assert list(found["metrics"]) == ["exact_match"]
    assert found["metrics"]["exact_match"]["top1"]["mean"] == 1.0


def test_what_the_run_was_trained_on_is_read_from_the_file():
    main_set = DATASETS["nl2bash"](source_length=9)
    stages = {
        "training": {"mixture": [["tldr", 0.3]], "num_steps": 5},
        "pretraining": {"num_steps": 0, "corpora": ["bash_corpus"], "gone": 1},
    }
    found = evaluate.trained_beside({"config": stages}, main_set)
    assert found == [datasets.beside(main_set, "tldr")]
    stages["pretraining"] |= {"num_steps": 2, "mixture": [["tldr", 1], ["nl2bash", 1]]}
    found = evaluate.trained_beside({"config": stages}, main_set)
    assert [each.name for each in found] == ["tldr", "bash_corpus"]
    assert evaluate.trained_beside({"config": {}}, main_set) == []


def test_programs_that_a_mixture_holds_are_seen(stored, checked, monkeypatch):
    lines = stored.read_text().splitlines()
    head = json.loads(lines[0])
    head["config"]["training"] = {"mixture": [["tldr", 0.5]]}
    stored.write_text("\n".join([json.dumps(head), *lines[1:]]) + "\n")
    copied = assemble.dataset(checked).examples("test")[:1]
    other = Hashable(examples=lambda split: copied)
    monkeypatch.setattr(datasets, "beside", lambda main_set, name: other)
    assert main.main(["codefusion", "evaluate", f"--predictions={stored}"]) == 0
    found = json.loads(stored.with_suffix(".json").read_text())
    assert found["seen_in_training"]["mean"] == 0.5
    assert found["seen_in_train_split"]["mean"] == 0.0


@pytest.mark.parametrize("flag", ["steps=3", "seed=1", "split=test", "checkpoint=9"])
def test_a_file_that_is_only_scored_takes_no_flag_of_predicting(stored, flag, capsys):
    words = ["codefusion", "evaluate", f"--predictions={stored}", f"--{flag}"]
    assert main.main(words) == 1
    assert f"--{flag.split('=')[0]} says what to predict" in capsys.readouterr().err


def test_predictions_that_are_not_there_are_told_by_their_flag(capsys):
    assert main.main(["codefusion", "evaluate", "--predictions=no.jsonl"]) == 1
    told = "--predictions is 'no.jsonl', which is not a file."
    assert told in capsys.readouterr().err


def test_the_checkpoint_is_that_of_the_flag(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text(config.to_json(config.base()))
    asked = []

    def read(workdir, step=None):
        asked.append(step)
        raise ValueError("far enough.")

    monkeypatch.setattr(inference.workdirs, "read", read)
    for words in ([], ["--checkpoint=250"]):
        assert main.main(["codefusion", "evaluate", f"--workdir={tmp_path}", *words])
    assert asked == [None, 250]


def test_codebert_gives_its_embeddings_to_the_metric(tmp_path, monkeypatch, capsys):
    rows = [Example(id="a", utterance="do", code="x"), Example("b", "do", "yy")]
    python = Hashable(
        name="conala",
        language="python",
        scheme="random",
        content_hash="",
        examples=lambda split: rows if split == "test" else [],
        quarantined=lambda split: [],
    )
    loaded = []

    def load(folder):
        loaded.append(folder)
        return lambda text: [[1.0, 0.0] if c == "x" else [0.0, 1.0] for c in text]

    fake = types.SimpleNamespace(load=load)
    monkeypatch.setattr(evaluation, "codebert", fake, raising=False)
    monkeypatch.setattr(assemble, "dataset", lambda config: python)
    saved = {"data": DATA, "evaluation": {"metrics": ["codebert_score"]}}
    header = HEADER | {"dataset": "conala", "scheme": "random", "config": saved}
    rows_written = [
        {"id": key, "candidates": ["xx"], "log_probs": [-1.0]} for key in "ab"
    ]
    path = tmp_path / "p.jsonl"
    write_predictions(path, header, rows_written)
    for flag, lacking in (([], True), (["--codebert=some/folder"], False)):
        words = ["codefusion", "evaluate", f"--predictions={path}", *flag]
        assert main.main(words) == 0
        found = json.loads(pathlib.Path(tmp_path, "p.json").read_text())
        assert ("codebert_score" in found["unavailable"]) == lacking
    assert loaded == ["some/folder"]
    assert found["metrics"]["codebert_score"]["top1"]["mean"] == 0.5
    assert "codebert_score" in capsys.readouterr().out


@pytest.fixture(scope="module")
def generator(drawn):
    """A model of random parameters that answers two requests at a time."""
    tiny = runpy.run_path(str(ROOT / "configs" / "tiny.py"))["get_config"]()
    tiny.data = dict(DATA, size=50)
    tiny.sampler.num_steps = 2
    tiny.inference.update(num_candidates=2, num_draws=2, batch_size=2)
    tiny.evaluation.max_rows = 5
    tiny = assemble.check(tiny)
    rows = assemble.dataset(tiny).examples("train")
    texts = [text for row in rows for text in (row.utterance, row.code)]
    tokenizer = Tokenizer.train(texts, vocab_size=400)
    parts = assemble.parts(tiny, tokenizer.vocab_size)
    lengths = DATA["source_length"], DATA["target_length"]
    source, target = (jnp.zeros((1, length), int) for length in lengths)
    params = drawn(parts.model, source, source == 0, target)["params"]
    return inference.Generator(tiny, tokenizer, parts, params, 0)


def cut_after(batches, monkeypatch):
    """Makes a generator's stream end in an interrupt; returns where each began."""
    whole, starts = inference.Generator.stream, []

    def stream(self, utterances, *, start, **choices):
        starts.append(start)
        yield from itertools.islice(
            whole(self, utterances, start=start, **choices), batches
        )
        raise KeyboardInterrupt

    monkeypatch.setattr(inference.Generator, "stream", stream)
    return starts


def test_an_evaluation_that_is_cut_goes_on_where_it_was(
    generator, tmp_path, monkeypatch, capsys
):
    expected = evaluate.write_predictions(
        generator, generator.config, tmp_path / "whole"
    ).read_text()
    assert len(expected.splitlines()) == 6
    for begun in (0, 2, 4):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            starts = cut_after(1, patch)
            evaluate.write_predictions(generator, generator.config, tmp_path)
        assert starts == [begun]
        (left,) = (tmp_path / "predictions").iterdir()
        with left.open("a") as file:
            file.write('{"id": "cut amid its wri')
    capsys.readouterr()
    path = evaluate.write_predictions(generator, generator.config, tmp_path)
    assert path.read_text() == expected and not left.exists()
    assert "evaluate: 4 of 5 rows were predicted before" in capsys.readouterr().err


def test_an_evaluation_of_other_weights_begins_anew_and_says_so(
    generator, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        cut_after(1, patch)
        evaluate.write_predictions(generator, generator.config, tmp_path)
    other = jax.tree.map(lambda leaf: 2 * leaf, generator.params)
    other = dataclasses.replace(generator, params=other)
    found = evaluate.write_predictions(other, other.config, tmp_path)
    told = f"{found}.unfinished is of another program and is replaced from row 1 on"
    assert told in capsys.readouterr().err
    expected = evaluate.write_predictions(other, other.config, tmp_path / "whole")
    assert found.read_text() == expected.read_text()
