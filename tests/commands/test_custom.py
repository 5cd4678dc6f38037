"""Own pairs in a language that nobody knows, from the file to a candidate."""

import json
import pathlib

import pytest

from codefusion import main

ROOT = pathlib.Path(__file__).parent.parent.parent
SMALL = dict(width=16, embedding_width=8, num_heads=2, head_width=8, mlp_width=16)
SMALL |= dict(encoder_layers=1, denoiser_layers=1, decoder_layers=1)
CHANGES = {f"model.{key}": value for key, value in SMALL.items()} | {
    "training.num_steps": 2,
    "training.optimizer": {"name": "adamw", "learning_rate": 1e-3, "warmup_steps": 1},
    "data.source_length": 20,
    "data.target_length": 20,
    "tokenizer.vocab_size": 400,
    "model.alignment_rounds": 0,  # which, like the next, takes long to compile
    "model.self_conditioning": False,
    "training.self_conditioning": 0.0,
    "inference.num_draws": 5,
    "sampler.num_steps": 2,
}


def pairs(count):
    rows = [dict(utterance=f"hop {i} times", code=f"hop<{i}>") for i in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def run(*words):
    return main.main(["codefusion", *words])


def train(file, workdir, *more):
    changes = [f"--config.{key}={value}" for key, value in CHANGES.items()]
    words = [f"--config={ROOT}/configs/custom.py", f"--config.data.train={file}"]
    return run("train", *words, *changes, f"--workdir={workdir}", *more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the work directory of two steps on pairs whose file has moved since."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "pairs.jsonl").write_text(pairs(30))
    assert train(folder / "pairs.jsonl", folder / "run") == 0
    (folder / "pairs.jsonl").rename(folder / "moved.jsonl")
    return folder / "run"


def test_it_answers_without_the_file(trained, capsys):
    assert run("sample", "hop 3 times", f"--workdir={trained}", "--json") == 0
    (answer,) = capsys.readouterr().out.splitlines()
    assert len(json.loads(answer)["candidates"]) == 5


def test_it_is_scored_on_the_moved_file_and_on_no_other(trained, capsys):
    words = ["evaluate", f"--workdir={trained}"]
    assert run(*words) == 1
    assert "data.train is " in capsys.readouterr().err
    moved = trained.parent / "moved.jsonl"
    assert run(*words, f"--config.data.train={moved}") == 0
    shown = capsys.readouterr().out
    assert "exact_match" in shown and "edit_similarity" in shown
    assert "validity" not in shown  # nobody can tell what is valid in it
    (scores,) = (trained / "scores").glob("*.json")
    assert str(moved) not in scores.read_text()
    other = trained.parent / "other.jsonl"
    other.write_text(pairs(31))
    assert run(*words, f"--config.data.train={other}") == 1
    assert "the run was trained on" in capsys.readouterr().err


def test_it_is_not_resumed_on_another_file(trained, capsys):
    other = trained.parent / "other.jsonl"
    other.write_text(pairs(31))
    assert train(other, trained) == 1
    assert "holds another run" in capsys.readouterr().err
    assert train(trained.parent / "moved.jsonl", trained) == 0


def test_a_bad_row_stops_the_training_before_anything_is_written(tmp_path, capsys):
    (tmp_path / "bad.jsonl").write_text(pairs(12) + '{"utterance": "hop"}\n')
    assert train(tmp_path / "bad.jsonl", tmp_path / "run") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "bad.jsonl:13: code: the field is missing" in line
    assert not (tmp_path / "run").exists()
