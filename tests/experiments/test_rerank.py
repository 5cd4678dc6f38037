"""Stored draws, ranked anew: the same draws, and what the ranking alone would show."""

import json
import pathlib

import pytest

from codefusion import ranking
from codefusion.evaluation import predict
from experiments import rerank

RUNS = pathlib.Path(__file__).parents[2] / "results" / "runs"
RUN = RUNS / "cf_rules_seed0" / "predictions"
TEXTS = ["Equals(1)", "Equals(2)", "nonsense(", "Equals(2)", "Equals(3)", "Equals(4)"]
LOG_PROBS = [-0.5, -0.9, -0.1, -0.8, -0.3, -0.7]


def test_a_row_has_its_best_first_and_those_that_parse_before_the_others():
    row = dict(id="a", candidates=TEXTS, log_probs=LOG_PROBS)
    order = ranking.LogProb()
    found = rerank.reordered(row, order, "cf", prefer_valid=True)
    best = ["Equals(3)", "Equals(1)", "Equals(4)", "Equals(2)", "nonsense("]
    assert found["candidates"] == best
    assert found["log_probs"] == [-0.3, -0.5, -0.7, -0.8, -0.1]
    found = rerank.reordered(row, order, "cf", prefer_valid=False)
    assert found["candidates"][0] == "nonsense("


@pytest.fixture
def stored():
    """Returns a kept file of five candidates of 80 draws, with its header and rows."""
    for path in sorted(RUN.glob("cf_rules-random-test-ddim20-*.jsonl")):
        head, rows = predict.read_predictions(path)
        told = head["config"]["inference"]
        kept = (told["num_draws"], told["num_candidates"], told["ranking"]["name"])
        if kept == (80, 5, "log_prob"):
            return path, head, rows
    raise FileNotFoundError(f"{RUN} holds no five of 80 draws by log_prob")


def test_some_of_the_draws_are_not_enough(stored):
    with pytest.raises(ValueError, match="holds 5 of 80 draws in the order 'log_prob'"):
        rerank.rerank(stored[0], "votes")


def test_scores_are_as_of_a_run_with_that_ranking(stored, tmp_path, monkeypatch):
    _, head, _ = stored
    monkeypatch.setattr(rerank.evaluate, "write_scores", lambda path, config: path)
    choices = dict(num_draws=6, num_candidates=6, ranking={"name": "none"})
    head["config"]["inference"] |= choices
    path = tmp_path / "all.jsonl"
    row = dict(id="a", candidates=TEXTS, log_probs=LOG_PROBS)
    predict.write_predictions(path, head, [row])
    found = rerank.rerank(path, "votes")
    told, (row,) = predict.read_predictions(found)
    assert row["candidates"][0] == "Equals(2)" and len(row["candidates"]) == 5
    choices = {"num_candidates": 5, "ranking": {"name": "votes"}}
    assert told["config"]["inference"] == head["config"]["inference"] | choices
    assert "'covering' -> 'votes'" in told["config_diff"]
    assert json.loads(path.read_text().splitlines()[1])["candidates"] == TEXTS
