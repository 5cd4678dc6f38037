"""Samplers against data whose perfect denoiser is known in closed form."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codefusion import diffusion
from codefusion.diffusion import samplers

SAMPLERS = {
    "ddpm": samplers.DDPM(),
    "ddim": samplers.DDIM(),
    "ddim_ancestral": samplers.DDIM(eta=1.0),
    "dpm_solver_pp": samplers.DPMSolverPP(),
}
MEAN, SPREAD = 0.7, 0.5
every_sampler = pytest.mark.parametrize("name", sorted(SAMPLERS))
every_spacing = pytest.mark.parametrize("spacing", sorted(samplers.SPACINGS))
every_schedule = pytest.mark.parametrize("schedule", sorted(diffusion.SCHEDULES))


def process_of(schedule="sqrt", scale=0.8):
    """Returns a process with an embedding scale other than 1."""
    return diffusion.GaussianProcess(diffusion.SCHEDULES[schedule](), scale)


def normal(seed, shape):
    """Returns a standard normal draw."""
    draws = np.random.default_rng(seed).standard_normal(shape)
    return jnp.asarray(draws, jnp.float32)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def final_state(step, process, denoise, x1, times):
    """Returns the state after the last step, float32[R, L, E].

    `sample` returns estimates only; one more call at time 0 shows the state.
    """

    def show_state_at_zero(xt, t, estimate):
        return jnp.where(t[:, None, None] == 0, xt, denoise(xt, t, estimate))

    def draw(index):
        key = jax.random.key(7, impl="unsafe_rbg")  # compiles faster than the default
        return jax.random.normal(jax.random.fold_in(key, index), x1.shape)

    times = jnp.concatenate([times, jnp.zeros(1)])
    return diffusion.sample(
        step, process, show_state_at_zero, x1, times, draw_noise=draw
    )[0]


def gaussian_denoiser(process):
    """Returns E[x0 | xt] for data of independent N(MEAN, SPREAD^2)."""

    def denoise(xt, t, estimate):
        del estimate
        a, sigma = process.rates(t[:, None, None])
        gain = a * SPREAD**2 / (jnp.square(a * SPREAD) + jnp.square(sigma))
        return MEAN + gain * (xt - a * MEAN)

    return denoise


def whitened(process, x, t):
    """Returns x at time t in standard deviations of its Gaussian marginal."""
    a, sigma = process.rates(jnp.float32(t))
    return (x - a * MEAN) / jnp.sqrt(jnp.square(a * SPREAD) + jnp.square(sigma))


@every_sampler
@every_spacing
def test_a_perfect_denoiser_recovers_the_data(name, spacing):
    process, x0 = process_of(), normal(0, (2, 5, 8))
    times = diffusion.time_grid(process, 10, spacing)
    out, trajectory = diffusion.sample(
        SAMPLERS[name], process, lambda xt, t, e: x0, normal(1, x0.shape), times
    )
    chex.assert_trees_all_equal(out, x0)
    chex.assert_shape(trajectory, (10, *x0.shape))


@every_sampler
@every_spacing
def test_around_known_data_the_state_ends_with_the_noise_of_time_zero(name, spacing):
    process, x0 = process_of(), normal(0, (8, 25, 100))
    t = jnp.ones(len(x0))
    x1 = process.add_noise(x0, t, noise=normal(1, x0.shape))
    times = diffusion.time_grid(process, 12, spacing)
    end = final_state(SAMPLERS[name], process, lambda xt, t, e: x0, x1, times)
    noise = process.noise_from_x0(end, x0, 0 * t)
    # 20,000 draws: standard errors 0.007 of the mean and 0.01 of the variance.
    chex.assert_trees_all_close(noise.mean(), jnp.float32(0), atol=0.03)
    chex.assert_trees_all_close(noise.var(), jnp.float32(1), atol=0.04)


@pytest.mark.parametrize("name", ["ddim", "dpm_solver_pp"])
@every_schedule
def test_steps_without_noise_keep_the_noise_they_began_with(name, schedule):
    process, x0 = process_of(schedule), normal(0, (2, 5, 8))
    noise, t = normal(1, x0.shape), jnp.ones(2)
    x1 = process.add_noise(x0, t, noise=noise)
    times = diffusion.time_grid(process, 10, "log_snr")
    end = final_state(SAMPLERS[name], process, lambda xt, t, e: x0, x1, times)
    expected = process.add_noise(x0, 0 * t, noise=noise)
    chex.assert_trees_all_close(end, expected, atol=1e-5)


@every_sampler
@pytest.mark.parametrize(
    # The last even step in time of sqrt is a long one in log-SNR: cosine's is not.
    ("schedule", "spacing"),
    [("cosine", "time"), ("sqrt", "log_snr")],
)
def test_gaussian_data_keeps_its_mean_and_variance(name, schedule, spacing):
    process = process_of(schedule)
    times = diffusion.time_grid(process, 400, spacing)
    x1 = normal(0, (4, 50, 100))
    denoise = gaussian_denoiser(process)
    end = final_state(SAMPLERS[name], process, denoise, x1, times)
    z = whitened(process, end, 0.0)
    # 20,000 draws as above, and the error of finitely many steps.
    chex.assert_trees_all_close(z.mean(), jnp.float32(0), atol=0.04)
    chex.assert_trees_all_close(z.var(), jnp.float32(1), atol=0.05)


@every_schedule
def test_ddpm_is_ddim_with_eta_one(schedule):
    process, x1 = process_of(schedule), normal(0, (2, 5, 8))
    times = diffusion.time_grid(process, 15, "time")
    denoise = gaussian_denoiser(process)
    ends = [
        final_state(SAMPLERS[name], process, denoise, x1, times)
        for name in ("ddpm", "ddim_ancestral")
    ]
    chex.assert_trees_all_close(*ends, atol=1e-4)


def test_only_eta_adds_noise():
    process, x1 = process_of(), normal(0, (2, 5, 8))
    times = diffusion.time_grid(process, 8, "time")
    denoise = gaussian_denoiser(process)
    without = [
        diffusion.sample(step, process, denoise, x1, times, draw_noise=draw)[0]
        for step in (samplers.DDIM(eta=0.0), samplers.DDIM(eta=0.5))
        for draw in (None, lambda i: normal(2, x1.shape))
    ]
    # Two programs, which a processor may round apart.
    chex.assert_trees_all_close(without[0], without[1], atol=1e-5)
    assert jnp.max(jnp.abs(without[2] - without[3])) > 0.01


def order_of(name, num_steps=(40, 80)):
    """Returns the order at which a sampler nears the exact probability flow.

    For Gaussian data the flow keeps the whitened state (Song et al. 2021), so the
    end is known exactly.
    """
    process = process_of(scale=1.0)
    x1 = normal(0, (1, 10, 20))
    truth = whitened(process, x1, 1.0)
    denoise = gaussian_denoiser(process)
    errors = []
    for steps in num_steps:
        times = diffusion.time_grid(process, steps, "log_snr")
        end = final_state(SAMPLERS[name], process, denoise, x1, times)
        errors.append(jnp.max(jnp.abs(whitened(process, end, 0.0) - truth)))
    return float(jnp.log2(errors[0] / errors[1]))


def test_ddim_is_of_first_order():
    assert 0.85 < order_of("ddim") < 1.25


def test_dpm_solver_pp_is_of_second_order():
    assert 1.75 < order_of("dpm_solver_pp") < 2.5


@every_sampler
def test_one_step_is_enough_to_answer(name):
    process, x0 = process_of(), normal(0, (2, 5, 8))
    times = diffusion.time_grid(process, 1, "time")
    out, _ = diffusion.sample(
        SAMPLERS[name], process, lambda xt, t, e: x0, normal(1, x0.shape), times
    )
    chex.assert_trees_all_equal(out, x0)


def test_the_denoiser_is_handed_its_last_estimate_and_zeros_at_first():
    process, times = process_of(), jnp.linspace(1.0, 0.0, 5)
    _, trajectory = diffusion.sample(
        samplers.DDIM(), process, lambda xt, t, e: e + 1, jnp.zeros((1, 2, 3)), times
    )
    chex.assert_trees_all_equal(trajectory[:, 0, 0, 0], jnp.arange(1.0, 5.0))


def test_the_denoiser_is_called_at_each_time_but_the_last():
    process, times = process_of(), jnp.array([1.0, 0.6, 0.5, 0.0])
    _, trajectory = diffusion.sample(
        samplers.DDIM(),
        process,
        lambda xt, t, e: jnp.zeros_like(xt) + t[:, None, None],
        jnp.zeros((2, 1, 1)),
        times,
    )
    chex.assert_trees_all_equal(trajectory[:, 1, 0, 0], times[:-1])


@every_schedule
@every_spacing
@pytest.mark.parametrize("num_steps", [1, 7, 50])
def test_a_time_grid_falls_from_one_to_zero(schedule, spacing, num_steps):
    times = diffusion.time_grid(process_of(schedule), num_steps, spacing)
    chex.assert_shape(times, (num_steps + 1,))
    assert times[0] == 1 and times[-1] == 0
    assert jnp.all(jnp.diff(times) < 0)


@every_schedule
def test_log_snr_spacing_takes_even_steps_in_log_snr(schedule):
    process = process_of(schedule)
    log_snr = process.schedule.log_snr(diffusion.time_grid(process, 20, "log_snr"))
    even = jnp.linspace(log_snr[0], log_snr[-1], 21)
    # Near t = 1 a float32 time resolves the log-SNR to a few hundredths.
    chex.assert_trees_all_close(log_snr, even, atol=0.05)


def test_a_sampler_without_steps_is_refused():
    with pytest.raises(ValueError, match=r"sampler\.num_steps"):
        diffusion.time_grid(process_of(), 0, "time")


def test_an_unknown_spacing_is_refused():
    with pytest.raises(ValueError, match=r"sampler\.spacing is 'even'.*'log_snr'"):
        diffusion.time_grid(process_of(), 5, "even")


def test_a_state_without_rows_of_its_own_is_refused():
    with pytest.raises(AssertionError):
        diffusion.sample(
            samplers.DDIM(),
            process_of(),
            lambda xt, t, e: xt,
            jnp.zeros((5, 8)),
            jnp.linspace(1.0, 0.0, 3),
        )
