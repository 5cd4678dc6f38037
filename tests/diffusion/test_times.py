"""Training times: uniform row by row, and evenly spread when stratified."""

import chex
import jax
import jax.numpy as jnp
import pytest

from codefusion import diffusion

BATCH = 8
every_times = pytest.mark.parametrize("make", list(diffusion.TIMES.values()))


def many(times, batches=4000):
    """Returns the times of many batches, float32[batches, B]."""
    keys = jax.random.split(jax.random.key(0), batches)
    return jax.vmap(lambda key: times(key, BATCH))(keys)


@every_times
def test_times_are_between_data_and_noise(make):
    drawn = many(make())
    chex.assert_shape(drawn, (4000, BATCH))
    assert drawn.dtype == jnp.float32
    assert jnp.all(drawn >= 0) and jnp.all(drawn < 1)


@every_times
def test_each_row_alone_is_uniform(make):
    drawn = jnp.sort(many(make()), axis=0)
    quantiles = jnp.linspace(0.0, 1.0, len(drawn))[:, None]
    # Kolmogorov-Smirnov: 0.031 is passed by chance once in a thousand rows.
    assert jnp.max(jnp.abs(drawn - quantiles)) < 0.035


@every_times
def test_the_key_decides(make):
    first, again, other = (make()(jax.random.key(k), BATCH) for k in (0, 0, 1))
    chex.assert_trees_all_equal(first, again)
    assert not jnp.any(first == other)


@every_times
def test_a_power_below_one_favours_noise(make):
    assert jnp.mean(many(make(power=0.5))) > jnp.mean(many(make())) + 0.1


def test_a_stratified_batch_has_one_time_in_every_part():
    parts = jnp.sort(jnp.floor(many(diffusion.TIMES["stratified"]()) * BATCH), axis=1)
    # The parts start at a random offset, so two rows may share a fixed part.
    assert jnp.all(jnp.abs(parts - jnp.arange(BATCH)[None]) <= 1)


def test_stratified_times_are_evenly_spaced():
    drawn = jnp.sort(many(diffusion.TIMES["stratified"]()), axis=1)
    chex.assert_trees_all_close(
        jnp.diff(drawn, axis=1), jnp.full((4000, BATCH - 1), 1 / BATCH), atol=1e-5
    )


def test_a_stratified_batch_has_a_steadier_mean():
    uniform, stratified = (
        jnp.std(jnp.mean(many(diffusion.TIMES[name]()), axis=1))
        for name in ("uniform", "stratified")
    )
    assert stratified < 0.5 * uniform
