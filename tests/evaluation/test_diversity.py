"""Diversity is nothing for copies, everything for texts with nothing in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefusion.evaluation.metrics import Diversity
from codefusion.evaluation.metrics.diversity import distinct_share

texts = st.lists(st.text(max_size=20), min_size=1, max_size=7)


def test_copies_are_not_diverse():
    scores = Diversity().score(["find . -name x"] * 5)
    assert scores["edit_distance"] == 0.0
    assert scores["hashed_ngram_similarity"] == pytest.approx(1.0)
    assert scores["distinct_1"] == pytest.approx(0.2)


def test_texts_with_nothing_in_common_are_wholly_diverse():
    scores = Diversity().score(["aaaa bbbb cccc dddd", "1111 2222 3333 4444"])
    assert scores["edit_distance"] > 0.8
    assert scores["hashed_ngram_similarity"] < 0.2
    assert [scores[f"distinct_{n}"] for n in (1, 2, 3, 4)] == [1.0] * 4


def test_distinct_share_counts_n_grams_of_all_candidates_together():
    assert distinct_share(["a b a", "a b"], 1) == 2 / 5
    assert distinct_share(["a b a", "a b"], 2) == 2 / 3
    assert distinct_share(["a b a", "a b"], 4) is None
    assert distinct_share(["f(x)"], 2) == 1.0


def test_only_the_first_five_candidates_count():
    few = ["a b", "c d", "e f", "g h", "i j"]
    assert Diversity().score(few) == Diversity().score([*few, "a b", "a b"])


def test_one_candidate_has_no_pairs():
    scores = Diversity().score(["ls -l"])
    assert scores["edit_distance"] is scores["hashed_ngram_similarity"] is None


@given(texts)
def test_every_part_of_any_candidates_is_none_or_in_the_unit_interval(candidates):
    scores = Diversity().score(candidates)
    assert set(scores) == set(Diversity.parts)
    assert all(value is None or 0.0 <= value <= 1.0 for value in scores.values())


@given(texts)
def test_the_order_of_five_candidates_does_not_matter(candidates):
    candidates = candidates[:5]
    there, back = Diversity().score(candidates), Diversity().score(candidates[::-1])
    assert there == pytest.approx(back)
