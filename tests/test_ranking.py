"""Rankings offer distinct texts first, and distances equal rapidfuzz's."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefusion import ranking

DRAWS = ["ls -a", "ls", "ls -a", "pwd", "ls -a", "ls"]
LOG_PROBS = [-2.0, -1.0, -1.5, -0.5, -3.0, -1.2]
texts = st.lists(st.text(alphabet="ab c", max_size=6), min_size=1, max_size=8)


def levenshtein(left, right):
    """Returns the distance by the textbook recurrence."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def test_distances_equal_the_textbook_recurrence_on_random_texts():
    draw = random.Random(0)
    for _ in range(200):
        many = ["".join(draw.choices("abç", k=draw.randrange(90))) for _ in range(4)]
        expected = [levenshtein(many[0], other) for other in many]
        assert ranking.edit_distances(many[0], many) == expected


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=4))
def test_distances_equal_rapidfuzz_on_any_unicode(text, others):
    rapidfuzz = pytest.importorskip("rapidfuzz", reason="rapidfuzz is not installed")
    expected = [rapidfuzz.distance.Levenshtein.distance(text, o) for o in others]
    assert ranking.edit_distances(text, others) == expected


@given(texts)
def test_similarities_are_symmetric_with_a_unit_diagonal(candidates):
    similarity = ranking.edit_similarities(candidates)
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_array_equal(np.diag(similarity), 1.0)
    assert ((similarity >= 0) & (similarity <= 1)).all()


@pytest.mark.parametrize("name", sorted(ranking.RANKINGS))
@settings(max_examples=50)
@given(candidates=texts, seed=st.integers(0, 99))
def test_every_ranking_returns_each_index_once(name, candidates, seed):
    log_probs = [-random.Random(seed + i).random() for i in range(len(candidates))]
    order = ranking.RANKINGS[name]().rank(candidates, log_probs)
    assert sorted(order) == list(range(len(candidates)))


@pytest.mark.parametrize("name", sorted(set(ranking.RANKINGS) - {"none"}))
@given(candidates=texts)
def test_distinct_texts_come_before_repeats(name, candidates):
    log_probs = [-1.0] * len(candidates)
    order = ranking.RANKINGS[name]().rank(candidates, log_probs)
    distinct = len(set(candidates))
    assert len({candidates[index] for index in order[:distinct]}) == distinct


def test_log_prob_offers_the_likeliest_draw_of_each_text():
    assert ranking.LogProb().rank(DRAWS, LOG_PROBS) == [3, 1, 2, 5, 0, 4]


def test_votes_offers_the_most_frequent_text_first():
    assert ranking.Votes().rank(DRAWS, LOG_PROBS)[:3] == [2, 1, 3]


def test_what_does_the_same_votes_together_and_is_offered_once():
    done = {"ls -a": "lists", "ls": "lists", "pwd": "tells"}
    draws = ["ls", "pwd", "ls -a", "pwd", "ls", "pwd", "ls"]
    classify = lambda texts: [done[text] for text in texts]  # noqa: E731
    order = ranking.Agreement().rank(draws, [-1.0] * 7, None, classify)
    assert [draws[i] for i in order[:3]] == ["ls", "pwd", "ls -a"]
    broken = [text != "ls" for text in draws]
    order = ranking.Agreement().rank(draws, [-1.0] * 7, broken, classify)
    assert [draws[i] for i in order[:3]] == ["ls -a", "pwd", "ls"]
    alone = ranking.Agreement().rank(draws, [-1.0] * 7)
    assert alone == ranking.Votes().rank(draws, [-1.0] * 7)


def test_in_order_keeps_repeats_where_they_were():
    assert ranking.InOrder().rank(DRAWS, LOG_PROBS) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["mbr", "covering"])
def test_the_first_by_risk_is_the_centre_of_a_cluster(name):
    draws = ["zzzz", "find . -name x", "find . -name xy", "find . -nam x"]
    assert ranking.RANKINGS[name]().rank(draws, [0.0, -9.0, -9.0, -9.0])[0] == 1


def test_the_second_by_risk_is_near_the_first_and_by_covering_far():
    draws = ["sort -n a", "sort -n a", "sort -r a", "wc -l", "wc -w"]
    assert ranking.MinimumBayesRisk().rank(draws, [-1.0] * 5)[:2] == [0, 2]
    assert ranking.Covering().rank(draws, [-1.0] * 5)[:2] == [0, 3]


@settings(max_examples=50)
@given(candidates=texts, size=st.integers(1, 4))
def test_candidates_cover_the_draws_nearly_as_well_as_the_best_set(candidates, size):
    order = ranking.Covering().rank(candidates, [-1.0] * len(candidates))
    similarity = ranking.edit_similarities(candidates)

    def covered(chosen):
        return similarity[list(chosen)].max(axis=0).sum()

    sets = itertools.combinations(range(len(candidates)), min(size, len(candidates)))
    best = max(covered(chosen) for chosen in sets)
    assert covered(order[:size]) >= (1 - 1 / math.e) * best - 1e-9


@pytest.mark.parametrize("name", ["mbr", "covering"])
def test_repeats_vote_against_risk(name):
    by_risk = ranking.RANKINGS[name]()
    once = by_risk.rank(["aaaa", "bbbb"], [-2.0, -1.0])
    twice = by_risk.rank(["aaaa", "bbbb", "aaaa"], [-2, -1, -2])
    assert (once[0], twice[0]) == (1, 0)


def test_a_log_probability_that_is_no_number_ranks_last():
    assert ranking.LogProb().rank(["a", "b"], [math.nan, -50.0]) == [1, 0]


def test_a_text_without_its_log_probability_is_refused():
    with pytest.raises(ValueError, match="2 candidates came with 1"):
        ranking.LogProb().rank(["a", "b"], [0.0])


def test_a_text_without_its_preference_is_refused():
    with pytest.raises(ValueError, match="2 candidates came with 1 preferences"):
        ranking.Votes().rank(["a", "b"], [0.0, 0.0], [True])


@pytest.mark.parametrize("name", sorted(ranking.RANKINGS))
@given(candidates=texts)
def test_the_preferred_come_first_and_equal_preferences_change_nothing(
    name, candidates
):
    chosen, log_probs = ranking.RANKINGS[name](), [-1.0] * len(candidates)
    plain = chosen.rank(candidates, log_probs)
    for alike in ([True] * len(candidates), [False] * len(candidates)):
        assert chosen.rank(candidates, log_probs, alike) == plain
    preferred = ["a" in text for text in candidates]
    order = chosen.rank(candidates, log_probs, preferred)
    assert sorted(order) == sorted(plain)
    distinct = dict.fromkeys(candidates[index] for index in order)
    assert sorted(distinct, key=lambda text: "a" not in text) == list(distinct)


def test_of_the_preferred_the_first_is_nearest_to_all_draws():
    draws = ["grep -r f .", "grep -r f", *["grep -r f . )"] * 2, "grep -r o . )"]
    draws = [*draws, "ls -l | wc -c"]
    preferred = [")" not in text for text in draws]
    for by_risk in (ranking.MinimumBayesRisk(), ranking.Covering()):
        assert by_risk.rank(draws, [-1.0] * 6, preferred)[0] == 0
