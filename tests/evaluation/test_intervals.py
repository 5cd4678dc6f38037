"""Intervals hold the mean, narrow with more rows, and repeat exactly."""

import numpy as np
import pytest

from codefusion.evaluation.intervals import Bootstrap


def width(values):
    summary = Bootstrap().summary(values)
    return summary["high"] - summary["low"]


def test_the_interval_of_a_coin_is_that_of_the_normal_law():
    values = [0.0, 1.0] * 800
    summary = Bootstrap(num_resamples=4000).summary(values)
    half = 1.96 * 0.5 / np.sqrt(1600)
    assert summary["mean"] == 0.5
    # A percentile of 4,000 draws is known to about a tenth of the interval.
    assert summary["low"] == pytest.approx(0.5 - half, abs=0.1 * half)
    assert summary["high"] == pytest.approx(0.5 + half, abs=0.1 * half)


def test_about_95_of_100_intervals_hold_the_truth():
    draws = np.random.default_rng(0)
    bootstrap, held = Bootstrap(), 0
    for _ in range(200):
        summary = bootstrap.summary(list(draws.random(150) < 0.3))
        held += summary["low"] <= 0.3 <= summary["high"]
    assert 180 <= held <= 199


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = list(np.random.default_rng(1).random(50))
    assert Bootstrap(seed=3).summary(values) == Bootstrap(seed=3).summary(values)
    assert Bootstrap(seed=3).summary(values) != Bootstrap(seed=4).summary(values)


def test_four_times_the_rows_halve_the_interval():
    assert width([0, 1] * 400) == pytest.approx(width([0, 1] * 100) / 2, rel=0.15)


def test_equal_scores_between_0_and_1_have_an_interval_of_no_width():
    summary = Bootstrap().summary([0.5] * 9)
    assert [summary[key] for key in ("mean", "low", "high")] == [0.5] * 3


@pytest.mark.parametrize(("rows", "most"), [(1, 0.793), (10, 0.278), (100, 0.037)])
def test_rows_that_are_all_0_or_all_1_leave_room_for_the_next(rows, most):
    # The bounds are those of the usual tables of Wilson's interval.
    none, all_ = (Bootstrap().summary([value] * rows) for value in (0.0, 1.0))
    assert none["mean"] == none["low"] == 0.0 and all_["mean"] == all_["high"] == 1.0
    assert none["high"] == pytest.approx(most, abs=5e-4)
    assert all_["low"] == pytest.approx(1.0 - most, abs=5e-4)


def test_more_confidence_needs_more_room():
    highs = [
        Bootstrap(confidence=c).summary([0] * 9)["high"] for c in (0.9, 0.95, 0.99)
    ]
    assert highs == sorted(set(highs))


def test_rows_without_a_score_are_left_out():
    assert Bootstrap().summary([None, 1.0, None])["rows"] == 1
    assert Bootstrap().summary([None])["mean"] is None


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_resamples is 0"):
        Bootstrap(num_resamples=0)
    with pytest.raises(ValueError, match="confidence is 1.0"):
        Bootstrap(confidence=1.0)
