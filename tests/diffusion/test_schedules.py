"""Every schedule runs from data to noise, one way, with finite rates."""

import chex
import jax
import jax.numpy as jnp
import pytest

from codefusion import diffusion

SCHEDULES = sorted(diffusion.SCHEDULES.items())
every_schedule = pytest.mark.parametrize("make", [m for _, m in SCHEDULES])


@every_schedule
def test_time_zero_is_data_and_time_one_is_noise(make):
    schedule = make()
    assert schedule.alpha(0.0) > 0.99 and schedule.sigma(0.0) < 0.11
    assert schedule.alpha(1.0) < 0.01 and schedule.sigma(1.0) > 0.999


@every_schedule
def test_signal_only_ever_gives_way_to_noise(make):
    log_snr = make().log_snr(jnp.linspace(0.0, 1.0, 2001))
    assert jnp.all(jnp.diff(log_snr) <= 0)
    assert jnp.all(jnp.diff(log_snr[20:-20]) < 0)


@every_schedule
def test_rates_are_those_of_a_variance_preserving_process(make):
    t, schedule = jnp.linspace(0.0, 1.0, 101), make()
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    chex.assert_trees_all_close(alpha**2 + sigma**2, jnp.ones_like(t), atol=1e-6)
    assert jnp.all(alpha > 0) and jnp.all(sigma > 0)


@every_schedule
def test_log_snr_is_of_the_rates(make):
    t, schedule = jnp.linspace(0.0, 1.0, 101), make()
    ratio = jnp.exp(0.5 * schedule.log_snr(t))
    # sigma near 1e-3 has three good digits in float32: it is 1 - alpha^2.
    chex.assert_trees_all_close(
        ratio * schedule.sigma(t), schedule.alpha(t), rtol=1e-3, atol=1e-6
    )


@every_schedule
def test_log_snr_and_its_slope_are_finite_everywhere(make):
    t, schedule = jnp.linspace(0.0, 1.0, 101), make()
    chex.assert_tree_all_finite(schedule.log_snr(t))
    chex.assert_tree_all_finite(jax.vmap(jax.grad(schedule.log_snr))(t))


@every_schedule
def test_rates_keep_the_shape_of_the_time_and_are_float32(make):
    alpha = make().alpha(jnp.full((3, 1, 1), 0.5))
    chex.assert_shape(alpha, (3, 1, 1))
    assert alpha.dtype == jnp.float32
    chex.assert_shape(make().sigma(0.5), ())


def test_the_offset_of_the_sqrt_schedule_is_its_first_noise():
    low, high = (diffusion.SCHEDULES["sqrt"](offset=o) for o in (1e-4, 16e-4))
    chex.assert_trees_all_close(low.sigma(0.0), jnp.float32(0.1), atol=1e-5)
    chex.assert_trees_all_close(high.sigma(0.0), jnp.float32(0.2), atol=1e-5)


def test_a_steeper_linear_schedule_is_noisier():
    gentle, steep = (diffusion.SCHEDULES["linear"](beta_max=b) for b in (10.0, 20.0))
    assert steep.log_snr(0.5) < gentle.log_snr(0.5)


def test_half_of_the_cosine_schedule_is_half_noise():
    schedule = diffusion.SCHEDULES["cosine"]()
    chex.assert_trees_all_close(schedule.log_snr(0.5), jnp.float32(0.0), atol=1e-5)
