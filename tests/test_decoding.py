"""Tokens from log-probabilities: the likeliest, draws, and sequences in their order."""

import heapq
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies

from codefusion import decoding
from codefusion.data.tokenizer import EOS_ID, PAD_ID

WORD = 5  # the first id that is no control piece


def one_row(probabilities, tokens):
    """Returns the `Draw` of one row of probabilities [L, K] of tokens [L, K]."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(np.asarray(tokens), order, -1)
    log_probs = np.log(np.take_along_axis(probabilities, order, -1))
    return decoding.Draw(ranked[:, 0], log_probs[:, 0], ranked, log_probs)


@given(seed=strategies.integers(0, 2**32 - 1), length=strategies.integers(1, 4))
def test_every_sequence_comes_once_and_by_falling_probability(seed, length):
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(3), length)
    row = one_row(probabilities, [[WORD, WORD + 1, WORD + 2]] * length)
    listed = list(decoding.by_probability(row))
    found = [tuple(tokens - WORD) for tokens, _ in listed]
    assert sorted(found) == sorted(itertools.product(range(3), repeat=length))
    products = [probabilities[np.arange(length), list(each)].prod() for each in found]
    np.testing.assert_allclose(products, sorted(products, reverse=True), rtol=1e-6)
    sums = [log_probs.sum() for _, log_probs in listed]
    np.testing.assert_allclose(np.exp(sums), products, rtol=1e-5)


@pytest.mark.parametrize("end", [EOS_ID, PAD_ID])
def test_what_follows_the_end_stays(end):
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.51, 0.49]])
    row = one_row(probabilities, [[WORD, 6], [end, 7], [8, 9]])
    found = [tokens.tolist() for tokens, _ in decoding.by_probability(row)]
    assert found == [[WORD, end, 8], [6, end, 8], [WORD, 7, 8], [6, 7, 8]]


def test_an_earlier_end_leaves_what_follows_it_alone():
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]])
    row = one_row(probabilities, [[WORD, 6], [7, EOS_ID], [8, 9]])
    found = [tokens.tolist() for tokens, _ in decoding.by_probability(row)]
    assert [WORD, EOS_ID, 8] in found and [6, EOS_ID, 8] in found
    assert len(found) == 6 and not any(f[1] == EOS_ID and f[2] == 9 for f in found)


def test_a_token_without_probability_is_never_taken():
    with np.errstate(divide="ignore"):
        row = one_row(np.array([[1.0, 0.0], [0.9, 0.1]]), [[WORD, 6], [7, 8]])
    found = [tokens.tolist() for tokens, _ in decoding.by_probability(row)]
    assert found == [[WORD, 7], [WORD, 8]]


def test_a_long_row_gives_its_first_sequences_without_listing_the_others():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(6), 512)
    row = one_row(probabilities, [range(WORD, WORD + 6)] * 512)
    first = itertools.islice(decoding.by_probability(row), 300)
    sums = [log_probs.sum() for _, log_probs in first]
    assert len(sums) == 300 and sums == pytest.approx(sorted(sums, reverse=True))


def test_sets_behind_an_early_end_are_not_walked(monkeypatch):
    visited = []

    def pop(waiting):
        visited.append(waiting)
        return heapq.heappop(waiting)

    counting = types.SimpleNamespace(heappop=pop, heappush=heapq.heappush)
    monkeypatch.setattr(decoding, "heapq", counting)
    log_probs = np.log(np.full((64, 6), 1 / 6)) - np.arange(6) * 0.01
    tokens = np.tile([WORD, EOS_ID, PAD_ID, 6, 7, 8], (64, 1))
    row = decoding.Draw(tokens[:, 0], log_probs[:, 0], tokens, log_probs)
    found = list(itertools.islice(decoding.by_probability(row), 400))
    programs = set()
    for sequence, _ in found:
        ends = np.flatnonzero((sequence == EOS_ID) | (sequence == PAD_ID))
        programs.add(tuple(sequence[: ends[0] + 1] if len(ends) else sequence))
    assert len(found) == len(programs) == 400
    assert len(visited) < 50 * len(found)


def test_tokens_are_drawn_by_their_probability():
    probs = jnp.array([0.1, 0.0, 0.0, 0.0, 0.2, 0.7])
    log_probs = jnp.log(jnp.broadcast_to(probs, (100, 50, 6)) + 1e-9)
    keys = jax.random.split(jax.random.key(0), 100)
    drawn = decoding.draw(log_probs, keys, 1.0)
    found = np.bincount(np.asarray(drawn.tokens).ravel(), minlength=6) / 5_000
    np.testing.assert_allclose(found, probs, atol=0.02)
    rows, columns = np.indices(drawn.tokens.shape)
    np.testing.assert_array_equal(
        drawn.log_probs, log_probs[rows, columns, drawn.tokens]
    )


def test_without_temperature_the_draw_is_the_likeliest_sequence():
    log_probs = jax.random.normal(jax.random.key(0), (3, 4, 9))
    drawn = decoding.draw(log_probs, None, 0.0)
    np.testing.assert_array_equal(drawn.tokens, jnp.argmax(log_probs, -1))
    for row in range(3):
        one = decoding.Draw(*(np.asarray(leaf[row]) for leaf in drawn))
        tokens, picked = next(decoding.by_probability(one))
        np.testing.assert_array_equal(tokens, one.tokens)
        np.testing.assert_array_equal(picked, one.log_probs)


@pytest.mark.parametrize(
    "tokens, counted",
    [([5, 6, EOS_ID, 7], 3), ([5, 6, 7, 8], 4), ([PAD_ID, 5, 6, 7], 1)],
)
def test_what_counts_is_the_mean_up_to_the_end_and_ignores_what_follows(
    tokens, counted
):
    log_probs = np.log([0.5, 0.4, 0.8, 0.9])
    found = decoding.mean_log_prob(np.array(tokens), log_probs)
    assert found == pytest.approx(log_probs[:counted].mean())
