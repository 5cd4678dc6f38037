"""Stored predictions give the stored scores, whatever their order."""

import pathlib

import pytest

from codefusion.evaluation.metrics import METRICS
from codefusion.evaluation.predict import write_predictions
from codefusion.evaluation.score import (
    best_of_first,
    read_scores,
    score,
    write_scores,
)


@pytest.fixture
def path(tmp_path, header, toy_rows):
    """Returns a predictions file of the toy data set."""
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, header, toy_rows)
    return path


STORED = pathlib.Path(__file__).parent / "stored"


def test_stored_predictions_give_the_stored_scores(toy):
    found = score(STORED / "predictions.jsonl", toy, num_resamples=100)
    assert found == read_scores(STORED / "scores.json")


def means(scores, metric):
    return {k: round(v["mean"], 3) for k, v in scores["metrics"][metric].items()}


def test_top_k_is_the_best_of_the_first_k(path, toy):
    scores = score(path, toy)
    assert means(scores, "exact_match") == {"top1": 0.333, "top3": 0.333, "top5": 0.667}
    assert means(scores, "template_match_loose")["top3"] == 0.667
    assert means(scores, "validity") == {"top1": 0.667, "top3": 1.0, "top5": 1.0}


def test_the_best_of_the_first_k_of_each_row_has_the_mean_of_its_scores(path, toy):
    rows = best_of_first(path, toy, METRICS["exact_match"]())
    assert rows.shape == (3, 5)
    assert rows.mean(axis=0)[[0, 2, 4]].round(3).tolist() == [0.333, 0.333, 0.667]


def test_every_metric_rises_with_k_and_lies_within_its_interval(path, toy):
    for tops in score(path, toy)["metrics"].values():
        values = [tops[f"top{k}"]["mean"] for k in (1, 3, 5)]
        assert values == sorted(values)
        assert all(t["low"] <= t["mean"] <= t["high"] for t in tops.values())


def test_rows_seen_in_training_are_scored_apart(path, toy):
    scores = score(path, toy, ["exact_match"])
    top = scores["metrics"]["exact_match"]["top1"]
    assert scores["seen_in_training"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    assert (top["seen"]["mean"], top["seen"]["rows"]) == (1.0, 1)
    assert (top["unseen"]["mean"], top["unseen"]["rows"]) == (0.0, 2)


def test_a_reference_in_other_data_of_the_run_is_seen_too(path, toy, example):
    other = type(toy)(examples={"train": [example(" find . -name x\n")]}.__getitem__)
    scores = score(path, toy, ["exact_match"], others=(other,))
    assert scores["seen_in_training"]["mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert scores["seen_in_train_split"]["mean"] == pytest.approx(1 / 3, abs=1e-6)
    top = scores["metrics"]["exact_match"]["top5"]
    assert (top["seen"]["rows"], top["unseen"]["rows"]) == (2, 1)
    assert top["seen"]["mean"] == 1.0


def test_scores_do_not_depend_on_the_order_of_rows(
    tmp_path, header, toy, toy_rows, path
):
    other = tmp_path / "other.jsonl"
    write_predictions(other, header, toy_rows[::-1])
    assert score(other, toy) == score(path, toy)


def test_stored_scores_are_the_same_bytes_every_time(tmp_path, path, toy):
    for name in ("one", "two"):
        write_scores(tmp_path / name, score(path, toy))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read_scores(tmp_path / "one") == score(path, toy)


def test_another_seed_moves_the_intervals_and_not_the_means(path, toy):
    one, two = (
        score(path, toy, ["chrf"], seed=seed, num_resamples=7) for seed in (0, 1)
    )
    assert means(one, "chrf") == means(two, "chrf")
    assert one["metrics"] != two["metrics"]


def test_fewer_candidates_leave_the_larger_k_out(tmp_path, header, toy, toy_rows):
    rows = [
        row | {key: row[key][:3] for key in ("candidates", "log_probs")}
        for row in toy_rows
    ]
    write_predictions(tmp_path / "p", header, rows)
    assert set(score(tmp_path / "p", toy)["metrics"]["chrf"]) == {"top1", "top3"}


def test_missing_and_extra_rows_are_errors_that_name_ids(
    tmp_path, header, toy, toy_rows
):
    write_predictions(tmp_path / "p", header, toy_rows[1:])
    with pytest.raises(ValueError, match="has no prediction for c"):
        score(tmp_path / "p", toy)
    write_predictions(tmp_path / "p", header, [*toy_rows, toy_rows[0] | {"id": "z"}])
    with pytest.raises(ValueError, match="not in the split: z"):
        score(tmp_path / "p", toy)


def test_predictions_of_some_rows_are_scored_on_these(tmp_path, header, toy, toy_rows):
    chosen = [row for row in toy_rows if row["id"] in "ab"]
    write_predictions(tmp_path / "p", header | {"max_rows": 2}, chosen)
    assert score(tmp_path / "p", toy)["rows"] == 2


@pytest.mark.parametrize("key", ["dataset", "scheme", "data_hash"])
def test_predictions_of_other_data_are_refused(tmp_path, header, toy, toy_rows, key):
    write_predictions(tmp_path / "p", header | {key: "other"}, toy_rows)
    with pytest.raises(ValueError, match=f"{key}: is 'other', but"):
        score(tmp_path / "p", toy)


def test_two_rows_of_one_id_in_the_data_are_refused(path, toy):
    twice = toy.examples("test") * 2
    toy.examples = {"train": [], "test": twice}.__getitem__
    with pytest.raises(ValueError, match="share an id"):
        score(path, toy)


def test_a_metric_that_lacks_something_says_what(path, toy):
    scores = score(path, toy, [METRICS["codebert_score"]()])
    assert scores["unavailable"] == {
        "codebert_score": "not available: needs --codebert"
    }
    assert scores["metrics"] == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 7}', '{"format": 1}'])
def test_what_is_no_scores_file_is_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match="s.json"):
        read_scores(tmp_path / "s.json")
