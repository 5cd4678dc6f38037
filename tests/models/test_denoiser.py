"""The denoiser: what its estimate depends on, by itself with random context."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion.models import denoiser

B, L, S, E, N, H = 2, 5, 4, 6, 2, 4
STACK = dict(num_layers=2, num_heads=N, head_width=H, mlp_width=16)
STACK |= dict(alignment_rounds=2)
MODULE = denoiser.Denoiser(width=12, embedding_width=E, stack=STACK, max_length=7)


def normal(seed, *shape):
    """Returns a standard normal draw, float32."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


INPUTS = dict(
    xt=normal(0, B, L, E),
    t=jnp.array([0.2, 0.9]),
    estimate=normal(1, B, L, E),
    key_values=normal(2, 2, 2, B, S, N, H),
    source_mask=jnp.arange(S)[None] < jnp.array([S, 2])[:, None],
)


run = jax.jit(MODULE.apply)


@pytest.fixture(scope="module")
def variables(drawn):
    """The denoiser's variables."""
    return drawn(MODULE, **INPUTS)


@pytest.fixture(scope="module")
def estimate_with(variables):
    """The function that returns x0_hat where some inputs differ from INPUTS."""
    return lambda **changed: np.asarray(run(variables, **{**INPUTS, **changed}))


def difference(x, y):
    """Returns the largest difference at each position, float32[B, L]."""
    return np.max(np.abs(x - y), axis=-1)


def test_the_estimate_is_an_embedding_at_every_position(estimate_with):
    x0_hat = estimate_with()
    chex.assert_shape(x0_hat, (B, L, E))
    chex.assert_tree_all_finite(x0_hat)
    assert x0_hat.dtype == jnp.float32


@pytest.mark.parametrize("name", ["xt", "estimate", "key_values"])
def test_every_position_depends_on(estimate_with, name):
    changed = INPUTS[name] + normal(3, *INPUTS[name].shape)
    assert np.all(difference(estimate_with(), estimate_with(**{name: changed})) > 1e-4)


def test_each_row_depends_on_its_own_time(estimate_with):
    moved = difference(estimate_with(), estimate_with(t=jnp.array([0.2, 0.5])))
    assert np.all(moved[0] == 0) and np.all(moved[1] > 1e-4)


@pytest.mark.parametrize("position", [0, L - 1])
def test_one_position_reaches_all_others(estimate_with, position):
    changed = INPUTS["xt"].at[:, position].add(3.0)
    assert np.all(difference(estimate_with(), estimate_with(xt=changed)) > 1e-4)


def test_padded_source_positions_do_not_matter(estimate_with):
    hidden = ~INPUTS["source_mask"][None, None, ..., None, None]
    changed = jnp.where(hidden, 50.0, INPUTS["key_values"])
    chex.assert_trees_all_equal(estimate_with(), estimate_with(key_values=changed))


def test_the_order_of_positions_matters(estimate_with):
    flipped = {name: INPUTS[name][:, ::-1] for name in ("xt", "estimate")}
    there_and_back = estimate_with(**flipped)[:, ::-1]
    assert np.max(difference(estimate_with(), there_and_back)) > 1e-4


def test_without_self_conditioning_the_earlier_estimate_is_not_read(drawn):
    plain = MODULE.clone(self_conditioning=False)
    first = {**INPUTS, "estimate": 0 * INPUTS["estimate"]}
    run_plain, variables = jax.jit(plain.apply), drawn(plain, **INPUTS)
    chex.assert_trees_all_equal(
        run_plain(variables, **INPUTS), run_plain(variables, **first)
    )


def test_half_precision_gives_float32_estimates_nearby(estimate_with, variables):
    inputs = {**INPUTS, "key_values": INPUTS["key_values"].astype(jnp.bfloat16)}
    half = jax.jit(MODULE.clone(dtype=jnp.bfloat16).apply)(variables, **inputs)
    assert half.dtype == jnp.float32
    # bfloat16 keeps 8 bits, and errors add up over the layers.
    chex.assert_trees_all_close(np.asarray(half), estimate_with(), atol=0.1)


def test_a_target_that_is_too_long_is_refused_by_name(variables):
    long = {name: jnp.zeros((B, 8, E)) for name in ("xt", "estimate")}
    with pytest.raises(ValueError, match=r"8 positions .* data\.target_length 7"):
        jax.eval_shape(MODULE.apply, variables, **{**INPUTS, **long})
