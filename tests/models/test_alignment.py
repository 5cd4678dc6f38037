"""Cross-attention along the diagonal: its sums, and a run that it finds."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.models import alignment, blocks
from pallas_kernels.attention import attention

B, N, L, S = 2, 3, 5, 7
LENGTHS = [(5, 7), (7, 5), (4, 4), (1, 6), (6, 1)]


def normal(seed, *shape):
    """Returns a standard normal draw, float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def skewed(x):
    """Returns `skew` of x, element by element."""
    *lead, length, source = x.shape
    y = np.zeros((*lead, length, source + length - 1), x.dtype)
    for target in range(length):
        for at in range(source):
            y[..., target, at - target + length - 1] = x[..., target, at]
    return y


def followed(offsets, weights):
    """Returns sum_d w_d a[l - d, s - d], term by term; offset 0 is in the middle."""
    scores, reach = np.zeros_like(weights), offsets.shape[1] // 2
    length, source = weights.shape[2:]
    for target, at in np.ndindex(length, source):
        for d in range(target - length + 1, target + 1):
            if 0 <= at - d < source:
                term = offsets[:, reach + d] * weights[:, :, target - d, at - d]
                scores[:, :, target, at] += term
    return scores


@pytest.mark.parametrize(("length", "source"), LENGTHS)
def test_skewing_moves_each_row_as_a_loop_does(length, source):
    x = normal(0, B, length, source)
    chex.assert_trees_all_equal(np.asarray(alignment.skew(x)), skewed(x))


@pytest.mark.parametrize(("length", "source"), LENGTHS)
def test_unskewing_takes_skewing_back(length, source):
    x = normal(0, B, N, length, source)
    there_and_back = alignment.unskew(alignment.skew(x), source)
    chex.assert_trees_all_equal(np.asarray(there_and_back), x)


@pytest.mark.parametrize(("length", "source"), LENGTHS)
def test_skewing_takes_unskewing_back_inside_the_band(length, source):
    inside = skewed(np.ones((length, source))) > 0
    y = normal(1, length, source + length - 1)
    back = alignment.skew(alignment.unskew(y, source))
    chex.assert_trees_all_equal(np.asarray(back), np.where(inside, y, 0))


@pytest.mark.parametrize(("length", "source"), LENGTHS)
@pytest.mark.parametrize("longer", [0, 4])
def test_scores_are_the_weights_summed_along_diagonals(length, source, longer):
    module = alignment.DiagonalConvolution(max_length=length + longer)
    offsets = normal(2, N, 2 * (length + longer) - 1)
    weights = np.abs(normal(3, B, N, length, source))
    scores = module.apply({"params": {"offsets": offsets}}, weights)
    expected = alignment._STRENGTH * followed(offsets, weights)
    chex.assert_trees_all_close(np.asarray(scores), expected, rtol=1e-4, atol=1e-4)


def test_a_position_begins_by_following_those_on_its_left_the_near_ones_most():
    module = alignment.DiagonalConvolution(max_length=L)
    params = module.init(jax.random.key(0), normal(3, B, N, L, S))["params"]
    offsets = np.asarray(params["offsets"])
    assert np.all(offsets[:, :L] == 0) and np.all(offsets[:, L:] > 0)
    assert np.all(np.diff(offsets[:, L:]) < 0)


def cross(rounds):
    """Returns cross-attention of one head whose output is its weights."""
    return blocks.CrossAttention(1, S, max_length=L, alignment_rounds=rounds)


def identities():
    """Returns the parameters with which queries are inputs and outputs are values."""
    follow = alignment._follow_the_left(None, (1, 2 * L - 1))
    same = {"kernel": jnp.eye(S)}
    return {"query": same, "out": same, "alignment": {"offsets": follow}}


def weights_of(rounds, x, *, mask=None, **changed):
    """Returns the weights [B, L, S] of inputs [B, L, S], scores sqrt(S) times."""
    key_value = jnp.broadcast_to(jnp.eye(S)[None, None, :, None], (2, B, S, 1, S))
    mask = jnp.ones((B, S), bool) if mask is None else mask
    params = {**identities(), **changed}
    return np.asarray(cross(rounds).apply({"params": params}, x, key_value, mask))


def planted(start):
    """Returns inputs of which the first attends to `start`, the others nowhere."""
    return jnp.zeros((B, L, S)).at[:, 0, start].set(50.0)


@pytest.mark.parametrize("start", [0, 2])
def test_a_run_is_followed_from_its_first_element_alone(start):
    before, after = (weights_of(rounds, planted(start)) for rounds in (0, 2))
    for target in range(L):
        assert np.all(after[:, target, start + target] > 0.5)
    chex.assert_trees_all_close(before[:, 1:], np.full((B, L - 1, S), 1 / S), rtol=1e-5)


def test_each_round_is_surer_of_the_run():
    sure = [weights_of(rounds, planted(0))[:, -1, L - 1] for rounds in range(4)]
    assert np.all(np.diff(np.stack(sure), axis=0) > 0)


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_masked_source_positions_get_no_weight(rounds):
    mask = jnp.array([[1, 1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 0]], bool)
    weights = weights_of(rounds, planted(0), mask=mask)
    unseen = np.broadcast_to(~mask[:, None], weights.shape)
    assert np.all(weights[unseen] == 0) and np.all(weights >= 0)
    chex.assert_trees_all_close(weights.sum(-1), np.ones((B, L)), rtol=1e-5)


def test_without_rounds_it_is_plain_attention():
    x, key_value = normal(4, B, L, S), normal(5, 2, B, S, 1, S)
    mask = jnp.arange(S)[None] < jnp.array([S, 3])[:, None]
    params = cross(0).init(jax.random.key(0), x, key_value, mask)["params"]
    assert set(params) == {"query", "out"}
    found = cross(0).apply({"params": identities()}, x, key_value, mask)
    plain = attention(x[:, :, None], *key_value, key_mask=mask)[:, :, 0]
    chex.assert_trees_all_close(found, plain, atol=1e-5)


def test_offsets_of_weight_zero_follow_nothing():
    x, none = normal(4, B, L, S), {"offsets": jnp.zeros((1, 2 * L - 1))}
    plain, rounds = weights_of(0, x), weights_of(2, x, alignment=none)
    chex.assert_trees_all_equal(plain, rounds)
    assert np.max(np.abs(plain - weights_of(2, x))) > 0.01


def test_the_offsets_learn_at_their_start():
    def loss(offsets):
        x = planted(0)
        key_value = jnp.broadcast_to(jnp.eye(S)[None, None, :, None], (2, B, S, 1, S))
        params = {**identities(), "alignment": {"offsets": offsets}}
        run = cross(2).apply({"params": params}, x, key_value, jnp.ones((B, S), bool))
        return -jnp.log(run[:, 2, 2]).mean()

    slope = jax.grad(loss)(identities()["alignment"]["offsets"])
    # The loss falls as position 2 follows position 0, two steps to its left.
    assert slope[0, L - 1 + 2] < 0
