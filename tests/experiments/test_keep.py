"""What is kept of a run: predictions with their scores, of its last step alone."""

import pytest

from codefusion import config
from codefusion.evaluation.predict import write_predictions
from codefusion.evaluation.score import FORMAT, write_scores
from experiments import keep

STEP = 1000  # of the base config


@pytest.fixture
def run(tmp_path):
    """A finished run with a file of predictions and its scores."""
    run = tmp_path / "table" / "run"
    (run / "checkpoints" / str(STEP)).mkdir(parents=True)
    (run / "checkpoints" / str(STEP) / "weights").write_text("many")
    (run / "config.json").write_text(config.to_json(config.base()))
    store(run, "new", STEP)
    return run


def store(run, name, step, **scored):
    texts = dict.fromkeys(
        "dataset split scheme data_hash tokenizer_hash config_diff sampler".split(), ""
    )
    numbers = dict.fromkeys("seed num_steps max_rows truncated_utterances".split(), 0)
    header = texts | numbers | {"config": {}, "commit": "c", "checkpoint_step": step}
    row = {"id": "a", "candidates": ["x"], "log_probs": [0.0]}
    write_predictions(run / "predictions" / f"{name}.jsonl", header, [row])
    scores = {"format": FORMAT, "header": header | {"format": 1} | scored}
    (run / "scores").mkdir(exist_ok=True)
    write_scores(run / "scores" / f"{name}.json", scores)


def kept(out):
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())


def test_predictions_and_scores_are_copied_and_no_weights(run, tmp_path):
    out = tmp_path / "kept"
    assert keep.keep(run, out) == "run: 1 kept"
    assert kept(out) == ["predictions/new.jsonl", "scores/new.json"]
    for name in kept(out):
        assert (out / name).read_bytes() == (run / name).read_bytes()


def test_what_is_of_another_step_or_of_other_predictions_is_named(run, tmp_path):
    store(run, "early", STEP - 1)
    store(run, "other", STEP, commit="d")
    (run / "predictions" / "new.jsonl").unlink()
    told = keep.keep(run, tmp_path / "kept")
    assert told.startswith("run: 0 kept; of another step")
    assert all(name in told for name in ("early.json", "other.json", "new.json"))
    assert not (tmp_path / "kept").exists()


def test_of_a_run_under_way_nothing_is_kept(run, tmp_path):
    (run / "checkpoints" / str(STEP)).rename(run / "checkpoints" / str(STEP - 1))
    assert keep.keep(run, tmp_path / "kept") == "run: not finished, nothing kept"
